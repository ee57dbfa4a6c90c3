"""Further rows, new labels and erased labels on a trained classifier: what is exact, what is found, files, the command line, bad input."""
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_ranker import planted
from test_votes import as_dict, as_lists, counted, equal, problems

from sketchxc import cli, metrics, modelfile, neighbours, pipeline, ranker, recipe, sparse, update, votes

compiled = pytest.mark.compiled
KINDS = pytest.mark.parametrize("kind", ["fast", pytest.param("small", marks=compiled), pytest.param("best", marks=compiled)])


def classifier_of(rows, truth, width, n_labels, *, kind="fast", names=(), **options):
    x, labels = sparse.normalize(sparse.rows(rows, width)), sparse.rows(truth, n_labels)
    chosen = recipe.choose(len(rows), width, n_labels, nonzeros=x.indices.size, kind=kind, **options)
    return pipeline.Classifier(pipeline.row_encoder(x), ranker.train(x, labels, chosen), *modelfile.pack_strings(list(names)), "log"), x


def few(kind="fast", **options):
    """Five labels, each with a column, and noise."""
    return classifier_of([[i % 5, 5 + i % 3] for i in range(40)], [[i % 5] for i in range(40)], 10, 5, kind=kind, **options)


def same_state(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return all(map(same_state, a, b)) if isinstance(a, tuple) else a == b


# ---- counts that come back from votes

@given(problems(), st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.5, 0.75]), st.sampled_from([0.0, 0.2]))
def test_counts_come_back_from_votes(case, expected, feature_power, label_power):
    counts = counted(*case)
    settings = dict(expected=expected, feature_power=feature_power, label_power=label_power, threshold=0.0)
    made, basis = votes.votes(counts, **settings), votes.basis(counts, **settings)
    back = votes.restore(made, basis)
    known = as_dict(counts)
    assert all(known[pair] == count for pair, count in as_dict(back).items()) and back.rows == counts.rows
    assert np.array_equal(back.feature_rows, counts.feature_rows) and np.array_equal(back.label_rows, counts.label_rows)
    assert expected or equal(back, counts)  # without an expected count no pair is dropped
    assert equal(votes.votes(back, **settings), made)


def test_sizes_in_two_bytes():
    """Exact below 2**15; above it near, and right in the mean where two bytes cannot tell."""
    sizes = np.concatenate([np.arange(0, 1 << 15, 97), np.full(20_000, 10**6 + 3), [2**31 - 1, (1 << 15) - 1, 1 << 15]])
    counts = votes.Counts(np.zeros(sizes.size + 1, np.int64), *[np.empty(0, np.int32)] * 2, sizes, np.array([3, 0]), 2**31 - 1)
    kept = votes.basis(counts)
    back = votes.restore(votes.votes(counts), kept)
    assert kept.sizes.dtype == np.uint16 and np.array_equal(back.feature_rows[sizes < 1 << 15], sizes[sizes < 1 << 15])
    assert (np.abs(back.feature_rows / np.maximum(sizes, 1) - 1)[sizes > 0] < 4e-4).all() and back.feature_rows[-1] == 1 << 15
    large = back.feature_rows[sizes == 10**6 + 3]
    assert len(set(large.tolist())) == 2 and large.mean() == pytest.approx(10**6 + 3, abs=4 * large.std() / np.sqrt(large.size))


@given(problems(), st.sets(st.integers(0, 6)))
def test_struck_labels_take_nothing_from_the_others(case, erased):
    made = votes.votes(counted(*case), expected=0)
    erased = [label for label in erased if label < case[3]]
    left = votes.strike(made, np.array(erased, np.int64))
    assert as_lists(left) == [[entry for entry in line if entry[0] not in erased] for line in as_lists(made)]
    with pytest.raises(ValueError, match=f"labels must be between 0 and {case[3] - 1}, not"):
        votes.strike(made, case[3])


def test_bases_that_do_not_fit(tmp_path):
    model = few()[0].model
    for change in (dict(label_rows=np.full(5, -2, np.int32)), dict(rows=-1), dict(keep=0)):
        with pytest.raises(ValueError, match="rows, keep and label_rows must be at least 0, 1 and -1"):
            modelfile.save(tmp_path / "model", model._replace(basis=model.basis._replace(**change)))
    with pytest.raises(ValueError, match="basis must be of [0-9]+ features and 5 labels, not [0-9]+ and 4"):
        modelfile.save(tmp_path / "model", model._replace(basis=model.basis._replace(label_rows=np.zeros(4, np.int32))))


