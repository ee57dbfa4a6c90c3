"""Mini-batch training of linear MACH and its bucket scores.

The repetitions stand side by side: a column is one bucket of one repetition, and a feature's weights for all columns are one run of
memory. A task is a slice of the columns. It walks through all batches alone, so tasks share nothing, and because the slices are fixed by
the shape of the model, the bits do not depend on the number of threads.
"""
import math

import numpy as np
from numba import prange

from .._jit import loop_vector, serial, serial_fast, serial_vector
from .._scalar.loss import exp32
from .._scalar.optim import SGD
from .lookup import bucket_of
from .optim import descend, descend_weights
from .vector import aligned, fill, fma, load, store


@serial_vector
def project(weights, stride, low, indices, values, start, stop, out):
    """out[j] += sum over k of values[k] * weights[indices[k] * stride + low + j], in the order of k.

    Tiles of 128 and of 32 columns keep their sums in registers while the row's entries go by.
    """
    j = 0
    while j + 128 <= out.size:
        a0, a1, a2, a3 = load(out, j), load(out, j + 16), load(out, j + 32), load(out, j + 48)
        a4, a5, a6, a7 = load(out, j + 64), load(out, j + 80), load(out, j + 96), load(out, j + 112)
        for k in range(start, stop):
            p = indices[k] * stride + low + j
            x = fill(values[k])
            a0, a1, a2 = fma(x, load(weights, p), a0), fma(x, load(weights, p + 16), a1), fma(x, load(weights, p + 32), a2)
            a3, a4, a5 = fma(x, load(weights, p + 48), a3), fma(x, load(weights, p + 64), a4), fma(x, load(weights, p + 80), a5)
            a6, a7 = fma(x, load(weights, p + 96), a6), fma(x, load(weights, p + 112), a7)
        store(out, j, a0)
        store(out, j + 16, a1)
        store(out, j + 32, a2)
        store(out, j + 48, a3)
        store(out, j + 64, a4)
        store(out, j + 80, a5)
        store(out, j + 96, a6)
        store(out, j + 112, a7)
        j += 128
    while j + 32 <= out.size:
        a0, a1 = load(out, j), load(out, j + 16)
        for k in range(start, stop):
            p = indices[k] * stride + low + j
            x = fill(values[k])
            a0, a1 = fma(x, load(weights, p), a0), fma(x, load(weights, p + 16), a1)
        store(out, j, a0)
        store(out, j + 16, a1)
        j += 32
    if j + 16 <= out.size:
        a0 = load(out, j)
        for k in range(start, stop):
            a0 = fma(fill(values[k]), load(weights, indices[k] * stride + low + j), a0)
        store(out, j, a0)
        j += 16
    for k in range(start, stop):
        for i in range(j, out.size):
            out[i] += values[k] * weights[indices[k] * stride + low + i]


@serial_vector
def descend_along(weights, place, step, slopes, members, values, start, stop, width):
    """weights[place + j] += step * sum over k of values[k] * slopes[members[k] * width + j]: gradient and step of plain descent in one."""
    zero = fill(np.float32(0.0))
    pace = fill(step)
    j = 0
    while j + 128 <= width:
        a0, a1, a2, a3, a4, a5, a6, a7 = zero, zero, zero, zero, zero, zero, zero, zero
        for k in range(start, stop):
            p = members[k] * width + j
            x = fill(values[k])
            a0, a1, a2 = fma(x, load(slopes, p), a0), fma(x, load(slopes, p + 16), a1), fma(x, load(slopes, p + 32), a2)
            a3, a4, a5 = fma(x, load(slopes, p + 48), a3), fma(x, load(slopes, p + 64), a4), fma(x, load(slopes, p + 80), a5)
            a6, a7 = fma(x, load(slopes, p + 96), a6), fma(x, load(slopes, p + 112), a7)
        p = place + j
        store(weights, p, fma(pace, a0, load(weights, p)))
        store(weights, p + 16, fma(pace, a1, load(weights, p + 16)))
        store(weights, p + 32, fma(pace, a2, load(weights, p + 32)))
        store(weights, p + 48, fma(pace, a3, load(weights, p + 48)))
        store(weights, p + 64, fma(pace, a4, load(weights, p + 64)))
        store(weights, p + 80, fma(pace, a5, load(weights, p + 80)))
        store(weights, p + 96, fma(pace, a6, load(weights, p + 96)))
        store(weights, p + 112, fma(pace, a7, load(weights, p + 112)))
        j += 128
    while j + 16 <= width:
        a0 = zero
        for k in range(start, stop):
            a0 = fma(fill(values[k]), load(slopes, members[k] * width + j), a0)
        store(weights, place + j, fma(pace, a0, load(weights, place + j)))
        j += 16
    for i in range(j, width):
        gradient = np.float32(0.0)
        for k in range(start, stop):
            gradient += values[k] * slopes[members[k] * width + i]
        weights[place + i] += step * gradient


