"""The default classifier: weights and calibration at the minima of their losses, order and reach of answers, whole trainings."""
import numba
import numpy as np
import pytest
from naive import ranker as naive

from sketchxc import metrics, modelfile, ranker, sparse


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
    weights = ranker._fit_weights(features, valid, hits, np.ones(3, bool))
    here = naive.listwise_loss(weights, features, valid, hits)
    for axis in range(3):
        step = np.eye(3)[axis] * 1e-4
        ahead, back = (naive.listwise_loss(weights + s, features, valid, hits) for s in (step, -step))
        assert abs(ahead - back) / 2e-4 < 1e-5
        assert min(ahead, back) >= here - 1e-12


def test_missing_parts_keep_weight_zero_and_rows_without_hits_do_not_count():
    features, valid, hits = case()
    weights = ranker._fit_weights(features, valid, hits, np.array([True, False, True]))
    assert weights[1] == 0 and (weights[[0, 2]] != 0).all()
    none = np.zeros_like(hits)
    assert ranker._fit_weights(features, valid, none, np.array([True, False, False])).tolist() == [1, 0, 0]


@pytest.mark.parametrize("seed", range(3))
def test_calibration_is_at_the_minimum_of_platts_loss(seed):
    features, valid, hits = case(seed, rows=60)
    scores = features.sum(2)
    slope, offset = ranker._fit_calibration(scores, valid, hits)
    flat, right = scores[valid].tolist(), hits[valid].tolist()
    here = naive.platt_loss(slope, offset, flat, right)
    for a, b in ((1e-3, 0), (-1e-3, 0), (0, 1e-3), (0, -1e-3)):
        assert naive.platt_loss(slope + a, offset + b, flat, right) >= here


def test_calibration_without_both_kinds_of_labels_is_the_identity():
    features, valid, hits = case()
    assert ranker._fit_calibration(features.sum(2), valid, np.zeros_like(hits)).tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["best", "fast", "small"])
def test_settings_name_their_parts_and_costs(kind):
    chosen = ranker.settings(100_000, 50_000, 20_000, nonzeros=10**6, kind=kind, threads=2)
    assert chosen.mach is None and (chosen.reps == 0) == (kind == "fast")
    assert chosen.one_vs_all_bytes == 4 * 50_001 * 20_000 > chosen.model_bytes > 0
    assert 0 < chosen.held < 100_000 and kind in str(chosen) and "held-out rows" in str(chosen)


def test_small_sets_take_a_linear_model_along():
    assert ranker.settings(1000, 500, 30, nonzeros=10**4).mach.kind == "mach"
    with pytest.raises(ValueError, match="kind must be one of"):
        ranker.settings(1000, 500, 30, nonzeros=10**4, kind="largest")


def planted(rows=600, labels=12, seed=0):
    """Rows in which two of three columns of a label occur, and noise; one or two labels a row."""
    rng = np.random.default_rng(seed)
    lists, truth = [], []
    for _ in range(rows):
        chosen = rng.permutation(labels)[:rng.integers(1, 3)]
        columns = {int(3 * label + c) for label in chosen for c in rng.permutation(3)[:2]} | {int(3 * labels + rng.integers(10))}
        lists.append(sorted(columns))
        truth.append(sorted(int(label) for label in chosen))
    return sparse.normalize(sparse.rows(lists, 3 * labels + 10)), sparse.rows(truth, labels)


compiled = pytest.mark.compiled


@compiled
@pytest.mark.parametrize("kind", ["best", "fast", "small"])
@pytest.mark.parametrize("small_set", [0, 50_000])
def test_planted_labels_are_found_by_every_kind(kind, small_set, monkeypatch):
    monkeypatch.setattr(ranker, "SMALL_SET", small_set)  # both ways to use the held-out rows
    x, labels = planted()
    model = ranker.train(x, labels, ranker.settings(600, x.width, labels.width, nonzeros=x.indices.size, kind=kind))
    test_x, test_labels = planted(200, seed=1)
    ranked, scores = ranker.top_k(model, test_x, 5)
    assert metrics.precision_at(ranked, test_labels, 1) > 0.95
    assert (np.diff(scores, axis=1) <= 0).all()
    chances = ranker.probabilities(model, scores)
    assert (np.diff(chances, axis=1) <= 0).all() and chances.min() >= 0 and chances.max() <= 1
    assert metrics.calibration_error(chances, metrics.hits(ranked, test_labels)) < 0.15


@compiled
def test_same_seed_same_bytes_for_any_number_of_threads_and_another_seed_others(tmp_path):
    x, labels = planted(300)
    before, written = numba.get_num_threads(), []
    try:
        for threads, seed in ((1, 3), (min(2, numba.config.NUMBA_NUM_THREADS), 3), (1, 4)):
            numba.set_num_threads(threads)
            model = ranker.train(x, labels, ranker.settings(300, x.width, labels.width, nonzeros=x.indices.size, seed=seed))
            modelfile.save(tmp_path / "model", model)
            written.append((tmp_path / "model").read_bytes())
    finally:
        numba.set_num_threads(before)
    assert written[0] == written[1] != written[2]
    again = modelfile.load(tmp_path / "model", expected=ranker.Ranker, verify=True)
    for one, other in zip(ranker.top_k(model, x, 3), ranker.top_k(again, x, 3)):
        assert np.array_equal(one, other)


@compiled
def test_all_labels_are_reachable_where_there_are_few():
    x, labels = planted(200)
    model = ranker.train(x, labels, ranker.settings(200, x.width, labels.width, nonzeros=x.indices.size, kind="fast"))
    ranked, _ = ranker.top_k(model, sparse.rows([[], [0]], x.width), labels.width)
    assert sorted(ranked[0].tolist()) == sorted(ranked[1].tolist()) == list(range(labels.width))
    with pytest.raises(ValueError, match="k must be between 1 and 12"):
        ranker.top_k(model, x, 13)
