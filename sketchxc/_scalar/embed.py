"""Codes of keys for deep hash embeddings."""
import numpy as np

from .._jit import scalar
from .hashing import mix64


@scalar
def code(key, seed):
    """Number of a key, uniform in [-1, 1), from the high 24 bits of its hash: all that a float32 holds."""
    high = np.int64(mix64(key ^ seed) >> np.uint64(40))
    return np.float32(high) * np.float32(2.0**-23) - np.float32(1.0)
