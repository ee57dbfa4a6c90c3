import subprocess
import sys

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from naive import sparse as naive
from strategies import SEEDS, SINGLES, pairs

from sketchxc import sparse
from sketchxc.sparse import Rows


def build(rows, width, dtypes=(np.int64, np.int32, np.float32)):
    """Rows of naive pairs, entries in the given order."""
    return Rows(np.cumsum([0] + [len(row) for row in rows]).astype(dtypes[0]), np.array([c for row in rows for c, _ in row], dtypes[1]),
                np.array([v for row in rows for _, v in row], dtypes[2]), width)


def lists(x):
    """Naive pairs of Rows, after a look at the types."""
    assert [a.dtype for a in x[:3]] == [np.int64, np.int32, np.float32] and all(a.flags.c_contiguous for a in x[:3])
    assert x.indptr[0] == 0 and x.indptr[-1] == x.indices.size == x.values.size and type(x.width) is int
    return [list(zip(x.indices[a:b].tolist(), x.values[a:b].tolist())) for a, b in zip(x.indptr, x.indptr[1:])]


def matrix(rows, width):
    out = np.zeros((len(rows), width))
    for i, row in enumerate(rows):
        for column, value in row:
            out[i, column] += value
    return out


# ---- rows

@given(pairs(distinct=False), st.sampled_from(["csr", "csc", "coo", "lil", "dok", "bsr"]), st.sampled_from([np.float32, np.float64]))
def test_rows_from_scipy(case, kind, dtype):
    rows, width = case
    coo = sp.coo_array((np.array([v for row in rows for _, v in row], dtype), (np.repeat(np.arange(len(rows)), [len(r) for r in rows]),
                        np.array([c for row in rows for c, _ in row], np.int64))), shape=(len(rows), width))
    if kind in ("csr", "coo"):  # csr below holds unsorted repeated entries and zeros; the other formats sum in their own precision
        x = build(rows, width)
        made = sp.csr_array((x.values.astype(dtype), x.indices, x.indptr), shape=(len(rows), width)) if kind == "csr" else coo
        before = made.data.copy()
        out = sparse.rows(made)
        assert np.array_equal(made.data, before)
        if kind == "csr":
            assert lists(out) == naive.rows(rows)
    else:
        out = sparse.rows(coo.asformat(kind))
    got = lists(out)
    assert all(c < d for row in got for (c, _), (d, _) in zip(row, row[1:])) and all(v != 0 for row in got for _, v in row)
    np.testing.assert_allclose(matrix(got, width), matrix(rows, width), rtol=1e-5, atol=1e-3)


@given(pairs(), st.sampled_from(["C", "F"]), st.sampled_from([np.float32, np.float64, ">f4"]))
def test_rows_from_dense(case, order, dtype):
    rows, width = case
    out = sparse.rows(np.asarray(matrix(rows, width), dtype, order=order))
    assert lists(out) == naive.rows(rows) and out.width == width


@given(pairs(), st.booleans())
def test_rows_from_rows_sorts_and_keeps_zeros(case, check):
    rows, width = case
    expected = naive.rows(rows, drop=False)
    assert lists(sparse.rows(build(rows, width, (np.int32, np.int64, np.float64)))) == expected
    canonical = build(expected, width)
    out = sparse.rows(canonical, check=check)
    assert all(a is b for a, b in zip(out[:3], canonical[:3]))


def test_rows_from_label_lists():
    assert lists(sparse.rows([[7, 3], (), np.array([1])])) == [[(3, 1), (7, 1)], [], [(1, 1)]]
    assert sparse.rows([[7, 3], [], [1]]).width == 8 and sparse.rows([[7]], width=10).width == 10
    assert sparse.rows([]).indptr.tolist() == [0] and sparse.rows([]).width == 0 and sparse.rows([[], []], width=3).width == 3


def test_rows_sums_to_zero_and_beyond_float32():
    twice = sp.csr_array((np.array([1.0, 2.0, -1.0]), np.array([4, 0, 4]), np.array([0, 3])), shape=(1, 5))
    assert lists(sparse.rows(twice)) == [[(0, 2.0)]]
    twice.data[:] = 3e38
    with pytest.raises(ValueError, match="row 0, column 4.*finite"):
        sparse.rows(twice)


