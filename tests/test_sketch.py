"""Sketches beside their twin in exact integers: estimates, laws, ends of the number types, threads, bad input."""
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import sketch as naive

from sketchxc import _chances, hashing, sketch

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # uint64 wraps when kernels run as Python
DTYPES = [np.int64, np.int32, np.float32]
KEYS = st.lists(st.integers(-5, 30) | st.integers(-2**63, 2**63 - 1), max_size=40)
MASK = 2**64 - 1


@st.composite
def streams(draw, signed=False):
    """(keys, counts)."""
    keys = draw(KEYS)
    return keys, draw(st.lists(st.integers(-1000 if signed else 0, 1000), min_size=len(keys), max_size=len(keys)))


@st.composite
def sketches(draw, signed=None):
    """(new sketch, is it a count-sketch?)."""
    signed = draw(st.booleans()) if signed is None else signed
    depth = draw(st.sampled_from([1, 3, 5, 7, 9])) if signed else draw(st.integers(1, 6))
    make = sketch.count_sketch if signed else sketch.count_min
    return make(depth, draw(st.integers(1, 20)), seed=draw(st.integers(0, 99)), dtype=draw(st.sampled_from(DTYPES))), signed


def fresh(s):
    return type(s)(np.zeros_like(s.table), s.seeds, np.zeros_like(s.total))


def twin(s, keys, counts, signed):
    table = naive.empty(*s.table.shape)
    naive.add(table, s.seeds.tolist(), [key & MASK for key in keys], counts, signed)
    return table


def same(a, b):
    return type(a) is type(b) and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a, b))


@given(sketches(), streams(), streams(signed=True))
def test_add_and_estimate_are_the_twin(made, plain, changes):
    s, signed = made
    keys, counts = changes if signed else plain
    sketch.add(s, np.array(keys, np.int64), np.array(counts, np.int64))
    table = twin(s, keys, counts, signed)
    assert s.table.tolist() == table and s.total.tolist() == [sum(map(abs, counts))]
    asked = [key & MASK for key in keys + [123, 456]]
    one = naive.median if signed else naive.low
    found = sketch.estimate(s, np.array(asked, np.uint64))
    assert found.dtype == s.table.dtype and found.tolist() == [one(table, s.seeds.tolist(), key) for key in asked]
    if not signed and s.table.shape[1] > 1:
        found = sketch.estimate(s, np.array(asked, np.uint64), "mean_min")
        assert np.allclose(found, [naive.mean_low(table, s.seeds.tolist(), key, sum(counts)) for key in asked], rtol=1e-9, atol=1e-6)


@given(sketches(), KEYS)
def test_no_counts_are_ones(made, keys):
    s, signed = made
    sketch.add(s, np.array(keys, np.int64))
    assert s.table.tolist() == twin(s, keys, [1] * len(keys), signed) and s.total[0] == len(keys)


@given(sketches(signed=False), streams(), streams())
def test_conservative_updates_are_the_twin_and_between_truth_and_plain(made, first, second):
    s, plain = made[0], fresh(made[0])
    table = naive.empty(*s.table.shape)
    for keys, counts in (first, second):
        sketch.add(s, np.array(keys, np.int64), np.array(counts, np.int64), conservative=True)
        sketch.add(plain, np.array(keys, np.int64), np.array(counts, np.int64))
        naive.add_conservative(table, s.seeds.tolist(), [key & MASK for key in keys], counts)
    assert s.table.tolist() == table and np.array_equal(s.total, plain.total)
    truth = naive.true_counts(first[0] + second[0], first[1] + second[1])
    asked = np.array(list(truth), np.int64)
    found = sketch.estimate(s, asked)
    assert (found >= list(truth.values())).all() and (found <= sketch.estimate(plain, asked)).all()
    both = sketch.estimate(sketch.merge(s, plain), asked)
    assert (both >= 2 * np.array(list(truth.values()))).all()


@given(sketches(signed=False), KEYS)
def test_conservative_without_counts(made, keys):
    s, other = made[0], fresh(made[0])
    sketch.add(s, np.array(keys, np.int64), conservative=True)
    sketch.add(other, np.array(keys, np.int64), np.ones(len(keys), np.int8), conservative=True)
    assert same(s, other)


@given(sketches(signed=False), streams())
def test_count_min_is_never_below(made, stream):
    s, (keys, counts) = made[0], stream
    sketch.add(s, np.array(keys, np.int64), np.array(counts, np.int64))
    truth = naive.true_counts(keys, counts)
    lower, upper = sketch.bounds(s, np.array(list(truth), np.int64), 1e-3)
    assert (upper >= list(truth.values())).all() and (lower >= 0).all() and (lower <= upper).all()
    assert np.array_equal(upper, sketch.estimate(s, np.array(list(truth), np.int64)))


