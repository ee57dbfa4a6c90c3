"""MinHash: signatures, estimates, bands and groups against naive twins; exact bounds of the estimate and of the band curve."""
import tracemalloc

import numpy as np
import pytest
from conftest import AS_PYTHON
from hypothesis import given
from hypothesis import strategies as st
from naive import minhash as naive

from sketchxc import hashing, minhash, sparse

SETS = st.lists(st.lists(st.integers(-2**63, 2**63 - 1) | st.integers(0, 5), max_size=6), max_size=8)


def build(sets, permutations, seed=0):
    starts = np.cumsum([0] + [len(keys) for keys in sets])
    return minhash.signatures((starts, np.array(sum(sets, []), np.int64)), permutations, seed=seed)


@given(SETS, st.integers(1, 5), st.integers(0, 2**64 - 1))
def test_signatures_are_those_of_the_naive_twin(sets, permutations, seed):
    seeds = hashing.seeds(permutations, seed).tolist()
    assert build(sets, permutations, seed).values.tolist() == [naive.signature(keys, seeds) for keys in sets]


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), max_size=9), st.sampled_from([(1, 4), (2, 2), (4, 1), (1, 3)]))
def test_candidates_are_those_of_the_naive_twin(values, bands):
    found = minhash.Signatures(np.array(values, np.uint32).reshape(-1, 4), 0)
    assert minhash.candidates(found, *bands).tolist() == naive.candidates(values, *bands)


@given(st.lists(st.lists(st.integers(0, 1), min_size=4, max_size=4), max_size=9), st.sampled_from([0.5, 0.75, 1.0]))
def test_similar_pairs_and_groups(values, threshold):
    found = minhash.Signatures(np.array(values, np.uint32).reshape(-1, 4), 0)
    share = lambda i, j: sum(a == b for a, b in zip(values[i], values[j])) / 4
    bands = minhash.bands_for(threshold, 4, found=0.9)
    wanted = [pair for pair in naive.candidates(values, *bands) if share(*pair) >= threshold]
    pairs, similarity = minhash.similar(found, threshold, chance=0.9)
    assert pairs.tolist() == wanted and similarity.tolist() == [share(*pair) for pair in wanted]
    assert minhash.duplicates(found, threshold, chance=0.9).tolist() == naive.groups(len(values), wanted)


def test_a_late_member_joins_earlier_groups():
    found = minhash.Signatures(np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1]], np.uint32), 0)
    assert minhash.duplicates(found, 0.75, chance=0.9).tolist() == [0, 0, 0]


@given(st.lists(st.lists(st.integers(0, 1), min_size=8, max_size=8), max_size=14), st.sampled_from([0.5, 0.625, 0.75]))
def test_groups_are_those_of_the_similar_pairs(values, threshold):
    """Many groups in one bucket, which later sets and later bands join."""
    found = minhash.Signatures(np.array(values, np.uint32).reshape(-1, 8), 0)
    pairs, _ = minhash.similar(found, threshold, chance=0.5)
    assert minhash.duplicates(found, threshold, chance=0.5).tolist() == naive.groups(len(values), pairs.tolist())


def test_sets_of_one_bucket_need_not_be_similar():
    """The sets 0 and 2 share a band with set 1, which lies between them in the bucket and is like neither."""
    found = minhash.Signatures(np.array([[0, 1, 1, 1], [0, 2, 3, 4], [0, 1, 1, 5], [0, 2, 9, 9]], np.uint32), 0)
    assert minhash.duplicates(found, 0.75, chance=0.99).tolist() == [0, 1, 0, 3]


