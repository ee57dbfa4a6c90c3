"""The estimators: scikit-learn's own checks, and that they say what the functions they stand on say."""
import os

import numba
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import decode as naive_decode
from naive import estimators as naive
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sketchxc import decode, estimators, fit, lookup, mach, optim, sizing, sparse
from sketchxc.estimators import LinearClassifier, MACHClassifier

PLAIN = os.environ.get("NUMBA_DISABLE_JIT") == "1"
CHECKED = [LinearClassifier(), MACHClassifier(), MACHClassifier(reps=4, buckets=3), MACHClassifier(optimizer="adagrad", loss="logistic"),
           MACHClassifier(reps=3, buckets=5, how="unbiased")][:1 if PLAIN else 5]  # kernels that run as Python take half a minute for each
# No check of the default settings fails.
FAILURES = {"unbiased": {"check_classifiers_multilabel_output_format_predict_proba":
                         "it wants probabilities above 0; the unbiased estimate of a rare label is below 0 and is clipped to exactly 0"}}


@parametrize_with_checks(CHECKED, expected_failed_checks=lambda estimator: FAILURES.get(getattr(estimator, "how", ""), {}))
def test_scikit_learn(estimator, check):
    check(estimator)


def blobs(n=40, features=6, classes=4, seed=0):
    """Rows near one of `classes` corners, about half of their entries zero, and the corners' numbers."""
    rng = np.random.default_rng(seed)
    centres, y = rng.normal(size=(classes, features)) * 3, np.arange(n) % classes
    X = centres[y] + rng.normal(size=(n, features)) * 0.3
    return np.where(rng.random(X.shape) < 0.2, 0, X).astype(np.float32), y


def indicators(n=30, features=6, labels=4, seed=0):
    """Rows of 0 and 1, and labels that each say whether two columns have a 1."""
    X = (np.random.default_rng(seed).random((n, features)) < 0.5).astype(np.float32)
    return X, np.stack([X[:, j] * X[:, (j + 1) % features] for j in range(labels)], 1).astype(int)


SMALL = {"epochs": 3, "batch_size": 8}


def test_fit_is_plan_and_fit_on_rows_of_length_one():
    X, y = blobs()
    found = MACHClassifier(reps=3, buckets=2, seed=5, **SMALL).fit(scipy.sparse.csr_matrix(X), y)
    x, labels = sparse.normalize(sparse.rows(X)), sparse.rows([[label] for label in y], 4)
    plan = sizing.plan(40, 6, 4, nonzeros=x.indices.size, single=True, reps=3, buckets=2, epochs=3, batch=8, seed=5)
    model = fit.untrained(plan, 6, 4)
    fit.fit(model, plan, x, labels)
    assert found.plan_ == plan and found.normalize_ is True
    np.testing.assert_array_equal(found.model_.weights, model.weights)
    np.testing.assert_array_equal(found.model_.biases, model.biases)
    assert (found.predict(X) == mach.top_k(model, x, 1, how="log")[0][:, 0]).all()


def test_linear_is_one_vs_all():
    X, y = blobs()
    found = LinearClassifier(**SMALL).fit(X, y)
    assert (found.model_.lookup.table == lookup.identity(4).table).all() and found.model_.loss == 1
    assert LinearClassifier(loss="logistic", **SMALL).fit(X, y).model_.loss == 0
    assert LinearClassifier(**SMALL).fit(*indicators()).model_.loss == 0


def test_partial_fit_is_one_pass_with_the_optimizer_state_of_the_last():
    X, y = blobs()
    found = LinearClassifier(optimizer="adam", learning_rate=0.1, batch_size=7, seed=3, normalize=True)
    found.partial_fit(X[:25], y[:25], classes=[3, 2, 1, 0]).partial_fit(X[25:], y[25:], classes=[0, 1, 2, 3]).partial_fit(X[:5], y[:5])
    model, opt = mach.init(6, lookup.identity(4), loss="softmax"), optim.adam(0.1)
    state = mach.slots(opt, model)
    for part, steps in ((slice(0, 25), 0), (slice(25, 40), 4), (slice(0, 5), 7)):
        x, labels = sparse.normalize(sparse.rows(X[part])), sparse.rows([[label] for label in y[part]], 4)
        mach.train(model, opt, state, x, labels, np.random.default_rng([3, steps]).permutation(labels.indptr.size - 1), batch=7)
    np.testing.assert_array_equal(found.model_.weights, model.weights)
    assert found._slots.weights.steps[0] == state.weights.steps[0] == 8
    again = clone(found).partial_fit(X, y, classes=range(4)).fit(X, y)  # fit starts afresh
    np.testing.assert_array_equal(again.model_.weights, clone(found).fit(X, y).model_.weights)


