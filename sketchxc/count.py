"""The most frequent words, lines or fields of files that need not fit into memory, with bounds of their counts.

Tokens are hashed to 64 bits and counted by `heavy.misra_gries`; only the names of the tokens that it holds are kept. Two tokens with one
hash would be counted as one: among a billion different ones, with probability 0.03.
"""
import contextlib
import os
import stat
import sys
from typing import NamedTuple

import numpy as np

from . import _check, _strings, heavy, text
from ._cpu import count as _kernels
from ._cpu.hashing import xxh64_spans
from ._threads import one_if

BLOCK = 2**22  # bytes read at a time
_FEW = 2**14   # tokens below which one thread is faster than two


class Counted(NamedTuple):
    """names : list of str, best first.  lower, upper : int64 (n,), bounds of their counts.  total : int, tokens.  error : int, how far
    bounds are apart at most, and how often a token that is not held may have come."""
    names: list
    lower: np.ndarray
    upper: np.ndarray
    total: int
    error: int


def count(paths, *, by="word", field=1, separator=None, top=20, error=1e-4, seed=0, progress=None):
    """The most frequent tokens of files of UTF-8 text, in one pass and in memory that does not grow with them.

    paths : list of str, read in this order; "-" is the standard input.
    by : "word" (lower-cased, runs of letters and digits as in `text`), "line" (without its end) or "field".
    field : int, from 1, number of the field of each line; a line that has none counts for nothing.
    separator : one ASCII character between fields; None for runs of blanks and tabs.
    top : int, tokens wanted.  error : float, share of the total that bounds are apart at most.  seed : int, as in `heavy.misra_gries`.
    progress : None or a function of the bytes of each block that is done.

    Returns Counted, ordered by the middle of the bounds, then by name. A line (a word, by words) has to fit into memory.

    Raises OSError for files that cannot be read, before any is counted; ValueError that names the file and the byte for invalid UTF-8.

    Source: Misra & Gries 1982.

    >>> import pathlib, tempfile, sketchxc.count as counting
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "poem.txt")
    ...     _ = path.write_text("Rose is a rose is a rose")
    ...     counting.count(path, top=2)
    Counted(names=['rose', 'a'], lower=array([3, 2]), upper=array([3, 2]), total=7, error=0)
    """
    paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    _check.choice(by, "by", ("word", "line", "field"))
    field, top = _check.integer(field, "field", 1, 2**31 - 1), _check.integer(top, "top", 0)
    if separator is not None and (not isinstance(separator, str) or len(separator) != 1 or not 0 < ord(separator) < 128
                                  or separator in "\r\n"):
        raise ValueError(f"separator must be one ASCII character within a line, not {separator!r}")
    summary, names = heavy.misra_gries(heavy.capacity_for(error), seed=seed), {}
    for path in paths:
        if path != "-" and not stat.S_ISFIFO(os.stat(path).st_mode):  # whose writer would see it closed
            open(path, "rb").close()
    for path in paths:
        for data in _texts(path, by == "word", progress):
            starts, stops = _spans(data, by, field, 0 if separator is None else ord(separator))
            keys = np.empty(starts.size, np.uint64)
            with one_if(keys.size < _FEW):
                xxh64_spans(_strings.padded(data), starts, stops, np.uint64(0), keys)
            heavy.add(summary, keys)
            names = _named(summary, names, keys, data, starts, stops)
    keys, lower, upper = heavy.top_k(summary, len(names))
    middle = lower / 2 + upper / 2
    order = sorted(range(keys.size), key=lambda i: (-middle[i], names[int(keys[i])]))[:top]
    return Counted([names[int(keys[i])].decode() for i in order], lower[order], upper[order], heavy.total(summary), heavy.error(summary))


def _texts(path, lower, progress):
    """Valid UTF-8 of a file as uint8 arrays that end where a line does (`lower`: lower-cased, and where a word does)."""
    name, position = "standard input" if path == "-" else path, 0
    with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as file:
        for block in _blocks(file, b" \t\r\n" if lower else b"\n"):
            try:
                decoded = block.decode()
            except UnicodeDecodeError as error:
                raise ValueError(f"{name}: byte {position + error.start}: {error.reason}, wanted UTF-8") from None
            size, block = len(block), decoded.lower().encode() if lower else block
            if position == 0 and block.startswith(b"\xef\xbb\xbf"):  # the mark that some editors put first
                block = block[3:]
            yield np.frombuffer(block, np.uint8)
            position += size
            if progress is not None:
                progress(size)


def _blocks(file, ends):
    """Bytes of a file in parts of about BLOCK, each of which ends after one of the bytes `ends`, but for the last."""
    parts = []
    while block := file.read(BLOCK):
        cut = 1 + max(block.rfind(end) for end in (bytes([end]) for end in ends))
        if cut:
            yield b"".join([*parts, block[:cut]])
            parts = []
        parts.append(block[cut:])
    if any(parts):
        yield b"".join(parts)


def _spans(data, by, field, separator):
    """Starts and stops of the tokens of a buffer, int64 (n,) each."""
    most = data.size // 2 + 1 if by == "word" else np.count_nonzero(data == 10) + 1
    starts, stops = np.empty(most, np.int64), np.empty(most, np.int64)
    if by == "word":
        n = _kernels.words(data, text._letters(), starts, stops)
    else:
        n = _kernels.lines(data, starts, stops)
        if by == "field":
            n = _kernels.fields(data, starts, stops, n, field, separator)
    return starts[:n], stops[:n]


def _named(summary, names, keys, data, starts, stops):
    """The names of all keys that the summary holds: those known before, and those first met in this buffer."""
    places = np.full(summary.table.shape[0], -1, np.int64)
    _kernels.first_places(summary.table, np.uint64(summary.seed), keys, places)
    held = summary.table[:, 1] > 0
    for key, place in zip(summary.table[held, 0].tolist(), places[held].tolist()):
        if key not in names:
            names[key] = data[starts[place]:stops[place]].tobytes()
    if len(names) > 2 * np.count_nonzero(held):
        names = {key: names[key] for key in summary.table[held, 0].tolist()}
    return names
