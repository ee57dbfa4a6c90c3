import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import metrics as naive
from strategies import labels_and_ranking

from sketchxc import metrics
from sketchxc.sparse import Rows, rows

PLAIN = ["precision_at", "capped_precision_at", "recall_at", "ndcg_at", "reciprocal_rank_at", "coverage_at"]
SCORED = ["scored_precision_at", "scored_ndcg_at"]


def value(name, ranked, labels, k, propensity):
    out = getattr(metrics, name)(ranked, labels, k, *([propensity] if name in SCORED else []))
    assert type(out) is float
    return out


@given(labels_and_ranking(), st.data())
def test_twins(case, data):
    labels, ranked, n_labels = case
    k = data.draw(st.integers(1, ranked.shape[1]))
    propensity = data.draw(st.lists(st.sampled_from([0.25, 0.5, 1.0]) | st.floats(0.01, 1), min_size=n_labels, max_size=n_labels))
    for name in PLAIN + SCORED:
        got = value(name, ranked, rows(labels, n_labels), k, propensity)
        expected = getattr(naive, name)(ranked.tolist(), labels, k, *([propensity] if name in SCORED else []))
        assert math.isclose(got, expected, rel_tol=1e-12, abs_tol=1e-15) or math.isnan(got) and math.isnan(expected), name
        assert math.isnan(got) or 0 <= got <= 1, name


@given(labels_and_ranking(), st.randoms(use_true_random=False))
def test_label_numbers_and_their_order_do_not_matter(case, random):
    labels, ranked, n_labels = case
    k = ranked.shape[1]
    other = list(range(n_labels))
    random.shuffle(other)
    propensity, turned = np.linspace(0.1, 0.9, n_labels), np.empty(n_labels)
    turned[other] = propensity
    moved = [[other[label] for label in true] for true in labels]
    unsorted = rows(moved, n_labels)._replace(indices=np.array([label for true in moved for label in true], np.int32))
    for name in PLAIN + SCORED:
        before = value(name, ranked, rows(labels, n_labels), k, propensity)
        np.testing.assert_allclose(value(name, np.append(other, -1)[ranked], unsorted, k, turned), before, rtol=1e-12)


@given(labels_and_ranking())
def test_best_ranking_reaches_one(case):
    labels, _, n_labels = case
    propensity = np.linspace(0.1, 0.9, n_labels)  # ascending: the best order is by label number
    k = max(map(len, labels))
    ranked = np.array([sorted(true) + [-1] * (k - len(true)) for true in labels]).reshape(len(labels), k)
    for name in ["capped_precision_at", "recall_at", "ndcg_at", "reciprocal_rank_at", "coverage_at"] + SCORED if k else []:
        assert math.isclose(value(name, ranked, rows(labels, n_labels), k, propensity), 1, rel_tol=1e-12)


def test_hand_computed():
    """Three rows, four labels; row 1 has no label, row 2 has more labels than places."""
    ranked = np.array([[2, 0, 1], [3, -1, -1], [1, 3, 0]], np.int32)
    labels = rows([[0], [], [0, 1, 2, 3]], 4)
    third = 1 / math.log2(3)
    for name, expected in {"precision_at": (1 / 2 + 0 + 1) / 3, "capped_precision_at": (1 + 1) / 2, "recall_at": (1 + 1 / 2) / 2,
                           "ndcg_at": (third + 1) / 2, "reciprocal_rank_at": (1 / 2 + 1) / 2, "coverage_at": 3 / 4}.items():
        assert getattr(metrics, name)(ranked, labels, 2) == pytest.approx(expected, rel=1e-15), name
    propensity = [1, 0.5, 0.25, 0.125]
    assert metrics.scored_precision_at(ranked, labels, 2, propensity) == pytest.approx((1 + 2 + 8) / (1 + 8 + 4))
    ideal = 1 + third
    expected = (third + (2 + 8 * third) / ideal) / (1 + (8 + 4 * third) / ideal)
    assert metrics.scored_ndcg_at(ranked, labels, 2, propensity) == pytest.approx(expected)


def test_capped_form_differs_from_precision():
    assert metrics.precision_at([[0, 1, 2, 3, 4]], rows([[0]], 5), 5) == 0.2
    assert metrics.capped_precision_at([[0, 1, 2, 3, 4]], rows([[0]], 5), 5) == 1.0


def test_values_of_labels_are_ignored():
    labels = rows([[0, 2]], 4)
    assert metrics.precision_at([[2, 0]], labels._replace(values=np.zeros(2, np.float32)), 2) == 1.0


def test_nothing_to_average():
    none = rows([[], []], 4)
    for name in PLAIN[1:] + SCORED:
        assert math.isnan(value(name, np.full((2, 3), -1), none, 2, np.ones(4))), name
    assert metrics.precision_at([[0, 1], [2, 3]], none, 2) == 0.0
    for name in PLAIN + SCORED:
        assert math.isnan(value(name, np.empty((0, 3), np.int32), rows([], 4), 2, np.ones(4))), name
        assert value(name, np.full((2, 3), -1), rows([[0], [1]], 4), 2, np.ones(4)) == 0.0, name


def test_row_and_label_numbers_do_not_run_into_each_other():
    """Label 4 of row 0 and label 0 of row 1 are neighbours in the sorted numbers behind the membership test."""
    assert metrics.precision_at([[4], [0]], rows([[0], [4]], 5), 1) == 0.0
    assert metrics.precision_at([[0], [-1]], rows([[4], [4]], 5), 1) == 0.0  # -1 of row 1 is not label 4 of row 0


