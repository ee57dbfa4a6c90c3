"""Loops of the layers of small dense nets."""
import numpy as np

from .._jit import serial
from .._scalar.dense import kept


@serial
def coins(key, limit, out):
    """out[i] = whether number i stays in the dropout of `key`."""
    for i in range(out.size):
        out[i] = kept(key, np.uint64(i), limit)