@given(sketches(), streams(), st.randoms(use_true_random=False), st.integers(0, 40))
def test_order_and_batches_do_not_matter(made, stream, random, cut):
    s, (keys, counts) = made[0], stream
    sketch.add(s, np.array(keys, np.int64), np.array(counts, np.int64))
    order, other = list(range(len(keys))), fresh(s)
    random.shuffle(order)
    for part in (order[:cut], order[cut:]):
        sketch.add(other, np.array([keys[i] for i in part], np.int64), np.array([counts[i] for i in part], np.int64))
    assert same(s, other)


@given(sketches(), streams(), streams())
def test_merge_is_both_streams_and_inner_is_the_twin(made, first, second):
    (a, signed), b, both = made, fresh(made[0]), fresh(made[0])
    for s, (keys, counts) in ((a, first), (b, second), (both, first), (both, second)):
        sketch.add(s, np.array(keys, np.int64), np.array(counts, np.int64))
    before = a.table.copy()
    merged = sketch.merge(a, b)
    assert same(merged, both) and np.array_equal(a.table, before)
    assert not np.shares_memory(merged.seeds, a.seeds)
    assert sketch.inner(a, b) == naive.inner(a.table.tolist(), b.table.tolist(), signed)
    if not signed:
        f, g = naive.true_counts(*first), naive.true_counts(*second)
        assert sketch.inner(a, b) >= sum(count * g.get(key, 0) for key, count in f.items())


@given(sketches(), streams(), st.integers(-5, 5))
def test_scale_by_an_integer_is_the_scaled_stream(made, stream, factor):
    (s, signed), (keys, counts) = made, stream
    factor = factor if signed else abs(factor)
    sketch.add(s, np.array(keys, np.int64), np.array(counts, np.int64))
    sketch.scale(s, factor)
    assert s.table.tolist() == twin(s, keys, [factor * count for count in counts], signed)
    assert s.total[0] == abs(factor) * sum(counts)


