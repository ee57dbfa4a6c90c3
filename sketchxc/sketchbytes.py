"""Sketches and summaries as bytes, and pickles through these bytes.

All begin with b"SKXC", a version (uint16) and a kind (uint8), and end with xxh64 of what comes before; little-endian, the same on every
machine. CountMin and CountSketch: dtype (uint8), depth (uint32), zero (uint32), width (uint64), the total (int64 or float64), seeds, table.
MisraGries, SpaceSaving, Turnstile and Signatures: zero (uint8), four numbers (uint64) and what is held, without empty slots: keys, counts
and errors in ascending order of the keys; the heap; the keys and the bytes of their sketch; the values. Sizes are compared with the length
of the data in Python integers, and contents with what a sketch can hold, before anything is built.
"""
import copyreg
import struct

import numpy as np

from . import _strings, hashing, heavy, minhash, turnstile
from ._sketches import CountMin, CountSketch, fields

_MAGIC, _VERSION = b"SKXC", 1
_TABLES = (CountMin, CountSketch)
_KINDS = (*_TABLES, heavy.MisraGries, heavy.SpaceSaving, turnstile.Turnstile, minhash.Signatures)
_DTYPES = [np.dtype(np.int32), np.dtype(np.int64), np.dtype(np.float32)]
_HEADER, _NUMBERS, _START, _CHECK = struct.Struct("<4sHBBIIQ"), struct.Struct("<4sHBB4Q"), 32, 8


def to_bytes(sketch):
    """The sketch as bytes, with its seeds, a version and a checksum; the same on every machine.

    sketch : CountMin, CountSketch, MisraGries, SpaceSaving, Turnstile or Signatures.
    Returns bytes. All these can be pickled and copied, through these bytes.
    Raises TypeError and ValueError for what is not a sketch.
    Example:
        >>> from sketchxc import sketch
        >>> words = sketch.count_min(2, 16, seed=0)
        >>> len(to_bytes(words)), to_bytes(words)[:4]
        (312, b'SKXC')
    """
    if type(sketch) in _KINDS[len(_TABLES):]:
        numbers, parts = _held(sketch)
        return _sealed([_NUMBERS.pack(_MAGIC, _VERSION, _KINDS.index(type(sketch)), 0, *numbers)] + parts)
    table, seeds, total = fields(sketch)
    head = _HEADER.pack(_MAGIC, _VERSION, _KINDS.index(type(sketch)), _DTYPES.index(table.dtype), table.shape[0], 0, table.shape[1])
    return _sealed([head, total, seeds, table])


