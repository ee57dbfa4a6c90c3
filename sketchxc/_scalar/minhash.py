"""MinHash: the 32-bit hash of one key in one permutation, and the key of a band."""
import numpy as np

from .._jit import scalar
from .hashing import mix64


@scalar
def rank(key, seed):
    """Place of a key in the permutation of `seed`, 0 to 2**32 - 1; not linear in the key, because linear hashes bias MinHash."""
    return mix64(key ^ seed) >> np.uint64(32)


@scalar
def fold(state, value):
    """State of a band's key after it took in one more value of the signature."""
    return mix64(state ^ np.uint64(value)) + np.uint64(0x9E3779B97F4A7C15)
