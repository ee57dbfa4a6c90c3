"""Decoding: the naive loop over labels, ties, odd sizes, pruning, transforms, the unbiased estimator, bad input, threads."""
import math

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import decode as naive
from strategies import SEEDS

from sketchxc import decode, lookup
from sketchxc._cpu import decode as kernels

ALL = ["logit", "mean", "unbiased", "log", "min", "median"]
AS_PYTHON = bool(numba.config.DISABLE_JIT)
pytestmark = pytest.mark.usefixtures("one_thread")


def steps(rng, shape):
    """Logits in steps of 1/4: scores with many ties, which no rounding breaks."""
    return (rng.integers(-24, 25, shape) / 4).astype(np.float32)


def agree(found, scores, own, k, how, softmax=False, narrow=None):
    """Labels and scores are those of the naive loop, but for the order of labels whose scores differ by rounding only."""
    labels, values = found
    assert (labels.dtype, values.dtype) == (np.int32, np.float32)
    assert labels.shape == values.shape == (scores.shape[1], k)
    table = lookup.label_buckets(own).tolist()
    for i in range(scores.shape[1]):
        rows = scores[:, i].tolist()
        wanted = naive.label_scores(rows, table, how, softmax)
        allowed = range(own.n_labels) if narrow is None else naive.candidates(rows, table, *narrow, k)
        order, best = naive.ranked(wanted, allowed, k)
        np.testing.assert_allclose(values[i], best, rtol=1e-5, atol=2e-6)
        real = [label for label in labels[i].tolist() if label >= 0]
        assert labels[i].tolist() == real + [-1] * order.count(-1)
        assert len(set(real)) == len(real) and set(real) <= set(allowed)
        np.testing.assert_allclose(values[i, :len(real)], [wanted[label] for label in real], rtol=1e-5, atol=2e-6)
        if how == "min":  # sums that differ in the last bit may become equal means, in the order of the sums
            pairs = list(zip(values[i].tolist(), labels[i].tolist()))[:len(real)]
            assert pairs == sorted(pairs, key=lambda pair: (-pair[0], pair[1]))


@st.composite
def cases(draw):
    """Integer logits (reps, n, buckets), a lookup, k."""
    reps, n, buckets = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 9))
    n_labels = draw(st.integers(1, 30))
    own = lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=draw(SEEDS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(-3, 4, (reps, n, buckets)).astype(np.float32), own, draw(st.integers(1, n_labels))


@given(cases())
def test_whole_numbers_are_ranked_exactly(case):
    scores, own, k = case
    labels, values = decode.top_k(scores.copy(), own, k)
    table = lookup.label_buckets(own).tolist()
    for i in range(scores.shape[1]):
        order, best = naive.ranked(naive.label_scores(scores[:, i].tolist(), table, "logit"), range(own.n_labels), k)
        assert labels[i].tolist() == order
        assert values[i].tolist() == np.array(best, np.float32).tolist()


@given(cases(), st.sampled_from([("min", kernels.LEAST), ("median", kernels.MEDIAN)]))
def test_smallest_and_median_of_whole_numbers_are_ranked_exactly(case, join):
    scores, own, k = case
    table = lookup.label_buckets(own).tolist()
    labels, values = np.empty((scores.shape[1], k), np.int32), np.empty((scores.shape[1], k), np.float32)
    kernels.exact(scores, decode.decoding_tables(own)[0], join[1], values, labels)
    for i in range(scores.shape[1]):
        columns = [[scores[r, i, table[r][label]] for r in range(own.reps)] for label in range(own.n_labels)]
        wanted = [float(min(column) if join[0] == "min" else np.median(column)) for column in columns]
        order, best = naive.ranked(wanted, range(own.n_labels), k)
        assert (labels[i].tolist(), values[i].tolist()) == (order, best)


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("how", ALL)
@given(case=cases(), step=st.sampled_from([0.25, 1.0, 0.37]))
def test_all_aggregates_match_the_naive_loop(how, softmax, case, step):
    scores, own, k = case
    scores = scores * np.float32(step)
    agree(decode.top_k(scores.copy(), own, k, how=how, softmax=softmax), scores, own, k, how, softmax)


@pytest.mark.parametrize("how", ["logit", "log", "min", "median"])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 33])
def test_any_number_of_rows(n, how):
    own = lookup.hashed(40, reps=4, buckets=7, seed=n)
    scores = np.random.default_rng(n).normal(0, 3, (4, n, 7)).astype(np.float32)
    agree(decode.top_k(scores.copy(), own, 5, how=how), scores, own, 5, how)


