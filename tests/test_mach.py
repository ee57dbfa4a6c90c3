"""Linear MACH: naive twin of gradients and training, slices, repetitions, pieces, threads, hashed columns, answers, files, bad input."""
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import lookup as naive_lookup
from naive import mach as naive
from test_optim import OPTIMIZERS

from sketchxc import _jit, decode, linear, lookup, mach, modelfile, optim, sparse
from sketchxc._scalar import loss as scalars

SEEDS = st.integers(0, 2**32)
LOSSES = pytest.mark.parametrize("loss", mach.LOSSES)
RULES = pytest.mark.parametrize("rule", OPTIMIZERS)


def problem(seed, *, n=9, columns=7, n_labels=12, reps=3, buckets=5, loss="logistic", own=None, **more):
    """Model with random weights, and rows and labels (lists) of which some are empty; row 0 has no features, row 1 no labels."""
    rng = np.random.default_rng(seed)
    own = lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=seed) if own is None else own
    model = mach.init(columns, own, loss=loss, seed=seed, **more)
    model.weights[...], model.biases[...] = rng.normal(size=model.weights.shape), rng.normal(size=model.biases.shape)
    dense = rng.normal(size=(n, columns)).astype(np.float32) * (rng.random((n, columns)) < 0.5)
    dense[0] = 0
    y = [sorted(rng.choice(n_labels, rng.integers(0, min(5, n_labels)), replace=False).tolist()) if i != 1 else [] for i in range(n)]
    return model, sparse.rows(dense), y, rng


def pairs(x):
    """Rows as the naive twin has them."""
    return [list(zip(x.indices[a:b].tolist(), x.values[a:b].tolist())) for a, b in zip(x.indptr, x.indptr[1:])]


def rows_of(y, n_labels=12):
    return sparse.rows(y, n_labels)


def as_lists(model):
    """weights, biases, table, buckets, softmax of the naive twin."""
    table = lookup.label_buckets(model.lookup).tolist()
    return model.weights.tolist(), model.biases.tolist(), table, model.lookup.buckets, model.loss == 1


def copied(model):
    return model._replace(weights=model.weights.copy(), biases=model.biases.copy())


def trained(model, opt, x, y, order, **more):
    """Copy of the model after a pass, the state and the loss."""
    model = copied(model)
    state = mach.slots(opt, model)
    loss = mach.train(model, opt, state, x, sparse.rows(y, model.lookup.n_labels), order, **more)
    return model, state, loss


def arrays(model, state=None):
    moments = [] if state is None else [a for own in state for a in own]
    return [model.weights, model.biases, *moments]


def same(a, b):
    assert len(a) == len(b)
    for i, (p, q) in enumerate(zip(a, b)):
        assert np.array_equal(p, q), f"array {i} differs in {int((p != q).sum())} of {p.size} places"


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


def sliced(monkeypatch, width):
    monkeypatch.setattr(mach, "slice_width", lambda columns, buckets, softmax: min(columns, width))


@pytest.mark.compiled
@RULES
def test_logistic_bits_do_not_depend_on_the_slices(rule, monkeypatch):
    """Slices that cut through a repetition's buckets, tiles and lanes, against one slice of all 3 * 70 columns."""
    results = []
    for width in (210, 1, 3, 16, 17, 64, 100, 128, 145, 209):
        sliced(monkeypatch, width)
        model, x, y, rng = problem(6, n=30, reps=3, buckets=70)
        found, state, loss = trained(model, OPTIMIZERS[rule], x, y, rng.permutation(30), batch=7, last_lr=0.01)
        results.append((arrays(found, state), loss))
    for found, loss in results[1:]:
        same(found, results[0][0])
        assert loss == pytest.approx(results[0][1], rel=1e-6)


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


@given(st.integers(1, 40), st.integers(1, 3000), st.booleans())
def test_slices_are_whole_tiles_or_whole_repetitions(reps, buckets, softmax):
    columns = reps * buckets
    width = mach.slice_width(columns, buckets, softmax)
    assert 1 <= width <= columns and width <= max(1024, buckets)
    assert width == columns or width % (buckets if softmax else 128) == 0


def alone(model, r):
    """Repetition r as a model of its own."""
    own, cut = model.lookup, slice(r * model.lookup.buckets, (r + 1) * model.lookup.buckets)
    one = own._replace(seeds=own.seeds[r:r + 1], table=own.table[r:r + 1])
    return model._replace(weights=model.weights[:, cut].copy(), biases=model.biases[cut].copy(), lookup=one,
                          feature_seeds=model.feature_seeds[r:r + 1])