def test_partial_fit_learns():
    X, y = blobs(80)
    found = MACHClassifier(learning_rate=5.0)
    for _ in range(20):
        for start in range(0, 80, 20):
            found.partial_fit(X[start:start + 20], y[start:start + 20], classes=np.unique(y))
    assert found.score(X, y) > 0.95


def test_partial_fit_of_indicators():
    X, y = indicators()
    found = LinearClassifier().partial_fit(X, y, classes=["d", "c", "b", "a"]).partial_fit(X, y, classes=["d", "c", "b", "a"])
    assert found.classes_.tolist() == ["d", "c", "b", "a"] and found.predict(X).shape == y.shape
    assert LinearClassifier().partial_fit(X, y).classes_.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="classes must be one for each of the 4 columns of y, not of shape"):
        LinearClassifier().partial_fit(X, y, classes=[1, 2])
    with pytest.raises(ValueError, match="y must have 4 columns as before, not 3"):
        found.partial_fit(X, y[:, :3])
    with pytest.raises(ValueError, match="y must be an indicator matrix as before"):
        found.partial_fit(X, y[:, 0])


def test_partial_fit_refuses_other_classes():
    X, y = blobs()
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        LinearClassifier().partial_fit(X, y)
    found = LinearClassifier().partial_fit(X, y, classes=[0, 1, 2, 3, 9])
    assert found.predict_proba(X).shape == (40, 5)
    with pytest.raises(ValueError, match="label .*7.*, which is not among the classes"):
        found.partial_fit(X[:2], [0, 7])
    with pytest.raises(ValueError, match="classes must be the 5 of the first call"):
        found.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"y must be labels \(n,\) as before"):
        found.partial_fit(X[:2], [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]])


@settings(max_examples=20)
@given(st.integers(0, 9), st.sampled_from(sorted(decode.AGGREGATES)), st.booleans(), st.integers(1, 4), st.integers(2, 5))
def test_scores_are_those_of_the_naive_twin(seed, how, single, reps, buckets):
    X, y = blobs(6, classes=3, seed=seed) if single else indicators(6, labels=3, seed=seed)
    found = MACHClassifier(reps, buckets, how=how, epochs=1, seed=seed).fit(X, y)
    x = sparse.rows(X * np.float32(found.scale_))
    logits, table = mach.bucket_scores(found.model_, x), lookup.label_buckets(found.model_.lookup)
    decisions, probabilities, predicted = found.decision_function(X), found.predict_proba(X), found.predict(X)
    for i in range(6):
        scores = naive_decode.label_scores([row.tolist() for row in logits[:, i]], table.tolist(), how, single)
        if single:
            np.testing.assert_allclose(decisions[i], scores, rtol=1e-5, atol=1e-5)
            if max(scores) > 1e-6:
                np.testing.assert_allclose(probabilities[i], naive.shares(scores, how), rtol=1e-4, atol=1e-5)
            assert predicted[i] == decisions[i].argmax() and np.isclose(probabilities[i].sum(), 1)
            assert probabilities[i].argmax() == predicted[i]
        else:
            np.testing.assert_allclose(probabilities[i], [naive.separate(score, how) for score in scores], rtol=1e-4, atol=1e-5)
            clear = np.abs(probabilities[i] - 0.5) > 1e-4
            assert ((decisions[i] > 0) == (probabilities[i] > 0.5))[clear].all() and (predicted[i] == (decisions[i] > 0)).all()


@pytest.mark.parametrize("how", ["mean", "min", "unbiased", "log", "logit"])
def test_two_classes(how):
    X, y = blobs(30, classes=2)
    found = MACHClassifier(3, 2, how=how, **SMALL).fit(X, np.array(["no", "yes"])[y])
    decisions, probabilities = found.decision_function(X), found.predict_proba(X)
    assert decisions.shape == (30,) and probabilities.shape == (30, 2)
    assert (found.predict(X) == np.where(decisions > 0, "yes", "no")).all()
    assert (np.argsort(decisions, kind="stable") == np.argsort(probabilities[:, 1], kind="stable")).all()


def test_shares_where_no_estimate_is_above_zero():
    found = MACHClassifier(how="unbiased")
    np.testing.assert_array_equal(found._shares(np.array([[-0.3, -0.1, -0.2], [0.5, -1.0, 1.5]])), [[0, 1, 0], [0.25, 0, 0.75]])


