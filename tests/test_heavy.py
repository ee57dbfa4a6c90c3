"""Heavy hitters: Misra-Gries count for count against its twin, bounds against exact counts, merges, real skew, bad input."""
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import heavy as naive

from sketchxc import heavy

SMALL = st.integers(0, 12)
STREAMS = st.lists(st.tuples(SMALL | st.integers(0, 2**64 - 1), st.integers(0, 5) | st.integers(0, 2**55)), max_size=60)
ONES = st.lists(SMALL, max_size=60)
KINDS = [heavy.misra_gries, heavy.space_saving]


def unsigned(keys):
    return np.array(keys, np.uint64)


def everything(summary):
    return [part.tolist() for part in heavy.top_k(summary, 10**6)]


def split(stream):
    return unsigned([key for key, _ in stream]), np.array([count for _, count in stream], np.int64)


def check_bounds(summary, truth, capacity):
    """The promises of the docstrings, for every key of the stream and one that is not in it."""
    total = sum(truth.values())
    keys = list(truth) + [2**64 - 3]
    lower, upper = heavy.bounds(summary, unsigned(keys))
    for key, low, high in zip(keys, lower.tolist(), upper.tolist()):
        assert 0 <= low <= truth.get(key, 0) <= high and high - low <= heavy.error(summary)
    assert heavy.total(summary) == total
    if isinstance(summary, heavy.MisraGries):
        left = sum(high - heavy.error(summary) for high in everything(summary)[2])
        assert heavy.error(summary) * (capacity + 1) <= total - left
    else:
        assert heavy.error(summary) * capacity <= total
        assert all(high * capacity <= truth.get(key, 0) * capacity + total for key, high in zip(keys, upper.tolist()))
        assert {key for key, count in truth.items() if count * capacity > total} <= set(everything(summary)[0])
    held, low, high = everything(summary)
    again = heavy.bounds(summary, unsigned(held))
    assert again[0].tolist() == low and again[1].tolist() == high and len(set(held)) == len(held)


@given(STREAMS, st.integers(1, 6), st.integers(0, 2**64 - 1))
def test_misra_gries_twin(stream, capacity, seed):
    keys, counts = split(stream)
    summary, twin = heavy.misra_gries(capacity, seed=seed), naive.MisraGries(capacity)
    heavy.add(summary, keys, counts)
    twin.add(keys.tolist(), counts.tolist())
    found = everything(summary)
    upper = {key: count + twin.offset for key, count in twin.counts.items()}
    lower = {key: upper[key] - twin.errors[key] for key in upper}
    assert dict(zip(found[0], found[2])) == upper and dict(zip(found[0], found[1])) == lower
    assert found[0] == sorted(upper, key=lambda key: (-upper[key], -lower[key], key))
    assert (heavy.error(summary), heavy.total(summary)) == (twin.offset, twin.total)
    check_bounds(summary, naive.truth(keys.tolist(), counts.tolist()), capacity)


