"""Serial loops of the nets with hidden layers: what stands between the dense products. A Python thread owns one repetition and calls them.

None of them is a parallel region, because several Python threads run them at the same time.
"""
import numpy as np

from .._jit import serial, serial_fast, serial_vector
from .._scalar.dense import MISH, RELU, TANH, inverse_deviation, kept, mish, norm_slope, relu, tanh
from .._scalar.loss import sigmoid
from .mach import collect_targets, combine, logistic_slopes, project, softmax_slopes, subtract_targets
from .optim import descend_weights


@serial_vector
def activate(kind, row, slope):
    """row[j] becomes its activation, and slope[j] the derivative; `slope` is empty for ReLU and LINEAR, and where nobody asks for it."""
    if kind == TANH:
        for j in range(slope.size):
            slope[j] = tanh(row[j])[1]
        for j in range(row.size):
            row[j] = tanh(row[j])[0]
    elif kind == MISH:
        for j in range(slope.size):
            slope[j] = mish(row[j])[1]
        for j in range(row.size):
            row[j] = mish(row[j])[0]
    elif kind == RELU:
        for j in range(row.size):
            row[j] = relu(row[j])


@serial_vector
def embed_rows(kind, embed, bias, indptr, indices, values, first, out, slopes):
    """out[i] = activation of bias + sum of the table rows of sparse row first + i times their values; slopes as in `activate`."""
    table = embed.reshape(-1)
    for i in range(out.shape[0]):
        row = out[i]
        for j in range(row.size):
            row[j] = bias[j]
        project(table, row.size, 0, indices, values, indptr[first + i], indptr[first + i + 1], row)
        activate(kind, row, slopes[i])


@serial_vector
def add_bias(bias, rows):
    """rows[i] += bias."""
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(row.size):
            row[j] += bias[j]


@serial_vector
def add_bias_activate(kind, bias, rows, slopes):
    """rows[i] = activation of rows[i] + bias; slopes as in `activate`."""
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(row.size):
            row[j] += bias[j]
        activate(kind, row, slopes[i])


@serial_fast
def norm_rows(rows, scales):
    """Layer norm in place: rows less their mean, over their standard deviation; scales[i] becomes one over that of row i."""
    for i in range(rows.shape[0]):
        row = rows[i]
        share = np.float32(1.0) / np.float32(row.size)
        total = np.float32(0.0)
        for j in range(row.size):
            total += row[j]
        mean = total * share
        total = np.float32(0.0)
        for j in range(row.size):
            row[j] -= mean
            total += row[j] * row[j]
        scale = inverse_deviation(total * share)
        for j in range(row.size):
            row[j] *= scale
        scales[i] = scale


@serial_vector
def norm_columns(rows, share, stats, scales):
    """Batch norm in training, in place: columns less their mean, over their standard deviation; scales[j] becomes one over that of
    column j.

    stats : moving means and variances (2, units), which move by `share` towards those of the batch."""
    one, mean = np.float32(1.0), np.zeros(scales.size, np.float32)
    part = one / np.float32(rows.shape[0])
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(mean.size):
            mean[j] += row[j]
    for j in range(mean.size):
        mean[j] *= part
    scales[:] = np.float32(0.0)
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(mean.size):
            row[j] -= mean[j]
            scales[j] += row[j] * row[j]
    for j in range(mean.size):
        variance = scales[j] * part
        stats[0, j] += share * (mean[j] - stats[0, j])
        stats[1, j] += share * (variance - stats[1, j])
        scales[j] = inverse_deviation(variance)
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(mean.size):
            row[j] *= scales[j]


@serial_vector
def norm_by(stats, rows):
    """Batch norm in scoring, in place, by the moving means and variances (2, units)."""
    mean, scales = stats[0], np.empty(rows.shape[1], np.float32)
    for j in range(scales.size):
        scales[j] = inverse_deviation(stats[1, j])
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(scales.size):
            row[j] = (row[j] - mean[j]) * scales[j]


@serial_vector
def scale_activate(kind, gain, bias, normed, out, slopes):
    """out[i] = activation of gain * normed[i] + bias; slopes as in `activate`."""
    for i in range(out.shape[0]):
        row, own = out[i], normed[i]
        for j in range(row.size):
            row[j] = own[j] * gain[j] + bias[j]
        activate(kind, row, slopes[i])


@serial_vector
def norm_sums(slopes, normed, by_bias, by_gain):
    """Gradients of biases and gains: sums over the batch of the slopes, and of their products with the normed sums."""
    by_bias[:] = np.float32(0.0)
    by_gain[:] = np.float32(0.0)
    for i in range(slopes.shape[0]):
        row, own = slopes[i], normed[i]
        for j in range(row.size):
            by_bias[j] += row[j]
            by_gain[j] += row[j] * own[j]


