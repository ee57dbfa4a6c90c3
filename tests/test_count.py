"""Counting of files: tokens against their specification, exact counts as truth, the command, real text where there is some."""
import collections
import io
import json
import lzma
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from naive import count as naive

from sketchxc import cli, count

TEXT = st.text(st.sampled_from("ab1 \t\n\r,é😀ΣßİA") | st.characters(exclude_categories=["Cs"]), max_size=60)


class Input:
    """A standard input that holds these bytes."""
    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def counted(text, monkeypatch, block=7, **options):
    data = text if isinstance(text, bytes) else text.encode()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", Input(data))
        patch.setattr(count, "BLOCK", block)
        return count.count("-", **{"top": 1000, "error": 0.01, **options})


def check(found, tokens):
    truth = collections.Counter(tokens)
    assert found.total == len(tokens) and len(found.names) == len(truth) and found.error == 0
    assert found.names == sorted(truth, key=lambda token: (-truth[token], token.encode()))
    assert found.lower.tolist() == found.upper.tolist() == [truth[name] for name in found.names]


@given(TEXT, st.integers(1, 40))
@example("ΑΣ Σ ΑΣ\nİstanbul", 3)
def test_words(text, block):
    with pytest.MonkeyPatch.context() as monkeypatch:
        text = text.removeprefix("\ufeff")
        check(counted(text, monkeypatch, block), naive.words(text))


@given(TEXT, st.integers(1, 40))
@example("\r\n\r\n\ra\r\n\nb\r", 1)
def test_lines(text, block):
    with pytest.MonkeyPatch.context() as monkeypatch:
        text = text.removeprefix("\ufeff")
        check(counted(text, monkeypatch, block, by="line"), naive.lines(text))


@given(TEXT, st.integers(1, 40), st.integers(1, 4), st.sampled_from([None, ",", " ", "a"]))
@example(" a  b\t\n,,a,b,\n\na,,b", 5, 2, ",")
@example(" a  b\t\n \n\tc", 5, 2, None)
def test_fields(text, block, number, separator):
    with pytest.MonkeyPatch.context() as monkeypatch:
        text = text.removeprefix("\ufeff")
        found = counted(text, monkeypatch, block, by="field", field=number, separator=separator)
        check(found, naive.fields(text, number, separator))


@given(st.lists(st.integers(0, 60), max_size=300), st.integers(2, 40), st.integers(1, 50))
def test_bounds_hold_and_names_are_right_in_a_full_table(numbers, capacity, block):
    with pytest.MonkeyPatch.context() as monkeypatch:
        found = counted(" ".join(f"w{n}" for n in numbers), monkeypatch, block, error=1 / capacity)
    truth = collections.Counter(f"w{n}" for n in numbers)
    assert found.total == len(numbers) and found.error * (capacity + 1) <= len(numbers)
    for name, low, high in zip(found.names, found.lower.tolist(), found.upper.tolist()):
        assert low <= truth[name] <= high <= low + found.error
    assert {name for name, n in truth.items() if n > found.error} <= set(found.names)
    assert (np.diff(found.lower + found.upper) <= 0).all()


def test_names_of_keys_long_gone_are_forgotten(monkeypatch):
    found = counted("often " * 30 + " ".join(f"w{i} often" for i in range(100)), monkeypatch, 20, error=0.5)
    assert found.names[0] == "often" and found.lower[0] == found.upper[0] == 130 and found.total == 230


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return str(path)


def test_several_files_a_mark_and_progress(tmp_path):
    one, other = write(tmp_path / "1", b"\xef\xbb\xbfa\nb"), write(tmp_path / "2", "a\n")
    done = []
    found = count.count([one, tmp_path / "2", other], by="line", progress=done.append)
    assert (found.names, found.upper.tolist(), found.total) == (["a", "b"], [3, 1], 4)  # the end of a file ends a line
    assert sum(done) == 6 + 2 + 2
    assert count.count(one, top=1).names == ["a"] and count.count([], top=1).names == []


def test_invalid_utf8_is_named(monkeypatch, tmp_path):
    for by in ("word", "line", "field"):
        with pytest.raises(ValueError, match="standard input: byte 9: invalid start byte, wanted UTF-8"):
            counted(b"abc \n abc\xff d", monkeypatch, by=by)
    with pytest.raises(ValueError, match="x: byte 2: unexpected end of data"):
        count.count(write(tmp_path / "x", b"ab\xc3"))


