"""MACH with hidden layers: gradients, training and scores against the naive twin, bits."""
import numba
import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import LOSSES, RULES, SEEDS, pairs, rows_of, same
from naive import shallow as naive
from shallows import HIDDEN, WIDTHS, alone, arrays, flat, nets, problem, trained
from test_optim import OPTIMIZERS

from sketchxc import _batches, decode, lookup, mach, optim, shallow, sparse


@LOSSES
@HIDDEN
@given(SEEDS)
@settings(max_examples=3)
def test_naive_gradient_is_that_of_the_naive_loss(loss, hidden, seed):
    """Central differences by every weight and bias, with steps too small to meet a kink of a ReLU."""
    model, x, y, _ = problem(seed, n=5, columns=3, reps=1, buckets=3, loss=loss, hidden=tuple(min(h, 4) for h in hidden))
    (net,), (own,) = nets(model)
    rest = pairs(x), y, own, 3, loss == "softmax"
    _, exact = naive.gradient(net, *rest)
    wanted, found = [], []
    for (weights, biases), (by_input, by_bias) in zip(net, exact):
        for line, slopes in [(w, by_input.get(f, [0.0] * len(biases))) for f, w in enumerate(weights)] + [(biases, by_bias)]:
            for j, before in enumerate(line):
                sides = []
                for change in (1e-5, -1e-5):
                    line[j] = before + change
                    sides.append(naive.gradient(net, *rest)[0] / 5)
                line[j] = before
                found.append((sides[0] - sides[1]) / 2e-5)
                wanted.append(slopes[j])
    assert np.linalg.norm(wanted) > 0.01
    assert np.linalg.norm(np.subtract(found, wanted)) <= 1e-6 * np.linalg.norm(wanted)


@LOSSES
@HIDDEN
@given(SEEDS, st.sampled_from([(1, 1), (3, 5), (2, 17)]))
@settings(max_examples=8)
def test_a_step_of_plain_descent_is_the_gradient(loss, hidden, seed, shape):
    model, x, y, _ = problem(seed, reps=shape[0], buckets=shape[1], loss=loss, hidden=hidden)
    found, _, mean = trained(model, optim.sgd(4096.0), x, y, np.arange(9), batch=9)  # so that the rounding of the weights does not count
    total = 0.0
    for before, after, own in zip(nets(model)[0], nets(found)[0], nets(model)[1]):
        loss_of_net, exact = naive.gradient(before, pairs(x), y, own, shape[1], loss == "softmax")
        total += loss_of_net
        for (by_input, by_bias), old, new in zip(exact, before, after):
            wanted = [by_input.get(f, [0.0] * len(by_bias)) for f in range(len(old[0]))]
            for a, b, c in zip(old, new, (wanted, by_bias)):
                assert np.linalg.norm((np.array(a) - b) / 4096 - c) <= 1e-4 * max(np.linalg.norm(c), 1e-3)
        untouched = [f for f in range(7) if f not in exact[0][0]]
        assert [before[0][0][f] for f in untouched] == [after[0][0][f] for f in untouched]
    assert mean == pytest.approx(total / 9 / shape[0], rel=1e-5)


@RULES
@LOSSES
@HIDDEN
def test_batches_match_the_naive_loop(rule, loss, hidden):
    for seed, last_lr in ((0, None), (1, 0.01)):
        model, x, y, rng = problem(seed, reps=2, loss=loss, hidden=hidden)
        order = rng.integers(0, 9, 11).tolist()  # batches of 4, 4 and 3
        opt = OPTIMIZERS[rule]
        found, state, mean = trained(model, opt, x, y, order, batch=4, last_lr=last_lr)
        losses = []
        for r, (net, own) in enumerate(zip(*nets(model))):
            moments = naive.moments(net)
            losses.append(naive.train(net, moments, rule, opt[1:], pairs(x), y, own, 5, loss == "softmax", order, 4, last_lr))
            np.testing.assert_allclose(flat(nets(found)[0][r]), flat(net), rtol=1e-4, atol=1e-5)
            names = ["embed", *(["hidden"] if len(hidden) == 2 else []), "weights"]
            for name, (wm, wv, bm, bv) in zip(names, moments):
                biases = {"embed": "embed_bias", "hidden": "hidden_bias", "weights": "biases"}[name]
                for own_slots, wanted in ((getattr(state, name), (wm, wv)), (getattr(state, biases), (bm, bv))):
                    for a, b in zip(own_slots[:2], wanted):
                        if a.shape[-1]:
                            np.testing.assert_allclose(a[r], b, rtol=1e-4, atol=1e-5)
        assert mean == pytest.approx(np.mean(losses), rel=1e-5)
        assert all(one.steps.tolist() == [3] for one in state)


