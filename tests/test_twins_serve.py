"""Prediction on a device, in Numba's simulator: every part of the default classifier, and all of it, gives there what it gives on the host.

Runs with NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1.
"""
import numpy as np
import pytest
from twins import CLOSE, NEEDS, SIMULATED, random_rows, small_blocks, there  # noqa: F401

if not SIMULATED:
    pytest.skip(NEEDS, allow_module_level=True)

from sketchxc import (crosses, dense, lookup, mach, metrics, neighbours, packed, pairs, pipeline, ranker, recipe, rerank, sizing, sparse,
                      to_device, to_host, votes)


@pytest.fixture(scope="module")
def known():
    """Rows of length 1 and labels that follow from them, and a classifier of every part trained on them."""
    rng = np.random.default_rng(0)
    labels = sparse.rows([[i % 6] if i % 4 else [i % 6, 6] for i in range(40)], 9)
    x = np.abs(rng.normal(size=(40, 11))).astype(np.float32) * (rng.random((40, 11)) < 0.3)
    x[np.arange(40), np.arange(40) % 6] += 1
    x = sparse.normalize(sparse.rows(x))
    plan = sizing.plan(40, 11, 9, reps=2, buckets=4, epochs=2, seed=1)
    chosen = recipe.choose(40, 11, 9, nonzeros=x.indices.size, kind="best", seed=0)._replace(
        mach=plan, reps=1, dim=16, epochs=1, neighbours=True, held=8, tail=())
    return x, labels, ranker.train(x, labels, chosen)


def close(found, wanted, **tolerance):
    assert there(found)
    np.testing.assert_allclose(to_host(found), wanted, **(tolerance or CLOSE))


def test_crosses(known):
    x, _, model = known
    gone, pairs = to_device((x, model.crosses))
    found, wanted = crosses.cross(pairs, gone), crosses.cross(model.crosses, x)
    assert crosses.width(pairs) == wanted.width == found.width and wanted.indices.size > x.indices.size
    for a, b in zip(found[:3], wanted):
        close(a, b)
    empty = x._replace(indptr=np.zeros(1, np.int64), indices=x.indices[:0], values=x.values[:0])
    assert to_host(crosses.cross(pairs, to_device(empty))).indptr.tolist() == [0]
    none = to_device(crosses.find(x, least=0))
    assert crosses.cross(none, gone).indices is gone.indices
    with pytest.raises(TypeError, match="on the device and crosses on the host"):
        crosses.cross(model.crosses, gone)
    with pytest.raises(ValueError, match="x must have 11 columns, not 12"):
        crosses.cross(pairs, gone._replace(width=12))


def test_votes_and_nearest_rows(known):
    x, labels, model = known
    x = sparse.take(x, np.arange(5))
    made = votes.votes(votes.count(x, sparse.take(labels, np.arange(5))))
    wanted, gone = votes.candidates(made, x, made.n_labels), to_device((made, x))
    found = votes.candidates(*gone, made.n_labels)
    close(found[0], wanted[0])
    close(found[1], wanted[1])
    for a, b in zip(votes.completed(*found, made.n_labels), votes.completed(*wanted, made.n_labels)):
        close(a, b)
    shortlist = np.array([[0, 3, -1]] * 5, np.int32)
    given = neighbours.votes(*to_device((model.neighbours, x, shortlist)))
    for a, b in zip(given, neighbours.votes(model.neighbours, x, shortlist)):
        close(a, b)
    shortlist[2, 1] = 9
    with pytest.raises(ValueError, match="shortlist must hold labels between -1 and 8"):
        neighbours.votes(*to_device((model.neighbours, x, shortlist)))
    with pytest.raises(TypeError, match="on the device and votes on the host"):
        votes.candidates(made, gone[1], 2)