def test_equal_sets_take_no_memory_of_pairs():
    n = 1000 if AS_PYTHON else 200_000
    values = np.zeros((n, 8), np.uint32)
    values[n // 2:, :2] = 7  # each half alike, and similar to the other
    tracemalloc.start()
    group = minhash.duplicates(minhash.Signatures(values, 0), 0.75)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not group.any() and peak < 100 * n + 10**6
    assert minhash.duplicates(minhash.Signatures(values, 0), 0.8).tolist() == [0] * (n // 2) + [n // 2] * (n // 2)


def test_rows_are_sets_and_order_and_repetitions_do_not_matter():
    wanted = build([[3, 5], []], 8).values
    assert (minhash.signatures(sparse.rows([[5, 3], []]), 8).values == wanted).all()
    assert (build([[5, 3, 5], []], 8).values == wanted).all() and (wanted[1] == 2**32 - 1).all()


def test_bands_for_takes_the_most_rows():
    for threshold in (0.3, 0.8, 1.0):
        bands, rows = minhash.bands_for(threshold, 128)
        assert minhash.band_curve(threshold, bands, rows) >= 0.99
        assert all(1 - (1 - threshold**r)**(128 // r) < 0.99 for r in range(rows + 1, 129))
    with pytest.raises(ValueError, match="permutations must be more than 2"):
        minhash.bands_for(0.1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2**40, 2**48])
def test_values_agree_as_often_as_the_similarity_says(step):
    """Sets of similarity 1/3, for which linear hashes agree too rarely; exact binomial bounds at 1e-9."""
    from scipy.stats import binom
    permutations, bands, rows, agreed, shared = 2000, 20, 2, 0, 0
    a, b = (np.arange(100) * step).tolist(), (np.arange(50, 150) * step).tolist()
    for seed in range(20):
        values = build([a, b], permutations, seed).values
        same = values[0] == values[1]
        agreed += int(same.sum())
        shared += int(same.reshape(-1, bands, rows).all(axis=2).any(axis=1).sum())
    for count, trials, chance in ((agreed, 20 * permutations, 1 / 3),
                                  (shared, 20 * permutations // (bands * rows), float(minhash.band_curve(1 / 3, bands, rows)))):
        assert binom.cdf(count, trials, chance) > 1e-9 and binom.sf(count - 1, trials, chance) > 1e-9


FOUND = minhash.Signatures(np.zeros((2, 4), np.uint32), 0)


@pytest.mark.parametrize("call, error, message", [
    (lambda: minhash.signatures([1]), TypeError, "x must be Rows or a pair"),
    (lambda: minhash.signatures((np.array([0, 2]), np.array([1]))), ValueError, "starts must ascend from 0"),
    (lambda: minhash.signatures((np.array([0, 2, 1]), np.array([1]))), ValueError, "starts must ascend from 0"),
    (lambda: minhash.signatures((np.array([0, 1]), np.array([[1]]))), ValueError, "keys must have 1 axis"),
    (lambda: minhash.signatures((np.array([0]), np.array([1])), 0), ValueError, "starts must ascend"),
    (lambda: minhash.jaccard(FOUND, FOUND._replace(seed=1), [[0, 1]]), ValueError, "must have one seed"),
    (lambda: minhash.jaccard(FOUND, FOUND, [[0, 2]]), ValueError, "pairs must hold numbers"),
    (lambda: minhash.jaccard(FOUND, FOUND, [[-1, 0]]), ValueError, "pairs must hold numbers"),
    (lambda: minhash.jaccard(FOUND, FOUND, [[0]]), ValueError, "pairs must have 2 columns"),
    (lambda: minhash.jaccard(FOUND.values, FOUND, [[0, 1]]), TypeError, "a must be Signatures"),
    (lambda: minhash.candidates(FOUND._replace(values=FOUND.values[:, :0]), 1, 1), ValueError, "at least one column"),
    (lambda: minhash.candidates(FOUND, 2, 3), ValueError, "at most 4"),
    (lambda: minhash.band_curve(1.5, 2, 3), ValueError, "similarity must be between 0 and 1"),
    (lambda: minhash.bands_for(0, 4), ValueError, "threshold must be above 0"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
