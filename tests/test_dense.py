"""Dense layers: naive twins, gradients by central differences, moving moments, dropout, both precisions, bad input."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import dense as naive
from naive import hashing as naive_hashing
from test_heads import check, leaves

from sketchxc import dense

RNG = np.random.default_rng(5)
ACTIVATIONS = ("relu", "tanh", "mish")
SEEDS = st.integers(-2**63, 2**64 - 1)
STEPS = st.integers(0, 2**63)


def normal(*shape):
    return RNG.standard_normal(shape)


STATS = dense.Moments(normal(3), normal(3)**2 + 0.1, np.ones(1, np.int64))
LAYERS = {
    "affine": (dense.affine, dense.affine_grads, (normal(4, 3), normal(3, 2), normal(2))),
    "layer_norm": (dense.layer_norm, dense.layer_norm_grads, (normal(4, 5),)),
    "layer_norm of cubes": (dense.layer_norm, dense.layer_norm_grads, (normal(2, 3, 4),)),
    "batch_norm": (dense.batch_norm, dense.batch_norm_grads, (normal(5, 3),)),
    "batch_norm in use": (lambda x: dense.batch_norm(x, STATS), lambda s, x: dense.batch_norm_grads(s, x, STATS), (normal(5, 3),)),
    "cosine": (dense.cosine, dense.cosine_grads, (normal(4, 3), normal(3, 2))),
    "dropout": (lambda x: dense.dropout(x, 0.4, seed=3, step=9), lambda s, x: dense.dropout(s, 0.4, seed=3, step=9), (normal(4, 5),)),
    **{name: (lambda z, n=name: dense.activate(z, n), lambda s, z, n=name: dense.activate_grads(s, z, n), (normal(4, 5),))
       for name in ACTIVATIONS},
}


def net(sizes, activation, norm, seed=3):
    """Net with random biases and gains in float64."""
    made = dense.mlp_init(sizes, activation=activation, norm=norm, seed=seed, dtype=np.float64)
    return made._replace(biases=tuple(normal(b.size) for b in made.biases), gains=tuple(normal(g.size) + 1.5 for g in made.gains))


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_layers(name):
    f, grads, arguments = LAYERS[name]
    check(f, lambda *a: grads(*a) if len(arguments) > 1 else (grads(*a),), *arguments)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", dense.NORMS)
@pytest.mark.parametrize("sizes", [[3, 2], [2, 4, 3, 2]])
def test_gradients_of_nets(sizes, norm, activation):
    for more in ({}, {"rate": 0.3, "seed": 1, "step": 2}):
        check(lambda *a: dense.mlp(*a, **more), lambda *a: dense.mlp_grads(*a, **more), normal(5, sizes[0]), net(sizes, activation, norm))


@pytest.mark.parametrize("loss", [dense.softmax_loss, dense.sigmoid_loss])
def test_gradients_of_losses(loss):
    scores, targets = 3 * normal(4, 3), RNG.random((4, 3))
    slopes = loss(scores, targets)[1]
    for place in np.ndindex(scores.shape):
        sides = [loss(scores + sign * 1e-5 * (np.arange(12).reshape(4, 3) == place[0] * 3 + place[1]), targets)[0] for sign in (1, -1)]
        assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(slopes[place], rel=1e-6, abs=1e-8)


# ---- naive twins

@pytest.mark.parametrize("name", ACTIVATIONS)
@given(st.floats(-1e3, 1e3))
def test_activations_match_the_naive_twin(name, z):
    assert dense.activate(np.array([z]), name)[0] == pytest.approx(naive.ACTIVATIONS[name](z), rel=1e-12, abs=1e-300)
    assert dense.activate_grads(np.ones(1), np.array([z]), name)[0] == pytest.approx(naive.SLOPES[name](z), rel=1e-9, abs=1e-9)


def test_layers_match_the_naive_twin():
    x, w, b = LAYERS["affine"][2]
    np.testing.assert_allclose(dense.affine(x, w, b), [naive.affine(row, w.tolist(), b) for row in x.tolist()])
    x = LAYERS["layer_norm"][2][0]
    np.testing.assert_allclose(dense.layer_norm(x), [naive.layer_norm(row) for row in x.tolist()])
    np.testing.assert_allclose(dense.batch_norm(x), naive.batch_norm(x.tolist()))
    stats = dense.Moments(x.mean(0), x.var(0), np.ones(1, np.int64))
    np.testing.assert_allclose(dense.batch_norm(x, stats), dense.batch_norm(x))
    x, w = LAYERS["cosine"][2]
    x = np.vstack([x, np.zeros(3)])
    np.testing.assert_allclose(dense.cosine(x, w), [[naive.cosine(row, column) for column in w.T.tolist()] for row in x.tolist()])
    assert (dense.cosine_grads(np.ones((5, 2)), x, w)[0][4] == 0).all()


@given(st.lists(st.tuples(*[st.floats(-300, 300)] * 3), min_size=1, max_size=5), SEEDS)
def test_losses_match_the_naive_twin(rows, seed):
    scores, rng = np.array(rows), np.random.default_rng(seed % 2**32)
    classes = rng.integers(0, 3, len(rows))
    loss, slopes = dense.softmax_loss(scores, classes)
    assert loss == pytest.approx(naive.softmax_loss(rows, classes.tolist()), rel=1e-9, abs=1e-9)
    assert np.allclose(slopes.sum(1), 0) and (np.sign(slopes) <= 0)[np.arange(len(rows)), classes].all()
    hot = np.eye(3)[classes]
    assert dense.softmax_loss(scores, hot)[0] == loss and np.array_equal(dense.softmax_loss(scores, hot)[1], slopes)
    assert dense.sigmoid_loss(scores, hot)[0] == pytest.approx(naive.sigmoid_loss(rows, hot.tolist()), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("norm", dense.NORMS)
def test_nets_match_the_naive_twin(norm, activation):
    own, x = net([3, 5, 4, 2], activation, norm), normal(6, 3)
    lists = [[a.tolist() for a in arrays] for arrays in (own.weights, own.biases)]
    gains = [g.tolist() for g in own.gains]
    for rate in (0.0, 0.3):
        wanted = naive.mlp(x.tolist(), *lists, activation, norm, gains, rate, 4, 7)
        np.testing.assert_allclose(dense.mlp(x, own, rate=rate, seed=4, step=7), wanted, rtol=1e-9, atol=1e-9)


# ---- dropout

@given(SEEDS, STEPS, st.floats(0, 1, exclude_max=True))
@settings(max_examples=25)
def test_masks_match_the_naive_twin(seed, step, rate):
    found = dense.dropout_mask((2, 3), rate, seed=seed, step=step)
    assert found.dtype == np.bool_ and found.tolist() == [[naive.kept(seed, step, 3 * i + j, rate) for j in range(3)] for i in range(2)]
    assert np.array_equal(dense.dropout_mask(6, rate, seed=seed, step=step), found.reshape(-1))


def test_masks_are_of_their_share():
    """Of 10000 fixed coins each; and neither steps nor seeds share them."""
    masks = [dense.dropout_mask((100, 100), 0.25, seed=seed, step=step) for seed, step in ((0, 0), (0, 1), (1, 0), (1, 1))]
    assert all(abs(mask.mean() - 0.75) < 0.02 for mask in masks)
    assert all(abs((a == b).mean() - 0.625) < 0.02 for i, a in enumerate(masks) for b in masks[:i])
    assert dense.dropout_mask(100, 0.0, seed=0, step=0).all() and dense.dropout_mask((0, 3), 0.5, seed=0, step=0).shape == (0, 3)
    x = np.ones((100, 100), np.float32)
    assert np.array_equal(dense.dropout(x, 0.25, seed=0, step=1), masks[1] * np.float32(1 / 0.75))


def test_layers_drop_different_numbers():
    """Two layers of the same width; a net of identities shows the masks."""
    own = dense.MLP((np.eye(40),) * 3, (np.zeros(40),) * 3, "relu")
    once = dense.mlp(np.ones((1, 40)), own._replace(weights=own.weights[:2], biases=own.biases[:2]), rate=0.5)
    both = dense.mlp(np.ones((1, 40)), own, rate=0.5)
    assert (once == 0).any() and (both == 0).sum() > (once == 0).sum() and set(both[0]) == {0, 4}


# ---- moving moments

@given(st.lists(st.lists(st.floats(-10, 10), min_size=1, max_size=4), min_size=1, max_size=8), st.floats(0, 0.95))
def test_moving_moments(batches, keep):
    stats, mean, variance = dense.moments(1, np.float64), 0.0, 1.0
    for i, batch in enumerate(batches):
        dense.see(stats, np.array(batch)[:, None], keep)
        share = max(1 - keep, 1 / (i + 1))
        new = naive.moments(batch)
        mean, variance = mean + share * (new[0] - mean), variance + share * (new[1] - variance)
    np.testing.assert_allclose(stats.mean, mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(stats.variance, variance, rtol=1e-9, atol=1e-9)
    assert stats.steps.tolist() == [len(batches)]


def test_a_net_with_batch_norm_in_use():
    """With the moments of one batch the net in use is the net in training; a row alone then has the same answer."""
    own, x = net([3, 5, 4, 2], "tanh", "batch"), normal(6, 3)
    stats = dense.mlp_moments(own)
    dense.mlp_see(stats, x, own)
    wanted = dense.mlp(x, own)
    np.testing.assert_allclose(dense.mlp(x, own, stats=stats), wanted, rtol=1e-9)
    np.testing.assert_allclose(dense.mlp(x[2:3], own, stats=stats), wanted[2:3], rtol=1e-9)
    assert [s.mean.size for s in stats] == [5, 4] and stats[0].steps[0] == 1


# ---- ends, precisions, bad input

def test_activations_far_out():
    far = np.array([-np.inf, -1e3, 0.0, 1e3, np.inf])
    assert dense.activate(far[1:4], "mish").tolist() == [0.0, 0.0, 1e3]
    assert dense.activate_grads(np.ones(3), far[1:4], "mish").tolist() == [0.0, 0.6, 1.0]
    assert dense.activate(far, "tanh").tolist() == [-1, -1, 0, 1, 1] and dense.activate(far, "relu").tolist() == [0, 0, 0, 1e3, np.inf]


def test_results_have_the_dtype_of_the_arguments():
    for f, grads, arguments in LAYERS.values():
        single = [a.astype(np.float32) for a in arguments]
        before = [a.copy() for a in single]
        if f not in (LAYERS["batch_norm in use"][0],):
            out = f(*single)
            assert all(a.dtype == np.float32 for a in leaves((out, grads(np.ones_like(out), *single))))
        assert all(np.array_equal(a, b) for a, b in zip(single, before))
    for norm in dense.NORMS:
        own, x = dense.mlp_init([3, 4, 2], norm=norm, activation="mish", seed=0), np.ones((5, 3), np.float32)
        stats = dense.mlp_moments(own)
        dense.mlp_see(stats, x, own)
        found = dense.mlp_grads(np.ones((5, 2), np.float32), x, own, rate=0.5)
        assert all(a.dtype == np.float32 for a in leaves((found, dense.mlp(x, own, stats=stats if norm == "batch" else None))))
    for loss in (dense.softmax_loss, dense.sigmoid_loss):
        assert loss(np.ones((2, 3), np.float32), np.ones((2, 3)))[1].dtype == np.float32


def test_weights_to_begin_with():
    own = dense.mlp_init([300, 200, 100], norm="layer", seed=1)
    assert abs(own.weights[0].var() * 150 - 1) < 0.05 and abs(own.weights[1].var() * 200 - 1) < 0.05
    assert not any(b.any() for b in own.biases) and [g.tolist() for g in own.gains] == [[1.0] * 200]
    assert np.array_equal(own.weights[0], dense.mlp_init([300, 200, 100], seed=1).weights[0])
    assert naive_hashing.seeds(2, 5)[1] == dense._layer_seed(5, 1)


def test_a_logit_of_minus_infinity_is_a_chance_of_zero():
    loss, slopes = dense.softmax_loss(np.array([[0.0, -np.inf, 0.0]]), np.array([2]))
    assert loss == pytest.approx(np.log(2)) and slopes.tolist() == [[0.5, 0.0, -0.5]]
    assert dense.softmax_loss(np.array([[0.0, -np.inf]]), np.array([1]))[0] == np.inf


@pytest.mark.parametrize("call, error, message", [
    (lambda: dense.activate(np.ones(1), "gelu"), ValueError, "activation must be one of relu, tanh, mish, not 'gelu'"),
    (lambda: dense.activate_grads(np.ones(1), np.ones(1), "gelu"), ValueError, "activation must be one of relu, tanh, mish, not 'gelu'"),
    (lambda: dense.mlp_init([3], seed=0), ValueError, r"sizes must name the inputs and at least one layer, not \[3\]"),
    (lambda: dense.mlp_init([3, 0], seed=0), ValueError, "sizes must be at least 1, not 0"),
    (lambda: dense.mlp_init([3, 2], activation="gelu", seed=0), ValueError, "activation must be one of relu, tanh, mish, not 'gelu'"),
    (lambda: dense.mlp_init([3, 2], norm="weight", seed=0), ValueError, "norm must be one of none, layer, batch, not 'weight'"),
    (lambda: dense.dropout_mask(3, 1.0, seed=0, step=0), ValueError, "rate must be at least 0 and below 1, not 1.0"),
    (lambda: dense.dropout_mask(3, 0.5, seed=0, step=0.5), TypeError, "step must be an integer"),
    (lambda: dense.see(STATS, np.ones((2, 3)), 1), ValueError, "keep must be at least 0 and below 1, not 1"),
    (lambda: dense.softmax_loss(np.ones((2, 3)), np.array([0, 3])), ValueError, "targets must be classes between 0 and 2, not 0 to 3"),
    (lambda: dense.softmax_loss(np.ones((2, 3)), np.ones(2)), ValueError, r"targets must have the shape .*, \(2, 3\), not \(2,\)"),
    (lambda: dense.sigmoid_loss(np.ones((2, 3)), np.ones((3, 2))), ValueError, r"targets must have the shape of the scores, \(2, 3\)"),
    (lambda: dense.sigmoid_loss(np.ones((0, 3)), np.ones((0, 3))), ValueError, r"scores must be floats \(n, k\), n and k at least 1"),
    (lambda: dense.softmax_loss(np.ones((2, 3), int), np.zeros(2, int)), ValueError, r"scores must be floats \(n, k\), .* not int64"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
