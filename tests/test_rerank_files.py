"""Model files of factors, and bad input."""
import numpy as np
import pytest
from test_rerank import problem, rows_of, same

from sketchxc import modelfile, rerank, sparse


def test_model_files(tmp_path):
    factors, state, x, _, shortlist, _ = problem(9, reps=2, cells=4)
    for own in (factors, state, rerank.pack(factors)):
        modelfile.save(tmp_path / "model", own)
        found = modelfile.load(tmp_path / "model", expected=type(own))
        assert same(found, own)
        if own is not state:
            assert np.array_equal(rerank.scores(found, x, shortlist), rerank.scores(own, x, shortlist))
    for wrong in (factors._replace(columns=3), factors._replace(labels=factors.labels[:, :, :8]), factors._replace(seeds=factors.seeds[:1]),
                  rerank.pack(factors)._replace(label_scales=np.zeros((2, 3), np.float32))):
        with pytest.raises(ValueError, match="must"):
            modelfile.save(tmp_path / "model", wrong)


@pytest.mark.parametrize("change, error, message", [
    (dict(x=sparse.rows([[1]] * 6, 8)), ValueError, "x must have 9 columns"),
    (dict(labels=sparse.rows([[1]] * 5, 7)), ValueError, "labels must have as many rows as x, 6, not 5"),
    (dict(labels=sparse.rows([[7]] * 6, 8)), ValueError, "labels"),
    (dict(shortlist=np.zeros((5, 2), np.int32)), ValueError, "shortlist must have a row for each of the 6"),
    (dict(shortlist=np.full((6, 2), 7, np.int32)), ValueError, "shortlist must hold labels below 7, not 7"),
    (dict(shortlist=np.zeros((6, 2))), TypeError, "shortlist must hold integers"),
    (dict(shortlist=None), ValueError, "near"),
    (dict(order=[6]), ValueError, "order must hold row numbers between 0 and 5"),
    (dict(order=[-1]), ValueError, "order"),
    (dict(near=-1), ValueError, "near"),
    (dict(far=1.5), TypeError, "far"),
    (dict(lr=-1), ValueError, "lr"),
    (dict(last_lr=np.nan), ValueError, "last_lr"),
    (dict(state=rerank.FactorSlots(np.ones((1, 9), np.float32), np.ones((1, 8), np.float32))), ValueError, "state must have shapes"),
])
def test_bad_input_of_training(change, error, message):
    factors, state, x, y, shortlist, _ = problem(0)
    given = dict(state=state, x=x, labels=rows_of(y), shortlist=shortlist, order=np.arange(6), lr=0.3, seed=0) | change
    before = factors.labels.copy()
    with pytest.raises(error, match=message):
        rerank.train(factors, **given)
    assert np.array_equal(factors.labels, before)


def test_bad_input_elsewhere():
    factors, _, x, _, shortlist, _ = problem(0)
    for arguments in (dict(dim=24), dict(dim=0), dict(reps=0), dict(cells=0)):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            rerank.init(9, 7, **arguments)
    with pytest.raises(ValueError, match="shortlist"):
        rerank.scores(factors, x, shortlist[:3])
    with pytest.raises(ValueError, match="shortlist must hold labels below 7"):
        rerank.scores(factors, x, np.full((6, 1), 100))
    with pytest.raises(ValueError, match="9 columns"):
        rerank.scores(rerank.pack(factors), sparse.rows([[0]] * 6, 5), shortlist)
