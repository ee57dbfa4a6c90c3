"""Locality-sensitive hashes of one point from its products with random vectors: steps along a line, and sides of a plane."""
import numpy as np

from .._jit import scalar
from .minhash import fold


@scalar
def step(product, offset):
    """Number of the step of length 1 in which product + offset lies, cut off at 2**30 on either side (float32); NaN is the low end."""
    low, high = np.float32(-1073741824.0), np.float32(1073741824.0)
    value = np.floor(product + offset)
    value = value if value > low else low
    value = value if value < high else high
    return np.int64(np.int32(value))


@scalar
def take_step(code, number):
    """State of a row's code after one more step; mixed, because the numbers of near points are near each other."""
    return fold(code, np.uint64(number))


@scalar
def take_side(code, product):
    """Code with one more low bit, set where the product is not negative."""
    return (code << np.uint64(1)) | (np.uint64(1) if product >= np.float32(0) else np.uint64(0))
