"""Sketches as bytes, and pickles through these bytes.

A header of 40 bytes: b"SKXC", version (uint16), kind (uint8), dtype (uint8), depth (uint32), zero (uint32), width (uint64) and the total
(int64 or float64); then seeds, table, and xxh64 of all that. Little-endian, the same on every machine. Sizes are compared with the length
of the data in Python integers before anything is allocated.
"""
import copyreg
import struct

import numpy as np

from . import _strings, hashing
from ._sketches import CountMin, CountSketch, fields

_MAGIC, _VERSION, _KINDS = b"SKXC", 1, (CountMin, CountSketch)
_DTYPES = [np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.float32)]
_HEADER, _START, _CHECK = struct.Struct("<4sHBBIIQ"), 32, 8


def to_bytes(sketch):
    """The sketch as bytes, with its seeds, a version and a checksum; the same on every machine.

    sketch : CountMin or CountSketch.
    Returns bytes. Sketches can be pickled and copied, through these bytes.
    Raises TypeError and ValueError for what is not a sketch.
    Example:
        >>> from sketchxc import sketch
        >>> words = sketch.count_min(2, 16, seed=0)
        >>> len(to_bytes(words)), to_bytes(words)[:4]
        (312, b'SKXC')
    """
    table, seeds, total = fields(sketch)
    head = _HEADER.pack(_MAGIC, _VERSION, _KINDS.index(type(sketch)), _DTYPES.index(table.dtype), table.shape[0], 0, table.shape[1])
    parts = [head] + [field.astype(field.dtype.newbyteorder("<"), copy=False).tobytes() for field in (total, seeds, table)]
    body = b"".join(parts)
    return b"".join([body, struct.pack("<Q", hashing.hash_bytes(body))])


def from_bytes(data):
    """Sketch from the bytes of `to_bytes`.

    data : bytes, bytearray or another contiguous buffer.
    Returns CountMin or CountSketch, with arrays of its own.
    Raises TypeError if `data` is not bytes-like, ValueError where it is cut, changed, of another version or not a sketch.
    Example:
        >>> from sketchxc import sketch
        >>> words = sketch.count_min(2, 16, seed=0)
        >>> sketch.add(words, [3])
        >>> sketch.estimate(from_bytes(to_bytes(words)), [3])
        array([1])
    """
    data = _strings.buffer(data, "data")
    if data.size < _START + _CHECK:
        raise ValueError(f"data must be a whole sketch of more than {_START + _CHECK} bytes, not {data.size} bytes")
    magic, version, kind, code, depth, zero, width = _HEADER.unpack(data[:_HEADER.size].tobytes())
    if magic != _MAGIC:
        raise ValueError(f"data must begin with {_MAGIC!r}, not {magic!r}")
    if version != _VERSION:
        raise ValueError(f"data must be of version {_VERSION}, which this release reads, not {version}")
    if kind >= len(_KINDS) or code >= len(_DTYPES) or zero or not depth or not width:
        raise ValueError(f"data must have the header of a sketch, not kind {kind}, dtype {code}, depth {depth}, width {width}")
    dtype = _DTYPES[code]
    middle = _START + 8 * depth
    wanted = middle + depth * width * dtype.itemsize + _CHECK
    if data.size != wanted:
        raise ValueError(f"data must have {wanted} bytes for a sketch of depth {depth} and width {width}, not {data.size}")
    if hashing.hash_bytes(data[:-_CHECK]) != struct.unpack("<Q", data[-_CHECK:].tobytes())[0]:
        raise ValueError("data must match its checksum: it was changed after it was written")
    total = _array(data[_HEADER.size:_START], np.dtype(np.float64 if dtype.kind == "f" else np.int64))
    seeds, table = _array(data[_START:middle], np.dtype(np.uint64)), _array(data[middle:-_CHECK], dtype).reshape(depth, width)
    if not np.isfinite(total[0]) or total[0] < 0 or not np.isfinite(table).all() or (kind == 0 and table.min() < 0):
        raise ValueError("data must hold a finite total that is not negative, finite cells, and in a CountMin none that are negative")
    found = _KINDS[kind](table, seeds, total)
    fields(found)
    return found


def _array(data, dtype):
    return np.frombuffer(data.tobytes(), dtype.newbyteorder("<")).astype(dtype)  # a copy: aligned, writable, native


def _reduce(sketch):
    return from_bytes, (to_bytes(sketch),)


for _kind in _KINDS:
    copyreg.pickle(_kind, _reduce)
