"""Containers of texts: any of them as spans of one byte buffer, or as a list of str. Every error names the text."""
import sys

import numpy as np

from . import _check, _place
from ._cpu import hashing as _kernels

BLOCK = 65536  # texts joined at a time: bounds the copy and keeps it in the cache


def buffer(data, name):
    """Bytes-like object as uint8 (n,), without a copy."""
    try:
        return np.frombuffer(memoryview(data).cast("B"), np.uint8) if len(data) else np.empty(0, np.uint8)
    except TypeError:
        raise TypeError(f"{name} must be bytes or another contiguous buffer, not {type(data).__name__}") from None


def padded(data):
    """`data` as a read-only array (so that kernels see one type) of 8 bytes or more, which is what they can read from."""
    data = data.view() if data.size >= 8 else np.concatenate([data, np.zeros(8, np.uint8)])
    data.flags.writeable = False
    return data


def spans(texts):
    """`((uint8 buffer, starts, stops), None)` of a container without Python objects, otherwise `(None, list of str or bytes)`."""
    if pair(texts):
        return _offset_spans(*texts), None
    if isinstance(texts, np.ndarray) and texts.ndim == 1 and texts.dtype.kind in "SU" and texts.dtype.itemsize and texts.size:
        return (_wide_spans(texts) if texts.dtype.kind == "U" else _narrow_spans(texts)), None
    return None, items(texts)


def pair(texts):
    """Whether `texts` is a pair of a buffer and offsets, and not a tuple of two texts."""
    return isinstance(texts, tuple) and len(texts) == 2 and (
        isinstance(texts[1], np.ndarray) and texts[1].dtype.kind in "iu" or _place.on_device(texts[1]))


def items(texts):
    """The texts as a list, and not yet checked one by one."""
    if isinstance(texts, list):
        return texts
    if isinstance(texts, (str, bytes, bytearray, memoryview, dict, set, frozenset)) or not hasattr(texts, "__iter__"):
        raise TypeError(f"texts must be a list or an array of strings, not {type(texts).__name__}")
    if getattr(texts, "ndim", 1) != 1:
        raise ValueError(f"texts must have 1 axis, not shape {texts.shape}")
    if isinstance(texts, np.ndarray) and texts.dtype.kind not in "SUOT":
        raise TypeError(f"texts must hold strings, not {texts.dtype}")
    return texts.tolist() if hasattr(texts, "tolist") else list(texts)


def _offset_spans(data, offsets):
    data = buffer(data, "texts[0]")
    offsets = _check.array(offsets, "texts[1]", np.int64, 1)
    if offsets.size == 0 or offsets[0] < 0 or offsets[-1] > data.size or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"texts[1] must hold ascending offsets into the {data.size} bytes of texts[0]")
    return data, offsets[:-1], offsets[1:]


def _narrow_spans(texts):
    cells = np.ascontiguousarray(texts).view(np.uint8).reshape(texts.size, -1)  # (n, bytes)
    starts, stops = np.empty(texts.size, np.int64), np.empty(texts.size, np.int64)
    _kernels.trimmed(cells, starts, stops)
    return cells.reshape(-1), starts, stops


def _wide_spans(texts):
    native = np.ascontiguousarray(texts, dtype=texts.dtype.newbyteorder("="))
    codes = native.view(np.uint32).reshape(texts.size, -1)  # (n, characters)
    characters, offsets = np.empty(texts.size, np.int64), np.zeros(texts.size + 1, np.int64)
    _kernels.utf8_lengths(codes, characters, offsets[1:])
    if (offsets[1:] < 0).any():
        raise _surrogate(int(np.argmax(offsets[1:] < 0)))
    np.cumsum(offsets, out=offsets)
    data = np.empty(offsets[-1], np.uint8)
    _kernels.utf8_fill(codes, characters, offsets, data)
    return data, offsets[:-1], offsets[1:]


def joined(found, first, n):
    """UTF-8 bytes of the `n` items of a list of str or bytes from number `first` on, in a row, and their offsets int64 (n + 1,)."""
    done = 0
    if type(found[first]) is str and getattr(sys, "_is_gil_enabled", lambda: True)():
        try:
            data, offsets, done = _kernels.joined(id(found), first, n)
        except (TypeError, UnicodeEncodeError):  # only with the JIT switched off; compiled, it stops at that item
            done = 0
    if done < n:
        parts = [encoded(found[i], i) for i in range(first, first + n)]
        offsets = np.zeros(n + 1, np.int64)
        np.cumsum(np.fromiter(map(len, parts), np.int64, n), out=offsets[1:])
        data = np.frombuffer(b"".join(parts), np.uint8)
    return data, offsets


def encoded(item, i):
    """UTF-8 bytes of `texts[i]`."""
    if isinstance(item, bytes):
        return item
    if not isinstance(item, str):
        raise TypeError(f"texts[{i}] must be str or bytes, not {type(item).__name__}")
    try:
        return item.encode()
    except UnicodeEncodeError:
        raise _surrogate(i) from None


def _surrogate(i):
    return ValueError(f"texts[{i}] must be valid Unicode, not text with a lone surrogate, which has no UTF-8 form")


def strings(texts):
    """The texts of any container as a list of str; bytes are decoded from UTF-8."""
    if pair(texts):
        data, starts, stops = _offset_spans(*texts)
        found = [data[first:last].tobytes() for first, last in zip(starts.tolist(), stops.tolist())]
    else:
        found = items(texts)
    if set(map(type, found)) <= {str}:
        return found
    return [item if isinstance(item, str) else _decoded(item, i) for i, item in enumerate(found)]


def _decoded(item, i):
    try:
        return encoded(item, i).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"texts[{i}] must be valid UTF-8, not {error.reason} at byte {error.start}") from None
