"""Hashed embeddings: naive twins, NumPy, laws of shared tables, threads, defects of other libraries by name, edges, bad input."""
import numba
import numpy as np
import pandas as pd
import pytest
from conftest import AS_PYTHON
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import embed as naive
from strategies import SEEDS

from sketchxc import embed, frame, hashing, optim, sparse

KEYS = st.integers(0, 2**64 - 1)
QUARTERS = st.integers(-8, 8).map(lambda n: n / 4)  # sums of their products are exact in float32
FEW = settings(max_examples=10 if AS_PYTHON else 60)


@st.composite
def problems(draw):
    """(table, keys, indptr, weights or None, how, seeds or None, slopes)."""
    size, d, n = draw(st.integers(1, 9)), draw(st.sampled_from([1, 3, 16, 18])), draw(st.integers(0, 5))
    lengths = draw(st.lists(st.sampled_from([0, 1, 2, 4]), min_size=n, max_size=n))
    seeds = draw(st.none() | st.lists(KEYS, min_size=1, max_size=3))
    keys = draw(st.lists(KEYS if seeds else st.integers(0, size - 1), min_size=sum(lengths), max_size=sum(lengths)))
    each = len(seeds) if seeds else 1
    weights = draw(st.none() | st.lists(st.lists(QUARTERS, min_size=each, max_size=each), min_size=len(keys), max_size=len(keys)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    how = draw(st.sampled_from(["sum", "mean"])) if weights is None else "sum"
    return (rng.integers(-8, 9, (size, d)) / 4, keys, np.cumsum([0, *lengths]).tolist(), weights, how, seeds,
            rng.integers(-8, 9, (n, d)) / 4)


def run(table, keys, indptr, weights, how, seeds, _):
    keys = np.array(keys, np.int64 if seeds is None else np.uint64)
    weights = None if weights is None else np.array(weights).reshape(keys.size, 1 if seeds is None else len(seeds))
    return embed.bag(table.astype(np.float32), keys, indptr, weights, how=how, seeds=None if seeds is None else np.array(seeds, np.uint64))


@FEW
@given(problems())
def test_bags_and_gradients_match_the_naive_twin(case):
    table, keys, indptr, weights, how, seeds, slopes = case
    out, seen = run(*case)
    bags = naive.lookups(keys, indptr, weights, how, seeds, len(table))
    assert out.dtype == np.float32 and out.shape == slopes.shape and seen.ids.tolist() == [i for pairs in bags for i, _ in pairs]
    np.testing.assert_allclose(out, np.array(naive.bag(table, bags)).reshape(out.shape), rtol=1e-6, atol=1e-6)
    rows, sums = embed.bag_grads(seen, slopes)
    wanted = naive.bag_grads(bags, slopes.tolist())
    assert rows.tolist() == sorted(wanted) and rows.dtype == np.int64 and sums.dtype == np.float32
    np.testing.assert_allclose(sums, np.array([wanted[i] for i in sorted(wanted)]).reshape(sums.shape), rtol=1e-6, atol=1e-6)
    found = embed.weight_grads(seen, table.astype(np.float32), slopes)
    np.testing.assert_allclose(found, naive.weight_grads(bags, table, slopes), rtol=1e-5, atol=1e-5)


def drawn(bags=300, size=50, d=20, seed=0):
    rng = np.random.default_rng(seed)
    indptr = np.cumsum([0, *rng.integers(0, 30, bags)])
    return rng.standard_normal((size, d), np.float32), rng.integers(0, size, indptr[-1]), indptr, rng.standard_normal((bags, d), np.float32)


def test_gradient_is_numpy_add_at():
    table, ids, indptr, slopes = drawn(30)
    owners = np.repeat(np.arange(30), np.diff(indptr))
    wanted = np.zeros(table.shape)
    np.add.at(wanted, ids, slopes[owners].astype(float))
    rows, sums = embed.bag_grads(embed.bag(table, ids, indptr)[1], slopes)
    assert rows.tolist() == np.unique(ids).tolist()
    np.testing.assert_allclose(sums, wanted[rows], rtol=1e-4, atol=1e-5)
    again = sparse.coalesce(ids, slopes[owners])
    assert np.array_equal(rows, again[0]) and np.array_equal(sums, again[1])  # the same order of every sum
    out = embed.bag(table, ids, indptr)[0]
    assert np.isclose((out * slopes).sum(), (table[rows] * sums).sum(), rtol=1e-4)  # <bag(T), G> = <T, bag_grads(G)>


@pytest.mark.parametrize("depth", [1, 2])
def test_every_block_of_bags_hashes_its_own_keys(depth):
    """Enough bags for several blocks."""
    table, keys, seeds = drawn(1)[0], np.arange(100, dtype=np.uint64) << np.uint64(40), hashing.seeds(depth, 3)
    out, seen = embed.bag(table, keys, seeds=seeds)
    wanted = hashing.buckets(keys, seeds, table.shape[0]).T
    assert np.array_equal(seen.ids.reshape(100, depth), wanted)
    np.testing.assert_allclose(out, table[wanted].sum(1), rtol=1e-5, atol=1e-6)


def test_slopes_of_tables_and_of_learned_weights_are_differences():
    """Several hashed rows for each key with a weight for each (hash embeddings): exact, because bags are linear in both."""
    rng = np.random.default_rng(1)
    table, weights, slopes = (rng.integers(-8, 9, shape).astype(np.float32) / 4 for shape in ((5, 3), (6, 2), (4, 3)))
    keys, indptr, seeds = rng.integers(0, 2**40, 6), [0, 2, 2, 5, 6], hashing.seeds(2, 3)
    out, seen = embed.bag(table, keys, indptr, weights, seeds=seeds)
    rows, sums = embed.bag_grads(seen, slopes)
    whole = np.zeros_like(table)
    whole[rows] = sums
    for argument, wanted in ((table, whole), (weights, embed.weight_grads(seen, table, slopes).reshape(weights.shape))):
        for place in np.ndindex(argument.shape):
            argument[place] += 1
            assert ((embed.bag(table, keys, indptr, weights, seeds=seeds)[0] - out) * slopes).sum() == wanted[place]
            argument[place] -= 1


def test_rows_beyond_one_pass_of_the_sort():
    size = 3000 if AS_PYTHON else 2**23 + 5
    ids = np.random.default_rng(0).integers(0, size, 500)
    ids[:6] = [size - 1, 0, 2047, 2048, size - 1, 0]
    rows, sums = embed.bag_grads(embed.Lookups(np.arange(501), ids.astype(np.int32), np.ones(500, np.float32), size), np.ones((500, 1)))
    wanted = np.unique(ids, return_counts=True)
    assert np.array_equal(rows, wanted[0]) and np.array_equal(sums[:, 0], wanted[1])


def test_hashing_beforehand_gives_the_same_bags():
    table, keys, indptr, slopes = drawn(20)
    seeds = hashing.seeds(3, 5)
    out, seen = embed.bag(table, keys, indptr, seeds=seeds)
    ids = hashing.buckets(keys, seeds, len(table)).T.reshape(-1)
    same, _ = embed.bag(table, ids, indptr * 3)
    assert np.array_equal(seen.ids, ids) and np.array_equal(out, same)
    ones, _ = embed.bag(table, ids)
    assert np.array_equal(ones, table[ids])


@pytest.mark.skipif(AS_PYTHON, reason="threads are compiled code's")
def test_bits_do_not_depend_on_the_number_of_threads():
    table, keys, indptr, slopes = drawn(3000, 2000)
    found = []
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        weights = table.copy()
        state = optim.slots(optim.adam(), weights.shape)
        out, seen = embed.bag(weights, keys, indptr, how="mean", seeds=hashing.seeds(2, 1))
        rows, sums = embed.bag_grads(seen, slopes)
        embed.step(optim.adam(), state, weights, rows, sums)
        found.append([out, rows, sums, weights, *state, embed.weight_grads(seen, table, slopes)])
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert all(np.array_equal(a, b) for a, b in zip(*found))


# ---- ids

@given(st.lists(st.lists(KEYS, min_size=3, max_size=3), max_size=5), st.lists(st.integers(1, 4), min_size=3, max_size=3), SEEDS,
       st.sampled_from([1, 7, 2**31 - 1]))
def test_feature_ids_match_the_naive_twin(values, chunks, seed, size):
    names = ["age", "city", "höhe"]
    seeds, features = embed.feature_seeds(names, chunks, seed)
    own = naive.feature_seeds(names, chunks, seed % 2**64)
    assert seeds.tolist() == sum(own, []) and features.tolist() == [f for f, count in enumerate(chunks) for _ in range(count)]
    found = embed.feature_ids(np.array(values, np.uint64).reshape(-1, 3), seeds, features, size)
    assert found.tolist() == naive.feature_ids(values, own, size) and found.dtype == np.int32


def test_tfrs_salts_depended_on_the_order_of_the_features():
    """A feature keeps its ids beside others and in any order."""
    values = np.random.default_rng(0).integers(0, 2**40, (20, 3))
    whole = embed.feature_ids(values, *embed.feature_seeds(["a", "b", "c"], [2, 3, 1], seed=4), 10**6)
    turned = embed.feature_ids(values[:, [2, 0, 1]], *embed.feature_seeds(["c", "a", "b"], [1, 2, 3], seed=4), 10**6)
    assert np.array_equal(turned, whole[:, [5, 0, 1, 2, 3, 4]])
    alone = embed.feature_ids(values[:, 1:2], *embed.feature_seeds(["b"], 3, seed=4), 10**6)
    assert np.array_equal(alone, whole[:, 2:5])
    assert not np.array_equal(alone, embed.feature_ids(values[:, 1:2], *embed.feature_seeds(["b"], 3, seed=5), 10**6))


def test_tfrs_joined_chunk_10_before_chunk_2():
    few, many = (embed.feature_seeds(["a"], count, seed=0)[0] for count in (3, 12))
    assert np.array_equal(many[:3], few) and np.unique(many).size == 12


def test_dlrm_divided_in_float32():
    ids = np.r_[np.random.default_rng(0).integers(0, 2**40, 1000), 2**40, 40_000_003, 2**62 + 1, 0]
    for divisor in (1, 4, 997, 2**33):
        q, r = embed.quotient_remainder(ids, divisor)
        assert q.tolist() == [i // divisor for i in ids.tolist()] and r.tolist() == [i % divisor for i in ids.tolist()]


def test_cce_left_id_0_in_place_for_every_seed():
    found = [embed.feature_ids([[0]], *embed.feature_seeds(["a"], 1, seed=s), 1000)[0, 0] for s in range(20)]
    assert len(set(found)) > 15


def test_an_injective_map_gives_separate_tables():
    rng = np.random.default_rng(1)
    values, tables = rng.integers(0, 10, (30, 2)), [rng.standard_normal((10, 4), np.float32) for _ in range(2)]
    out, _ = embed.bag(np.concatenate(tables), (values + [0, 10]).reshape(-1))
    assert np.array_equal(out.reshape(30, 8), np.concatenate([t[values[:, f]] for f, t in enumerate(tables)], axis=1))


@given(st.lists(KEYS, max_size=8), st.lists(KEYS | st.sampled_from([0, 2**64 - 1]), max_size=8))
def test_dictionary(known, keys):
    found = embed.dictionary(np.array(known, np.uint64))
    assert found.tolist() == sorted(set(known))
    wanted = [sorted(set(known)).index(k) if k in known else len(set(known)) for k in keys]
    ids = embed.dictionary_ids(np.array(keys, np.uint64), found)
    assert ids.tolist() == wanted and ids.dtype == np.int32


@given(st.lists(KEYS, max_size=5), st.lists(KEYS, max_size=4))
def test_codes_match_the_naive_twin(keys, seeds):
    found = embed.codes(np.array(keys, np.uint64), np.array(seeds, np.uint64))
    assert found.tolist() == naive.codes(keys, seeds) and found.dtype == np.float32 and found.shape == (len(keys), len(seeds))


@pytest.mark.skipif(AS_PYTHON, reason="large")
def test_codes_are_distinct_uniform_and_uncorrelated():
    found = embed.codes(np.arange(100_000), hashing.seeds(8, 3)).astype(np.float64)
    assert np.unique(found, axis=0).shape == found.shape
    assert abs(found.mean(0)).max() < 6 / np.sqrt(3e5) and abs(found.var(0) - 1 / 3).max() < 6 * np.sqrt(4 / 45 / 1e5)
    assert abs(np.corrcoef(found.T) - np.eye(8)).max() < 6 / np.sqrt(1e5)


# ---- pandas

def test_categories_of_a_frame():
    table = pd.DataFrame({"a": ["x", "y", None, "x"], "b": pd.Categorical(["x", "x", "z", "z"]), "c": [1, 2, 1, 3]})
    keys, names = frame.frame_keys(table)
    assert names == ["a", "b", "c"] and keys.dtype == np.uint64 and keys[2, 0] == 0 and np.count_nonzero(keys) == 11
    assert keys[0, 0] == keys[3, 0] and len(set(keys[:, 2].tolist())) == 3 and keys[0, 0] != keys[0, 1]
    other, _ = frame.frame_keys(table.iloc[::-1], ["c", "a"])
    assert np.array_equal(other, keys[::-1, [2, 0]])
    ids = embed.unified_ids(table, chunks=[1, 2, 1], size=100, seed=3)
    assert np.array_equal(ids, embed.feature_ids(keys, *embed.feature_seeds(names, [1, 2, 1], 3), 100))
    with pytest.raises(TypeError, match="frame must be a pandas DataFrame, not list"):
        frame.frame_keys([1])


# ---- steps

@pytest.mark.parametrize("opt", [optim.sgd(0.3), optim.momentum(0.2), optim.adagrad(0.1), optim.adam(0.05)], ids=str)
def test_steps_change_only_the_given_rows(opt):
    rng = np.random.default_rng(2)
    start = rng.standard_normal((40, 5), np.float32)
    whole, part = start.copy(), start.copy()
    states = [optim.slots(opt, start.shape) for _ in range(2)]
    rows = np.arange(1, 40, 2)
    for _ in range(3):
        slopes = rng.standard_normal((40, 5), np.float32)
        slopes[::2] = 0
        embed.step(opt, states[0], whole, None, slopes)
        embed.step(opt, states[1], part, rows, slopes[rows])
    assert np.array_equal(whole, part) and np.array_equal(part[::2], start[::2]) and not (part[1::2] == start[1::2]).any()
    assert all(np.array_equal(a, b) for a, b in zip(*states)) and states[0].steps.tolist() == [3]


def test_nothing_at_all():
    empty = np.empty((0, 4), np.float32)
    out, seen = embed.bag(np.ones((3, 4), np.float32), [], [0, 0, 0])
    assert not out.any() and out.shape == (2, 4)
    rows, sums = embed.bag_grads(seen, out)
    assert rows.size == 0 and sums.shape == (0, 4)
    assert embed.bag(empty, [])[0].shape == (0, 4)
    assert embed.feature_ids(np.empty((2, 0), np.uint64), *embed.feature_seeds([], 1, 0), 5).shape == (2, 0)
    assert embed.init(3, 16, seed=1).ctypes.data % 64 == 0 and embed.init(2000, 16, seed=1).std() == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(embed.init(3, 4, seed=1, scale=1), embed.init(3, 4, seed=1) * 2)


TABLE = np.ones((3, 2), np.float32)
SEEN = embed.Lookups(np.array([0, 1]), np.zeros(1, np.int32), np.ones(1, np.float32), 3)
ADAM = optim.adam()


@pytest.mark.parametrize("call, error, message", [
    (lambda: embed.init(0, 3, seed=0), ValueError, "n_rows must be between 1 and 2147483647, not 0"),
    (lambda: embed.feature_seeds(["a", "a"], 1, 0), ValueError, r"names must be distinct str, not \['a', 'a'\]"),
    (lambda: embed.feature_seeds([1], 1, 0), ValueError, r"names must be distinct str, not \[1\]"),
    (lambda: embed.feature_seeds(["a"], 0, 0), ValueError, "chunks must be at least 1, not 0"),
    (lambda: embed.feature_ids([1], [1], [0], 5), ValueError, r"values must have 2 axes, not shape \(1,\)"),
    (lambda: embed.feature_ids([[1]], [1], [1], 5), ValueError, "features must name one of the 1 columns of values for each"),
    (lambda: embed.feature_ids([[1]], [1], [0], 0), ValueError, "size must be between 1 and 2147483647, not 0"),
    (lambda: embed.quotient_remainder([-1], 2), ValueError, "ids must be at least 0, not -1"),
    (lambda: embed.quotient_remainder([1.5], 2), TypeError, "ids must hold integers, not float64"),
    (lambda: embed.codes([[1]], [1]), ValueError, r"keys and seeds must have 1 axis, not shapes \(1, 1\) and \(1,\)"),
    (lambda: embed.bag(TABLE.astype(float), [0]), TypeError, "table must be a float32 array with 2 axes, not float64"),
    (lambda: embed.bag(TABLE, [3]), ValueError, "keys must be row numbers of the table, 0 to 2, not 3 to 3"),
    (lambda: embed.bag(TABLE, [-1, 2]), ValueError, "keys must be row numbers of the table, 0 to 2, not -1 to 2"),
    (lambda: embed.bag(TABLE, [0.5]), TypeError, "keys must hold integers, not float64"),
    (lambda: embed.bag(TABLE[:0], [5, 6], seeds=[1]), ValueError, "table must have at least one row for keys that are hashed"),
    (lambda: embed.feature_seeds(["a", "b", "c"], [1, 2], 0), ValueError, "chunks must be one number or 3, one for each feature, not 2"),
    (lambda: embed.dictionary_ids([4, 9], [9, 4]), ValueError, "known must hold distinct keys that ascend"),
    (lambda: embed.dictionary_ids([4, 9], [4, 4]), ValueError, "known must hold distinct keys that ascend"),
    (lambda: embed.bag(TABLE, [0], seeds=[]), ValueError, "keys and seeds must have 1 axis and make less"),
    (lambda: embed.bag(TABLE, [0, 1], [0, 2, 1, 2]), ValueError, "indptr must ascend from 0 to the number of keys, 2"),
    (lambda: embed.bag(TABLE, [0], [0]), ValueError, "indptr must ascend from 0 to the number of keys, 1"),
    (lambda: embed.bag(TABLE, [0], how="max"), ValueError, "how must be one of sum, mean, not 'max'"),
    (lambda: embed.bag(TABLE, [0], weights=[1.0], how="mean"), ValueError, "weights must be None for a mean"),
    (lambda: embed.bag(TABLE, [0], weights=[1.0], seeds=[1, 2]), ValueError, r"weights must have shape \(1, 2\), one for each lookup"),
    (lambda: embed.bag_grads(SEEN, np.ones((2, 2))), ValueError, "grads must have one row for each of the 1 bags, not 2"),
    (lambda: embed.weight_grads(SEEN, TABLE, np.ones((1, 3))), ValueError, r"table must have shape \(3, 3\), not \(3, 2\)"),
    (lambda: embed.step(ADAM, optim.slots(ADAM, (3, 2)), TABLE[:, ::-1], [0], np.ones((1, 2))), ValueError, "table must be a writable"),
    (lambda: embed.step(ADAM, optim.slots(ADAM, (3, 1)), TABLE, [0], np.ones((1, 2))), ValueError, "state.m must have shape"),
    (lambda: embed.step(ADAM, optim.slots(ADAM, (3, 2)), TABLE, [0], np.ones((1, 1))), ValueError, r"grads must have shape \(1, 2\)"),
    (lambda: embed.step(ADAM, optim.slots(ADAM, (3, 2)), TABLE, [1, 1], np.ones((2, 2))), ValueError, "rows must be distinct and ascend"),
    (lambda: embed.step(ADAM, optim.slots(ADAM, (3, 2)), TABLE, [3], np.ones((1, 2))), ValueError, "rows must be distinct and ascend"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
