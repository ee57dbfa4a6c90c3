"""Growing and pruning: which units stay, smaller and wider nets of the same function, runs that alternate, gates, bad input."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import SEEDS, pairs, rows_of, same
from naive import growth as naive
from naive import shallow as naive_shallow
from shallows import HIDDEN, arrays, copied, nets, problem, trained
from test_optim import OPTIMIZERS

from sketchxc import growth, modelfile, optim, shallow, sketchoptim
from sketchxc._cpu import shallow as kernels

SCORES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]), min_size=1, max_size=6)


def some(model, rng, share=0.5):
    """Units at random, as many in each repetition."""
    sizes = [model.embed.shape[2], model.hidden.shape[2]]
    scores = growth.Units(*(rng.random((model.lookup.reps, size)) for size in sizes))
    return growth.best(scores, *(max(min(1, size), int(share * size)) for size in sizes))


def close(model, other, x):
    np.testing.assert_allclose(shallow.bucket_scores(model, x), shallow.bucket_scores(other, x), rtol=1e-4, atol=1e-4)


# ---- which units stay

@HIDDEN
def test_magnitudes_match_the_naive_twin(hidden):
    model = problem(3, hidden=hidden)[0]
    for r, net in enumerate(nets(model)[0]):
        for found, wanted in zip(growth.magnitudes(model), naive.magnitudes(net)):
            np.testing.assert_allclose(found[r], wanted, rtol=1e-5)
    assert growth.magnitudes(model).second.shape == model.hidden_bias.shape


@given(SCORES, SCORES, st.data())
def test_best_units_match_the_naive_twin(first, second, data):
    counts = [data.draw(st.integers(1, len(own))) for own in (first, second)]
    found = growth.best(growth.Units(np.array([first]), np.array([second])), *counts)
    assert [own[0].tolist() for own in found] == [naive.best(first, counts[0]), naive.best(second, counts[1])]


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 6), st.integers(1, 5), st.integers(1, 20), st.floats(0, 1))
def test_units_within_a_budget_match_the_naive_twin(seed, reps, first, second, buckets, share):
    """Distinct scores, so that there are no ties of the threshold."""
    values = np.random.default_rng(seed).permutation(reps * (first + second)) / 8.0
    scores = growth.Units(values[:reps * first].reshape(reps, first), values[reps * first:].reshape(reps, second))
    least, whole = (growth.flops(4, sizes, buckets) for sizes in ((1, 1), (first, second)))
    budget = least + share * (whole - least)
    found = [own.sum(1).tolist() for own in growth.within(scores, 4, buckets, budget)]
    means = np.concatenate([-np.sort(-own, axis=1).mean(0)[1:] for own in scores])
    assert growth.flops(4, [own[0] for own in found], buckets) <= budget and all(len(set(own)) == 1 for own in found)
    if len(set(means.tolist())) == means.size:
        assert [own[0] for own in found] == naive.within([own.tolist() for own in scores], 4, buckets, budget)


def test_flops_are_those_of_the_products():
    assert growth.flops(3, (5,), 7) == growth.flops(3, (5, 0), 7) == 3 * 5 + 5 * 7
    assert growth.flops(3, (5, 4), 7) == naive.flops(3, (5, 4), 7) == 3 * 5 + 5 * 4 + 4 * 7


# ---- smaller and wider nets

@HIDDEN
@given(SEEDS, st.sampled_from(["relu", "tanh", "mish"]))
@settings(max_examples=6)
def test_compact_nets_match_the_naive_twin(hidden, seed, activation):
    model, x, _, rng = problem(seed, hidden=hidden)
    model = model._replace(activation=shallow.ACTIVATIONS[activation])
    units = some(model, rng)
    small = growth.compact(model, units)
    layers = [own for own in units if own.shape[1]]
    for r, net in enumerate(nets(model)[0]):
        assert nets(small)[0][r] == naive.compact(net, [own[r].tolist() for own in layers])
    close(small, growth.masked(model, units), x)
    wide = growth.expand(small, units, seed=seed)
    close(wide, small, x)
    assert wide.embed.shape == model.embed.shape and wide.activation == model.activation
    same(arrays(growth.compact(wide, units)), arrays(small))
    again = growth.expand(small, units, seed=0, fill=model)
    close(again, small, x)
    assert np.array_equal(again.embed, model.embed) and np.array_equal(again.embed_bias, model.embed_bias)
    assert all(array.ctypes.data % 64 == 0 for one in (small, wide) for array in one[:6] if array.size)


@HIDDEN
@pytest.mark.parametrize("back", [False, True])
def test_wider_nets_match_the_naive_twin(hidden, back):
    """Units that come back are those of the wider net; what leaves them only if they should."""
    model, x, _, rng = problem(4, hidden=hidden)
    units = some(model, rng)
    small = growth.compact(problem(5, hidden=hidden)[0]._replace(lookup=model.lookup), units)
    wide = growth.expand(small, units, fill=model, back=back)
    for r, net in enumerate(nets(model)[0]):
        kept = [own[r].tolist() for own in units if own.shape[1]]
        assert nets(wide)[0][r] == naive.expand(nets(small)[0][r], kept, net, back)
    same(arrays(growth.expand(growth.compact(model, units), units, fill=model, back=True)), arrays(model))


def masked_and_small(model, x, y, rng, opt, rtol):
    """(masked, its state, small, its state, units) after a pass of the whole net, pruning and two passes of both, which agree."""
    labels = rows_of(y)
    model, state, _ = trained(model, opt, x, y, rng.permutation(9), batch=3)
    units = some(model, rng)
    masked, small = growth.masked(model, units), growth.compact(model, units)
    own = growth.compact_slots(state, units)
    masked_state = growth.expand_slots(own, units)
    for _ in range(2):
        order = rng.permutation(9)
        losses = [shallow.train(one, opt, slots, x, labels, order, batch=3) for one, slots in ((masked, masked_state), (small, own))]
        assert losses[0] == pytest.approx(losses[1], rel=rtol / 10)
    for a, b in zip(arrays(growth.compact(masked, units), growth.compact_slots(masked_state, units)), arrays(small, own)):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 10)
    return masked, masked_state, small, own, units


@HIDDEN
@pytest.mark.parametrize("rule", OPTIMIZERS)
def test_training_small_is_training_masked(rule, hidden):
    """No gradient reaches units whose weights are zero on both sides."""
    model, x, y, rng = problem(5, hidden=hidden)
    zeroed, masked_state, _, own, units = masked_and_small(model, x, y, rng, OPTIMIZERS[rule], 1e-3)
    assert own.weights.steps[0] == 9 and masked_state.weights.steps is not own.weights.steps
    same(growth.masked(zeroed, units)[:6], zeroed[:6])


def test_sketched_state_of_the_table_is_cut_too():
    model, _, _, rng = problem(5)
    state = shallow.slots(optim.adam(), model)
    sketch = sketchoptim.sketched_slots(optim.adam(), model.embed.shape, width=2)
    sketch.v[...] = rng.random(sketch.v.shape)
    state, units = state._replace(embed=sketch), some(model, rng)
    small = growth.compact_slots(state, units)
    for r in range(3):
        assert np.array_equal(small.embed.v[r], sketch.v[r][:, :, units.first[r]])
    assert np.array_equal(growth.compact_slots(growth.expand_slots(small, units), units).embed.v, small.embed.v)
    with pytest.raises(TypeError, match="state.embed must be Slots or SketchedSlots, not RankOneSlots"):
        growth.compact_slots(state._replace(embed=sketchoptim.rank_one_slots(optim.adam(), model.embed.shape)), units)


# ---- runs

def test_alternating_shares():
    assert growth.alternating(6, 0.5).tolist() == [0.5, 1, 0.5, 1, 0.5, 1]
    assert growth.alternating(5, 0.25, period=2).tolist() == [1, 0.25, 0.25, 1, 1] and growth.alternating(0, 0.5).tolist() == []


@given(st.lists(st.floats(0.01, 1), max_size=6), st.floats(0, 2))
def test_rates_fall_with_the_work_that_is_done(shares, lr):
    found = growth.falling(shares, lr)
    np.testing.assert_allclose(found, naive.falling(shares, lr), rtol=1e-9, atol=1e-300)
    assert found.shape == (len(shares) + 1,) and found[-1] == 0 and (np.diff(found) <= 0).all() and (not shares or found[0] == lr)


@HIDDEN
@pytest.mark.parametrize("lrs, back", [(None, True), ([0.1, 0.08, 0.05, 0.02, 0.01], False)])
def test_runs_grow_and_prune(hidden, lrs, back):
    """A run is the single steps one after the other; it ends with all units; a run of all units is plain training."""
    model, x, y, rng = problem(8, hidden=hidden)
    opt, labels, orders = optim.adam(0.1), rows_of(y), [rng.permutation(9) for _ in range(4)]

    def run(shares):
        own = copied(model)
        return growth.fit(own, opt, shallow.slots(opt, own), x, labels, orders, shares, lrs=lrs, back=back, batch=4)

    found, state, losses, seen = run([1, 0.5, 0.5, 1])
    wanted, slots = copied(model), None
    slots = shallow.slots(opt, wanted)
    for i, order in enumerate(orders):
        if i == 1:
            units = growth.best(growth.magnitudes(wanted), *(round(0.5 * size) for size in (*hidden, 0)[:2]))
            before, wanted, slots = wanted, growth.compact(wanted, units), growth.compact_slots(slots, units)
        if i == 3:
            wanted, slots = growth.expand(wanted, units, fill=before, back=back), growth.expand_slots(slots, units)
        rates = {} if lrs is None else dict(last_lr=lrs[i + 1])
        loss = shallow.train(wanted, opt if lrs is None else opt._replace(lr=lrs[i]), slots, x, labels, order, batch=4, **rates)
        assert losses[i] == loss
    same(arrays(found, state), arrays(wanted, slots))
    assert [own.first[0].sum() for own in seen] == [hidden[0], round(hidden[0] / 2), round(hidden[0] / 2), hidden[0]]
    plain, plain_state, _, _ = run([1, 1, 1, 1])
    once = copied(model)
    slots = shallow.slots(opt, once)
    for i, order in enumerate(orders):
        rates = {} if lrs is None else dict(last_lr=lrs[i + 1])
        shallow.train(once, opt if lrs is None else opt._replace(lr=lrs[i]), slots, x, labels, order, batch=4, **rates)
    same(arrays(plain, plain_state), arrays(once, slots))


@HIDDEN
def test_runs_keep_a_unit_of_every_layer(hidden):
    model, x, y, _ = problem(8, hidden=hidden)
    state = shallow.slots(optim.sgd(), model)
    found, _, _, seen = growth.fit(model, optim.sgd(), state, x, rows_of(y), [np.arange(9)] * 2, [0.01, 0.5], batch=4)
    assert [own.sum(1).tolist() for own in seen[0]] == [[1] * 3, [len(hidden) - 1] * 3]
    assert found.embed.shape[2] == round(0.5 * hidden[0])


# ---- gates

@given(st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=5), SEEDS)
def test_gates_learn_like_the_naive_twin(rows, seed):
    values = np.array(rows, np.float32)
    gradient, scores = np.random.default_rng(seed).normal(size=(2, *values.shape)).astype(np.float32)
    scores = scores[:, 0].copy()
    scores[0] = 0.0
    wanted = naive.learn_gates(scores.tolist(), 0.5, 0.25, values.tolist(), gradient.tolist())
    opened = np.empty_like(values)
    kernels.open_units(scores, values, opened)
    assert np.array_equal(opened, values * (scores > 0)[:, None])
    kernels.learn_gates(scores, np.float32(0.5), np.float32(0.25), values, gradient)
    np.testing.assert_allclose(scores, wanted[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient, wanted[1])


@HIDDEN
def test_slopes_of_gates_are_those_of_factors(hidden):
    """Central differences of the naive loss by a factor on a unit, in float64; closed units too, which is what lets them open again."""
    model, x, y, rng = problem(2, reps=1, hidden=hidden, n=5)
    (net,), (own,) = nets(model)
    gates = growth.gates(model, rate=1.0)
    for scores in gates[:2]:
        scores[:] = np.where(rng.random(scores.shape) < 0.5, 0.5, -0.5)
    wanted = []
    for layer, scores in enumerate(gates[:len(hidden)]):
        for j in range(scores.shape[1]):
            sides = []
            for change in (1e-5, -1e-5):
                factors = [[float(s > 0) for s in one[0]] for one in gates[:len(hidden)]]
                factors[layer][j] += change
                sides.append(naive_shallow.gradient(net, pairs(x), y, own, 5, False, "relu", [factors] * 5)[0] / 5)
            wanted.append((sides[0] - sides[1]) / 2e-5)
    before = np.concatenate([one[0] for one in gates[:2]])
    trained(model, optim.sgd(1e-9), x, y, np.arange(5), batch=5, gates=gates)
    found = before - np.concatenate([one[0] for one in gates[:2]])
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)


@HIDDEN
def test_closed_units_are_pruned_units(hidden):
    """Training with fixed gates is that of the masked net; what enters and leaves closed units rests, or is not seen."""
    model, x, y, rng = problem(6, hidden=hidden)
    gates = growth.gates(model, rate=0.0)
    everything = trained(model, optim.adam(), x, y, np.arange(9), batch=4, gates=gates)[0]
    same(arrays(everything), arrays(trained(model, optim.adam(), x, y, np.arange(9), batch=4)[0]))
    for scores in gates[:2]:
        scores[rng.random(scores.shape) < 0.4] = 0.0
    units = growth.opened(gates)
    found, _, mean = trained(model, optim.sgd(), x, y, np.arange(9), batch=4, gates=gates)
    masked, _, wanted = trained(growth.masked(model, units), optim.sgd(), x, y, np.arange(9), batch=4)
    assert mean == pytest.approx(wanted, rel=1e-5)
    for a, b in zip(arrays(growth.masked(found, units)), arrays(masked)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    closed = ~units.first
    last = found.hidden if len(hidden) == 2 else found.weights
    assert closed.any() and np.array_equal(last[closed], (model.hidden if len(hidden) == 2 else model.weights)[closed])


def test_a_penalty_closes_gates_and_a_budget_is_kept(tmp_path):
    model, x, y, _ = problem(7, hidden=(19, 5), n=30)
    gates = growth.gates(model, rate=0.5, penalty=50.0, nonzeros=3)
    whole = growth.flops(3, (19, 5), 5)
    np.testing.assert_allclose(gates.prices, [50 * (3 + 5) / whole, 50 * (19 + 5) / whole], rtol=1e-6)
    assert growth.gates(problem(0)[0], penalty=1.0, nonzeros=3).prices.tolist() == [np.float32(8 / 48), 0.0]
    free = growth.gates(model, rate=0.5)
    for own in (gates, free):
        trained(model, optim.adam(0.01), x, y, np.arange(30), batch=4, gates=own)
    assert growth.opened(gates).first.sum() < growth.opened(free).first.sum() < 57
    units = growth.within(growth.Units(*gates[:2]), 3, 5, whole / 2)
    assert growth.flops(3, [own[0].sum() for own in units], 5) <= whole / 2
    modelfile.save(tmp_path / "gates", gates)
    same(modelfile.load(tmp_path / "gates", expected=growth.Gates)[:3], gates[:3])
    modelfile.save(tmp_path / "units", units)
    same(modelfile.load(tmp_path / "units", expected=growth.Units), units)


@pytest.mark.parametrize("call, message", [
    (lambda m, x, y, u: growth.best(growth.magnitudes(m), 0, 2), "first must be between 1 and 6, not 0"),
    (lambda m, x, y, u: growth.best(growth.magnitudes(m), 3, 5), "second must be between 1 and 4, not 5"),
    (lambda m, x, y, u: growth.within(growth.magnitudes(m), 3, 5, 8), "budget must be at least 9 for one unit a layer, not 8"),
    (lambda m, x, y, u: growth.masked(m, growth.magnitudes(m)), r"units.first must be bool \(3, 6\), not float32 \(3, 6\)"),
    (lambda m, x, y, u: growth.compact(m, u._replace(first=np.arange(18).reshape(3, 6) < 7)),
     "units.first must be bool .* as many"),
    (lambda m, x, y, u: growth.compact(m, u._replace(second=u.second & False)), "units.second must be bool .* and at least one"),
    (lambda m, x, y, u: growth.compact_slots(shallow.slots(optim.adam(), problem(0)[0]), u),
     "units must be 6 in each of 3 repetitions, not 4 in 3"),
    (lambda m, x, y, u: growth.compact_slots(shallow.slots(optim.adam(), m), growth.Units(u.first[:2], u.second[:2])),
     "units must be 6 in each of 3 repetitions, not 6 in 2"),
    (lambda m, x, y, u: growth.expand_slots(shallow.slots(optim.adam(), growth.compact(m, u)), growth.best(growth.magnitudes(m), 2, 2)),
     "units must keep 3 in each of 3 repetitions, not 2 in 3"),
    (lambda m, x, y, u: growth.expand_slots(shallow.slots(optim.adam(), growth.compact(m, u)),
                                            growth.Units(np.repeat(u.first, 2, axis=0), np.repeat(u.second, 2, axis=0))),
     "units must keep 3 in each of 3 repetitions, not 3 in 6"),
    (lambda m, x, y, u: growth.expand(m, u, seed=0), "units must keep 6 and 4 units in 3 repetitions, not 3 and 2 in 3"),
    (lambda m, x, y, u: growth.expand(growth.compact(m, u), u, back=True), "fill must be the wider net for units to come back, not None"),
    (lambda m, x, y, u: growth.falling([0.5, 0.0], 1), "shares must be above 0 and at most 1, not 0.0"),
    (lambda m, x, y, u: growth.falling([0.5], -1), "lr must be at least 0, not -1"),
    (lambda m, x, y, u: growth.alternating(4, 0.0), "share must be above 0 and at most 1, not 0.0"),
    (lambda m, x, y, u: growth.alternating(-1, 0.5), "passes must be at least 0, not -1"),
    (lambda m, x, y, u: growth.fit(m, optim.sgd(), shallow.slots(optim.sgd(), m), x, rows_of(y), [[0]], [1, 1]), "as many as passes"),
    (lambda m, x, y, u: growth.fit(m, optim.sgd(), None, x, rows_of(y), [[0]], [1.5]), "shares must be above 0 and at most 1, not 1.5"),
    (lambda m, x, y, u: growth.gates(m, start=0), "start must be above 0, not 0"),
    (lambda m, x, y, u: growth.gates(m, penalty=-1), "penalty must be at least 0, not -1"),
    (lambda m, x, y, u: trained(m, optim.sgd(), x, y, [0], gates=growth.gates(problem(0)[0])), r"gates.second must have shape \(3, 4\)"),
])
def test_bad_input(call, message):
    model, x, y, _ = problem(0, hidden=(6, 4))
    units = growth.best(growth.magnitudes(model), 3, 2)
    with pytest.raises(ValueError, match=message):
        call(model, x, y, units)
