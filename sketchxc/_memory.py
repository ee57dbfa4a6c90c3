"""float32 arrays that begin at a cache line.

A vector register is as wide as a line: where rows begin elsewhere, every load touches two lines, which cost the loops over weights a
third of their speed (measured; NumPy's own large arrays begin 16 bytes into a line).
"""
import numpy as np

LINE = 64  # bytes


def zeros(shape):
    """Array of zeros; memory that is never touched is never taken."""
    return _aligned(np.zeros, shape)


def empty(shape):
    """Array of arbitrary content."""
    return _aligned(np.empty, shape)


def _aligned(make, shape):
    size = int(np.prod(shape, dtype=np.int64))
    room = make(size + LINE // 4, np.float32)
    start = -room.ctypes.data % LINE // 4
    return room[start:start + size].reshape(shape)