@given(sketches(signed=False), streams(), st.floats(0, 3))
def test_scale_by_a_fraction_rounds_cells_down(made, stream, factor):
    s, (keys, counts) = made[0], stream
    sketch.add(s, np.array(keys, np.int64), np.array(counts, np.int64))
    before, total = s.table.copy(), int(s.total[0])
    sketch.scale(s, factor)
    if s.table.dtype == np.float32:
        assert np.array_equal(s.table, (before * np.float64(factor)).astype(np.float32)) and s.total[0] == total * factor
    else:
        assert s.table.tolist() == [[int(cell * factor // 1) for cell in row] for row in before.tolist()]
        above, below = factor.as_integer_ratio()
        assert s.total[0] == -(-total * above // below) and s.table.max() <= s.total[0]


@given(streams(signed=True), st.booleans())
def test_a_wide_sketch_is_exact(stream, signed):
    keys, counts = stream
    counts = counts if signed else [abs(count) for count in counts]
    s = (sketch.count_sketch if signed else sketch.count_min)(5, 20_000, seed=3)
    sketch.add(s, np.array(keys, np.int64), np.array(counts, np.int64))
    truth = naive.true_counts(keys, counts)
    assert sketch.estimate(s, np.array(list(truth), np.int64)).tolist() == list(truth.values())


def test_rows_hash_like_the_buckets_of_hashing():
    s = sketch.count_sketch(3, 50, seed=4)
    assert np.array_equal(s.seeds, hashing.seeds(3, 4))
    sketch.add(s, [77])
    places, signs = hashing.buckets([77], s.seeds, 50)[:, 0], hashing.signs([77], s.seeds)[:, 0]
    assert s.table[range(3), places].tolist() == signs.tolist() and np.abs(s.table).sum() == 3


def test_any_number_of_threads_gives_the_same_bits():
    size = 300 if numba.config.DISABLE_JIT else 150_000
    keys = np.random.default_rng(2).zipf(1.2, size).astype(np.int64)
    few = sketch._FEW
    threads = numba.get_num_threads()
    found = []
    try:
        for count in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            sketch._FEW = 10**9 if count == 1 else 0
            numba.set_num_threads(count)
            for make in (sketch.count_min, sketch.count_sketch):
                for dtype in DTYPES:
                    for width in (16, 1000, 200_000):
                        s = make(5, width, seed=1, dtype=dtype)
                        sketch.add(s, keys)
                        sketch.add(s, keys, keys % 7)
                        found.append((count, s.table, sketch.estimate(s, keys)))
    finally:
        numba.set_num_threads(threads)
        sketch._FEW = few
    each = len(found) // numba.config.NUMBA_NUM_THREADS
    for i, (_, table, estimates) in enumerate(found):
        assert np.array_equal(table, found[i % each][1]) and np.array_equal(estimates, found[i % each][2])


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 7, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_any_split_of_the_work_gives_the_same_table(parts, signed, dtype, monkeypatch):
    keys = np.random.default_rng(1).integers(0, 50, 200)
    s, other = [(sketch.count_sketch if signed else sketch.count_min)(5, 17, seed=1, dtype=dtype) for _ in range(2)]
    sketch.add(s, keys, keys)
    monkeypatch.setattr(sketch, "_FEW", 0)
    monkeypatch.setattr(sketch._threads, "available", lambda: parts)
    sketch.add(other, keys, keys)
    assert same(s, other)
    assert np.array_equal(sketch.estimate(s, keys), sketch.estimate(other, keys))


def test_blocks_and_chunks(monkeypatch):
    keys = np.arange(5000 if numba.config.DISABLE_JIT else 300_000) % 613
    for make in (sketch.count_min, sketch.count_sketch):
        s = make(3, 5000, seed=2)
        sketch.add(s, keys)
        wanted = make(3, 5000, seed=2)
        sketch.add(wanted, np.arange(613), np.bincount(keys))
        assert same(s, wanted) and np.array_equal(sketch.estimate(s, keys), sketch.estimate(s, np.arange(613))[keys])
    s = sketch.count_min(3, 5000, seed=2)
    sketch.add(s, keys, conservative=True)
    assert np.array_equal(sketch.estimate(s, np.arange(613)), np.bincount(keys))
    assert np.array_equal(sketch.estimate(s, keys, "mean_min"), sketch.estimate(s, np.arange(613), "mean_min")[keys])


@given(st.floats(1e-3, 0.9), st.floats(1e-4, 0.99), st.booleans())
def test_sizes_are_the_formulas(error, failure, signed):
    assert sketch.size_for(error, failure, signed=signed) == naive.size_for(error, failure, signed)


def test_chances():
    for depth in (1, 3, 5, 9, 31):
        for chance in (0.0, 0.01, 1 / 3, 0.5):
            assert _chances.half_fail(depth, chance) == pytest.approx(naive.half_fail(depth, chance), rel=1e-9, abs=1e-15)
        for failure in (1e-9, 0.01, 0.3):
            row = _chances.row_chance(depth, failure)
            assert naive.half_fail(depth, row) == pytest.approx(failure, rel=1e-6)
        assert _chances.row_chance(depth, 0.9) == pytest.approx(0.5)


def test_reaches_are_the_formulas():
    assert _chances.reach_of_min(1000.0, 3, 50, 0.001) == pytest.approx(1000 / 50 / 0.1, rel=1e-6)
    assert _chances.reach_of_min(1000, 3, 5, 1e-9) == 1000
    row = _chances.row_chance(5, 0.05)
    wanted = (100 / (1 - (2 / 10**6 / row)**0.5) / 10**6 / row)**0.5
    assert _chances.reach_of_median(100.0, 50.0, 5, 10**6, 0.1) == pytest.approx(wanted, rel=1e-3)


def test_a_row_entered_in_the_middle_belongs_to_another_thread():
    keys, s, spare = np.arange(10, dtype=np.uint64), sketch.count_min(3, 8, seed=0), np.zeros(8, np.int64)
    sketch._kernels.add_part(s.table, s.seeds, keys, None, False, 4, 20, spare)
    assert s.table.sum(1).tolist() == [0, 10, 0] and spare.sum() == 6


def test_signed_bounds_of_small_widths_are_the_total():
    s = sketch.count_sketch(3, 2, seed=0)
    sketch.add(s, [1, 2, 3], [5, -6, 7])
    assert [part.tolist() for part in sketch.bounds(s, [1, 2], 0.01)] == [[-18, -18], [18, 18]]
    wide = sketch.count_sketch(5, 100_000, seed=0)
    sketch.add(wide, range(1000), [10] * 1000)
    lower, upper = sketch.bounds(wide, [5, 6], 0.01)
    assert (lower < 10).all() and (lower > 0).all() and (upper == 20 - lower).all()
