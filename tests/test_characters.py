"""N-grams of characters beside the words of texts: their columns and weights, and the trial that decides on them."""
import math

import numba
import numpy as np
import pytest
from naive import text as naive

from sketchxc import modelfile, pipeline, sparse

TEXTS = ["red wine", "Reddish wines", "white wine", "", "a reddish dog", "dog"]


def grams(weight=0.5, texts=TEXTS, **more):
    return pipeline.text_encoder(texts, chars=(4, 4), char_rows=2, char_weight=weight, **more)


@pytest.mark.parametrize("weight", [0.5, 0.0, 1.0])
@pytest.mark.parametrize("bins", [0, 5])
def test_features_are_those_of_the_naive_twin(weight, bins):
    encoder, x = grams(weight, bins=bins, seed=3)
    words = naive.vocabulary(TEXTS, 100, seed=3)
    pieces = naive.vocabulary(TEXTS, 100, words=None, chars=(4, 4), seed=3, min_rows=2)
    known = sorted(words + pieces)
    assert encoder.vocabulary.tolist() == known and encoder.width == len(known) + bins and x.width == encoder.width
    counts = naive.lookup_texts(TEXTS, known, bins, chars=(4, 4), seed=3)
    frequency = [sum(column in dict(row) for row in counts) for column in range(encoder.width)]
    for i, row in enumerate(counts):
        found = {column: math.log(1 + count) * (math.log(7 / (1 + frequency[column])) + 1)
                 * (weight if column < len(known) and known[column] in pieces else 1) for column, count in row}
        length = math.sqrt(sum(value**2 for value in found.values())) or 1.0
        part = slice(x.indptr[i], x.indptr[i + 1])
        assert x.indices[part].tolist() == list(found)
        np.testing.assert_allclose(x.values[part], [value / length for value in found.values()], rtol=1e-5, atol=1e-7)
    again = pipeline.encode(encoder, TEXTS)
    assert all(np.array_equal(a, b) for a, b in zip(x, again))


def test_words_come_first_where_columns_are_few():
    words = naive.vocabulary(TEXTS, 100)
    assert grams(size=len(words))[0].vocabulary.tolist() == words
    one_more = grams(size=len(words) + 1)[0].vocabulary.tolist()
    assert sorted(words + naive.vocabulary(TEXTS, 1, words=None, chars=(4, 4), min_rows=2)) == one_more


def test_words_alone_are_as_they_were():
    plain, one = pipeline.text_encoder(TEXTS)
    again, other = pipeline.text_encoder(TEXTS, char_rows=2, char_weight=0.5)
    assert all(np.array_equal(a, b) for a, b in zip((*plain, *one), (*again, *other))) and plain.chars_low == 0


def test_wrong_weights():
    for wrong in (-1, math.nan):
        with pytest.raises(ValueError, match="char_weight"):
            grams(wrong)


def planted(rows=800, whole=False, seed=0):
    """Texts of one word, a label's stem and, unless it is the whole word, an ending of its own."""
    rng = np.random.default_rng(seed)
    stems = ["".join(chr(97 + c) for c in rng.integers(0, 26, 7)) for _ in range(15)]
    meant = rng.integers(0, 15, rows)
    ends = rng.integers(0, 26, (rows, 4))
    texts = [stems[m] + ("" if whole else "".join(chr(97 + c) for c in end)) for m, end in zip(meant.tolist(), ends.tolist())]
    return texts, sparse.rows(meant[:, None].tolist(), 15)


compiled = pytest.mark.compiled


@compiled
def test_the_trial_takes_them_where_stems_tell_and_leaves_them_where_words_do():
    pays, why = pipeline.characters_pay(*planted())
    assert pays and why.startswith("words and 4-grams of characters: P@1 + P@3 + P@5 on 160 held-out rows")
    assert pipeline.characters_pay(*planted(seed=1), seed=5)[0]
    pays, why = pipeline.characters_pay(*planted(whole=True))
    assert not pays and why.startswith("words: P@1")


def test_no_trial_on_long_texts_and_few_rows(monkeypatch):
    texts, labels = planted(99)
    assert pipeline.characters_pay(texts, labels) == (False, "words: 99 rows are too few to try more")
    empty = labels._replace(indptr=np.zeros(100, np.int64), indices=labels.indices[:0], values=labels.values[:0])
    assert pipeline.characters_pay(texts, empty) == (False, "words: 0 rows are too few to try more")
    assert pipeline.characters_pay(["?!"] * 99, labels) == (False, "words: 0 rows are too few to try more")
    monkeypatch.setattr(pipeline, "SHORT_TEXTS", 99 * 11 - 1)
    assert pipeline.characters_pay(texts, labels) == (False, "words: 1,089 characters of text are more than 1,088")


@compiled
def test_training_says_and_keeps_what_was_chosen(tmp_path):
    texts, labels = planted()
    before, written = numba.get_num_threads(), []
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            classifier, chosen, _ = pipeline.train(texts, labels, validation=0.1)
            modelfile.save(tmp_path / "model", classifier)
            written.append((tmp_path / "model").read_bytes())
    finally:
        numba.set_num_threads(before)
    assert written[0] == written[1]
    assert classifier.encoder.chars_low == 4 and "features   words and 4-grams of characters" in str(chosen)
    again = modelfile.load(tmp_path / "model", expected=pipeline.Classifier)
    new, truth = planted(seed=0, rows=1000)
    ranked, _ = pipeline.predict(again, new[800:], 1)
    assert (ranked[:, 0] == truth.indices[800:]).mean() > 0.9
    plain, chosen, _ = pipeline.train(texts, labels, characters="no", dry_run=True)
    assert plain is None and "\nfeatures" not in str(chosen)
    memory = chosen.model_bytes
    for asked in ({"memory": memory}, {"memory": memory, "kind": "best"}):
        chosen = pipeline.train(texts, labels, dry_run=True, **asked)[1]
        assert chosen.kind == "best" and "words: n-grams of characters would exceed the budgets" in str(chosen)
    with pytest.raises(ValueError, match="the budgets are too small"):
        pipeline.train(texts, labels, dry_run=True, memory=1000)
    with pytest.raises(ValueError, match="the budgets are too small"):
        pipeline.train(texts, labels, dry_run=True, memory=memory // 50, characters="yes")


@compiled
def test_who_asks_gets_them():
    texts, labels = planted(60)
    for kind in ("fast", "linear", "mach"):
        for characters, low in (("auto", 0), ("yes", 4)):
            assert pipeline.train(texts, labels, kind=kind, characters=characters)[0].encoder.chars_low == low
    with pytest.raises(ValueError, match="characters must be 'auto' or 'no' for rows of numbers"):
        pipeline.train(sparse.rows([[0]]), sparse.rows([[0]]), characters="yes")
    with pytest.raises(ValueError, match="characters must be one of"):
        pipeline.train(texts, labels, characters="maybe")
