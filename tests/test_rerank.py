"""Factors: naive twin of training, draws and scores, slopes against differences, repetitions, threads, packing, edges, bad input."""
import math

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import hashing as naive_hashing
from naive import rerank as naive

from sketchxc import rerank, sparse
from sketchxc._cpu import rerank as kernels
from sketchxc._cpu import vector

SEEDS = st.integers(0, 2**32)


def problem(seed, n=6, columns=9, n_labels=7, m=5, dim=16, reps=1, cells=None):
    """Factors with random labels too, slots, and rows, labels and shortlists of which some are empty or hold -1."""
    rng = np.random.default_rng(seed)
    factors = rerank.init(columns, n_labels, dim=dim, reps=reps, cells=cells, seed=seed)
    factors.labels[...] = rng.normal(size=factors.labels.shape)
    dense = rng.normal(size=(n, columns)).astype(np.float32) * (rng.random((n, columns)) < 0.4)
    y = [sorted(rng.choice(n_labels, rng.integers(0, 4), replace=False).tolist()) for _ in range(n)]
    return factors, rerank.slots(factors), sparse.rows(dense), y, rng.integers(-1, n_labels, (n, m)).astype(np.int32), rng


def pairs(x):
    """Rows as the naive twin has them."""
    return [list(zip(x.indices[a:b].tolist(), x.values[a:b].tolist())) for a, b in zip(x.indptr, x.indptr[1:])]


def as_lists(factors, state, r):
    return [a[r].tolist() for a in (factors.features, factors.labels, state.features, state.labels)]


def copied(factors, state, keep=slice(None)):
    """Copies of the repetitions `keep`."""
    return (factors._replace(features=factors.features[keep].copy(), labels=factors.labels[keep].copy(), seeds=factors.seeds[keep]),
            rerank.FactorSlots(state.features[keep].copy(), state.labels[keep].copy()))


def rows_of(y, n_labels=7):
    return sparse.rows(y, n_labels)


def same(a, b):
    return all(np.array_equal(p, q, equal_nan=True) for p, q in zip(a, b))


@given(SEEDS, st.sampled_from([(16, None), (48, 4), (64, None), (80, 5)]), st.integers(0, 3), st.integers(0, 6), st.integers(1, 2))
@settings(max_examples=30)
def test_training_matches_the_naive_twin(seed, shape, near, far, reps):
    factors, state, x, y, shortlist, rng = problem(seed, dim=shape[0], cells=shape[1], reps=reps)
    order = rng.integers(0, 6, 9)
    wanted = [as_lists(factors, state, r) for r in range(reps)]
    keys = [naive_hashing.mix(own, 11) for own in factors.seeds.tolist()]
    losses = [naive.train(*wanted[r], keys[r], int(factors.seeds[r]), 9, pairs(x), y, shortlist.tolist(), order.tolist(), 0.35, 0.1, near,
                          far) for r in range(reps)]
    found = rerank.train(factors, state, x, rows_of(y), shortlist, order, lr=0.35, last_lr=0.1, near=near, far=far, seed=11)
    assert found == pytest.approx(sum(losses) / reps, rel=1e-4, abs=1e-5)
    for r in range(reps):
        for a, b in zip(as_lists(factors, state, r), wanted[r]):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("dim", [16, 64, 112])
def test_one_step_matches_closely(dim):
    factors, state, x, y, shortlist, _ = problem(5, dim=dim)
    wanted = as_lists(factors, state, 0)
    i = next(i for i in range(6) if len(y[i]) > 1 and x.indptr[i + 1] > x.indptr[i])
    key = naive_hashing.mix(int(factors.seeds[0]), 3)
    loss = naive.train(*wanted, key, 0, 9, pairs(x), y, shortlist.tolist(), [i], 0.35, 0.35, 4, 16)
    assert rerank.train(factors, state, x, rows_of(y), shortlist, [i], lr=0.35, seed=3) == pytest.approx(loss, rel=1e-5)
    for a, b in zip(as_lists(factors, state, 0), wanted):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6)


