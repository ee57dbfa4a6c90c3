"""Data files: the text format of the Extreme Classification Repository, and lines of labels, a TAB and a text.

Names that end in .xz, .gz or .bz2 are read and written compressed. Every error in a file is a ValueError that starts with `file:line:`.
"""
import numpy as np

from . import _check
from . import sparse
from ._cpu import files as _kernels
from ._disk import chunks as _chunks, compressed as _compressed, replacing, wrong as _wrong
from .sparse import Rows

_LIMIT = 2**31 - 1
_CHUNK = 1 << 20  # bytes read, parsed or written at a time
_TOO_LARGE = 2.0**128 - 2.0**103  # from here on float32 rounds to infinity
_EXPECTED = {
    _kernels.BAD_LABEL: "label numbers divided by commas, or feature:value",
    _kernels.LARGE_LABEL: "a label below {labels}",
    _kernels.BAD_FEATURE: "feature:value with a feature number before the colon",
    _kernels.LARGE_FEATURE: "a feature below {features}",
    _kernels.BAD_VALUE: "feature:value with a finite decimal number behind the colon",
    _kernels.REPEATED_FEATURE: "every feature once in a row",
}


def read_xc(path, *, features=None, labels=None):
    """Features and labels of a file in the format of the Extreme Classification Repository.

    An optional first line `rows features labels`, then one line `l1,l2 f:v f:v` per row; numbers start at 0. A row without labels starts
    with a blank or with its first feature. Features come in any order, each once; labels given twice count once. An empty line is a row
    without features and labels, but empty lines at the end of the file are rows only as far as the first line announces them.
    path : file name.
    features, labels : widths to use in place of those of the first line (of the data, if there is no such line).
    Returns (x, y): Rows of the features and Rows of the labels (values 1), columns ascending. Values are float32(float(text)).
    Raises ValueError `file:line: found ..., expected ...` for anything else, NaN and infinity included; OSError if the file cannot be read.
    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "two.txt")
        ...     with open(path, "w") as file:
        ...         _ = file.write("2 4 3\\n0,2 3:1 1:0.5\\n 0:2\\n")
        ...     x, y = read_xc(path)
        >>> x
        Rows(indptr=array([0, 2, 3]), indices=array([1, 3, 0], dtype=int32), values=array([0.5, 1. , 2. ], dtype=float32), width=4)
        >>> y.indptr, y.indices, y.width
        (array([0, 2, 2]), array([0, 2], dtype=int32), 3)
    """
    pieces, widths = _parse(path, features, labels)
    return _join(list(pieces), widths)


def xc_blocks(path, rows=8192, *, features=None, labels=None):
    """Like `read_xc`, but a generator of blocks, in memory that does not grow with the file.

    rows : int, rows per block; the last block may be shorter.  path, features, labels : as for `read_xc`.
    Yields (x, y) as `read_xc` returns them.
    Raises also ValueError if the file has no first line `rows features labels` and a width is not given. Errors come when the reading
    gets there; a wrong number of rows is seen at the end.
    """
    rows = _check.integer(rows, "rows", 1)
    pieces, widths = _parse(path, features, labels)
    if None in widths:
        raise _wrong(path, 1, "no first line `rows features labels`", "one, or the arguments features and labels")
    return _regroup(pieces, rows, widths)


