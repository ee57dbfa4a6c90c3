"""Hash families with a proof: multiply-shift, polynomials modulo 2**61 - 1, and tabulation, for theorems that need one.

The default of this package, `hashing.buckets`, mixes better than a proof asks for and is faster; these are for those who want the proof:
a guarantee holds over the draw of the family's numbers (the seed), for any keys that were chosen without looking at them.
A family and its keys may be on a device (`to_device`).
"""
from typing import NamedTuple

import numpy as np

from . import _check, _place, hashing
from ._cpu import families as _kernels
from ._threads import one_if

PRIME = 2**61 - 1
_FEW = 2**16  # hashes below which one thread is faster than two


class MultiplyShift(NamedTuple):
    """`(factor * key mod 2**64)` by its high bits: two keys share one of 2**b buckets with probability 2 / 2**b at most (2-universal).

    factors : uint64 (depth,), odd."""
    factors: np.ndarray


class Polynomial(NamedTuple):
    """Random polynomial modulo 2**61 - 1: any k different keys from 0 to 2**61 - 2 have independent and uniform values.

    A key beyond is its residue and its quotient by the prime, and the quotient has a coefficient of its own: any two keys of 64 bits are
    independent too.

    coefficients : uint64 (depth, k + 1), below 2**61 - 1; the lowest power first, the quotient's last."""
    coefficients: np.ndarray


class Tabulation(NamedTuple):
    """Exclusive or of a table entry for each byte of the key: any 3 keys are independent (and concentration is better than that).

    tables : uint64 (depth, 8, 256), 16 KiB a row."""
    tables: np.ndarray


def multiply_shift(depth, seed):
    """A multiply-shift family of `depth` independent rows.

    depth : int.  seed : int, from -2**63 to 2**64 - 1.

    Returns MultiplyShift.

    Source: Dietzfelbinger, Hagerup, Katajainen & Penttonen 1997, "A reliable randomized algorithm for the closest-pair problem".

    >>> import sketchxc.families as families
    >>> families.buckets(families.multiply_shift(2, seed=1), [1, 2, 3], 1024).tolist()
    [[580, 136, 716], [763, 503, 243]]
    """
    return MultiplyShift(hashing.seeds(depth, seed) | np.uint64(1))


def polynomial(depth, independence, seed):
    """A polynomial family of `depth` independent rows.

    depth : int.  independence : int, 2 to 16, of how many keys the values are independent.  seed : int, from -2**63 to 2**64 - 1.

    Returns Polynomial.

    Source: Wegman & Carter 1981, "New hash functions and their use in authentication and set equality", section 3.

    >>> import sketchxc.families as families
    >>> families.signs(families.polynomial(1, 4, seed=1), [1, 2, 3, 4]).tolist()
    [[-1, 1, 1, 1]]
    """
    depth, terms = _check.integer(depth, "depth", 0), _check.integer(independence, "independence", 2, 16) + 1
    words = hashing.seeds(depth * terms, seed) >> np.uint64(3)
    words[words == PRIME] = 0  # one word in 2**61
    return Polynomial(words.reshape(depth, terms))


def tabulation(depth, seed):
    """A simple tabulation family of `depth` independent rows.

    depth : int.  seed : int, from -2**63 to 2**64 - 1.

    Returns Tabulation.

    Source: Zobrist 1970; Patrascu & Thorup 2012, "The power of simple tabulation hashing".

    >>> import sketchxc.families as families
    >>> [hex(h) for h in families.hashes(families.tabulation(1, seed=1), [0, 1])[0]]
    ['0x6614bd4171691cc9', '0x49f51d0c9de5ac6f']
    """
    return Tabulation(hashing.seeds(2048 * _check.integer(depth, "depth", 0), seed).reshape(-1, 8, 256))


