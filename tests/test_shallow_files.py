"""Model files of MACH with hidden layers, and bad input."""
import numpy as np
import pytest
from machs import rows_of, same
from shallows import HIDDEN, WIDTHS, arrays, copied, problem, trained

from sketchxc import lookup, modelfile, optim, shallow, sparse


@WIDTHS
@HIDDEN
def test_files_give_back_models_and_state(width, hidden, tmp_path):
    model, x, y, _ = problem(19, width=width, hidden=hidden)
    found, state, _ = trained(model, optim.adam(), x, y, np.arange(9))
    for kind, one in ((shallow.Shallow, found), (shallow.ShallowSlots, state)):
        modelfile.save(tmp_path / kind.__name__, one)
    again = modelfile.load(tmp_path / "Shallow", expected=shallow.Shallow, verify=True)
    same([*arrays(again, modelfile.load(tmp_path / "ShallowSlots", expected=shallow.ShallowSlots)), again.feature_seeds, *again.lookup[:2]],
         [*arrays(found, state), found.feature_seeds, *found.lookup[:2]])
    assert again[8:12] == found[8:12] and again.lookup[2:] == found.lookup[2:]
    same(shallow.top_k(again, x, 3), shallow.top_k(found, x, 3))


@pytest.mark.parametrize("change, message", [
    (lambda m: dict(embed=m.embed[:2]), "embed must hold the 3 repetitions of the lookup, not 2"),
    (lambda m: dict(embed=m.embed[:, :6].copy()), "embed must have 7 rows, not 6"),
    (lambda m: dict(embed_bias=m.embed_bias[:, :5].copy()), r"embed_bias must have shape \(3, 6\), not \(3, 5\)"),
    (lambda m: dict(hidden=m.hidden[:, :5].copy()), r"hidden must have shape \(3, 6, 4\), not \(3, 5, 4\)"),
    (lambda m: dict(hidden_bias=m.hidden_bias[:2]), r"hidden_bias must have shape \(3, 4\), not \(2, 4\)"),
    (lambda m: dict(hidden=m.hidden[:, :, :0].copy(), hidden_bias=m.hidden_bias[:, :0].copy()), r"weights must have shape \(3, 6, 5\)"),
    (lambda m: dict(biases=m.biases[:, :4].copy()), r"biases must have shape \(3, 5\), not \(3, 4\)"),
    (lambda m: dict(lookup=m.lookup._replace(buckets=6)), r"weights must have shape \(3, 4, 6\), not \(3, 4, 5\)"),
    (lambda m: dict(feature_seeds=np.zeros(2, np.uint64)), "feature_seeds must hold none or 3 seeds, not 2"),
    (lambda m: dict(loss=2), "loss must be 0 or 1, not 2"),
    (lambda m: dict(weights=m.weights.astype(np.float64)), "weights must be an array of float32"),
])
def test_models_that_do_not_fit_together_are_refused(change, message, tmp_path):
    model = problem(20, hidden=(6, 4))[0]
    modelfile.save(tmp_path / "model", model)
    with pytest.raises(ValueError, match=message):
        modelfile.save(tmp_path / "model", model._replace(**change(model)))


@pytest.mark.parametrize("change, error, message", [
    (dict(x=sparse.rows([[1]] * 9, 8)), ValueError, "x must have 7 columns as in training, not 8"),
    (dict(labels=sparse.rows([[1]] * 8, 12)), ValueError, "labels must have as many rows as x, 9, not 8"),
    (dict(labels=[[12]] * 9), ValueError, "labels row 0 holds column 12"),
    (dict(order=[9]), ValueError, "order must hold row numbers between 0 and 8"),
    (dict(order=[0, -1]), ValueError, "order must hold row numbers between 0 and 8"),
    (dict(order=[0.5]), TypeError, "order must hold integers"),
    (dict(batch=0), ValueError, "batch must be at least 1, not 0"),
    (dict(threads=0), ValueError, "threads must be at least 1, not 0"),
    (dict(threads=1.5), TypeError, "threads must be an integer"),
    (dict(last_lr=-1.0), ValueError, "last_lr must be at least 0, not -1.0"),
    (dict(state=(optim.adam(), (6,))), ValueError, "state.embed.m must have shape"),
    (dict(state=(optim.adagrad(), (6, 5))), ValueError, "state.hidden.v must have shape"),
])
def test_bad_input_of_training(change, error, message):
    model, x, y, _ = problem(0)
    opt = optim.adagrad()
    given = dict(state=(opt, (6,)), x=x, labels=rows_of(y), order=np.arange(9)) | change
    rule, hidden = given["state"]
    given["state"] = shallow.slots(rule, problem(0, hidden=hidden)[0])
    before = copied(model)
    with pytest.raises(error, match=message):
        shallow.train(model, opt, **given)
    same(arrays(model), arrays(before))


@pytest.mark.parametrize("arguments, error, message", [
    (dict(n_features=0), ValueError, "n_features must be between 1 and 2147483647, not 0"),
    (dict(width=0), ValueError, "width must be between 1 and 2147483647, not 0"),
    (dict(loss="hinge"), ValueError, "loss must be one of logistic, softmax, not 'hinge'"),
    (dict(seed="a"), TypeError, "seed must be an integer"),
    (dict(hidden=()), ValueError, r"hidden must be a tuple of one or two numbers of units, not \(\)"),
    (dict(hidden=(1, 2, 3)), ValueError, "hidden must be a tuple of one or two"),
    (dict(hidden=5), ValueError, "hidden must be a tuple of one or two numbers of units, not 5"),
    (dict(hidden=(5, 0)), ValueError, "hidden must be between 1 and 1048576, not 0"),
    (dict(hidden=(5.0,)), TypeError, "hidden must be an integer"),
])
def test_bad_input_of_init(arguments, error, message):
    given = dict(n_features=7, lookup=lookup.identity(3)) | arguments
    with pytest.raises(error, match=message):
        shallow.init(given.pop("n_features"), given.pop("lookup"), **given)


def test_bad_input_of_answers():
    model, x, _, _ = problem(0)
    with pytest.raises(ValueError, match="k must be between 1 and 12"):
        shallow.top_k(model, x, 13)
    for function in (shallow.bucket_scores, lambda m, x: shallow.top_k(m, x, 1)):
        with pytest.raises(ValueError, match="x must have 7 columns as in training, not 6"):
            function(model, sparse.rows([[1]], 6))