@given(st.lists(st.integers(0, 500)), st.integers(500, 10**6), st.sampled_from(sorted(metrics.PROPENSITY_PRESETS)))
def test_propensities(counts, n, preset):
    a, b = metrics.PROPENSITY_PRESETS[preset]
    got = metrics.propensities(np.array(counts, int), n, a, b)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, naive.propensities(counts, n, a, b), rtol=1e-12)


def test_propensities_by_hand():
    """n = e**3 is no integer, so: n = 20, a = 1, b = 1 gives c = 2 (ln 20 - 1) and, for three rows, 1 / (1 + c / 4)."""
    assert metrics.propensities([3], 20, 1, 1)[0] == pytest.approx(1 / (1 + (math.log(20) - 1) / 2))
    assert (np.diff(metrics.propensities(np.arange(21), 20)) > 0).all()


GOOD = rows([[0], [1]], 4)
DOUBLE = Rows(np.array([0, 2]), np.array([2, 2]), np.ones(2), 4)


@pytest.mark.parametrize("call, error, words", [
    (lambda: metrics.precision_at([[0.5], [1]], GOOD, 1), TypeError, "ranked must hold integers"),
    (lambda: metrics.precision_at([0, 1], GOOD, 1), ValueError, "ranked must have 2 axes"),
    (lambda: metrics.precision_at([[0]], GOOD, 1), ValueError, "ranked and labels must have the same number of rows, not 1 and 2"),
    (lambda: metrics.precision_at([[0], [1]], [[0], [1]], 1), TypeError, "labels must be Rows .*not list"),
    (lambda: metrics.precision_at([[0], [1]], GOOD, 2), ValueError, "k must be at most the 1 places of ranked, not 2"),
    (lambda: metrics.precision_at([[0], [1]], GOOD, 0), ValueError, "k must be at least 1, not 0"),
    (lambda: metrics.ndcg_at([[0], [1]], GOOD, 1.0), TypeError, "k must be an integer"),
    (lambda: metrics.precision_at([[4], [1]], GOOD, 1), ValueError, "ranked must hold labels between -1 and 3, not 4"),
    (lambda: metrics.precision_at([[-2], [1]], GOOD, 1), ValueError, "ranked must hold labels between -1 and 3, not -2"),
    (lambda: metrics.precision_at([[0], [1]], GOOD._replace(width=1), 1), ValueError, "must hold labels between"),
    (lambda: metrics.precision_at([[0, 1, 2], [3, 1, 3]], GOOD, 3), ValueError, "ranked row 1 holds label 3 twice among its first 3"),
    (lambda: metrics.precision_at([[0]], DOUBLE, 1), ValueError, "labels row 0 holds label 2 twice"),
    (lambda: metrics.scored_precision_at([[0], [1]], GOOD, 1, [1.0]), ValueError, "propensity must have one number for each of the 4"),
    (lambda: metrics.scored_ndcg_at([[0], [1]], GOOD, 1, [1, 1, 0, 1]), ValueError, "propensity must be above 0, not 0"),
    (lambda: metrics.scored_ndcg_at([[0], [1]], GOOD, 1, [1, 1, np.nan, 1]), ValueError, "propensity must be above 0, not nan"),
    (lambda: metrics.propensities([0.5], 10), TypeError, "label_counts must hold integers"),
    (lambda: metrics.propensities([1, 11], 10), ValueError, "label_counts must be between 0 and n = 10, not 11"),
    (lambda: metrics.propensities([-1], 10), ValueError, "label_counts must be between 0 and n = 10, not -1"),
    (lambda: metrics.propensities([1], 2), ValueError, "n must be at least 3, not 2"),
    (lambda: metrics.propensities([1], 10, a=0), ValueError, "a must be above 0"),
])
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_label_twice_beyond_the_first_k_does_not_matter():
    assert metrics.precision_at([[0, 2, 2], [1, 1, 1]], GOOD, 1) == 1.0


@given(st.integers(1, 12), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_calibration_error_is_the_mean_distance_in_groups(bins, n, seed):
    rng = np.random.default_rng(seed)
    chances, hits = rng.random(n), rng.random(n) < 0.4
    found = metrics.calibration_error(chances, hits, bins)
    if n == 0:
        assert np.isnan(found)
        return
    order, total, start = sorted(range(n), key=lambda i: chances[i]), 0.0, 0
    groups = min(bins, n)
    for g in range(groups):
        size = n // groups + (g < n % groups)
        total += abs(sum(chances[i] - hits[i] for i in order[start:start + size]))
        start += size
    assert found == pytest.approx(total / n, abs=1e-12)


def test_calibration_error_refuses_what_are_not_probabilities():
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.calibration_error(np.array([1.5]), np.array([True]))
    with pytest.raises(ValueError, match="hits must be bool"):
        metrics.calibration_error(np.array([0.5]), np.array([1]))


@given(labels_and_ranking())
def test_hits_are_the_ranked_labels_of_the_row(case):
    labels, ranked, n_labels = case
    got = metrics.hits(ranked, rows(labels, n_labels))
    assert got.dtype == bool and got.shape == ranked.shape
    assert got.tolist() == [naive.hits(line, true, len(line)) for line, true in zip(ranked.tolist(), labels)]


def test_hits_refuse_what_the_measures_refuse():
    with pytest.raises(ValueError, match="same number of rows, not 1 and 2"):
        metrics.hits(np.array([[0]]), rows([[0], [0]], 2))
    with pytest.raises(ValueError, match="holds label 1 twice"):
        metrics.hits(np.array([[1, 1]]), rows([[0]], 2))
