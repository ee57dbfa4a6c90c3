"""Nets: clipped gradients against the naive twin, for every kind of state; bad input of norms and of clipping."""
import numpy as np
import pytest
from machs import LOSSES, pairs, rows_of, same
from naive import norms as naive
from naive import shallow as naive_shallow
from shallows import HIDDEN, alone, arrays, copied, nets, problem, trained
from test_rules import MORE
from test_shallow_norms import STEADY, averages_of, gains_of, net
from test_shallow_states import MAKES
from test_sketchoptim import alone as seed_without_meeting

from sketchxc import dense, growth, hashing, modelfile, optim, shallow, sketchoptim

WEIGHTS = shallow.ShallowSlots._fields


def moves(before, after, r):
    """How far each array of net r has come, in float64."""
    return [getattr(before, name)[r].astype(np.float64) - getattr(after, name)[r] for name in WEIGHTS]


def length(parts):
    return np.sqrt(sum((part**2).sum() for part in parts))


def test_naive_clipping_is_that_of_optim():
    grads = [np.array([3.0, 0.0]), np.array([[0.0, 4.0]])]
    for limit in (1.0, 5.0, 7.0):
        wanted, norm = optim.clip_norm(grads, limit)
        (((by_input, by_bias),), (by_gain,), found) = naive.clipped([[{2: [3.0, 0.0]}, [0.0]]], [[0.0, 4.0]], limit)
        np.testing.assert_allclose([by_input[2], by_gain], [wanted[0], wanted[1][0]])
        assert found == norm == 5.0 and by_bias == [0.0]