# ---- rows that come later

@compiled
@pytest.mark.parametrize("kind", ["fast", "small", "best"])
@pytest.mark.parametrize("kept", [True, False])
def test_new_labels_are_found_and_old_ones_kept(kind, kept):
    """Whether old rows are at hand or drawn from the counts."""
    x, labels = planted(900)
    late = np.zeros(900, bool)
    late[np.repeat(np.arange(900), np.diff(labels.indptr))[labels.indices >= 9]] = True
    early = [sparse.take(part, np.flatnonzero(~late)) for part in (x, labels)]
    chosen = recipe.choose(int((~late).sum()), x.width, 9, nonzeros=early[0].indices.size, kind=kind)
    model = ranker.train(early[0], early[1]._replace(width=9), chosen)
    model = model if kept else model._replace(neighbours=None)
    old = pipeline.Classifier(pipeline.row_encoder(x), model, *modelfile.pack_strings([]), "log")
    new = update.insert(old, *(sparse.take(part, np.flatnonzero(late)) for part in (x, labels)))
    assert pipeline.n_labels(new) == 12 and pipeline.n_labels(old) == 9
    test_x, test_labels = planted(400, seed=1)
    only_old = np.flatnonzero(np.bincount(np.repeat(np.arange(400), np.diff(test_labels.indptr)), test_labels.indices >= 9) == 0)
    ranked, scores = pipeline.predict(new, test_x, 5)
    assert metrics.precision_at(ranked, test_labels, 1) > 0.9
    truth = sparse.take(test_labels, only_old)
    before = metrics.precision_at(pipeline.predict(old, sparse.take(test_x, only_old), 5)[0], truth, 1)
    assert metrics.precision_at(ranked[only_old], truth, 1) > before - 0.05
    chances = pipeline.probabilities(new, scores)
    assert chances.min() >= 0 and chances.max() <= 1


@KINDS
def test_rows_without_news_change_nothing(kind):
    """Nothing inserted: the same votes, the same vectors of labels."""
    old, x = few(kind)
    new = update.insert(old, sparse.take(x, []), sparse.rows([], 5))
    assert same_state(new.model.votes, old.model.votes) and same_state(new.model.basis, old.model.basis)
    assert same_state(new.model.factors, old.model.factors) and same_state(new.model.neighbours, old.model.neighbours)
    assert same_state(pipeline.predict(new, x, 5), pipeline.predict(old, x, 5))


@KINDS
def test_a_label_after_a_gap(kind, tmp_path):
    """Labels 5 and 6 are made, 6 has rows; vectors of old labels and nearest rows are exactly what they must be."""
    old, x = few(kind)
    rows = sparse.rows([[9, 5 + i % 3] for i in range(8)], 10)
    new = update.insert(old, rows, sparse.rows([[6]] * 8))
    assert pipeline.n_labels(new) == new.model.shortlist == 7 and new.model.basis.label_rows.tolist() == [8] * 5 + [0, 8]
    assert pipeline.predict(new, rows, 1)[0].ravel().tolist() == [6] * 8
    assert pipeline.predict(new, x, 1)[0].ravel().tolist() == [i % 5 for i in range(40)]
    assert (np.sort(pipeline.predict(new, x, 7)[0], axis=1) == np.arange(7)).all()
    if old.model.factors is not None:
        assert np.array_equal(new.model.factors.labels[:, :5], old.model.factors.labels) and new.model.factors.labels[:, 6].any()
        assert np.array_equal(new.model.factors.features, old.model.factors.features)
    if old.model.neighbours is not None:
        both = sparse.rows([[i % 5] for i in range(40)] + [[6]] * 8, 7)
        assert same_state(new.model.neighbours, neighbours.index(sparse.stack([x, sparse.normalize(rows)]), both))
    modelfile.save(tmp_path / "model", new)
    assert same_state(modelfile.load(tmp_path / "model", verify=True), new)


