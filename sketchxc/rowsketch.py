"""Row sketches: a table of vectors (depth, width, columns) that holds many more vectors than it has places, for the state of optimizers.

The vector with number i is added to one place in each row of places, by the hash and the signs of `sketch`; its columns stay where they
are. With signs the estimate is the median of the rows, without it is the smallest number, an upper bound where no value is negative.
All arrays may be on a device (`to_device`); sums there are equal up to rounding, because their order is open.
"""
import numpy as np

from . import _check, _place, _threads
from ._cpu import sketch as _kernels

_FEW = 2**15  # numbers moved below which one thread is faster than two


def row_add(table, seeds, rows, values, *, signed):
    """Add vectors to the sketch, in place and in the order given; a number may occur more than once.

    table : float32 (depth, width, columns), in place.  seeds : uint64 (depth,), from `hashing.seeds`.
    rows : integers (k,), numbers of the vectors.  values : floats (k, columns).  signed : bool, depth is odd then.
    Raises TypeError for other types, ValueError for other shapes, an even depth with signs, NaN and infinity.
    Source: Spring, Kyrillidis, Mohan & Shrivastava 2019, "Compressing gradient optimizers via count-sketches", algorithm 1.
    Example:
        >>> from sketchxc import hashing
        >>> table, seeds = np.zeros((3, 50, 2), np.float32), hashing.seeds(3, 0)
        >>> row_add(table, seeds, [7, 900, 7], [[1, 2], [3, 4], [1, 1]], signed=True)
        >>> row_estimate(table, seeds, [7, 900], signed=True).tolist()
        [[2.0, 3.0], [3.0, 4.0]]
    """
    table, seeds, rows = _checked(table, seeds, rows, signed)
    kernels = _place.kernels(_kernels, table=table, seeds=seeds, rows=rows, values=values)
    if kernels is _kernels and not table.flags.writeable:
        raise ValueError("table must be an array that can be written to")
    values = _check.array(values, "values", np.float32, 2, kinds="iuf", device=True)
    if values.shape != (rows.size, table.shape[2]):
        raise ValueError(f"values must have shape {(rows.size, table.shape[2])}, not {tuple(values.shape)}")
    if not _finite(kernels, values):
        raise ValueError("values must be finite, not NaN or infinite")
    with _threads.one_if(values.size * table.shape[0] < _FEW):
        kernels.row_add(table, seeds, rows, values, bool(signed))


def row_estimate(table, seeds, rows, *, signed):
    """Estimated vectors.

    table, seeds, rows, signed : as in `row_add`.
    Returns float32 (k, columns).
    Raises what `row_add` raises.
    Source: Spring, Kyrillidis, Mohan & Shrivastava 2019, algorithm 1.
    Example:
        >>> from sketchxc import hashing
        >>> row_estimate(np.ones((2, 5, 3), np.float32), hashing.seeds(2, 0), [4], signed=False)
        array([[1., 1., 1.]], dtype=float32)
    """
    table, seeds, rows = _checked(table, seeds, rows, signed)
    kernels = _place.kernels(_kernels, table=table, seeds=seeds, rows=rows)
    out = _place.empty((rows.size, table.shape[2]), np.float32, table)  # (k, columns)
    with _threads.one_if(out.size * table.shape[0] < _FEW):
        kernels.row_estimate(table, seeds, rows, bool(signed), out)
    return out


def _finite(kernels, values):
    """Whether all values are finite: on a device the sum of their absolute values is, in float64, which no float32 numbers exceed."""
    if kernels is _kernels or not values.size:
        return np.isfinite(values).all() if kernels is _kernels else True
    return bool(np.isfinite(kernels.extent(values.reshape(values.size), np.float64(0))[2]))


def _checked(table, seeds, rows, signed):
    table = _place.target().array(table) if _place.on_device(table) else table
    if not (isinstance(table, np.ndarray) or _place.on_device(table)) or table.dtype != np.float32:
        raise TypeError(f"table must be a float32 array, not {getattr(table, 'dtype', type(table).__name__)}")
    if table.ndim != 3 or not table.flags["C_CONTIGUOUS"] or not 1 <= table.shape[1] < 2**31 or not table.shape[0]:
        raise ValueError(f"table must be contiguous with axes (depth, width, columns), not shape {table.shape}")
    seeds, rows = _check.keys(seeds, "seeds", device=True), _check.keys(rows, "rows", device=True)
    if seeds.shape != table.shape[:1]:
        raise ValueError(f"seeds must have shape ({table.shape[0]},), not {seeds.shape}")
    if rows.ndim != 1:
        raise ValueError(f"rows must have 1 axis, not shape {rows.shape}")
    if signed and table.shape[0] % 2 == 0:
        raise ValueError(f"table must have an odd depth for medians, not {table.shape[0]}")
    return table, seeds, rows
