"""Linear MACH: model files and bad input."""
import numpy as np
import pytest
from machs import arrays, copied, problem, rows_of, same, trained

from sketchxc import lookup, mach, modelfile, optim, sparse


@pytest.mark.parametrize("width", [None, 4])
def test_files_give_back_models_and_state(width, tmp_path):
    for own in (lookup.hashed(12, reps=3, buckets=5, seed=1), lookup.from_table(np.arange(36).reshape(3, 12) % 5, 5), lookup.identity(12)):
        model, x, y, _ = problem(19, own=own, width=width)
        found, state, _ = trained(model, optim.adam(), x, y, np.arange(9))
        for kind, one in ((mach.Mach, found), (mach.MachSlots, state), (lookup.Lookup, own)):
            modelfile.save(tmp_path / "model", one)
            again = modelfile.load(tmp_path / "model", expected=kind, verify=True)
            if kind is mach.Mach:
                same(arrays(again), arrays(found))
                same(again.lookup[:2] + (again.feature_seeds,), own[:2] + (found.feature_seeds,))
                assert again[4:] == found[4:] and again.lookup[2:] == own[2:]
                same(mach.top_k(again, x, 3), mach.top_k(found, x, 3))
            elif kind is mach.MachSlots:
                same(arrays(found, again), arrays(found, state))
            else:
                same(again[:2], own[:2])
                assert again[2:] == own[2:]


@pytest.mark.parametrize("change, message", [
    (lambda m: dict(weights=m.weights[:, :14]), "weights and biases must have 15 columns, not 14 and 15"),
    (lambda m: dict(biases=m.biases[:14]), "weights and biases must have 15 columns, not 15 and 14"),
    (lambda m: dict(lookup=m.lookup._replace(buckets=6)), "weights and biases must have 18 columns"),
    (lambda m: dict(weights=m.weights[:6]), "weights must have 7 rows, not 6"),
    (lambda m: dict(feature_seeds=np.zeros(2, np.uint64)), "feature_seeds must hold none or 3 seeds, not 2"),
    (lambda m: dict(loss=2), "loss must be 0 or 1, not 2"),
    (lambda m: dict(lookup=m.lookup._replace(seeds=m.lookup.seeds[:2])), "weights and biases must have 10 columns, not 15"),
    (lambda m: dict(lookup=m.lookup._replace(table=np.zeros((3, 11), np.int32))), "table must have 0 or 12 columns, not 11"),
    (lambda m: dict(weights=m.weights.astype(np.float64)), "weights must be an array of float32"),
])
def test_models_that_do_not_fit_together_are_refused(change, message, tmp_path):
    model = problem(20)[0]
    modelfile.save(tmp_path / "model", model)
    with pytest.raises(ValueError, match=message):
        modelfile.save(tmp_path / "model", model._replace(**change(model)))


@pytest.mark.parametrize("change, error, message", [
    (dict(x=sparse.rows([[1]] * 9, 8)), ValueError, "x must have 7 columns as in training, not 8"),
    (dict(x=3), TypeError, "x must be"),
    (dict(x=sparse.rows([[1]] * 9, 7)._replace(indices=np.full(9, 7, np.int32))), ValueError, "x row 0 holds column 7"),
    (dict(labels=sparse.rows([[1]] * 8, 12)), ValueError, "labels must have as many rows as x, 9, not 8"),
    (dict(labels=[[12]] * 9), ValueError, "labels row 0 holds column 12"),
    (dict(order=[9]), ValueError, "order must hold row numbers between 0 and 8"),
    (dict(order=[0, -1]), ValueError, "order must hold row numbers between 0 and 8"),
    (dict(order=[0.5]), TypeError, "order must hold integers"),
    (dict(order=[[0]]), ValueError, "order must have 1 axis"),
    (dict(batch=0), ValueError, "batch must be at least 1, not 0"),
    (dict(batch=2.0), TypeError, "batch must be an integer"),
    (dict(last_lr=np.nan), ValueError, "last_lr must be at least 0, not nan"),
    (dict(state=(optim.sgd(), 3)), ValueError, "state.weights.v must have shape"),
    (dict(state=(optim.adagrad(), 2)), ValueError, "state.weights.v must have shape"),
])
def test_bad_input_of_training(change, error, message):
    model, x, y, _ = problem(0)
    opt = optim.adagrad()
    given = dict(state=(opt, 3), x=x, labels=rows_of(y), order=np.arange(9)) | change
    rule, reps = given["state"]
    given["state"] = mach.slots(rule, problem(0, reps=reps)[0])
    before = copied(model)
    with pytest.raises(error, match=message):
        mach.train(model, opt, **given)
    same(arrays(model), arrays(before))


@pytest.mark.parametrize("arguments, error, message", [
    (dict(n_features=0), ValueError, "n_features must be between 1 and 2147483647, not 0"),
    (dict(width=0), ValueError, "width must be between 1 and 2147483647, not 0"),
    (dict(width=1.5), TypeError, "width must be an integer"),
    (dict(loss="hinge"), ValueError, "loss must be one of logistic, softmax, not 'hinge'"),
    (dict(seed="a"), TypeError, "seed must be an integer"),
])
def test_bad_input_of_init(arguments, error, message):
    given = dict(n_features=7, lookup=lookup.identity(3), width=2) | arguments
    with pytest.raises(error, match=message):
        mach.init(given.pop("n_features"), given.pop("lookup"), **given)


def test_bad_input_of_answers():
    model, x, _, _ = problem(0)
    for k in (0, 13):
        with pytest.raises(ValueError, match="k must be between 1 and 12"):
            mach.top_k(model, x, k)
    with pytest.raises(ValueError, match="how must be one of"):
        mach.top_k(model, x, 1, how="sum")
    for function in (mach.bucket_scores, lambda m, x: mach.top_k(m, x, 1)):
        with pytest.raises(ValueError, match="x must have 7 columns as in training, not 6"):
            function(model, sparse.rows([[1]], 6))