@pytest.mark.parametrize("how", ["logit", "min", "median"])
@pytest.mark.parametrize("n_labels, k", [(1, 1), (2, 2), (127, 1), (128, 128), (129, 129), (129, 3), (300, 300)])
def test_any_number_of_labels(n_labels, k, how):
    own = lookup.hashed(n_labels, reps=3, buckets=11, seed=n_labels)
    scores = steps(np.random.default_rng(k), (3, 2, 11))
    agree(decode.top_k(scores.copy(), own, k, how=how), scores, own, k, how)


def test_best_label_may_be_the_last_and_lie_in_any_block():
    own = lookup.identity(300)
    best = np.array([0, 15, 127, 128, 255, 256, 299])
    scores = np.zeros((1, best.size, 300), np.float32)
    scores[0, np.arange(best.size), best] = 1
    labels, values = decode.top_k(scores, own, 2)
    assert labels[:, 0].tolist() == best.tolist()
    assert labels[:, 1].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert values.tolist() == [[1, 0]] * best.size


def test_one_repetition_of_the_identity_sorts_the_scores():
    scores = steps(np.random.default_rng(4), (1, 3, 50))
    labels, values = decode.top_k(scores.copy(), lookup.identity(50), 50)
    assert (labels == np.argsort(-scores[0], axis=1, kind="stable")).all()
    assert (values == -np.sort(-scores[0], axis=1)).all()


def test_no_rows_give_no_rows():
    for top in (None, 1):
        labels, values = decode.top_k(np.empty((2, 0, 3), np.float32), lookup.hashed(5, reps=2, buckets=3), 4, top=top)
        assert labels.shape == values.shape == (0, 4)


def test_permuted_labels_permute_the_answers():
    rng = np.random.default_rng(5)
    table, scores = rng.integers(0, 20, (3, 60)), rng.normal(size=(3, 4, 20)).astype(np.float32)
    shuffle = rng.permutation(60)
    found = decode.top_k(scores.copy(), lookup.from_table(table, 20), 60)
    moved = decode.top_k(scores.copy(), lookup.from_table(table[:, shuffle], 20), 60)
    assert (found[1] == moved[1]).all()
    for i in range(4):
        for value in set(found[1][i].tolist()):
            at = found[1][i] == value
            assert set(shuffle[moved[0][i, at]]) == set(found[0][i, at])


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("how", ["logit", "mean", "log"])
@given(seed=st.integers(0, 2**32), buckets=st.integers(1, 40), scale=st.sampled_from([0.1, 3.0, 30.0, 90.0]))
def test_transforms_to_a_few_units_in_the_last_place(how, softmax, seed, buckets, scale):
    rows = np.random.default_rng(seed).normal(0, scale, (2, 3, buckets)).clip(-300, 300).astype(np.float32)
    found = rows.copy()
    kernels.transform_all(decode.AGGREGATES[how][0], softmax, found)
    for r in range(2):
        for i in range(3):
            wanted = naive.transformed(rows[r, i].tolist(), how, softmax)
            loose = 1e-6 * (1 + (np.abs(rows[r, i]).max() if softmax else 0))  # a softmax subtracts two logits in float32
            np.testing.assert_allclose(found[r, i], wanted, rtol=loose if how != "logit" else 0, atol=loose if how == "log" else 1e-36)


def test_equal_logits_stay_equal_at_any_place_of_a_row():
    for kind in (kernels.PROBABILITY, kernels.LOG_PROBABILITY):
        for softmax in (False, True):
            for value in (-20.3, -1.7, 0.1, 0.9, 5.3):
                scores = np.full((1, 1, 75), value, np.float32)
                kernels.transform_all(kind, softmax, scores)
                assert (scores == scores[0, 0, 0]).all()


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=9))
def test_median(numbers):
    assert kernels.median_of(np.array(numbers, np.float32)) == np.median(numbers)


