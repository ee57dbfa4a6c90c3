"""Hashes of integer keys and of texts: the same 64 bits for a seed on every machine, for any number of threads and in any container.

Arrays of keys, and pairs of buffer and offsets, may be on a device (`to_device`, CuPy, torch); what is returned is there then.
"""
import numpy as np

from . import _check, _place, _strings
from ._cpu import hashing as _kernels
from ._threads import one_if

_FEW_KEYS, _FEW_TEXTS = 2**18, 2**14  # below these one thread is faster than two


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


def mix(keys, seed=0, *, out=None):
    """Well mixed 64-bit hash of each key, a bijection for every seed: the finalizer of MurmurHash3 on `key ^ seed`.

    keys : integers of any width and shape; negative ones in two's complement.  seed : int.
    out : None, or a C-contiguous uint64 array of the shape of `keys` to write to; fresh memory takes longer than the hashing.

    Returns uint64, the shape of `keys`; `out` if given.

    Raises TypeError if `keys` does not hold integers, ValueError if `out` is of another kind or shape.

    >>> import sketchxc.hashing as hashing
    >>> [hex(h) for h in hashing.mix([0, 1, 2])]
    ['0x0', '0xb456bcfc34c2cb2c', '0x3abf2a20650683e7']
    """
    keys, seed = _check.keys(keys, device=True), _check.seed(seed)
    small = type(keys) is np.ndarray and keys.size < _FEW_KEYS
    kernels = _kernels if small and out is None else _place.kernels(_kernels, keys=keys, out=out)
    if out is None:
        out = _place.empty(keys.shape, np.uint64, keys)
    else:
        out = _place.target().array(out) if _place.on_device(out) else out
        if not (hasattr(out, "dtype") and out.dtype == np.uint64 and out.dtype.isnative and tuple(out.shape) == tuple(keys.shape)
                and out.flags["C_CONTIGUOUS"] and (_place.on_device(out) or out.flags.writeable)):
            raise ValueError(f"out must be a writable C-contiguous uint64 array of shape {tuple(keys.shape)}")
    (kernels.mix_part if small else kernels.mix)(_line(keys), seed, _line(out))
    return out


def hash_keys(values, seed=0):
    """64-bit hash of each value of any column: `mix` of integers, booleans and floats, `hash_strings` of texts.

    values : integers or booleans of any width and shape; floats up to 64 bits, where -0.0 counts as 0.0, all NaN as one, and equal numbers
    of different width are equal; or texts, in any container that `hash_strings` takes. A number never meets its text, and a float meets
    the integer of the same bits, not of the same value: cast a column to one kind.  seed : int.

    Returns uint64, the shape of `values`.

    Raises TypeError for other kinds, numbers beyond 64 bits and mixed lists, and what `hash_strings` raises.

    >>> import numpy as np, sketchxc.hashing as hashing
    >>> [hex(h) for h in hashing.hash_keys(["a", "abc"])]
    ['0xd24ec4f1a98c6e5b', '0x44bc2cf5ad770999']
    >>> a, b = hashing.hash_keys(np.array([0.0, 2.5], np.float32), 1), hashing.hash_keys([-0.0, 2.5], 1)
    >>> bool((a == b).all())
    True
    """
    if _place.on_device(values):
        return _hashed_numbers(_place.target().array(values), seed)
    if _strings.pair(values) or isinstance(values, (str, bytes, bytearray)):
        return hash_strings(values, seed)
    if isinstance(values, (list, tuple)):
        kinds = set(map(type, values))
        if any(issubclass(kind, (str, bytes)) for kind in kinds):
            return hash_strings(values, seed)
        found = np.asarray(values, None if values else np.uint64)
        if found.dtype.kind == "f" and all(issubclass(kind, int) for kind in kinds):  # int64 beside uint64
            raise TypeError("values must hold integers that one dtype of 64 bits can hold")
    else:
        found = np.asarray(values)
        if found.dtype.kind in "SUOT":
            return hash_strings(values, seed)
    return _hashed_numbers(found, seed)


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
    keys, seeds, width = _flat(keys, "keys"), _flat(seeds, "seeds"), _check.integer(width, "width", 1, 2**31 - 1)
    kernels = _place.kernels(_kernels, keys=keys, seeds=seeds)
    out = _place.empty((seeds.size, keys.size), np.int32, keys)  # (depth, n)
    (kernels.buckets_rows if kernels is _kernels and out.size < _FEW_KEYS else kernels.buckets)(keys, seeds, width, out)
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
    kernels = _place.kernels(_kernels, keys=keys, seeds=seeds)
    out = _place.empty((seeds.size, keys.size), np.int8, keys)  # (depth, n)
    (kernels.signs_rows if kernels is _kernels and out.size < _FEW_KEYS else kernels.signs)(keys, seeds, out)
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
    there = _place.on_device(labels)
    if there and np.dtype(_place.target().array(labels).dtype).itemsize > 4:
        raise TypeError("labels must be int32 or smaller on a device, where their range is not looked at")
    labels = _check.array(labels, "labels", np.int64, 1, device=True)
    if not there and labels.size and (labels.min() < -2**31 or labels.max() >= 2**31):
        raise ValueError(f"labels must be between -2**31 and 2**31 - 1, not from {labels.min()} to {labels.max()}")
    repetitions = _check.integer(repetitions, "repetitions", 0, 2**31 - 1)
    out = _place.empty((repetitions, labels.size), np.int32, labels)  # (repetitions, n)
    width = _check.integer(width, "width", 1, 2**31 - 1)
    with one_if(out.size < _FEW_KEYS):
        _place.kernels(_kernels, labels=labels).official_buckets(labels, width, out)
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
    data = _strings.buffer(data, "data")
    return int(_kernels.xxh64(_strings.padded(data), 0, data.size, _check.seed(seed)))


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
    data = _strings.buffer(data, "data")
    return np.uint32(_kernels.murmur3(_strings.padded(data), 0, data.size, _seed32(seed)))


