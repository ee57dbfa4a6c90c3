"""Grid of the coins of dropout. All else of small dense nets is NumPy's functions, which on a device are CuPy's."""
import numpy as np

from .._scalar import dense as _scalar
from ._target import cuda, kernel, on_device

kept = on_device(_scalar).kept


@kernel(lambda key, limit, out: out.size)
def coins(key, limit, out):
    """out[i] = whether number i stays in the dropout of `key`; one thread owns one."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = kept(key, np.uint64(i), limit)
