"""Sessions: naive twins of prefixes, neighbours and features; files; planted sequences, seeds, threads, model files, bad input."""
import gzip

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import sessions as naive

from sketchxc import metrics, modelfile, sessions
from sketchxc._cpu import sessions as kernels

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=7), min_size=1, max_size=12)
ROWS = st.lists(st.lists(st.integers(0, 12), max_size=6), max_size=5)


def lists(found):
    return [found.items[a:b].tolist() for a, b in zip(found.indptr[:-1], found.indptr[1:])]


def equal(a, b):
    return type(a) is type(b) and all(equal(p, q) if isinstance(p, tuple) else p is q or np.array_equal(p, q) for p, q in zip(a, b))


def planted(n, seed):
    """Sessions that walk along rings of five items, some steps backwards."""
    rng = np.random.default_rng(seed)
    starts, steps = rng.integers(0, 40, n), rng.choice([1, 1, 1, 4], (n, 4))
    rings, places = starts // 5 * 5, np.cumsum(np.column_stack([starts % 5, steps]), axis=1) % 5
    return (rings[:, None] + places).tolist()


@given(LISTS)
def test_prefixes(rows):
    found, targets = sessions.prefixes(sessions.sessions(rows, 10))
    assert list(zip(lists(found), targets.tolist())) == naive.prefixes(rows)
    assert found.n_items == 10 and targets.dtype == np.int32


@given(LISTS, ROWS, st.integers(1, 12))
def test_neighbours(seen, rows, k):
    model = sessions._index(sessions.sessions(seen, 10))
    items, scores = sessions.neighbours(model, rows, k)
    for row, found, values in zip(rows, items.tolist(), scores.tolist()):
        wanted = naive.neighbours(seen, row, k)
        assert found[len(wanted):] == [-1] * (k - len(wanted)) and values[len(wanted):] == [-np.inf] * (k - len(wanted))
        np.testing.assert_allclose(values[:len(wanted)], [score for _, score in wanted], rtol=1e-5)
        exact = dict(naive.neighbours(seen, row, 100))
        for item, value in zip(found[:len(wanted)], values):  # nearly equal scores may change places
            np.testing.assert_allclose(value, exact[item], rtol=1e-5)
        assert len(set(found[:len(wanted)])) == len(wanted)


def test_ties_go_to_the_smaller_item():
    model = sessions._index(sessions.sessions([[5, 3], [3, 5], [9, 8], [9, 1], [9, 4]], 10))
    model = model._replace(session_weights=np.ones(5, np.float32))
    assert sessions.neighbours(model, [[9]], 4)[0].tolist() == [[9, 1, 4, 8]]
    assert sessions.neighbours(model, [[9]], 2)[0].tolist() == [[9, 1]]


@given(ROWS)
def test_recent(rows):
    x = sessions._recent(sessions.sessions(rows, 13), 8)
    for i, row in enumerate(rows):
        wanted = sorted(naive.recent(row, 8).items())
        a, b = x.indptr[i:i + 2]
        assert x.indices[a:b].tolist() == [column for column, _ in wanted]
        np.testing.assert_allclose(x.values[a:b], [value for _, value in wanted], rtol=1e-6)
    assert x.width == 24


@given(ROWS)
def test_repeats(rows):
    found = sessions.sessions(rows, 13)
    shortlist = np.tile(np.arange(-1, 13, dtype=np.int32), (len(rows), 1))
    features = np.zeros((*shortlist.shape, 4))
    kernels.repeats(found.indptr, found.items, shortlist, features)
    for row, line, known in zip(rows, shortlist.tolist(), features):
        assert [tuple(pair) for pair in known[:, 2:].tolist()] == naive.repeats(row, line)
    assert not features[:, :, :2].any()


@pytest.mark.compiled
@pytest.mark.parametrize("kind", ["best", "fast"])
def test_planted_sequences_are_learnt(kind):
    model = sessions.train(sessions.sessions(planted(300, 0)), kind=kind)
    rows, targets = sessions.prefixes(sessions.sessions(planted(60, 1), 40))
    ranked, scores = sessions.top_k(model, rows, 2)
    truth = sessions._labels(targets, 40)
    assert metrics.recall_at(ranked, truth, 2) > 0.8  # chance is 0.05, the forward step alone 0.75
    assert (np.diff(scores, axis=1) <= 0).all() and (model.factors is None) == (kind == "fast")
    first, alone = sessions.top_k(model, [lists(rows)[7]], 2)
    assert np.array_equal(first[0], ranked[7]) and np.array_equal(alone[0], scores[7])


@pytest.mark.compiled
def test_seeds_and_threads():
    found = sessions.sessions(planted(60, 2))
    before = numba.get_num_threads()
    models = []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            models.append(sessions.train(found, seed=3))
            models.append(sessions.top_k(models[-1], found, 5))
    finally:
        numba.set_num_threads(before)
    assert equal(models[0], models[2]) and equal(models[1], models[3])
    assert not equal(models[0], sessions.train(found, seed=4))


