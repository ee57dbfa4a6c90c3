"""Loops of MinHash: signatures, keys of bands, pairs of equal keys, equal shares, groups."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.minhash import fold, rank


@loop
def signatures(indptr, keys, seeds, out):
    """One thread owns each row of `out` (n, permutations)."""
    for i in prange(indptr.size - 1):
        for p in range(seeds.size):
            out[i, p] = np.uint32(0xFFFFFFFF)
        for at in range(indptr[i], indptr[i + 1]):
            key = keys[at]
            for p in range(seeds.size):
                out[i, p] = min(out[i, p], np.uint32(rank(key, seeds[p])))


@loop
def band_keys(values, first, width, out):
    """Key of columns first to first + width - 1 of each signature; one thread owns each."""
    for i in prange(values.shape[0]):
        state = np.uint64(first)
        for p in range(first, first + width):
            state = fold(state, values[i, p])
        out[i] = state


@serial
def count_pairs(keys, order):
    """Number of pairs of equal keys, whose places `order` sorts."""
    total = run = 0
    for at in range(1, order.size):
        run = run + 1 if keys[order[at]] == keys[order[at - 1]] else 0
        total += run
    return total


@serial
def fill_pairs(keys, order, out):
    """Pairs of equal keys as low * n + high; the calling thread owns `out`, and `order` is stable, so that places ascend in a run."""
    n = order.size
    start = done = 0
    for at in range(n):
        if keys[order[at]] != keys[order[start]]:
            start = at
        for before in range(start, at):
            out[done] = order[before] * n + order[at]
            done += 1


@loop
def equal_shares(a, b, pairs, out):
    """Share of equal values of rows pairs[i, 0] of `a` and pairs[i, 1] of `b`; one thread owns each."""
    for i in prange(pairs.shape[0]):
        same = 0
        for p in range(a.shape[1]):
            same += 1 if a[pairs[i, 0], p] == b[pairs[i, 1], p] else 0
        out[i] = same / a.shape[1]


@serial
def join(pairs, group):
    """Lowest number of everything that the pairs connect; `group` (n,) starts as its own places and is owned by the calling thread."""
    for i in range(pairs.shape[0]):
        low, high = pairs[i, 0], pairs[i, 1]
        while group[low] != low:
            group[low] = group[group[low]]
            low = group[low]
        while group[high] != high:
            group[high] = group[group[high]]
            high = group[high]
        group[max(low, high)] = min(low, high)
    for i in range(group.size):
        group[i] = group[group[i]]  # parents are lower, and done
