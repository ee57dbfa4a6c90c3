"""Grids of the training of linear MACH, all repetitions in one launch, and of its bucket scores.

A step is three grids: scores of the batch, slopes of the loss in their place, the step of the biases and of the touched weights. The host
only puts them on the stream and does not wait in between. Every number has one owner, so there are no float atomics, and the sums
over a batch run in its order.
"""
import numpy as np

from .._scalar import loss as _loss
from . import _target
from ._target import block_kernel, cuda, device, kernel, on_device
from .decode import SHARES, joined
from .lookup import bucket_of
from .optim import descend, descend_bias
from .sparse import weighted

_device = on_device(_loss)
exp32, log32 = _device.exp32, _device.log32
ROWS = 4096  # rows of a grid over the columns of a batch; more are strides


@device
def target(labels, begin, k, q, r, probes, seeds, table, buckets):
    """Bucket of probe q of label begin + k in repetition r, or -1 where an earlier one of the row has the same: labels that meet are
    OR-ed."""
    found = bucket_of(labels[begin + k], r * probes + q, seeds, table, buckets)
    for earlier in range(k + 1):
        for p in range(probes if earlier < k else q):
            if bucket_of(labels[begin + earlier], r * probes + p, seeds, table, buckets) == found:
                return -1
    return found


@device
def loss_of(row, softmax, scale, labels, begin, end, r, seeds, table, buckets, share):
    """Turn the scores of one row in one repetition into slopes of the loss times `scale`, by the threads of a block; returns the loss."""
    zero, one = np.float32(0.0), np.float32(1.0)
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    probes = table.shape[0] // seeds.size
    picked, count = zero, zero
    for k in range(thread, end - begin, threads):
        for q in range(probes):
            b = target(labels, begin, k, q, r, probes, seeds, table, buckets)
            if b >= 0:
                picked += row[b]
                count += one
    count = joined(share, count, False)
    loss = joined(share, picked, False)
    part = scale
    if softmax and count == zero:
        for j in range(thread, buckets, threads):
            row[j] = zero
        return zero
    if softmax:
        loss = -loss / count
        part = scale / count
        top = row[0]
        for j in range(thread, buckets, threads):
            top = row[j] if row[j] > top else top
        top = joined(share, top, True)
        mass = zero
        for j in range(thread, buckets, threads):
            u = exp32(row[j] - top)
            row[j] = u
            mass += u
        mass = joined(share, mass, False)
        factor = scale / mass
        for j in range(thread, buckets, threads):
            row[j] *= factor
        loss += top + log32(mass)
    else:
        total = zero
        for j in range(thread, buckets, threads):
            z = row[j]
            u = exp32(-abs(z))
            total += log32(one + u) + (z if z > zero else zero)
            s = scale / (one + u)
            row[j] = s if z >= zero else u * s
        loss = joined(share, total, False) - loss
    cuda.syncthreads()
    for k in range(thread, end - begin, threads):
        for q in range(probes):
            b = target(labels, begin, k, q, r, probes, seeds, table, buckets)
            if b >= 0:
                row[b] -= part
    return loss


def train(weights, biases, wm, wv, bm, bv, rule, hypers, softmax, columns, width, private, indptr, indices, values, batch, distinct,
          features, ends, members, member_values, labels_ptr, labels, most_targets, seeds, table, buckets, losses):
    """One pass over prepared batches, on the columns columns[0] to columns[1], which are whole repetitions.

    losses[0] becomes the sum of the rows' losses, the others 0. `width`, `private` and `most_targets` are of no use here."""
    n, low = indptr.size - 1, columns[0]
    reps, first_rep = (columns[1] - low) // buckets, low // buckets
    slopes = _target.empty((min(batch, n), columns[1] - low), np.float32)  # scores first, slopes of the loss after
    row_losses = _target.empty((n, reps), np.float32)
    for t in range(distinct.size):
        first = t * batch
        own = slopes[:min(batch, n - first)]
        _score(weights, biases, low, indptr, indices, values, first, own)
        _slope(own.reshape(own.shape[0], reps, buckets), softmax, np.float32(1.0) / np.float32(own.shape[0]), labels_ptr, labels, first,
               first_rep, seeds, table, buckets, row_losses)
        _descend(rule, hypers, t, own, low, distinct, features, ends, members, member_values, indptr, first, weights, wm, wv, biases, bm,
                 bv)
    add_up(row_losses.reshape(row_losses.size), losses)


