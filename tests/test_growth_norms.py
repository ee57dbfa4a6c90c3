"""Growing and pruning nets with batch norm: gains and averages go with their units; layer norm is refused."""
import numpy as np
import pytest
from hypothesis import given, settings
from machs import SEEDS, rows_of, same
from shallows import HIDDEN, arrays, copied, trained
from test_growth import close, masked_and_small, some
from test_shallow_norms import STEADY, net

from sketchxc import growth, optim, shallow


@HIDDEN
@given(SEEDS)
@settings(max_examples=4)
def test_smaller_and_wider_nets_have_the_scores_of_masked_ones(hidden, seed):
    model, x, _, rng = net(seed, "batch", "mish", hidden=hidden)
    units = some(model, rng)
    small = growth.compact(model, units)
    layers = [("embed", units.first), ("hidden", units.second)][:len(hidden)]
    for name, own in layers:
        for r in range(3):
            assert np.array_equal(getattr(small, f"{name}_gain")[r], getattr(model, f"{name}_gain")[r, own[r]])
            assert np.array_equal(getattr(small, f"{name}_stats")[r], getattr(model, f"{name}_stats")[r][:, own[r]])
    masked = growth.masked(model, units)
    assert not any(getattr(masked, f"{name}_gain")[~own].any() for name, own in layers)
    close(small, masked, x)
    wide = growth.expand(small, units, seed=seed)
    close(wide, small, x)
    for name, own in layers:
        assert (getattr(wide, f"{name}_gain")[~own] == 1).all() and (getattr(wide, f"{name}_stats")[:, 1][~own] == 1).all()
    same(arrays(growth.compact(wide, units)), arrays(small))
    same(arrays(growth.expand(small, units, fill=model, back=True)), arrays(model))
    assert small.steps is not model.steps


@HIDDEN
@pytest.mark.parametrize("rule", ["momentum", "adam"])
def test_training_small_is_training_masked(rule, hidden):
    """Pruned units, whose sums are zero, stay without use: no gradient reaches them or their gains."""
    model, x, y, rng = net(5, "batch", "mish", hidden=hidden)
    masked, _, small, _, units = masked_and_small(model, x, y, rng, STEADY[rule], 1e-2)
    same(arrays(growth.masked(masked, units)), arrays(masked))
    close(small, masked, x)


@HIDDEN
def test_closed_gates_are_pruned_units(hidden):
    model, x, y, rng = net(6, "batch", "tanh", hidden=hidden)
    gates = growth.gates(model, rate=0.0)
    for scores in gates[:2]:
        scores[rng.random(scores.shape) < 0.4] = 0.0
    units = growth.opened(gates)
    found, _, mean = trained(model, optim.sgd(), x, y, np.arange(9), batch=5, gates=gates)
    masked, _, wanted = trained(growth.masked(model, units), optim.sgd(), x, y, np.arange(9), batch=5)
    assert mean == pytest.approx(wanted, rel=1e-5) and not units.first.all()
    for a, b in zip(arrays(growth.masked(found, units)), arrays(masked)):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_runs_end_with_all_units():
    model, x, y, rng = net(7, "batch", hidden=(6, 5))
    state = shallow.slots(optim.adam(), model)
    orders = [rng.permutation(9) for _ in range(3)]
    found, moments, _, _ = growth.fit(model, optim.adam(), state, x, rows_of(y), orders, [1, 0.5, 1], batch=4)
    assert found.embed_gain.shape == (3, 6) == moments.embed_gain.m.shape and found.hidden_stats.shape == (3, 2, 5)
    assert found.steps.tolist() == [6] and np.isfinite(shallow.bucket_scores(found, x)).all()  # in each pass 4, 4 and 1 rows


def test_magnitudes_count_gains_in_place_of_what_is_normed_away():
    model, _, _, _ = net(8, "batch", hidden=(6, 5))
    wanted = growth.magnitudes(model)
    for scaled, own in zip(growth.magnitudes(model._replace(embed=10 * model.embed)), wanted):
        assert np.array_equal(scaled, own)
    lengths = [np.hypot(gain, bias) for gain, bias in ((model.embed_gain, model.embed_bias), (model.hidden_gain, model.hidden_bias))]
    for own, length, after in zip(wanted, lengths, (model.hidden, model.weights)):
        np.testing.assert_allclose(own, length * np.linalg.norm(after, axis=2), rtol=1e-5)


@pytest.mark.parametrize("call", [lambda m, u: growth.masked(m, u), lambda m, u: growth.compact(m, u), lambda m, u: growth.gates(m),
                                  lambda m, u: growth.expand(m, u, fill=m)])
def test_layer_norm_is_refused(call):
    model, _, _, rng = net(9, "layer")
    with pytest.raises(ValueError, match="model must have no layer norm"):
        call(model, growth.best(growth.magnitudes(model), 6))


def test_bad_input():
    model, x, y, rng = net(9, "batch")
    units = growth.best(growth.magnitudes(model), 3)
    with pytest.raises(ValueError, match="fill must have the norm 'batch' of the model, not 'none'"):
        growth.expand(growth.compact(model, units), units, fill=shallow.init(7, model.lookup, hidden=(6,)))
    gates, other = growth.gates(model), net(9, "layer")[0]
    before = copied(other)
    with pytest.raises(ValueError, match="gates must be None with layer norm"):
        shallow.train(other, optim.sgd(), shallow.slots(optim.sgd(), other), x, rows_of(y), np.arange(9), gates=gates)
    same(arrays(other), arrays(before))