def hashes(family, keys):
    """Hash of each key in each row.

    family : MultiplyShift, Polynomial or Tabulation.  keys : integers (n,) of any width; negative ones in two's complement.

    Returns uint64 (depth, n): 64 bits, of which only the high ones are good for MultiplyShift; 0 to 2**61 - 2 for Polynomial.

    Raises TypeError if `keys` does not hold integers or `family` is none.

    >>> import numpy as np, sketchxc.families as families
    >>> families.hashes(families.Polynomial(np.array([[5, 3, 0]], np.uint64)), [0, 1, 2]).tolist()
    [[5, 8, 11]]
    """
    name, numbers, _ = _parts(family)
    keys = _check.keys(keys, device=True)
    if keys.ndim != 1:
        raise ValueError(f"keys must have 1 axis, not shape {tuple(keys.shape)}")
    kernels = _place.kernels(_kernels, family=numbers, keys=keys)
    out = _place.empty((numbers.shape[0], keys.size), np.uint64, keys)  # (depth, n)
    with one_if(out.size < _FEW):
        getattr(kernels, name)(numbers, keys, out)
    return out


def buckets(family, keys, width):
    """Bucket of each key in each row, from the high bits of its hash.

    family, keys : as in `hashes`.  width : int, 1 to 2**31 - 1; for MultiplyShift's guarantee a power of two.

    Returns int32 (depth, n), 0 to width - 1. Two keys share a bucket with probability 1 / width for Polynomial and Tabulation (up to
    2**-31), 2 / width at most for MultiplyShift.

    Raises what `hashes` raises, and ValueError for a bad width.

    >>> import sketchxc.families as families
    >>> families.buckets(families.tabulation(1, seed=1), [0, 1, 2], 10).tolist()
    [[3, 2, 0]]
    """
    width = _check.integer(width, "width", 1, 2**31 - 1)
    words, shift = hashes(family, keys), _parts(family)[2]
    out = _place.empty(words.shape, np.int32, words)  # (depth, n)
    with one_if(out.size < _FEW):
        _place.kernels(_kernels, keys=words).buckets(words.reshape(words.size), np.uint64(shift), width, out.reshape(words.size))
    return out


def signs(family, keys):
    """Sign of each key in each row, from the lowest bit of its hash, which `buckets` does not read.

    family : Polynomial or Tabulation; multiply-shift promises nothing of a single bit.  keys : as in `hashes`.

    Returns int8 (depth, n), -1 or 1. Signs of 4 keys are independent for a polynomial family of independence 4.

    Raises what `hashes` raises, and TypeError for MultiplyShift.

    >>> import sketchxc.families as families
    >>> families.signs(families.tabulation(2, seed=1), [0, 1, 2]).tolist()
    [[1, 1, -1], [-1, -1, -1]]
    """
    if isinstance(family, MultiplyShift):
        raise TypeError("family must be Polynomial or Tabulation for signs, not MultiplyShift")
    words = hashes(family, keys)
    out = _place.empty(words.shape, np.int8, words)  # (depth, n)
    with one_if(out.size < _FEW):
        _place.kernels(_kernels, keys=words).signs(words.reshape(words.size), out.reshape(words.size))
    return out


def _parts(family):
    """Name of the kernel, numbers and shift to 64 bits of a family."""
    if isinstance(family, MultiplyShift):
        return "multiply_shift", _check.array(family.factors, "family.factors", np.uint64, 1, kinds="u", device=True), 0
    if isinstance(family, Polynomial):
        numbers = _check.array(family.coefficients, "family.coefficients", np.uint64, 2, kinds="u", device=True)
        if numbers.shape[1] < 2 or not _place.on_device(numbers) and (numbers >= PRIME).any():
            raise ValueError("family.coefficients must be two or more numbers below 2**61 - 1 in each row")
        return "polynomial", numbers, 3
    if isinstance(family, Tabulation):
        numbers = _check.array(family.tables, "family.tables", np.uint64, 3, kinds="u", device=True)
        if numbers.shape[1:] != (8, 256):
            raise ValueError(f"family.tables must have shape (depth, 8, 256), not {numbers.shape}")
        return "tabulation", numbers, 0
    raise TypeError(f"family must be MultiplyShift, Polynomial or Tabulation, not {type(family).__name__}")