@given(SEEDS, st.integers(1, 4), st.integers(0, 9))
def test_slopes_are_the_naive_ones(seed, positives, others):
    scores = (np.random.default_rng(seed).normal(size=positives + others) * 10).astype(np.float32)
    slopes = np.append(scores, np.float32(7.0))
    loss = kernels.softmax_slopes(slopes, scores.size, positives)
    assert loss == pytest.approx(naive.loss(scores.tolist(), positives), rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(slopes[:-1], naive.slopes(scores.tolist(), positives), rtol=1e-5, atol=2e-6)
    assert slopes[-1] == 7.0


@given(SEEDS, st.integers(1, 3), st.integers(0, 5))
@settings(max_examples=20)
def test_naive_step_descends_along_the_gradient(seed, positives, others):
    """Central differences of the loss by every number of every vector; the labels are distinct, so no vector moves before it is read."""
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(4, 3)), rng.normal(size=(9, 3))
    row, picked = [(j, float(rng.normal())) for j in (0, 2, 3)], rng.permutation(9)[:positives + others].tolist()

    def loss():
        h = naive.hidden(features.tolist(), row)
        return naive.loss([naive.inner(h, labels[k].tolist()) for k in picked], positives)

    h = naive.hidden(features.tolist(), row)
    slopes = naive.slopes([naive.inner(h, labels[k].tolist()) for k in picked], positives)
    gradient = sum(e * labels[k] for k, e in zip(picked, slopes))
    wanted_features, wanted_labels = np.zeros((4, 3)), np.zeros((9, 3))
    for j, value in row:
        wanted_features[j] = -value * gradient
    for k, e in zip(picked, slopes):
        wanted_labels[k] = -e * np.array(h)
    for table, wanted in ((features, wanted_features), (labels, wanted_labels)):
        for place in np.ndindex(table.shape):
            before, sides = table[place], []
            for change in (1e-5, -1e-5):
                table[place] = before + change
                sides.append(loss())
            table[place] = before
            assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(wanted[place], rel=1e-6, abs=1e-6)


@given(SEEDS, st.integers(0, 5), st.integers(0, 9), st.integers(1, 12))
def test_draws_match_plain_integers(key, near, far, n_labels):
    rng = np.random.default_rng(key)
    own = rng.choice(n_labels, min(n_labels, 2), replace=False).astype(np.int32)
    shortlist = rng.integers(-1, n_labels, (2, 4)).astype(np.int32)
    out = np.full(own.size + near + far, -7, np.int64)
    count = kernels.draw(np.uint64(key), own, 0, own.size, shortlist, 1, near, far, n_labels, out)
    assert out[:count].tolist() == naive.draw(key, own.tolist(), shortlist[1].tolist(), near, far, n_labels)
    assert (out[count:] == -7).all()


def test_draws_reach_all_candidates_and_all_labels():
    own, shortlist, out = np.array([3], np.int32), np.array([[5, -1, 3, 8]], np.int32), np.empty(401, np.int64)
    count = kernels.draw(np.uint64(1), own, 0, 1, shortlist, 0, 200, 0, 10, out)
    assert set(out[1:count].tolist()) == {5, 8}
    assert 70 < count < 130
    count = kernels.draw(np.uint64(1), own, 0, 1, shortlist, 0, 0, 400, 10, out)
    assert set(out[1:count].tolist()) == set(range(10)) - {3}
    assert np.bincount(out[1:count]).max() < 70


@given(SEEDS, st.sampled_from([(16, None), (48, 4), (64, None), (80, 5)]), st.integers(1, 3))
@settings(max_examples=30)
def test_scores_match_the_naive_twin(seed, shape, reps):
    factors, _, x, _, shortlist, _ = problem(seed, dim=shape[0], cells=shape[1], reps=reps)
    each = [(factors.features[r].tolist(), factors.labels[r].tolist(), int(factors.seeds[r])) for r in range(reps)]
    found = rerank.scores(factors, x, shortlist)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive.scores(each, 9, pairs(x), shortlist.tolist()), rtol=1e-4, atol=1e-4)


def test_scores_of_many_rows_are_those_of_each():
    factors, _, x, _, shortlist, rng = problem(2, n=700, reps=2)
    found = rerank.scores(factors, x, shortlist)
    for i in (0, 1, 255, 256, 350, 698, 699):
        assert np.array_equal(found[i:i + 1], rerank.scores(factors, sparse.take(x, [i]), shortlist[i:i + 1]))


def test_empty_places_are_never_read():
    factors, state, x, y, shortlist, _ = problem(4, n_labels=8)
    y = [[k for k in own if k < 7] for own in y]
    factors.labels[:, 7] = np.nan  # where -1 would lead
    shortlist[shortlist == 7] = 6
    shortlist[:, 0] = -1
    found = rerank.scores(factors, x, shortlist)
    assert (found[shortlist < 0] == -np.inf).all() and np.isfinite(found[shortlist >= 0]).all()
    loss = rerank.train(factors, state, x, rows_of(y, 8), shortlist, np.arange(6), lr=0.3, near=9, far=0, seed=0)
    assert np.isfinite(loss) and np.isfinite(factors.labels[:, :7]).all() and np.isfinite(factors.features).all()
    assert (state.labels[:, 7] == np.float32(rerank.START)).all()