def test_predict_topk():
    X, y = blobs(classes=5)
    found = MACHClassifier(3, 4, **SMALL).fit(X, np.array(list("abcde"))[y])
    labels, scores = found.predict_topk(X, 3)
    decisions = found.decision_function(X)
    order = np.argsort(-decisions, axis=1, kind="stable")[:, :3]
    assert (labels == found.classes_[order]).all() and labels.dtype == found.classes_.dtype
    np.testing.assert_allclose(scores, np.exp(np.take_along_axis(decisions, order, 1)), rtol=1e-6)
    assert scores.dtype == np.float32 and (found.predict(X) == labels[:, 0]).all()
    pruned, pruned_scores = found.predict_topk(X, 3, top=4, least=1)
    assert (pruned == labels).all() and (pruned_scores == scores).all()
    matrix = found.predict_topk(X, 3, as_csr=True)
    assert matrix.shape == (40, 5) and matrix.dtype == np.float32 and matrix.nnz == 120
    for i in range(40):
        assert dict(zip(matrix[[i]].indices.tolist(), matrix[[i]].data)) == dict(zip(order[i].tolist(), scores[i]))
    for k in (0, 6):
        with pytest.raises(ValueError, match="k must be between 1 and 5"):
            found.predict_topk(X, k)


def test_predict_topk_of_one_repetition_gives_probabilities():
    X, y = blobs()
    found = LinearClassifier(**SMALL).fit(X, y)
    labels, scores = found.predict_topk(X, 4)
    np.testing.assert_allclose(scores, np.take_along_axis(found.predict_proba(X), labels, 1), rtol=1e-5)


def test_predict_topk_pruned_until_labels_are_missing():
    X, y = indicators(labels=6)
    found = MACHClassifier(2, 6, seed=1, **SMALL).fit(X, y)
    labels, scores = found.predict_topk(X, 6, top=1, least=1)
    matrix = found.predict_topk(X, 6, top=1, least=1, as_csr=True)
    missing = scores == 0
    assert missing.any() and (labels[missing] == 0).all() and matrix.nnz == (~missing).sum() and (matrix.data > 0).all()


def test_indicators_come_back_as_they_came():
    X, y = indicators()
    dense = MACHClassifier(3, 3, normalize=True, **SMALL).fit(X, y)
    assert type(dense.predict(X)) is np.ndarray and dense.predict(X).dtype == np.int64
    for matrix in (scipy.sparse.csr_matrix(y), scipy.sparse.coo_array(y), sparse.rows(y)):
        found = clone(dense).fit(X, matrix)
        assert scipy.sparse.issparse(found.predict(X)) and found.predict(X).dtype == np.int64
        assert (found.predict(X).toarray() == dense.predict(X)).all()
        assert found.score(X, scipy.sparse.csr_matrix(y)) == dense.score(X, y)
    assert LinearClassifier().fit(X, scipy.sparse.csr_array(y[:, :1])).predict(X).shape == (30, 1)


def test_scores_in_blocks(monkeypatch):
    X, y = indicators()
    found = MACHClassifier(3, 3, **SMALL).fit(X, scipy.sparse.csr_array(y))
    one = found.predict_proba(X), found.decision_function(X), found.predict(X).toarray()
    monkeypatch.setattr(estimators, "CELLS", 63)
    for before, after in zip(one, (found.predict_proba(X), found.decision_function(X), found.predict(X).toarray())):
        np.testing.assert_array_equal(before, after)


def test_rows_dense_and_sparse_features_give_the_same_model():
    X, y = blobs()
    for normalize in (True, False):
        dense = LinearClassifier(normalize=normalize, **SMALL).fit(X, y)
        for form in (scipy.sparse.csr_matrix(X), scipy.sparse.csc_array(X), sparse.rows(X)):
            found = clone(dense).fit(form, y)
            np.testing.assert_array_equal(found.model_.weights, dense.model_.weights)
            np.testing.assert_array_equal(found.predict_proba(form), dense.predict_proba(X))


def test_scale_of_the_rows():
    X, y = blobs()
    sparse_rows, dense = LinearClassifier(**SMALL).fit(scipy.sparse.csr_array(X), y), LinearClassifier(**SMALL).fit(X, y)
    assert sparse_rows.normalize_ and sparse_rows.scale_ == 1 and not dense.normalize_
    assert np.isclose((np.square(X * dense.scale_).sum(1)).mean(), 1)
    np.testing.assert_allclose(sparse_rows.predict_proba(7 * X), sparse_rows.predict_proba(X), rtol=1e-4)
    assert not np.allclose(dense.predict_proba(7 * X), dense.predict_proba(X), atol=0.01)
    np.testing.assert_array_equal(clone(dense).fit(1024 * X, y).model_.weights, dense.model_.weights)
    assert clone(dense).fit(0 * X, y).scale_ == 1


