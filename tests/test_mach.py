"""Linear MACH: gradients, losses, training and scores against the naive twin."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import LOSSES, RULES, SEEDS, arrays, as_lists, pairs, problem, same, sliced, trained
from naive import lookup as naive_lookup
from naive import mach as naive
from test_optim import OPTIMIZERS

from sketchxc import _jit, linear, lookup, mach, optim, sparse
from sketchxc._scalar import loss as scalars


def matches(model, opt, rule, x, y, order, tolerance=1e-5, **more):
    """Train a copy and the naive twin; compare weights, moments and losses."""
    weights, biases, *rest = as_lists(model)
    moments = naive.moments(weights, biases)
    wanted = naive.train(weights, biases, moments, rule, opt[1:], pairs(x), y, *rest, list(order), **more)
    found, state, loss = trained(model, opt, x, y, order, **more)
    assert loss == pytest.approx(wanted, rel=tolerance)
    for a, b in zip(arrays(found), (weights, biases)):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    for a, b in zip((state.weights.m, state.weights.v, state.biases.m, state.biases.v), moments):
        if a.shape[-1]:
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert state.weights.steps[0] == state.biases.steps[0] == -(-len(order) // more["batch"])


@LOSSES
@given(SEEDS, st.integers(1, 5))
@settings(max_examples=15)
def test_naive_gradient_is_that_of_the_naive_loss(loss, seed, rows):
    """Central differences by every weight and bias."""
    model, x, y, rng = problem(seed, n=4 + rows, columns=3, reps=2, buckets=4, loss=loss)
    weights, biases, *rest = as_lists(model)
    x, y = pairs(x), y
    _, by_feature, by_bias = naive.gradient(weights, biases, x, y, *rest)
    wanted = [by_feature.get(f, [0.0] * len(biases)) for f in range(3)] + [by_bias]
    found = []
    for own in (*weights, biases):
        line = []
        for j, before in enumerate(own):
            sides = []
            for change in (1e-5, -1e-5):
                own[j] = before + change
                sides.append(naive.gradient(weights, biases, x, y, *rest)[0] / len(x))
            own[j] = before
            line.append((sides[0] - sides[1]) / 2e-5)
        found.append(line)
    assert np.linalg.norm(np.subtract(found, wanted)) <= 1e-6 * np.linalg.norm(wanted)


@pytest.mark.parametrize("softmax", [False, True])
def test_naive_loss_is_the_textbooks(softmax):
    """Cross-entropy between a target (labels that meet count once; with softmax spread evenly) and the probabilities."""
    z, hit = np.array([0.3, -1.2, 2.0, 0.7, 0.1, -0.4]), naive.targets([[0, 0, 2], [1, 2, 1]], [0, 1])
    assert hit == [{0}, {1, 2}]
    if softmax:
        p = np.exp(z.reshape(2, 3))
        p /= p.sum(1, keepdims=True)
        wanted = -np.log(p[0, 0]) - np.log(p[1, 1]) / 2 - np.log(p[1, 2]) / 2
    else:
        p, t = 1 / (1 + np.exp(-z)), np.array([1, 0, 0, 0, 1, 1])
        wanted = -(t * np.log(p) + (1 - t) * np.log(1 - p)).sum()
    assert naive.loss(z.tolist(), hit, 3, softmax) == pytest.approx(wanted)


@LOSSES
@given(SEEDS, st.sampled_from([(1, 1), (1, 40), (3, 5), (2, 16), (3, 49)]))
@settings(max_examples=15)
def test_a_step_of_plain_descent_is_the_gradient(loss, seed, shape):
    model, x, y, _ = problem(seed, reps=shape[0], buckets=shape[1], loss=loss)
    opt = optim.sgd(4096.0)  # so that the rounding of the weights does not count
    found, _, mean = trained(model, opt, x, y, np.arange(9), batch=9)
    total, by_feature, by_bias = naive.gradient(*as_lists(model)[:2], pairs(x), y, *as_lists(model)[2:])
    wanted = [by_feature.get(f, [0.0] * model.biases.size) for f in range(7)]
    np.testing.assert_allclose((model.weights.astype(np.float64) - found.weights) / 4096, wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose((model.biases.astype(np.float64) - found.biases) / 4096, by_bias, rtol=1e-5, atol=1e-6)
    assert mean == pytest.approx(total / 9 / shape[0], rel=1e-5)
    untouched = [f for f in range(7) if f not in by_feature]
    assert np.array_equal(found.weights[untouched], model.weights[untouched])


@RULES
@LOSSES
@pytest.mark.parametrize("shape, last_lr", [((3, 5), None), ((3, 49), 0.01)])
def test_batches_match_the_naive_loop(rule, loss, shape, last_lr):
    """49 * 3 = 147 columns are a tile of 128, one of 16 and three more."""
    for seed in range(3):
        model, x, y, rng = problem(seed, reps=shape[0], buckets=shape[1], loss=loss)
        order = rng.integers(0, 9, 11).tolist()  # batches of 4, 4 and 3
        matches(model, OPTIMIZERS[rule], rule, x, y, order, batch=4, last_lr=last_lr)


@LOSSES
def test_rows_without_labels(loss):
    """With softmax they have no gradient; with logistic loss all buckets are to fall."""
    model, x, _, _ = problem(3, loss=loss)
    found, _, mean = trained(model, optim.sgd(1.0), x, [[]] * 9, np.arange(9), batch=4)
    if loss == "softmax":
        same(arrays(found), arrays(model))
        assert mean == 0.0
    else:
        assert (found.biases < model.biases).all() and mean > 0


def test_labels_that_meet_in_a_bucket_count_once():
    own = lookup.from_table([[0, 0, 1], [0, 1, 1]], 2)
    model, x, _, _ = problem(4, n_labels=3, own=own)
    once, _, _ = trained(model, optim.sgd(1.0), x, [[0]] * 9, np.arange(9), batch=4)
    both, _, _ = trained(model, optim.sgd(1.0), x, [[0, 1]] * 9, np.arange(9), batch=4)
    assert np.array_equal(once.weights[:, :2], both.weights[:, :2]) and np.array_equal(once.weights[:, 2], both.weights[:, 2])
    assert not np.array_equal(once.weights[:, 3], both.weights[:, 3])


@LOSSES
def test_one_vs_all(loss):
    model = linear.init(7, 12, loss=loss)
    assert model.weights.shape == (7, 12) and model.lookup.reps == 1
    _, x, y, rng = problem(5)
    model.weights[...] = rng.normal(size=(7, 12))
    opt = OPTIMIZERS["adagrad"]
    weights, biases = model.weights.tolist(), model.biases.tolist()
    state = naive.moments(weights, biases)
    naive.train(weights, biases, state, "adagrad", opt[1:], pairs(x), y, [list(range(12))], 12, loss == "softmax", list(range(9)), 4)
    found, _, _ = trained(model, opt, x, y, np.arange(9), batch=4)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-5, atol=1e-5)
    scores = linear.bucket_scores(found, x)[0]
    labels, best = linear.top_k(found, x, 3)
    assert np.array_equal(best, -np.sort(-scores, axis=1)[:, :3]) and np.array_equal(np.take_along_axis(scores, labels, 1), best)


@given(SEEDS, st.sampled_from([(1, 1), (3, 5), (1, 16), (3, 49)]), st.sampled_from([None, 4]))
@settings(max_examples=15)
def test_bucket_scores_match_the_naive_twin(seed, shape, width):
    model, x, _, _ = problem(seed, reps=shape[0], buckets=shape[1], width=width)
    found = mach.bucket_scores(model, x)
    assert found.dtype == np.float32 and found.shape == (shape[0], 9, shape[1])
    weights, biases = as_lists(model)[:2]
    for r in range(shape[0]):
        seen = x if width is None else sparse.hash_columns(x, width, seed=int(model.feature_seeds[r]), signed=False)
        wanted = [naive.scores(weights, biases, row)[r * shape[1]:(r + 1) * shape[1]] for row in pairs(seen)]
        np.testing.assert_allclose(found[r], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss, width", [("logistic", 3), ("logistic", 7), ("softmax", 5), ("softmax", 10)])
def test_slices_match_the_naive_loop(loss, width, monkeypatch):
    sliced(monkeypatch, width)
    model, x, y, _ = problem(7, loss=loss)
    matches(model, OPTIMIZERS["adam"], "adam", x, y, range(9), batch=4, last_lr=None)


@pytest.mark.compiled
@LOSSES
@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_more_columns_than_a_slice_holds(loss, rule):
    model, x, y, _ = problem(8, reps=5, buckets=421, loss=loss)
    assert mach.slice_width(5 * 421, 421, loss == "softmax") < 5 * 421
    matches(model, OPTIMIZERS[rule], rule, x, y, range(9), batch=4)


def test_hash_lookup_of_the_kernel_is_the_naive_one():
    """One label, one feature: exactly the label's buckets rise."""
    own = lookup.hashed(12, reps=3, buckets=5, seed=21)
    table = naive_lookup.label_buckets(12, 3, 5, 21)
    for label in range(12):
        found, _, _ = trained(mach.init(1, own), optim.sgd(1.0), sparse.rows([[0]]), [[label]], [0])
        assert np.flatnonzero(found.weights[0] > 0).tolist() == [r * 5 + table[r][label] for r in range(3)]