def test_only_labels_and_features_of_the_step_change():
    factors, state, x, y, shortlist, _ = problem(8, n_labels=30, columns=20)
    i = next(i for i in range(6) if y[i] and x.indptr[i + 1] > x.indptr[i])
    before = copied(factors, state)
    rerank.train(factors, state, x, rows_of(y, 30), shortlist, [i], lr=0.3, near=6, far=0, seed=0)
    allowed = set(y[i]) | set(shortlist[i].tolist())
    for k in range(30):
        moved = not np.array_equal(factors.labels[0, k], before[0].labels[0, k])
        assert moved == (state.labels[0, k] != before[1].labels[0, k])
        assert k in allowed or not moved
    assert not np.array_equal(factors.labels, before[0].labels)
    changed = (factors.features[0] != before[0].features[0]).any(axis=1)
    assert np.flatnonzero(changed).tolist() == x.indices[x.indptr[i]:x.indptr[i + 1]].tolist()


@pytest.mark.parametrize("cells", [None, 5])
def test_repetitions_together_are_repetitions_one_by_one(cells):
    factors, state, x, y, shortlist, _ = problem(1, reps=3, cells=cells)
    apart = [copied(factors, state, slice(r, r + 1)) for r in range(3)]
    loss = rerank.train(factors, state, x, rows_of(y), shortlist, np.arange(6), lr=0.3, seed=5)
    losses = [rerank.train(*pair, x, rows_of(y), shortlist, np.arange(6), lr=0.3, seed=5) for pair in apart]
    for r, (own, slots) in enumerate(apart):
        assert np.array_equal(factors.features[r], own.features[0]) and np.array_equal(factors.labels[r], own.labels[0])
        assert same([a[r] for a in state], [a[0] for a in slots])
    assert loss == pytest.approx(sum(losses) / 3)
    assert not np.array_equal(factors.features[0], factors.features[1])


def test_first_repetitions_do_not_depend_on_their_number():
    few, many = rerank.init(9, 4, dim=16, reps=1, seed=3), rerank.init(9, 4, dim=16, reps=3, seed=3)
    assert np.array_equal(few.features[0], many.features[0]) and few.seeds[0] == many.seeds[0]


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one thread")
def test_same_bits_for_any_number_of_threads():
    results = []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        try:
            factors, state, x, y, shortlist, rng = problem(6, n=60, reps=3)
            loss = rerank.train(factors, state, x, rows_of(y), shortlist, rng.permutation(60), lr=0.3, seed=5)
            packed = rerank.pack(factors)
            results.append([factors.features, factors.labels, *state, np.array(loss), rerank.scores(factors, x, shortlist),
                            rerank.scores(packed, x, shortlist), packed.features, packed.label_scales])
        finally:
            numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert same(*results)


def test_passes_learn_which_labels_belong_to_which_features():
    n_labels = 12
    x = sparse.rows([[i % n_labels, n_labels + i % 5] for i in range(240)])
    y = sparse.rows([[i % n_labels] for i in range(240)], n_labels)
    factors = rerank.init(x.width, n_labels, dim=16, reps=1, seed=0)
    state, losses = rerank.slots(factors), []
    for epoch in range(3):
        losses.append(rerank.train(factors, state, x, y, None, np.arange(240), lr=0.35, near=0, far=6, seed=epoch))
    assert losses[0] > losses[1] > losses[2] and losses[2] < 0.2
    everything = np.tile(np.arange(n_labels, dtype=np.int32), (240, 1))
    for own in (factors, rerank.pack(factors)):
        assert (rerank.scores(own, x, everything).argmax(1) == np.arange(240) % n_labels).all()


@given(SEEDS)
@settings(max_examples=20)
def test_packing_is_off_by_at_most_half_a_step(seed):
    factors = problem(seed, reps=2)[0]
    factors.labels[1, 2] = 0
    factors.features[0, 1] *= np.float32(1e-30)
    packed = rerank.pack(factors)
    for table, numbers, scales in ((factors.features, packed.features, packed.feature_scales),
                                   (factors.labels, packed.labels, packed.label_scales)):
        error = np.abs(numbers.astype(np.float64) * scales[:, :, None] - table)
        assert (error <= np.abs(table).max(2, keepdims=True) / 127 * 0.50001).all()
        assert (np.abs(numbers.astype(int)).max(2) == np.where((table != 0).any(2), 127, 0)).all()
    assert packed.label_scales[1, 2] == 0