def write_xc(path, x, labels, *, header=True):
    """Write features and labels in the format of the Extreme Classification Repository, so that `read_xc` gives the same arrays.

    The file appears as a whole or not at all. Values take the fewest digits that read back as the same float32.
    path : file name.  x : Rows or what `sparse.rows` takes.  labels : the same, with as many rows; the values are not written.
    header : whether to write the first line `rows features labels`. Without it the widths are lost.
    Raises ValueError if the numbers of rows differ, and what `sparse.rows` raises; OSError if the file cannot be written.
    """
    x = sparse.rows(x, name="x")
    y = sparse.rows(labels, name="labels")
    n = x.indptr.size - 1
    if y.indptr.size - 1 != n:
        raise ValueError(f"labels must have as many rows as x ({n}), not {y.indptr.size - 1}")
    if not (n or header):
        raise ValueError("x must have at least one row if there is no header, not 0")
    bound = 11 * y.indptr + 30 * x.indptr + 2 * np.arange(n + 1)  # bytes of the rows before row i, at most
    with replacing(path) as temporary, open(temporary, "wb") as raw, _compressed(raw, path, "wb") as file:
        if header:
            file.write(f"{n} {x.width} {y.width}\n".encode())
        first = 0
        out = np.empty(0, np.uint8)
        while first < n:
            last = max(first + 1, int(np.searchsorted(bound, bound[first] + 4 * _CHUNK, "right")) - 1)
            room = int(bound[last] - bound[first])
            out = out if out.size >= room else np.empty(room, np.uint8)
            used = _kernels.write(y.indptr, y.indices, x.indptr, x.indices, x.values, first, last, out)
            file.write(out[:used])
            first = last


def read_text(path, *, names=None):
    """Texts and labels of a file with lines `label,label<TAB>text`; a line that starts with the TAB has no labels.

    Labels are numbers if all labels of the file are (0 to 2**31 - 2, without leading zeros); otherwise they are names, and label i is the
    i-th name in sorted order. Blanks around a label do not count. The text is all that follows the first TAB. Empty lines may only end
    the file.
    path : file name, UTF-8.
    names : list of the names of labels 0, 1, ... (those of a trained model), for a file whose labels are names. A name that is not among
        them gets the number len(names), the next one len(names) + 1 and so on: no model predicts it, but it counts as a true label.
    Returns (texts, labels, names): list of str (n,), Rows (values 1), list of str or None if the labels are numbers. With `names` given
    the list returned is that list followed by the unknown names of the file.
    Raises ValueError with file and line for a line without TAB, an empty label and invalid UTF-8, and for an empty file.
    """
    seen = _numbered(names)
    texts, counts, ids = [], [], []
    for more_texts, more_counts, more_ids in _text_pieces(path, seen, False):
        texts += more_texts
        counts += more_counts
        ids += more_ids
    ids = np.array(ids, np.int64)
    order = list(seen)
    if names is None:
        numbers = all(map(_is_id, order))
        order = None if numbers else sorted(order)
        place = {name: int(name) for name in seen} if numbers else {name: i for i, name in enumerate(order)}
        ids = np.array([place[name] for name in seen], np.int64)[ids]
    width = int(ids.max(initial=-1)) + 1 if order is None else len(order)
    return texts, _label_rows(counts, ids, width), order


def text_blocks(path, rows=8192, *, names=None):
    """Like `read_text`, but a generator of blocks, in memory that does not grow with the file.

    rows : int, rows per block; the last block may be shorter.  path : as for `read_text`.
    names : list of the names of labels 0, 1, ..., as for `read_text`; None if the labels are numbers.
    Yields (texts, labels): list of str, Rows. The width of the labels is at least len(names) and above every number met so far.
    Raises what `read_text` raises, and ValueError with file and line if `names` is None and a label is not a number.
    """
    rows = _check.integer(rows, "rows", 1)
    return _text_blocks(path, _numbered(names), names is None, rows)


def detect_format(path):
    """Which reader a data file needs: "text" if its first line that is not empty holds a TAB, otherwise "xc".

    path : file name.  Returns str.  Raises ValueError if the file is empty.
    """
    for text in _chunks(path, _CHUNK):
        lines = text.lstrip(b"\r\n")
        if lines:
            return "text" if b"\t" in lines.partition(b"\n")[0] else "xc"
    raise _wrong(path, 1, "an empty file", "data")