def from_bytes(data):
    """Sketch from the bytes of `to_bytes`.

    data : bytes, bytearray or another contiguous buffer.
    Returns what `to_bytes` was given, with arrays of its own; a summary goes on counting exactly as it would have.
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
    if len(_TABLES) <= kind < len(_KINDS) and code == 0:
        if data.size < _NUMBERS.size + _CHECK:
            raise ValueError(f"data must have more than {_NUMBERS.size + _CHECK} bytes, not {data.size}")
        return _rebuilt(_KINDS[kind], *_NUMBERS.unpack(data[:_NUMBERS.size].tobytes())[4:], data)
    if kind >= len(_TABLES) or code >= len(_DTYPES) or zero or not depth or not width:
        raise ValueError(f"data must have the header of a sketch, not kind {kind}, dtype {code}, depth {depth}, width {width}")
    dtype = _DTYPES[code]
    middle = _START + 8 * depth
    _whole(data, middle + depth * width * dtype.itemsize + _CHECK, f"a sketch of depth {depth} and width {width}")
    total = _array(data[_HEADER.size:_START], np.dtype(np.float64 if dtype.kind == "f" else np.int64))
    seeds, table = _array(data[_START:middle], np.dtype(np.uint64)), _array(data[middle:-_CHECK], dtype).reshape(depth, width)
    if not np.isfinite(total[0]) or total[0] < 0 or not np.isfinite(table).all() or (kind == 0 and table.min() < 0):
        raise ValueError("data must hold a finite total that is not negative, finite cells, and in a CountMin none that are negative")
    found = _KINDS[kind](table, seeds, total)
    fields(found)
    return found


def _held(state):
    """Four numbers and the parts that follow them, of a summary or of signatures."""
    if isinstance(state, minhash.Signatures):
        n, permutations = state.values.shape
        return (state.seed % 2**64, n, permutations, 0), [state.values]
    if isinstance(state, turnstile.Turnstile):
        used = int(state.used[0])
        return (state.keys.size, used, 0, 0), [state.keys[:used], np.frombuffer(to_bytes(state.counts), np.uint8)]
    if isinstance(state, heavy.SpaceSaving):
        used = int(state.totals[0])
        return (state.nodes.shape[0], used, state.seed, heavy.total(state)), [state.nodes[:used]]
    keys, counts, errors = heavy.held(state)
    order = np.argsort(keys)
    parts = [np.array([heavy.error(state)]), keys[order], counts[order], errors[order]]
    return (state.capacity, keys.size, state.seed, heavy.total(state)), parts


def _rebuilt(kind, first, second, third, fourth, data):
    """The state of those four numbers and of the parts that follow them."""
    body = data[_NUMBERS.size:-_CHECK]
    if kind is minhash.Signatures:
        _whole(data, _NUMBERS.size + 4 * second * third + _CHECK, f"{second} signatures of {third} values")
        if fourth or not 1 <= third <= 65536:
            raise ValueError(f"data must hold signatures of 1 to 65536 values, not {third}")
        return minhash.Signatures(_array(body, np.dtype(np.uint32)).reshape(second, third), first)
    if kind is turnstile.Turnstile:
        _whole(data, max(data.size, _NUMBERS.size + 8 * second + _CHECK), f"{second} candidates and a sketch")
        keys, counts = _array(body[:8 * second], np.dtype(np.uint64)), from_bytes(body[8 * second:])
        if not second <= first <= 2**28 or (keys[1:] <= keys[:-1]).any() or third or fourth or type(counts) is not CountSketch:
            raise ValueError("data must hold ascending candidates, not more than the capacity of 2**28 at most, and a CountSketch")
        made = turnstile.Turnstile(counts, np.zeros(first, np.uint64), np.array([second]))
        made.keys[:second] = keys
        return made
    _whole(data, _NUMBERS.size + 24 * second + (0 if kind is heavy.SpaceSaving else 8) + _CHECK, f"a summary of {second} keys")
    numbers = _array(body, np.dtype(np.uint64))
    if kind is heavy.SpaceSaving:
        offset, (keys, counts, errors) = 0, numbers.reshape(-1, 3).T.copy()
        fits = second <= first and (counts[(np.arange(1, second) - 1) // 2] <= counts[1:]).all() and (errors < counts).all()
    else:
        offset, (keys, counts, errors) = int(numbers[0]), numbers[1:].reshape(3, -1)
        fits = second <= 2 * first and (keys[1:] > keys[:-1]).all() and (counts > offset).all() and (errors <= offset).all()
    if (not fits or not 1 <= first <= 2**28 or max(offset, fourth, 0) >= 2**63 or np.unique(keys).size < second
            or (counts > np.uint64(fourth)).any() or (counts == 0).any() or sum((counts - errors).tolist()) > fourth):
        raise ValueError("data must hold a summary of distinct keys with bounds of counts that its capacity and total allow")
    return heavy.restored(kind, first, third, (offset, fourth), keys, counts, errors)


def _whole(data, wanted, what):
    """Refuse data of another size than `wanted` or with another checksum than its own."""
    if data.size != wanted:
        raise ValueError(f"data must have {wanted} bytes for {what}, not {data.size}")
    if hashing.hash_bytes(data[:-_CHECK]) != struct.unpack("<Q", data[-_CHECK:].tobytes())[0]:
        raise ValueError("data must match its checksum: it was changed after it was written")


def _sealed(parts):
    """The parts one after the other, little-endian, and their checksum."""
    body = b"".join([part if isinstance(part, bytes) else part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes()
                     for part in parts])
    return body + struct.pack("<Q", hashing.hash_bytes(body))


def _array(data, dtype):
    return np.frombuffer(data.tobytes(), dtype.newbyteorder("<")).astype(dtype)  # a copy: aligned, writable, native


def _reduce(sketch):
    return from_bytes, (to_bytes(sketch),)


for _kind in _KINDS:
    copyreg.pickle(_kind, _reduce)
