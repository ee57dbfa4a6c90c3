"""Heavy hitters of streams with deletions: a count-sketch, and beside it the keys with the largest estimates so far.

Counts may be negative, and a key is large by the absolute value of its sum. A sketch cannot list its keys, so `capacity` candidates are
kept: after each call those of the old ones and of the call's keys whose estimates are the largest.
"""
from typing import NamedTuple

import numpy as np

from . import _check, sketch


class Turnstile(NamedTuple):
    """counts : sketch.CountSketch.  keys : uint64 (capacity,), the candidates, ascending.  used : int64 (1,), how many they are."""
    counts: sketch.CountSketch
    keys: np.ndarray
    used: np.ndarray


def turnstile(capacity, depth, width, *, seed, dtype=np.int64):
    """Empty summary.

    capacity : int, candidates, 1 to 2**28; some times as many as will be asked for.
    depth, width, seed, dtype : as in `sketch.count_sketch`; `sketch.size_for(error, failure, signed=True)` chooses the first two.

    Returns Turnstile.

    Source: Charikar, Chen & Farach-Colton 2002, "Finding frequent items in data streams", section 3.2.

    >>> import sketchxc.turnstile as turnstile
    >>> sales = turnstile.turnstile(10, 5, 1000, seed=0)
    >>> turnstile.add(sales, [7, 8, 9], [5, 4, 3])
    >>> turnstile.add(sales, [7], [-5])
    >>> [part.tolist() for part in turnstile.top_k(sales, 2)]
    [[8, 9], [4, 3]]
    """
    capacity = _check.integer(capacity, "capacity", 1, 2**28)
    return Turnstile(sketch.count_sketch(depth, width, seed=seed, dtype=dtype), np.zeros(capacity, np.uint64), np.zeros(1, np.int64))


def add(state, keys, counts=None):
    """Add keys to the sketch and choose the candidates anew, in place.

    state : Turnstile.  keys, counts : as in `sketch.add`; counts may be negative.

    The table is the same for any split of the stream into calls; the candidates are not: a key that was dropped comes back only when it
    occurs again. A key stays from its last occurrence on while it is among the `capacity` largest estimates.

    Raises what `sketch.add` raises, and TypeError if `state` is no Turnstile.
    """
    _known(state)
    keys = _check.keys(keys)
    sketch.add(state.counts, keys, counts)
    _choose(state, np.union1d(state.keys[:state.used[0]], keys))


def top_k(state, k):
    """The candidates with the largest estimates, by absolute value.

    state : Turnstile.  k : int, how many.

    Returns (keys, estimates): uint64 (m,) and the table's dtype (m,), m at most k, by descending absolute estimate, of equal ones by the
    key; estimates of 0 are left out. `sketch.bounds(state.counts, keys, failure)` has their bounds.

    Raises TypeError and ValueError for a bad `k`.
    """
    _known(state)
    k = _check.integer(k, "k", 0)
    keys = state.keys[:state.used[0]]
    estimates = sketch.estimate(state.counts, keys)
    order = np.lexsort((keys, -np.abs(estimates)))[:k]
    order = order[estimates[order] != 0]
    return keys[order], estimates[order]


def merge(a, b):
    """Summary of both streams.

    a, b : Turnstile of the same depth, width, seed and dtype; both are left as they are.

    Returns a new Turnstile with the smaller capacity, its candidates chosen from those of both.

    Raises TypeError if one is no Turnstile, and what `sketch.merge` raises.

    >>> import sketchxc.turnstile as turnstile
    >>> a, b = turnstile.turnstile(9, 3, 100, seed=0), turnstile.turnstile(5, 3, 100, seed=0)
    >>> turnstile.add(a, [1, 2], [5, 2])
    >>> turnstile.add(b, [2, 3], [1, -9])
    >>> [part.tolist() for part in turnstile.top_k(turnstile.merge(a, b), 3)]
    [[3, 1, 2], [-9, 5, 3]]
    """
    _known(a)
    _known(b)
    out = Turnstile(sketch.merge(a.counts, b.counts), np.zeros(min(a.keys.size, b.keys.size), np.uint64), np.zeros(1, np.int64))
    _choose(out, np.union1d(a.keys[:a.used[0]], b.keys[:b.used[0]]))
    return out


def _choose(state, keys):
    """Keep those of the distinct keys, ascending, that have the largest estimates."""
    if keys.size > state.keys.size:
        sizes = np.abs(sketch.estimate(state.counts, keys))
        keys = keys[np.sort(np.argsort(-sizes, kind="stable")[:state.keys.size])]
    state.keys[:keys.size] = keys
    state.used[0] = keys.size


def _known(state):
    if not isinstance(state, Turnstile):
        raise TypeError(f"state must be a Turnstile, not {type(state).__name__}")
