"""Lookups: plain-integer twin, known answers, inverse, given tables, bad input, bucket loads and collisions of labels."""
import math

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import hashing as naive_hashing
from naive import lookup as naive
from strategies import SEEDS

from sketchxc import lookup
from sketchxc._cpu import lookup as kernels

pytestmark = pytest.mark.usefixtures("one_thread")


@st.composite
def tables(draw):
    """An int32 table and its number of buckets, some of them perhaps empty."""
    reps, n_labels, buckets = draw(st.integers(1, 4)), draw(st.integers(1, 30)), draw(st.integers(1, 12))
    numbers = draw(st.lists(st.integers(0, buckets - 1), min_size=reps * n_labels, max_size=reps * n_labels))
    return np.array(numbers, np.int32).reshape(reps, n_labels), buckets


def test_known_answers():
    table = lookup.label_buckets(lookup.hashed(5, reps=2, buckets=1000, seed=0))
    assert table.tolist() == [[579, 197, 597, 991, 726], [535, 746, 339, 85, 546]]
    assert table.dtype == np.int32


@given(st.integers(1, 40), st.integers(1, 5), st.one_of(st.integers(1, 50), st.integers(1, 2**31 - 1)), SEEDS)
def test_hashed_buckets_match_plain_integers(n_labels, reps, buckets, seed):
    found = lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=seed)
    assert found.seeds.tolist() == naive_hashing.seeds(reps, seed)
    assert (found.table.shape, found.table.dtype, found.buckets, found.n_labels) == ((reps, 0), np.int32, buckets, n_labels)
    assert found.reps == reps
    assert lookup.label_buckets(found).tolist() == naive.label_buckets(n_labels, reps, buckets, seed)


@pytest.mark.parametrize("n_labels", [4095, 4096, 4097, 8200])
def test_every_label_of_every_block_has_its_bucket(n_labels):
    found = lookup.label_buckets(lookup.hashed(n_labels, reps=2, buckets=1000, seed=3))
    wanted = naive.label_buckets(n_labels, 2, 1000, 3)
    assert found.tolist() == wanted
    places = np.empty((n_labels, 2), np.int32)
    kernels.places(found, 1000, 1, places)
    assert places[:, 0].tolist() == wanted[0]
    assert places[:, 1].tolist() == [1000 + b for b in wanted[1]]


def test_more_labels_leave_the_buckets_of_the_first():
    few = lookup.label_buckets(lookup.hashed(20, reps=3, buckets=7, seed=1))
    many = lookup.label_buckets(lookup.hashed(50, reps=3, buckets=7, seed=1))
    assert (many[:, :20] == few).all()


def test_identity_gives_every_label_its_own_bucket():
    found = lookup.identity(5)
    assert lookup.label_buckets(found).tolist() == [[0, 1, 2, 3, 4]]
    assert (found.reps, found.buckets, found.n_labels, found.table.dtype) == (1, 5, 5, np.int32)
    offsets, order = lookup.inverse(found.table, 5)
    assert offsets.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert order.tolist() == [[0, 1, 2, 3, 4]]


@given(tables())
def test_given_table_is_read_back(case):
    table, buckets = case
    found = lookup.from_table(table.astype(np.uint16), buckets)
    assert lookup.label_buckets(found).tolist() == table.tolist()
    assert (found.reps, found.buckets, found.n_labels) == (table.shape[0], buckets, table.shape[1])
    assert found.table.dtype == np.int32
    assert found.seeds.tolist() == [0] * table.shape[0]


def test_given_table_is_a_copy():
    table = np.zeros((1, 3), np.int64)
    found = lookup.from_table(table, 2)
    table[:] = 1
    assert found.table.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("error, table, buckets, message", [
    (ValueError, [[0, 2]], 2, "table must hold buckets between 0 and 1"),
    (ValueError, [[-1, 0]], 2, "table must hold buckets between 0 and 1"),
    (ValueError, np.array([[0, 2**64 - 1]], np.uint64), 2, "table must hold buckets"),
    (ValueError, np.array([[0, 2**32]]), 2, "table must hold buckets"),
    (ValueError, np.empty((0, 3), np.int64), 2, "at least one label"),
    (ValueError, np.empty((3, 0), np.int64), 2, "at least one label"),
    (ValueError, [0, 1], 2, "table must have 2 axes"),
    (ValueError, [[0, 0]], 0, "buckets must be between 1 and"),
    (ValueError, [[0, 0]], 2**31, "buckets must be between 1 and"),
    (TypeError, [[0.0, 1.0]], 2, "table must hold integers"),
    (TypeError, [[0, 1]], 2.0, "buckets must be an integer"),
])
def test_bad_tables(error, table, buckets, message):
    with pytest.raises(error, match=message):
        lookup.from_table(table, buckets)


