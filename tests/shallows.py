"""Small MACH nets with data for the tests, as arrays and as lists, and their training."""
import numpy as np
import pytest
from machs import problem as linear_problem

from sketchxc import lookup, mach, shallow, sparse

HIDDEN = pytest.mark.parametrize("hidden", [(6,), (19, 5)])
PARTS = (*shallow.ShallowSlots._fields, "embed_stats", "hidden_stats")  # arrays with a part for each net
WIDTHS = pytest.mark.parametrize("width", [None, 4])


def problem(seed, *, hidden=(6,), width=None, **more):
    """Model with random weights and biases; rows and labels (lists) as those of the linear models."""
    linear, x, y, rng = linear_problem(seed, **more)
    model = shallow.init(x.width, linear.lookup, hidden=hidden, loss=mach.LOSSES[linear.loss], width=width, seed=seed)
    for array in model[:6]:
        array[...] = 0.7 * rng.normal(size=array.shape)
    return model, x, y, rng


def nets(model):
    """The nets of the naive twin, and for each its table of buckets."""
    def layers(r):
        found = [[model.embed[r].tolist(), model.embed_bias[r].tolist()], [model.weights[r].tolist(), model.biases[r].tolist()]]
        return found[:1] + ([[model.hidden[r].tolist(), model.hidden_bias[r].tolist()]] if model.hidden.shape[2] else []) + found[1:]
    return [layers(r) for r in range(model.lookup.reps)], lookup.label_buckets(model.lookup).tolist()


def flat(net):
    """Every number of a net, of its moments or of its gradients."""
    return np.concatenate([np.ravel(part) for layer in net for part in layer])


def copied(model):
    return model._replace(**{name: getattr(model, name).copy() for name in (*PARTS, "steps")})


def trained(model, opt, x, y, order, **more):
    """Copy of the model after a pass, the state and the loss."""
    model = copied(model)
    state = shallow.slots(opt, model)
    return model, state, shallow.train(model, opt, state, x, sparse.rows(y, model.lookup.n_labels), order, **more)


def arrays(model, state=None):
    return [*(getattr(model, name) for name in (*PARTS, "steps")), *([] if state is None else [a for own in state for a in own])]


def alone(model, r):
    """Repetition r as a model of its own."""
    own = model.lookup
    cut = {name: getattr(model, name)[r:r + 1].copy() for name in PARTS} | {"steps": model.steps.copy()}
    one = own._replace(seeds=own.seeds[r:r + 1], table=own.table[r:r + 1])
    return model._replace(**cut, lookup=one, feature_seeds=model.feature_seeds[r:r + 1])
