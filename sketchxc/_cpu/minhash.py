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


@serial
def equal_share(a, i, b, j):
    """Share of equal values of row i of `a` and row j of `b`."""
    same = 0
    for p in range(a.shape[1]):
        same += 1 if a[i, p] == b[j, p] else 0
    return same / a.shape[1]


@loop
def equal_shares(a, b, pairs, out):
    """Share of equal values of rows pairs[i, 0] of `a` and pairs[i, 1] of `b`; one thread owns each."""
    for i in prange(pairs.shape[0]):
        out[i] = equal_share(a, pairs[i, 0], b, pairs[i, 1])


@serial
def lowest(group, i):
    """Lowest number of the group of `i`; the way to it becomes shorter. The calling thread owns `group`."""
    while group[i] != i:
        group[i] = group[group[i]]
        i = group[i]
    return i


@serial
def join_band(values, keys, order, threshold, group, heads, tails, follow):
    """Join the groups of sets of equal keys whose shares of equal values reach the threshold; `order` sorts the keys. Serial.

    The sets of a run of equal keys that were looked at stand in one chain for each group, so that a set is compared with one member of its
    own group at most, and with all members of the others; heads, tails, follow (n,) hold the chains."""
    chains = 0
    for at in range(order.size):
        new = order[at]
        chains = chains if at > 0 and keys[new] == keys[order[at - 1]] else 0
        head, kept = new, 0
        follow[new] = -1
        for c in range(chains):
            own, other, member = lowest(group, new), lowest(group, heads[c]), heads[c]
            while own != other and member >= 0:
                if equal_share(values, new, values, member) >= threshold:
                    group[max(own, other)] = min(own, other)
                    own = other
                member = follow[member]
            if own == other:
                follow[tails[c]] = head
                head = heads[c]
            else:
                heads[kept], tails[kept] = heads[c], tails[c]
                kept += 1
        heads[kept], tails[kept] = head, new
        chains = kept + 1


@serial
def settle(group):
    """Every set gets the lowest number of its group; the calling thread owns `group`."""
    for i in range(group.size):
        group[i] = group[group[i]]  # parents are lower, and done
