"""Hashes of integer keys and of texts: the same 64 bits for a seed on every machine, for any number of threads and in any container."""
import numpy as np

from . import _check
from ._cpu import hashing as _kernels

_BLOCK = 65536  # texts joined at a time: bounds the copy and keeps it in the cache


def seeds(n, seed):
    """Independent seeds for the rows of a sketch or for repetitions: the first outputs of the splitmix64 generator.

    n : int, how many.  seed : int, from -2**63 to 2**64 - 1.

    Returns uint64 (n,).

    Raises TypeError if `n` or `seed` is not an integer, ValueError outside their ranges.

    Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators".

    >>> import sketchxc.hashing as hashing
    >>> [hex(s) for s in hashing.seeds(2, 42)]
    ['0xbdd732262feb6e95', '0x28efe333b266f103']
    """
    out = np.empty(_check.integer(n, "n", 0), np.uint64)  # (n,)
    _kernels.seeds(_check.seed(seed), out)
    return out


def mix(keys, seed=0):
    """Well mixed 64-bit hash of each key, a bijection for every seed: the finalizer of MurmurHash3 on `key ^ seed`.

    keys : integers of any width and shape; negative ones in two's complement.  seed : int.

    Returns uint64, the shape of `keys`.

    Raises TypeError if `keys` does not hold integers.

    >>> import sketchxc.hashing as hashing
    >>> [hex(h) for h in hashing.mix([0, 1, 2])]
    ['0x0', '0xb456bcfc34c2cb2c', '0x3abf2a20650683e7']
    """
    keys = _check.keys(keys)
    out = np.empty(keys.shape, np.uint64)
    _kernels.mix(keys.reshape(-1), _check.seed(seed), out.reshape(-1))
    return out


def buckets(keys, seeds, width):
    """Bucket of each key in each hash row.

    keys : integers (n,).  seeds : uint64 (depth,), from `seeds`; small numbers would give rows that collide together.
    width : int, number of buckets, 1 to 2**31 - 1.

    Returns int32 (depth, n), numbers from 0 to width - 1.

    Raises TypeError if `keys` or `seeds` does not hold integers, ValueError for other shapes or widths.

    >>> import sketchxc.hashing as hashing
    >>> hashing.buckets([0, 1, 2, 3, 4], hashing.seeds(2, 0), 1000).tolist()
    [[579, 197, 597, 991, 726], [535, 746, 339, 85, 546]]
    """
    keys, seeds = _flat(keys, "keys"), _flat(seeds, "seeds")
    out = np.empty((seeds.size, keys.size), np.int32)  # (depth, n)
    _kernels.buckets(keys, seeds, _check.integer(width, "width", 1, 2**31 - 1), out)
    return out


def signs(keys, seeds):
    """Sign of each key in each hash row, from a bit that `buckets` does not read.

    keys : integers (n,).  seeds : uint64 (depth,), from `seeds`.

    Returns int8 (depth, n), -1 or 1.

    Raises TypeError if `keys` or `seeds` does not hold integers, ValueError for other shapes.

    >>> import sketchxc.hashing as hashing
    >>> hashing.signs([0, 1, 2, 3], hashing.seeds(2, 0)).tolist()
    [[-1, 1, -1, -1], [-1, -1, 1, 1]]
    """
    keys, seeds = _flat(keys, "keys"), _flat(seeds, "seeds")
    out = np.empty((seeds.size, keys.size), np.int8)  # (depth, n)
    _kernels.signs(keys, seeds, out)
    return out


def official_buckets(labels, repetitions, width):
    """Bucket of each label in the published MACH code: murmur3 of the int32 label, seed r, as a signed number, floor modulo.

    labels : integers (n,), from -2**31 to 2**31 - 1.  repetitions : int.  width : int, number of buckets, 1 to 2**31 - 1.

    Returns int32 (repetitions, n).  For reading models of that code; `buckets` is the hash of this package.

    Raises TypeError if `labels` does not hold integers, ValueError for values outside int32.

    Source: Medini et al. 2019, the published code.

    >>> import sketchxc.hashing as hashing
    >>> hashing.official_buckets([0, 1, 2], 2, 10_000).tolist()
    [[9054, 4522, 2463], [6445, 1156, 7948]]
    """
    labels = _check.array(labels, "labels", np.int64, 1)
    if labels.size and (labels.min() < -2**31 or labels.max() >= 2**31):
        raise ValueError(f"labels must be between -2**31 and 2**31 - 1, not from {labels.min()} to {labels.max()}")
    out = np.empty((_check.integer(repetitions, "repetitions", 0, 2**31 - 1), labels.size), np.int32)  # (repetitions, n)
    _kernels.official_buckets(labels, _check.integer(width, "width", 1, 2**31 - 1), out)
    return out


def hash_bytes(data, seed=0):
    """64-bit hash (xxh64) of one byte string.

    data : bytes, bytearray or another contiguous buffer.  seed : int.

    Returns int, from 0 to 2**64 - 1.

    Raises TypeError if `data` is not bytes-like; a text has to be encoded, or goes to `hash_strings` in a list.

    Source: Collet, xxHash, the description of the algorithm.

    >>> import sketchxc.hashing as hashing
    >>> hex(hashing.hash_bytes(b"abc"))
    '0x44bc2cf5ad770999'
    """
    data = _buffer(data, "data")
    return int(_kernels.xxh64(data, 0, data.size, _check.seed(seed)))


