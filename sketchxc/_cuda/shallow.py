"""Grids of the nets with hidden layers, what stands between the dense products: all repetitions in one launch, a number to a thread.

Arrays have the repetition in front. Unlike on the CPU, where a Python thread trains one net at a time, there is no grid for one net alone.
"""
import numpy as np

from .._scalar import dense as _scalar
from ._target import block_kernel, cuda, device, kernel, on_device
from .decode import SHARES
from .mach import ROWS, descend_biases, loss_of
from .optim import descend
from .sparse import weighted

_device = on_device(_scalar)
MISH, TANH = _scalar.MISH, _scalar.TANH
kept, mish, relu, tanh = _device.kept, _device.mish, _device.relu, _device.tanh


@device
def activate(kind, z, slopes, r, i, j):
    """Activation of z; its derivative goes to slopes[r, i, j], but nowhere if `slopes` is empty."""
    if kind == TANH:
        value, slope = tanh(z)
        if slopes.shape[2] > 0:
            slopes[r, i, j] = slope
        return value
    if kind == MISH:
        value, slope = mish(z)
        if slopes.shape[2] > 0:
            slopes[r, i, j] = slope
        return value
    return relu(z)


@kernel(lambda kind, embed, bias, indptr, indices, values, first, out, slopes: (out.shape[2], out.shape[1], out.shape[0]))
def embed_rows(kind, embed, bias, indptr, indices, values, first, out, slopes):
    """out[r, i] = activation of the bias plus the sum of the table rows of sparse row first + i times their values."""
    column, row, rep = cuda.grid(3)
    columns, rows, reps = cuda.gridsize(3)
    for r in range(rep, out.shape[0], reps):
        for i in range(row, out.shape[1], rows):
            begin, end = indptr[first + i], indptr[first + i + 1]
            for j in range(column, out.shape[2], columns):
                out[r, i, j] = activate(kind, weighted(embed[r], j, indices, values, begin, end, bias[r, j]), slopes, r, i, j)


@kernel(lambda bias, rows: (rows.shape[2], rows.shape[1], rows.shape[0]))
def add_bias(bias, rows):
    """rows[r, i] += bias[r]."""
    column, row, rep = cuda.grid(3)
    columns, lines, reps = cuda.gridsize(3)
    for r in range(rep, rows.shape[0], reps):
        for i in range(row, rows.shape[1], lines):
            for j in range(column, rows.shape[2], columns):
                rows[r, i, j] += bias[r, j]


@kernel(lambda kind, bias, rows, slopes: (rows.shape[2], rows.shape[1], rows.shape[0]))
def add_bias_activate(kind, bias, rows, slopes):
    """rows[r, i] = activation of rows[r, i] + bias[r]."""
    column, row, rep = cuda.grid(3)
    columns, lines, reps = cuda.gridsize(3)
    for r in range(rep, rows.shape[0], reps):
        for i in range(row, rows.shape[1], lines):
            for j in range(column, rows.shape[2], columns):
                rows[r, i, j] = activate(kind, rows[r, i, j] + bias[r, j], slopes, r, i, j)


@kernel(lambda hidden, slopes, back: (back.shape[2], back.shape[1], back.shape[0]))
def block(hidden, slopes, back):
    """Multiply by the slope of the activation: that of `activate`, or where `slopes` is empty that of a ReLU, zero where its value is."""
    column, row, rep = cuda.grid(3)
    columns, lines, reps = cuda.gridsize(3)
    for r in range(rep, back.shape[0], reps):
        for i in range(row, back.shape[1], lines):
            for j in range(column, back.shape[2], columns):
                if slopes.shape[2] > 0:
                    back[r, i, j] *= slopes[r, i, j]
                elif hidden[r, i, j] == np.float32(0.0):
                    back[r, i, j] = np.float32(0.0)


@kernel(lambda keys, t, layer, limit, scale, rows: (rows.shape[2], rows.shape[1], rows.shape[0]))
def drop(keys, t, layer, limit, scale, rows):
    """Dropout in place: number j of row i of net r is kept by the coin of keys[r, t, layer], and then multiplied by `scale`."""
    column, row, rep = cuda.grid(3)
    columns, lines, reps = cuda.gridsize(3)
    for r in range(rep, rows.shape[0], reps):
        for i in range(row, rows.shape[1], lines):
            for j in range(column, rows.shape[2], columns):
                stays = kept(keys[r, t, layer], np.uint64(i * rows.shape[2] + j), limit)
                rows[r, i, j] = rows[r, i, j] * scale if stays else np.float32(0.0)


@block_kernel(lambda scores, scale, softmax, labels_ptr, labels, first, low, seeds, table, buckets, losses:
              (scores.shape[1], scores.shape[0]))
def loss_slopes(scores, scale, softmax, labels_ptr, labels, first, low, seeds, table, buckets, losses):
    """Turn the scores of rows first, first + 1, ... in repetitions low, low + 1, ... into slopes of the loss times `scale`;
    losses[first + i, r] becomes the loss. One block owns a row in one repetition."""
    share = cuda.shared.array(SHARES, np.float32)
    for i in range(cuda.blockIdx.x, scores.shape[1], cuda.gridDim.x):
        for r in range(cuda.blockIdx.y, scores.shape[0], cuda.gridDim.y):
            loss = loss_of(scores[r, i], softmax, scale, labels, labels_ptr[first + i], labels_ptr[first + i + 1], low + r, seeds, table,
                           buckets, share)
            if cuda.threadIdx.x == 0:
                losses[first + i, r] = loss
            cuda.syncthreads()


@kernel(lambda rule, hypers, t, gradient, weights, m, v, slopes, bias, bm, bv: (weights.shape[2], weights.shape[1], weights.shape[0]))
def descend_layer(rule, hypers, t, gradient, weights, m, v, slopes, bias, bm, bv):
    """One step of the rule on the weights of a dense layer, and on its biases with the sums of the slopes (reps, rows, units); one launch,
    because small batches wait for launches."""
    column, row, rep = cuda.grid(3)
    columns, rows, reps = cuda.gridsize(3)
    for r in range(rep, weights.shape[0], reps):
        if row == 0:
            descend_biases(rule, hypers[t], slopes[r], 0, bias[r], bm[r], bv[r], column, columns)
        for i in range(row, weights.shape[1], rows):
            for j in range(column, weights.shape[2], columns):
                descend(rule, hypers[t], gradient[r, i, j], weights[r], m[r], v[r], i, j)


@kernel(lambda rule, hypers, t, slopes, distinct, features, ends, members, values, indptr, first, embed, m, v, bias, bm, bv:
        (slopes.shape[2], max(1, min(features.size, ROWS)), slopes.shape[0]))
def descend_rows(rule, hypers, t, slopes, distinct, features, ends, members, values, indptr, first, embed, m, v, bias, bm, bv):
    """One step of the rule on the table rows of batch t, each with the sum of its gradients, and on the biases behind the table."""
    column, row, rep = cuda.grid(3)
    columns, rows, reps = cuda.gridsize(3)
    base = indptr[first]
    for r in range(rep, slopes.shape[0], reps):
        if row == 0:
            descend_biases(rule, hypers[t], slopes[r], 0, bias[r], bm[r], bv[r], column, columns)
        for q in range(base + row, base + distinct[t], rows):
            begin = ends[q - 1] if q > base else base
            for j in range(column, slopes.shape[2], columns):
                gradient = weighted(slopes[r], j, members, values, begin, ends[q], np.float32(0.0))
                descend(rule, hypers[t], gradient, embed[r], m[r], v[r], features[q], j)