@given(st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=12), st.integers(1, 14))
def test_insertion_in_any_order_sorts(scores, k):
    for order in (range(len(scores)), reversed(range(len(scores)))):
        values, labels = np.full(k, -np.inf, np.float32), np.full(k, -1, np.int32)
        for label in order:
            last = values[k - 1], labels[k - 1]
            if scores[label] > last[0] or (scores[label] == last[0] and (last[1] < 0 or label < last[1])):
                kernels.insert(np.float32(scores[label]), label, values, labels)
        assert (labels.tolist(), values.tolist()) == naive.ranked(scores, range(len(scores)), k)


@given(st.integers(1, 5), st.sampled_from([1, 2, 63, 64, 65, 130]), st.integers(0, 2**32), st.sampled_from([3, 40, 10**6]))
def test_best_buckets(top, buckets, seed, spread):
    row = np.random.default_rng(seed).integers(0, spread, buckets).astype(np.float32)
    top = min(top, buckets)
    values, chosen = np.empty(top, np.float32), np.empty(top, np.int64)
    kernels.best_buckets(row, values, chosen)
    assert (chosen.tolist(), values.tolist()) == naive.ranked(row.tolist(), range(buckets), top)


# ---- pruned

@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("how", ALL)
@given(case=cases())
def test_pruned_at_full_width_is_exact(how, softmax, case):
    scores, own, k = case
    exact = decode.top_k(scores.copy(), own, k, how=how, softmax=softmax)
    pruned = decode.top_k(scores.copy(), own, k, how=how, softmax=softmax, top=own.buckets, least=1)
    assert (pruned[0] == exact[0]).all() and (pruned[1] == exact[1]).all()


@pytest.mark.parametrize("how", ALL)
@given(case=cases(), top=st.integers(1, 6), least=st.integers(1, 5), softmax=st.booleans())
def test_pruned_candidates_and_their_scores(how, case, top, least, softmax):
    scores, own, k = case
    found = decode.top_k(scores.copy(), own, k, how=how, softmax=softmax, top=top, least=least)
    agree(found, scores, own, k, how, softmax, narrow=(top, min(least, own.reps)))


@given(case=cases(), top=st.integers(1, 6), least=st.integers(1, 5))
def test_pruned_whole_numbers_are_ranked_exactly(case, top, least):
    scores, own, k = case
    labels, values = decode.top_k(scores.copy(), own, k, top=top, least=least)
    table = lookup.label_buckets(own).tolist()
    for i in range(scores.shape[1]):
        rows = scores[:, i].tolist()
        order, best = naive.ranked(naive.label_scores(rows, table, "logit"), naive.candidates(rows, table, top, min(least, own.reps), k), k)
        assert labels[i].tolist() == order
        assert values[i].tolist() == np.array(best, np.float32).tolist()


@pytest.mark.parametrize("n", [1, 63, 64, 65, 130])
def test_pruned_rows_of_all_blocks(n):
    own = lookup.hashed(12, reps=2, buckets=6, seed=n)
    scores = steps(np.random.default_rng(n), (2, n, 6))
    agree(decode.top_k(scores.copy(), own, 3, top=2), scores, own, 3, "logit", narrow=(2, 2))


def test_pruned_default_wants_two_repetitions_and_takes_one_where_labels_lack():
    own = lookup.from_table([[0, 0, 1, 2], [0, 1, 0, 2]], 3)
    scores = np.array([[[3, 2, 1]], [[3, 2, 9]]], np.float32)
    labels, values = decode.top_k(scores.copy(), own, 1, top=2)  # best buckets {0, 1} and {2, 0}: labels 0 and 2 are in both
    assert (labels.tolist(), values.tolist()) == ([[0]], [[3]])
    labels, values = decode.top_k(scores.copy(), own, 4, top=2)  # four are wanted, so label 3 counts, which is the best of all
    assert (labels.tolist(), values.tolist()) == ([[3, 0, 1, 2]], [[5, 3, 2.5, 2.5]])
    labels, values = decode.top_k(scores.copy(), own, 4, top=1)  # buckets 0 and 2: label 2 is in neither
    assert (labels.tolist(), values.tolist()) == ([[3, 0, 1, -1]], [[5, 3, 2.5, -np.inf]])


def test_buckets_at_minus_infinity_have_no_labels():
    own = lookup.from_table([[0, 1, 1, 2]], 3)
    scores = np.array([[[1, -np.inf, 2]]], np.float32)
    for top in (None, 1, 3):
        labels, values = decode.top_k(scores.copy(), own, 3, top=top)
        assert labels.tolist() == [[3, 0, -1] if top != 1 else [3, -1, -1]]
        assert values.tolist() == [[2, 1, -np.inf] if top != 1 else [2, -np.inf, -np.inf]]


