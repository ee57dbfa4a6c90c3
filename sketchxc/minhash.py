"""MinHash signatures of sets, their Jaccard similarity, and search for similar sets by banding."""
from typing import NamedTuple

import numpy as np

from . import _check, hashing, sparse
from ._cpu import minhash as _kernels


class Signatures(NamedTuple):
    """Lowest hash of each set in each permutation.

    values : uint32 (n, permutations); a set without members has 2**32 - 1 everywhere.  seed : int, the permutations are drawn from it.
    """
    values: np.ndarray
    seed: int


def signatures(x, permutations=128, *, seed=0):
    """MinHash signatures of sets.

    x : Rows, whose stored columns are the members; or a pair of int64 starts (n + 1,) and integers (nnz,), for example hashes of shingles:
        set i is `keys[starts[i]:starts[i + 1]]`, in any order, repetitions allowed.
    permutations : int, 1 to 65,536.  seed : int.
    Returns Signatures.
    Raises TypeError for other types, ValueError for starts that do not fit the keys.
    Source: Broder 1997; the 64-bit mixer `mix64` takes the place of the permutations.
    Example:
        >>> signatures((np.array([0, 2, 4]), np.array([5, 9, 9, 5])), 3).values.tolist()
        [[3795495289, 3627167574, 1841410216], [3795495289, 3627167574, 1841410216]]
    """
    if isinstance(x, sparse.Rows):
        x = sparse.rows(x)
        x = x.indptr, x.indices
    if not isinstance(x, tuple) or len(x) != 2:
        raise TypeError(f"x must be Rows or a pair of starts and keys, not {type(x).__name__}")
    starts, keys = _check.array(x[0], "starts", np.int64, 1), _check.keys(x[1])
    if keys.ndim != 1:
        raise ValueError(f"keys must have 1 axis, not shape {keys.shape}")
    if starts.size == 0 or starts[0] != 0 or starts[-1] != keys.size or (starts[1:] < starts[:-1]).any():
        raise ValueError(f"starts must ascend from 0 to the number of keys, {keys.size}")
    permutations = _check.integer(permutations, "permutations", 1, 65536)
    seeds = hashing.seeds(permutations, seed)
    out = np.empty((starts.size - 1, permutations), np.uint32)
    _kernels.signatures(starts, keys, seeds, out)
    return Signatures(out, int(_check.seed(seed)))


def jaccard(a, b, pairs):
    """Estimated Jaccard similarity of pairs of sets: unbiased, with standard error sqrt(s (1 - s) / permutations).

    a, b : Signatures of the same seed and number of permutations.  pairs : integers (m, 2), numbers of sets of a and of b.
    Returns float64 (m,), 0 to 1; 1 for two empty sets.
    Raises ValueError for signatures that do not fit together and numbers outside them.
    Example:
        >>> s = signatures(sparse.rows([[0, 1], [1, 0], [7]]))
        >>> jaccard(s, s, [[0, 1], [0, 2]]).tolist()
        [1.0, 0.0]
    """
    left, right = _values(a, "a"), _values(b, "b")
    if a.seed != b.seed or left.shape[1] != right.shape[1]:
        raise ValueError(f"a and b must have one seed and number of permutations, not {a.seed}, {left.shape[1]} and {b.seed}, "
                         f"{right.shape[1]}")
    pairs = _check.array(pairs, "pairs", np.int64, 2)
    if pairs.shape[1] != 2:
        raise ValueError(f"pairs must have 2 columns, not {pairs.shape[1]}")
    if pairs.size and (pairs.min() < 0 or pairs[:, 0].max() >= left.shape[0] or pairs[:, 1].max() >= right.shape[0]):
        raise ValueError(f"pairs must hold numbers of the {left.shape[0]} sets of a and the {right.shape[0]} of b")
    out = np.empty(pairs.shape[0])
    _kernels.equal_shares(left, right, pairs, out)
    return out


def band_curve(similarity, bands, rows):
    """Probability that two sets of a similarity share a band: 1 - (1 - s**rows)**bands.

    similarity : float or floats, 0 to 1.  bands, rows : int, at least 1.  Returns float64 of the same shape.
    Example:
        >>> round(float(band_curve(0.8, 20, 5)), 4)
        0.9996
    """
    bands, rows = _check.integer(bands, "bands", 1), _check.integer(rows, "rows", 1)
    s = np.asarray(similarity, np.float64)
    if not ((s >= 0) & (s <= 1)).all():
        raise ValueError("similarity must be between 0 and 1")
    return 1 - (1 - s**rows)**bands