@kernel(lambda weights, biases, low, indptr, indices, values, first, out: (out.shape[1], out.shape[0]))
def _score(weights, biases, low, indptr, indices, values, first, out):
    """Scores of rows first, first + 1, ... in the columns from `low`; one thread owns one."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, out.shape[0], rows):
        begin, end = indptr[first + i], indptr[first + i + 1]
        for j in range(column, out.shape[1], columns):
            out[i, j] = weighted(weights, low + j, indices, values, begin, end, biases[low + j])


@block_kernel(lambda slopes, softmax, scale, labels_ptr, labels, first, first_rep, seeds, table, buckets, losses: slopes.shape[:2])
def _slope(slopes, softmax, scale, labels_ptr, labels, first, first_rep, seeds, table, buckets, losses):
    """Slopes of a batch's losses in place of its scores (rows, reps, buckets); one block owns a row in one repetition."""
    share = cuda.shared.array(SHARES, np.float32)
    for i in range(cuda.blockIdx.x, slopes.shape[0], cuda.gridDim.x):
        for r in range(cuda.blockIdx.y, slopes.shape[1], cuda.gridDim.y):
            loss = loss_of(slopes[i, r], softmax, scale, labels, labels_ptr[first + i], labels_ptr[first + i + 1], first_rep + r, seeds,
                           table, buckets, share)
            if cuda.threadIdx.x == 0:
                losses[first + i, r] = loss
            cuda.syncthreads()


@device
def descend_biases(rule, hyper, slopes, low, biases, m, v, first, step):
    """Step of the biases low + first, low + first + step, ... with the sums of the slopes (rows, columns)."""
    for j in range(first, slopes.shape[1], step):
        total = np.float32(0.0)
        for i in range(slopes.shape[0]):
            total += slopes[i, j]
        descend_bias(rule, hyper, total, biases, m, v, low + j)


@kernel(lambda rule, hypers, t, slopes, low, distinct, features, ends, members, values, indptr, first, weights, m, v, biases, bm, bv:
        (slopes.shape[1], max(1, min(features.size, ROWS))))
def _descend(rule, hypers, t, slopes, low, distinct, features, ends, members, values, indptr, first, weights, m, v, biases, bm, bv):
    """Step of the weights of a batch's features, each with the sum of its gradients, and of the biases; one thread owns one weight."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    base = indptr[first]
    if row == 0:
        descend_biases(rule, hypers[t], slopes, low, biases, bm, bv, column, columns)
    for q in range(base + row, base + distinct[t], rows):
        begin = ends[q - 1] if q > base else base
        for j in range(column, slopes.shape[1], columns):
            gradient = weighted(slopes, j, members, values, begin, ends[q], np.float32(0.0))
            descend(rule, hypers[t], gradient, weights, m, v, features[q], low + j)


@block_kernel(lambda values, out: 1)
def add_up(values, out):
    """out[0] = sum of float32 values, in float64; the others become 0. One block does it all, in an order that its size fixes."""
    share = cuda.shared.array(SHARES, np.float64)
    total = np.float64(0.0)
    for k in range(cuda.threadIdx.x, values.size, cuda.blockDim.x):
        total += values[k]
    total = joined(share, total, False)
    for k in range(cuda.threadIdx.x, out.size, cuda.blockDim.x):
        out[k] = total if k == 0 else np.float64(0.0)


@kernel(lambda weights, biases, r, buckets, indptr, indices, values, out: (buckets, out.shape[1], out.shape[0]))
def bucket_scores(weights, biases, r, buckets, indptr, indices, values, out):
    """out[q, i] = scores of row i in repetition r + q; one thread owns one score."""
    column, row, rep = cuda.grid(3)
    columns, rows, reps = cuda.gridsize(3)
    for q in range(rep, out.shape[0], reps):
        for i in range(row, out.shape[1], rows):
            for b in range(column, buckets, columns):
                j = (r + q) * buckets + b
                out[q, i, b] = weighted(weights, j, indices, values, indptr[i], indptr[i + 1], biases[j])