@given(STREAMS, st.integers(1, 9), st.integers(0, 2**64 - 1))
def test_space_saving_bounds(stream, capacity, seed):
    keys, counts = split(stream)
    summary = heavy.space_saving(capacity, seed=seed)
    heavy.add(summary, keys, counts)
    truth = {key: count for key, count in naive.truth(keys.tolist(), counts.tolist()).items() if count}
    check_bounds(summary, truth, capacity)
    found = everything(summary)
    assert len(found[0]) == min(len(truth), capacity) and sum(found[2]) == heavy.total(summary)
    assert (summary.nodes[(np.arange(1, len(found[0])) - 1) // 2, 1] <= summary.nodes[1:len(found[0]), 1]).all()  # a heap
    if len(truth) <= capacity:
        assert dict(zip(*found[:2])) == truth == dict(zip(found[0], found[2]))


@pytest.mark.parametrize("make", KINDS)
@given(ONES, st.integers(1, 5), st.lists(st.integers(0, 60), max_size=4))
def test_batches_change_nothing(make, keys, capacity, cuts):
    whole, parts = make(capacity), make(capacity)
    heavy.add(whole, np.array(keys, np.int64))
    bounds = [0] + sorted(min(cut, len(keys)) for cut in cuts) + [len(keys)]
    for first, last in zip(bounds, bounds[1:]):
        heavy.add(parts, np.array(keys[first:last], np.int8), np.ones(last - first, np.int64))
    for one, other in zip(whole, parts):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("make", KINDS)
@given(st.lists(STREAMS, min_size=2, max_size=4), st.lists(st.integers(1, 8), min_size=4, max_size=4), STREAMS)
def test_merge_keeps_the_bounds(make, streams, capacities, after):
    merged, pairs = None, []
    for stream, capacity in zip(streams, capacities):
        part = make(capacity, seed=capacity)
        heavy.add(part, *split(stream))
        pairs += stream
        before = [np.copy(field) for field in part]
        merged = part if merged is None else heavy.merge(merged, part)
        assert all(np.array_equal(one, other) for one, other in zip(before, part))
    capacity = min(capacities[:len(streams)])
    check_bounds(merged, naive.truth(*zip(*[(key, count) for key, count in pairs if count])) if any(c for _, c in pairs) else {}, capacity)
    heavy.add(merged, *split(after))  # and goes on as a summary of both
    pairs = [(key, count) for key, count in pairs + after if count]
    check_bounds(merged, naive.truth(*zip(*pairs)) if pairs else {}, capacity)


@pytest.mark.parametrize("make", KINDS)
@given(ONES, st.integers(1, 6), st.floats(0, 1))
def test_frequent_misses_none_and_names_none_wrongly(make, keys, capacity, share):
    summary, truth = make(capacity), naive.truth(keys)
    heavy.add(summary, np.array(keys, np.int64))
    above = {key for key, count in truth.items() if count > share * len(keys)}
    assert set(heavy.frequent(summary, share, certain=True)[0].tolist()) <= above
    if int(share * len(keys)) >= heavy.error(summary):
        assert above <= set(heavy.frequent(summary, share)[0].tolist())
    else:
        with pytest.raises(ValueError, match="share must be at least"):
            heavy.frequent(summary, share)


@pytest.mark.parametrize("make", KINDS)
def test_a_skewed_stream(make):
    n = 300_000 if not numba.config.DISABLE_JIT else 2_000
    keys = (100_000 ** np.random.default_rng(3).random(n)).astype(np.int64)
    values, counts = np.unique(keys, return_counts=True)
    capacity = 1000 if n > 2_000 else 50
    summary = make(capacity)
    heavy.add(summary, keys)
    lower, upper = heavy.bounds(summary, values)
    assert (lower <= counts).all() and (counts <= upper).all() and heavy.error(summary) <= n // capacity
    best = values[np.argsort(-counts, kind="stable")[:5]]
    few = 5 if n > 2_000 else 1
    assert heavy.top_k(summary, few)[0].tolist() == best[:few].tolist()
    assert all(part[0] == counts.max() for part in heavy.top_k(summary, 1)[1:])  # exact: held from the beginning on
    assert heavy.error(summary) > 0  # the stream did not fit


@pytest.mark.parametrize("make", KINDS)
def test_keys_that_share_a_slot_are_told_apart(make):
    """All keys of the table's last slots wrap around its end."""
    summary = make(64)
    slots = summary[0].shape[0] if isinstance(summary, heavy.MisraGries) else summary.places.size
    from sketchxc import hashing
    keys = np.arange(200_000 if not numba.config.DISABLE_JIT else 20_000)
    near = keys[(hashing.mix(keys) % slots) >= slots - 2][:60]
    for _ in range(3):
        heavy.add(summary, near)
        heavy.add(summary, near[::-1])
    lower, upper = heavy.bounds(summary, near)
    assert (lower == 6).all() and (upper == 6).all()
    heavy.add(summary, keys[:500])  # replaced and purged through the wrapped runs
    check_bounds(summary, naive.truth(near.tolist() * 6 + keys[:500].tolist()), 64)


def test_sizes():
    assert heavy.capacity_for(0.5) == 2 and heavy.capacity_for(3e-4) == 3334
    for capacity in (1, 2, 3, 12288, 12289):
        slots = heavy.misra_gries(capacity).table.shape[0]
        assert 4 * (2 * capacity + 1) <= 3 * slots + 4 and slots < 2**17 and slots & (slots - 1) == 0
    assert heavy.misra_gries(12288).table.shape[0] == 2**15


def test_datasketches_lower_bounds_hold_over_many_seeds():
    keys = np.random.default_rng(0).integers(0, 2_500, 4_000 if not numba.config.DISABLE_JIT else 300)
    truth = np.bincount(keys, minlength=2_500)
    for make in KINDS:
        for seed in range(10):
            summary = make(40, seed=seed)
            heavy.add(summary, keys)
            lower, upper = heavy.bounds(summary, np.arange(2_500))
            assert (lower <= truth).all() and (truth <= upper).all()


@pytest.mark.parametrize("make", KINDS)
def test_totals_do_not_wrap(make):
    summary = make(3)
    heavy.add(summary, [1], [2**63 - 2])
    heavy.add(summary, [1])
    before = everything(summary)
    assert before == [[1], [2**63 - 1], [2**63 - 1]]
    for counts in ([1], [2**63 - 1]):
        with pytest.raises(OverflowError, match="counts must keep the total below"):
            heavy.add(summary, [1], counts)
    with pytest.raises(OverflowError, match="counts must keep"):
        heavy.add(make(3), range(4), [2**62] * 4)  # the sum wraps to 0
    with pytest.raises(OverflowError, match=r"counts must be below 2\*\*63"):
        heavy.add(make(3), [1], np.array([2**63], np.uint64))
    with pytest.raises(OverflowError, match="the total must stay below"):
        heavy.merge(summary, summary)
    assert everything(summary) == before


@pytest.mark.parametrize("make", KINDS)
def test_empty(make):
    summary = make(3)
    heavy.add(summary, [])
    heavy.add(summary, [], [])
    heavy.add(summary, [5], [0])
    assert everything(summary) == [[], [], []] and heavy.total(summary) == heavy.error(summary) == 0
    assert [part.tolist() for part in heavy.bounds(summary, [1])] == [[0], [0]] and heavy.top_k(summary, 0)[0].size == 0
    assert everything(heavy.merge(summary, make(2))) == [[], [], []] and heavy.frequent(summary, 0.0)[0].size == 0


@pytest.mark.parametrize("call, error, message", [
    (lambda: heavy.misra_gries(0), ValueError, "capacity must be between 1 and"),
    (lambda: heavy.space_saving(1.5), TypeError, "capacity must be an integer"),
    (lambda: heavy.capacity_for(0), ValueError, "error must be above 0 and below 1"),
    (lambda: heavy.capacity_for(1e-12), ValueError, "the capacity for this error"),
    (lambda: heavy.add(heavy.misra_gries(1), ["a"]), TypeError, "keys must hold integers"),
    (lambda: heavy.add(heavy.misra_gries(1), [[1]]), ValueError, "keys must have 1 axis"),
    (lambda: heavy.add(heavy.misra_gries(1), [1], [0.5]), TypeError, "counts must hold integers"),
    (lambda: heavy.add(heavy.misra_gries(1), [1], [np.nan]), TypeError, "counts must hold integers"),
    (lambda: heavy.add(heavy.space_saving(1), [1], [-1]), ValueError, "counts must not be negative, not -1"),
    (lambda: heavy.add(heavy.space_saving(1), [1], [1, 2]), ValueError, "counts must be as many as keys, 1, not 2"),
    (lambda: heavy.add(None, [1]), TypeError, "summary must be MisraGries or SpaceSaving, not NoneType"),
    (lambda: heavy.merge(heavy.misra_gries(1), heavy.space_saving(1)), TypeError, "b must be MisraGries like a, not SpaceSaving"),
    (lambda: heavy.merge(1, 2), TypeError, "summary must be"),
    (lambda: heavy.top_k(heavy.misra_gries(1), -1), ValueError, "k must be at least 0"),
    (lambda: heavy.frequent(heavy.misra_gries(1), 2), ValueError, "share must be at least 0 and at most 1"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("make", [heavy.misra_gries, heavy.space_saving])
def test_bounds_by_threads_are_those_of_one_thread(make, monkeypatch):
    made, asked = make(3), np.arange(12)
    heavy.add(made, asked**2 % 7)
    alone = heavy.bounds(made, asked)
    monkeypatch.setattr(heavy, "_FEW", 0)
    assert all(map(np.array_equal, alone, heavy.bounds(made, asked)))