@HIDDEN
@given(SEEDS, st.sampled_from([(1, 1), (3, 5), (1, 49)]), st.sampled_from([None, 4]))
@settings(max_examples=10)
def test_bucket_scores_match_the_naive_twin(hidden, seed, shape, width):
    model, x, _, _ = problem(seed, reps=shape[0], buckets=shape[1], width=width, hidden=hidden)
    found = shallow.bucket_scores(model, x)
    assert found.dtype == np.float32 and found.shape == (shape[0], 9, shape[1])
    for r, net in enumerate(nets(model)[0]):
        seen = x if width is None else sparse.hash_columns(x, width, seed=int(model.feature_seeds[r]), signed=False)
        np.testing.assert_allclose(found[r], [naive.outputs(net, row)[-1] for row in pairs(seen)], rtol=1e-4, atol=1e-4)


@LOSSES
def test_rows_without_labels(loss):
    """With softmax they have no gradient; with logistic loss all buckets are to fall."""
    model, x, _, _ = problem(3, loss=loss, hidden=(6, 5))
    found, _, mean = trained(model, optim.sgd(1.0), x, [[]] * 9, np.arange(9), batch=4)
    if loss == "softmax":
        same(arrays(found), arrays(model))
        assert mean == 0.0
    else:
        assert (found.biases < model.biases).all() and mean > 0


@pytest.mark.compiled
@LOSSES
@RULES
@WIDTHS
@HIDDEN
def test_repetitions_together_are_repetitions_one_by_one(loss, rule, width, hidden):
    model, x, y, rng = problem(9, n=30, buckets=49, loss=loss, width=width, hidden=hidden)
    order = rng.permutation(30)
    found, state, mean = trained(model, OPTIMIZERS[rule], x, y, order, batch=8, last_lr=0.01, threads=2)
    scores = shallow.bucket_scores(found, x)
    losses = []
    for r in range(3):
        own, own_state, loss = trained(alone(model, r), OPTIMIZERS[rule], x, y, order, batch=8, last_lr=0.01, threads=1)
        same(arrays(alone(found, r)), arrays(own))
        for a, b in zip(state, own_state):
            same([a.m[r:r + 1], a.v[r:r + 1], a.steps], list(b))
        assert np.array_equal(scores[r:r + 1], shallow.bucket_scores(own, x))
        losses.append(loss)
    assert mean == pytest.approx(np.mean(losses), rel=1e-12)
    assert not np.array_equal(found.weights[0], found.weights[1])


@pytest.mark.compiled
@LOSSES
@WIDTHS
def test_same_bits_for_any_number_of_threads(loss, width):
    """Neither of repetitions nor of matrix products, of sizes at which OpenBLAS gives other bits on two threads than on one."""
    results = []
    for threads, products in ((1, 1), (2, 1), (5, 2)):
        model, x, y, rng = problem(14, n=700, columns=30, reps=3, buckets=33, loss=loss, width=width, hidden=(700, 33))
        with threadpoolctl.threadpool_limits(products, "blas"):
            found, state, mean = trained(model, OPTIMIZERS["adam"], x, y, rng.permutation(700), batch=300, threads=threads)
            results.append([*arrays(found, state), np.array(mean), shallow.bucket_scores(found, x)])
    same(results[1], results[0])
    same(results[2], results[0])