@serial_vector
def combine(slopes, members, values, start, stop, out):
    """out = sum over k of values[k] * slopes[members[k]]: the gradient of one table row."""
    x0 = values[start]
    s0 = slopes[members[start]]
    for j in range(out.size):
        out[j] = x0 * s0[j]
    for k in range(start + 1, stop):
        s0 = slopes[members[k]]
        x0 = values[k]
        for j in range(out.size):
            out[j] += x0 * s0[j]


@serial_vector
def column_sums(rows, n, out):
    """out = sum of the first n rows."""
    out[:] = np.float32(0.0)
    for i in range(n):
        row = rows[i]
        for j in range(out.size):
            out[j] += row[j]


@serial
def collect_targets(scores, labels_ptr, labels, first, n, low, seeds, table, buckets, even, seen, targets, bounds):
    """Positions in the slice of each row's distinct target columns: targets[bounds[i]:bounds[i + 1]]; labels that meet are OR-ed.

    Returns the sum of the scores at the targets; with `even`, of their mean in each repetition. `seen` is all False before and after.
    """
    count = 0
    total = 0.0
    probes = table.shape[0] // seeds.size
    for i in range(n):
        bounds[i] = count
        for r in range(low // buckets, (low + seen.size - 1) // buckets + 1):
            begin = count
            picked = 0.0
            for k in range(labels_ptr[first + i], labels_ptr[first + i + 1]):
                for q in range(r * probes, (r + 1) * probes):
                    j = r * buckets + bucket_of(labels[k], q, seeds, table, buckets) - low
                    if 0 <= j < seen.size and not seen[j]:
                        seen[j] = True
                        targets[count] = j
                        picked += scores[i, j]
                        count += 1
            for k in range(begin, count):
                seen[targets[k]] = False
            if even and count > begin:
                picked /= count - begin
            total += picked
    bounds[n] = count
    return total


@serial
def subtract_targets(slopes, n, share, even, buckets, targets, bounds):
    """Subtract the target, `share` at each column or with `even` split among a row's columns in a repetition, from the slopes."""
    for i in range(n):
        begin = bounds[i]
        while begin < bounds[i + 1]:
            end = begin + 1
            while end < bounds[i + 1] and (not even or targets[end] // buckets == targets[begin] // buckets):
                end += 1
            part = share / np.float32(end - begin) if even else share
            for k in range(begin, end):
                slopes[i, targets[k]] -= part
            begin = end


@serial_vector
def logistic_slopes(scores, n, scale, product, excess):
    """Turn scores into scale * sigmoid(scores), row by row, and return the loss they have against all-zero targets.

    sum log(1 + exp(-|z|)) is the log of a product: 64 factors of at most 2 stay finite, so one logarithm serves 64 rows.
    """
    zero, one = np.float32(0.0), np.float32(1.0)
    total = 0.0
    for first in range(0, n, 64):
        product[:] = one
        excess[:] = zero
        for i in range(first, min(n, first + 64)):
            row = scores[i]
            for j in range(product.size):
                z = row[j]
                u = exp32(-abs(z))
                product[j] *= one + u
                excess[j] += z if z > zero else zero
                s = scale / (one + u)
                row[j] = s if z >= zero else u * s
        for j in range(product.size):
            total += math.log(product[j]) + excess[j]
    return total


@serial_fast
def softmax_slopes(scores, n, buckets, scale, bounds):
    """Turn scores into scale * softmax over each repetition's buckets, row by row, and return the sum of the log-partitions.

    A row without targets gets zeros."""
    total = 0.0
    for i in range(n):
        if bounds[i] == bounds[i + 1]:
            scores[i] = np.float32(0.0)
            continue
        for start in range(0, scores.shape[1], buckets):
            row = scores[i, start:start + buckets]
            top = row[0]
            for j in range(row.size):
                top = row[j] if row[j] > top else top
            mass = np.float32(0.0)
            for j in range(row.size):
                u = exp32(row[j] - top)
                row[j] = u
                mass += u
            factor = scale / mass
            for j in range(row.size):
                row[j] *= factor
            total += top + math.log(mass)
    return total


@loop_vector
def train(weights, biases, wm, wv, bm, bv, rule, hypers, softmax, columns, width, private, indptr, indices, values, batch, distinct,
          features, ends, members, member_values, labels_ptr, labels, most_targets, seeds, table, buckets, losses):
    """One pass over prepared batches; a thread owns `width` of the columns columns[0] to columns[1], with their moments.

    losses[task] becomes the sum of the rows' losses over the slice. Batch t holds rows t * batch and following, transposed as
    `batches.group_columns` does it. With `private` a thread works on a copy of its slice.
    """
    n = indptr.size - 1
    for task in prange(losses.size):
        low = columns[0] + task * width
        high = min(columns[1], low + width)
        flat, stride, start = weights.reshape(-1), biases.size, low
        if private:
            flat, stride, start = aligned(weights.shape[0] * (high - low)), high - low, 0
            for f in range(weights.shape[0]):
                flat[f * stride:(f + 1) * stride] = weights[f, low:high]
        slopes = aligned(batch * (high - low)).reshape(batch, high - low)  # scores first, slopes of the loss after
        gradient = np.empty(high - low, np.float32)
        excess = np.empty(high - low, np.float32)
        seen = np.zeros(high - low, np.bool_)
        targets = np.empty(most_targets * ((high - 1) // buckets - low // buckets + 1), np.int64)
        bounds = np.empty(batch + 1, np.int64)
        loss = 0.0
        for t in range(distinct.size):
            first = t * batch
            count = min(batch, n - first)
            scale = np.float32(1.0) / np.float32(count)
            hyper = hypers[t]
            plain = rule == SGD and hyper[6] == np.float32(0.0) and hyper[7] == np.float32(0.0)
            for i in range(count):
                row = slopes[i]
                row[:] = biases[low:high]
                project(flat, stride, start, indices, values, indptr[first + i], indptr[first + i + 1], row)
            loss -= collect_targets(slopes, labels_ptr, labels, first, count, low, seeds, table, buckets, softmax, seen, targets, bounds)
            if softmax:
                loss += softmax_slopes(slopes, count, buckets, scale, bounds)
            else:
                loss += logistic_slopes(slopes, count, scale, gradient, excess)
            subtract_targets(slopes, count, scale, softmax, buckets, targets, bounds)
            column_sums(slopes, count, gradient)
            descend(rule, hyper, gradient, biases[low:high], bm[low:high], bv[low:high])
            begin = indptr[first]
            for q in range(begin, begin + distinct[t]):
                f, end = features[q], ends[q]
                place = f * stride + start
                if plain:
                    descend_along(flat, place, -hyper[0], slopes.reshape(-1), members, member_values, begin, end, high - low)
                else:
                    combine(slopes, members, member_values, begin, end, gradient)
                    descend_weights(rule, hyper, gradient, flat[place:place + high - low], wm[f, low:high], wv[f, low:high])
                begin = end
        if private:
            for f in range(weights.shape[0]):
                weights[f, low:high] = flat[f * stride:(f + 1) * stride]
        losses[task] = loss


@loop_vector
def bucket_scores(weights, biases, r, buckets, indptr, indices, values, out):
    """out[q, i] = scores of row i in repetition r + q; one thread owns one row in every repetition."""
    for i in prange(out.shape[1]):
        for q in range(out.shape[0]):
            row = out[q, i]
            low = (r + q) * buckets
            row[:] = biases[low:low + buckets]
            project(weights.reshape(-1), biases.size, low, indices, values, indptr[i], indptr[i + 1], row)