@pytest.mark.compiled
@LOSSES
@RULES
@pytest.mark.parametrize("width", [None, 5])
def test_repetitions_together_are_repetitions_one_by_one(loss, rule, width):
    model, x, y, rng = problem(9, n=30, reps=3, buckets=49, loss=loss, width=width)
    order = rng.permutation(30)
    found, state, mean = trained(model, OPTIMIZERS[rule], x, y, order, batch=8, last_lr=0.01)
    losses = []
    for r in range(3):
        own, own_state, loss = trained(alone(model, r), OPTIMIZERS[rule], x, y, order, batch=8, last_lr=0.01)
        same(arrays(alone(found, r)), arrays(own))
        for kind in ("weights", "biases"):
            for a, b in zip(getattr(state, kind), getattr(own_state, kind)):
                assert a.shape[-1] <= 1 or np.array_equal(a[..., r * 49:(r + 1) * 49], b)
        losses.append(loss)
    assert mean == pytest.approx(np.mean(losses), rel=1e-6)
    assert not np.array_equal(alone(found, 0).weights, alone(found, 1).weights)


@LOSSES
def test_hashed_columns_are_columns_hashed_before(loss):
    model, x, y, _ = problem(10, loss=loss, width=4)
    assert model.weights.shape == (4, 15) and len(set(model.feature_seeds.tolist())) == 3
    found, _, _ = trained(model, OPTIMIZERS["adagrad"], x, y, np.arange(9), batch=4)
    for r in range(3):
        own = alone(model, r)._replace(feature_seeds=np.empty(0, np.uint64), n_features=4)
        seen = sparse.hash_columns(x, 4, seed=int(model.feature_seeds[r]), signed=False)
        same(arrays(trained(own, OPTIMIZERS["adagrad"], seen, y, np.arange(9), batch=4)[0]), arrays(alone(found, r)))


def test_hashes_of_columns_and_labels_differ():
    model = mach.init(100, lookup.hashed(100, reps=4, buckets=10, seed=3), width=10, seed=3)
    assert not set(model.feature_seeds.tolist()) & set(model.lookup.seeds.tolist())


@LOSSES
@RULES
def test_a_pass_in_pieces_is_the_pass(loss, rule):
    model, x, y, rng = problem(11, loss=loss)
    order = rng.permutation(9)
    opt = OPTIMIZERS[rule]
    whole, whole_state, mean = trained(model, opt, x, y, order, batch=2)
    state, labels = mach.slots(opt, model), rows_of(y)
    parts = order[:4], order[4:6], order[:0], order[6:]
    total = sum(part.size * mach.train(model, opt, state, x, labels, part, batch=2) for part in parts)
    same(arrays(model, state), arrays(whole, whole_state))
    assert total / 9 == pytest.approx(mean)


@LOSSES
@pytest.mark.parametrize("width", [None, 4])
def test_chunks_do_not_change_bits(loss, width, monkeypatch):
    results = []
    for chunk in (1 << 20, 1, 9, 20):
        monkeypatch.setattr(mach, "CHUNK", chunk)
        model, x, y, rng = problem(12, loss=loss, width=width)
        found, state, mean = trained(model, OPTIMIZERS["adam"], x, y, rng.permutation(9), batch=2, last_lr=0.01)
        results.append((arrays(found, state), mean))
    for found, mean in results[1:]:
        same(found, results[0][0])
        assert mean == pytest.approx(results[0][1])


@given(SEEDS, st.integers(1, 9), st.integers(1, 40))
@settings(max_examples=30)
def test_chunks_are_whole_batches(seed, batch, chunk):
    _, x, _, rng = problem(seed)
    order = rng.integers(0, 9, 23)
    before, mach.CHUNK = mach.CHUNK, chunk
    try:
        parts = list(mach._chunks(x, order, batch))
    finally:
        mach.CHUNK = before
    assert np.array_equal(np.concatenate(parts), order)
    assert all(part.size % batch == 0 and part.size for part in parts[:-1])
    assert all(part.size <= batch or np.diff(x.indptr)[part].sum() <= chunk for part in parts)


