"""Serial loops of the nets with hidden layers: what stands between the dense products. A Python thread owns one repetition and calls them.

None of them is a parallel region, because several Python threads run them at the same time.
"""
import numpy as np

from .._jit import serial, serial_fast, serial_vector
from .._scalar.dense import MISH, TANH, kept, mish, relu, tanh
from .._scalar.loss import sigmoid
from .mach import collect_targets, column_sums, combine, logistic_slopes, project, softmax_slopes, subtract_targets
from .optim import descend, descend_weights


@serial_vector
def activate(kind, row, slope):
    """row[j] becomes its activation, and slope[j] the derivative; `slope` is empty for ReLU and where nobody asks for it."""
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
    else:
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
def descend_bias(rule, hyper, slopes, gradient, bias, m, v):
    """One step of the rule on a layer's biases; `gradient` is work space."""
    column_sums(slopes, slopes.shape[0], gradient)
    descend(rule, hyper, gradient, bias, m, v)


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
