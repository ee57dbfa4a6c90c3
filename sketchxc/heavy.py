"""Heavy hitters: the most frequent keys of a stream in a fixed number of counters, with bounds that hold for every key and not only likely.

The true count of a key lies between its lower and its upper bound, which are a share of the total of 1 / capacity apart at most, and equal
for keys that were held from their first occurrence on. Misra-Gries is the faster one, SpaceSaving holds exactly `capacity` keys. Both
merge, also those of unlike sizes. Which keys are held depends on the order of the stream; that the bounds hold does not.
"""
import math
from typing import NamedTuple

import numpy as np

from . import _check
from ._cpu import heavy as _kernels

_FEW = 2**15     # keys below which one thread is faster than two
_MOST = 2**28    # counters
_USED, _OFFSET, _TOTAL = range(3)
_NONE = np.empty(0, np.int64)  # counts of 1 each, or errors of 0


class MisraGries(NamedTuple):
    """table : uint64 (slots, 2), keys and upper bounds of their counts, 0 in empty slots.  errors : int64 (slots + 1,), what a key may have
    lost before it was held.  totals : int64 (3,), keys held, what a key that is not held may have lost, sum of all counts added.
    seed : int, of the places of the keys.  capacity : int, counters that the bound speaks of."""
    table: np.ndarray
    errors: np.ndarray
    totals: np.ndarray
    seed: int
    capacity: int


class SpaceSaving(NamedTuple):
    """nodes : uint64 (capacity, 3), keys, counts and errors, a heap with the smallest count first.  slots : uint64 (capacity,), the slot of
    each node in `places`.  places : int32 (slots,), node of each slot, -1 for none.  totals, seed : as in MisraGries."""
    nodes: np.ndarray
    slots: np.ndarray
    places: np.ndarray
    totals: np.ndarray
    seed: int


def capacity_for(error):
    """Counters that keep every count within `error` times the total.

    error : float, above 0 and below 1.

    Returns int.

    >>> import sketchxc.heavy as heavy
    >>> heavy.capacity_for(1e-4)
    10000
    """
    error = _check.real(error, "error", 0, 1, open_low=True, open_high=True)
    return _check.integer(math.ceil(1 / error), "the capacity for this error", 1, _MOST)