@pytest.mark.compiled
def test_a_scalar_keeps_its_bits_inside_fast_loops():
    """Numba hands the flags of the first caller that compiles a function down to it, and reassociation would ruin exp32."""
    exp32 = _jit.scalar(scalars.exp32.py_func)

    @_jit.serial_fast
    def loop(x, out):
        for i in range(x.size):
            out[i] = exp32(x[i])

    x = np.linspace(-20, 5, 1001).astype(np.float32)
    out = np.empty_like(x)
    loop(x, out)
    np.testing.assert_allclose(out, np.exp(x.astype(np.float64)), rtol=3e-7)
    assert np.array_equal(out, np.array([scalars.exp32(v) for v in x], np.float32))


@LOSSES
def test_scores_far_from_zero(loss):
    """No overflow, and the loss is still the naive one."""
    model, x, _, _ = problem(18, loss=loss)
    model.biases[...] = np.where(np.arange(15) % 2, 1e4, -1e4)
    y = [[0]] * 9
    wanted = naive.gradient(*as_lists(model)[:2], pairs(x), y, *as_lists(model)[2:-1], True)[0] if loss == "softmax" else sum(
        max(z, 0.0) - z * (j % 5 in hit[j // 5]) for row in pairs(x) for hit in [naive.targets(as_lists(model)[2], [0])]
        for j, z in enumerate(naive.scores(*as_lists(model)[:2], row)))
    found, _, mean = trained(model, optim.sgd(1.0), x, y, np.arange(9), batch=9)
    assert np.isfinite(found.weights).all() and np.isfinite(found.biases).all()
    assert mean == pytest.approx(wanted / 27, rel=1e-6)