def murmur3(data, seed=0):
    """32-bit hash (MurmurHash3, x86 variant) of one byte string, for reading what other projects hashed.

    data : bytes, bytearray or another contiguous buffer.  seed : int, from -2**31 to 2**32 - 1.

    Returns uint32.

    Raises TypeError if `data` is not bytes-like.

    Source: Appleby, MurmurHash3.

    >>> import sketchxc.hashing as hashing
    >>> hex(hashing.murmur3(b"abc"))
    '0xb3dd93fa'
    """
    data = _buffer(data, "data")
    return np.uint32(_kernels.murmur3(data, 0, data.size, _seed32(seed)))


def hash_strings(texts, seed=0):
    """64-bit hash (xxh64 of the UTF-8 bytes) of each text; one text has one hash, whatever held it.

    texts : list of str or bytes, NumPy array of strings (U, S, object, StringDType), pandas Series, or a pair of a uint8 buffer and int64
    offsets (n + 1,), where text i is `buffer[offsets[i]:offsets[i + 1]]`.  seed : int.

    Returns uint64 (n,).

    Raises TypeError if an item is neither str nor bytes, ValueError for a lone surrogate (it has no UTF-8 form) or bad offsets.

    >>> import numpy as np, sketchxc.hashing as hashing
    >>> [hex(h) for h in hashing.hash_strings(["a", "abc"])]
    ['0xd24ec4f1a98c6e5b', '0x44bc2cf5ad770999']
    >>> bool((hashing.hash_strings(np.array([b"a", b"abc"])) == hashing.hash_strings(["a", "abc"])).all())
    True
    """
    return _hashed(texts, _kernels.xxh64_spans, _check.seed(seed), np.uint64)


def murmur3_strings(texts, seed=0):
    """32-bit hash (MurmurHash3, x86 variant, of the UTF-8 bytes) of each text, for reading what other projects hashed.

    texts : as in `hash_strings`.  seed : int, from -2**31 to 2**32 - 1.

    Returns uint32 (n,).

    Raises what `hash_strings` raises.

    >>> import sketchxc.hashing as hashing
    >>> [hex(h) for h in hashing.murmur3_strings(["a", "abc"])]
    ['0x3c2569b2', '0xb3dd93fa']
    """
    return _hashed(texts, _kernels.murmur3_spans, _seed32(seed), np.uint32)


def _flat(keys, name):
    keys = _check.keys(keys, name)
    if keys.ndim != 1:
        raise ValueError(f"{name} must have 1 axis, not shape {keys.shape}")
    return keys


def _seed32(seed):
    return np.uint32(_check.integer(seed, "seed", -(2**31), 2**32 - 1) & 0xFFFFFFFF)


def _buffer(data, name):
    """Bytes-like object as uint8 (n,), without a copy."""
    try:
        return np.frombuffer(memoryview(data).cast("B"), np.uint8) if len(data) else np.empty(0, np.uint8)
    except TypeError:
        raise TypeError(f"{name} must be bytes or another contiguous buffer, not {type(data).__name__}") from None


def _hashed(texts, kernel, seed, dtype):
    spans, items = _spans(texts)
    if spans is not None:
        data, starts, stops = spans
        out = np.empty(starts.size, dtype)  # (n,)
        kernel(data, starts, stops, seed, out)
        return out
    out = np.empty(len(items), dtype)  # (n,)
    for first in range(0, len(items), _BLOCK):
        data, offsets = _joined(items[first:first + _BLOCK], first)
        kernel(data, offsets[:-1], offsets[1:], seed, out[first:first + _BLOCK])
    return out


def _spans(texts):
    """`((uint8 buffer, starts, stops), None)` of a container without Python objects, otherwise `(None, list of str or bytes)`."""
    if isinstance(texts, tuple) and len(texts) == 2 and isinstance(texts[1], np.ndarray) and texts[1].dtype.kind in "iu":
        return _offset_spans(*texts), None
    if isinstance(texts, np.ndarray) and texts.ndim != 1:
        raise ValueError(f"texts must have 1 axis, not shape {texts.shape}")
    if isinstance(texts, np.ndarray) and texts.dtype.kind in "SU" and texts.dtype.itemsize and texts.size:
        return (_wide_spans(texts) if texts.dtype.kind == "U" else _narrow_spans(texts)), None
    return None, items(texts)


def items(texts):
    """The texts as a list, and not yet checked one by one."""
    if isinstance(texts, list):
        return texts
    if isinstance(texts, (str, bytes, bytearray, memoryview, dict, set, frozenset)) or not hasattr(texts, "__iter__"):
        raise TypeError(f"texts must be a list or an array of strings, not {type(texts).__name__}")
    if isinstance(texts, np.ndarray) and texts.dtype.kind not in "SUOT":
        raise TypeError(f"texts must hold strings, not {texts.dtype}")
    return texts.tolist() if hasattr(texts, "tolist") else list(texts)


def _offset_spans(buffer, offsets):
    data = _buffer(buffer, "texts[0]")
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


def _joined(block, first):
    """UTF-8 bytes of a list of str or bytes in a row and their offsets int64 (n + 1,); `first` is the number of the first item."""
    offsets = np.zeros(len(block) + 1, np.int64)
    try:
        text = "".join(block)
        data = text.encode()
    except TypeError:
        parts = [encoded(item, first + i) for i, item in enumerate(block)]
        offsets[1:] = np.fromiter(map(len, parts), np.int64, len(parts))
        return np.frombuffer(b"".join(parts), np.uint8), np.cumsum(offsets, out=offsets)
    except UnicodeEncodeError:
        for i, item in enumerate(block):
            encoded(item, first + i)
        raise
    offsets[1:] = np.fromiter(map(len, block), np.int64, len(block))
    data = np.frombuffer(data, np.uint8)
    if data.size == len(text):
        return data, np.cumsum(offsets, out=offsets)
    lengths = offsets[1:].copy()
    _kernels.byte_offsets(data, lengths, offsets)
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
