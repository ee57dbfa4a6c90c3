"""Activations of one hidden unit in float32, each with its slope, what norms share, and the coin of dropout, that every target computes
alike."""
import math

import numpy as np

from .._jit import scalar
from .hashing import mix64
from .loss import exp32

RELU, TANH, MISH, LINEAR = 0, 1, 2, 3
NONE, LAYER, BATCH = 0, 1, 2  # norms
EPS = 1e-5  # added to variances


@scalar
def relu(z):
    """max(z, 0); NaN stays, so that the loss shows it."""
    return np.float32(0.0) if z < np.float32(0.0) else z


@scalar
def tanh(z):
    """(value, slope) of the hyperbolic tangent (near zero a polynomial after Cephes, because 1 - u would lose digits there)."""
    one, two = np.float32(1.0), np.float32(2.0)
    u = exp32(-two * abs(z))
    far = (one - u) / (one + u)
    q = z * z
    p = np.float32(-5.70498872745e-3) * q + np.float32(2.06390887954e-2)
    p = p * q + np.float32(-5.37397155531e-2)
    p = p * q + np.float32(1.33314422036e-1)
    p = p * q + np.float32(-3.33332819422e-1)
    near = p * q * z + z
    value = near if abs(z) < np.float32(0.625) else (far if z > np.float32(0.0) else -far)
    return value, two * two * u / ((one + u) * (one + u))


@scalar
def mish(z):
    """(value, slope) of z tanh(log(1 + exp(z))), the tangent as a quotient of polynomials in u = exp(-|z|)."""
    one, two = np.float32(1.0), np.float32(2.0)
    u = exp32(-abs(z))
    right = z >= np.float32(0.0)
    over = one + two * u if right else u * (u + two)
    rest = two * u * u if right else two
    t = over / (over + rest)
    sigma = one / (one + u) if right else u / (one + u)
    return z * t, t + z * (one + t) * (rest / (over + rest)) * sigma


@scalar
def inverse_deviation(variance):
    """One over the standard deviation, by which layer and batch norm multiply."""
    return np.float32(1.0) / math.sqrt(variance + np.float32(EPS))


@scalar
def norm_slope(scale, slope, mean, normed, product):
    """Slope of a number before the norm from that of the normed number, of all of which `mean` is the mean, and `product` the mean of the
    products of slopes and normed numbers; `scale` is one over the deviation."""
    return scale * (slope - mean - normed * product)


@scalar
def kept(key, index, limit):
    """Whether number `index` stays in the dropout of `key`: in limit of 2**32 cases."""
    return (mix64(key ^ index) >> np.uint64(32)) < limit