@pytest.mark.parametrize("n", [3, 300])
def test_repeated_columns_are_summed_in_their_order(n):
    """1e20 - 1e20 + 1 is 1 in float64 in this order and 0 in others; both kinds of row sort see it."""
    columns = np.append(np.repeat(np.random.default_rng(0).permutation(np.arange(n) % 3), 3), 0)
    values = np.append(np.tile([1e20, -1e20, 1], columns.size // 3), 7)
    x = sparse.rows(sp.csr_array((values, columns, np.array([0, values.size])), shape=(1, 3)))
    assert lists(x) == naive.rows([list(zip(columns.tolist(), values.tolist()))])


def test_rows_with_spare_room_in_scipy():
    x = sp.csr_array((np.ones(5), np.array([0, 1, 2, 0, 1]), np.array([0, 2, 5])), shape=(2, 3))
    x.indptr[2] = 3
    assert lists(sparse.rows(x)) == [[(0, 1), (1, 1)], [(2, 1)]]


@pytest.mark.parametrize("x, width, error, words", [
    ([1, 2], None, TypeError, "feed must be a list with one list"),
    ([[0.5]], None, TypeError, "feed must hold lists of integers, not of float64"),
    ([["a"]], None, TypeError, "feed must hold lists of integers"),
    ([[True]], None, TypeError, "feed must hold lists of integers, not of bool"),
    ("text", None, TypeError, "feed must be a scipy sparse matrix.*not str"),
    (np.array([["a"]]), None, TypeError, "feed must hold numbers"),
    (np.ones(3), None, ValueError, r"feed must have 2 axes, not shape \(3,\)"),
    (np.array([[0, 1], [np.nan, 1]]), None, ValueError, "feed row 1, column 0: the value must be finite in float32, not nan"),
    (np.array([[0, 1e39]]), None, ValueError, "feed row 0, column 1: .* not inf"),
    (np.array([[0, 1]]), 1, ValueError, "feed row 0 holds column 1, which is outside the width 1"),
    (sp.coo_array(([1.0], ([2], [4]))), 4, ValueError, "feed row 2 holds column 4, which is outside the width 4"),
    (sp.coo_array(([1j], ([2], [4]))), None, TypeError, "feed.values must hold numbers, not complex128"),
    ([[0], [3, -1]], None, ValueError, "feed row 1 holds column -1"),
    ([[0], [2**32]], 5, ValueError, "feed row 1 holds column 4294967296"),
    ([[0], [2, 5, 2]], None, ValueError, "feed row 1 holds column 2 twice"),
    ([[0], []], -1, ValueError, "width must be between 0 and"),
    ([[0], []], 2**31, ValueError, "width must be between 0 and"),
    ([[0], []], 1.5, TypeError, "width must be an integer"),
    (build([[(0, 1)], [(2, 1), (2, 1)]], 3), None, ValueError, "feed row 1 holds column 2 twice"),
    (build([[(0, 1)], [(2, np.inf)]], 3), None, ValueError, "feed row 1, column 2"),
    (build([[(0, 1)], [(3, 1)]], 3), None, ValueError, "feed row 1 holds column 3"),
    (build([[(0, 1)], [(-1, 1)]], 3), None, ValueError, "feed row 1 holds column -1"),
    (Rows(np.array([0, 2, 1, 3]), np.arange(3), np.ones(3), 3), None, ValueError, "feed.indptr must not descend, as it does after row 1"),
    (Rows(np.array([0, 2]), np.arange(3), np.ones(3), 3), None, ValueError, "feed.indptr must run from 0"),
    (Rows(np.array([1, 3]), np.arange(3), np.ones(3), 3), None, ValueError, "feed.indptr must run from 0"),
    (Rows(np.array([], int), np.arange(0), np.ones(0), 3), None, ValueError, "feed.indptr must run from 0"),
    (Rows(np.array([0, 3]), np.arange(2), np.ones(3), 3), None, ValueError, "feed.indptr must run from 0"),
    (Rows(np.array([0, 1]), np.array([0.5]), np.ones(1), 3), None, TypeError, "feed.indices must hold integers"),
])
def test_rows_rejects(x, width, error, words):
    with pytest.raises(error, match=words):
        sparse.rows(x, width, name="feed")


# ---- moving rows about

@given(pairs())
def test_to_scipy_and_back(case):
    rows, width = case
    x = sparse.rows(build(naive.rows(rows), width))
    there = sparse.to_scipy(x)
    assert there.shape == (len(rows), width) and lists(sparse.rows(there)) == lists(x)


@given(pairs(), st.data())
def test_take(case, data):
    rows, width = case
    order = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12)) if rows else []
    assert lists(sparse.take(build(rows, width), order)) == naive.take(rows, order)


