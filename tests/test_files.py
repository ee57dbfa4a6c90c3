import bz2
import gzip
import lzma
import os
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import files as naive

from sketchxc import _disk, files
from sketchxc._scalar.files import scaled, shortest
from sketchxc.sparse import Rows

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def rows_of(lists, width):
    """Rows from one list of (column, value) pairs per row."""
    flat = [pair for row in lists for pair in row]
    return Rows(np.cumsum([0] + [len(row) for row in lists]), np.array([c for c, _ in flat], np.int32),
                np.array([v for _, v in flat], np.float32), width)


def labels_of(lists, width):
    return rows_of([[(label, 1.0) for label in row] for row in lists], width)


def same(a, b):
    assert a.width == b.width
    for x, y, dtype in zip(a[:3], b[:3], (np.int64, np.int32, np.float32)):
        assert x.dtype == dtype
        assert y.astype(dtype).tobytes() == x.tobytes()


def compare(path, text, chunk):
    """Reader and naive reader give the same arrays, or refuse the same line."""
    old, files._CHUNK = files._CHUNK, chunk
    try:
        try:
            labels, pairs, n_features, n_labels = naive.read_xc(text)
        except naive.Wrong as wrong:
            with pytest.raises(ValueError) as caught:
                files.read_xc(path)
            assert str(caught.value).startswith(f"{path}:{wrong.args[0]}: found ")
            assert ", expected " in str(caught.value)
            return False
        x, y = files.read_xc(path)
        same(x, rows_of(pairs, n_features))
        same(y, labels_of(labels, n_labels))
        for size in (1, 3):
            blocks = list(files.xc_blocks(path, size, features=n_features, labels=n_labels))
            assert [b.indptr.size - 1 for b, _ in blocks[:-1]] == [size] * (len(blocks) - 1)
            for part, whole in ((0, x), (1, y)):
                for k in (1, 2):
                    assert np.array_equal(np.concatenate([b[part][k] for b in blocks] + [whole[k][:0]]), whole[k])
                counts = [np.diff(b[part].indptr) for b in blocks]
                assert np.array_equal(np.concatenate(counts + [np.zeros(0, int)]), np.diff(whole.indptr))
        return True
    finally:
        files._CHUNK = old


NUMBERS = st.one_of(FLOATS.map(repr), st.floats(-1e3, 1e3).map(lambda v: f"{v:.6g}"),
                    st.sampled_from(["1", "0", "-0.0", ".5", "5.", "1e3"]))
TOKENS = st.tuples(st.integers(0, 30), NUMBERS).map(lambda t: f"{t[0]}:{t[1]}")
ODD = st.sampled_from(["", "7", "3:", ":1", "3:nan", "3:inf", "-1:2", "3:1e39", "3:1e400", "4:1:2", "3:0x1", "3:1_0", "3:1e", "3:.",
                       "9999999999:1", "31:1", "3:١", "x", "1,2", "\r", "3:1\r", "3:+1", "3:--1"])
LABELS = st.lists(st.integers(0, 8).map(str), max_size=4).map(",".join)
BLANKS = st.sampled_from([" "] * 8 + ["\t", "  "])


@st.composite
def xc_lines(draw, odd):
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from(["", "", " ", "\t "]))
    words = draw(st.lists(TOKENS, max_size=4, unique_by=None if odd else lambda t: t.partition(":")[0]))
    if odd and draw(st.integers(0, 6)) == 0:
        words.insert(draw(st.integers(0, len(words))), draw(ODD))
    head = draw(LABELS)
    if odd and draw(st.integers(0, 9)) == 0:
        head = draw(st.sampled_from(["9", "1,", ",1", "a", "-1", "1.5", "1,,2", "99999999999"]))
    body = "".join(draw(BLANKS) + word for word in words)
    return (head + body) if head or draw(st.booleans()) else body.lstrip()


@st.composite
def xc_texts(draw, odd):
    lines = draw(st.lists(xc_lines(odd), max_size=6))
    if draw(st.booleans()):
        rows = len(lines) if not odd or draw(st.booleans()) else draw(st.integers(0, 8))
        lines.insert(0, f"{rows} 31 9")
    ends = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    return ends.join(lines) + (ends * draw(st.integers(1, 2)) if lines and (not odd or draw(st.booleans())) else "")


@given(text=xc_texts(odd=False), chunk=st.sampled_from([1, 2, 7, 64, 1 << 20]))
def test_well_formed(put, text, chunk):
    compare(put(text), text, chunk)


@given(text=xc_texts(odd=True), chunk=st.sampled_from([1, 7, 64, 1 << 20]))
def test_malformed(put, text, chunk):
    compare(put(text), text, chunk)