def misra_gries(capacity, *, seed=0):
    """Empty Misra-Gries summary.

    capacity : int, counters, 1 to 2**28; up to twice as many keys are held, in 64 to 128 bytes a counter.
    seed : int, of the places of keys in the table, for streams whose author knows the hash.

    Returns MisraGries. With N the total, `upper - N / (capacity + 1) <= lower <= true <= upper`.

    Source: Misra & Gries 1982; Agarwal et al. 2012, "Mergeable summaries"; subtraction for many keys at a time as in Anderson et al. 2017.

    >>> import sketchxc.heavy as heavy
    >>> words = heavy.misra_gries(100)
    >>> heavy.add(words, [7, 7, 8])
    >>> heavy.add(words, [8, 9], [10, 1])
    >>> [part.tolist() for part in heavy.top_k(words, 2)]
    [[8, 7], [11, 2], [11, 2]]
    """
    capacity = _check.integer(capacity, "capacity", 1, _MOST)
    slots = 1 << max(2, (8 * capacity // 3 - 1).bit_length() if capacity > 1 else 2)  # 3/4 full at most
    table, errors = np.zeros((slots, 2), np.uint64), np.zeros(slots + 1, np.int64)
    return MisraGries(table, errors, np.zeros(3, np.int64), int(_check.seed(seed)), capacity)


def space_saving(capacity, *, seed=0):
    """Empty SpaceSaving summary.

    capacity : int, keys held, 1 to 2**28.  seed : int, as in `misra_gries`.

    Returns SpaceSaving. With N the total, `true <= upper <= true + N / capacity`; a key whose true count is above N / capacity is held.

    Source: Metwally, Agrawal & El Abbadi 2005, "Efficient computation of frequent and top-k elements in data streams".

    >>> import sketchxc.heavy as heavy
    >>> words = heavy.space_saving(2)
    >>> heavy.add(words, [7, 7, 8, 9])
    >>> [part.tolist() for part in heavy.top_k(words, 2)]
    [[7, 9], [2, 1], [2, 2]]
    """
    capacity = _check.integer(capacity, "capacity", 1, _MOST)
    places = np.full(1 << (2 * capacity - 1).bit_length(), -1, np.int32)
    return SpaceSaving(np.zeros((capacity, 3), np.uint64), np.zeros(capacity, np.uint64), places, np.zeros(3, np.int64),
                       int(_check.seed(seed)))


def add(summary, keys, counts=None):
    """Add keys to a summary, in place and in their order; the split into calls changes nothing.

    summary : MisraGries or SpaceSaving.  keys : integers (n,) of any width; negative ones in two's complement; texts go through
    `hashing.hash_keys`.  counts : None, 1 each, or integers (n,) from 0.

    Raises TypeError if keys or counts are not integers, ValueError for negative counts and other shapes, OverflowError where the total
    would pass 2**63 - 1. Nothing is added then.
    """
    _known(summary)
    keys = _keys(keys)
    amount, found = keys.size, None
    if counts is not None:
        found, amount = _counts(counts, keys.size)
    if summary.totals.item(_TOTAL) + amount >= 2**63:
        raise OverflowError(f"counts must keep the total below 2**63, not add {amount} to {summary.totals[_TOTAL]}")
    if counts is None or keys.size:
        _add(summary, keys, found)


def total(summary):
    """Sum of all counts that were added, also of keys that are no longer held.

    Returns int.

    >>> import sketchxc.heavy as heavy
    >>> words = heavy.misra_gries(1)
    >>> heavy.add(words, range(10))
    >>> heavy.total(words)
    10
    """
    _known(summary)
    return int(summary.totals[_TOTAL])


def error(summary):
    """How far lower and upper bounds of a key are apart at most, which also bounds the count of every key that is not held.

    Returns int, from what was seen: at most total / (capacity + 1) for MisraGries, total / capacity for SpaceSaving.

    >>> import sketchxc.heavy as heavy
    >>> words = heavy.misra_gries(1)
    >>> heavy.add(words, [1, 1, 1, 2, 2, 3])
    >>> heavy.error(words)
    2
    """
    _known(summary)
    if isinstance(summary, MisraGries):
        return int(summary.totals[_OFFSET])
    return int(summary.nodes[0, 1]) if summary.totals[_USED] == summary.nodes.shape[0] else 0


def bounds(summary, keys):
    """Bounds of the true count of each key; they hold always.

    summary : MisraGries or SpaceSaving.  keys : integers (n,), as in `add`.

    Returns (lower, upper), int64 (n,) each; not more than `error(summary)` apart.

    Raises TypeError if `keys` does not hold integers, ValueError for other shapes.

    >>> import sketchxc.heavy as heavy
    >>> words = heavy.misra_gries(1)
    >>> heavy.add(words, [1, 1, 1, 2, 2, 3])
    >>> [part.tolist() for part in heavy.bounds(words, [1, 2, 4])]
    [[3, 0, 0], [3, 2, 2]]
    """
    _known(summary)
    keys = _keys(keys)
    lower, upper, small = np.empty(keys.size, np.int64), np.empty(keys.size, np.int64), keys.size < _FEW
    if isinstance(summary, MisraGries):
        run, parts = _kernels.lookup_part if small else _kernels.lookup, (summary.table, summary.errors)
    else:
        run, parts = _kernels.held_part if small else _kernels.held, (summary.nodes, summary.places)
    run(*parts, np.uint64(summary.seed), error(summary), keys, lower, upper)
    return lower, upper


def top_k(summary, k):
    """The keys with the largest counts.

    summary : MisraGries or SpaceSaving.  k : int, how many.

    Returns (keys, lower, upper): uint64 and int64 (m,), m at most k, by descending upper bound, of equal ones by descending lower bound,
    then by the key. A key that is not among them may be as frequent as one whose bounds overlap its own: `lower[i] >= upper[j]` is sure.

    Raises TypeError or ValueError for a bad `k`.

    >>> import sketchxc.heavy as heavy
    >>> words = heavy.space_saving(10)
    >>> heavy.add(words, [3, 1, 1])
    >>> [part.tolist() for part in heavy.top_k(words, 1)]
    [[1], [2], [2]]
    """
    k = _check.integer(k, "k", 0)
    keys, lower, upper = _held(summary)
    order = np.lexsort((keys, -lower, -upper))[:k]
    return keys[order], lower[order], upper[order]


def frequent(summary, share, *, certain=False):
    """The keys whose true count is above a share of the total: all of them, or only those that surely are.

    summary : MisraGries or SpaceSaving.  share : float, from 0 to 1.
    certain : bool; False gives every key that may be above (none is missing), True those whose lower bound is (none is wrong).

    Returns (keys, lower, upper) as `top_k` does.

    Raises ValueError for shares outside the range, and, unless `certain`, below `error(summary) / total(summary)`, where keys that are not
    held might be above.

    >>> import sketchxc.heavy as heavy
    >>> words = heavy.misra_gries(10)
    >>> heavy.add(words, [1] * 6 + [2] * 3 + [3])
    >>> heavy.frequent(words, 0.2)[0].tolist()
    [1, 2]
    """
    share = _check.real(share, "share", 0, 1)
    limit = math.floor(share * total(summary))
    if not certain and limit < error(summary):
        raise ValueError(f"share must be at least {error(summary) / total(summary):.3g} for this summary, not {share}")
    keys, lower, upper = top_k(summary, _MOST)
    above = (lower if certain else upper) > limit
    return keys[above], lower[above], upper[above]


def merge(a, b):
    """Summary of both streams, with the bounds of the smaller capacity for the sum of the totals.

    a, b : two MisraGries or two SpaceSaving, of any capacities and seeds; both are left as they are.

    Returns a new summary with the smaller capacity and the seed of `a`.

    Raises TypeError for two kinds, OverflowError where the total would pass 2**63 - 1.

    Source: Agarwal et al. 2012, "Mergeable summaries", section 2; Cafaro, Pulimeno & Tempesta 2016 (SpaceSaving).

    >>> import sketchxc.heavy as heavy
    >>> a, b = heavy.misra_gries(10), heavy.misra_gries(20)
    >>> heavy.add(a, [1, 2]), heavy.add(b, [2, 2])
    (None, None)
    >>> [part.tolist() for part in heavy.top_k(heavy.merge(a, b), 2)]
    [[2, 1], [3, 1], [3, 1]]
    """
    if type(a) is not type(b):
        raise TypeError(f"b must be {type(a).__name__} like a, not {type(b).__name__}")
    whole = total(a) + total(b)
    if whole >= 2**63:
        raise OverflowError(f"the total must stay below 2**63, not become {whole}")
    keys = np.union1d(_held(a)[0], _held(b)[0])
    (lower_a, upper_a), (lower_b, upper_b) = bounds(a, keys), bounds(b, keys)
    upper = upper_a + upper_b
    errors = upper - lower_a - lower_b
    order = np.lexsort((keys, -upper))
    if isinstance(a, MisraGries):
        out = misra_gries(min(a.capacity, b.capacity), seed=a.seed)
        offset = error(a) + error(b)
        if keys.size > 2 * out.capacity:
            offset = upper[order[out.capacity]]
        order = order[upper[order] > offset]
        out.totals[:_TOTAL] = order.size, offset
        _kernels.fill(out.table, out.errors, np.uint64(out.seed), keys[order], upper[order].view(np.uint64), errors[order])
    else:
        out = space_saving(min(a.nodes.shape[0], b.nodes.shape[0]), seed=a.seed)
        order = order[:out.nodes.shape[0]]
        _kernels.replace(out.nodes, out.slots, out.places, out.totals, np.uint64(out.seed), keys[order], upper[order], errors[order])
    out.totals[_TOTAL] = whole
    return out


def held(summary):
    """What a summary holds, in the order of its table or heap.

    summary : MisraGries or SpaceSaving.

    Returns (keys, upper, errors), uint64 (m,) each: the true count of a key is from upper - error to upper.
    """
    keys, lower, upper = _held(summary)
    return keys, upper.view(np.uint64), (upper - lower).view(np.uint64)


def restored(kind, capacity, seed, totals, keys, counts, errors):
    """The summary that holds what `held` gave.

    kind : MisraGries or SpaceSaving.  capacity, seed : ints.  totals : pair of ints, what a key that is not held may have lost, and the
    total.  keys, counts, errors : uint64 (m,) each, as `held` gave them; they are not checked.

    Returns a summary that goes on as the other one would.
    """
    if kind is MisraGries:
        out = misra_gries(capacity, seed=seed)
        _kernels.fill(out.table, out.errors, np.uint64(out.seed), keys, counts, errors.view(np.int64))
    else:
        out = space_saving(capacity, seed=seed)
        _kernels.replace(out.nodes, out.slots, out.places, out.totals, np.uint64(out.seed), keys, counts.view(np.int64),
                         errors.view(np.int64))
    out.totals[:] = keys.size, *totals
    return out


def _add(summary, keys, counts):
    seed = np.uint64(summary.seed)
    if isinstance(summary, MisraGries):
        _kernels.add(summary.table, summary.errors, summary.totals, seed, summary.capacity, keys, counts)
    else:
        counts = _NONE if counts is None else counts
        _kernels.replace(summary.nodes, summary.slots, summary.places, summary.totals, seed, keys, counts, _NONE)


def _held(summary):
    """Keys, lower and upper bounds of all keys held, in the order of the table."""
    _known(summary)
    if isinstance(summary, MisraGries):
        full = summary.table[:, 1] > 0
        upper = summary.table[full, 1].astype(np.int64)
        return summary.table[full, 0], upper - summary.errors[:-1][full], upper
    nodes = summary.nodes[:summary.totals[_USED]]
    upper = nodes[:, 1].astype(np.int64)
    return nodes[:, 0].copy(), upper - nodes[:, 2].astype(np.int64), upper


def _known(summary):
    if not isinstance(summary, (MisraGries, SpaceSaving)):
        raise TypeError(f"summary must be MisraGries or SpaceSaving, not {type(summary).__name__}")


def _keys(keys):
    keys = _check.keys(keys)
    if keys.ndim != 1:
        raise ValueError(f"keys must have 1 axis, not shape {keys.shape}")
    return keys


def _counts(counts, n):
    """Counts as int64 (n,) and their exact sum."""
    found = np.asarray(counts)
    if found.dtype.kind == "u" and found.size and found.max() >= 2**63:
        raise OverflowError(f"counts must be below 2**63, not {found.max()}")
    found = _check.array(counts, "counts", np.int64, 1)
    if found.size != n:
        raise ValueError(f"counts must be as many as keys, {n}, not {found.size}")
    if n and found.min() < 0:
        raise ValueError(f"counts must not be negative, not {found.min()}: a count-sketch takes deletions")
    # The sum of the halves of 32 bits cannot wrap.
    return found, (int((found >> 32).sum()) << 32) + int((found & 0xFFFFFFFF).sum())
