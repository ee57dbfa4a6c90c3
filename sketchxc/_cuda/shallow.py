"""Grids of the nets with hidden layers, what stands between the dense products: all repetitions in one launch, a number to a thread.

Arrays have the repetition in front. Unlike on the CPU, where a Python thread trains one net at a time, there is no grid for one net alone.
"""
import numpy as np

from .._scalar import dense as _scalar
from ._target import block_kernel, cuda, device, kernel, on_device
from .decode import SHARES, joined
from .mach import ROWS, descend_biases, loss_of
from .optim import descend, descend_bias
from .sparse import weighted

_device = on_device(_scalar)
MISH, RELU, TANH = _scalar.MISH, _scalar.RELU, _scalar.TANH
kept, mish, relu, tanh = _device.kept, _device.mish, _device.relu, _device.tanh
inverse_deviation, norm_slope = _device.inverse_deviation, _device.norm_slope


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
    return relu(z) if kind == RELU else z


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


@block_kernel(lambda rows, scales: (rows.shape[1], rows.shape[0]))
def norm_rows(rows, scales):
    """Layer norm in place; scales[r, i] becomes one over the deviation of rows[r, i], which one block owns."""
    share = cuda.shared.array(SHARES, np.float32)
    for i in range(cuda.blockIdx.x, rows.shape[1], cuda.gridDim.x):
        for r in range(cuda.blockIdx.y, rows.shape[0], cuda.gridDim.y):
            row = rows[r, i]
            part = np.float32(1.0) / np.float32(row.size)
            total = np.float32(0.0)
            for j in range(cuda.threadIdx.x, row.size, cuda.blockDim.x):
                total += row[j]
            mean = joined(share, total, False) * part
            total = np.float32(0.0)
            for j in range(cuda.threadIdx.x, row.size, cuda.blockDim.x):
                row[j] -= mean
                total += row[j] * row[j]
            scale = inverse_deviation(joined(share, total, False) * part)
            for j in range(cuda.threadIdx.x, row.size, cuda.blockDim.x):
                row[j] *= scale
            if cuda.threadIdx.x == 0:
                scales[r, i] = scale


@kernel(lambda rows, share, stats, scales: (rows.shape[2], rows.shape[0]))
def norm_columns(rows, share, stats, scales):
    """Batch norm in training, in place: of rows[r, :, j], one over whose deviation is scales[r, j]; stats[r] moves by `share`."""
    column, rep = cuda.grid(2)
    columns, reps = cuda.gridsize(2)
    part = np.float32(1.0) / np.float32(rows.shape[1])
    for r in range(rep, rows.shape[0], reps):
        for j in range(column, rows.shape[2], columns):
            mean = np.float32(0.0)
            for i in range(rows.shape[1]):
                mean += rows[r, i, j]
            mean *= part
            variance = np.float32(0.0)
            for i in range(rows.shape[1]):
                rows[r, i, j] -= mean
                variance += rows[r, i, j] * rows[r, i, j]
            variance *= part
            stats[r, 0, j] += share * (mean - stats[r, 0, j])
            stats[r, 1, j] += share * (variance - stats[r, 1, j])
            scale = inverse_deviation(variance)
            scales[r, j] = scale
            for i in range(rows.shape[1]):
                rows[r, i, j] *= scale


@kernel(lambda stats, rows: (rows.shape[2], rows.shape[1], rows.shape[0]))
def norm_by(stats, rows):
    """Batch norm in scoring, in place, by the moving means and variances (reps, 2, units)."""
    column, row, rep = cuda.grid(3)
    columns, lines, reps = cuda.gridsize(3)
    for r in range(rep, rows.shape[0], reps):
        for i in range(row, rows.shape[1], lines):
            for j in range(column, rows.shape[2], columns):
                rows[r, i, j] = (rows[r, i, j] - stats[r, 0, j]) * inverse_deviation(stats[r, 1, j])


@kernel(lambda kind, gain, bias, normed, out, slopes: (out.shape[2], out.shape[1], out.shape[0]))
def scale_activate(kind, gain, bias, normed, out, slopes):
    """out[r, i] = activation of gain[r] * normed[r, i] + bias[r]."""
    column, row, rep = cuda.grid(3)
    columns, lines, reps = cuda.gridsize(3)
    for r in range(rep, out.shape[0], reps):
        for i in range(row, out.shape[1], lines):
            for j in range(column, out.shape[2], columns):
                out[r, i, j] = activate(kind, normed[r, i, j] * gain[r, j] + bias[r, j], slopes, r, i, j)


