"""Neighbours: votes of the nearest rows. Small whole numbers make every sum exact, so ties are ties on both sides."""
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import neighbours as naive

from sketchxc import modelfile, neighbours, sparse


def lists(n, width, low=-1):
    """Rows as lists of (column, value), columns ascending, values from `low` to 3."""
    row = st.dictionaries(st.integers(0, width - 1), st.integers(low, 3), max_size=width)
    return st.lists(row.map(lambda own: sorted(own.items())), min_size=n, max_size=n)


def rows_of(lines, width):
    dense = np.zeros((len(lines), width), np.float32)
    for i, line in enumerate(lines):
        for j, value in line:
            dense[i, j] = value
    return sparse.rows(dense)


def label_rows(lines, width):
    return sparse.rows([sorted(line) for line in lines], width)


@given(st.data(), st.integers(1, 6), st.integers(0, 12), st.integers(1, 4), st.integers(0, 8), st.integers(0, 4), st.integers(0, 2))
@settings(max_examples=150)
def test_votes_are_those_of_the_twin(data, width, n, nearest, budget, more, power):
    known, queries = data.draw(lists(n, width)), data.draw(lists(3, width))
    labels = data.draw(st.lists(st.sets(st.integers(0, 4), max_size=3), min_size=n, max_size=n))
    shortlists = data.draw(st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2), min_size=3, max_size=3))
    found = neighbours.index(rows_of(known, width), label_rows(labels, 5))
    out, same = neighbours.votes(found, rows_of(queries, width), np.array(shortlists, np.int32), nearest=nearest, power=power,
                                 budget=budget, rescored=nearest + more)
    assert out.dtype == np.float32 and same.dtype == bool
    wanted = naive.votes(known, labels, queries, shortlists, nearest, power, budget, nearest + more, neighbours.SAME)
    assert (out.tolist(), same.tolist()) == wanted


def test_no_label_gets_no_vote_and_work_space_is_cleared():
    x = sparse.normalize(sparse.rows([[0, 1], [1], []]))
    found = neighbours.index(x, sparse.rows([[0], [1], [0, 1]]))
    out, same = neighbours.votes(found, sparse.take(x, np.array([0, 2, 1, 0])), np.array([[0, 1, -1]] * 4, np.int32), power=1)
    half = np.float32(np.sqrt(0.5))
    assert out == pytest.approx(np.array([[1, half, 0], [0, 0, 0], [half, 1, 0], [1, half, 0]]))
    assert same.tolist() == [[True, False, False], [False] * 3, [False, True, False], [True, False, False]]


def test_products_too_small_for_float32_touch_no_row_twice():
    x = sparse.Rows(np.array([0, 2]), np.array([0, 1], np.int32), np.array([1e-30, 1.0], np.float32), 2)
    found = neighbours.index(x, sparse.rows([[0]]))
    assert neighbours.votes(found, x, np.zeros((1, 1), np.int32))[0].tolist() == [[1.0]]


@pytest.mark.compiled
def test_bits_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(0)
    x = sparse.normalize(sparse.rows((rng.random((900, 40)) < 0.2) * rng.random((900, 40)).astype(np.float32)))
    labels = sparse.rows([[int(v)] for v in rng.integers(0, 9, 900)], 9)
    shortlist = np.tile(np.arange(9, dtype=np.int32), (900, 1))
    results = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        numba.set_num_threads(threads)
        results.append(neighbours.votes(neighbours.index(x, labels), x, shortlist, budget=500)[0])
    assert results[0].tobytes() == results[1].tobytes() and results[0].any()


def test_files(tmp_path):
    x = sparse.rows([[0, 1], [1]])
    found = neighbours.index(x, sparse.rows([[0], [1]]))
    modelfile.save(tmp_path / "index", found)
    again = modelfile.load(tmp_path / "index", expected=neighbours.Neighbours)
    assert all(np.array_equal(a, b) for a, b in zip(found, again))
    for wrong, message in ((found._replace(rows=found.rows[:1]), "3 entries, not 1"),
                           (found._replace(labels=found.labels[:1]), "2 entries, not 1")):
        with pytest.raises(ValueError, match=message):
            modelfile.save(tmp_path / "wrong", wrong)


def test_bad_input():
    x, labels = sparse.rows([[0, 1], [1]]), sparse.rows([[0], [1]])
    with pytest.raises(ValueError, match="labels must have as many rows as x, 2, not 1"):
        neighbours.index(x, sparse.rows([[0]]))
    found = neighbours.index(x, labels)
    shortlist = np.zeros((2, 1), np.int32)
    for wrong, message in (({"nearest": 0}, "nearest"), ({"nearest": 9, "rescored": 8}, "rescored"), ({"budget": -1}, "budget"),
                           ({"power": -1}, "power")):
        with pytest.raises(ValueError, match=message):
            neighbours.votes(found, x, shortlist, **wrong)
    with pytest.raises(ValueError, match="x must have 2 columns, not 3"):
        neighbours.votes(found, sparse.rows([[0]], 3), shortlist)
    with pytest.raises(ValueError, match="a row for each of the 2 rows of x, not 1"):
        neighbours.votes(found, x, shortlist[:1])
    for label in (-2, 2):
        with pytest.raises(ValueError, match="labels between 0 and 1"):
            neighbours.votes(found, x, np.full((2, 1), label, np.int32))
