"""Layer and batch norm of the hidden layers: gradients and training against the naive twin, averages, bits, files, growth, bad input."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import LOSSES, pairs, rows_of, same
from naive import norms as naive
from naive import shallow as naive_shallow
from shallows import HIDDEN, alone, arrays, copied, nets, problem, trained
from test_optim import OPTIMIZERS

from sketchxc import dense, lookup, modelfile, optim, shallow, sparse
from sketchxc._cpu import shallow as kernels

NORMS = pytest.mark.parametrize("norm", ["layer", "batch"])
STEADY = {**OPTIMIZERS, "adam": OPTIMIZERS["adam"]._replace(eps=1e-2)}  # of slopes that are zero but for rounding it makes no whole steps


def net(seed, norm, activation="relu", **more):
    """As `problem`, with gains of either sign, and averages that are not those to begin with."""
    model, x, y, rng = problem(seed, **more)
    sizes = [bias.shape[1] for bias in (model.embed_bias, model.hidden_bias)]
    fresh = shallow.init(model.n_features, model.lookup, hidden=[size for size in sizes if size], norm=norm)
    names = ("norm", "embed_gain", "hidden_gain", "embed_stats", "hidden_stats", "steps")
    model = model._replace(activation=shallow.ACTIVATIONS[activation], **{name: getattr(fresh, name) for name in names})
    for array in (model.embed_gain, model.hidden_gain):
        array[...] = rng.choice([-1, 1], array.shape) * rng.uniform(0.5, 1.5, array.shape)
    for array in (model.embed_stats, model.hidden_stats):
        array[:, 0], array[:, 1] = 0.3 * rng.normal(size=array[:, 0].shape), rng.uniform(0.5, 1.5, array[:, 1].shape)
    return model, x, y, rng


def gains_of(model, r):
    return [own[r].tolist() for own in (model.embed_gain, model.hidden_gain) if own.shape[1]]


def averages_of(model, r):
    return [own[r].tolist() for own in (model.embed_stats, model.hidden_stats) if own.shape[2]]


def close(found, wanted, tolerance=1e-4, least=0.1):
    assert np.linalg.norm(np.subtract(found, wanted)) <= tolerance * max(np.linalg.norm(wanted), least)


# ---- gradients

@LOSSES
@HIDDEN
@NORMS
@pytest.mark.parametrize("activation", ["relu", "mish"])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_naive_gradient_is_that_of_the_naive_loss(loss, hidden, norm, activation, rate):
    """Central differences in float64 by every weight, bias and gain, of the loss of a whole batch."""
    model, x, y, _ = net(3, norm, activation, n=5, columns=3, reps=1, buckets=3, loss=loss, hidden=tuple(min(h, 4) for h in hidden))
    (one,), (own,), gains = *nets(model), gains_of(model, 0)
    factors = [naive_shallow.dropout(one, 0, 2, i, rate, 1) for i in range(5)] if rate else None
    rest = pairs(x), y, own, 3, loss == "softmax", norm, activation, factors
    _, exact, by_gain = naive.gradient(one, gains, *rest)
    lines = [(line, by_input.get(f, [0.0] * len(biases))) for (weights, biases), (by_input, _) in zip(one, exact)
             for f, line in enumerate(weights)]
    lines += [(biases, by_bias) for (_, biases), (_, by_bias) in zip(one, exact)] + list(zip(gains, by_gain))
    wanted, found = [], []
    for line, slopes in lines:
        for j, before in enumerate(line):
            sides = []
            for change in (1e-6, -1e-6):
                line[j] = before + change
                sides.append(naive.gradient(one, gains, *rest)[0] / 5)
            line[j] = before
            found.append((sides[0] - sides[1]) / 2e-6)
            wanted.append(slopes[j])
    assert np.linalg.norm(wanted) > 0.01 and all(map(any, by_gain))
    assert np.linalg.norm(np.subtract(found, wanted)) <= 1e-6 * np.linalg.norm(wanted)


@LOSSES
@NORMS
@given(st.integers(0, 999), st.sampled_from([(6,), (19, 5), (2, 4)]), st.sampled_from(list(shallow.ACTIVATIONS)), st.sampled_from([0, 0.4]))
@settings(max_examples=10)
def test_a_step_of_plain_descent_is_the_gradient(loss, norm, seed, hidden, activation, rate):
    model, x, y, _ = net(seed, norm, activation, reps=2, loss=loss, hidden=hidden)
    found, _, mean = trained(model, optim.sgd(4096.0), x, y, np.arange(9), batch=9, dropout=rate, seed=seed)
    total = 0.0
    for r, (before, after, own) in enumerate(zip(nets(model)[0], nets(found)[0], nets(model)[1])):
        factors = [naive_shallow.dropout(before, r, 0, i, rate, seed) for i in range(9)] if rate else None
        rest = pairs(x), y, own, 5, loss == "softmax", norm, activation, factors
        loss_of_net, exact, by_gain = naive.gradient(before, gains_of(model, r), *rest)
        total += loss_of_net
        for (by_input, by_bias), old, new in zip(exact, before, after):
            wanted = [by_input.get(f, [0.0] * len(by_bias)) for f in range(len(old[0]))]
            for a, b, c in zip(old, new, (wanted, by_bias)):
                close((np.array(a) - b) / 4096, c)
        for a, b, c in zip(gains_of(model, r), gains_of(found, r), by_gain):
            close((np.array(a) - b) / 4096, c)
        if norm == "batch":
            wanted, seen = naive.see(averages_of(model, r), 0, naive.forward(before, gains_of(model, r), *rest[:1], norm, *rest[-2:]))
            assert seen == found.steps[0] == 1
            for a, b in zip(averages_of(found, r), wanted):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert mean == pytest.approx(total / 18, rel=1e-4)


@pytest.mark.parametrize("rule", STEADY)
@HIDDEN
@NORMS
def test_batches_match_the_naive_loop(rule, hidden, norm):
    """Steps of 4, 4, 4 and 1 rows with dropout; gains take the steps of biases, without decay and soft threshold."""
    model, x, y, rng = net(1, norm, "mish", reps=2, hidden=hidden)
    model.steps[:] = 0
    order = rng.integers(0, 9, 13).tolist()
    opt = STEADY[rule]
    found, state, mean = trained(model, opt, x, y, order, batch=4, dropout=0.3, seed=2)
    losses = []
    for r, (one, own) in enumerate(zip(*nets(model))):
        def factors(step, n):
            return [naive_shallow.dropout(one, r, step, i, 0.3, 2) for i in range(n)]
        gains, moments = gains_of(model, r), naive_shallow.moments(one)
        gain_moments = [[[0.0] * len(gain), [0.0] * len(gain)] for gain in gains]
        loss, averages = naive.train(one, gains, moments, gain_moments, rule, opt[1:], pairs(x), y, own, 5, False, order, 4, norm, "mish",
                                     factors, averages_of(model, r))
        losses.append(loss)
        for a, b in zip(nets(found)[0][r], one):
            for p, q in zip(a, b):
                np.testing.assert_allclose(p, q, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(np.concatenate(gains_of(found, r)), np.concatenate(gains), rtol=1e-3, atol=1e-4)
        for name, wanted in zip(("embed_gain", "hidden_gain"), gain_moments):
            for a, b in zip(getattr(state, name)[:2], wanted):
                if a.shape[-1]:
                    np.testing.assert_allclose(a[r], b, rtol=1e-3, atol=1e-4)
        for a, b in zip(averages_of(found, r), averages):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    assert mean == pytest.approx(np.mean(losses), rel=1e-4)
    assert state.embed_gain.steps.tolist() == [4] and found.steps.tolist() == [3] * (norm == "batch")
    penalised = trained(model, optim.sgd(1e-30, decay=1e29, l1=1e29), x, y, order, batch=4)[0]
    same([penalised.embed_gain, penalised.hidden_gain], [model.embed_gain, model.hidden_gain])
    assert not np.array_equal(penalised.weights, model.weights)


# ---- scores

@NORMS
@HIDDEN
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_bucket_scores_match_the_naive_twin_and_dense(norm, hidden, activation):
    """Batch norm by the averages; rows without entries too. `dense.mlp` has the same order of norm, gain, bias and activation."""
    model, x, _, _ = net(4, norm, activation, hidden=hidden)
    for r, (found, one) in enumerate(zip(shallow.bucket_scores(model, x), nets(model)[0])):
        wanted = naive.scores(one, gains_of(model, r), pairs(x), norm, activation, averages_of(model, r) if norm == "batch" else None)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
        mlp = dense.MLP(*(tuple(np.array(layer[i]) for layer in one) for i in (0, 1)), activation, norm,
                        tuple(np.array(gain) for gain in gains_of(model, r)))
        stats = [dense.Moments(*np.array(own), np.ones(1, np.int64)) for own in averages_of(model, r)] or None
        rows = sparse.to_scipy(x).toarray().astype(np.float64)
        np.testing.assert_allclose(found, dense.mlp(rows, mlp, stats=stats), rtol=1e-4, atol=1e-4)


@NORMS
def test_scores_do_not_depend_on_the_rows_beside(norm, monkeypatch):
    model, x, _, _ = net(5, norm, hidden=(6, 5))
    wanted = shallow.bucket_scores(model, x)
    before = copied(model)
    monkeypatch.setattr(shallow, "BLOCK", 4)
    np.testing.assert_allclose(shallow.bucket_scores(model, x), wanted, rtol=1e-5, atol=1e-5)
    for i in range(9):
        np.testing.assert_allclose(shallow.bucket_scores(model, sparse.take(x, [i]))[:, 0], wanted[:, i], rtol=1e-5, atol=1e-5)
    same(arrays(model), arrays(before))


@HIDDEN
def test_a_batch_of_one_row(hidden):
    """Normed to zeros, so that nothing below learns and the bias is all that passes; it does not count in the averages."""
    model, x, y, _ = net(6, "batch", "tanh", hidden=hidden)
    found, _, mean = trained(model, optim.sgd(), x, y, np.arange(9), batch=1)
    assert np.isfinite(mean)
    for name in ("embed", "hidden", "embed_gain", "hidden_gain", "embed_stats", "hidden_stats", "steps"):
        assert np.array_equal(getattr(found, name), getattr(model, name)), name
    last = "hidden_bias" if len(hidden) == 2 else "embed_bias"
    assert not np.array_equal(getattr(found, last), getattr(model, last))
    quiet, _, again = trained(model._replace(embed=model.embed * 0, hidden=model.hidden * 0), optim.sgd(), x, y, np.arange(9), batch=1)
    assert again == mean and np.array_equal(quiet.weights, found.weights)


def test_averages_follow_the_data():
    """After many batches of one distribution they are its moments; the first batch takes all, as `dense.see`."""
    model, x, y, rng = net(7, "batch", n=64, reps=1)
    still = optim.sgd(1e-30)
    trained_once = trained(model, still, x, y, np.arange(64), batch=64)[0]
    sums = sparse.to_scipy(x).toarray() @ model.embed[0]
    np.testing.assert_allclose(trained_once.embed_stats[0], [sums.mean(0), sums.var(0)], rtol=1e-4, atol=1e-5)
    stats = dense.moments(6)
    found = copied(model)
    state = shallow.slots(still, found)
    for _ in range(15):
        order = rng.permutation(64)[:8]
        shallow.train(found, still, state, x, rows_of(y), order, batch=8)
        dense.see(stats, sums[order])
    np.testing.assert_allclose(found.embed_stats[0], [stats.mean, stats.variance], rtol=1e-4, atol=1e-5)
    assert found.steps[0] == stats.steps[0] == 15


# ---- bits

@pytest.mark.compiled
@NORMS
@pytest.mark.parametrize("width", [None, 4])
def test_same_bits_for_any_number_of_threads_and_repetitions(norm, width):
    model, x, y, rng = net(8, norm, "mish", n=70, width=width, hidden=(30, 17), buckets=33)
    order, more = rng.permutation(70), dict(batch=20, dropout=0.2)
    results = [trained(model, OPTIMIZERS["adam"], x, y, order, threads=threads, **more) for threads in (1, 2, 5)]
    for found, state, mean in results[1:]:
        same(arrays(found, state), arrays(*results[0][:2]))
        assert mean == results[0][2]
    own = trained(alone(model, 0), OPTIMIZERS["adam"], x, y, order, **more)[0]
    same(arrays(own), arrays(alone(results[0][0], 0)))
    same([shallow.bucket_scores(own, x)], [shallow.bucket_scores(results[0][0], x)[:1]])


@NORMS
def test_training_goes_on_from_files(norm, tmp_path, monkeypatch):
    """Model and state read back in the middle of a pass, bit for bit; chunks change nothing."""
    model, x, y, rng = net(9, norm, hidden=(6, 5))
    order, opt, labels = rng.permutation(9), OPTIMIZERS["adam"], rows_of(y)
    whole, state, _ = trained(model, opt, x, y, order, batch=2, dropout=0.3)
    half, half_state, _ = trained(model, opt, x, y, order[:4], batch=2, dropout=0.3)
    modelfile.save(tmp_path / "model", half)
    modelfile.save(tmp_path / "state", half_state)
    again, found = modelfile.load(tmp_path / "model", expected=shallow.Shallow), modelfile.load(tmp_path / "state")
    assert again[8:12] == half[8:12] and again.norm == {"layer": 1, "batch": 2}[norm]
    same(arrays(again, found), arrays(half, half_state))
    monkeypatch.setattr("sketchxc._batches.CHUNK", 9)
    shallow.train(again, opt, found, x, labels, order[4:], batch=2, dropout=0.3)
    same(arrays(again, found), arrays(whole, state))


def test_files_without_the_fields_of_norms_are_read():
    """Models of before there were norms."""
    model = problem(0)[0]
    written = {}
    tree = modelfile._pack(model, "", written)
    for name in ("norm", "embed_gain", "hidden_gain", "embed_stats", "hidden_stats", "steps"):
        del tree["fields"][name]
    found = modelfile._unpack(tree, written)
    assert found.norm == 0 and found.embed_gain.size == found.steps.size == 0
    _, x, y, _ = problem(0)
    same(arrays(trained(found, optim.adam(), x, y, np.arange(9))[0])[:6], arrays(trained(model, optim.adam(), x, y, np.arange(9))[0])[:6])


def test_fresh_nets():
    own = lookup.hashed(50, reps=3, buckets=7)
    plain, layer, batch = (shallow.init(30, own, hidden=(6, 4), norm=norm, seed=2) for norm in dense.NORMS)
    for one in (layer, batch):
        same(one[:6], plain[:6])
        assert (one.embed_gain == np.ones((3, 6))).all() and (one.hidden_gain == np.ones((3, 4))).all()
    assert batch.hidden_stats.tolist() == [[[0.0] * 4, [1.0] * 4]] * 3 and batch.steps.tolist() == [0]
    assert plain.embed_gain.shape == plain.hidden_gain.shape == (3, 0) and not layer.steps.size and not layer.embed_stats.size
    assert shallow.init(30, own, norm="batch").hidden_gain.shape == (3, 0)
    state = shallow.slots(optim.adam(), layer)
    assert state.hidden_gain.m.shape == (3, 4) and shallow.slots(optim.adam(), plain).hidden_gain.m.shape == (3, 0)


# ---- kernels where there is little to norm

@pytest.mark.parametrize("units", [1, 3, 16, 40])
def test_rows_that_are_constant_are_normed_to_zeros(units):
    rows, scales = np.full((2, units), 0.25, np.float32), np.empty(2, np.float32)
    kernels.norm_rows(rows, scales)
    assert not rows.any() and np.allclose(scales, 1e5**0.5)


@NORMS
def test_a_number_that_is_none_passes_the_norms(norm):
    model, x, y, _ = net(21, norm, hidden=(6, 5))
    model.embed_gain[1] = np.nan
    scores = shallow.bucket_scores(model, x)
    assert np.isnan(scores[1]).all() and np.isfinite(scores[[0, 2]]).all()
    assert np.isnan(trained(model, optim.sgd(), x, y, np.arange(9))[2])


@pytest.mark.compiled
@NORMS
def test_exclusive_or_is_learnt(norm):
    bits = np.arange(8)[:, None] >> np.arange(3) & 1
    x = sparse.rows(np.hstack([bits, 1 - bits]).astype(np.float32))
    y = sparse.rows([[int(a ^ b)] for a, b, _ in bits], 2)
    model = shallow.init(6, lookup.from_table([[0, 1]] * 3, 2), hidden=(16, 8), norm=norm, seed=1)
    opt = optim.adam(0.02)
    state = shallow.slots(opt, model)
    for _ in range(60):
        shallow.train(model, opt, state, x, y, np.arange(8), batch=8)
    scores = shallow.bucket_scores(model, x)
    assert ((scores[:, :, 1] > scores[:, :, 0]) == (y.indices == 1)).all()
