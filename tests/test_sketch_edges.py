"""Sketches at the ends of the number types, keys of any type, bad input, defects of other libraries; row sketches."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import sketch as naive

from sketchxc import hashing, rowsketch, sketch

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # uint64 wraps when kernels run as Python
TOP = {np.int64: 2**63 - 1, np.int32: 2**31 - 1}


def unchanged(s, call, message):
    before = [part.copy() for part in s]
    with pytest.raises(OverflowError, match=message):
        call()
    assert all(np.array_equal(x, y) for x, y in zip(before, s))


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
@pytest.mark.parametrize("conservative", [False, True])
def test_saturation_is_an_error_and_adds_nothing(dtype, conservative):
    s = sketch.count_min(3, 10, seed=0, dtype=dtype)
    sketch.add(s, [1, 2], [TOP[dtype] - 5, 3], conservative=conservative)
    sketch.add(s, [1], [2], conservative=conservative)
    assert sketch.estimate(s, [1])[0] == TOP[dtype] - 3
    unchanged(s, lambda: sketch.add(s, [2, 1], [0, 4], conservative=conservative), "counts must keep")
    sketch.add(s, [1], [0], conservative=conservative)
    if dtype == np.int32:
        unchanged(s, lambda: sketch.add(s, [1, 1], [2**31, 2**31], conservative=conservative), "counts must keep")


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
@pytest.mark.parametrize("make", [sketch.count_min, sketch.count_sketch])
def test_few_keys_take_a_shorter_way_to_the_same_cells(make, dtype):
    keys = np.random.default_rng(0).integers(-50, 50, 129)
    for some in (keys[:0], keys[:1], keys[:127].view(np.uint64), keys[:128], keys, keys[::2], keys.astype(">i8")[:9], keys.reshape(-1, 3)):
        short, long = make(3, 20, seed=1, dtype=dtype), make(3, 20, seed=1, dtype=dtype)
        if some.ndim == 2:
            for call in (sketch.add, sketch.estimate):
                with pytest.raises(ValueError, match="keys must have 1 axis"):
                    call(short, some)
            continue
        sketch.add(short, some)
        sketch.add(long, some.astype(np.int64).tolist())  # a list is converted, and goes the way of many
        assert np.array_equal(short.table, long.table) and short.total[0] == long.total[0] == some.size
        found = sketch.estimate(short, some)
        assert found.dtype == dtype and found.tolist() == sketch.estimate(short, some.astype(np.int64).tolist()).tolist()
    short.total.flags.writeable = False
    with pytest.raises(ValueError, match="a table that can be written to, and a total"):
        sketch.add(short, keys[:1])
    assert not short.table.any()


def test_totals_of_narrow_tables_go_on():
    s = sketch.count_min(1, 1000, seed=0, dtype=np.int32)
    for key in range(5):
        sketch.add(s, [key], [2**30])
        sketch.add(s, [key] * 2, [2**29, 2**29 - 1])
    assert s.total[0] == 5 * (2**31 - 1) and sketch.estimate(s, range(5)).tolist() == [2**31 - 1] * 5
    unchanged(s, lambda: sketch.add(s, [9, 3]), "every cell within 2147483647, the end of int32; a table of int64 holds more")
    sketch.add(s, [9, 10])
    assert sketch.estimate(s, [9, 10, 11]).tolist() == [1, 1, 0]
    unchanged(s, lambda: sketch.scale(s, 2), "factor must keep")
    other = sketch.count_min(1, 1000, seed=0, dtype=np.int32)
    sketch.add(other, [500])
    assert sketch.estimate(sketch.merge(s, other), [500, 0]).tolist() == [1, 2**31 - 1]
    unchanged(s, lambda: sketch.merge(s, s), "every cell within")


def test_signed_cells_have_both_ends():
    s = sketch.count_sketch(1, 100, seed=0, dtype=np.int32)
    sketch.add(s, [5], [2**31 - 1])
    sketch.add(s, [5, 5], [3, -3])
    sketch.add(s, [5, 5, 6], [2**31, -2**31, 4])  # what is left at the end fits
    assert sketch.estimate(s, [5, 6]).tolist() == [2**31 - 1, 4]
    unchanged(s, lambda: sketch.add(s, [5]), "every cell within")
    sketch.scale(s, -1)
    assert sketch.estimate(s, [5])[0] == -(2**31 - 1)
    unchanged(s, lambda: sketch.add(s, [5], [-1]), "every cell within")
    wide = sketch.count_sketch(3, 5, seed=0)
    sketch.add(wide, [1], [-2**62])
    unchanged(wide, lambda: sketch.add(wide, [1], [2**62]), "total")  # its absolute values bound the cells
    unchanged(wide, lambda: sketch.add(wide, [1], [-2**63]), "total")
    unchanged(wide, lambda: sketch.scale(wide, -2), "factor must keep")


def test_sums_of_counts_do_not_wrap():
    s = sketch.count_min(2, 5, seed=0)
    unchanged(s, lambda: sketch.add(s, [1] * 4, [2**62] * 4), "total below the end of its type, not take it from 0 to 18446744073709551616")
    unchanged(s, lambda: sketch.add(s, [1, 2], np.array([1, 2**63], np.uint64)), r"counts must be below 2\*\*63, not 9223372036854775808")
    sketch.add(s, [1, 2], np.array([2**62, 2**62 - 1], np.uint64))
    assert s.total[0] == 2**63 - 1
    unchanged(s, lambda: sketch.add(s, [3]), "total")
    unchanged(s, lambda: sketch.merge(s, s), "a and b must have a total")
    unchanged(s, lambda: sketch.scale(s, 1.5), "factor must keep")
    assert sketch.inner(s, s) == naive.inner(s.table.tolist(), s.table.tolist())  # beyond 64 bits


def test_float_tables():
    s = sketch.count_min(3, 500, seed=0, dtype=np.float32)
    sketch.add(s, [1, 2, 1], [0.5, 2, 0.25])
    sketch.add(s, [1, 1], [3, 4], conservative=True)
    assert sketch.estimate(s, [1, 2, 3]).tolist() == [7.75, 2, 0] and s.total.tolist() == [9.75]
    assert [part.dtype for part in sketch.bounds(s, [1], 0.1)] == [np.float64, np.float64]
    sketch.scale(s, 0.5)
    assert sketch.estimate(s, [1, 2]).tolist() == [3.875, 1] and sketch.inner(s, s) == 3.875**2 + 1
    unchanged(s, lambda: sketch.add(s, [1], [2e38]), "total")
    unchanged(s, lambda: sketch.scale(s, 1e39), "factor must keep")
    sketch.add(s, [1], [1.6e38])
    unchanged(s, lambda: sketch.merge(s, s), "total")
    changes = sketch.count_sketch(3, 500, seed=0, dtype=np.float32)
    sketch.add(changes, [1, 2], [-1.5, 2.5])
    assert sketch.estimate(changes, [1, 2]).tolist() == [-1.5, 2.5] and changes.total[0] == 4
    lower, upper = sketch.bounds(changes, [1, 2], 0.2)
    assert (lower <= [-1.5, 2.5]).all() and (upper >= [-1.5, 2.5]).all() and lower.min() >= -4 and upper.max() <= 4
    sketch.scale(changes, -0.5)
    assert sketch.estimate(changes, [1, 2]).tolist() == [0.75, -1.25] and changes.total[0] == 2


def test_keys_of_any_type():
    s = sketch.count_min(3, 1000, seed=0)
    for dtype in (np.int8, np.int32, np.int64, np.uint8, np.uint64, ">i8", ">u2"):
        sketch.add(s, np.array([1, 100], dtype))
    sketch.add(s, range(300, 304))
    sketch.add(s, np.arange(1, 200, 99)[::-1])
    assert sketch.estimate(s, [1, 100, 199, 300]).tolist() == [8, 8, 1, 1]
    sketch.add(s, np.array([-1, -1], np.int8))
    assert sketch.estimate(s, np.array([2**64 - 1], np.uint64)).tolist() == [2]
    for nothing in ([], np.array([], np.int64)):
        sketch.add(s, nothing)
        sketch.add(s, nothing, nothing)
        assert sketch.estimate(s, nothing).shape == (0,) and sketch.bounds(s, nothing, 0.1)[0].shape == (0,)
        assert sketch.estimate(s, nothing, "mean_min").shape == (0,)


def broken(**fields):
    return sketch.count_min(2, 5, seed=0)._replace(**fields)


def blank(kind, depth):
    return kind(np.zeros((depth, 5), np.int64), np.arange(1, depth + 1, dtype=np.uint64), np.zeros(1, np.int64))


S, C = blank(sketch.CountMin, 2), blank(sketch.CountSketch, 3)
READ_ONLY = np.zeros((2, 5), np.int64)
READ_ONLY.flags.writeable = False


@pytest.mark.parametrize("call, error, message", [
    (lambda: sketch.add(S, [1], [-1]), ValueError, "counts must not be negative for a CountMin, not -1: use a CountSketch"),
    (lambda: sketch.add(S, [1], [0.5]), TypeError, "counts must hold integers, not float64"),
    (lambda: sketch.add(S, [1], [True]), TypeError, "counts must hold integers, not bool"),
    (lambda: sketch.add(S, [1], [1, 2]), ValueError, "counts must be as many as keys, 1, not 2"),
    (lambda: sketch.add(S, [1], [[1]]), ValueError, r"counts must have 1 axis, not shape \(1, 1\)"),
    (lambda: sketch.add(S, [0.5]), TypeError, "keys must hold integers, not float64"),
    (lambda: sketch.add(S, ["a"]), TypeError, "keys must hold integers"),
    (lambda: sketch.add(S, [[1]]), ValueError, r"keys must have 1 axis, not shape \(1, 1\)"),
    (lambda: sketch.add(C, [1], conservative=True), ValueError, "conservative must be False for a CountSketch"),
    (lambda: sketch.add(tuple(S), [1]), TypeError, "sketch must be a CountMin or a CountSketch, not tuple"),
    (lambda: sketch.add(broken(table=READ_ONLY), [1]), ValueError, "sketch must have a table that can be written to"),
    (lambda: sketch.add(broken(table=[[1]]), [1]), TypeError, "sketch must have three NumPy arrays, not list, ndarray, ndarray"),
    (lambda: sketch.add(broken(table=np.zeros((5, 2), np.int64).T), [1]), ValueError, "sketch must have a contiguous table"),
    (lambda: sketch.add(broken(table=np.zeros((2, 5), ">i8")), [1]), ValueError, "sketch must have a contiguous table"),
    (lambda: sketch.add(broken(table=np.zeros(5, np.int64)), [1]), ValueError, "sketch must have a contiguous table"),
    (lambda: sketch.add(broken(table=np.zeros((2, 0), np.int64)), [1]), ValueError, "sketch must have a contiguous table"),
    (lambda: sketch.estimate(broken(seeds=S.seeds[:1]), [1]), ValueError, r"sketch must have contiguous uint64 seeds \(2,\)"),
    (lambda: sketch.estimate(broken(seeds=np.zeros(2, np.int64)), [1]), ValueError, "sketch must have contiguous uint64 seeds"),
    (lambda: sketch.estimate(broken(total=np.zeros(1)), [1]), ValueError, r"total of shape \(1,\) and dtype int64, not float64 \(1,\)"),
    (lambda: sketch.estimate(sketch.CountSketch(*S), [1]), ValueError, "depth must be odd, so that a median exists, not 2"),
    (lambda: sketch.estimate(S, [1], "median"), ValueError, "how must be one of min, mean_min, not 'median'"),
    (lambda: sketch.estimate(C, [1], "min"), ValueError, "how must be one of median, not 'min'"),
    (lambda: sketch.estimate(sketch.count_min(2, 1, seed=0), [1], "mean_min"), ValueError, 'how must be "min" for a sketch of width 1'),
    (lambda: sketch.bounds(S, [1], 0), ValueError, "failure must be above 0 and below 1, not 0.0"),
    (lambda: sketch.bounds(S, [1], 1), ValueError, "failure must be above 0 and below 1"),
    (lambda: sketch.count_min(2, 2**31, seed=0), ValueError, "width must be between 1 and 2147483647"),
    (lambda: sketch.count_min(2, 5, seed=0, dtype=np.float64), ValueError, "dtype must be one of int32, int64, float32"),
    (lambda: sketch.count_min(2, 5, seed=0.5), TypeError, "seed must be an integer, not float"),
    (lambda: sketch.count_sketch(2, 5, seed=0), ValueError, "depth must be odd, so that a median exists, not 2"),
    (lambda: sketch.size_for(1e-10, 0.1), ValueError, r"error must be larger, 1e-10 needs a width beyond 2\*\*31 - 1"),
    (lambda: sketch.size_for(0.1, 1e-300), ValueError, "failure must be larger, 1e-300 needs a depth beyond 255"),
    (lambda: sketch.size_for(0.5, 1e-20, signed=True), ValueError, "failure must be larger"),
    (lambda: sketch.size_for(0.1, 1.0), ValueError, "failure must be above 0 and below 1, not 1.0"),
    (lambda: sketch.merge(S, C), TypeError, "a and b must be of one kind, not CountMin and CountSketch"),
    (lambda: sketch.merge(S, sketch.count_min(2, 6, seed=0)), ValueError, "a and b must have one shape and dtype"),
    (lambda: sketch.merge(S, sketch.count_min(2, 5, seed=0, dtype=np.int32)), ValueError, "a and b must have one shape and dtype"),
    (lambda: sketch.merge(S, sketch.count_min(2, 5, seed=1)), ValueError, "a and b must have the same seeds"),
    (lambda: sketch.inner(S, sketch.count_min(2, 5, seed=1)), ValueError, "a and b must have the same seeds"),
    (lambda: sketch.scale(S, -1), ValueError, "factor must be at least 0, not -1.0"),
    (lambda: sketch.scale(S, np.nan), ValueError, "factor must be at least 0, not nan"),
    (lambda: sketch.scale(S, None), TypeError, "factor must be a number"),
    (lambda: sketch.scale(C, 0.5), ValueError, "factor must be an integer for a CountSketch with an integer table, not 0.5"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert not S.table.any() and not C.table.any() and not S.total.any() and not C.total.any()


def test_datasketches_nan_and_infinite_weights_are_refused():
    for make in (sketch.count_min, sketch.count_sketch):
        s = make(3, 5, seed=0, dtype=np.float32)
        for weight in (np.nan, np.inf, -np.inf, 1e39):
            with pytest.raises(ValueError, match="counts must be finite in float32, not NaN or infinite"):
                sketch.add(s, [1, 2, 3], [1.0, weight, 2.0])
        assert not s.table.any() and not s.total.any()


def test_datasketches_impossible_sizes_are_refused():
    for make in (sketch.count_min, sketch.count_sketch):
        with pytest.raises(ValueError, match="depth must be between 1 and 255, not 0"):
            make(0, 50, seed=0)
        with pytest.raises(ValueError, match="width must be between 1 and 2147483647, not 0"):
            make(3, 0, seed=0)
        with pytest.raises(ValueError, match="depth must be between 1 and 255, not 256"):
            make(256, 50, seed=0)
    assert sketch.size_for(0.1, 0.999999) == (1, 32) and sketch.size_for(0.9, 0.999999, signed=True) == (1, 16)


def test_pyprobables_and_bounter_counters_go_past_31_bits():
    s = sketch.count_min(3, 100, seed=0)
    for _ in range(2):
        sketch.add(s, [1], [3_000_000_000])
    assert sketch.estimate(s, [1]).tolist() == [6_000_000_000] and s.total[0] == 6_000_000_000


@st.composite
def row_updates(draw):
    columns, n = draw(st.integers(0, 6)), draw(st.integers(0, 12))
    vector = st.lists(st.integers(-50, 50), min_size=columns, max_size=columns)
    return (draw(st.lists(st.integers(-2**63, 2**63 - 1) | st.integers(0, 5), min_size=n, max_size=n)),
            draw(st.lists(vector, min_size=n, max_size=n)), columns)


@given(row_updates(), st.booleans(), st.sampled_from([1, 3, 5, 7, 9]), st.integers(1, 6))
def test_row_sketches_are_the_twin(updates, signed, depth, width):
    rows, values, columns = updates
    seeds = hashing.seeds(depth, 5)
    table = np.zeros((depth, width, columns), np.float32)
    wanted = [[[0] * columns for _ in range(width)] for _ in range(depth)]
    rowsketch.row_add(table, seeds, np.array(rows, np.int64), np.array(values, np.int64).reshape(len(rows), columns), signed=signed)
    naive.row_add(wanted, seeds.tolist(), [row % 2**64 for row in rows], values, signed)
    assert table.tolist() == wanted
    asked = [row % 2**64 for row in rows] + [77]
    found = rowsketch.row_estimate(table, seeds, np.array(asked, np.uint64), signed=signed)
    assert found.tolist() == naive.row_estimate(wanted, seeds.tolist(), asked, signed)


@pytest.mark.parametrize("columns", [1, 50, 300, 1100])  # one peer left every column beyond the last multiple of 32 as it was
def test_count_sketch_optimizers_every_column_is_updated(columns):
    for signed in (False, True):
        table, seeds = np.zeros((3, 40, columns), np.float32), hashing.seeds(3, 0)
        values = np.arange(1.0, 2 * columns + 1).reshape(2, columns)
        rowsketch.row_add(table, seeds, [3, 9], values, signed=signed)
        assert np.array_equal(rowsketch.row_estimate(table, seeds, [3, 9], signed=signed), values)


def test_row_sketch_of_one_column_is_a_sketch():
    s = sketch.count_sketch(3, 7, seed=1, dtype=np.float32)
    table = np.zeros((3, 7, 1), np.float32)
    keys = np.arange(30)
    sketch.add(s, keys, keys - 10)
    rowsketch.row_add(table, s.seeds, keys, keys[:, None] - 10, signed=True)
    assert np.array_equal(table[:, :, 0], s.table)
    assert np.array_equal(rowsketch.row_estimate(table, s.seeds, keys, signed=True)[:, 0], sketch.estimate(s, keys))


T = np.zeros((2, 5, 3), np.float32)


@pytest.mark.parametrize("call, error, message", [
    (lambda: rowsketch.row_add(T, S.seeds, [1], [[1, 2, 3]], signed=True), ValueError, "table must have an odd depth for medians, not 2"),
    (lambda: rowsketch.row_add(T, S.seeds, [1], [[1, 2]], signed=False), ValueError, r"values must have shape \(1, 3\), not \(1, 2\)"),
    (lambda: rowsketch.row_add(T, S.seeds, [1], [[1, 2, np.nan]], signed=False), ValueError, "values must be finite"),
    (lambda: rowsketch.row_add(T, S.seeds, [1.5], [[1, 2, 3]], signed=False), TypeError, "rows must hold integers"),
    (lambda: rowsketch.row_add(T, S.seeds, [[1]], [[1, 2, 3]], signed=False), ValueError, "rows must have 1 axis"),
    (lambda: rowsketch.row_add(T, C.seeds, [1], [[1, 2, 3]], signed=False), ValueError, r"seeds must have shape \(2,\), not \(3,\)"),
    (lambda: rowsketch.row_add(T.astype(np.float64), S.seeds, [1], [[1, 2, 3]], signed=False), TypeError, "table must be a float32 array"),
    (lambda: rowsketch.row_add(T[0], S.seeds, [1], [[1, 2, 3]], signed=False), ValueError, "table must be contiguous with axes"),
    (lambda: rowsketch.row_estimate([[[1.0]]], S.seeds, [1], signed=False), TypeError, "table must be a float32 array, not list"),
])
def test_bad_input_of_row_sketches(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert not T.any()


def test_a_table_that_cannot_be_written_to():
    table = T.copy()
    table.flags.writeable = False
    with pytest.raises(ValueError, match="table must be an array that can be written to"):
        rowsketch.row_add(table, S.seeds, [1], [[1, 2, 3]], signed=False)
