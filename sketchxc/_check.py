"""Argument checks: every message names the argument, what came and what was wanted. They run before any array is touched."""
import operator

import numpy as np

from . import _place


def integer(value, name, low, high=None):
    """`value` as an int in [low, high]; TypeError for non-integers, ValueError outside the range."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name} must be at least {low}, not {number}" if high is None
                         else f"{name} must be between {low} and {high}, not {number}")
    return number


def real(value, name, low=None, high=None, *, open_low=False, open_high=False):
    """`value` as a finite float in [low, high]; without the ends that are open."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}") from None
    below = low is not None and (number <= low if open_low else number < low)
    above = high is not None and (number >= high if open_high else number > high)
    if not np.isfinite(number) or below or above:
        wanted = "finite" if low is None else f"{'above' if open_low else 'at least'} {low}"
        wanted += "" if high is None else f" and {'below' if open_high else 'at most'} {high}"
        raise ValueError(f"{name} must be {wanted}, not {number}")
    return number


def choice(value, name, options):
    """`value`, one of `options`."""
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(str, options))}, not {value!r}")
    return value


def array(value, name, dtype, ndim, *, kinds="iu", device=False):
    """`value` as a C-contiguous native array of `dtype` with `ndim` axes, from an array whose dtype kind is among `kinds`; on the device
    if it is there and may be (`device`)."""
    if _place.on_device(value):
        return _on_device(value, name, dtype, kinds, ndim, device)
    found = np.asarray(value)
    if found.size == 0 and found.dtype.kind == "f" and not isinstance(value, np.ndarray):
        found = found.astype(dtype)  # NumPy calls an empty list float64
    if found.dtype.kind not in kinds:
        raise TypeError(f"{name} must hold {_KINDS.get(kinds, kinds)}, not {found.dtype}")
    if found.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} {'axis' if ndim == 1 else 'axes'}, not shape {found.shape}")
    return np.ascontiguousarray(found, dtype=dtype)


def keys(value, name="keys", *, device=False):
    """Integer array of any width and sign as uint64 (negative numbers in two's complement), same shape; on the device if it is there
    and may be (`device`)."""
    if type(value) is _ARRAY and value.ndim and value.flags.c_contiguous:  # what most calls bring, and small ones wait for
        dtype = value.dtype
        if dtype is _INT64:
            return value.view(_UINT64)
        if dtype is _UINT64:
            return value
    if _place.on_device(value):
        return _on_device(value, name, np.uint64, "iu", None, device)
    found = np.asarray(value)
    if found.size == 0 and not isinstance(value, np.ndarray):
        found = found.astype(np.uint64)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, not {found.dtype}")
    if found.dtype != np.uint64:
        found = found.astype(np.int64, copy=False).view(np.uint64) if found.dtype.kind == "i" else found.astype(np.uint64)
    return np.ascontiguousarray(found)


def _on_device(value, name, dtype, kinds, ndim, wanted):
    """Array on the device as C-contiguous array of `dtype` there."""
    if not wanted:
        raise TypeError(f"{name} must be on the host here, not on a device: move it with sketchxc.to_host")
    found = _place.target().array(value)
    if found.dtype.kind not in kinds:
        raise TypeError(f"{name} must hold {_KINDS.get(kinds, kinds)}, not {found.dtype}")
    if ndim is not None and found.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} {'axis' if ndim == 1 else 'axes'}, not shape {tuple(found.shape)}")
    if not found.is_c_contiguous():
        raise ValueError(f"{name} must be C-contiguous on a device, not of strides {tuple(found.strides)}")
    return _place.converted(found, np.dtype(dtype))


def seed(value, name="seed"):
    """An integer seed as uint64; negative seeds in two's complement."""
    return np.uint64(integer(value, name, -(2**63), 2**64 - 1) & 0xFFFFFFFFFFFFFFFF)


_KINDS = {"u": "unsigned integers", "iu": "integers", "f": "floats", "iuf": "numbers", "biuf": "numbers"}
_ARRAY, _INT64, _UINT64 = np.ndarray, np.dtype(np.int64), np.dtype(np.uint64)
