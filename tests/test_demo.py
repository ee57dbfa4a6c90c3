"""The demo: its queries, and a run on a few characters with a small model."""
import io
import os
import random
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchxc import demo, modelfile

FEW = ["black heart suit", "green heart", "snowman", "double low-9 quotation mark", "musical symbol g clef", "rightwards arrow",
       "leftwards arrow", "latin small letter a", "greek small letter alpha", "grinning face", "snowman without snow",
       "telephone location sign"]


def one_error_apart(wrong, right):
    """Whether one letter was inserted, lost, changed or swapped with its neighbour."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    options = set()
    for i, letter in enumerate(right):
        if letter in letters:
            options.add(right[:i] + right[i + 1:])
            options.update(right[:i] + other + right[i:] for other in letters)
            options.update(right[:i] + other + right[i + 1:] for other in letters)
            if i + 1 < len(right) and right[i + 1] in letters:
                options.add(right[:i] + right[i + 1] + letter + right[i + 2:])
    return wrong != right and wrong in options


@given(st.text("abz 9-", min_size=1).filter(lambda text: any(map(str.isalpha, text))), st.integers(0, 2**32))
def test_misspelt(text, seed):
    assert one_error_apart(demo.misspelt(text, random.Random(seed)), text)


def test_misspelt_makes_every_kind_of_error():
    draw = random.Random(0)
    found = {demo.misspelt("ab", draw) for _ in range(3000)}
    assert {"ba", "a", "b", "zb", "az", "zab", "azb"} <= found


@given(st.lists(st.sampled_from(["a", "heart", "x-1"]), min_size=1, max_size=6), st.integers(0, 3), st.integers(0, 99))
def test_shuffled(words, lost, seed):
    found = demo.shuffled(" ".join(words), random.Random(seed), lost).split(" ")
    assert len(found) == max(1, len(words) - lost)
    for word in found:
        assert found.count(word) <= words.count(word)


def test_names():
    found = demo.names()
    assert 30_000 < len(found) < 40_000 and len(set(found)) == len(found)
    for name in ("snowman", "latin small letter a", "hangul letter kiyeok", "yi syllable it", "hyphen-minus"):
        assert name in found
    for name in ("cjk unified ideograph-4e00", "hangul syllable ga", "tangut ideograph-17000", "khitan small script character-18b00"):
        assert name not in found
    points = [ord(unicodedata.lookup(name)) for name in found]
    assert points == sorted(points)


def test_training_queries_are_seeded_and_in_the_order_of_the_names():
    queries = demo.training_queries(FEW, copies=5)
    assert queries == demo.training_queries(FEW, copies=5) != demo.training_queries(FEW, copies=5, seed=7)
    assert queries[::5] == FEW
    for i, query in enumerate(queries):
        words = len(FEW[i // 5].split())
        assert i % 5 == 0 or words - 2 <= len(query.split()) <= words


def test_held_out_queries_hold_other_words_than_the_training_queries():
    training = set(map(demo.bag, demo.training_queries(FEW, copies=40)))
    for lost in (0, 1):
        queries, meant = demo.held_out_queries(FEW, training, lost)
        assert len(queries) == meant.size > 0 and len(set(meant.tolist())) == meant.size
        assert not training & set(map(demo.bag, queries))
        for query, label in zip(queries, meant):
            name = FEW[label].split()
            assert len(name) > lost
            assert len(set(query.split()) & set(name)) >= len(set(name)) - lost - 1
    drawn, _ = demo.held_out_queries(FEW, set(), 0)
    assert len(drawn) == len(FEW) and len(demo.held_out_queries(FEW, set(), 0, size=3)[0]) == 3
    assert len(demo.held_out_queries(FEW, set(map(demo.bag, drawn[:4])), 0)[0]) == len(FEW) - 4


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A demo of a few characters whose model is kept in a folder of its own; gives that folder."""
    monkeypatch.setattr(demo, "names", lambda: FEW)
    monkeypatch.setattr(demo, "SETTINGS", {"reps": 3, "buckets": 8, "loss": "softmax", "lr": 20.0, "batch": 8, "epochs": 6})
    monkeypatch.setenv("SKETCHXC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_run_prints_what_it_measured(small, capsys):
    demo.run(quiet=False)
    out, err = capsys.readouterr()
    assert "12 characters of Unicode" in out and "192 training queries" in out
    assert "1.15k/1.15k" in err and "loss" in err  # six epochs of 192
    recalls = [float(line.split("Recall@10 ")[1].split()[0]) for line in out.splitlines() if "Recall@10" in line]
    assert len(recalls) == 2 and recalls[0] >= 90
    assert "U+1F49A  💚  GREEN HEART" in out
    for example in demo.EXAMPLES:
        assert f"\n{example}\n" in out
    assert os.listdir(small) == ["demo.safetensors"]


def test_query_is_answered_by_the_model_of_an_earlier_run(small, capsys, monkeypatch):
    demo.run(query="gren hart", quiet=True)
    first = capsys.readouterr()
    assert first.err == "" and first.out.splitlines()[:2] == ["gren hart", "  U+1F49A  💚  GREEN HEART"] and len(first.out.splitlines()) == 6
    monkeypatch.setattr(demo, "train", lambda *_, **__: pytest.fail("trained again"))
    demo.run(query="gren hart", quiet=True)
    assert capsys.readouterr() == first


@pytest.mark.parametrize("harm", ["damaged", "cut off", "of other sources", "another class"])
def test_model_that_does_not_fit_is_trained_again(small, capsys, harm):
    demo.run(query="snwoman", quiet=True)
    first, path = capsys.readouterr(), small / "demo.safetensors"
    whole = path.read_bytes()
    if harm == "damaged":
        path.write_bytes(whole[:-100] + bytes(100))
    elif harm == "cut off":
        path.write_bytes(whole[:1000])
    else:
        state = modelfile.load(path)
        modelfile.save(path, state if harm == "of other sources" else state.encoder,
                       {"sources": "0"} if harm == "of other sources" else modelfile.read_notes(path))
        assert path.read_bytes() != whole
    demo.run(query="snwoman", quiet=True)
    assert capsys.readouterr() == first and path.read_bytes() == whole


def test_cache_folder_that_cannot_be_written(small, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SKETCHXC_CACHE_DIR", str(tmp_path / "file"))
    demo.run(query="snwoman", quiet=True)
    assert "U+2603  ☃  SNOWMAN\n" in capsys.readouterr().out and not small.exists()


def test_output_in_another_encoding(small, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    demo.run(query="snwoman", quiet=True)
    out.flush()
    assert b"U+2603  ?  SNOWMAN" in out.buffer.getvalue()


@pytest.mark.parametrize("query", ["", " ", "?!"])
def test_query_without_a_word(small, monkeypatch, query):
    monkeypatch.setattr(demo, "train", lambda *_, **__: pytest.fail("trained before the query was looked at"))
    with pytest.raises(ValueError, match="query must hold a letter or a digit, not"):
        demo.run(query=query)


def test_label_rows():
    rows = demo.label_rows([2, 0], 3)
    assert rows.indptr.tolist() == [0, 1, 2] and rows.indices.tolist() == [2, 0] and rows.width == 3 and rows.values.dtype == np.float32
