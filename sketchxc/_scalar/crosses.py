"""Cell of a pair of columns."""
import numpy as np

from .._jit import scalar
from .hashing import mix64


@scalar
def pair_cell(low, high, seed, bits):
    """Cell below 2**bits of the pair of columns low < high: the highest bits of a hash that mixes both."""
    mixed = mix64(mix64(np.uint64(low) ^ seed) ^ np.uint64(high))
    return np.int64(mixed >> np.uint64(64 - bits))