def _parse(path, features, labels):
    """Generator of parsed chunks (label starts, labels, feature starts, features, values), and the list [features, labels] of widths.

    A width that nobody announced is None until the generator has come to its end.
    """
    widths = [given if given is None else _check.integer(given, name, 0, _LIMIT)
              for given, name in ((features, "features"), (labels, "labels"))]
    chunks = _chunks(path, _CHUNK)
    text = next(chunks, b"")
    words = text.partition(b"\n")[0].split()
    limits = [_LIMIT if width is None else width for width in widths]
    announced = None
    if len(words) == 3 and all(map(bytes.isdigit, words)):
        if max(map(len, words)) > 18 or max(map(int, words[1:])) > _LIMIT:
            raise _wrong(path, 1, repr(b" ".join(words).decode()), f"numbers of features and labels up to {_LIMIT}")
        announced, *own = map(int, words)
        limits = [min(pair) for pair in zip(limits, own)]
        widths = [number if width is None else width for width, number in zip(widths, own)]
        text = text.partition(b"\n")[2]
    return _pieces(path, text, chunks, announced, limits, widths), widths


def _pieces(path, text, chunks, announced, limits, widths):
    top = [-1, -1]
    rows = 0
    waiting = 0  # empty lines: rows if another row follows or the first line counts them
    line = 1 if announced is None else 2  # of the first row of the chunk
    report = np.empty(11, np.int64)
    scratch = []
    while text is not None:
        if not scratch or scratch[0].size < len(text) + 1:
            size = len(text)
            scratch = [np.empty(size + 1, np.int64), np.empty(size // 2 + 1, np.int32), np.empty(size + 1, np.int64),
                       np.empty(size // 4 + 1, np.int32), np.empty(size // 4 + 1, np.float32), np.empty((size // 4 + 1, 4), np.int64)]
        values, slow = scratch[4:]
        _kernels.parse(np.frombuffer(text, np.uint8), *limits, *scratch, report)
        n, n_labels, n_features, n_slow, blank, *tops, error, start, end, wrong_line = report.tolist()
        for first, behind, place, at in slow[:n_slow].tolist():
            number = float(text[first:behind].partition(b":")[2])
            if abs(number) >= _TOO_LARGE:
                error, start, end, wrong_line = _kernels.BAD_VALUE, first, behind, at
                break
            values[place] = number
        full = n - blank
        last = wrong_line + 1 if error else full
        if announced is not None and last and rows + waiting + last > announced:
            raise _wrong(path, announced + 2, f"row {announced + 1}", f"{announced} rows as in line 1")
        if error:
            expected = _EXPECTED[error].format(features=limits[0], labels=limits[1])
            raise _wrong(path, line + wrong_line, _quoted(text[start:end].decode(errors="backslashreplace")), expected)
        top = list(map(max, top, tops))
        line += n
        if full:
            yield from _empty_rows(waiting)
            ends = full + 1, n_labels, full + 1, n_features, n_features
            yield tuple(column[:end].copy() for column, end in zip(scratch, ends))
            rows += waiting + full
            waiting = 0
        waiting += blank
        text = next(chunks, None)
    if announced is None and rows == 0:
        raise _wrong(path, 1, "no rows", "at least one")
    if announced is not None:
        if rows + waiting < announced:
            raise _wrong(path, rows + waiting + 2, f"the end of the file after {rows + waiting} rows", f"{announced} rows as in line 1")
        yield from _empty_rows(announced - rows)
    for k in range(2):
        widths[k] = top[1 - k] + 1 if widths[k] is None else widths[k]


def _empty_rows(n):
    while n > 0:
        starts = np.zeros(min(n, _CHUNK) + 1, np.int64)
        yield starts, np.empty(0, np.int32), starts, np.empty(0, np.int32), np.empty(0, np.float32)
        n -= _CHUNK


def _cut(piece, first, last):
    label_ptr, labels, ptr, features, values = piece
    a, b, c, d = label_ptr[first], label_ptr[last], ptr[first], ptr[last]
    return label_ptr[first:last + 1] - a, labels[a:b], ptr[first:last + 1] - c, features[c:d], values[c:d]


def _join(pieces, widths):
    """One pair of Rows from parsed chunks; empties the list on the way, so that the data is not held twice as a whole."""
    columns = [[column] for column in next(_empty_rows(1))]
    columns[0][0] = columns[2][0] = np.zeros(1, np.int64)
    for piece in pieces:
        for k, column in enumerate(piece):
            columns[k].append(column + columns[k][-1][-1] if k in (0, 2) else column)
    pieces.clear()
    for k in (0, 2):
        columns[k][1:] = [starts[1:] for starts in columns[k][1:]]
    values, features, ptr, labels, label_ptr = (np.concatenate(columns.pop()) for _ in range(5))
    return Rows(ptr, features, values, widths[0]), Rows(label_ptr, labels, np.ones(labels.size, np.float32), widths[1])


def _regroup(pieces, rows, widths):
    held, count = [], 0
    for piece in pieces:
        first, n = 0, piece[0].size - 1
        while first < n:
            last = min(n, first + rows - count)
            held.append(_cut(piece, first, last))
            count += last - first
            first = last
            if count == rows:
                yield _join(held, widths)
                count = 0
    if held:
        yield _join(held, widths)


def _quoted(text):
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _numbered(names):
    """Dictionary from name to number."""
    names = [] if names is None else list(names)
    if not all(isinstance(name, str) for name in names):
        raise TypeError("names must hold strings")
    if len(set(names)) < len(names):
        raise ValueError("names must be distinct")
    return dict(zip(names, range(len(names))))


def _is_id(name):
    return name.isascii() and name.isdigit() and (name[0] != "0" or name == "0") and len(name) <= 10 and int(name) < _LIMIT


def _text_pieces(path, seen, numbers):
    """Lists (texts, labels per text, labels) per chunk; `seen` collects the label names and their numbers."""
    line = 0
    empty = 0
    found = False
    expected = "labels divided by commas, a TAB and a text"
    for chunk in _chunks(path, _CHUNK):
        try:
            lines = chunk.decode().split("\n")
        except UnicodeDecodeError as error:
            at = error.start
            raise _wrong(path, line + 1 + chunk.count(b"\n", 0, at), f"byte 0x{chunk[at]:02x}", "UTF-8 text") from None
        texts, counts, ids = [], [], []
        for row in lines[:-1]:
            line += 1
            head, tab, text = row.removesuffix("\r").partition("\t")
            if not tab:
                if head:
                    raise _wrong(path, line, _quoted(head), expected)
                empty = empty or line
                continue
            if empty:
                raise _wrong(path, empty, "an empty line", expected)
            names = head.split(",") if head and not head.isspace() else []
            for name in names:
                number = seen.get(name)
                if number is None:
                    name = name.strip()
                    if not name:
                        raise _wrong(path, line, _quoted(head), expected)
                    if numbers and not _is_id(name):
                        raise _wrong(path, line, f"label {_quoted(name)}", f"a number from 0 to {_LIMIT - 1} (or give the names)")
                    number = seen.setdefault(name, int(name) if numbers else len(seen))
                ids.append(number)
            texts.append(text)
            counts.append(len(names))
        found = found or bool(texts)
        yield texts, counts, ids
    if not found:
        raise _wrong(path, 1, "no rows", "at least one")


def _label_rows(counts, ids, width):
    """Rows of labels with values 1, sorted and distinct within each row."""
    counts, ids = np.array(counts, np.int64), np.array(ids, np.int64)
    wide = max(width, 1)
    pairs = np.sort(np.repeat(np.arange(counts.size), counts) * wide + ids)  # np.unique of NumPy 2.4 takes ten times as long
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(pairs // wide, minlength=counts.size))])
    return Rows(indptr, (pairs % wide).astype(np.int32), np.ones(pairs.size, np.float32), width)


def _text_blocks(path, seen, numbers, rows):
    texts, counts, ids = [], [], []
    for piece in _text_pieces(path, seen, numbers):
        first = used = 0
        for held, more in zip((texts, counts, ids), piece):
            held.extend(more)
        while len(texts) - first >= rows:
            labels = sum(counts[first:first + rows])
            yield texts[first:first + rows], _label_rows(counts[first:first + rows], ids[used:used + labels], _width(seen, numbers))
            first, used = first + rows, used + labels
        del texts[:first], counts[:first], ids[:used]
    if texts:
        yield texts, _label_rows(counts, ids, _width(seen, numbers))


def _width(seen, numbers):
    return max(seen.values(), default=-1) + 1 if numbers else len(seen)
