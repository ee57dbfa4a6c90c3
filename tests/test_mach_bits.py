"""Linear MACH: bits that must not depend on slices, repetitions, pieces, chunks, blocks, names of labels and threads."""
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import LOSSES, RULES, SEEDS, alone, arrays, problem, rows_of, same, sliced, trained
from test_optim import OPTIMIZERS

from sketchxc import _batches, decode, lookup, mach, optim, sparse


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
        monkeypatch.setattr(_batches, "CHUNK", chunk)
        model, x, y, rng = problem(12, loss=loss, width=width)
        found, state, mean = trained(model, OPTIMIZERS["adam"], x, y, rng.permutation(9), batch=2, last_lr=0.01)
        results.append((arrays(found, state), mean))
    for found, mean in results[1:]:
        same(found, results[0][0])
        assert mean == pytest.approx(results[0][1])


@pytest.mark.compiled
@RULES
def test_a_copy_of_the_slice_does_not_change_bits(rule, monkeypatch):
    """Many nonzeros a column let threads train copies of their slices; chunks of one batch do not."""
    results = []
    for chunk in (1 << 20, 1):
        monkeypatch.setattr(_batches, "CHUNK", chunk)
        model, x, y, rng = problem(12, n=200, reps=3, buckets=70, width=4)
        assert x.indices.size > 32 * 4
        found, state, _ = trained(model, OPTIMIZERS[rule], x, y, rng.permutation(200), batch=7)
        results.append(arrays(found, state))
    same(*results)


@given(SEEDS, st.integers(1, 12), st.integers(1, 5))
def test_groups_are_the_transposed_batches(seed, batch, blocks):
    _, x, _, _ = problem(seed, n=20)
    before, _batches.BLOCKS = _batches.BLOCKS, blocks
    try:
        distinct, columns, ends, members, values = _batches.group(x, batch)
    finally:
        _batches.BLOCKS = before
    for t in range(-(-20 // batch)):
        rows = range(t * batch, min(20, t * batch + batch))
        wanted = {}
        for i in rows:
            for k in range(x.indptr[i], x.indptr[i + 1]):
                wanted.setdefault(int(x.indices[k]), []).append((i - rows[0], x.values[k]))
        begin = x.indptr[rows[0]]
        assert columns[begin:begin + distinct[t]].tolist() == list(wanted)
        for q, entries in enumerate(wanted.values(), begin):
            assert list(zip(members[begin:ends[q]].tolist(), values[begin:ends[q]])) == entries
            begin = ends[q]


def test_weights_and_their_state_begin_at_cache_lines():
    model = mach.init(7, lookup.hashed(100, reps=3, buckets=10))
    state = mach.slots(optim.adam(0.1), model)
    for array in (model.weights, model.biases, state.weights.m, state.weights.v, state.biases.m):
        assert array.ctypes.data % 64 == 0 and not array.any()


@given(SEEDS, st.integers(1, 9), st.integers(1, 40))
@settings(max_examples=30)
def test_chunks_are_whole_batches(seed, batch, chunk):
    _, x, _, rng = problem(seed)
    order = rng.integers(0, 9, 23)
    before, _batches.CHUNK = _batches.CHUNK, chunk
    try:
        parts = list(_batches.chunks(x, order, batch))
    finally:
        _batches.CHUNK = before
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
    assert mach.bucket_scores(model, nothing).shape == (3, 0, 5) and mach.top_k(model, nothing, 2)[0].shape == (0, 2)


@given(st.integers(1, 40), st.integers(1, 3000), st.booleans())
def test_slices_are_whole_tiles_or_whole_repetitions(reps, buckets, softmax):
    columns = reps * buckets
    width = mach.slice_width(columns, buckets, softmax)
    assert 1 <= width <= columns and width <= max(1024, buckets)
    assert width == columns or width % (buckets if softmax else 128) == 0
