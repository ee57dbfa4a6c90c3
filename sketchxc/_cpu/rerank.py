"""Training and scores of low-rank factors of (row, label) pairs.

A repetition walks through the rows one after the other and belongs to one thread, so its bits do not depend on the number of threads.
Vectors are read in tiles of 64 numbers that keep their sums in registers, the rest of a vector in tiles of 16. Asking for the vectors of
the next row in advance made it slower: most rows meet frequent features and labels, which stay in the cache.
"""
import math

import numpy as np
from numba import prange

from .._jit import loop_vector, serial, serial_vector
from .._scalar.hashing import cell, mix64
from .._scalar.loss import exp32
from .._scalar.rerank import draw
from .vector import fill, fma, load, store, total


@serial_vector
def combine(table, dim, places, count, values, start, scales, scaled, out):
    """out = sum over k of values[start + k] * table row places[k], in the order of k; `scaled` rows have a factor of their own."""
    zero = fill(np.float32(0.0))
    j = 0
    while j + 64 <= dim:
        a0, a1, a2, a3 = zero, zero, zero, zero
        for k in range(count):
            p = places[k] * dim + j
            x = fill(values[start + k] * scales[places[k]] if scaled else values[start + k])
            a0, a1 = fma(x, load(table, p), a0), fma(x, load(table, p + 16), a1)
            a2, a3 = fma(x, load(table, p + 32), a2), fma(x, load(table, p + 48), a3)
        store(out, j, a0)
        store(out, j + 16, a1)
        store(out, j + 32, a2)
        store(out, j + 48, a3)
        j += 64
    while j < dim:
        a0 = zero
        for k in range(count):
            x = fill(values[start + k] * scales[places[k]] if scaled else values[start + k])
            a0 = fma(x, load(table, places[k] * dim + j), a0)
        store(out, j, a0)
        j += 16


@serial_vector
def product(table, p, row, dim):
    """Inner product of table[p:p + dim] and row."""
    zero = fill(np.float32(0.0))
    a0, a1, a2, a3 = zero, zero, zero, zero
    j = 0
    while j + 64 <= dim:
        a0, a1 = fma(load(table, p + j), load(row, j), a0), fma(load(table, p + j + 16), load(row, j + 16), a1)
        a2, a3 = fma(load(table, p + j + 32), load(row, j + 32), a2), fma(load(table, p + j + 48), load(row, j + 48), a3)
        j += 64
    while j < dim:
        a0 = fma(load(table, p + j), load(row, j), a0)
        j += 16
    return total((a0 + a1) + (a2 + a3))


@serial_vector
def exchange(table, dim, places, count, slopes, steps, row, out):
    """out = sum over k of slopes[k] * table row places[k]; each of those rows moves by steps[k] * row right after it was read."""
    zero = fill(np.float32(0.0))
    j = 0
    while j + 64 <= dim:
        h0, h1, h2, h3 = load(row, j), load(row, j + 16), load(row, j + 32), load(row, j + 48)
        a0, a1, a2, a3 = zero, zero, zero, zero
        for k in range(count):
            p = places[k] * dim + j
            e, f = fill(slopes[k]), fill(steps[k])
            v0, v1, v2, v3 = load(table, p), load(table, p + 16), load(table, p + 32), load(table, p + 48)
            a0, a1, a2, a3 = fma(e, v0, a0), fma(e, v1, a1), fma(e, v2, a2), fma(e, v3, a3)
            store(table, p, fma(f, h0, v0))
            store(table, p + 16, fma(f, h1, v1))
            store(table, p + 32, fma(f, h2, v2))
            store(table, p + 48, fma(f, h3, v3))
        store(out, j, a0)
        store(out, j + 16, a1)
        store(out, j + 32, a2)
        store(out, j + 48, a3)
        j += 64
    while j < dim:
        a0, h0 = zero, load(row, j)
        for k in range(count):
            p = places[k] * dim + j
            v0 = load(table, p)
            a0 = fma(fill(slopes[k]), v0, a0)
            store(table, p, fma(fill(steps[k]), h0, v0))
        store(out, j, a0)
        j += 16


@serial_vector
def push(table, dim, places, count, steps, row):
    """Table row places[k] moves by steps[k] * row."""
    j = 0
    while j + 64 <= dim:
        g0, g1, g2, g3 = load(row, j), load(row, j + 16), load(row, j + 32), load(row, j + 48)
        for k in range(count):
            p = places[k] * dim + j
            f = fill(steps[k])
            store(table, p, fma(f, g0, load(table, p)))
            store(table, p + 16, fma(f, g1, load(table, p + 16)))
            store(table, p + 32, fma(f, g2, load(table, p + 32)))
            store(table, p + 48, fma(f, g3, load(table, p + 48)))
        j += 64
    while j < dim:
        g0 = load(row, j)
        for k in range(count):
            p = places[k] * dim + j
            store(table, p, fma(fill(steps[k]), g0, load(table, p)))
        j += 16


@serial
def locate(indices, start, count, seed, width, hashed, out):
    """Table rows of the columns indices[start:start + count]: the columns themselves, or hashed into `width` cells."""
    for k in range(count):
        out[k] = cell(np.uint64(indices[start + k]), seed, width) if hashed else np.int64(indices[start + k])


