"""Loops of the optimizers: one step of a rule on a row of weights, and on many rows."""
import numpy as np
from numba import prange

from .._jit import loop_vector, serial_vector
from .._scalar.optim import ADAGRAD, ADAM, ADAM_HAT, MOMENTUM, NESTEROV, RMSPROP, RMSPROP_CORRECTED, softened, stepped
from .vector import prefetch, span

AHEAD = 1024  # numbers of a row between the request for a row and its step, but 2 to 8 rows: more crowd each other out of the first cache
LINE = 16  # float32 in a cache line


@serial_vector
def descend(rule, hyper, gradient, weights, m, v):
    """One step of the rule, without decay and soft threshold, on a row of weights; m and v are empty where the rule has no such moment."""
    zero = np.float32(0.0)
    own = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4], hyper[5]  # numbers: a store into an array might change those of an array
    if rule == ADAGRAD:
        for j in range(gradient.size):
            weights[j], _, v[j] = stepped(ADAGRAD, own, gradient[j], weights[j], zero, v[j])
    elif rule == ADAM or rule == ADAM_HAT:
        for j in range(gradient.size):
            weights[j], m[j], v[j] = stepped(ADAM, own, gradient[j], weights[j], m[j], v[j])
    elif rule == MOMENTUM:
        for j in range(gradient.size):
            weights[j], m[j], _ = stepped(MOMENTUM, own, gradient[j], weights[j], m[j], zero)
    elif rule == NESTEROV:
        for j in range(gradient.size):
            weights[j], m[j], _ = stepped(NESTEROV, own, gradient[j], weights[j], m[j], zero)
    elif rule == RMSPROP or rule == RMSPROP_CORRECTED:
        for j in range(gradient.size):
            weights[j], _, v[j] = stepped(RMSPROP, own, gradient[j], weights[j], zero, v[j])
    else:
        for j in range(gradient.size):
            weights[j] -= own[0] * gradient[j]


@serial_vector
def decay(hyper, weights):
    """Take the share hyper[6] from a row of weights."""
    if hyper[6] != np.float32(0.0):
        for j in range(weights.size):
            weights[j] -= hyper[6] * weights[j]


@serial_vector
def soften(hyper, weights):
    """Move a row of weights by the amount hyper[7] towards zero."""
    if hyper[7] != np.float32(0.0):
        for j in range(weights.size):
            weights[j] = softened(weights[j], hyper[7])


@serial_vector
def descend_weights(rule, hyper, gradient, weights, m, v):
    """One step of the rule on a row of weights, with `decay` before and `soften` after it."""
    decay(hyper, weights)
    descend(rule, hyper, gradient, weights, m, v)
    soften(hyper, weights)


@loop_vector
def step(rule, hyper, rows, grads, blocks, table, m, v):
    """One step of the rule on the given, distinct table rows; one thread owns a block of them."""
    slopes, weights, means, squares = grads.reshape(-1), table.reshape(-1), m.reshape(-1), v.reshape(-1)
    width, mean, square = table.shape[1], m.shape[1], v.shape[1]  # those of moments that the rule does not have are 0
    ahead = max(2, min(8, AHEAD // max(1, table.shape[1])))
    for block in prange(blocks):
        last = rows.size * (block + 1) // blocks
        for i in range(rows.size * block // blocks, last):
            if i + ahead < last:
                row = rows[i + ahead]
                for j in range(0, width, LINE):
                    prefetch(weights, row * width + j)
                for j in range(0, mean, LINE):
                    prefetch(means, row * mean + j)
                for j in range(0, square, LINE):
                    prefetch(squares, row * square + j)
            row = rows[i]
            descend_weights(rule, hyper, span(slopes, i * width, width), span(weights, row * width, width),
                            span(means, row * mean, mean), span(squares, row * square, square))


@loop_vector
def catch_up(rule, hypers, first, now, most, keep_m, keep_v, idle, rows, blocks, last, table, m, v):
    """Take the steps up to `now` that the given, distinct rows have missed, with gradients of zero; one thread owns a block of rows.

    hypers[i] belongs to step first + i, its last row to all later steps. last : number of the step that a row has taken last. After
    `most` steps of a row the rest is taken at once, without moves. idle : whether rows that never had a gradient stay as they are.
    """
    for block in prange(blocks):
        zeros = np.zeros(table.shape[1], np.float32)
        for i in range(rows.size * block // blocks, rows.size * (block + 1) // blocks):
            row = rows[i]
            if last[row] == 0 and idle:
                continue
            begin = last[row] + 1
            stop = min(now + 1, begin + most)
            for t in range(begin, stop):
                descend_weights(rule, hypers[min(t - first, hypers.shape[0] - 1)], zeros, table[row], m[row], v[row])
            rest = np.float32(now + 1 - stop)
            if rest > 0:
                hyper = hypers[hypers.shape[0] - 1]
                m[row] *= keep_m**rest
                v[row] *= keep_v**rest
                kept = (np.float32(1.0) - hyper[6])**rest
                limit = hyper[7] * ((np.float32(1.0) - kept) / hyper[6] if hyper[6] > 0 else rest)  # amounts that came early decay too
                for j in range(table.shape[1]):
                    table[row, j] = softened(kept * table[row, j], limit)
            last[row] = now
