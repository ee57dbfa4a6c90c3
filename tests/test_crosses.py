"""Crosses: naive twin, ties, saturation, shared cells, edges, threads, model files, bad input."""
import numba
import numpy as np
import pytest
from conftest import AS_PYTHON
from hypothesis import given
from hypothesis import strategies as st
from naive import crosses as naive
from naive import sparse as naive_sparse
from strategies import SEEDS, pairs

from sketchxc import crosses, modelfile, sparse
from sketchxc._scalar.crosses import pair_cell
from sketchxc.sparse import Rows

SEEDS = SEEDS.filter(lambda seed: seed < 2**63)
FEW = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]) | st.floats(0, 9, width=32)  # many ties


def build(rows, width):
    """Rows of naive pairs with ascending columns; stored zeros stay."""
    return Rows(np.cumsum([0] + [len(row) for row in rows]), np.array([c for row in rows for c, _ in row], np.int32),
                np.array([v for row in rows for _, v in row], np.float32), width)


def lists(x):
    assert [a.dtype for a in x[:3]] == [np.int64, np.int32, np.float32] and x.indptr[-1] == x.indices.size == x.values.size
    return [list(zip(x.indices[a:b].tolist(), x.values[a:b].tolist())) for a, b in zip(x.indptr, x.indptr[1:])]


def kept(found):
    return np.flatnonzero(np.unpackbits(found.cells.astype("<u8").view(np.uint8), bitorder="little")).tolist()


def equal(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a, b))


def drawn(n, width, seed=0, most=6):
    rng = np.random.default_rng(seed)
    return build([[(c, np.float32(rng.integers(1, 9) / 4)) for c in sorted(rng.permutation(width)[:rng.integers(0, most)].tolist())]
                  for _ in range(n)], width)


@given(pairs(values=FEW), st.integers(0, 16), st.integers(0, 3), st.integers(6, 9), SEEDS)
def test_naive_twin(case, top, least, bits, seed):
    rows = naive_sparse.rows(case[0], drop=False)
    x = build(rows, case[1])
    found = crosses.find(x, top=top, least=least, bits=bits, seed=seed)
    wanted = naive.find(rows, top, least, bits, seed)
    assert kept(found) == wanted and crosses.width(found) == case[1] + len(wanted)
    assert found.ranks.tolist() == [sum(cell < 64 * word for cell in wanted) for word in range(found.cells.size)]
    out = crosses.cross(found, x)
    assert lists(out) == naive.cross(wanted, rows, case[1], top, bits, seed) and out.width == crosses.width(found)
    assert sparse.rows(out) is not None  # columns ascending and distinct


def test_ties_go_to_the_smaller_column():
    rows = [[(3, 1.0), (5, 2.0), (7, 1.0), (9, 1.0)]]
    found = crosses.find(build(rows, 10), top=2, least=1, bits=20)
    assert kept(found) == [naive.row_pairs([(3, 1.0), (5, 2.0)], 2, 20, 0)[0][0]]
    assert lists(crosses.cross(found, build(rows, 10))) == [rows[0] + [(10, 2.0)]]


def test_only_values_above_zero_are_paired():
    rows = [[(0, -3.0), (1, 1.0), (2, 0.0), (3, 4.0)]]
    found = crosses.find(build(rows, 4), least=1)
    assert len(kept(found)) == 1 and lists(crosses.cross(found, build(rows, 4))) == [rows[0] + [(4, 4.0)]]


@pytest.mark.parametrize("options", [dict(top=0), dict(top=1), dict(least=0), dict(least=3)])
def test_no_crosses(options):
    x = build([[(0, 1.0), (1, 2.0)], [(0, 1.0), (1, 1.0)]], 2)
    found = crosses.find(x, **options)
    assert crosses.width(found) == 2 and not found.cells.any() and equal(crosses.cross(found, x), x)


@pytest.mark.parametrize("n", [0, 3])
def test_rows_without_entries(n):
    x = build([[]] * n, 5)
    found = crosses.find(x)
    assert crosses.width(found) == 5 and equal(crosses.cross(found, x), x)
    some = crosses.find(build([[(0, 1.0), (1, 1.0)]], 5), least=1)
    assert lists(crosses.cross(some, x)) == [[]] * n and crosses.cross(some, x).width == 6


@pytest.mark.parametrize("n, expected", [(254, 0), (255, 1), (256, 1), (600, 1)])
def test_counts_stop_at_255(n, expected):
    x = build([[(0, 1.0), (1, 1.0)]] * n, 2)
    before = numba.get_num_threads()
    try:
        for threads in (1, before):  # one table reaches the end, or the sum of several
            numba.set_num_threads(threads)
            assert len(kept(crosses.find(x, least=255))) == expected
    finally:
        numba.set_num_threads(before)


