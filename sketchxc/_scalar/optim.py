"""Update rules of one coordinate, as increments: a sketch of the state can only be added to.

`hyper` is float32 (lr, 1 - b1, 1 - b2, eps, c1, c2) with the bias corrections c1 = 1 / (1 - b1**t) and c2 = 1 / (1 - b2**t).
"""
import math

import numpy as np

from .._jit import scalar

SGD, MOMENTUM, ADAGRAD, ADAM = 0, 1, 2, 3


@scalar
def delta(rule, hyper, g, m, v):
    """Increments (dw, dm, dv) of a weight and its two moments for the gradient g."""
    zero = np.float32(0.0)
    if rule == ADAGRAD:
        dv = g * g
        return -hyper[0] * g / (math.sqrt(v + dv) + hyper[3]), zero, dv
    if rule == ADAM:
        dm = hyper[1] * (g - m)
        dv = hyper[2] * (g * g - v)
        return -hyper[0] * ((m + dm) * hyper[4]) / (math.sqrt((v + dv) * hyper[5]) + hyper[3]), dm, dv
    if rule == MOMENTUM:
        dm = g - hyper[1] * m
        return -hyper[0] * (m + dm), dm, zero
    return -hyper[0] * g, zero, zero
