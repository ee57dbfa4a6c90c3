"""State of a sketch, and the checks at the door of the functions that take one."""
import math
from typing import NamedTuple

import numpy as np

from . import _check, _place
from ._cpu import sketch as _kernels

DEEPEST, WIDEST = 255, 2**31 - 1
LIMITS = {np.dtype(np.int32): 2**31 - 1, np.dtype(np.int64): 2**63 - 1, np.dtype(np.float32): 2.0**127}
_INT64, _UINT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.float64)


class CountMin(NamedTuple):
    """Sketch of non-negative counts.

    table : int64, int32 or float32 (depth, width).  seeds : uint64 (depth,).
    total : int64 or, beside a float32 table, float64 (1,), sum of all counts.
    """
    table: np.ndarray
    seeds: np.ndarray
    total: np.ndarray


class CountSketch(NamedTuple):
    """Sketch of counts of either sign.

    table : int64, int32 or float32 (depth, width), depth odd.  seeds : uint64 (depth,).
    total : int64 or, beside a float32 table, float64 (1,), sum of the absolute values of all counts.
    """
    table: np.ndarray
    seeds: np.ndarray
    total: np.ndarray


def fields(sketch, device=False):
    """Table, seeds and total of a CountMin or CountSketch, after a look at their types and shapes: loops trust them.

    On a device they may be where `device` is True."""
    if type(sketch) not in (CountMin, CountSketch):
        raise TypeError(f"sketch must be a CountMin or a CountSketch, not {type(sketch).__name__}")
    table, seeds, total = sketch
    if not type(table) is type(seeds) is type(total) is np.ndarray:
        if not all(map(_place.on_device, sketch)):
            raise TypeError(f"sketch must have three NumPy arrays, not {', '.join(type(array).__name__ for array in sketch)}")
        if not device:
            raise TypeError("sketch must be on the host here, not on a device: move it with sketchxc.to_host")
        table, seeds, total = map(_place.target().array, sketch)
    dtype, shape = table.dtype, table.shape
    if (dtype not in LIMITS or len(shape) != 2 or not table.flags["C_CONTIGUOUS"] or not 0 < shape[0] <= DEEPEST
            or not 0 < shape[1] <= WIDEST):
        raise ValueError(f"sketch must have a contiguous table (depth, width) of int64, int32 or float32, not {table.dtype} {table.shape}")
    if seeds.shape != shape[:1] or seeds.dtype is not _UINT64 and seeds.dtype != _UINT64 or not seeds.flags["C_CONTIGUOUS"]:
        raise ValueError(f"sketch must have contiguous uint64 seeds ({table.shape[0]},), not {seeds.dtype} {seeds.shape}")
    if total.shape != (1,) or total.dtype is not total_type(dtype) and total.dtype != total_type(dtype):
        raise ValueError(f"sketch must have a total of shape (1,) and dtype {total_type(table.dtype)}, not {total.dtype} {total.shape}")
    if type(sketch) is CountSketch:
        odd(shape[0])
    return table, seeds, total


def odd(depth):
    if depth % 2 == 0:
        raise ValueError(f"depth must be odd, so that a median exists, not {depth}")
    return depth


def total_type(dtype):
    return _FLOAT64 if dtype.kind == "f" else _INT64


def keys(keys):
    if type(keys) is np.ndarray and keys.dtype is _INT64 and keys.flags.c_contiguous:
        keys = keys.view(_UINT64)
    else:
        keys = _check.keys(keys, device=True)
    if keys.ndim != 1:
        raise ValueError(f"keys must have 1 axis, not shape {tuple(keys.shape)}")
    return keys


def counts(counts, n, dtype, signed):
    """The counts as int64 or float32, and the sum of their absolute values."""
    there, real = _place.on_device(counts), dtype.kind == "f"
    found = _place.target().array(counts) if there else np.asarray(counts)
    if there and found.dtype == _UINT64 and not real:
        raise TypeError("counts must be signed integers or small unsigned ones on a device, where their range is not looked at")
    with np.errstate(over="ignore"):  # told below
        counts = _check.array(counts, "counts", np.float32 if real else np.int64, 1, kinds="iuf" if real else "iu", device=True)
    if counts.size != n:
        raise ValueError(f"counts must be as many as keys, {n}, not {counts.size}")
    if not n:
        return counts, 0
    if found.dtype == _UINT64 and not real and found.max() >= 2**63:
        raise OverflowError(f"counts must be below 2**63, not {found.max()}")
    low, high, amount = _place.kernels(_kernels, counts=counts).extent(counts, total_type(dtype).type(0))
    if real:
        if not math.isfinite(amount):
            raise ValueError("counts must be finite in float32, not NaN or infinite")
    elif max(abs(int(low)), abs(int(high))) * n >= 2**63:
        amount = sum(map(abs, _place.to_host(counts).tolist()))
    if low < 0 and not signed:
        raise ValueError(f"counts must not be negative for a CountMin, not {low}: use a CountSketch")
    return counts, float(amount) if real else int(amount)


def narrow(wide, dtype):
    """Table of sums as int32, if they fit."""
    limit = LIMITS[dtype]
    there = _place.on_device(wide)
    edges = _place.kernels(_kernels, table=wide).extent(wide.reshape(wide.size), np.int64(0))[:2] if there else (wide.min(), wide.max())
    if edges[0] < -limit or edges[1] > limit:
        raise OverflowError(f"counts must keep every cell within {limit}, the end of {dtype}; a table of int64 holds more")
    return _place.copied(wide, dtype)


def sum_of(total):
    """The sum in a field `total`, as a number of Python."""
    return total.item() if type(total) is np.ndarray else _place.to_host(total).item()


def alike(a, b, device=False):
    """Check that two sketches have one shape and one place; on a device they may be where `device` is True."""
    fields(a, device)
    fields(b, device)
    _place.kernels(_kernels, a=a.table, b=b.table)
    if type(a) is not type(b):
        raise TypeError(f"a and b must be of one kind, not {type(a).__name__} and {type(b).__name__}")
    if a.table.shape != b.table.shape or a.table.dtype != b.table.dtype:
        raise ValueError(f"a and b must have one shape and dtype, not {a.table.dtype} {a.table.shape} and {b.table.dtype} {b.table.shape}")
    if not np.array_equal(*_place.to_host((a.seeds, b.seeds))):
        raise ValueError("a and b must have the same seeds")