@pytest.mark.compiled
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread")
@WIDTHS
def test_scores_have_the_same_bits_for_any_number_of_threads(width, monkeypatch):
    monkeypatch.setattr(shallow, "BLOCK", 200)
    model, x, _, _ = problem(15, n=700, columns=30, buckets=417, width=width, hidden=(200, 150))
    results = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        try:
            results.append([shallow.bucket_scores(model, x), *shallow.top_k(model, x, 4)])
        finally:
            numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    same(*results)


@LOSSES
@HIDDEN
def test_hashed_columns_are_columns_hashed_before(loss, hidden):
    model, x, y, _ = problem(10, loss=loss, width=4, hidden=hidden)
    assert model.embed.shape[:2] == (3, 4) and len(set(model.feature_seeds.tolist())) == 3
    found, _, _ = trained(model, OPTIMIZERS["adagrad"], x, y, np.arange(9), batch=4)
    for r in range(3):
        own = alone(model, r)._replace(feature_seeds=np.empty(0, np.uint64), n_features=4)
        seen = sparse.hash_columns(x, 4, seed=int(model.feature_seeds[r]), signed=False)
        same(arrays(trained(own, OPTIMIZERS["adagrad"], seen, y, np.arange(9), batch=4)[0]), arrays(alone(found, r)))


@RULES
def test_a_pass_in_pieces_is_the_pass(rule):
    model, x, y, rng = problem(11, hidden=(6, 5))
    order = rng.permutation(9)
    whole, whole_state, mean = trained(model, OPTIMIZERS[rule], x, y, order, batch=2)
    state, labels = shallow.slots(OPTIMIZERS[rule], model), rows_of(y)
    parts = order[:4], order[4:6], order[:0], order[6:]
    total = sum(part.size * shallow.train(model, OPTIMIZERS[rule], state, x, labels, part, batch=2) for part in parts)
    same(arrays(model, state), arrays(whole, whole_state))
    assert total / 9 == pytest.approx(mean)


@LOSSES
@WIDTHS
def test_chunks_do_not_change_bits(loss, width, monkeypatch):
    results = []
    for chunk in (1 << 20, 1, 9, 20):
        monkeypatch.setattr(_batches, "CHUNK", chunk)
        model, x, y, rng = problem(12, loss=loss, width=width)
        found, state, mean = trained(model, OPTIMIZERS["adam"], x, y, rng.permutation(9), batch=2, last_lr=0.01)
        results.append((arrays(found, state), mean))
    for found, mean in results[1:]:
        same(found, results[0][0])
        assert mean == pytest.approx(results[0][1])


@pytest.mark.parametrize("more", [dict(), dict(how="mean"), dict(top=2), dict(how="min", top=3, least=1)])
@WIDTHS
def test_answers_are_the_decoded_scores(more, width):
    model, x, _, _ = problem(15, n=40, loss="softmax", width=width, hidden=(6, 5))
    labels, scores = shallow.top_k(model, x, 4, **more)
    for a, b in zip(decode.top_k(shallow.bucket_scores(model, x), model.lookup, 4, softmax=True, **more), (labels, scores)):
        assert np.array_equal(a, b)
    assert labels.dtype == np.int32 and scores.dtype == np.float32 and labels.shape == scores.shape == (40, 4)


def test_a_batch_may_be_larger_than_the_pass():
    model, x, y, _ = problem(17)
    same(arrays(trained(model, optim.adam(), x, y, np.arange(9), batch=2**40)[0]),
         arrays(trained(model, optim.adam(), x, y, np.arange(9), batch=9)[0]))


def test_no_rows():
    model, x, _, _ = problem(16)
    found, state, mean = trained(model, optim.adam(), x, [[]] * 9, [])
    assert mean == 0.0 and state.weights.steps[0] == 0
    same(arrays(found), arrays(model))
    nothing = sparse.rows(np.zeros((0, 7), np.float32))
    assert shallow.bucket_scores(model, nothing).shape == (3, 0, 5) and shallow.top_k(model, nothing, 2)[0].shape == (0, 2)


