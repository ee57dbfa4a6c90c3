"""Files of labelled texts against the naive reader, their errors, and which format a file has."""
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import files as naive
from test_files import labels_of, same

from sketchxc import files

NAMES = st.sampled_from(["0", "1", "7", "20", "007", "a", "b c", " d ", "é", "-1", "2147483647", "99999999999", "١", "", " "])
TEXT_LINES = st.one_of(
    st.tuples(st.lists(st.sampled_from(["0", "1", "7", "20", " 5 "]), max_size=3).map(",".join),
              st.text("ab \t,\r", max_size=5)).map("\t".join),
    st.tuples(st.lists(NAMES, max_size=3).map(",".join), st.text("ab\t\x0b\u2028é", max_size=5)).map("\t".join),
    st.sampled_from(["", "", "no tab", "\t", "1,\tx"]))


@given(lines=st.lists(TEXT_LINES, max_size=6), end=st.sampled_from(["", "\n", "\r\n"]),
       known=st.sampled_from([None, [], ["a", "7"], ["b c", "é", "0"]]),
       chunk=st.sampled_from([1, 5, 1 << 20]))
def test_read_text(put, lines, end, known, chunk):
    text = (end or "\n").join(lines) + end
    path = put(text)
    old, files._CHUNK = files._CHUNK, chunk
    try:
        try:
            texts, own, names, width = naive.read_text(text, known)
        except naive.Wrong as wrong:
            with pytest.raises(ValueError) as caught:
                files.read_text(path, names=known)
            assert str(caught.value).startswith(f"{path}:{wrong.args[0]}: found ")
            return
        found, labels, found_names = files.read_text(path, names=known)
        assert (found, found_names) == (texts, names)
        same(labels, labels_of(own, width))
        if names is None or known is not None:
            for size in (1, 2, 100):
                blocks = list(files.text_blocks(path, size, names=known))
                assert [t for block, _ in blocks for t in block] == texts
                assert {len(block) for block, _ in blocks[:-1]} <= {size}
                assert [rows.indices[a:b].tolist() for _, rows in blocks for a, b in zip(rows.indptr, rows.indptr[1:])] == own
                assert blocks[-1][1].width == width
                assert all(rows.width > rows.indices.max(initial=-1) for _, rows in blocks)
        else:
            with pytest.raises(ValueError, match="expected a number from 0 to 2147483646"):
                list(files.text_blocks(path, 2))
    finally:
        files._CHUNK = old


def test_text_errors(put):
    for content, message in ((b"1\ta\n2 b\n", "2: found '2 b', expected labels divided by commas, a TAB and a text"),
                             (b"1\ta\n2\tb\xff\n", "2: found byte 0xff, expected UTF-8 text"),
                             (b"1\ta\n\n\n2\tb\n", "2: found an empty line, expected"),
                             (b"1,,2\ta\n", "1: found '1,,2', expected"), (b"", "1: found no rows"), (b"\n\n", "1: found no rows")):
        path = put(content)
        with pytest.raises(ValueError) as caught:
            files.read_text(path)
        assert str(caught.value).startswith(f"{path}:{message}")
    path = put("a\tb\n")
    with pytest.raises(TypeError, match="names must hold strings"):
        files.read_text(path, names=[1])
    with pytest.raises(ValueError, match="names must be distinct"):
        files.read_text(path, names=["a", "a"])
    with pytest.raises(ValueError, match="rows must be at least 1"):
        files.text_blocks(path, 0)


def test_largest_number_is_still_a_number(put):
    path = put("2147483646\ta\n")
    assert files.read_text(path)[1].width == 2147483647
    assert [labels.indices.tolist() for _, labels in files.text_blocks(path)] == [[2147483646]]
    assert files.read_text(put("2147483647\ta\n"))[2] == ["2147483647"]


def test_unknown_names_count_as_labels(put):
    path = put("b,new,a\tone\nnewer,new\ttwo\n")
    texts, labels, names = files.read_text(path, names=["a", "b"])
    assert names == ["a", "b", "new", "newer"]
    assert (labels.indptr.tolist(), labels.indices.tolist(), labels.width) == ([0, 3, 5], [0, 1, 2, 2, 3], 4)


def test_detect_format(put):
    for content, wanted in (("1\ta\n", "text"), ("\n\r\n1\ta", "text"), ("1 2:3\n1\ta\n", "xc"), ("1 4 3\n", "xc"), ("plain", "xc")):
        assert files.detect_format(put(content)) == wanted
    with pytest.raises(ValueError, match="1: found an empty file"):
        files.detect_format(put("\n\n"))