@pytest.mark.parametrize("small", [False, True])
def test_factors(known, small):
    x, labels, _ = known
    order, near = np.arange(12)[::-1].copy(), np.array([[0, 3, -1]] * 40, np.int32)
    factors = rerank.init(11, 9, dim=16, reps=2, cells=6 if small else None)
    state = rerank.slots(factors)
    gone = to_device((factors, state, x, labels, near))
    options = dict(lr=0.3, last_lr=0.1, near=2 * small, far=3, seed=4)
    wanted = rerank.train(factors, state, x, labels, near if small else None, order, **options)
    assert rerank.train(*gone[:4], gone[4] if small else None, order, **options) == pytest.approx(wanted, rel=1e-5)
    for a, b in zip((*gone[0][:2], *gone[1]), (*factors[:2], *state)):
        close(a, b, rtol=1e-4, atol=1e-4)
    own = rerank.pack(factors) if small else factors
    gone = to_device((own, x, near))
    close(rerank.scores(*gone), rerank.scores(own, x, near), rtol=1e-4, atol=1e-4)
    with pytest.raises(TypeError, match="on the device and shortlist on the host"):
        rerank.scores(*gone[:2], near)


def test_packed_scores(known):
    x, labels, _ = known
    model = mach.init(11, lookup.hashed(9, reps=2, buckets=4))
    model.weights[...] = np.random.default_rng(1).normal(size=model.weights.shape)
    own = packed.pack(model)
    found = packed.pack(to_device(model))
    np.testing.assert_array_equal(to_host(found.weights), own.weights)
    close(packed.bucket_scores(found, to_device(x)), packed.bucket_scores(own, x))


@pytest.mark.parametrize("more", [{}, {"gains": np.linspace(9, 1, 9, dtype=np.float32)}, {"shortlist": 4},
                                  {"among": 0.8, "shortlist": 4, "gains": np.linspace(1, 9, 9, dtype=np.float32)}])
def test_the_default_classifier(known, more):
    """The same labels and scores for rows on either side."""
    x, labels, model = known
    model = model._replace(**more)
    assert model.mach is not None and model.factors is not None and model.neighbours is not None
    x = sparse.take(x, np.arange(0, 40, 14))
    gone = to_device(model)
    wanted, scores = ranker.top_k(model, x, 3)
    for rows in (x, to_device(x)):
        found = ranker.top_k(gone, rows, 3)
        close(found[0], wanted)
        close(found[1], scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ranker.probabilities(gone, found[1]), ranker.probabilities(model, scores), rtol=1e-3, atol=1e-4)
    labels = sparse.take(labels, np.arange(0, 40, 14))
    assert metrics.precision_at(found[0], to_device(labels), 3) == metrics.precision_at(wanted, labels, 3) > 0


def test_pipeline():
    texts, labels = [f"word{i % 3} and word{i % 2}" for i in range(12)], sparse.rows([[i % 3] for i in range(12)], 3)
    for kind, more in (("fast", {}), ("mach", {"reps": 2, "buckets": 2, "epochs": 1})):
        classifier, _, _ = pipeline.train(texts, labels, names=["a", "b", "c"], kind=kind, **more)
        gone = to_device(classifier)
        assert there(gone.model) and gone.encoder is classifier.encoder and pipeline.label_names(gone) == ["a", "b", "c"]
        found, wanted = pipeline.predict(gone, texts[:4], 2), pipeline.predict(classifier, texts[:4], 2)
        close(found[0], wanted[0])
        close(found[1], wanted[1], rtol=1e-4, atol=1e-4)
        assert (pipeline.probabilities(gone, found[1]) is None) == (kind == "mach")


def test_pairs():
    rng = np.random.default_rng(2)
    own, x = pairs.init(9, depth=2, width=200), random_rows(rng)
    own.table[...] = rng.normal(size=own.table.shape)
    shortlist, base = rng.integers(-1, 9, (5, 3)).astype(np.int32), rng.normal(size=(5, 3)).astype(np.float32)
    gone = to_device((own, x, shortlist, base))
    close(pairs.scores(*gone), pairs.scores(own, x, shortlist, base))
    close(pairs.scores(*gone[:3]), pairs.scores(own, x, shortlist))
    with pytest.raises(TypeError, match="on the device and x on the host"):
        pairs.scores(gone[0], x, gone[2])
    with pytest.raises(ValueError, match="shortlist must hold labels between -1 and 8"):
        pairs.scores(gone[0], gone[1], to_device(np.full((5, 1), 9, np.int32)))
    with pytest.raises(TypeError, match="host"):
        pairs.train(gone[0], pairs.slots(own), *gone[1:3], gone[2], np.arange(2), lr=0.1)