@pytest.mark.parametrize("name, hidden", [("embed", (6,)), ("embed_bias", (6, 5)), ("hidden", (6, 5)), ("hidden_bias", (6, 5)),
                                          ("biases", (6,))])
def test_a_number_that_is_none_passes_the_layers(name, hidden):
    """A ReLU that turned NaN into zero would hide that a net is lost."""
    model, x, y, _ = problem(21, hidden=hidden)
    getattr(model, name)[1] = np.nan
    scores = shallow.bucket_scores(model, x)
    assert np.isnan(scores[1, 1:]).all() and np.isfinite(scores[[0, 2]]).all()
    assert np.isnan(trained(model, optim.sgd(), x, y, np.arange(9))[2])


def test_scores_of_blocks_stand_in_their_rows(monkeypatch):
    model, x, _, _ = problem(22)
    wanted = shallow.bucket_scores(model, x)
    monkeypatch.setattr(shallow, "BLOCK", 4)
    np.testing.assert_allclose(shallow.bucket_scores(model, x), wanted, rtol=1e-5, atol=1e-5)


def test_a_run_that_diverges_reports_a_loss_that_is_not_finite():
    model, x, y, _ = problem(18, hidden=(6, 5))
    state = shallow.slots(optim.sgd(1e20), model)
    losses = [shallow.train(model, optim.sgd(1e20), state, x, rows_of(y), np.arange(9), batch=3, threads=2) for _ in range(4)]
    assert not np.isfinite(losses[-1])


@LOSSES
@pytest.mark.parametrize("hidden", [(16,), (16, 8)])
def test_exclusive_or_is_learnt(loss, hidden):
    """The label is the exclusive or of two columns out of three, which no linear model can tell better than by chance."""
    bits = np.arange(8)[:, None] >> np.arange(3) & 1
    x = sparse.rows(np.hstack([bits, 1 - bits]).astype(np.float32))
    y = sparse.rows([[int(a ^ b)] for a, b, _ in bits], 2)
    own = lookup.from_table([[0, 1]] * 3, 2)
    right = []
    for module, model in ((shallow, shallow.init(6, own, hidden=hidden, loss=loss, seed=1)), (mach, mach.init(6, own, loss=loss))):
        opt = optim.adam(0.02)
        state = module.slots(opt, model)
        for _ in range(60):
            module.train(model, opt, state, x, y, np.arange(8), batch=8)
        scores = module.bucket_scores(model, x)
        right.append(((scores[:, :, 1] > scores[:, :, 0]) == (y.indices == 1)).mean())
    assert right[0] == 1.0 and right[1] <= 0.75


def test_weights_to_begin_with():
    own = lookup.hashed(500, reps=3, buckets=90, seed=5)
    model = shallow.init(300, own, hidden=(64, 40), seed=8)
    for array, variance in ((model.embed, 2 / 64), (model.hidden, 2 / 64), (model.weights, 2 / 40)):
        assert array.dtype == np.float32 and array.flags.c_contiguous
        for one in array:
            assert abs(one.mean()) < 5 * np.sqrt(variance / one.size) and abs(one.var() / variance - 1) < 5 * np.sqrt(2 / one.size)
    assert not any(array.any() for array in (model.embed_bias, model.hidden_bias, model.biases))
    fewer = shallow.init(300, own._replace(seeds=own.seeds[:2], table=own.table[:2]), hidden=(64, 40), seed=8)
    same(arrays(fewer), [array[:2] for array in arrays(model)])
    other = shallow.init(300, own, hidden=(64, 40), seed=9)
    assert not np.array_equal(model.embed[0], model.embed[1]) and not np.array_equal(model.embed, other.embed)
    assert shallow.init(300, own, hidden=(64,)).hidden.shape == (3, 64, 0)
    assert np.array_equal(shallow.init(300, own, width=9, seed=8).feature_seeds, mach.init(300, own, width=9, seed=8).feature_seeds)
