"""Hashed pair weights: naive twin, one-vs-all where nothing collides, threads, files, bad input."""
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import hashing as naive_hashing
from naive import pairs as naive

from sketchxc import hashing, modelfile, pairs, sparse

LABELS = 150


def problem(seed, rows=12, columns=9, places=5):
    """Random rows, their labels, shortlists with distinct labels and gaps, base scores, an order with repeats."""
    rng = np.random.default_rng(seed)
    lists = [sorted(rng.permutation(columns)[:rng.integers(0, 4)].tolist()) for _ in range(rows)]
    x = sparse.rows(lists, columns)
    x = x._replace(values=rng.normal(size=x.indices.size).astype(np.float32))
    shortlist = np.stack([rng.permutation(LABELS)[:places] for _ in range(rows)]).astype(np.int32)
    own = [{int(label) for label in line[:rng.integers(0, 3)]} | {int(rng.integers(LABELS))} for line in shortlist]
    labels = sparse.rows([sorted(line) for line in own], LABELS)
    shortlist[rng.random(shortlist.shape) < 0.2] = -1
    base = rng.normal(size=shortlist.shape).astype(np.float32)
    return x, labels, shortlist, base, rng.integers(0, rows, 15)


def entries(x, i):
    """(feature, value) of row i."""
    return list(zip(x.indices[x.indptr[i]:x.indptr[i + 1]].tolist(), x.values[x.indptr[i]:x.indptr[i + 1]].tolist()))


def cells_of(weights):
    """Cells of a pair as the naive twin wants them, from the documented hashes."""
    cells = weights.table.shape[2]

    def found(feature, label):
        keys = np.array([(feature << 32) | label], np.uint64)
        columns = hashing.buckets(keys, weights.seeds, cells)[:, 0].tolist()
        signs = hashing.signs(keys, weights.seeds)[:, 0].tolist()
        return [((d, label % pairs.SLICES, column), sign) for d, (column, sign) in enumerate(zip(columns, signs))]
    return found


def examples(x, labels, shortlist, base, order, lr, last_lr):
    """What the naive twin trains on, in the order of the pass; slices share no cell, so their order among each other does not matter."""
    out = []
    for step, i in enumerate(order):
        row = entries(x, i)
        own = labels.indices[labels.indptr[i]:labels.indptr[i + 1]].tolist()
        out += [(row, label, float(label in own), float(base[i, c]), lr + (last_lr - lr) * step / len(order))
                for c, label in enumerate(shortlist[i].tolist()) if label >= 0]
    return out


@given(st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([1, 64 * 3, 64 * 50]))
@settings(max_examples=25)
def test_training_and_scores_match_the_naive_twin(seed, depth, width):
    x, labels, shortlist, base, order = problem(seed)
    weights = pairs.init(LABELS, depth=depth, width=width, seed=seed)
    squares = pairs.slots(weights, 0.5)
    loss = pairs.train(weights, squares, x, labels, shortlist, order, lr=0.5, last_lr=0.1, base=base)
    table, sums, cells = {}, {}, cells_of(weights)
    wanted = naive.train(table, sums, cells, examples(x, labels, shortlist, base, order, 0.5, 0.1), start=0.5)
    assert loss == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    dense = np.zeros_like(weights.table)
    for place, value in table.items():
        dense[place] = value
    np.testing.assert_allclose(weights.table, dense, rtol=2e-3, atol=2e-4)
    got = pairs.scores(weights, x, shortlist, base)
    for i in range(len(shortlist)):
        row = entries(x, i)
        for c, label in enumerate(shortlist[i].tolist()):
            if label < 0:
                assert got[i, c] == -np.inf
            else:
                assert got[i, c] == pytest.approx(naive.score(table, cells, row, label, float(base[i, c])), rel=1e-2, abs=1e-2)


def test_signs_and_cells_are_those_of_the_naive_hashes():
    weights = pairs.init(LABELS, depth=2, width=640, seed=5)
    for (d, part, column), sign in cells_of(weights)(3, 77):
        key, seed = (3 << 32) | 77, int(weights.seeds[d])
        assert part == 13 and naive_hashing.buckets([key], [seed], 10)[0][0] == column and naive_hashing.signs([key], [seed])[0][0] == sign


def test_without_collisions_it_is_one_vs_all():
    x, labels, shortlist, base, order = problem(3)
    weights = pairs.init(LABELS, width=64 * 100_003, seed=1)
    found = cells_of(weights)
    used = [(feature, label) for feature in range(9) for label in range(LABELS)]
    assert len({found(*pair)[0][0] for pair in used}) == len(used)  # injective
    pairs.train(weights, pairs.slots(weights), x, labels, shortlist, order, lr=0.5, base=base)
    own = {}
    naive.one_vs_all(own, {}, examples(x, labels, shortlist, base, order, 0.5, 0.5))
    got = pairs.scores(weights, x, shortlist, base)
    for i, c in zip(*np.nonzero(shortlist >= 0)):
        wanted = base[i, c] + sum(value * own.get((f, int(shortlist[i, c])), 0.0) for f, value in entries(x, i))
        assert got[i, c] == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_any_number_of_threads_gives_the_same_bits():
    x, labels, shortlist, base, order = problem(9, rows=40)
    tables = []
    for threads in (1, numba.config.NUMBA_NUM_THREADS):
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        weights = pairs.init(LABELS, depth=3, width=640)
        squares = pairs.slots(weights)
        losses = [pairs.train(weights, squares, x, labels, shortlist, order, lr=1.0) for _ in range(3)]
        tables.append((weights.table.tobytes(), squares.tobytes(), losses))
        numba.set_num_threads(before)
    assert tables[0] == tables[1] and tables[0][2][2] < tables[0][2][0]


def test_files_and_bad_input(tmp_path):
    x, labels, shortlist, base, order = problem(0)
    weights = pairs.init(LABELS, depth=2, width=640)
    squares = pairs.slots(weights)
    pairs.train(weights, squares, x, labels, shortlist, order, lr=1.0)
    modelfile.save(tmp_path / "pairs", weights)
    again = modelfile.load(tmp_path / "pairs")
    assert np.array_equal(pairs.scores(again, x, shortlist), pairs.scores(weights, x, shortlist))
    assert pairs.train(weights, squares, x, labels, shortlist, np.empty(0, np.int64), lr=1.0) == 0
    for wrong in (weights._replace(seeds=weights.seeds[:1]), weights._replace(table=weights.table[:, :2])):
        with pytest.raises(ValueError, match="table must have"):
            pairs._validate(wrong)
    for bad, match in ((dict(shortlist=shortlist[:-1]), "shortlist must have a row"),
                       (dict(shortlist=shortlist + LABELS), "must hold labels"),
                       (dict(base=base[:, :-1]), "base must have the shape"), (dict(order=[12]), "order must hold row numbers"),
                       (dict(labels=sparse.rows([[0]], LABELS)), "labels must have as many rows"),
                       (dict(squares=squares[:1]), "squares must be float32")):
        given = dict(squares=squares, x=x, labels=labels, shortlist=shortlist, order=order, lr=1.0) | bad
        with pytest.raises(ValueError, match=match):
            pairs.train(weights, **given)
    for bad in (dict(depth=4), dict(depth=0), dict(width=0)):
        with pytest.raises(ValueError, match=next(iter(bad))):
            pairs.init(5, **bad)