def test_files_are_looked_for_before_any_is_counted(tmp_path):
    done = []
    with pytest.raises(FileNotFoundError, match="missing"):
        count.count([write(tmp_path / "a", "a b"), str(tmp_path / "missing")], progress=done.append)
    with pytest.raises(IsADirectoryError):
        count.count([write(tmp_path / "a", "a b"), str(tmp_path)], progress=done.append)
    assert done == []


@pytest.mark.parametrize("options, error, message", [
    ({"by": "letter"}, ValueError, "by must be one of word, line, field, not 'letter'"),
    ({"field": 0}, ValueError, "field must be between 1"),
    ({"separator": "ab"}, ValueError, "separator must be one ASCII character within a line, not 'ab'"),
    ({"separator": "é"}, ValueError, "separator must be"),
    ({"separator": "\n"}, ValueError, "separator must be"),
    ({"error": 0}, ValueError, "error must be above 0"),
    ({"top": -1}, ValueError, "top must be at least 0"),
])
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        count.count([], **options)


def test_the_command(tmp_path, capsys):
    path = write(tmp_path / "text", "b a a\nc A\n")
    assert cli.main(["count", path, "--top", "2"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["estimate     lower     upper  word", "       3         3         3  a", "       1         1         1  b"]
    assert "5 words, all counts are exact" in err and "100%" in err
    assert cli.main(["count", "--quiet", "--json", "--by", "field", "2", path]) == 0
    out, err = capsys.readouterr()
    assert err == "" and json.loads(out) == {"by": "field", "total": 2, "error": 0, "top": [
        {"name": name, "estimate": 1, "lower": 1, "upper": 1} for name in ("A", "a")]}
    assert cli.main(["count", "--quiet", "--error", "0.5", "--by", "line", path, path]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [f"{2:8}  {2:8}  {2:8}  {line}" for line in ("b a a", "c A")]


def test_the_command_says_how_far_off_it_may_be(tmp_path, capsys):
    path = write(tmp_path / "text", "a " * 9 + " ".join(f"w{i}" for i in range(9)))
    assert cli.main(["count", path, "--error", "0.5", "--top", "1"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == ["9", "9", "9", "a"] and "18 words, bounds are 2 apart at most" in err


@pytest.mark.parametrize("arguments, message", [
    (["missing"], "No such file or directory: 'missing'"),
    ([], "FILE is missing"),
    (["--by", "field", "x"], "--by field must be followed by the number of the field, not 'x'"),
    (["--by", "field"], "not 'nothing'"),
    (["--by", "letter", "x"], "by must be one of word, line, field"),
    (["--error", "2", "-"], "error must be"),
    (["."], "Is a directory"),
])
def test_errors_of_the_command(arguments, message, capsys):
    assert cli.main(["count", "--quiet", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


@pytest.mark.compiled
def test_a_pipe_larger_than_a_block():
    """As a program, from a pipe, with the true counts of a skewed stream of 10 MB."""
    numbers = (50_000 ** np.random.default_rng(1).random(1_500_000)).astype(int)
    truth = collections.Counter(numbers.tolist())
    command = [sys.executable, "-m", "sketchxc.cli", "count", "-", "--error", "1e-3", "--json", "--quiet", "--by", "field", "1"]
    done = subprocess.run(command, input="".join(f"{n} x\n" for n in numbers.tolist()), capture_output=True, text=True, check=True,
                          cwd=pathlib.Path(count.__file__).parents[1])
    found = json.loads(done.stdout)
    assert found["total"] == numbers.size > 2 * count.BLOCK / 8 and 0 < found["error"] <= numbers.size / 1001
    assert [int(entry["name"]) for entry in found["top"][:5]] == [n for n, _ in truth.most_common(5)]
    assert all(entry["lower"] <= truth[int(entry["name"])] <= entry["upper"] for entry in found["top"])


@pytest.mark.compiled
def test_real_words(tmp_path):
    """War and Peace, against the exact counts."""
    packed = pathlib.Path(os.environ.get("SKETCHXC_DATA", "none"), "words", "war_and_peace.txt.xz")
    if not packed.is_file():
        pytest.skip("SKETCHXC_DATA names no folder with the words")
    text = lzma.decompress(packed.read_bytes()).decode()
    truth = collections.Counter(naive.words(text))
    found = count.count(write(tmp_path / "novel", text), error=1e-3)
    assert found.total == sum(truth.values()) and [truth[name] for name in found.names[:3]] == [n for _, n in truth.most_common(3)]
    assert 0 < found.error <= found.total / 1001
    for name, low, high in zip(found.names, found.lower.tolist(), found.upper.tolist()):
        assert low <= truth[name] <= high
