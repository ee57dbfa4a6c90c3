"""Calibration: weights and slopes at the minima of their losses."""
import numpy as np
import pytest
from naive import calibration as naive

from sketchxc import calibration


def case(seed=0, rows=40, places=6):
    """Features, valid places and hits of random shortlists; higher features are likelier hits."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, places, 3))
    valid = rng.random((rows, places)) < 0.9
    valid[:, 0] = True
    hits = valid & (rng.random((rows, places)) < 1 / (1 + np.exp(1 - features.sum(2))))
    return features, valid, hits


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_at_the_minimum_of_the_listwise_loss(seed):
    features, valid, hits = case(seed)
    weights = calibration.fit_weights(features, valid, hits, np.ones(3, bool))
    here = naive.listwise_loss(weights, features, valid, hits)
    for axis in range(3):
        step = np.eye(3)[axis] * 1e-4
        ahead, back = (naive.listwise_loss(weights + s, features, valid, hits) for s in (step, -step))
        assert abs(ahead - back) / 2e-4 < 1e-5
        assert min(ahead, back) >= here - 1e-12


def test_missing_parts_keep_weight_zero_and_rows_without_hits_do_not_count():
    features, valid, hits = case()
    weights = calibration.fit_weights(features, valid, hits, np.array([True, False, True]))
    assert weights[1] == 0 and (weights[[0, 2]] != 0).all()
    none = np.zeros_like(hits)
    assert calibration.fit_weights(features, valid, none, np.array([True, False, False])).tolist() == [1, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_calibration_is_at_the_minimum_of_platts_loss(seed):
    features, valid, hits = case(seed, rows=60)
    scores = features.sum(2)
    slope, offset = calibration.fit_platt(scores, valid, hits)
    flat, right = scores[valid].tolist(), hits[valid].tolist()
    here = naive.platt_loss(slope, offset, flat, right)
    for a, b in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert naive.platt_loss(slope + a, offset + b, flat, right) >= here


def test_calibration_without_both_kinds_of_labels_is_the_identity():
    features, valid, hits = case()
    assert calibration.fit_platt(features.sum(2), valid, np.zeros_like(hits)).tolist() == [1, 0]


@pytest.mark.parametrize("spread", [0.01, 5, 30, 300])
@pytest.mark.parametrize("seed", range(3))
def test_scores_far_apart_are_fitted_too(spread, seed):
    """Whole Newton steps diverge there: from spread 5 on where few labels are right."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(80, 12, 3)) * [spread, 1, 3]
    joined = features @ [1 / spread, 0.5, 0.3] + rng.gumbel(size=(80, 12))
    hits = joined == joined.max(1, keepdims=True)
    weights = calibration.fit_weights(features, np.ones_like(hits), hits, np.ones(3, bool))
    here = naive.listwise_loss(weights, features, np.ones_like(hits), hits)
    for step in np.eye(3) / [[spread], [1], [3]] * 1e-2:
        assert min(naive.listwise_loss(weights + s, features, np.ones_like(hits), hits) for s in (step, -step)) > here
    z = rng.normal(size=(80, 12))
    hits = rng.random(z.shape) < 1 / (1 + np.exp(4 - 2 * z))
    scores = (spread * z - 3).astype(np.float32)
    slope, offset = calibration.fit_platt(scores, np.ones_like(hits), hits)
    flat, right = scores.ravel().tolist(), hits.ravel().tolist()
    np.testing.assert_allclose([slope, offset], naive.platt(flat, right), rtol=1e-5)
    chances = 1 / (1 + np.exp(-(slope * scores.astype(float) + offset)))
    n, positives = hits.size, hits.sum()
    soft = (positives * (positives + 1) / (positives + 2) + (n - positives) / (n - positives + 2)) / n
    assert abs(chances.mean() - soft) < 1e-7 and abs(chances.mean() - hits.mean()) < 2 / n


@pytest.mark.parametrize("labels", [1, 3])
def test_scores_are_set_apart_from_their_row(labels):
    """Rows whose scores are off by an amount each, one or three hits a row: only what is left beside the row's mass says how likely a hit
    is. Its part is at the minimum of the loss, and one for rows with one hit."""
    rng = np.random.default_rng(labels)
    scores = rng.normal(size=(600, 8)) * 2
    hits = np.argsort(np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1), axis=1) < labels
    scores = (scores + 3 * rng.normal(size=(600, 1))).astype(np.float32)
    valid = np.ones_like(hits)
    among = calibration.fit_among(scores, valid, hits)
    flat, right = scores.ravel().tolist(), hits.ravel().tolist()

    def loss(part):
        moved = calibration.apart(scores, valid, part)
        return naive.platt_loss(*calibration.fit_platt(moved, valid, hits), moved.ravel().tolist(), right)
    assert abs(among - 1) < 0.1 and loss(among) <= min(loss(among - 0.02), loss(among + 0.02))
    assert loss(among) < naive.platt_loss(*calibration.fit_platt(scores, valid, hits), flat, right) - 0.05


def test_scores_of_rows_with_gaps_set_apart():
    scores, valid = np.array([[1, 2, -np.inf], [-np.inf] * 3, [3, 3, 3]], np.float32), np.array([[1, 1, 0], [0] * 3, [1] * 3], bool)
    moved = calibration.apart(scores, valid, 0.5)
    assert moved.dtype == np.float32 and moved[0] == pytest.approx(scores[0] - np.log(np.exp([1, 2]).sum()) / 2)
    assert (moved[1] == -np.inf).all() and moved[2] == pytest.approx(3 - (3 + np.log(3)) / 2)
    assert calibration.apart(scores, valid, 0.5, 1)[0, 0] == pytest.approx(0.5) and calibration.apart(scores, valid, 0.0) is scores
    assert calibration.fit_among(scores, valid, valid) == calibration.fit_among(scores, valid, ~valid & valid) == 0
    assert calibration.fit_among(-scores[2:] - [[0, 1, 2]], valid[2:], np.array([[False, False, True]])) == 0  # the worst score is the hit


def test_equal_scores_stand_for_the_rate_of_hits():
    hits = np.arange(40).reshape(10, 4) % 4 == 0
    slope, offset = calibration.fit_platt(np.full((10, 4), 2.5), np.ones_like(hits), hits)
    assert slope == 0 and abs(offset - naive.platt([0.0, 1.0] * 20, hits.ravel().tolist())[1]) < 1 and -1.2 < offset < -0.8
