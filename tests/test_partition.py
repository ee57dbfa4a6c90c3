"""Learned buckets: plain twins of the sums and of the power of k choices, balance, labels without rows, threads, a planted set."""
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import LOSSES, problem, rows_of
from naive import partition as naive

from sketchxc import lookup, mach, optim, partition, shallow, sparse

AS_PYTHON = bool(numba.config.DISABLE_JIT)
pytestmark = pytest.mark.usefixtures("one_thread")


def rows_with(y, n_labels=12):
    """For every label the rows that have it."""
    return [[i for i, own in enumerate(y) if label in own] for label in range(n_labels)]


@st.composite
def choices_of_labels(draw):
    """A lookup, the best buckets of every label in random order, and its rows, some of them 0."""
    reps, n_labels, buckets = draw(st.integers(1, 3)), draw(st.integers(1, 30)), draw(st.integers(1, 7))
    choices = draw(st.integers(1, buckets))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    best = np.array([[rng.permutation(buckets)[:choices] for _ in range(n_labels)] for _ in range(reps)])
    return lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=draw(st.integers(0, 99))), best, rng.integers(0, 6, n_labels)


@LOSSES
@pytest.mark.parametrize("how", ["logit", "mean", "log"])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), choices=st.integers(1, 9))
def test_affinities_are_sums_over_the_rows_of_a_label(loss, how, seed, choices):
    model, x, y, _ = problem(seed, loss=loss)
    best, sums = partition.affinities(model, x, rows_of(y), choices, how=how)
    assert best.shape == sums.shape == (3, 12, min(choices, 5))
    assert (best.dtype, sums.dtype) == (np.int32, np.float32)
    for logits, found, values in zip(mach.bucket_scores(model, x).tolist(), best.tolist(), sums.tolist()):
        totals = naive.affinities(logits, rows_with(y), how, loss == "softmax")
        for own, buckets, value, wanted in zip(totals, found, values, naive.best(totals, choices)):
            assert len(set(buckets)) == len(buckets)
            np.testing.assert_allclose(value, [own[b] for b in wanted], rtol=1e-4, atol=1e-4)  # equal ones may change places
            np.testing.assert_allclose(value, [own[b] for b in buckets], rtol=1e-4, atol=1e-4)


def test_equal_affinities_are_in_the_order_of_the_buckets():
    model, x, _, _ = problem(1)
    best, sums = partition.affinities(model, x, rows_of([[]] * 9), 4)
    assert (best == np.arange(4)).all() and not sums.any()


def test_affinities_do_not_depend_on_the_blocks():
    model, x, y, _ = problem(2, n=600, n_labels=300, columns=20)
    whole = partition.affinities(model, x, rows_of(y, 300), 3)
    parts = partition.affinities(model, x, rows_of(y, 300), 3, memory=1)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts))


@given(choices_of_labels(), st.sampled_from(partition.LOADS))
def test_assignment_is_that_of_the_twin(case, load):
    own, best, counts = case
    found = partition.assign(own, best, counts, load=load)
    before = lookup.label_buckets(own)
    assert found.table.tolist() == [naive.assign(before[r].tolist(), best[r].tolist(), counts.tolist(), own.buckets, load)
                                    for r in range(own.reps)]
    assert (found.table.dtype, found.table.shape, found.buckets) == (np.int32, (own.reps, own.n_labels), own.buckets)
    assert (found.table == before)[:, counts == 0].all()
    assert np.array_equal(partition.assign(found, best, counts, load=load).table, found.table)  # nothing moves twice


@given(choices_of_labels())
def test_one_choice_is_the_best_bucket(case):
    own, best, counts = case
    found = partition.assign(own, best[:, :, :1], counts).table
    assert (found == best[:, :, 0])[:, counts > 0].all()


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 2**32))
def test_all_choices_make_equal_loads(n_labels, buckets, seed):
    rng = np.random.default_rng(seed)
    best = np.array([[rng.permutation(buckets) for _ in range(n_labels)] for _ in range(2)])
    found = partition.assign(lookup.hashed(n_labels, reps=2, buckets=buckets), best, rng.integers(1, 9, n_labels)).table
    loads = np.stack([np.bincount(row, minlength=buckets) for row in found])
    assert (np.ptp(loads, axis=1) <= 1).all() and (loads.sum(axis=1) == n_labels).all()


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_one_choice_has_at_least_the_affinity_of_the_hashed_buckets(seed):
    model, x, y, _ = problem(seed)
    labels = rows_of(y)
    best, sums = partition.affinities(model, x, labels, 5)
    new = partition.repartition(model, x, labels, choices=1)
    kept = [np.take_along_axis(sums, (best == table[:, :, None]).argmax(axis=2)[:, :, None], 2)[:, :, 0]
            for table in (lookup.label_buckets(model.lookup), new.table)]
    assert (kept[1] >= kept[0]).all()