@given(st.lists(pairs(max_width=12), min_size=1, max_size=3))
def test_stack(cases):
    out = sparse.stack([build(rows, 12) for rows, _ in cases])
    assert lists(out) == [row for rows, _ in cases for row in rows]


@given(pairs())
def test_normalize(case):
    rows, width = case
    assert lists(sparse.normalize(build(rows, width))) == naive.normalize(rows)


@given(pairs(), st.data())
def test_scale_columns(case, data):
    rows, width = case
    weights = data.draw(st.lists(st.floats(-9, 9, width=32), min_size=width, max_size=width))
    expected = [[(c, naive.single(v * weights[c])) for c, v in row] for row in rows]
    assert lists(sparse.scale_columns(build(rows, width), np.array(weights))) == expected


@given(pairs())
def test_column_counts_and_transpose(case):
    rows, width = case
    x = build(rows, width)
    counts = sparse.column_counts(x)
    assert counts.tolist() == naive.column_counts(rows, width) and counts.dtype == np.int64
    turned = sparse.transpose(x)
    assert lists(turned) == naive.transpose(rows, width) and turned.width == len(rows)
    assert lists(sparse.transpose(turned)) == naive.rows(rows, drop=False)


@pytest.mark.parametrize("call, error, words", [
    (lambda x: sparse.take(x, [2]), ValueError, "order must hold numbers of the 2 rows of x, not 2"),
    (lambda x: sparse.take(x, [-1]), ValueError, "order must hold .* not -1"),
    (lambda x: sparse.take(x, [0.0]), TypeError, "order must hold integers"),
    (lambda x: sparse.take(x._replace(indptr=np.array([0, 2, 1])), [1]), ValueError, "indptr"),
    (lambda x: sparse.take(x._replace(indptr=np.array([0, -5, 1])), [1]), ValueError, "x.indptr must not descend"),
    (lambda x: sparse.take([[0]], [0]), TypeError, "x must be Rows .*not list"),
    (lambda x: sparse.stack([]), ValueError, r"parts must be Rows of one width, not \[\]"),
    (lambda x: sparse.stack([x, x._replace(width=9)]), ValueError, r"parts must be Rows of one width, not \[3, 9\]"),
    (lambda x: sparse.stack([x, None]), TypeError, r"parts\[1\] must be Rows"),
    (lambda x: sparse.scale_columns(x, [1.0]), ValueError, "weights must have one number for each of the 3 columns, not 1"),
    (lambda x: sparse.scale_columns(x, [1, np.nan, 1]), ValueError, "weights must be finite, not nan at 1"),
    (lambda x: sparse.column_counts(x._replace(width=1)), ValueError, "x row 1 holds column 2"),
    (lambda x: sparse.transpose(x._replace(width=1)), ValueError, "x row 1 holds column 2"),
    (lambda x: sparse.gather(x, np.ones((2, 1))), ValueError, r"table must have shape \(3, d\)"),
    (lambda x: sparse.gather(x, np.ones((3, 1), int)), TypeError, "table must be a float32 or float64 array, not int64"),
    (lambda x: sparse.gather(x, [[1.0]] * 3), TypeError, "table must be a float32 or float64 array, not list"),
    (lambda x: sparse.gather(x._replace(indices=np.array([9])), np.ones((3, 1))), ValueError, "x row 1 holds column 9"),
    (lambda x: sparse.gather(x._replace(indices=np.array([9], np.int32)), np.ones((3, 1))), ValueError, "x row 1 holds column 9"),
    (lambda x: sparse.scatter(x, np.ones((1, 1)), np.ones((3, 1))), ValueError, r"grads must have shape \(2, 1\), not \(1, 1\)"),
    (lambda x: sparse.scatter(x, np.ones((2, 2)), np.ones((2, 3)).T), ValueError, "table must be a writable C-contiguous"),
    (lambda x: sparse.scatter(x._replace(width=1), np.ones((2, 1)), np.ones((1, 1))), ValueError, "x row 1 holds column 2"),
    (lambda x: sparse.hash_columns(x, 0, seed=1), ValueError, "width must be between 1"),
    (lambda x: sparse.hash_columns(x, 5, seed=1.0), TypeError, "seed must be an integer"),
    (lambda x: sparse.coalesce([0.5], np.ones((1, 1))), TypeError, "ids must hold integers"),
    (lambda x: sparse.coalesce([1, 2], np.ones((1, 1))), ValueError, "grads must have one row for each of the 2 ids, not 1"),
    (lambda x: sparse.coalesce([1], np.ones(1)), ValueError, "grads must have 2 axes"),
])
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call(sparse.rows([[], [2]]))


