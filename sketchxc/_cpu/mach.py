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
from .._scalar.optim import ADAGRAD, ADAM, MOMENTUM, delta
from .lookup import bucket_of


@serial
def group_columns(indptr, indices, values, batch, n_columns, batch_ptr, features, feature_ptr, members, member_values):
    """Transpose every batch of rows: its distinct columns in order of first appearance, each with its rows and values.

    Returns the number of (batch, column) groups; feature_ptr[group:group + 2] bounds a group in `members` (rows counted inside the batch).
    """
    slot = np.zeros(n_columns, np.int64)  # 1 + group in the running batch; a number at or below `base` is of an earlier batch
    n = indptr.size - 1
    groups = 0
    feature_ptr[0] = 0
    for t in range(batch_ptr.size - 1):
        base = groups
        batch_ptr[t] = base
        begin, end = indptr[t * batch], indptr[min(n, t * batch + batch)]
        for k in range(begin, end):
            column = indices[k]
            if slot[column] <= base:
                features[groups] = column
                feature_ptr[groups + 1] = 0
                groups += 1
                slot[column] = groups
            feature_ptr[slot[column]] += 1
        place = begin
        for group in range(base, groups):  # counts become starts, one place ahead of their final position
            size = feature_ptr[group + 1]
            feature_ptr[group + 1] = place
            place += size
        for i in range(t * batch, min(n, t * batch + batch)):
            for k in range(indptr[i], indptr[i + 1]):
                group = slot[indices[k]]
                members[feature_ptr[group]] = i - t * batch
                member_values[feature_ptr[group]] = values[k]
                feature_ptr[group] += 1
    batch_ptr[batch_ptr.size - 1] = groups
    return groups


@serial_vector
def project(weights, low, indices, values, start, stop, out):
    """out[j] += sum over k of values[k] * weights[indices[k], low + j]: four table rows per pass over `out`."""
    high = low + out.size
    k = start
    while k + 4 <= stop:
        w0, w1 = weights[indices[k], low:high], weights[indices[k + 1], low:high]
        w2, w3 = weights[indices[k + 2], low:high], weights[indices[k + 3], low:high]
        x0, x1, x2, x3 = values[k], values[k + 1], values[k + 2], values[k + 3]
        for j in range(out.size):
            out[j] += x0 * w0[j] + x1 * w1[j] + x2 * w2[j] + x3 * w3[j]
        k += 4
    while k < stop:
        w0 = weights[indices[k], low:high]
        x0 = values[k]
        for j in range(out.size):
            out[j] += x0 * w0[j]
        k += 1


@serial_vector
def combine(slopes, members, values, start, stop, out):
    """out = sum over k of values[k] * slopes[members[k]]: the gradient of one table row."""
    x0 = values[start]
    s0 = slopes[members[start]]
    for j in range(out.size):
        out[j] = x0 * s0[j]
    k = start + 1
    while k + 2 <= stop:
        s0, s1 = slopes[members[k]], slopes[members[k + 1]]
        x0, x1 = values[k], values[k + 1]
        for j in range(out.size):
            out[j] += x0 * s0[j] + x1 * s1[j]
        k += 2
    if k < stop:
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


@serial_vector
def descend(rule, hyper, gradient, weights, m, v):
    """One step of the rule on a row of weights; m and v are empty where the rule has no such moment."""
    zero = np.float32(0.0)
    if rule == ADAGRAD:
        for j in range(gradient.size):
            dw, _, dv = delta(ADAGRAD, hyper, gradient[j], zero, v[j])
            weights[j] += dw
            v[j] += dv
    elif rule == ADAM:
        for j in range(gradient.size):
            dw, dm, dv = delta(ADAM, hyper, gradient[j], m[j], v[j])
            weights[j] += dw
            m[j] += dm
            v[j] += dv
    elif rule == MOMENTUM:
        for j in range(gradient.size):
            dw, dm, _ = delta(MOMENTUM, hyper, gradient[j], m[j], zero)
            weights[j] += dw
            m[j] += dm
    else:
        for j in range(gradient.size):
            weights[j] -= hyper[0] * gradient[j]


