"""The near-duplicate example: what stays, what is told, files and standard input."""
import importlib.util
import io
import pathlib
import types

import numpy as np

SOURCE = pathlib.Path(__file__).parent.parent / "examples" / "near_duplicates.py"
spec = importlib.util.spec_from_file_location("near_duplicates", SOURCE)
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)

WORDS = [f"word{i}" for i in range(200)]
LONG = " ".join(WORDS[:60])
LINES = [LONG, "a short line", LONG.upper(), "", LONG.replace("word30", "other"), "A  short line!", " ".join(WORDS[60:120]), "!!!", "???",
         "!!!", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "wörter été"]
KEPT = [0, 1, 3, 6, 7, 8, 10, 11]


def run(data, **options):
    target, report = io.BytesIO(), io.StringIO()
    counts = example.deduplicate(io.BytesIO(data), target, report, permutations=64, **options)
    return counts, target.getvalue(), report.getvalue()


def test_first_of_each_group_stays():
    data = "\n".join(LINES).encode() + b"\n"
    counts, kept, report = run(data)
    assert counts == (len(LINES), len(KEPT)) and kept == "".join(LINES[i] + "\n" for i in KEPT).encode()
    told = report.splitlines()
    assert [line.split(",")[0] for line in told] == [f"line {i} dropped: like line {j}" for i, j in ((3, 1), (5, 1), (6, 2), (10, 8))]
    assert told[0].endswith("similarity 1.00") and 0.8 <= float(told[1].split()[-1]) < 1
    assert run(data, size=2) == (counts, kept, report)


def test_threshold_words_and_ends_of_lines():
    data = "\r\n".join(LINES).encode()  # the last line has no end
    assert run(data, threshold=1.0, words=1)[0] == (len(LINES), len(KEPT) + 1)
    kept = run(data)[1]
    assert kept.startswith(LONG.encode() + b"\r\na short") and kept.endswith("\r\nwörter été".encode())
    assert run(b"")[:2] == ((0, 0), b"") and run(b"\xff\xfe\n\xff\n\xff\xfe\n")[0] == (3, 2)


def test_planted_near_duplicates_are_found():
    """Of 16 texts a quarter are others' copies with one of 50 words changed."""
    rng = np.random.default_rng(0)
    texts = [rng.choice(WORDS, 50).tolist() for _ in range(12)]
    copies = [text[:i] + ["changed"] + text[i + 1:] for i, text in enumerate(texts[:4])]
    lines = [" ".join(text) for text in texts + copies]
    (read, kept), out, _ = run("\n".join(lines).encode(), threshold=0.7)
    assert (read, kept) == (16, 12) and out.decode().splitlines() == lines[:12]


def test_command(tmp_path, capsysbinary, monkeypatch):
    (tmp_path / "in").write_bytes(b"one two\nthree\nOne two.\n")
    assert example.main([str(tmp_path / "in"), str(tmp_path / "out"), "--permutations", "64"]) == (3, 2)
    assert (tmp_path / "out").read_bytes() == b"one two\nthree\n"
    told = b"line 3 dropped: like line 1, similarity 1.00\n3 documents read, 2 kept\n"
    assert capsysbinary.readouterr().err == told
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(b"one two\nthree\nOne two.\n")))
    assert example.main(["--permutations", "64"]) == (3, 2)
    assert capsysbinary.readouterr() == (b"one two\nthree\n", told)