# ---- gather and scatter

@given(pairs(distinct=False), st.integers(0, 5), st.integers(0, 2**32), st.sampled_from([(np.float32, 1e-3), (np.float64, 1e-9)]))
def test_gather_and_scatter(case, d, seed, kind):
    rows, width = case
    x, (dtype, atol) = build(rows, width), kind
    rng = np.random.default_rng(seed)
    table, grads = rng.normal(size=(width, d)).astype(dtype), rng.normal(size=(len(rows), d)).astype(dtype)
    out = sparse.gather(x, table)
    assert out.dtype == dtype and out.shape == (len(rows), d)
    np.testing.assert_allclose(out, np.reshape(naive.gather(rows, table.tolist()), out.shape), atol=atol, rtol=1e-5)
    changed = table.copy()
    assert sparse.scatter(x, grads, changed) is None
    np.testing.assert_allclose(changed, np.reshape(naive.scatter(rows, grads.tolist(), table.tolist()), table.shape), atol=atol, rtol=1e-5)
    zeros = np.zeros_like(table)
    sparse.scatter(x, grads, zeros)
    left, right = np.vdot(out.astype(float), grads), np.vdot(table.astype(float), zeros)
    assert np.isclose(left, right, rtol=1e-4 if dtype == np.float32 else 1e-10, atol=atol * 10)
    ids, sums = sparse.scatter_rows(x, grads)
    assert ids.tolist() == sorted({c for row in rows for c, _ in row}) and ids.dtype == np.int64 and sums.dtype == dtype
    assert np.array_equal(sums, zeros[ids]) and np.count_nonzero(zeros) == np.count_nonzero(sums)


def test_scatter_takes_any_number_of_parts():
    rng = np.random.default_rng(0)
    x = sparse.rows(sp.random(40, 9, 0.5, format="csr", rng=rng))
    grads = rng.normal(size=(40, 3)).astype(np.float32)
    tables = []
    for parts in (1, 2, 8, 64):
        tables.append(np.zeros((9, 3), np.float32))
        sparse._kernels.scatter(x.indptr, x.indices, x.values, grads, tables[-1], parts)
    assert tables[0].any() and all(np.array_equal(tables[0], table) for table in tables[1:])


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2 or numba.config.DISABLE_JIT, reason="needs two threads")
def test_any_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(0)
    x = sparse.rows(sp.random(3000, 500, 0.05, format="csr", rng=rng))
    table, grads = rng.normal(size=(500, 8)).astype(np.float32), rng.normal(size=(3000, 8)).astype(np.float32)
    found = []
    for threads in (1, 2):
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        try:
            changed = table.copy()
            sparse.scatter(x, grads, changed)
            found.append([changed, sparse.gather(x, table), *sparse.hash_columns(x, 64, seed=1)[:3]])
        finally:
            numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(*found))


# ---- hashing and coalescing