@serial_vector
def softmax_slopes(scores, count, positives):
    """Scores of one step become the slopes of its loss, upward: share of the target minus share of the softmax, times sqrt(positives).

    Returns the loss: sqrt(positives) times the cross-entropy between the softmax and a target spread evenly over the first `positives`."""
    top = scores[0]
    picked = np.float32(0.0)
    for k in range(count):
        top = scores[k] if scores[k] > top else top
        picked += scores[k] if k < positives else np.float32(0.0)
    for k in range(count):
        scores[k] = exp32(scores[k] - top)
    mass = np.float32(0.0)
    for k in range(count):
        mass += scores[k]
    root = np.float32(math.sqrt(positives))
    factor = root / mass
    target = root / np.float32(positives)
    for k in range(count):
        scores[k] = (target if k < positives else np.float32(0.0)) - scores[k] * factor
    return root * (top + math.log(mass) - picked / np.float32(positives))


@serial_vector
def pass_over(features, labels, feature_sums, label_sums, dim, key, seed, hashed, indptr, indices, values, label_ptr, label_ids, shortlist,
              order, lr, last_lr, near, far):
    """One pass of one repetition over the rows `order`; returns the sum of the losses. Tables are flat, sums of squares one per vector."""
    most, longest = 0, 0
    for i in range(indptr.size - 1):
        most, longest = max(most, label_ptr[i + 1] - label_ptr[i]), max(longest, indptr[i + 1] - indptr[i])
    most += near + far
    places, picked = np.empty(longest, np.int64), np.empty(most, np.int64)
    slopes, steps = np.empty(most, np.float32), np.empty(max(most, longest), np.float32)
    hidden, gradient = np.empty(dim, np.float32), np.empty(dim, np.float32)
    loss = 0.0
    for t in range(order.size):
        i = order[t]
        start, nonzeros, positives = indptr[i], indptr[i + 1] - indptr[i], label_ptr[i + 1] - label_ptr[i]
        if nonzeros == 0 or positives == 0:
            continue
        rate = np.float32(lr + (last_lr - lr) * t / order.size)
        locate(indices, start, nonzeros, seed, feature_sums.size, hashed, places)
        count = draw(mix64(key ^ np.uint64(t)), label_ids, label_ptr[i], positives, shortlist, i, near, far, label_sums.size, picked)
        combine(features, dim, places, nonzeros, values, start, feature_sums, False, hidden)
        for k in range(count):
            slopes[k] = product(labels, picked[k] * dim, hidden, dim)
        loss += softmax_slopes(slopes, count, positives)
        kept = 0
        for k in range(count):
            e = slopes[k]
            if abs(e) >= np.float32(1e-3):
                label = picked[k]
                label_sums[label] += e * e
                picked[kept] = label
                slopes[kept] = e
                steps[kept] = rate * e / math.sqrt(label_sums[label])
                kept += 1
        exchange(labels, dim, picked, kept, slopes, steps, hidden, gradient)
        size = np.float32(4.0) / np.float32(dim) * product(gradient, 0, gradient, dim)
        for k in range(nonzeros):
            x, p = values[start + k], places[k]
            feature_sums[p] += x * x * size
            steps[k] = rate * x / math.sqrt(feature_sums[p])
        push(features, dim, places, nonzeros, steps, gradient)
    return loss


@loop_vector
def train(features, labels, feature_sums, label_sums, keys, seeds, hashed, indptr, indices, values, label_ptr, label_ids, shortlist, order,
          lr, last_lr, near, far, losses):
    """One pass over the rows `order` in every repetition; a thread owns a repetition, with its sums of squares and its loss."""
    for r in prange(features.shape[0]):
        losses[r] = pass_over(features[r].reshape(-1), labels[r].reshape(-1), feature_sums[r], label_sums[r], features.shape[2], keys[r],
                              seeds[r], hashed, indptr, indices, values, label_ptr, label_ids, shortlist, order, lr, last_lr, near, far)


@loop_vector
def scores(features, labels, feature_scales, label_scales, scaled, seeds, hashed, indptr, indices, values, shortlist, out):
    """Mean over the repetitions of the score of every shortlisted label, minus infinity for -1; one thread owns a block of rows."""
    reps, width, dim = features.shape
    n = out.shape[0]
    blocks = min(n, 256)
    for b in prange(blocks):
        hidden = np.empty((reps, dim), np.float32)
        longest = 0
        for i in range(b * n // blocks, (b + 1) * n // blocks):
            longest = max(longest, indptr[i + 1] - indptr[i])
        places = np.empty(longest, np.int64)
        for i in range(b * n // blocks, (b + 1) * n // blocks):
            nonzeros = indptr[i + 1] - indptr[i]
            for j in range(out.shape[1]):
                out[i, j] = np.float32(0.0) if shortlist[i, j] >= 0 else np.float32(-np.inf)
            for r in range(reps):
                locate(indices, indptr[i], nonzeros, seeds[r], width, hashed, places)
                combine(features[r].reshape(-1), dim, places, nonzeros, values, indptr[i], feature_scales[r], scaled, hidden[r])
                flat = labels[r].reshape(-1)
                for j in range(out.shape[1]):
                    label = np.int64(shortlist[i, j])
                    if label >= 0:
                        score = product(flat, label * dim, hidden[r], dim)
                        out[i, j] += score * label_scales[r, label] if scaled else score
            for j in range(out.shape[1]):
                out[i, j] /= np.float32(reps)