def test_packed_scores_are_those_of_the_rounded_vectors():
    factors, _, x, _, shortlist, _ = problem(3, reps=2, dim=80, cells=5)
    packed = rerank.pack(factors)
    rounded = factors._replace(features=packed.features * packed.feature_scales[:, :, None],
                               labels=packed.labels * packed.label_scales[:, :, None])
    np.testing.assert_allclose(rerank.scores(packed, x, shortlist), rerank.scores(rounded, x, shortlist), rtol=1e-4, atol=1e-5)


def test_rows_with_hundreds_of_labels():
    factors, state, _, _, _, _ = problem(0, n_labels=400)
    x, y = sparse.rows([[0, 3], [2]], 9), sparse.rows([list(range(390)), [1]], 400)
    wanted = as_lists(factors, state, 0)
    key = naive_hashing.mix(int(factors.seeds[0]), 0)
    naive.train(*wanted, key, 0, 9, pairs(x), [list(range(390)), [1]], [[-1], [399]], [0, 1], 0.3, 0.3, 2, 3)
    rerank.train(factors, state, x, y, np.array([[-1], [399]]), [0, 1], lr=0.3, near=2, far=3, seed=0)
    for a, b in zip(as_lists(factors, state, 0), wanted):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_rows_without_features_or_labels_are_passed_over():
    factors, state, _, _, _, _ = problem(0)
    before = copied(factors, state)
    x, y = sparse.rows([[], [2], []], 9), rows_of([[1], [], []])
    assert rerank.train(factors, state, x, y, np.full((3, 2), 4), [0, 1, 2], lr=0.3, seed=0) == 0.0
    assert same(factors[:2], before[0][:2]) and same(state, before[1])
    assert rerank.scores(factors, x, np.array([[3], [-1], [-1]], np.int32)).ravel().tolist()[0::2] == [0.0, -math.inf]


def test_mean_loss_counts_only_the_rows_that_are_used():
    losses = []
    for extra in ([], [1]):
        factors, state, _, _, _, _ = problem(0)
        x, y = sparse.rows([[3], []], 9), rows_of([[1], [2]])
        losses.append(rerank.train(factors, state, x, y, None, [0] + extra, lr=0.3, near=0, seed=0))
    assert losses[0] == losses[1] > 0


def test_shortlists_without_any_label_and_no_rows_at_all():
    factors, state, x, y, _, _ = problem(7)
    nothing = np.full((6, 3), -1, np.int32)
    with_draws = copied(factors, state)
    rerank.train(factors, state, x, rows_of(y), nothing, np.arange(6), lr=0.3, near=4, far=0, seed=0)
    rerank.train(*with_draws, x, rows_of(y), None, np.arange(6), lr=0.3, near=0, far=0, seed=0)
    assert same(factors[:2], with_draws[0][:2])
    assert (rerank.scores(factors, x, nothing) == -np.inf).all()
    empty = sparse.Rows(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), 9)
    assert rerank.scores(factors, empty, np.empty((0, 4), np.int32)).shape == (0, 4)
    assert rerank.scores(factors, x, np.empty((6, 0), np.int32)).shape == (6, 0)
    assert rerank.train(factors, state, empty, empty._replace(width=7), None, [], lr=0.3, near=0, seed=0) == 0.0


def test_initial_factors():
    factors = rerank.init(200, 5, dim=64, reps=2, cells=50, seed=4)
    assert (factors.features.shape, factors.labels.shape, factors.columns) == ((2, 50, 64), (2, 5, 64), 200)
    assert 0.11 < np.abs(factors.features).max() <= 0.125 and abs(factors.features.mean()) < 0.01
    assert not factors.labels.any()
    assert factors.features.ctypes.data % 64 == 0 and factors.labels.ctypes.data % 64 == 0
    assert factors.seeds.tolist() == naive_hashing.seeds(2, 4)
    assert all((own == np.float32(0.1)).all() for own in rerank.slots(factors))
    assert rerank.init(20, 5, cells=50).features.shape[1] == 20
    assert not np.array_equal(factors.features[0], factors.features[1])


def test_other_seeds_give_other_draws():
    found = []
    for seed in (0, 1):
        factors, state, x, y, shortlist, _ = problem(6)
        rerank.train(factors, state, x, rows_of(y), shortlist, np.arange(6), lr=0.3, seed=seed)
        found.append(factors.labels)
    assert not np.array_equal(*found)


def test_lanes():
    numbers = np.random.default_rng(0).normal(size=40).astype(np.float32)
    small = np.arange(-20, 20).astype(np.int8)

    @numba.njit
    def sums(numbers, small):
        return vector.total(vector.load(numbers, 3)), vector.total(vector.load(small, 5))

    found = sums(numbers, small)
    halves = numbers[3:19]
    while halves.size > 1:
        halves = halves[:halves.size // 2] + halves[halves.size // 2:]
    assert found == (halves[0], small[5:21].sum())