@serial
def collect_targets(scores, labels_ptr, labels, first, n, low, seeds, table, buckets, even, seen, targets, bounds):
    """Positions in the slice of each row's distinct target columns: targets[bounds[i]:bounds[i + 1]]; labels that meet are OR-ed.

    Returns the sum of the scores at the targets; with `even`, of their mean in each repetition. `seen` is all False before and after.
    """
    count = 0
    total = 0.0
    for i in range(n):
        bounds[i] = count
        for r in range(low // buckets, (low + seen.size - 1) // buckets + 1):
            begin = count
            picked = 0.0
            for k in range(labels_ptr[first + i], labels_ptr[first + i + 1]):
                j = r * buckets + bucket_of(labels[k], r, seeds, table, buckets) - low
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
def train(weights, biases, wm, wv, bm, bv, rule, hypers, softmax, columns, width, indptr, indices, values, batch, batch_ptr, features,
          feature_ptr, members, member_values, labels_ptr, labels, most_labels, seeds, table, buckets, losses):
    """One pass over prepared batches; a thread owns `width` of the columns columns[0] to columns[1], with their moments.

    losses[task] becomes the sum of the rows' losses over the slice. Batch t holds rows t * batch and following, and its distinct
    features are features[batch_ptr[t]:batch_ptr[t + 1]], each with its rows (counted inside the batch) and values.
    """
    n = indptr.size - 1
    for task in prange(losses.size):
        low = columns[0] + task * width
        high = min(columns[1], low + width)
        slopes = np.empty((batch, high - low), np.float32)  # scores first, slopes of the loss after
        gradient = np.empty(high - low, np.float32)
        excess = np.empty(high - low, np.float32)
        seen = np.zeros(high - low, np.bool_)
        targets = np.empty(most_labels * ((high - 1) // buckets - low // buckets + 1), np.int64)
        bounds = np.empty(batch + 1, np.int64)
        loss = 0.0
        for t in range(batch_ptr.size - 1):
            first = t * batch
            count = min(batch, n - first)
            scale = np.float32(1.0) / np.float32(count)
            hyper = hypers[t]
            for i in range(count):
                row = slopes[i]
                for j in range(row.size):
                    row[j] = biases[low + j]
                project(weights, low, indices, values, indptr[first + i], indptr[first + i + 1], row)
            loss -= collect_targets(slopes, labels_ptr, labels, first, count, low, seeds, table, buckets, softmax, seen, targets, bounds)
            if softmax:
                loss += softmax_slopes(slopes, count, buckets, scale, bounds)
            else:
                loss += logistic_slopes(slopes, count, scale, gradient, excess)
            subtract_targets(slopes, count, scale, softmax, buckets, targets, bounds)
            column_sums(slopes, count, gradient)
            descend(rule, hyper, gradient, biases[low:high], bm[low:high], bv[low:high])
            for q in range(batch_ptr[t], batch_ptr[t + 1]):
                f = features[q]
                combine(slopes, members, member_values, feature_ptr[q], feature_ptr[q + 1], gradient)
                descend(rule, hyper, gradient, weights[f, low:high], wm[f, low:high], wv[f, low:high])
        losses[task] = loss


@loop_vector
def bucket_scores(weights, biases, r, buckets, indptr, indices, values, out):
    """out[q, i] = scores of row i in repetition r + q; one thread owns one row in every repetition."""
    for i in prange(out.shape[1]):
        for q in range(out.shape[0]):
            row = out[q, i]
            low = (r + q) * buckets
            for j in range(row.size):
                row[j] = biases[low + j]
            project(weights, low, indices, values, indptr[i], indptr[i + 1], row)