@given(pairs(), st.integers(1, 20), SEEDS, st.booleans())
def test_hash_columns(case, cells, seed, signed):
    rows, width = case
    out = sparse.hash_columns(build(rows, width), cells, seed=seed, signed=signed)
    assert lists(out) == naive.hash_columns(rows, cells, seed, signed) and out.width == cells


@given(pairs(values=st.integers(-8, 8).map(float)), st.integers(1, 9), SEEDS)
def test_hash_of_sum_is_sum_of_hashes(case, cells, seed):
    rows, width = case
    hashed = matrix(lists(sparse.hash_columns(build(rows, width), cells, seed=seed)), cells).sum(axis=0)
    total = sparse.rows(matrix(rows, width).sum(axis=0, keepdims=True))
    assert np.array_equal(matrix(lists(sparse.hash_columns(total, cells, seed=seed)), cells)[0], hashed)


def test_hash_columns_known_answers():
    """Columns and signs of keys 0 to 4 under the first seed of 0, as published in the project's notes on hash families."""
    x = sparse.hash_columns(sparse.rows(np.eye(5)), 1000, seed=0)
    assert x.indices.tolist() == [579, 197, 597, 991, 726] and x.values.tolist() == [-1, 1, -1, -1, 1]
    assert sparse.hash_columns(sparse.rows(np.eye(5)), 1000, seed=0, signed=False).values.tolist() == [1] * 5


def test_hashed_entries_that_cancel_are_dropped():
    x = sparse.rows(np.array([[1.0, 1.0, 3.0], [1.0, 1.0, 0.0]]))
    assert lists(sparse.hash_columns(x, 1, seed=0)) == [[(0, -3.0)], []]  # signs - + -


@given(st.lists(st.lists(st.tuples(st.integers(0, 2**64 - 1), SINGLES), max_size=5), max_size=5), st.integers(1, 2**31 - 1))
def test_hash_entries_of_wide_keys(rows, cells):
    x = build(rows, cells, (np.int64, np.uint64, np.float32))
    assert lists(sparse.hash_entries(*x[:3], cells, seed=3)) == naive.hash_columns(rows, cells, 3)


def test_hash_columns_keeps_inner_products_on_average():
    """Mean over 2000 seeds within 5 standard errors, with the variance of Weinberger et al. 2009, and within 20 % of that variance."""
    rng = np.random.default_rng(0)
    x, m = rng.normal(size=(2, 30)).astype(np.float32), 16
    seeds = 200 if numba.config.DISABLE_JIT else 2000
    got = []
    for seed in range(seeds):
        a, b = matrix(lists(sparse.hash_columns(sparse.rows(x), m, seed=seed)), m)
        got.append(a @ b)
    a, b = x.astype(float)
    products = a * b
    variance = (np.sum(a**2) * np.sum(b**2) - np.sum(products**2) + products.sum()**2 - np.sum(products**2)) / m
    assert abs(np.mean(got) - products.sum()) < 5 * np.sqrt(variance / seeds)
    assert seeds < 2000 or abs(np.var(got) / variance - 1) < 0.2


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 3), st.tuples(*[st.floats(-9, 9, width=32)] * 2)), max_size=12))
def test_coalesce(items):
    ids = np.array([i for i, _ in items], np.int64)
    out, sums = sparse.coalesce(ids, np.reshape(np.array([g for _, g in items], np.float32), (-1, 2)))
    expected = naive.coalesce([i for i, _ in items], [g for _, g in items])
    assert out.tolist() == expected[0] and sums.tolist() == [list(row) for row in expected[1]]
    assert out.dtype == np.int64 and sums.dtype == np.float32


def test_coalesce_adds_in_the_order_of_appearance():
    rng = np.random.default_rng(0)
    ids, grads = rng.integers(0, 5, 300), rng.normal(size=(300, 2)).astype(np.float32)
    expected = naive.coalesce(ids.tolist(), grads.tolist())
    assert sparse.coalesce(ids, grads)[1].tolist() == [list(row) for row in expected[1]]


def test_import_stays_light():
    code = ("import sys, sketchxc.sparse, sketchxc.metrics, sketchxc.frame\n"
            "print([m for m in ('scipy.sparse', 'pandas') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