def test_measures():
    rng = np.random.default_rng(3)
    ranked = np.array([rng.permutation(9)[:4] for _ in range(6)], np.int32)
    ranked[2, 1:] = -1
    labels = sparse.rows([[0, 1, 2], [3], [], [4, 8], [5], [6, 7]], 9)
    gone, propensity = to_device((ranked, labels)), metrics.propensities(np.arange(9), 20)
    for measure in (metrics.precision_at, metrics.capped_precision_at, metrics.recall_at, metrics.ndcg_at, metrics.reciprocal_rank_at,
                    metrics.coverage_at):
        assert measure(*gone, 3) == measure(ranked, labels, 3) > 0
    for measure in (metrics.scored_precision_at, metrics.scored_ndcg_at):
        assert measure(*gone, 3, propensity) == measure(ranked, labels, 3, propensity) > 0
    np.testing.assert_array_equal(metrics.hits(*gone), metrics.hits(ranked, labels))
    for column, bad, message in ((0, 9, "ranked row 4 holds what is no label between -1 and 8"),
                                 (1, ranked[4, 0], "ranked row 4 holds a label twice among its first 3")):
        wrong = ranked.copy()
        wrong[4, column] = bad
        with pytest.raises(ValueError, match=message):
            metrics.recall_at(to_device(wrong), gone[1], 3)
    with pytest.raises(ValueError, match="labels row [05] holds a label twice"):
        metrics.recall_at(gone[0], to_device(labels._replace(indices=labels.indices * np.int32(0))), 3)
    with pytest.raises(TypeError, match="ranked is on the device and labels on the host"):
        metrics.recall_at(gone[0], labels, 3)


def test_dense_layers():
    rng = np.random.default_rng(4)
    x, weights, bias, slopes = (rng.normal(size=shape).astype(np.float32) for shape in ((5, 3), (3, 4), 4, (5, 4)))
    net = dense.mlp_init([3, 4, 2], activation="mish", norm="batch", seed=1)
    options = dict(rate=0.5, seed=3, step=4)
    for function, arguments, more in ((dense.affine, (x, weights, bias), {}), (dense.affine_grads, (slopes, x, weights, bias), {}),
                                      (dense.activate, (x, "mish"), {}), (dense.activate_grads, (x, x, "tanh"), {}),
                                      (dense.layer_norm, (x,), {}), (dense.layer_norm_grads, (x, x), {}), (dense.batch_norm, (x,), {}),
                                      (dense.batch_norm_grads, (x, x, dense.moments(3)), {}), (dense.dropout, (x,), options),
                                      (dense.cosine, (x, weights), {}), (dense.cosine_grads, (slopes, x, weights), {}),
                                      (dense.mlp, (x, net), options), (dense.mlp_grads, (slopes[:, :2], x, net), options)):
        gone = to_device(tuple(a if isinstance(a, tuple) else np.ascontiguousarray(a) if isinstance(a, np.ndarray) else a
                               for a in arguments))
        found, wanted = function(*gone, **more), function(*arguments, **more)
        flat, own = (list(arrays(part)) for part in (found, wanted))
        assert len(flat) == len(own) and there(*flat)
        for a, b in zip(flat, own):
            close(a, b)
    mask = dense.dropout_mask((3, 7), 0.3, seed=1, step=2, like=to_device(x))
    np.testing.assert_array_equal(to_host(mask), dense.dropout_mask((3, 7), 0.3, seed=1, step=2))
    with pytest.raises(TypeError, match="all arrays of affine must be in one place"):
        dense.affine(to_device(x), weights, bias)


def arrays(state):
    """The arrays of a state, in their order."""
    if isinstance(state, tuple):
        for part in state:
            yield from arrays(part)
    elif not isinstance(state, str):
        yield state