@kernel(lambda slopes, normed, by_bias, by_gain: (slopes.shape[2], slopes.shape[0]))
def norm_sums(slopes, normed, by_bias, by_gain):
    """Gradients of biases and gains (reps, units); one thread owns a unit."""
    column, rep = cuda.grid(2)
    columns, reps = cuda.gridsize(2)
    for r in range(rep, slopes.shape[0], reps):
        for j in range(column, slopes.shape[2], columns):
            total, product = np.float32(0.0), np.float32(0.0)
            for i in range(slopes.shape[1]):
                total += slopes[r, i, j]
                product += slopes[r, i, j] * normed[r, i, j]
            by_bias[r, j], by_gain[r, j] = total, product


@block_kernel(lambda slopes, gain, scales, normed: (slopes.shape[1], slopes.shape[0]))
def norm_rows_back(slopes, gain, scales, normed):
    """normed[r, i] becomes the slopes of the sums before layer norm; one block owns a row."""
    share = cuda.shared.array(SHARES, np.float32)
    for i in range(cuda.blockIdx.x, slopes.shape[1], cuda.gridDim.x):
        for r in range(cuda.blockIdx.y, slopes.shape[0], cuda.gridDim.y):
            row, own = slopes[r, i], normed[r, i]
            part = np.float32(1.0) / np.float32(row.size)
            mean, product = np.float32(0.0), np.float32(0.0)
            for j in range(cuda.threadIdx.x, row.size, cuda.blockDim.x):
                mean += row[j] * gain[r, j]
                product += row[j] * gain[r, j] * own[j]
            mean = joined(share, mean, False) * part
            product = joined(share, product, False) * part
            for j in range(cuda.threadIdx.x, row.size, cuda.blockDim.x):
                own[j] = norm_slope(scales[r, i], row[j] * gain[r, j], mean, own[j], product)


@kernel(lambda slopes, gain, scales, by_bias, by_gain, normed: (slopes.shape[2], slopes.shape[1], slopes.shape[0]))
def norm_columns_back(slopes, gain, scales, by_bias, by_gain, normed):
    """normed[r, i] becomes the slopes of the sums before batch norm."""
    column, row, rep = cuda.grid(3)
    columns, lines, reps = cuda.gridsize(3)
    part = np.float32(1.0) / np.float32(slopes.shape[1])
    for r in range(rep, slopes.shape[0], reps):
        for i in range(row, slopes.shape[1], lines):
            for j in range(column, slopes.shape[2], columns):
                normed[r, i, j] = norm_slope(scales[r, j] * gain[r, j], slopes[r, i, j], by_bias[r, j] * part, normed[r, i, j],
                                             by_gain[r, j] * part)


@kernel(lambda rule, hypers, t, gradient, gain, m, v: (gain.shape[1], gain.shape[0]))
def descend_gains(rule, hypers, t, gradient, gain, m, v):
    """One step of the rule, without decay and soft threshold, on gains (reps, units)."""
    column, rep = cuda.grid(2)
    columns, reps = cuda.gridsize(2)
    for r in range(rep, gain.shape[0], reps):
        for j in range(column, gain.shape[1], columns):
            descend_bias(rule, hypers[t], gradient[r, j], gain[r], m[r], v[r], j)


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


@kernel(lambda rule, hypers, t, slopes, distinct, features, ends, members, values, indptr, first, embed, m, v, back, bias, bm, bv:
        (slopes.shape[2], max(1, min(features.size, ROWS)), slopes.shape[0]))
def descend_rows(rule, hypers, t, slopes, distinct, features, ends, members, values, indptr, first, embed, m, v, back, bias, bm, bv):
    """One step of the rule on the table rows of batch t, each with the sum of its gradients, and on the biases behind the table.

    back : slopes of the biases, `slopes` unless a norm stands between."""
    column, row, rep = cuda.grid(3)
    columns, rows, reps = cuda.gridsize(3)
    base = indptr[first]
    for r in range(rep, slopes.shape[0], reps):
        if row == 0:
            descend_biases(rule, hypers[t], back[r], 0, bias[r], bm[r], bv[r], column, columns)
        for q in range(base + row, base + distinct[t], rows):
            begin = ends[q - 1] if q > base else base
            for j in range(column, slopes.shape[2], columns):
                gradient = weighted(slopes[r], j, members, values, begin, ends[q], np.float32(0.0))
                descend(rule, hypers[t], gradient, embed[r], m[r], v[r], features[q], j)