def murmur3_128(data, seed=0):
    """128-bit hash (MurmurHash3, x64 variant) of one byte string, for reading what other projects hashed.

    data : bytes, bytearray or another contiguous buffer.
    seed : int from -2**63 to 2**64 - 1; other libraries take 32 bits, of which the published code fills both halves of the state.

    Returns int, from 0 to 2**128 - 1: the 16 bytes of the digest as a little-endian number.

    Raises TypeError if `data` is not bytes-like.

    Source: Appleby, MurmurHash3.

    >>> import sketchxc.hashing as hashing
    >>> hashing.murmur3_128(b"abc").to_bytes(16, "little").hex()
    '6778ad3f3f3f96b4522dca264174a23b'
    """
    data = _strings.buffer(data, "data")
    low, high = _kernels.murmur3_128(_strings.padded(data), 0, data.size, _check.seed(seed))
    return int(low) | int(high) << 64


def hash_strings(texts, seed=0):
    """64-bit hash (xxh64 of the UTF-8 bytes) of each text; one text has one hash, whatever held it.

    texts : list of str or bytes, NumPy array of strings (U, S, object, StringDType), pandas Series, or a pair of a uint8 buffer and int64
    offsets (n + 1,), both on the host or both on a device, where text i is `buffer[offsets[i]:offsets[i + 1]]`.  seed : int.

    Returns uint64 (n,).

    Raises TypeError if an item is neither str nor bytes, ValueError for a lone surrogate (it has no UTF-8 form) or bad offsets.

    >>> import numpy as np, sketchxc.hashing as hashing
    >>> [hex(h) for h in hashing.hash_strings(["a", "abc"])]
    ['0xd24ec4f1a98c6e5b', '0x44bc2cf5ad770999']
    >>> bool((hashing.hash_strings(np.array([b"a", b"abc"])) == hashing.hash_strings(["a", "abc"])).all())
    True
    """
    return _hashed(texts, "xxh64_spans", _check.seed(seed), np.uint64)


def murmur3_strings(texts, seed=0):
    """32-bit hash (MurmurHash3, x86 variant, of the UTF-8 bytes) of each text, for reading what other projects hashed.

    texts : as in `hash_strings`.  seed : int, from -2**31 to 2**32 - 1.

    Returns uint32 (n,).

    Raises what `hash_strings` raises.

    >>> import sketchxc.hashing as hashing
    >>> [hex(h) for h in hashing.murmur3_strings(["a", "abc"])]
    ['0x3c2569b2', '0xb3dd93fa']
    """
    return _hashed(texts, "murmur3_spans", _seed32(seed), np.uint32)