# ---- tables, statistics, bad input, threads

def test_tables_are_places_and_the_inverse():
    own = lookup.hashed(20, reps=3, buckets=5, seed=2)
    table = lookup.label_buckets(own)
    places, offsets, order = decode.decoding_tables(own, pruned=True)
    assert (places.shape, places.dtype) == ((20, 3), np.int32)
    assert (places == (table + 5 * np.arange(3)[:, None]).T).all()
    wanted = lookup.inverse(table, 5)
    assert (offsets == wanted[0]).all() and (order == wanted[1]).all()
    plain, = decode.decoding_tables(own)
    assert (plain == places).all()
    scores = steps(np.random.default_rng(3), (3, 4, 5))
    for options, tables in (({}, (places,)), ({"top": 2}, (places, offsets, order))):
        given_tables = decode.top_k(scores.copy(), own, 6, tables=tables, **options)
        built = decode.top_k(scores.copy(), own, 6, **options)
        assert (given_tables[0] == built[0]).all() and (given_tables[1] == built[1]).all()


def test_unbiased_estimates_probabilities():
    """Theorem 1: over hash seeds the mean of the estimate is the probability of every label; the variance is known exactly."""
    n_labels, buckets, reps, draws = 30, 8, 32, 10 if AS_PYTHON else 400
    p = np.arange(1, n_labels + 1)**-1.5
    p /= p.sum()
    total = np.zeros(n_labels)
    for seed in range(draws):
        own = lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=seed)
        mass = np.stack([np.bincount(row, p, buckets) for row in lookup.label_buckets(own)])
        labels, values = decode.top_k(np.log(mass + 1e-30).astype(np.float32)[:, None], own, n_labels, how="unbiased", softmax=True)
        total[labels[0]] += values[0]
    others = (p**2).sum() - p**2
    error = buckets / (buckets - 1) * np.sqrt(others * (buckets - 1) / buckets**2 / (reps * draws))
    assert (np.abs(total / draws - p) < 6 * error).all()


@pytest.mark.parametrize("error, changed, message", [
    (ValueError, {"k": 0}, "k must be between 1 and 9, not 0"),
    (ValueError, {"k": 10}, "k must be between 1 and 9, not 10"),
    (TypeError, {"k": 2.0}, "k must be an integer"),
    (ValueError, {"how": "sum"}, "how must be one of logit, mean, unbiased, log, min, median, not 'sum'"),
    (ValueError, {"top": 0}, "top must be at least 1"),
    (TypeError, {"top": 1.5}, "top must be an integer"),
    (ValueError, {"top": 1, "least": 0}, "least must be at least 1"),
    (TypeError, {"top": 1, "least": "2"}, "least must be an integer"),
    (ValueError, {"scores": np.zeros((2, 3, 4))}, r"scores must be float32 \(2, n, 4\), not float64"),
    (ValueError, {"scores": np.zeros((2, 4), np.float32)}, r"scores must be float32 \(2, n, 4\), not float32 \(2, 4\)"),
    (ValueError, {"scores": np.zeros((3, 3, 4), np.float32)}, r"not float32 \(3, 3, 4\)"),
    (ValueError, {"scores": np.zeros((2, 3, 5), np.float32)}, r"not float32 \(2, 3, 5\)"),
])
def test_bad_arguments(error, changed, message):
    arguments = {"scores": np.zeros((2, 3, 4), np.float32), "k": 2, **changed}
    with pytest.raises(error, match=message):
        decode.top_k(arguments.pop("scores"), lookup.hashed(9, reps=2, buckets=4), arguments.pop("k"), **arguments)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2 or AS_PYTHON, reason="needs two threads")
@pytest.mark.parametrize("how", ALL)
def test_any_thread_count_gives_the_same_bits(how):
    own = lookup.hashed(500, reps=4, buckets=40, seed=8)
    scores = np.random.default_rng(6).normal(0, 2, (4, 300, 40)).astype(np.float32)
    found, before = [], numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            found.append([part.tobytes() for top in (None, 5) for part in decode.top_k(scores.copy(), own, 10, how=how, top=top)])
    finally:
        numba.set_num_threads(before)
    assert found[0] == found[1]