@LOSSES
@HIDDEN
@pytest.mark.parametrize("norm", dense.NORMS)
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_batches_match_the_naive_loop(loss, hidden, norm, rule):
    """A limit that some steps and nets meet, and others not."""
    model, x, y, rng = net(2, norm, "tanh", reps=2, loss=loss, hidden=hidden)
    model.steps[:] = 0
    order, opt, limit = rng.integers(0, 9, 11).tolist(), STEADY[rule]._replace(lr=0.05), 1.5
    found, _, mean = trained(model, opt, x, y, order, batch=4, clip=limit)
    losses = []
    for r, (one, own) in enumerate(zip(*nets(model))):
        gains = gains_of(model, r)
        gain_moments = [[[0.0] * len(gain), [0.0] * len(gain)] for gain in gains]
        losses.append(naive.train(one, gains, naive_shallow.moments(one), gain_moments, rule, opt[1:], pairs(x), y, own, 5,
                                  loss == "softmax", order, 4, norm, "tanh", None, averages_of(model, r), limit)[0])
        for a, b in zip(nets(found)[0][r], one):
            for p, q in zip(a, b):
                np.testing.assert_allclose(p, q, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(sum(gains_of(found, r), []), sum(gains, []), rtol=1e-3, atol=1e-4)
    assert mean == pytest.approx(np.mean(losses), rel=1e-4)


@HIDDEN
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_a_step_is_as_long_as_it_may_be(hidden, norm):
    """Each net for itself: in the direction of its gradient, lr times the limit at most; those with less are left alone."""
    model, x, y, _ = net(3, norm, "tanh", hidden=hidden)
    opt, order = optim.sgd(1.0), np.arange(9)
    free = trained(model, opt, x, y, order, batch=9)[0]
    lengths = [length(moves(model, free, r)) for r in range(3)]
    for limit in (0.5 * min(lengths), sorted(lengths)[1] + 1e-3):
        found = trained(model, opt, x, y, order, batch=9, clip=limit)[0]
        for r, own in enumerate(lengths):
            assert length(moves(model, found, r)) == pytest.approx(min(limit, own), rel=1e-4)
            for a, b in zip(moves(model, free, r), moves(model, found, r)):
                np.testing.assert_allclose(b, a * min(1.0, limit / own), rtol=1e-3, atol=1e-6)
    tiny = trained(model, optim.sgd(100.0), x, y, order, batch=3, clip=1e-4)[0]
    assert all(length(moves(model, tiny, r)) <= 3 * 100.0 * 1e-4 * 1.001 for r in range(3))


@HIDDEN
@pytest.mark.parametrize("norm", dense.NORMS)
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_a_limit_that_is_never_met_changes_nothing(hidden, norm, rule):
    """Up to the rounding of the gradients of table rows, which are stored in between."""
    model, x, y, rng = net(4, norm, "mish", hidden=hidden)
    order, opt = rng.permutation(9), STEADY[rule]._replace(decay=0.01, l1=1e-3)
    found, state, mean = trained(model, opt, x, y, order, batch=4, clip=1e30, dropout=0.2)
    wanted, wanted_state, wanted_mean = trained(model, opt, x, y, order, batch=4, dropout=0.2)
    assert mean == pytest.approx(wanted_mean, rel=1e-6)
    for a, b in zip(arrays(found, state), arrays(wanted, wanted_state)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# ---- other states of the table

def test_without_meeting_rows_sketches_take_the_steps_of_dense_moments():
    model, x, y, rng = problem(3, hidden=(5, 3))
    opt, order = MORE["adam"]._replace(decay=0.01), rng.permutation(9)
    wanted = trained(model, opt, x, y, order, batch=2, clip=0.5)[0]
    assert not np.array_equal(wanted.embed, trained(model, opt, x, y, order, batch=2)[0].embed)
    embed = sketchoptim.sketched_slots(opt, model.embed.shape, width=64)
    embed = embed._replace(seeds=np.array([hashing.seeds(3, seed_without_meeting(7, 3, 64))] * 3))
    found = copied(model)
    shallow.train(found, opt, shallow.slots(opt, found)._replace(embed=embed), x, rows_of(y), order, batch=2, clip=0.5)
    same(arrays(found), arrays(wanted))


@pytest.mark.parametrize("name", MAKES)
def test_small_states_get_the_clipped_gradients(name):
    """One net and one batch against the step on a table, on the clipped gradients that plain descent shows."""
    model, x, y, _ = problem(5, reps=1)
    plain = trained(model, optim.sgd(1.0), x, y, [0, 1], batch=2, clip=0.25)[0]
    grads = model.embed[0] - plain.embed[0]
    rows = np.flatnonzero(grads.any(axis=1))
    opt, found = MORE["adam"], copied(model)
    state = shallow.slots(opt, found)._replace(embed=MAKES[name](opt, model.embed.shape))
    shallow.train(found, opt, state, x, rows_of(y), [0, 1], batch=2, clip=0.25)
    table, own = model.embed[0].copy(), MAKES[name](opt, model.embed.shape)
    own = own._replace(**{field: getattr(own, field)[0] for field in ("m", "v", "seeds", "rows", "columns") if hasattr(own, field)})
    sketchoptim.step(opt, own, table, rows, grads[rows])
    np.testing.assert_allclose(found.embed[0], table, rtol=1e-3, atol=1e-3)


def test_gates_learn_as_without_a_limit():
    """In the first step: their slopes are no part of what is clipped; closed ones keep the weights that leave them."""
    model, x, y, rng = problem(6)
    found = []
    for limit in (None, 1e-3):
        gates = growth.gates(model, rate=0.1)
        gates.first[:, :3] = -0.5
        after = trained(model, optim.sgd(), x, y, np.arange(9), batch=9, gates=gates, clip=limit)[0]
        assert np.array_equal(after.weights[:, :3], model.weights[:, :3]) and not np.array_equal(after.weights, model.weights)
        found.append(gates.first)
    assert np.array_equal(*found)


@pytest.mark.compiled
def test_same_bits_for_any_number_of_threads_and_repetitions():
    model, x, y, rng = problem(8, n=70, hidden=(30, 17), buckets=33)
    order, more = rng.permutation(70), dict(batch=20, clip=0.3)
    results = [trained(model, MORE["adam"], x, y, order, threads=threads, **more) for threads in (1, 5)]
    same(arrays(*results[0][:2]), arrays(*results[1][:2]))
    same(arrays(trained(alone(model, 1), MORE["adam"], x, y, order, **more)[0]), arrays(alone(results[0][0], 1)))


def test_a_run_that_diverges_reports_a_loss_that_is_not_finite():
    model, x, y, _ = problem(9)
    model.weights[1, 0, 0] = np.inf
    assert not np.isfinite(trained(model, optim.sgd(), x, y, np.arange(9), clip=1.0)[2])


# ---- bad input

@pytest.mark.parametrize("clip, error, message", [(0.0, ValueError, "clip must be above 0, not 0.0"),
                                                  (-1.0, ValueError, "clip must be above 0, not -1.0"),
                                                  (float("nan"), ValueError, "clip must be"), ([], TypeError, "clip must be a")])
def test_bad_limits(clip, error, message):
    model, x, y, _ = problem(0)
    before = copied(model)
    with pytest.raises(error, match=message):
        shallow.train(model, optim.sgd(), shallow.slots(optim.sgd(), model), x, rows_of(y), np.arange(9), clip=clip)
    same(arrays(model), arrays(before))


@pytest.mark.parametrize("norm, change, message", [
    ("none", lambda m: dict(norm=3), "norm must be 0, 1 or 2, not 3"),
    ("none", lambda m: dict(norm=1), r"embed_gain must have shape \(3, 6\), not \(3, 0\)"),
    ("none", lambda m: dict(embed_gain=np.ones((3, 6), np.float32)), r"embed_gain must be empty with the norm 'none', not of shape"),
    ("layer", lambda m: dict(steps=np.zeros(1, np.int64)), "steps must be empty with the norm 'layer'"),
    ("layer", lambda m: dict(hidden_gain=m.hidden_gain[:, :3].copy()), r"hidden_gain must have shape \(3, 4\), not \(3, 3\)"),
    ("batch", lambda m: dict(embed_stats=m.embed_stats[:2]), r"embed_stats must have shape \(3, 2, 6\), not \(2, 2, 6\)"),
    ("batch", lambda m: dict(hidden_stats=m.hidden_stats[:, :1].copy()), r"hidden_stats must have shape \(3, 2, 4\), not \(3, 1, 4\)"),
    ("batch", lambda m: dict(steps=m.steps[:0]), r"steps must have shape \(1,\), not \(0,\)"),
    ("batch", lambda m: dict(embed_stats=m.embed_stats.astype(np.float64)), "embed_stats must be an array of float32"),
])
def test_models_that_do_not_fit_together_are_refused(norm, change, message, tmp_path):
    model = net(20, norm, hidden=(6, 4))[0]
    modelfile.save(tmp_path / "model", model)
    with pytest.raises(ValueError, match=message):
        modelfile.save(tmp_path / "model", model._replace(**change(model)))


def test_other_bad_input():
    model, x, y, _ = net(0, "batch", hidden=(6,))
    with pytest.raises(ValueError, match="norm must be one of none, layer, batch, not 'group'"):
        shallow.init(7, model.lookup, norm="group")
    state = shallow.slots(optim.momentum(), problem(0)[0])
    with pytest.raises(ValueError, match=r"state.embed_gain.m must have shape \(3, 6\) for this optimizer, not \(3, 0\)"):
        shallow.train(model, optim.momentum(), state, x, rows_of(y), np.arange(9))
