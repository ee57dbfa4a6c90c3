"""Heavy hitters of streams with deletions: exact counts as truth, merges, bad input."""
import collections

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from sketchxc import sketch, turnstile

STREAM = st.lists(st.tuples(st.integers(0, 15), st.integers(-9, 9)), max_size=40)


def net(stream):
    truth = collections.Counter()
    for key, count in stream:
        truth[key] += count
    return {key: count for key, count in truth.items() if count}


def ranked(truth):
    return [list(part) for part in zip(*sorted(truth.items(), key=lambda item: (-abs(item[1]), item[0])))] or [[], []]


def filled(streams, capacity, seed=0, width=2**16):
    state = turnstile.turnstile(capacity, 3, width, seed=seed)
    for stream in streams:
        turnstile.add(state, np.array([key for key, _ in stream], np.int64), np.array([count for _, count in stream], np.int64))
    return state


def collide(seed):
    """Whether two of the keys share a cell of a row, where estimates are not exact."""
    from sketchxc import hashing
    found = hashing.buckets(range(16), sketch.count_sketch(3, 2**16, seed=seed).seeds, 2**16)
    return any(len(set(row)) < 16 for row in found.tolist())


def test_the_seeds_of_these_tests_are_exact():
    assert not any(collide(seed) for seed in (0, 1))


@given(st.lists(STREAM, max_size=4))
def test_all_keys_of_a_small_stream(streams):
    whole = [pair for stream in streams for pair in stream]
    assert [part.tolist() for part in turnstile.top_k(filled(streams, 16), 16)] == ranked(net(whole))


@given(STREAM, STREAM, st.integers(1, 5))
def test_one_call_keeps_the_largest(first, second, capacity):
    state = filled([first + second], capacity)
    wanted = ranked(net(first + second))
    assert [part.tolist() for part in turnstile.top_k(state, capacity)] == [part[:capacity] for part in wanted]
    table = filled([first, second], capacity).counts.table
    assert np.array_equal(table, state.counts.table)
    assert (np.diff(state.keys[:state.used[0]].astype(np.int64)) > 0).all() and state.used[0] <= capacity


@given(STREAM, STREAM)
def test_merge_is_the_sum(first, second):
    a, b = filled([first], 16), filled([second], 20)
    before = a.keys.copy(), a.counts.table.copy()
    merged = turnstile.merge(a, b)
    assert [part.tolist() for part in turnstile.top_k(merged, 16)] == ranked(net(first + second)) and merged.keys.size == 16
    assert np.array_equal(before[0], a.keys) and np.array_equal(before[1], a.counts.table)


def test_deleted_keys_leave_the_top():
    state = turnstile.turnstile(100, 5, 2**12, seed=3)
    n = 2000 if not numba.config.DISABLE_JIT else 300
    turnstile.add(state, range(n), [1000] * 10 + [1] * (n - 10))
    turnstile.add(state, range(5), [-1000] * 5)
    assert sorted(turnstile.top_k(state, 5)[0].tolist()) == [5, 6, 7, 8, 9]
    lower, upper = sketch.bounds(state.counts, turnstile.top_k(state, 5)[0], 1e-6)
    assert (lower <= 1000).all() and (upper >= 1000).all()


@pytest.mark.slow
def test_the_largest_is_found_for_nearly_every_seed():
    """A key of 3 / 5 of the root of the sum of squares: missed only where its estimate falls below those of all others."""
    width, depth, trials = 1200, 37, 150
    rng = np.random.default_rng(0)
    keys, counts = np.arange(2000), rng.choice([-1, 1], 2000)
    counts[77] = -40
    missed = 0
    for seed in range(trials):
        state = turnstile.turnstile(10, depth, width, seed=seed)
        for part in np.array_split(rng.permutation(2000), 5):
            turnstile.add(state, keys[part], counts[part])
        missed += turnstile.top_k(state, 1)[0].tolist() != [77]
    assert binom.sf(missed - 1, trials, 0.01) > 1e-9, missed


@pytest.mark.parametrize("call, error, message", [
    (lambda: turnstile.turnstile(0, 3, 8, seed=0), ValueError, "capacity must be between 1"),
    (lambda: turnstile.turnstile(1, 2, 8, seed=0), ValueError, "depth"),
    (lambda: turnstile.add(None, [1]), TypeError, "state must be a Turnstile, not NoneType"),
    (lambda: turnstile.add(filled([], 1), [0.5]), TypeError, "keys must hold integers"),
    (lambda: turnstile.add(filled([], 1), [1], [1, 2]), ValueError, "counts must be as many as keys"),
    (lambda: turnstile.top_k(filled([], 1), -1), ValueError, "k must be at least 0"),
    (lambda: turnstile.merge(filled([], 1), 3), TypeError, "state must be a Turnstile, not int"),
    (lambda: turnstile.merge(filled([], 1), filled([], 1, seed=1)), ValueError, "seed"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