@serial_fast
def norm_rows_back(slopes, gain, scales, normed):
    """normed[i] becomes the slopes of the sums before layer norm, `slopes` being those behind the gain."""
    for i in range(slopes.shape[0]):
        row, own = slopes[i], normed[i]
        share = np.float32(1.0) / np.float32(row.size)
        mean, product = np.float32(0.0), np.float32(0.0)
        for j in range(row.size):
            mean += row[j] * gain[j]
            product += row[j] * gain[j] * own[j]
        mean *= share
        product *= share
        for j in range(row.size):
            own[j] = norm_slope(scales[i], row[j] * gain[j], mean, own[j], product)


@serial_vector
def norm_columns_back(slopes, gain, scales, by_bias, by_gain, normed):
    """normed[i] becomes the slopes of the sums before batch norm, `slopes` being those behind the gain.

    by_bias, by_gain : as `norm_sums` makes them."""
    share = np.float32(1.0) / np.float32(slopes.shape[0])
    for i in range(slopes.shape[0]):
        row, own = slopes[i], normed[i]
        for j in range(row.size):
            own[j] = norm_slope(scales[j] * gain[j], row[j], by_bias[j] * share, own[j], by_gain[j] * share)


@serial_vector
def block(hidden, slopes, back):
    """Multiply by the slope of the activation: that of `activate`, or where `slopes` is empty that of a ReLU, zero where its value is."""
    zero = np.float32(0.0)
    for i in range(back.shape[0]):
        row, value, slope = back[i], hidden[i], slopes[i]
        if slope.size:
            for j in range(row.size):
                row[j] *= slope[j]
        else:
            for j in range(row.size):
                row[j] = zero if value[j] == zero else row[j]


@serial
def drop(key, limit, scale, rows):
    """Dropout in place: number j of row i is kept by the coin of index i * width + j, and then multiplied by `scale`."""
    width = np.uint64(rows.shape[1])
    for i in range(rows.shape[0]):
        row, base = rows[i], np.uint64(i) * width
        for j in range(row.size):
            row[j] = row[j] * scale if kept(key, base + np.uint64(j), limit) else np.float32(0.0)


@serial_vector
def open_units(scores, weights, out):
    """out = weights that leave hidden units, zero for units whose gate is closed (score not above zero)."""
    zero = np.float32(0.0)
    for i in range(scores.size):
        to, row = out[i], weights[i]
        for j in range(row.size):
            to[j] = row[j] if scores[i] > zero else zero


@serial_fast
def learn_gates(scores, rate, price, weights, gradient):
    """One step of the scores of gates, and gradients of zero for closed ones.

    The slope of a gate is that of its factor, the product of the unit's weights with their gradient, plus that of
    price * sigmoid(score)."""
    zero, one = np.float32(0.0), np.float32(1.0)
    for i in range(scores.size):
        row, slopes = weights[i], gradient[i]
        total = zero
        for j in range(row.size):
            total += row[j] * slopes[j]
        if not scores[i] > zero:
            for j in range(row.size):
                slopes[j] = zero
        s = sigmoid(scores[i])
        scores[i] -= rate * (total + price * s * (one - s))


@serial
def loss_slopes(scores, scale, softmax, labels_ptr, labels, first, r, seeds, table, buckets, seen, targets, bounds, product, excess):
    """Turn the scores of rows first, first + 1, ... in repetition r into slopes of the loss times `scale`; returns the sum of the losses.

    seen, product, excess (buckets,), targets and bounds are the thread's own work space.
    """
    n, low = scores.shape[0], r * buckets
    loss = -collect_targets(scores, labels_ptr, labels, first, n, low, seeds, table, buckets, softmax, seen, targets, bounds)
    if softmax:
        loss += softmax_slopes(scores, n, buckets, scale, bounds)
    else:
        loss += logistic_slopes(scores, n, scale, product, excess)
    subtract_targets(scores, n, scale, softmax, buckets, targets, bounds)
    return loss


@serial_vector
def descend_rows(rule, hyper, slopes, features, ends, members, values, begin, distinct, gradient, embed, m, v):
    """One step of the rule on the table rows of a batch, each with the sum of its gradients; `gradient` is work space.

    The batch is transposed as `batches.group_columns` does it, its groups begin at `begin`."""
    for q in range(begin, begin + distinct):
        f, end = features[q], ends[q]
        combine(slopes, members, values, begin, end, gradient)
        descend_weights(rule, hyper, gradient, embed[f], m[f], v[f])
        begin = end


@serial_vector
def row_gradients(slopes, ends, members, values, begin, order, grads):
    """grads[i] = gradient of the table row of group order[i] of a batch, whose groups begin at `begin`, as in `descend_rows`."""
    for i in range(order.size):
        q = begin + order[i]
        combine(slopes, members, values, ends[q - 1] if order[i] else begin, ends[q], grads[i])


@serial_vector
def descend_given(rule, hyper, rows, grads, embed, m, v):
    """One step of the rule on the given table rows, with the gradients of `row_gradients`."""
    for i in range(rows.size):
        f = rows[i]
        descend_weights(rule, hyper, grads[i], embed[f], m[f], v[f])


@serial_fast
def squares(values):
    """Sum of the squares, in float64."""
    total = 0.0
    for i in range(values.size):
        total += np.float64(values[i]) * np.float64(values[i])
    return total