def test_pairs_in_one_cell_are_counted_and_added_together():
    rows = [[(c, float(c + 1)) for c in range(16)]]
    found = crosses.find(build(rows, 16), top=16, least=2, bits=6)
    cells = [cell for cell, _ in naive.row_pairs(rows[0], 16, 6, 0)]
    assert kept(found) == sorted({cell for cell in cells if cells.count(cell) > 1}) and len(kept(found)) > 20
    assert lists(crosses.cross(found, build(rows, 16))) == naive.cross(kept(found), rows, 16, 16, 6, 0)


def test_order_of_rows_and_seed():
    x = drawn(60, 12)
    found = crosses.find(x, bits=10)
    shuffled = sparse.take(x, np.random.default_rng(1).permutation(60))
    assert equal(crosses.find(shuffled, bits=10), found)
    assert kept(crosses.find(x, bits=10, seed=1)) != kept(found)


@pytest.mark.parametrize("n, top, bits", [(1, 8, 12), (100, 8, 15), (100, 16, 17), (100, 2, 12)])
def test_default_bits(n, top, bits):
    found = crosses.find(build([[(0, 1.0)]] * n, 2), top=top)
    assert found.bits == bits and found.cells.size == 2**bits // 64


def test_cells_are_spread():
    bits, side = 10, 64 if not AS_PYTHON else 20
    cells = [pair_cell(low, high, np.uint64(5), bits) for low in range(side) for high in range(low + 1, side)]
    counts = np.bincount(cells, minlength=1 << bits)
    mean = len(cells) / counts.size
    assert counts.size == 1 << bits
    assert abs(((counts - mean)**2 / mean).sum() - counts.size) < 6 * np.sqrt(2 * counts.size)  # chi-square, six standard deviations


def test_threads_and_blocks():
    x = drawn(2100, 20, most=4)  # three blocks of rows
    before, results = numba.get_num_threads(), []
    try:
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            numba.set_num_threads(threads)
            found = crosses.find(x, bits=8)
            results.append((*found[:2], *crosses.cross(found, x)[:3]))
    finally:
        numba.set_num_threads(before)
    assert equal(results[0], results[-1])
    rows = lists(x)
    wanted = naive.find(rows, 8, 2, 8, 0)
    assert lists(crosses.cross(crosses.find(x, bits=8), x)) == naive.cross(wanted, rows, 20, 8, 8, 0)


def test_model_file(tmp_path):
    found = crosses.find(drawn(50, 9), seed=-5)
    modelfile.save(tmp_path / "model", found)
    again = modelfile.load(tmp_path / "model", expected=crosses.Crosses)
    assert equal(again, found) and again.seed == -5


@pytest.mark.parametrize("change, message", [
    (dict(bits=13), "must have 128 words"),
    (dict(bits=31), "bits must be between 6 and 30"),
    (dict(top=17), "top between 0 and 16"),
    (dict(ranks=np.ones(64, np.int32)), "ranks must count"),
    (dict(cells=np.zeros(63, np.uint64)), "must have 64 words"),
])
def test_model_files_whose_parts_do_not_fit(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        modelfile.save(tmp_path / "model", crosses.find(drawn(5, 9))._replace(**change))


@pytest.mark.parametrize("options, message", [
    (dict(top=17), "top must be between 0 and 16, not 17"), (dict(top=-1), "top must be"), (dict(least=256), "least must be"),
    (dict(bits=5), "bits must be between 6 and 30"), (dict(bits=31), "bits must be"), (dict(seed=2**63), "seed must be"),
])
def test_bad_settings(options, message):
    x = drawn(3, 4)
    with pytest.raises(ValueError, match=message):
        crosses.find(x, **options)


def test_bad_rows():
    x = drawn(30, 5)
    found = crosses.find(x, bits=8)
    with pytest.raises(ValueError, match="x must have 5 columns, not 6"):
        crosses.cross(found, x._replace(width=6))
    outside = build([[(0, 1.0), (7, 1.0)]], 5)
    for call in (crosses.find, lambda x: crosses.cross(found, x)):
        with pytest.raises(ValueError, match="column 7, which is outside the width 5"):
            call(outside)
    with pytest.raises(TypeError, match="top must be an integer"):
        crosses.find(x, top=2.5)
    with pytest.raises(ValueError, match="at most 2147483646 columns beside its 1 kept pairs"):
        crosses.find(build([[(0, 1.0), (1, 1.0)]], 2**31 - 1), least=1)