def murmur3_128_strings(texts, seed=0):
    """128-bit hash (MurmurHash3, x64 variant, of the UTF-8 bytes) of each text, for reading what other projects hashed.

    texts : as in `hash_strings`.  seed : as in `murmur3_128`.

    Returns uint64 (n, 2), the low half first.

    Raises what `hash_strings` raises.

    >>> import sketchxc.hashing as hashing
    >>> [hex(half) for half in hashing.murmur3_128_strings(["abc"])[0]]
    ['0xb4963f3f3fad7867', '0x3ba2744126ca2d52']
    """
    return _hashed(texts, "murmur3_128_spans", _check.seed(seed), np.uint64, 2)


def _flat(keys, name):
    keys = _check.keys(keys, name, device=True)
    if keys.ndim != 1:
        raise ValueError(f"{name} must have 1 axis, not shape {tuple(keys.shape)}")
    return keys


def _line(array):
    """An array as one with one axis."""
    return array if array.ndim == 1 else array.reshape(array.size)


def _hashed_numbers(found, seed):
    """`hash_keys` of an array of numbers on the host or on a device."""
    if found.dtype.kind in "biu":
        return mix(found.view(np.uint8) if found.dtype.kind == "b" else found, seed)
    if found.dtype.kind != "f" or found.dtype.itemsize > 8:
        raise TypeError(f"values must hold integers, floats up to 64 bits, booleans or texts, not {found.dtype}")
    bits = _check.array(found, "values", np.float64, found.ndim, kinds="f", device=True).reshape(found.size).view(np.uint64)
    out = _place.empty(bits.shape, np.uint64, bits)
    kernels = _place.kernels(_kernels, values=bits)
    (kernels.mix_floats_part if kernels is _kernels and out.size < _FEW_KEYS else kernels.mix_floats)(bits, _check.seed(seed), out)
    return out.reshape(found.shape)


def _seed32(seed):
    return np.uint32(_check.integer(seed, "seed", -(2**31), 2**32 - 1) & 0xFFFFFFFF)


def _hashed(texts, name, seed, dtype, words=None):
    if _strings.pair(texts) and any(map(_place.on_device, texts)):
        return _hashed_there(*texts, name, seed, dtype, words)
    with one_if(np.size(texts) < _FEW_TEXTS if isinstance(texts, np.ndarray) else True):  # only arrays are converted by kernels
        spans, items = _strings.spans(texts)
    n = len(items) if spans is None else spans[1].size
    out = np.empty(n if words is None else (n, words), dtype)
    kernel = getattr(_kernels, name)
    with one_if(n < _FEW_TEXTS):
        if spans is not None:
            data, starts, stops = spans
            kernel(_strings.padded(data), starts, stops, seed, out)
            return out
        for first in range(0, n, _strings.BLOCK):
            data, offsets = _strings.joined(items, first, min(_strings.BLOCK, n - first))
            kernel(_strings.padded(data), offsets[:-1], offsets[1:], seed, out[first:first + _strings.BLOCK])
    return out


def _hashed_there(data, offsets, name, seed, dtype, words):
    """Hashes of a pair of buffer and offsets on a device."""
    kernels = _place.kernels(_kernels, **{"texts[0]": data, "texts[1]": offsets})
    data = _check.array(data, "texts[0]", np.uint8, 1, kinds="u", device=True)
    offsets = _check.array(offsets, "texts[1]", np.int64, 1, device=True)
    bad = _place.zeros(1, np.int64, data)
    kernels.check_offsets(offsets, data.size, bad)
    if not offsets.size or _place.to_host(bad)[0]:
        raise ValueError(f"texts[1] must hold ascending offsets into the {data.size} bytes of texts[0]")
    out = _place.empty(offsets.size - 1 if words is None else (offsets.size - 1, words), dtype, data)
    getattr(kernels, name)(data, offsets[:-1], offsets[1:], seed, out)
    return out