@pytest.mark.parametrize("text", [
    "1 4 3\n0,2 3:1 1:0.5\n", "0,2 3:1 1:0.5", "3 4 3\n0 1:1\n\n\n", "3 4 3\n\n\n1 2:1\n", "2 4 3\n1 2:1\n\n\n\n\n", "0 4 3\n", "0 4 3",
    "0 0 0\n\n", "1 2:1\n\n3 4:1\n\n\n", "1\n\n 2:3\n", "3:1\n2:1 0:1\n", " \n", "5,5,1,5 1:1\n", "3 4 3\r\n0 1:1\r\n\r\n1,2 2:1\r\n",
    " 3:1 \t \n", "1 2:1\r", "2 3\n", "1 4 3\n0 1:1\n\nbad\n", "1 2 3 4\n", "a b c\n", "-1 2 3\n",
    "1 2\n", "2 4 3\n0 1:1\n", "1 4 3\n0 1:1\n0 1:1\n",
    "1 4 3\n\n0 1:1\n", "1 4 3\n3 1:1\n", "1 4 3\n0 4:1\n", "", "\n\n\n", "\r\n", "1 9999999999 3\n", "1 3 99999999999999999999999999\n",
    "0 1:1 1:2\n", "0 2:1 1:1 2:2\n", "0 2147483646:1\n", "0 2147483647:1\n", "2147483646 1:1\n", "2147483647 1:1\n", "0 2147483648:1\n",
    "0 99999999999999999999:1\n", "0 1:1 x\n", "0 1:1\r2:1\n", "0,1, 2:1\n"])
def test_edges(put, text):
    for chunk in (1, 5, 1 << 20):
        compare(put(text), text, chunk)


@pytest.mark.parametrize("text, message", [
    ("a 1:2\n", "1: found 'a', expected label numbers divided by commas, or feature:value"),
    ("1 1:2\n1,-2 1:2\n", "2: found '-2', expected label numbers"),
    ("1 4 3\n3 1:1\n", "2: found '3', expected a label below 3"),
    ("1 4 3\n2 4:1\n", "2: found '4:1', expected a feature below 4"),
    ("0 1:2 5\n", "1: found '5', expected feature:value with a feature number"),
    ("0 1:2 5:nan\n", "1: found '5:nan', expected feature:value with a finite decimal number"),
    ("0 1:2 5:-1e39 7:1\n", "1: found '5:-1e39', expected feature:value with a finite decimal number"),
    ("0 1:2\n0 5:1 3:2 5:7\n", "2: found '5:7', expected every feature once"),
    ("2 4 3\n0 1:1\n", "3: found the end of the file after 1 rows, expected 2 rows as in line 1"),
    ("1 4 3\n0 1:1\n0 1:1\n", "3: found row 2, expected 1 rows as in line 1"),
    ("", "1: found no rows, expected at least one"),
    ("0 " + "7" * 50 + "\n", "1: found '" + "7" * 37 + "...', expected")])
def test_messages(put, text, message):
    path = put(text)
    with pytest.raises(ValueError) as caught:
        files.read_xc(path)
    assert str(caught.value).startswith(f"{path}:{message}")


def test_slow_value_follows_the_sort(put):
    """Values that need exact arithmetic end up at their features when the row is sorted."""
    middle = "1.00000017881393432617187500001"  # of two float32; the even one is the upper
    up = float(np.float32(1) + np.float32(2.0**-22))
    x, _ = files.read_xc(put(f"0 2:{middle}\n0 9:2 7:{middle} 3:4 5:1e-90 1:-{middle}\n0 2:{middle}\n"))
    assert x.indices.tolist() == [2, 1, 3, 5, 7, 9, 2]
    assert x.values.tolist() == [up, -up, 4, 0, up, 2, up]


@pytest.mark.parametrize("text", [
    "12345678901234567890123", "0.00000000000000000000000000012345678901234567890123", "16777217", "16777219", "9007199254740993",
    "3.4028235677973366e38", "3.4028235677973362e38", "1" + "0" * 38, "1" + "0" * 39, "1e-45", "7e-46", "7.1e-46", "-0"])
def test_numbers_at_the_limits(put, text):
    compare(put(f"0 1:{text}\n"), f"0 1:{text}\n", 1 << 20)