def test_labels_get_buckets_of_their_own_where_sharing_saves_nothing():
    X, y = blobs(60, classes=5)
    assert MACHClassifier(epochs=1).fit(X, y).plan_.kind == "linear"
    assert MACHClassifier(reps=2, epochs=1).fit(X, y).plan_[:2] == ("mach", 2)
    assert MACHClassifier(buckets=9, epochs=1).fit(X, y).plan_.buckets == 9
    many = sparse.Rows(np.arange(61), (np.arange(60) * 50).astype(np.int32), np.ones(60, np.float32), 3000)
    plan = MACHClassifier(epochs=1).fit(X, many).plan_
    assert plan.kind == "mach" and plan.reps * plan.buckets < 3000
    with pytest.raises(ValueError, match="budget allows 100:"):
        MACHClassifier(buckets=9, budget=100).fit(X, y)


def test_small_sets_get_more_passes():
    X, y = blobs(8, classes=2)
    assert LinearClassifier(batch_size=1).fit(X, y).plan_.epochs == 100
    assert LinearClassifier(batch_size=1, epochs=2).fit(X, y).plan_.epochs == 2
    x, y = np.repeat(X, 50, 0), np.repeat(y, 50)
    assert LinearClassifier(batch_size=8).fit(x, y).plan_.epochs == 20  # 50 steps a pass


def test_settings_reach_the_plan():
    X, y = blobs(classes=5)
    plan = MACHClassifier(2, 3, hidden=[], width=4, loss="logistic", optimizer="momentum", learning_rate=0.5, epochs=2, batch_size=5,
                          seed=9).fit(X, y).plan_
    assert plan[:11] == ("mach", 2, 3, (), 4, "logistic", "momentum", 0.5, 5, 2, 9)


def test_threads():
    X, y = blobs()
    before = numba.get_num_threads()
    one, all_ = (MACHClassifier(3, 2, threads=threads, **SMALL).fit(X, y) for threads in (1, 1000))
    np.testing.assert_array_equal(one.model_.weights, all_.model_.weights)
    assert numba.get_num_threads() == before
    seen = []

    class Watching(MACHClassifier):
        def _begin(self, *args, **kwargs):
            seen.append(numba.get_num_threads())
            raise KeyError
    with pytest.raises(KeyError):
        Watching(threads=1).fit(X, y)
    assert seen == [1] and numba.get_num_threads() == before
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        MACHClassifier(threads=0).fit(X, y)


def test_verbose(capsys):
    X, y = blobs()
    LinearClassifier(verbose=True, epochs=3).fit(X, y)
    out, err = capsys.readouterr()
    assert out == "" and "120/120" in err and "loss" in err
    LinearClassifier(epochs=3).fit(X, y)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("settings, message", [
    ({"how": "best"}, "how must be one of logit, mean"), ({"normalize": "l2"}, "normalize must be one of auto, True, False"),
    ({"loss": "hinge"}, "loss must be one of"), ({"optimizer": "lbfgs"}, "optimizer must be one of"), ({"reps": 0}, "reps must be"),
    ({"batch_size": 0}, "batch must be at least 1"), ({"learning_rate": -1}, "lr must be above 0"),
])
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        MACHClassifier(**settings).fit(*blobs())


@pytest.mark.parametrize("y, message", [
    (np.linspace(0.1, 0.9, 40), "Unknown label type: continuous"),
    (np.arange(120).reshape(40, 3) % 3, "Unknown label type: multiclass-multioutput"),
    (scipy.sparse.csr_array(np.full((40, 3), 2) + np.eye(40, 3)), "Unknown label type"),
    (scipy.sparse.csr_array(np.full((40, 1), 2)), "Unknown label type"),
])
def test_bad_labels(y, message):
    with pytest.raises(ValueError, match=message):
        LinearClassifier().fit(blobs()[0], y)


def test_not_fitted():
    for method in ("predict", "predict_proba", "decision_function", "predict_topk"):
        with pytest.raises(NotFittedError):
            getattr(MACHClassifier(), method)(blobs()[0])


def test_training_that_diverges():
    X, y = blobs()
    huge = LinearClassifier(optimizer="momentum", learning_rate=3e38, epochs=9, batch_size=4)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="lower learning rate"):
        huge.fit(X, y)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="lower learning_rate than 3e\\+38"):
        for _ in range(9):
            huge.partial_fit(X, y)


def test_more_classes_than_half_of_the_rows():
    X, y = blobs(40, classes=40)
    assert LinearClassifier(epochs=1).fit(X, y).classes_.size == 40  # without a warning that this looks like regression


def test_texts_in_a_pipeline():
    texts = ["red wine", "white wine", "dark bread", "white bread"] * 3
    model = make_pipeline(TfidfVectorizer(), MACHClassifier()).fit(texts, ["drink", "drink", "food", "food"] * 3)
    assert model.predict(["dark red wine", "bread"]).tolist() == ["drink", "food"]


def test_hidden_layers():
    X, y = blobs(80)
    found = MACHClassifier(hidden=(16,), learning_rate=0.01).fit(X, y)
    assert found.plan_.hidden == (16,) and found.score(X, y) > 0.95
