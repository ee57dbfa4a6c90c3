"""State of a sketch, and the checks at the door of the functions that take one."""
import contextlib
import math
from typing import NamedTuple

import numpy as np

from . import _check, _place
from ._cpu import sketch as _kernels

DEEPEST, WIDEST = 255, 2**31 - 1
LIMITS = {np.dtype(np.int32): 2**31 - 1, np.dtype(np.int64): 2**63 - 1, np.dtype(np.float32): 2.0**127}
_ARRAY = np.ndarray
_INT64, _UINT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.float64)
_TOTALS = {dtype: _FLOAT64 if dtype.kind == "f" else _INT64 for dtype in LIMITS}
_ZEROS, _NOTHING = {dtype: kind.type(0) for dtype, kind in _TOTALS.items()}, contextlib.nullcontext()
_PLAIN = frozenset((_INT64, _UINT64))  # types of keys that need no conversion


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
    kind = type(sketch)
    if kind is not CountMin and kind is not CountSketch:
        raise TypeError(f"sketch must be a CountMin or a CountSketch, not {kind.__name__}")
    table, seeds, total = sketch
    if type(table) is type(seeds) is type(total) is _ARRAY:
        contiguous = table.flags.c_contiguous and seeds.flags.c_contiguous
    else:
        table, seeds, total = _there(sketch, device)
        contiguous = table.flags["C_CONTIGUOUS"] and seeds.flags["C_CONTIGUOUS"]
    dtype, shape = table.dtype, table.shape
    wanted = _TOTALS.get(dtype)
    if wanted is None or len(shape) != 2 or not contiguous or not 0 < shape[0] <= DEEPEST or not 0 < shape[1] <= WIDEST:
        raise ValueError(f"sketch must have a contiguous table (depth, width) of int64, int32 or float32, not {table.dtype} {table.shape}")
    if seeds.size != shape[0] or seeds.ndim != 1 or seeds.dtype != _UINT64:
        raise ValueError(f"sketch must have contiguous uint64 seeds ({table.shape[0]},), not {seeds.dtype} {seeds.shape}")
    if total.size != 1 or total.ndim != 1 or total.dtype != wanted:
        raise ValueError(f"sketch must have a total of shape (1,) and dtype {wanted}, not {total.dtype} {total.shape}")
    if kind is CountSketch:
        odd(shape[0])
    return table, seeds, total


def _there(sketch, device):
    """The three arrays of a sketch on a device."""
    if not all(map(_place.on_device, sketch)):
        raise TypeError(f"sketch must have three NumPy arrays, not {', '.join(type(array).__name__ for array in sketch)}")
    if not device:
        raise TypeError("sketch must be on the host here, not on a device: move it with sketchxc.to_host")
    return tuple(map(_place.target().array, sketch))


def odd(depth):
    if depth % 2 == 0:
        raise ValueError(f"depth must be odd, so that a median exists, not {depth}")
    return depth


def total_type(dtype):
    return _TOTALS[np.dtype(dtype)]


def few(table, keys):
    """Whether keys are an array of few that needs no conversion, on the host like the table."""
    return (type(keys) is type(table) is _ARRAY and keys.size < _kernels.FEW and keys.ndim == 1 and keys.dtype in _PLAIN
            and keys.flags.c_contiguous)


def keys(keys):
    if type(keys) is _ARRAY and keys.ndim == 1 and keys.dtype is _INT64 and keys.flags.c_contiguous:  # small calls wait for the rest
        return keys.view(_UINT64)
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
    with np.errstate(over="ignore") if real else _NOTHING:  # told below
        counts = _check.array(counts, "counts", np.float32 if real else np.int64, 1, kinds="iuf" if real else "iu", device=True)
    if counts.size != n:
        raise ValueError(f"counts must be as many as keys, {n}, not {counts.size}")
    if not n:
        return counts, 0
    if found.dtype == _UINT64 and not real and found.max() >= 2**63:
        raise OverflowError(f"counts must be below 2**63, not {found.max()}")
    low, high, amount = (_place.kernels(_kernels, counts=counts) if there else _kernels).extent(counts, _ZEROS[dtype])
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