def bands_for(threshold, permutations, *, found=0.99):
    """Most selective banding that still finds pairs at the threshold with the wanted probability.

    threshold : float, above 0, at most 1.  permutations : int, at least 1.  found : float, above 0, below 1.
    Returns (bands, rows) with bands * rows <= permutations and the most rows.
    Raises ValueError if no banding finds that many.
    Example:
        >>> bands_for(0.8, 128)
        (21, 6)
    """
    threshold = _check.real(threshold, "threshold", 0, 1, open_low=True)
    found = _check.real(found, "found", 0, 1, open_low=True, open_high=True)
    for rows in range(_check.integer(permutations, "permutations", 1, 65536), 0, -1):
        if band_curve(threshold, permutations // rows, rows) >= found:
            return permutations // rows, rows
    raise ValueError(f"permutations must be more than {permutations} to find {found} of the pairs at the threshold {threshold}")


def candidates(found, bands, rows):
    """Pairs of sets that agree in all values of at least one band.

    found : Signatures.  bands, rows : int, bands * rows at most the number of permutations.
    Returns int64 (m, 2), each pair once, low number first, ascending. Memory is that of all pairs: many equal sets give very many
    (`duplicates` lists none).
    Raises ValueError if the bands do not fit.
    Example:
        >>> candidates(signatures(sparse.rows([[0, 1], [7], [1, 0]])), 20, 5).tolist()
        [[0, 2]]
    """
    values = _values(found, "found")
    bands, rows = _check.integer(bands, "bands", 1), _check.integer(rows, "rows", 1)
    if bands * rows > values.shape[1]:
        raise ValueError(f"bands * rows must be at most {values.shape[1]}, the number of permutations, not {bands * rows}")
    n = values.shape[0]
    keys, pairs = np.empty(n, np.uint64), np.empty(0, np.int64)
    for band in range(bands):
        _kernels.band_keys(values, band * rows, rows, keys)
        order = np.argsort(keys, kind="stable")
        new = np.empty(_kernels.count_pairs(keys, order), np.int64)
        _kernels.fill_pairs(keys, order, new)
        pairs = np.union1d(pairs, new)
    return np.stack([pairs // max(n, 1), pairs % max(n, 1)], axis=1)


def similar(found, threshold, *, chance=0.99):
    """Pairs of sets whose estimated similarity reaches the threshold, among the candidates of `bands_for`.

    found : Signatures.  threshold : float, above 0, at most 1.  chance : float, of a pair at the threshold to be a candidate.
    Returns (pairs, similarity): int64 (m, 2) as `candidates` gives them, and float64 (m,), the estimates.
    Example:
        >>> similar(signatures(sparse.rows([[0, 1], [7], [1, 0]])), 0.8)
        (array([[0, 2]]), array([1.]))
    """
    pairs = candidates(found, *bands_for(threshold, _values(found, "found").shape[1], found=chance))
    similarity = jaccard(found, found, pairs)
    keep = similarity >= threshold
    return pairs[keep], similarity[keep]


def duplicates(found, threshold, *, chance=0.99):
    """Group of each set: sets that a chain of similar pairs connects, the pairs of `similar`, none of which are listed.

    found, threshold, chance : as in `similar`.
    Returns int64 (n,), the lowest number of each set's group; a set stays if it is its own number. Memory is that of a few columns, and
    sets of equal values take one comparison each; sets that share a band but are not similar are compared with each other.
    Example:
        >>> duplicates(signatures(sparse.rows([[0, 1], [7], [1, 0]])), 0.8).tolist()
        [0, 1, 0]
    """
    values = _values(found, "found")
    bands, rows = bands_for(threshold, values.shape[1], found=chance)
    equal = _groups(values, 1, values.shape[1], 1.0)
    first = np.flatnonzero(equal == np.arange(equal.size))
    group = _groups(values if first.size == equal.size else values[first], bands, rows, float(threshold))
    return first[group][np.searchsorted(first, equal)]


def _groups(values, bands, rows, threshold):
    """Lowest number of each set's group, of pairs that share a band and reach the threshold."""
    n = values.shape[0]
    keys, group, heads, tails, follow = np.empty(n, np.uint64), np.arange(n), *np.empty((3, n), np.int64)
    for band in range(bands):
        _kernels.band_keys(values, band * rows, rows, keys)
        order = np.argsort(keys, kind="stable")
        _kernels.join_band(values, keys, order, threshold, group, heads, tails, follow)
    _kernels.settle(group)
    return group


def _values(found, name):
    if not isinstance(found, Signatures):
        raise TypeError(f"{name} must be Signatures, not {type(found).__name__}")
    values = _check.array(found.values, f"{name}.values", np.uint32, 2)
    if values.shape[1] == 0:
        raise ValueError(f"{name}.values must have at least one column")
    return values
