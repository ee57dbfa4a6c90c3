"""MACH with hidden layers: gradients, training and scores against the naive twin, bits, model files and bad input."""
import numba
import numpy as np
import pytest
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import LOSSES, RULES, SEEDS, pairs, rows_of, same
from machs import problem as linear_problem
from naive import shallow as naive
from test_optim import OPTIMIZERS

from sketchxc import _batches, decode, lookup, mach, modelfile, optim, shallow, sparse

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
