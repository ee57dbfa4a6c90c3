"""Numbers of one byte."""
import numpy as np

from .._jit import scalar


@scalar
def byte_of(steps):
    """The nearest whole number of steps, ties to even: numbers as large as 1.5 * 2**23 have no fraction (`round` would take float64)."""
    return np.int8(steps + np.float32(12582912.0) - np.float32(12582912.0))
