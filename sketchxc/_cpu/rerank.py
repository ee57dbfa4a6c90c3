"""Training and scores of low-rank factors of (row, label) pairs.

A repetition walks through the rows one after the other and belongs to one thread, so its bits do not depend on the number of threads. The
rows of factors that a step touches lie anywhere in memory: they are asked for while the step before is computed.
"""
import math

import numpy as np
from numba import prange

from .._jit import loop_vector, serial, serial_vector
from .._scalar.hashing import bucket, cell, mix64
from .._scalar.loss import exp32
from .vector import add, fill, fma, load, prefetch, store, total


@serial_vector
def combine(table, dim, places, values, start, scales, scaled, out):
    """out = sum over k of values[start + k] * table row places[k], in the order of k; `scaled` rows have a factor of their own."""
    zero = fill(np.float32(0.0))
    j = 0
    while j + 64 <= dim:
        a0, a1, a2, a3 = zero, zero, zero, zero
        for k in range(places.size):
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
        for k in range(places.size):
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
    return total(add(add(a0, a1), add(a2, a3)))


@serial_vector
def exchange(table, dim, places, slopes, steps, row, out):
    """out = sum over k of slopes[k] * table row places[k]; each of those rows moves by steps[k] * row right after it was read."""
    zero = fill(np.float32(0.0))
    j = 0
    while j + 64 <= dim:
        h0, h1, h2, h3 = load(row, j), load(row, j + 16), load(row, j + 32), load(row, j + 48)
        a0, a1, a2, a3 = zero, zero, zero, zero
        for k in range(places.size):
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
        for k in range(places.size):
            p = places[k] * dim + j
            v0 = load(table, p)
            a0 = fma(fill(slopes[k]), v0, a0)
            store(table, p, fma(fill(steps[k]), h0, v0))
        store(out, j, a0)
        j += 16


@serial_vector
def push(table, dim, places, steps, row):
    """Table row places[k] moves by steps[k] * row."""
    j = 0
    while j + 64 <= dim:
        g0, g1, g2, g3 = load(row, j), load(row, j + 16), load(row, j + 32), load(row, j + 48)
        for k in range(places.size):
            p = places[k] * dim + j
            f = fill(steps[k])
            store(table, p, fma(f, g0, load(table, p)))
            store(table, p + 16, fma(f, g1, load(table, p + 16)))
            store(table, p + 32, fma(f, g2, load(table, p + 32)))
            store(table, p + 48, fma(f, g3, load(table, p + 48)))
        j += 64
    while j < dim:
        g0 = load(row, j)
        for k in range(places.size):
            p = places[k] * dim + j
            store(table, p, fma(fill(steps[k]), g0, load(table, p)))
        j += 16


@serial
def locate(indices, start, stop, seed, width, hashed, out):
    """Table rows of the columns indices[start:stop]: the columns themselves, or hashed into `width` cells."""
    for k in range(start, stop):
        out[k - start] = cell(np.uint64(indices[k]), seed, width) if hashed else np.int64(indices[k])


@serial
def draw(key, labels, start, stop, shortlist, near, far, n_labels, out):
    """Labels of one step: labels[start:stop], then `near` draws from the shortlist and `far` from all labels.

    Draws that are a label of the row, and empty places of the shortlist, are left out. Returns the number of labels in `out`."""
    count = stop - start
    for k in range(count):
        out[k] = labels[start + k]
    for q in range(near + far):
        drawn = mix64(key ^ np.uint64(q))
        label = np.int64(shortlist[bucket(drawn, shortlist.size)]) if q < near else bucket(drawn, n_labels)
        fresh = label >= 0
        for k in range(start, stop):
            fresh = fresh and labels[k] != label
        if fresh:
            out[count] = label
            count += 1
    return count


@serial_vector
def softmax_slopes(scores, positives):
    """Scores of one step become the slopes of its loss, upward: share of the target minus share of the softmax, times sqrt(positives).

    Returns the loss: sqrt(positives) times the cross-entropy between the softmax and a target spread evenly over the first `positives`."""
    top = scores[0]
    picked = np.float32(0.0)
    for k in range(scores.size):
        top = scores[k] if scores[k] > top else top
        picked += scores[k] if k < positives else np.float32(0.0)
    for k in range(scores.size):
        scores[k] = exp32(scores[k] - top)
    mass = np.float32(0.0)
    for k in range(scores.size):
        mass += scores[k]
    root = np.float32(math.sqrt(positives))
    factor = root / mass
    target = root / np.float32(positives)
    for k in range(scores.size):
        scores[k] = (target if k < positives else np.float32(0.0)) - scores[k] * factor
    return root * (top + math.log(mass) - picked / np.float32(positives))


