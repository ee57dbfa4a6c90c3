"""Serial loops of the nets with hidden layers: what stands between the dense products. A Python thread owns one repetition and calls them.

None of them is a parallel region, because several Python threads run them at the same time.
"""
import numpy as np

from .._jit import serial, serial_vector
from .mach import collect_targets, column_sums, combine, logistic_slopes, project, softmax_slopes, subtract_targets
from .optim import descend, descend_weights


@serial_vector
def embed_rows(embed, bias, indptr, indices, values, first, out):
    """out[i] = relu(bias + sum of the table rows of sparse row first + i times their values)."""
    zero = np.float32(0.0)
    table = embed.reshape(-1)
    for i in range(out.shape[0]):
        row = out[i]
        for j in range(row.size):
            row[j] = bias[j]
        project(table, row.size, 0, indices, values, indptr[first + i], indptr[first + i + 1], row)
        for j in range(row.size):
            row[j] = zero if row[j] < zero else row[j]  # NaN stays, so that the loss shows it


@serial_vector
def add_bias(bias, rows):
    """rows[i] += bias."""
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(row.size):
            row[j] += bias[j]


@serial_vector
def add_bias_relu(bias, rows):
    """rows[i] = relu(rows[i] + bias)."""
    zero = np.float32(0.0)
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(row.size):
            z = row[j] + bias[j]
            row[j] = zero if z < zero else z


@serial_vector
def block(hidden, slopes):
    """The slope of a ReLU: slopes become zero where the hidden value is."""
    zero = np.float32(0.0)
    for i in range(slopes.shape[0]):
        row, value = slopes[i], hidden[i]
        for j in range(row.size):
            row[j] = zero if value[j] == zero else row[j]


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
