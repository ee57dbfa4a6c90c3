import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import frame as naive
from strategies import SEEDS

from sketchxc.frame import frame_rows
from sketchxc.sparse import to_scipy


def lists(x):
    assert [a.dtype for a in x[:3]] == [np.int64, np.int32, np.float32]
    return [list(zip(x.indices[a:b].tolist(), x.values[a:b].tolist())) for a, b in zip(x.indptr, x.indptr[1:])]


KINDS = {  # values, dtypes of pandas that hold them, is it a number
    "text": (st.text(st.characters(exclude_categories=["Cs"]), max_size=4), ["str", "string", "category", object], False),
    "whole": (st.integers(-9, 9), ["Int64", "Float64", "float64", "category", object], True),
    "real": (st.floats(-9, 9, width=32), ["float64", "float32", "Float64"], True),
    "truth": (st.booleans(), ["boolean", object, "category"], False),
}


@st.composite
def tables(draw):
    n, table, columns, numeric = draw(st.integers(0, 6)), {}, {}, set()
    for name in draw(st.lists(st.sampled_from(["a", "b", "ab", "höhe", ""]), unique=True, max_size=4)):
        values, dtypes, number = KINDS[draw(st.sampled_from(sorted(KINDS)))]
        table[name] = draw(st.lists(st.none() | values, min_size=n, max_size=n))
        dtype = draw(st.sampled_from(dtypes))
        columns[name] = pd.Series(pd.Series(table[name], dtype=object), dtype=dtype)
        if number and dtype not in ("category", object):
            numeric.add(name)
    return table, pd.DataFrame(columns), numeric


@given(tables(), st.sampled_from([1, 7, 2**20]), SEEDS, st.booleans())
def test_twin(case, width, seed, signed):
    table, frame, numeric = case
    out = frame_rows(frame, width=width, seed=seed, signed=signed)
    assert lists(out) == naive.frame_rows(table, width, seed, numeric, signed) and out.width == width
    as_categories = frame_rows(frame, width=width, seed=seed, signed=signed, numeric=[])
    assert lists(as_categories) == naive.frame_rows(table, width, seed, [], signed)
    other = frame[list(reversed(frame.columns))].set_axis(np.arange(len(frame)) * 5)
    assert lists(frame_rows(other, width=width, seed=seed, signed=signed)) == lists(out)


def test_a_column_keeps_its_features_beside_others():
    frame = pd.DataFrame({"a": ["x", "y"], "b": [1.5, 2.5]})
    both = to_scipy(frame_rows(frame, width=2**20, seed=1))
    one, two = (to_scipy(frame_rows(frame, [name], width=2**20, seed=1)) for name in "ab")
    assert abs(both - one - two).sum() == 0 and one.nnz == two.nnz == 2
    assert lists(frame_rows(frame, "a", width=9, seed=1)) == lists(frame_rows(frame, ["a"], width=9, seed=1))


def test_one_value_in_two_columns_gives_two_features():
    x = frame_rows(pd.DataFrame({"a": ["x"], "b": ["x"]}), width=2**30, seed=0)
    assert x.indices.size == 2


def test_categories_are_told_apart_by_their_text():
    def column(values, **options):
        return lists(frame_rows(pd.DataFrame({"a": pd.Series(values, **options)}), width=2**30, seed=0, numeric=[]))

    three = column(["3"])[0]
    assert column([3]) == column([3.0]) == [three] and column([3, None]) == [three, []] == column([3.0, np.nan], dtype="float32")
    assert column([3, 3.0, "3"], dtype=object) == [three] * 3
    mixed = column([1, True, 1.5], dtype=object)
    assert mixed == [column(["1"])[0], column(["True"])[0], column(["1.5"])[0]] and mixed[0] != mixed[1]
    assert column([True]) == column(["True"])
    assert column([None, np.nan, pd.NA, pd.NaT], dtype=object) == [[]] * 4


def test_numbers():
    frame = pd.DataFrame({"a": [2.5, np.nan, 0.0, -1.0], "b": ["7", "8", "9", "10"]})
    x = frame_rows(frame, width=2**30, seed=0, numeric=["a", "b"], signed=False)
    assert [sorted(v for _, v in row) for row in lists(x)] == [[2.5, 7], [8], [9], [-1, 10]]
    truth = frame_rows(pd.DataFrame({"a": [True, False]}), width=9, seed=0, numeric="a", signed=False)
    assert truth.values.tolist() == [1.0]


def test_the_order_of_columns_does_not_round():
    """1e20 + 1 - 1e20 depends on the order of the terms."""
    frame = pd.DataFrame({"a": [1e20], "b": [1.0], "c": [-1e20]})
    found = [lists(frame_rows(frame[list(order)], width=1, seed=0, signed=False)) for order in ("abc", "acb", "cba")]
    assert found == [[[]]] * 3


def test_empty():
    assert frame_rows(pd.DataFrame(index=range(3)), width=5, seed=0).indptr.tolist() == [0, 0, 0, 0]
    assert frame_rows(pd.DataFrame({"a": [1.0]}), [], width=5, seed=0).indptr.tolist() == [0, 0]
    assert frame_rows(pd.DataFrame({"a": []}), width=5, seed=0).indptr.tolist() == [0]


FRAME = pd.DataFrame({"a": [1.0], "b": ["x"]})


@pytest.mark.parametrize("call, error, words", [
    (lambda: frame_rows([[1]], width=5, seed=0), TypeError, "frame must be a pandas DataFrame, not list"),
    (lambda: frame_rows(FRAME, ["c"], width=5, seed=0), ValueError, "columns must name columns of frame.*'c' 1 times, and frame has it 0"),
    (lambda: frame_rows(FRAME, ["a", "a"], width=5, seed=0), ValueError, "columns must name columns of frame, each once.*'a' 2 times"),
    (lambda: frame_rows(FRAME[["a", "a"]], width=5, seed=0), ValueError, "'a' 2 times, and frame has it 2 times"),
    (lambda: frame_rows(pd.DataFrame([[1]]), width=5, seed=0), TypeError, r"columns must be names \(str\), not 0"),
    (lambda: frame_rows(FRAME, ["a"], width=5, seed=0, numeric=["b"]), ValueError, "numeric must be among the columns in use, not 'b'"),
    (lambda: frame_rows(FRAME, width=5, seed=0, numeric=["b"]), TypeError, "frame column 'b' must hold numbers"),
    (lambda: frame_rows(FRAME, width=0, seed=0), ValueError, "width must be between 1"),
    (lambda: frame_rows(FRAME, width=5, seed=None), TypeError, "seed must be an integer"),
    (lambda: frame_rows(pd.DataFrame({"a": [1, 1e39]}), width=5, seed=0), ValueError, r"frame column 'a', row 1: .* not 1e\+39"),
    (lambda: frame_rows(pd.DataFrame({"a": [-np.inf]}), width=5, seed=0), ValueError, "frame column 'a', row 0: .* not -inf"),
    (lambda: frame_rows(pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}), width=5, seed=0), TypeError, "'a' must hold text.*Timestamp"),
    (lambda: frame_rows(pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}), width=5, seed=0, numeric="a"), TypeError, "must hold numbers"),
    (lambda: frame_rows(pd.DataFrame({"a": [[1]]}), width=5, seed=0), TypeError, "frame column 'a' must hold text.* not list"),
    (lambda: frame_rows(pd.DataFrame({"a": [1j]}), width=5, seed=0), TypeError, "frame column 'a' must hold text.* not complex"),
])
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
