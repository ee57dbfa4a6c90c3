"""Hidden layers of the nets: activations of one unit, gradients and training against the naive twin, dropout."""
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from machs import LOSSES, SEEDS, pairs, rows_of, same
from naive import dense as naive_dense
from naive import shallow as naive
from shallows import HIDDEN, arrays, copied, nets, problem, trained

from sketchxc import lookup, modelfile, optim, shallow, sparse
from sketchxc._cpu import shallow as kernels

ACTIVATIONS = pytest.mark.parametrize("activation", shallow.ACTIVATIONS)
SMOOTH = pytest.mark.parametrize("activation", ["tanh", "mish"])
N = 400 if numba.config.DISABLE_JIT else 200_000


def net(seed, activation, **more):
    model, x, y, rng = problem(seed, **more)
    return model._replace(activation=shallow.ACTIVATIONS[activation]), x, y, rng


@SMOOTH
def test_units_match_the_naive_twin(activation):
    """Values within a few units in the last place, slopes of one; far out and at zero too."""
    small = np.geomspace(1e-6, 80, N)
    z = np.concatenate([np.linspace(-12, 12, N), small, -small, [0, -1e30, 1e30]]).astype(np.float32)
    values, slopes = z.copy(), np.empty_like(z)
    kernels.activate(shallow.ACTIVATIONS[activation], values, slopes)
    some = slice(None, None, max(1, N // 2000))
    for found, naive_one, least in ((values, naive_dense.ACTIVATIONS, 1e-30), (slopes, naive_dense.SLOPES, 3e-7)):
        wanted = np.array([naive_one[activation](v) for v in z[some].tolist()])
        assert (abs(found[some] - wanted) <= 6e-7 * abs(wanted) + least).all()
    alone = z.copy()
    kernels.activate(shallow.ACTIVATIONS[activation], alone, np.empty(0, np.float32))
    assert np.array_equal(alone, values)


@LOSSES
@HIDDEN
@SMOOTH
@given(SEEDS)
@settings(max_examples=2)
def test_naive_gradient_is_that_of_the_naive_loss(loss, hidden, activation, seed):
    """Central differences by every weight and bias, with and without dropout."""
    model, x, y, _ = net(seed, activation, n=4, columns=3, reps=1, buckets=3, loss=loss, hidden=tuple(min(h, 3) for h in hidden))
    (one,), (own,) = nets(model)
    factors = [naive.dropout(one, 0, 5, i, 0.4, 1) for i in range(4)]
    for given_factors in (None, factors):
        rest = pairs(x), y, own, 3, loss == "softmax", activation, given_factors
        _, exact = naive.gradient(one, *rest)
        wanted, found = [], []
        for (weights, biases), (by_input, by_bias) in zip(one, exact):
            for line, slopes in [(w, by_input.get(f, [0.0] * len(biases))) for f, w in enumerate(weights)] + [(biases, by_bias)]:
                for j, before in enumerate(line):
                    sides = []
                    for change in (1e-5, -1e-5):
                        line[j] = before + change
                        sides.append(naive.gradient(one, *rest)[0] / 4)
                    line[j] = before
                    found.append((sides[0] - sides[1]) / 2e-5)
                    wanted.append(slopes[j])
        assert np.linalg.norm(np.subtract(found, wanted)) <= 1e-6 * max(np.linalg.norm(wanted), 0.01)


@LOSSES
@HIDDEN
@ACTIVATIONS
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_a_step_of_plain_descent_is_the_gradient(loss, hidden, activation, rate):
    for seed in (0, 1):
        model, x, y, _ = net(seed, activation, reps=2, loss=loss, hidden=hidden)
        found, _, mean = trained(model, optim.sgd(4096.0), x, y, np.arange(9), batch=9, dropout=rate, seed=seed)
        total = 0.0
        for r, (before, after, own) in enumerate(zip(nets(model)[0], nets(found)[0], nets(model)[1])):
            factors = [naive.dropout(before, r, 0, i, rate, seed) for i in range(9)] if rate else None
            loss_of_net, exact = naive.gradient(before, pairs(x), y, own, 5, loss == "softmax", activation, factors)
            total += loss_of_net
            for (by_input, by_bias), old, new in zip(exact, before, after):
                wanted = [by_input.get(f, [0.0] * len(by_bias)) for f in range(len(old[0]))]
                for a, b, c in zip(old, new, (wanted, by_bias)):
                    assert np.linalg.norm((np.array(a) - b) / 4096 - c) <= 1e-4 * max(np.linalg.norm(c), 1e-2)
        assert mean == pytest.approx(total / 18, rel=1e-5)


@SMOOTH
@HIDDEN
def test_bucket_scores_match_the_naive_twin(activation, hidden):
    model, x, _, _ = net(4, activation, hidden=hidden)
    for found, one in zip(shallow.bucket_scores(model, x), nets(model)[0]):
        np.testing.assert_allclose(found, [naive.outputs(one, row, activation)[-1] for row in pairs(x)], rtol=1e-4, atol=1e-4)


@ACTIVATIONS
def test_dropout_goes_on_behind_a_pass_in_pieces(activation, monkeypatch):
    """Steps count through passes and chunks; scores know no dropout."""
    model, x, y, rng = net(11, activation, hidden=(6, 5))
    order, more = rng.permutation(9), dict(batch=2, dropout=0.5, seed=7)
    whole, whole_state, mean = trained(model, optim.adam(), x, y, order, **more)
    state, labels, again = shallow.slots(optim.adam(), model), rows_of(y), copied(model)
    monkeypatch.setattr("sketchxc._batches.CHUNK", 9)
    parts = order[:4], order[4:6], order[6:]
    total = sum(part.size * shallow.train(again, optim.adam(), state, x, labels, part, **more) for part in parts)
    same(arrays(again, state), arrays(whole, whole_state))
    assert total / 9 == pytest.approx(mean)
    for other in (dict(more, seed=8), dict(more, dropout=0.0)):
        assert not np.array_equal(trained(model, optim.adam(), x, y, order, **other)[0].weights, whole.weights)
    same([shallow.bucket_scores(whole, x)], [shallow.bucket_scores(again, x)])


@pytest.mark.parametrize("activation", ["tanh", "mish"])
def test_a_number_that_is_none_passes_the_layers(activation):
    model, x, y, _ = net(21, activation, hidden=(6, 5))
    model.embed_bias[1] = np.nan
    assert np.isnan(shallow.bucket_scores(model, x)[1]).all()
    assert np.isnan(trained(model, optim.sgd(), x, y, np.arange(9))[2])


@pytest.mark.compiled
@SMOOTH
def test_exclusive_or_is_learnt(activation):
    bits = np.arange(8)[:, None] >> np.arange(3) & 1
    x = sparse.rows(np.hstack([bits, 1 - bits]).astype(np.float32))
    y = sparse.rows([[int(a ^ b)] for a, b, _ in bits], 2)
    model = shallow.init(6, lookup.from_table([[0, 1]] * 3, 2), hidden=(16,), activation=activation, seed=1)
    opt = optim.adam(0.02)
    state = shallow.slots(opt, model)
    for _ in range(100):
        shallow.train(model, opt, state, x, y, np.arange(8), batch=8)
    scores = shallow.bucket_scores(model, x)
    assert ((scores[:, :, 1] > scores[:, :, 0]) == (y.indices == 1)).all()


def test_files_keep_the_activation(tmp_path):
    model = shallow.init(7, lookup.hashed(12, reps=1, buckets=3), hidden=(4,), activation="mish")
    assert model.activation == 2 and shallow.init(7, model.lookup, hidden=(4,)).activation == 0
    modelfile.save(tmp_path / "model", model)
    assert modelfile.load(tmp_path / "model").activation == 2
    with pytest.raises(ValueError, match="activation must be 0, 1 or 2, not 3"):
        modelfile.save(tmp_path / "model", model._replace(activation=3))


@pytest.mark.parametrize("change, error, message", [
    (dict(dropout=1.0), ValueError, "dropout must be at least 0 and below 1, not 1.0"),
    (dict(dropout=-0.1), ValueError, "dropout must be at least 0 and below 1, not -0.1"),
    (dict(seed=1.5), TypeError, "seed must be an integer"),
])
def test_bad_input(change, error, message):
    model, x, y, _ = problem(0)
    with pytest.raises(error, match=message):
        trained(model, optim.sgd(), x, y, np.arange(9), **change)
    with pytest.raises(ValueError, match="activation must be one of relu, tanh, mish, not 'gelu'"):
        shallow.init(7, model.lookup, activation="gelu")