def test_repartition_is_affinities_and_assignment():
    model, x, y, _ = problem(5)
    labels = rows_of(y)
    best, _ = partition.affinities(model, x, labels, 3, how="logit")
    wanted = partition.assign(model.lookup, best, sparse.column_counts(labels), load="rows")
    found = partition.repartition(model, x, labels, choices=3, load="rows", how="logit")
    assert np.array_equal(found.table, wanted.table) and not model.lookup.table.size


def test_nets_move_their_labels_too():
    _, x, y, _ = problem(6)
    model = shallow.init(7, lookup.hashed(12, reps=3, buckets=5), hidden=(4,))
    best, _ = partition.affinities(model, x, rows_of(y), 2, how="logit")
    scores = shallow.bucket_scores(model, x)
    totals = [naive.affinities(logits, rows_with(y), "logit") for logits in scores.tolist()]
    assert best.tolist() == [naive.best(own, 2) for own in totals]


@pytest.mark.compiled
def test_learned_buckets_are_easier_and_as_even():
    """300 labels of 15 groups that share features: alike labels meet, so a row's own bucket is more often the best one."""
    def planted(n, seed):
        rng = np.random.default_rng(seed)
        y = rng.integers(300, size=n)
        own = [[120 + int(label)] if rng.random() < 0.5 else [] for label in y]
        x = [sorted((label % 15 * 8 + rng.choice(8, 3, replace=False)).tolist()) + extra for label, extra in zip(y, own)]
        return sparse.rows(x, 420), sparse.rows([[int(label)] for label in y], 300)

    def hits(own):
        model, opt = mach.init(420, own), optim.sgd(5.0)
        state = mach.slots(opt, model)
        for _ in range(2):
            mach.train(model, opt, state, *train, np.arange(3000), batch=16)
        return model, (mach.bucket_scores(model, test[0]).argmax(axis=2) == lookup.label_buckets(own)[:, test[1].indices]).mean()

    train, test = planted(3000, 1), planted(1000, 2)
    hashed, before = hits(lookup.hashed(300, reps=4, buckets=32))
    learned = partition.repartition(hashed, *train, choices=4)
    _, after = hits(learned)
    loads = [max(np.bincount(row).max() for row in lookup.label_buckets(own)) for own in (hashed.lookup, learned)]
    assert after > before + 0.02 and loads[1] < loads[0]


@pytest.mark.parametrize("error, more, message", [
    (ValueError, dict(choices=0), "choices must be at least 1"),
    (ValueError, dict(how="median"), "how must be one of logit, mean, log"),
    (ValueError, dict(load="scores"), "load must be one of labels, rows"),
    (ValueError, dict(x=sparse.rows([[0]], 6)), "x must have 7 columns"),
    (ValueError, dict(labels=sparse.rows([[0]], 12)), "labels must have as many rows as x"),
])
def test_bad_arguments(error, more, message):
    model, x, y, _ = problem(7)
    with pytest.raises(error, match=message):
        partition.repartition(model, **(dict(x=x, labels=rows_of(y)) | more))


@pytest.mark.parametrize("best, counts, message", [
    ([[[0], [2]]], [1, 1], "best must hold buckets between 0 and 1"),
    ([[[0], [-1]]], [1, 1], "best must hold buckets between 0 and 1"),
    ([[[0]]], [1, 1], "must be of 1 repetitions and 2 labels"),
    ([[[0], [1]]], [1], "must be of 1 repetitions and 2 labels"),
    (np.empty((1, 2, 0), np.int32), [1, 1], "must be of 1 repetitions and 2 labels"),
])
def test_bad_choices(best, counts, message):
    with pytest.raises(ValueError, match=message):
        partition.assign(lookup.hashed(2, reps=1, buckets=2), best, counts)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2 or AS_PYTHON, reason="needs two threads")
def test_any_thread_count_gives_the_same_bytes():
    model, x, y, _ = problem(8, n=500, n_labels=200, columns=30)

    def bits():
        labels = rows_of(y, 200)
        return [a.tobytes() for a in (*partition.affinities(model, x, labels, 3), partition.repartition(model, x, labels).table)]
    one = bits()
    numba.set_num_threads(2)
    assert bits() == one
    numba.set_num_threads(1)
