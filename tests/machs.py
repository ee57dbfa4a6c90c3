"""Small MACH models with data for the tests, as arrays and as lists, and their training."""
import numpy as np
import pytest
from hypothesis import strategies as st
from test_optim import OPTIMIZERS

from sketchxc import lookup, mach, sparse

SEEDS = st.integers(0, 2**32)
LOSSES = pytest.mark.parametrize("loss", mach.LOSSES)
RULES = pytest.mark.parametrize("rule", OPTIMIZERS)


def problem(seed, *, n=9, columns=7, n_labels=12, reps=3, buckets=5, loss="logistic", own=None, **more):
    """Model with random weights, and rows and labels (lists) of which some are empty; row 0 has no features, row 1 no labels."""
    rng = np.random.default_rng(seed)
    own = lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=seed) if own is None else own
    model = mach.init(columns, own, loss=loss, seed=seed, **more)
    model.weights[...], model.biases[...] = rng.normal(size=model.weights.shape), rng.normal(size=model.biases.shape)
    dense = rng.normal(size=(n, columns)).astype(np.float32) * (rng.random((n, columns)) < 0.5)
    dense[0] = 0
    y = [sorted(rng.choice(n_labels, rng.integers(0, min(5, n_labels)), replace=False).tolist()) if i != 1 else [] for i in range(n)]
    return model, sparse.rows(dense), y, rng


def pairs(x):
    """Rows as the naive twin has them."""
    return [list(zip(x.indices[a:b].tolist(), x.values[a:b].tolist())) for a, b in zip(x.indptr, x.indptr[1:])]


def rows_of(y, n_labels=12):
    return sparse.rows(y, n_labels)


def as_lists(model):
    """weights, biases, table, buckets, softmax of the naive twin."""
    table = lookup.label_buckets(model.lookup).tolist()
    return model.weights.tolist(), model.biases.tolist(), table, model.lookup.buckets, model.loss == 1


def copied(model):
    return model._replace(weights=model.weights.copy(), biases=model.biases.copy())


def trained(model, opt, x, y, order, **more):
    """Copy of the model after a pass, the state and the loss."""
    model = copied(model)
    state = mach.slots(opt, model)
    loss = mach.train(model, opt, state, x, sparse.rows(y, model.lookup.n_labels), order, **more)
    return model, state, loss


def arrays(model, state=None):
    moments = [] if state is None else [a for own in state for a in own]
    return [model.weights, model.biases, *moments]


def same(a, b):
    assert len(a) == len(b)
    for i, (p, q) in enumerate(zip(a, b)):
        assert np.array_equal(p, q), f"array {i} differs in {int((p != q).sum())} of {p.size} places"


def alone(model, r):
    """Repetition r as a model of its own."""
    own, cut = model.lookup, slice(r * model.lookup.buckets, (r + 1) * model.lookup.buckets)
    one = own._replace(seeds=own.seeds[r:r + 1], table=own.table[r:r + 1])
    return model._replace(weights=model.weights[:, cut].copy(), biases=model.biases[cut].copy(), lookup=one,
                          feature_seeds=model.feature_seeds[r:r + 1])


def sliced(monkeypatch, width):
    """Cut the training tasks at every `width` columns."""
    monkeypatch.setattr(mach, "slice_width", lambda columns, buckets, softmax: min(columns, width))