@serial
def ask(table, dim, places):
    """Prefetch table rows."""
    for k in range(places.size):
        p = places[k] * dim
        for j in range(0, dim, 16):
            prefetch(table, p + j)


@serial_vector
def pass_over(features, labels, feature_sums, label_sums, dim, key, seed, hashed, indptr, indices, values, label_ptr, label_ids, shortlist,
              order, lr, last_lr, near, far):
    """One pass of one repetition over the rows `order`; returns the sum of the losses. Shapes: flat tables, sums of squares per table row."""
    most, longest = 0, 0
    for i in range(indptr.size - 1):
        most, longest = max(most, label_ptr[i + 1] - label_ptr[i]), max(longest, indptr[i + 1] - indptr[i])
    places = np.empty((2, longest), np.int64)  # of the step's features; one line is filled while the other one is in use
    picked = np.empty((2, most + near + far), np.int64)
    counts = np.zeros(2, np.int64)
    slopes, steps = np.empty(max(longest, picked.shape[1]), np.float32), np.empty(max(longest, picked.shape[1]), np.float32)
    hidden, gradient = np.empty(dim, np.float32), np.empty(dim, np.float32)
    loss = 0.0
    for t in range(-1, order.size):
        if t + 1 < order.size:
            i = order[t + 1]
            line = (t + 1) % 2
            counts[line] = 0
            size = indptr[i + 1] - indptr[i]
            if size and label_ptr[i + 1] > label_ptr[i]:
                locate(indices, indptr[i], indptr[i + 1], seed, feature_sums.size, hashed, places[line])
                counts[line] = draw(mix64(key ^ np.uint64(t + 1)), label_ids, label_ptr[i], label_ptr[i + 1], shortlist[i], near, far,
                                    label_sums.size, picked[line])
                ask(features, dim, places[line, :size])
                ask(labels, dim, picked[line, :counts[line]])
        line = t % 2
        if t < 0 or counts[line] == 0:
            continue
        i = order[t]
        rate = np.float32(lr + (last_lr - lr) * t / order.size)
        at, on = places[line, :indptr[i + 1] - indptr[i]], picked[line, :counts[line]]
        combine(features, dim, at, values, indptr[i], feature_sums, False, hidden)
        for k in range(on.size):
            slopes[k] = product(labels, on[k] * dim, hidden, dim)
        loss += softmax_slopes(slopes[:on.size], label_ptr[i + 1] - label_ptr[i])
        kept = 0
        for k in range(on.size):
            e = slopes[k]
            if abs(e) >= np.float32(1e-3):
                label_sums[on[k]] += e * e
                on[kept] = on[k]
                slopes[kept] = e
                steps[kept] = rate * e / math.sqrt(label_sums[on[k]])
                kept += 1
        exchange(labels, dim, on[:kept], slopes, steps, hidden, gradient)
        size = np.float32(4.0) / np.float32(dim) * product(gradient, 0, gradient, dim)
        for k in range(at.size):
            x = values[indptr[i] + k]
            feature_sums[at[k]] += x * x * size
            steps[k] = rate * x / math.sqrt(feature_sums[at[k]])
        push(features, dim, at, steps, gradient)
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
            at = places[:indptr[i + 1] - indptr[i]]
            for j in range(out.shape[1]):
                out[i, j] = np.float32(0.0) if shortlist[i, j] >= 0 else np.float32(-np.inf)
            for r in range(reps):
                locate(indices, indptr[i], indptr[i + 1], seeds[r], width, hashed, at)
                combine(features[r].reshape(-1), dim, at, values, indptr[i], feature_scales[r], scaled, hidden[r])
                flat = labels[r].reshape(-1)
                for j in range(out.shape[1]):
                    label = np.int64(shortlist[i, j])
                    if label >= 0:
                        score = product(flat, label * dim, hidden[r], dim)
                        out[i, j] += score * label_scales[r, label] if scaled else score
            for j in range(out.shape[1]):
                out[i, j] /= np.float32(reps)


@loop_vector
def pack(rows, packed, scales):
    """Rows of a table rounded to 127 steps of their largest magnitude; one thread owns a row."""
    for i in prange(rows.shape[0]):
        top = np.float32(0.0)
        for j in range(rows.shape[1]):
            top = abs(rows[i, j]) if abs(rows[i, j]) > top else top
        scales[i] = top / np.float32(127.0)
        factor = np.float32(127.0) / top if top > np.float32(0.0) else np.float32(0.0)
        for j in range(rows.shape[1]):
            packed[i, j] = np.int8(round(rows[i, j] * factor))