@pytest.mark.parametrize("error, n_labels, changed, message", [
    (ValueError, 0, {}, "n_labels must be between 1"),
    (ValueError, 2**31, {}, "n_labels must be between 1"),
    (TypeError, 3.0, {}, "n_labels must be an integer"),
    (ValueError, 3, {"reps": 0}, "reps must be between 1"),
    (ValueError, 3, {"reps": 2**16 + 1}, "reps must be between 1"),
    (ValueError, 3, {"buckets": 0}, "buckets must be between 1"),
    (TypeError, 3, {"buckets": "4"}, "buckets must be an integer"),
    (ValueError, 3, {"seed": 2**64}, "seed must be between"),
    (TypeError, 3, {"seed": None}, "seed must be an integer"),
])
def test_bad_numbers(error, n_labels, changed, message):
    with pytest.raises(error, match=message):
        lookup.hashed(n_labels, **{"reps": 2, "buckets": 4, **changed})


@pytest.mark.parametrize("error, n_labels", [(ValueError, 0), (ValueError, 2**31), (TypeError, 1.5)])
def test_bad_identity(error, n_labels):
    with pytest.raises(error, match="n_labels must be"):
        lookup.identity(n_labels)


@given(tables())
def test_inverse_is_the_sorted_inverse(case):
    table, buckets = case
    offsets, order = lookup.inverse(table, buckets)
    assert (offsets.dtype, order.dtype) == (np.int64, np.int32)
    assert (offsets.shape, order.shape) == ((table.shape[0], buckets + 1), table.shape)
    assert [[order[r, offsets[r, b]:offsets[r, b + 1]].tolist() for b in range(buckets)] for r in range(table.shape[0])] \
        == naive.inverse(table.tolist(), buckets)
    for r in range(table.shape[0]):
        assert sorted(order[r]) == list(range(table.shape[1]))
        assert (offsets[r, 0], offsets[r, -1]) == (0, table.shape[1])
        assert (np.repeat(np.arange(buckets), np.diff(offsets[r])) == table[r, order[r]]).all()


@given(tables(), st.data())
def test_bucket_of_one_label(case, data):
    table, buckets = case
    r, label = data.draw(st.integers(0, table.shape[0] - 1)), data.draw(st.integers(0, table.shape[1] - 1))
    seeds = np.array(naive_hashing.seeds(table.shape[0], 5), np.uint64)
    assert kernels.bucket_of(label, r, seeds, table, buckets) == table[r, label]
    assert kernels.bucket_of(label, r, seeds, table[:, :0], buckets) == naive.label_buckets(label + 1, r + 1, buckets, 5)[r][label]


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2 or numba.config.DISABLE_JIT, reason="needs two threads")
def test_any_thread_count_gives_the_same_tables():
    def tables():
        table = lookup.label_buckets(lookup.hashed(30_000, reps=5, buckets=64, seed=9))
        return [part.tobytes() for part in (table, *lookup.inverse(table, 64))]
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = tables()
        numba.set_num_threads(2)
        assert tables() == one
    finally:
        numba.set_num_threads(before)


@given(st.integers(2, 10**7), st.integers(2, 10**5), st.sampled_from([0.5, 0.1, 0.01, 1e-3, 1e-6]))
def test_needed_reps_is_the_smallest_of_theorem_2(n_labels, buckets, failure):
    found = lookup.needed_reps(n_labels, buckets, failure)
    exact = 2 * math.log(n_labels / math.sqrt(failure)) / math.log(buckets)
    if abs(exact - round(exact)) > 1e-9:  # where a power fits exactly the logarithms round either way
        assert found == naive.needed_reps(n_labels, buckets, failure)
    assert math.log(math.comb(n_labels, 2)) - found * math.log(buckets) <= math.log(failure) + 1e-9


def test_needed_reps_of_known_sizes():
    assert lookup.needed_reps(200, 32) == 5
    assert lookup.needed_reps(200, 32, failure=0.5) == 4
    assert lookup.needed_reps(10, 10**6) == 1
    assert lookup.needed_reps(1, 1) == 1
    assert lookup.needed_reps(2, 1) == math.inf


@pytest.mark.slow
@pytest.mark.parametrize("buckets", [2, 100, 1000, 4099])
def test_bucket_loads_are_even(buckets):
    from scipy.stats import chi2
    n_labels, reps = 50_000, 8
    table = lookup.label_buckets(lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=17))
    loads = np.stack([np.bincount(row, minlength=buckets) for row in table])
    distance = ((loads - n_labels / buckets)**2).sum() * buckets / n_labels
    freedom = reps * (buckets - 1)
    assert chi2.sf(distance, freedom) > 1e-9
    assert chi2.cdf(distance, freedom) > 1e-9  # too even is not random either


@pytest.mark.slow
@pytest.mark.parametrize("buckets, reps", [(32, 3), (32, 4)])
def test_labels_share_all_buckets_as_seldom_as_theorem_2_says(buckets, reps):
    from scipy.stats import binomtest
    n_labels, draws = 200, 2000
    bound = math.comb(n_labels, 2) * buckets**-reps
    hits = sum(naive.has_twins(lookup.label_buckets(lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=seed)).tolist())
               for seed in range(draws))
    assert binomtest(hits, draws, bound, alternative="greater").pvalue > 1e-9
    assert binomtest(hits, draws, 1 - math.exp(-bound)).pvalue > 1e-9  # collisions of a mixer come one by one