@LOSSES
def test_renaming_labels_renames_the_answers(loss):
    rng = np.random.default_rng(13)
    table, names = rng.integers(0, 5, (3, 12)), rng.permutation(12)  # label l becomes names[l]
    table[0] = np.arange(12)
    renamed = np.empty_like(table)
    renamed[:, names] = table
    model, x, y, _ = problem(13, own=lookup.from_table(table, 12), loss=loss)
    other = model._replace(lookup=lookup.from_table(renamed, 12))
    found, _, mean = trained(model, OPTIMIZERS["momentum"], x, y, np.arange(9), batch=4)
    again, _, mean_again = trained(other, OPTIMIZERS["momentum"], x, [sorted(names[own].tolist()) for own in y], np.arange(9), batch=4)
    same(arrays(found), arrays(again))
    assert mean == pytest.approx(mean_again)
    labels, scores = mach.top_k(found, x, 5)
    labels_again, scores_again = mach.top_k(again, x, 5)
    assert np.array_equal(names[labels], labels_again) and np.array_equal(scores, scores_again)


@pytest.mark.compiled
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread")
@LOSSES
def test_same_bits_for_any_number_of_threads(loss):
    results = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        try:
            model, x, y, rng = problem(14, n=100, columns=30, reps=5, buckets=421, loss=loss)
            found, state, mean = trained(model, OPTIMIZERS["adam"], x, y, rng.permutation(100), batch=16)
            results.append([*arrays(found, state), np.array(mean), mach.bucket_scores(found, x), *mach.top_k(found, x, 4)])
        finally:
            numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    same(*results)


@pytest.mark.compiled
@pytest.mark.parametrize("more", [dict(), dict(how="mean"), dict(top=2), dict(how="min", top=3, least=1)])
@pytest.mark.parametrize("width", [None, 4])
def test_answers_in_blocks_are_the_answers(more, width):
    model, x, _, _ = problem(15, n=600, loss="softmax", width=width)
    labels, scores = mach.top_k(model, x, 4, **more)
    for a, b in zip(mach.top_k(model, x, 4, memory=1, **more), (labels, scores)):
        assert np.array_equal(a, b)
    for a, b in zip(decode.top_k(mach.bucket_scores(model, x), model.lookup, 4, softmax=True, **more), (labels, scores)):
        assert np.array_equal(a, b)
    assert labels.dtype == np.int32 and scores.dtype == np.float32 and labels.shape == scores.shape == (600, 4)


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


def test_no_rows():
    model, x, _, _ = problem(16)
    found, state, mean = trained(model, optim.adam(), x, [[]] * 9, [])
    assert mean == 0.0 and state.weights.steps[0] == 0
    same(arrays(found), arrays(model))
    nothing = sparse.rows(np.zeros((0, 7), np.float32))
    assert mach.bucket_scores(model, nothing).shape == (3, 0, 5) and mach.top_k(model, nothing, 2)[0].shape == (0, 2)


def test_a_batch_may_be_larger_than_the_pass():
    model, x, y, _ = problem(17)
    same(arrays(trained(model, optim.adam(), x, y, np.arange(9), batch=2**40)[0]),
         arrays(trained(model, optim.adam(), x, y, np.arange(9), batch=9)[0]))


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


@pytest.mark.parametrize("width", [None, 4])
def test_files_give_back_models_and_state(width, tmp_path):
    for own in (lookup.hashed(12, reps=3, buckets=5, seed=1), lookup.from_table(np.arange(36).reshape(3, 12) % 5, 5), lookup.identity(12)):
        model, x, y, _ = problem(19, own=own, width=width)
        found, state, _ = trained(model, optim.adam(), x, y, np.arange(9))
        for kind, one in ((mach.Mach, found), (mach.MachSlots, state), (lookup.Lookup, own)):
            modelfile.save(tmp_path / "model", one)
            again = modelfile.load(tmp_path / "model", expected=kind, verify=True)
            if kind is mach.Mach:
                same(arrays(again), arrays(found))
                same(again.lookup[:2] + (again.feature_seeds,), own[:2] + (found.feature_seeds,))
                assert again[4:] == found[4:] and again.lookup[2:] == own[2:]
                same(mach.top_k(again, x, 3), mach.top_k(found, x, 3))
            elif kind is mach.MachSlots:
                same(arrays(found, again), arrays(found, state))
            else:
                same(again[:2], own[:2])
                assert again[2:] == own[2:]