def test_widths(put):
    path = put("1 4 3\n0,2 3:1\n")
    x, y = files.read_xc(path, features=10, labels=5)
    assert (x.width, y.width) == (10, 5)
    with pytest.raises(ValueError, match="1: found '3:1'|2: found '3:1', expected a feature below 3"):
        files.read_xc(path, features=3)
    with pytest.raises(ValueError, match="2: found '3:1', expected a feature below 2"):
        files.read_xc(put("1 2 3\n0,2 3:1\n"), features=10)  # the first line still binds the rows
    with pytest.raises(ValueError, match="2: found '2', expected a label below 2"):
        files.read_xc(path, labels=2)
    path = put("0,2 3:1\n")
    assert files.read_xc(path, labels=9)[1].width == 9
    with pytest.raises(ValueError, match=":1: found no first line"):
        files.xc_blocks(path, features=10)
    for wrong, error in ((-1, ValueError), (2**31, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="features must be"):
            files.read_xc(path, features=wrong)
    with pytest.raises(ValueError, match="rows must be at least 1"):
        files.xc_blocks(path, 0)
    with pytest.raises(FileNotFoundError):
        files.read_xc(path.with_name("missing"))


@given(text=st.one_of(
    FLOATS.map(repr), st.floats(allow_nan=False, allow_infinity=False).map(repr), FLOATS.map(lambda v: f"{v:.17g}"),
    st.from_regex(r"[+-]?([0-9]{1,25}(\.[0-9]{0,25})?|\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    # the middle of two float32 values, a little to either side of it, and with more digits than fit
    st.tuples(st.integers(1, 2**24 - 1), st.integers(-30, 30), st.sampled_from([0, -1, 1]), st.integers(10, 60)).map(
        lambda t: f"{(t[0] + 0.5) * 2.0 ** t[1] * (1 + t[2] * 2.0 ** -52):.{t[3]}g}")))
def test_numbers(put, text):
    compare(put(f"0 1:{text}\n"), f"0 1:{text}\n", 1 << 20)


def test_scaled_says_when_it_is_not_certain():
    assert scaled(16777217, 0, True) == (16777216.0, True)  # exact operands: the tie goes to even
    assert scaled(16777217, 0, False)[1] == False  # noqa: E712 (numpy bool)
    assert scaled(1, -81, True)[1] == False  # noqa: E712
    assert scaled(10**17, 25, True)[1] == False  # noqa: E712
    assert scaled(0, 999, True) == (0.0, True)


@given(value=st.floats(2.0**-149, float(np.finfo(np.float32).max), width=32))
def test_shortest_is_as_short_as_repr(value):
    digits, exponent = shortest(np.float32(value))
    assert naive.float32(f"{digits}e{exponent}") == value
    mantissa = str(np.float32(value)).partition("e")[0]
    assert len(str(digits)) <= len(mantissa.replace(".", "").strip("0") or "0")


@st.composite
def matrices(draw, values, width):
    n = draw(st.integers(0, 6))
    return [sorted(draw(st.dictionaries(st.integers(0, width - 1), values, max_size=5)).items()) for _ in range(n)]


@given(pairs=matrices(FLOATS, 40), header=st.booleans(), data=st.data(), suffix=st.sampled_from(["", ".gz", ".xz", ".bz2"]))
def test_write_then_read(tmp_path_factory, pairs, header, data, suffix):
    labels = [sorted(data.draw(st.sets(st.integers(0, 7), max_size=3))) for _ in pairs]
    path = tmp_path_factory.getbasetemp() / f"written.txt{suffix}"
    x, y = rows_of(pairs, 40), labels_of(labels, 8)
    if not (pairs or header):
        with pytest.raises(ValueError, match="x must have at least one row"):
            files.write_xc(path, x, y, header=header)
        return
    files.write_xc(path, x, y, header=header)
    a, b = files.read_xc(path) if header else files.read_xc(path, features=40, labels=8)
    same(a, x)
    same(b, y)
    first = path.read_bytes()
    files.write_xc(path, x, y, header=header)
    assert path.read_bytes() == first


def test_write_in_several_blocks(tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    n, per_row = 40, 5
    features = np.sort(random.permuted(np.tile(np.arange(30, dtype=np.int32), (n, 1)), axis=1)[:, :per_row])
    values = random.integers(0, 2**32, n * per_row, np.uint32).view(np.float32)
    values = np.where(np.isfinite(values), values, np.float32(1))
    x = Rows(np.arange(n + 1) * per_row, features.reshape(-1), values, 30)
    y = labels_of([[i % 7] for i in range(n)], 7)
    files.write_xc(tmp_path / "whole", x, y)
    monkeypatch.setattr(files, "_CHUNK", 50)
    files.write_xc(tmp_path / "parts", x, y)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "parts").read_bytes()
    same(files.read_xc(tmp_path / "parts")[0], x)


def test_written_text(tmp_path):
    path = tmp_path / "a.txt"
    values = [0.1, 1, -2.5, 1e-5, 123456.79, 1e10, 3.4028235e38, 1e-45, 0.001, 100, 0.0001]
    x = rows_of([list(enumerate(values)), [], []], 11)
    files.write_xc(path, x, labels_of([[0, 3], [1], []], 4))
    assert path.read_text() == ("3 11 4\n0,3 0:0.1 1:1 2:-2.5 3:1e-5 4:123456.79 5:1e10 6:3.4028235e38 7:1e-45 8:0.001 9:100 10:0.0001\n"
                                "1\n \n")


def test_write_refuses(tmp_path):
    x, y = rows_of([[(0, 1.0)]], 2), labels_of([[0]], 1)
    with pytest.raises(ValueError, match=r"labels must have as many rows as x \(1\), not 2"):
        files.write_xc(tmp_path / "a", x, labels_of([[0], []], 1))
    with pytest.raises(ValueError, match="x"):
        files.write_xc(tmp_path / "a", x._replace(values=np.array([np.nan], np.float32)), y)
    with pytest.raises(ValueError, match="x row 0 holds column 1 twice"):
        files.write_xc(tmp_path / "a", rows_of([[(1, 1.0), (1, 2.0)]], 2), y)
    with pytest.raises(FileNotFoundError):
        files.write_xc(tmp_path / "no" / "folder", x, y)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", ["fsync", "replace", "chmod"])
def test_interrupted_writing(tmp_path, monkeypatch, place):
    path = tmp_path / "a.txt"
    x, y = rows_of([[(0, 1.0)]], 2), labels_of([[0]], 1)
    files.write_xc(path, x, y)
    old = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(_disk.os, place, full)
        with pytest.raises(OSError, match="No space left"):
            files.write_xc(path, x._replace(values=np.array([2], np.float32)), y)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.txt"]
    with monkeypatch.context() as patch:
        patch.setattr(files._kernels, "write", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            files.write_xc(path, x, y)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")
def test_mode_and_links(tmp_path):
    x, y = rows_of([[(0, 1.0)]], 2), labels_of([[0]], 1)
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    files.write_xc(tmp_path / "a", x, y)
    assert (tmp_path / "a").stat().st_mode == plain.stat().st_mode
    plain.chmod(0o640)
    os.symlink(plain, tmp_path / "link")
    files.write_xc(tmp_path / "link", x, y)
    assert (tmp_path / "link").is_symlink()
    assert plain.stat().st_mode & 0o777 == 0o640
    same(files.read_xc(plain)[0], x)


@pytest.mark.parametrize("suffix, pack", [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_compressed(put, suffix, pack):
    text = b"1 4 3\n" + b"0 1:0.25\n"
    path = put(pack(text), "data.txt" + suffix)
    assert files.read_xc(path)[0].values.tolist() == [0.25]
    for damaged in (pack(text)[:-3], pack(text)[:15], b"plain text, long enough for every header",
                    pack(text)[:20] + b"\xff\xff" + pack(text)[22:]):
        with pytest.raises(ValueError, match="data.txt"):
            files.read_xc(put(damaged, "data.txt" + suffix))


def test_gzip_without_time(tmp_path):
    files.write_xc(tmp_path / "a.gz", rows_of([[(0, 1.0)]], 2), labels_of([[0]], 1))
    assert (tmp_path / "a.gz").read_bytes()[3:8] == bytes(5)  # no name, no time


def test_byte_order_mark(put):
    for chunk in (1, 1 << 20):
        compare(put(b"\xef\xbb\xbf1 4 3\n0 1:1\n"), "1 4 3\n0 1:1\n", chunk)
    assert files.read_text(put(b"\xef\xbb\xbf1\ta\n"))[0] == ["a"]


def test_float32_of_the_naive_twin():
    assert naive.float32("0.1") == struct.unpack("f", struct.pack("f", 0.1))[0] == float(np.float32(0.1))
    assert naive.float32("3.4028235677973366e38") is None
    assert files._TOO_LARGE == 3.4028235677973366e38


def test_exponent_without_digits_is_refused(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("0 1:1e\n")
    with pytest.raises(ValueError, match=r"rows\.txt:1: found"):
        files.read_xc(path)


def test_long_rows_in_any_order_are_sorted(tmp_path):
    columns = np.random.default_rng(0).permutation(40)
    path = tmp_path / "rows.txt"
    path.write_text("0 " + " ".join(f"{column}:{column + 1}" for column in columns) + "\n")
    x, _ = files.read_xc(path)
    assert x.indices.tolist() == list(range(40)) and x.values.tolist() == list(range(1, 41))