@compiled
@pytest.mark.parametrize("kept", [True, False])
def test_any_number_of_threads_gives_the_same_bits(kept):
    old, x = few("best")
    old = old if kept else old._replace(model=old.model._replace(neighbours=None))
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(threads)
            found.append(update.insert(old, x, sparse.rows([[i % 5, 6] for i in range(40)])))
    finally:
        numba.set_num_threads(before)
    assert same_state(*found) and not same_state(found[0], update.insert(old, x, sparse.rows([[i % 5, 6] for i in range(40)]), seed=1))


def test_unknown_columns_are_left_out():
    old, _ = few()
    wide = update.insert(old, sparse.rows([[9, 12]] * 4), sparse.rows([[5]] * 4))
    assert same_state(wide, update.insert(old, sparse.rows([[9]] * 4), sparse.rows([[5]] * 4)))
    assert pipeline.n_labels(update.insert(old, sparse.rows([[12]] * 4), sparse.rows([[5]] * 4))) == 6  # rows of nothing known


def test_decay_forgets():
    old, x = few()
    new = update.insert(old, sparse.rows([[9]] * 3, 10), sparse.rows([[5]] * 3), decay=0)
    assert new.model.basis.rows == 3 and set(new.model.votes.labels.tolist()) <= {5}
    half = update.insert(old, sparse.rows([[9]] * 3, 10), sparse.rows([[5]] * 3), decay=0.5)
    assert half.model.basis.rows == 23 and half.model.basis.label_rows.tolist() == [4] * 5 + [3]
    with pytest.raises(ValueError, match="decay must be"):
        update.insert(old, x, sparse.rows([[0]] * 40), decay=1.5)


def test_gains_go_by_the_rows_of_a_label():
    rows = [[i % 3] for i in range(30)] + [[0]] * 30
    old, _ = classifier_of(rows, rows, 4, 3, tail=metrics.PROPENSITY_PRESETS["default"])
    new = update.insert(old, sparse.rows([[3]] * 25, 4), sparse.rows([[3]] * 25))
    gains = new.model.gains
    assert gains[:3] == pytest.approx(old.model.gains) and gains[0] < gains[3] < gains[1]  # 40, 25 and 10 rows


# ---- labels that go

@KINDS
def test_erased_labels_never_come_back(kind):
    """Also where all labels are listed; the others keep their order and their distances."""
    old, x = few(kind)
    new = update.erase(old, [1, 3])
    labels, scores = pipeline.predict(old, x, 5)
    left, left_scores = pipeline.predict(new, x, 5)
    stays = ~np.isin(labels, [1, 3])
    assert np.array_equal(left[:, :3].ravel(), labels[stays])
    apart = left_scores[:, :3] - scores[stays].reshape(-1, 3)  # what a row's labels are measured by is without the erased ones
    assert np.allclose(apart, apart[:, :1], atol=1e-4) and (apart >= -1e-4).all()
    assert (left[:, 3:] == -1).all() and (pipeline.probabilities(new, left_scores)[:, 3:] == 0).all()
    assert not np.isin(pipeline.predict(new, sparse.rows([[], [8]], 10), 5)[0], [1, 3]).any()
    again = update.insert(new, sparse.rows([[9]] * 8, 10), sparse.rows([[1]] * 8, 5))
    found = pipeline.predict(again, sparse.rows([[9], []], 10), 5)[0]
    assert found[0, 0] == 1 and not (found == 3).any() and (np.sort(found, axis=1) == [-1, 0, 1, 2, 4]).all()
    assert np.array_equal(pipeline.predict(old, x, 5)[0], labels)


def test_erasing_in_steps_or_at_once():
    old, _ = few()
    assert same_state(update.erase(update.erase(old, 1), [3]), update.erase(old, [3, 1, 3]))
    assert same_state(update.erase(old, []), old)
    for wrong in (5, [-1], [0, 7]):
        with pytest.raises(ValueError, match="labels must be between 0 and 4"):
            update.erase(old, wrong)
    assert (pipeline.predict(update.erase(old, np.arange(5)), sparse.rows([[0]], 10), 5)[0] == -1).all()


# ---- names, files, the command line, bad input

def run(*words):
    return cli.main([str(word) for word in words])