@pytest.mark.parametrize("change, message", [
    (lambda m: dict(weights=m.weights[:, :14]), "weights and biases must have 15 columns, not 14 and 15"),
    (lambda m: dict(biases=m.biases[:14]), "weights and biases must have 15 columns, not 15 and 14"),
    (lambda m: dict(lookup=m.lookup._replace(buckets=6)), "weights and biases must have 18 columns"),
    (lambda m: dict(weights=m.weights[:6]), "weights must have 7 rows, not 6"),
    (lambda m: dict(feature_seeds=np.zeros(2, np.uint64)), "feature_seeds must hold none or 3 seeds, not 2"),
    (lambda m: dict(loss=2), "loss must be 0 or 1, not 2"),
    (lambda m: dict(lookup=m.lookup._replace(seeds=m.lookup.seeds[:2])), "seeds must hold 3 seeds, not 2"),
    (lambda m: dict(lookup=m.lookup._replace(table=np.zeros((3, 11), np.int32))), "table must have 0 or 12 columns, not 11"),
    (lambda m: dict(weights=m.weights.astype(np.float64)), "weights must be an array of float32"),
])
def test_models_that_do_not_fit_together_are_refused(change, message, tmp_path):
    model = problem(20)[0]
    modelfile.save(tmp_path / "model", model)
    with pytest.raises(ValueError, match=message):
        modelfile.save(tmp_path / "model", model._replace(**change(model)))


@pytest.mark.parametrize("change, error, message", [
    (dict(x=sparse.rows([[1]] * 9, 8)), ValueError, "x must have 7 columns as in training, not 8"),
    (dict(x=3), TypeError, "x must be"),
    (dict(x=sparse.rows([[1]] * 9, 7)._replace(indices=np.full(9, 7, np.int32))), ValueError, "x row 0 holds column 7"),
    (dict(labels=sparse.rows([[1]] * 8, 12)), ValueError, "labels must have as many rows as x, 9, not 8"),
    (dict(labels=[[12]] * 9), ValueError, "labels row 0 holds column 12"),
    (dict(order=[9]), ValueError, "order must hold row numbers between 0 and 8"),
    (dict(order=[0, -1]), ValueError, "order must hold row numbers between 0 and 8"),
    (dict(order=[0.5]), TypeError, "order must hold integers"),
    (dict(order=[[0]]), ValueError, "order must have 1 axis"),
    (dict(batch=0), ValueError, "batch must be at least 1, not 0"),
    (dict(batch=2.0), TypeError, "batch must be an integer"),
    (dict(last_lr=np.nan), ValueError, "last_lr must be at least 0, not nan"),
    (dict(state=(optim.sgd(), 3)), ValueError, "state.weights.v must have shape"),
    (dict(state=(optim.adagrad(), 2)), ValueError, "state.weights.v must have shape"),
])
def test_bad_input_of_training(change, error, message):
    model, x, y, _ = problem(0)
    opt = optim.adagrad()
    given = dict(state=(opt, 3), x=x, labels=rows_of(y), order=np.arange(9)) | change
    rule, reps = given["state"]
    given["state"] = mach.slots(rule, problem(0, reps=reps)[0])
    before = copied(model)
    with pytest.raises(error, match=message):
        mach.train(model, opt, **given)
    same(arrays(model), arrays(before))


@pytest.mark.parametrize("arguments, error, message", [
    (dict(n_features=0), ValueError, "n_features must be between 1 and 2147483647, not 0"),
    (dict(width=0), ValueError, "width must be between 1 and 2147483647, not 0"),
    (dict(width=1.5), TypeError, "width must be an integer"),
    (dict(loss="hinge"), ValueError, "loss must be one of logistic, softmax, not 'hinge'"),
    (dict(seed="a"), TypeError, "seed must be an integer"),
])
def test_bad_input_of_init(arguments, error, message):
    given = dict(n_features=7, lookup=lookup.identity(3), width=2) | arguments
    with pytest.raises(error, match=message):
        mach.init(given.pop("n_features"), given.pop("lookup"), **given)


def test_bad_input_of_answers():
    model, x, _, _ = problem(0)
    for k in (0, 13):
        with pytest.raises(ValueError, match="k must be between 1 and 12"):
            mach.top_k(model, x, k)
    with pytest.raises(ValueError, match="how must be one of"):
        mach.top_k(model, x, 1, how="sum")
    for function in (mach.bucket_scores, lambda m, x: mach.top_k(m, x, 1)):
        with pytest.raises(ValueError, match="x must have 7 columns as in training, not 6"):
            function(model, sparse.rows([[1]], 6))