def test_blocks_of_rows_are_independent(monkeypatch):
    model = sessions.train(sessions.sessions(planted(60, 2)), kind="fast")
    rows = sessions.sessions(planted(20, 3), 40)
    whole = sessions.top_k(model, rows, 3)
    monkeypatch.setattr(sessions, "BLOCK", 7)
    assert equal(whole, sessions.top_k(model, rows, 3))


def test_later_sessions_count_more():
    model = sessions.train(sessions.sessions([[0, 1]] * 10 + [[0, 2]] * 10), kind="fast")
    assert sessions.top_k(model, [[0]], 1)[0].tolist() == [[2]]


def test_rows_without_neighbours_get_popular_items():
    model = sessions.train(sessions.sessions([[0, 1], [2, 3]] * 9 + [[3, 2, 3]], 6), kind="fast")
    items, scores = sessions.top_k(model, [[], [5], [99]], 7)
    assert (items == items[0]).all() and items[0].tolist() == [3, 2] + [-1] * 5 and np.isneginf(scores[:, 2:]).all()
    items, _ = sessions.top_k(model, [[0]], 7)
    assert items[0].tolist() == [1, 0, 3, 2, -1, -1, -1]


def test_small_sets():
    for rows in ([[0]], [[]], [[0, 1]], [[4, 4], [4]]):
        model = sessions.train(sessions.sessions(rows, 5))
        items, _ = sessions.top_k(model, rows, 3)
        assert items.shape == (len(rows), 3)
    assert sessions.top_k(model, [], 3)[0].shape == (0, 3)


@pytest.mark.compiled
def test_progress_adds_up():
    shares, lines = zip(*progressed(planted(40, 0)))
    assert abs(sum(shares) - 1) < 0.02 and "weights" in lines


def progressed(rows):
    found = []
    sessions.train(sessions.sessions(rows), progress=lambda share, line: found.append((share, line)))
    return found


@pytest.mark.compiled
@pytest.mark.parametrize("kind", ["best", "fast"])
def test_model_file(tmp_path, kind):
    model = sessions.train(sessions.sessions(planted(30, 0)), kind=kind)
    modelfile.save(tmp_path / "model", model)
    assert equal(modelfile.load(tmp_path / "model"), model)
    with pytest.raises(ValueError, match="as many starts"):
        modelfile.save(tmp_path / "model", model._replace(weights=np.ones(3)))
    with pytest.raises(ValueError, match="must end with"):
        modelfile.save(tmp_path / "model", model._replace(items=model.items[1:]))


@pytest.mark.parametrize("text, wanted, targets", [
    ("1 2\n\n3\n", [[1, 2], [], [3]], None), ("7", [[7]], None), ("5\t1 2\n0\t9\r\n", [[1, 2], [9]], [5, 0])])
@pytest.mark.parametrize("zipped", [False, True])
def test_files(tmp_path, text, wanted, targets, zipped):
    path = tmp_path / ("s.gz" if zipped else "s.txt")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    found, following = sessions.read_sessions(path)
    assert lists(found) == wanted and (following if following is None else following.tolist()) == targets
    assert found.n_items == max(map(max, filter(None, wanted + [targets or []]))) + 1
    assert sessions.read_sessions(path, n_items=20)[0].n_items == 20


@pytest.mark.parametrize("text, message", [
    ("", "s.txt:1: found no sessions"), ("1 2\nx\n", "s.txt:2: found 'x', expected items as numbers"),
    ("1\t2\n3 4\n", "s.txt:2: found '3 4', expected items behind the next one and a TAB"), ("1 2\n1\t2\n", "s.txt:2"),
    ("\t2\n", "s.txt:1"), ("1\t2\n\n", "s.txt:2"), ("-1\n", "s.txt:1"), ("1234567890\n", "s.txt:1"), ("1 2 \xff\n", "s.txt:1")])
def test_bad_files(tmp_path, text, message):
    (tmp_path / "s.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError) as error:
        sessions.read_sessions(tmp_path / "s.txt")
    assert message in str(error.value)


def test_bad_input(tmp_path):
    with pytest.raises(TypeError, match="lists must be Sessions or a list"):
        sessions.sessions([1, 2])
    with pytest.raises(TypeError, match="items must be integers, not float64"):
        sessions.sessions([[1.5]])
    for rows, n_items in (([[-1]], None), ([[3]], 3)):
        with pytest.raises(ValueError, match="items must be between 0 and"):
            sessions.sessions(rows, n_items)
    for indptr in ([0, 2], [1, 1], [], [0, 2, 1]):
        with pytest.raises(ValueError, match="indptr must ascend from 0"):
            sessions.sessions(sessions.Sessions(np.array(indptr, np.int64), np.zeros(1, np.int32), 4))
    with pytest.raises(ValueError, match="the number of sessions must be at least 1"):
        sessions.train(sessions.sessions([]))
    with pytest.raises(ValueError, match="seed must be at least 0"):
        sessions.train(sessions.sessions([[1]]), seed=-1)
    with pytest.raises(ValueError, match="kind must be one of"):
        sessions.train(sessions.sessions([[1]]), kind="slow")
    (tmp_path / "s").write_text("9\t1\n")
    with pytest.raises(ValueError, match="items must be between 0 and 4, not 9"):
        sessions.read_sessions(tmp_path / "s", n_items=5)