@compiled
def test_products_are_added_and_taken_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli._jit, "enable_cache", lambda folder=None: None)
    words = ["red", "green", "blue", "black"]
    (tmp_path / "train.tsv").write_text("".join(f"{words[i % 3]}\ta {words[i % 3]} shirt for {i % 7} people\n" for i in range(90)))
    (tmp_path / "new.tsv").write_text("crowd\tfor 5 people, zyx\ncrowd,red\tfor red 6 people\n" * 4)
    (tmp_path / "query.txt").write_text("for 5 people\na red one\n")
    model = tmp_path / "model"
    assert run("train", tmp_path / "train.tsv", "-o", model, "--quiet", "--model", "small") == 0
    first = model.read_bytes()
    assert run("update", model, tmp_path / "new.tsv", "-o", tmp_path / "other") == 0 and model.read_bytes() == first
    assert "rows added: 8, new labels: 1\n" in capsys.readouterr().err
    assert run("update", model, tmp_path / "new.tsv") == 0 and model.read_bytes() == (tmp_path / "other").read_bytes()
    assert modelfile.read_notes(model)["rows"] == 98
    assert run("predict", model, tmp_path / "query.txt", "-k", 4) == 0
    found = capsys.readouterr().out.splitlines()
    assert found[0].startswith("crowd:") and found[1].startswith("red:")
    (tmp_path / "gone.txt").write_text("crowd\nblue\n")
    assert run("update", model, "--erase", tmp_path / "gone.txt", "--quiet") == 0
    assert run("predict", model, tmp_path / "query.txt", "-k", 4) == 0
    found = capsys.readouterr()
    assert not found.err and all(len(line.split()) == 2 and "crowd:" not in line and "blue:" not in line for line in found.out.splitlines())
    (tmp_path / "gone.txt").write_text("red\nmauve\n")
    for wrong, message in (((), "NEW or --erase"), (("--erase", tmp_path / "gone.txt"), "gone.txt:2: found 'mauve'"),
                           ((tmp_path / "none.tsv",), "none.tsv")):
        assert run("update", model, *wrong) == 1 and message in capsys.readouterr().err


def test_rows_of_numbers_and_of_texts_in_files(tmp_path):
    old, x = few()
    (tmp_path / "new.txt").write_text("2 14 7\n6 9:1 13:2\n0 0:1\n")
    data, labels, names = update.read(tmp_path / "new.txt", old)
    new = update.insert(old, data, labels, names=names)
    assert pipeline.n_labels(new) == 7 and new.model.basis.rows == 42
    (tmp_path / "gone.txt").write_text("6\n0\n")
    assert update.read_labels(tmp_path / "gone.txt", new).tolist() == [6, 0]
    (tmp_path / "gone.txt").write_text("0\n\n")
    with pytest.raises(ValueError, match="gone.txt:2: found '', expected a label"):
        update.read_labels(tmp_path / "gone.txt", new)
    (tmp_path / "new.txt").write_text("1\ta text\n")
    with pytest.raises(ValueError, match="the model was trained on rows of numbers"):
        update.read(tmp_path / "new.txt", old)


def test_bad_input():
    old, x = few()
    named = old._replace(**dict(zip(("names", "name_offsets"), modelfile.pack_strings(list("abcde")))))
    with pytest.raises(ValueError, match="as many rows as data, 40, not 1"):
        update.insert(old, x, sparse.rows([[0]]))
    with pytest.raises(ValueError, match="names must be None"):
        update.insert(old, x, sparse.rows([[0]] * 40), names=list("abcde"))
    for names in (None, list("abcd"), list("abced"), list("abcde")):
        with pytest.raises(ValueError, match="names must hold those of the 5 labels of the classifier, then one for each of 1 new"):
            update.insert(named, x, sparse.rows([[5]] * 40), names=names)
    assert pipeline.label_names(update.insert(named, x, sparse.rows([[5]] * 40), names=list("abcdef"))) == list("abcdef")
    plain = pipeline.train(x, sparse.rows([[i % 5] for i in range(40)]), kind="linear", epochs=1)[0]
    for other in (plain, old._replace(model=old.model._replace(basis=None))):
        for change in (lambda: update.insert(other, x, sparse.rows([[0]] * 40)), lambda: update.erase(other, 0)):
            with pytest.raises(ValueError, match="classifier must be of kind 'best', 'fast' or 'small'"):
                change()
