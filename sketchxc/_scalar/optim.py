"""Update rules of one coordinate: increments of its moments, and the move of the weight that follows from the new moments.

`hyper` is float32 (lr, 1 - b1, 1 - b2, eps, c1, c2, decay, limit): c1 and c2 are the bias corrections 1 / (1 - b1**t) and 1 / (1 - b2**t)
in the form that the rule wants (see `optim.hyper`), decay and limit the share and the amount that a weight loses in the step. Gradient,
moments and weights are numbers, or lanes of them (`_cpu.vector`).
"""
import math

import numpy as np

from .._jit import AS_PYTHON, scalar

root = np.sqrt if AS_PYTHON else math.sqrt  # of lanes, too
SGD, MOMENTUM, ADAGRAD, ADAM, NESTEROV, RMSPROP, RMSPROP_CORRECTED, ADAM_HAT = 0, 1, 2, 3, 4, 5, 6, 7


@scalar
def moments(rule, hyper, g, m, v):
    """Increments (dm, dv) of the two moments for the gradient g."""
    zero = np.float32(0.0)
    if rule == ADAGRAD:
        return zero, g * g
    if rule == ADAM or rule == ADAM_HAT:
        return hyper[1] * (g - m), hyper[2] * (g * g - v)
    if rule == MOMENTUM or rule == NESTEROV:
        return g - hyper[1] * m, zero
    if rule == RMSPROP or rule == RMSPROP_CORRECTED:
        return zero, hyper[2] * (g * g - v)
    return zero, zero


@scalar
def move(rule, hyper, g, m, v):
    """Increment of a weight for the gradient g and the moments that it has made."""
    if rule == ADAGRAD:
        return -hyper[0] * g / (root(v) + hyper[3])
    if rule == ADAM or rule == ADAM_HAT:
        return -hyper[0] * (m * hyper[4]) / (root(v * hyper[5]) + hyper[3])
    if rule == MOMENTUM:
        return -hyper[0] * m
    if rule == NESTEROV:
        return -hyper[0] * (g + (m - hyper[1] * m))
    if rule == RMSPROP or rule == RMSPROP_CORRECTED:
        return -hyper[0] * g / (root(v * hyper[5]) + hyper[3])
    return -hyper[0] * g


@scalar
def stepped(rule, hyper, g, w, m, v):
    """A weight and its two moments after one step with the gradient g.

    All sums are here, because a loop with fused multiply-add would round some of them together with a product, and others not."""
    dm, dv = moments(rule, hyper, g, m, v)
    m, v = m + dm, v + dv
    return w + move(rule, hyper, g, m, v), m, v


@scalar
def softened(w, limit):
    """Proximal step of the absolute value: w moved towards zero by `limit`, and no further; NaN stays."""
    if -limit <= w <= limit:
        return np.float32(0.0)
    return w - limit if w > limit else w + limit
