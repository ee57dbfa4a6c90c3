"""Crosses: pairs of columns that occur together in rows, as further columns. Which pairs are worth one is learnt by a hashed count."""
from typing import NamedTuple

import numpy as np

from . import _check, _place, _there, _threads, hashing, modelfile, sparse
from ._cpu import crosses as _kernels
from .sparse import Rows

_LIMIT = 2**31 - 1
_TABLES = 1 << 28  # bytes that the tables of pair counts may take, if more than one


class Crosses(NamedTuple):
    """The pairs that have a column.

    cells : uint64 (2**bits / 64,), one bit per cell of hashed pairs.  ranks : int32 (2**bits / 64,), bits set before each word.
    columns : int, columns of the rows.  top : int, heaviest columns of a row that are paired.  bits : int.  seed : int, of the hash.
    """
    cells: np.ndarray
    ranks: np.ndarray
    columns: int
    top: int
    bits: int
    seed: int


def find(x, *, top=8, least=2, bits=None, seed=0, check=True):
    """Crosses for the pairs that rows hold often enough.

    x : Rows.  top : int from 0 to 16, heaviest columns of a row that are paired (values above 0; ties: the smaller column).
    least : int from 0 to 255, rows that must hold a pair. With top or least 0 there are no crosses.
    bits : int from 6 to 30; rows are counted in 2**bits hashed cells, a count-min sketch of depth 1, so pairs that share a cell are
        counted, and kept, together. None takes about 8 cells for each pair of each row, at least 2**12 and at most 2**24.
    seed : int.  check : look at every entry of x.
    Returns Crosses.
    Raises ValueError if the columns and the pairs are more than 2**31 - 1.
    Source: Cormode & Muthukrishnan 2005 (count-min).
    Example:
        >>> found = find(sparse.rows([[0, 1], [0, 1], [1, 2]]))
        >>> width(found)
        4
    """
    x = sparse.rows(x, check=check)
    top, least = _check.integer(top, "top", 0, 16), _check.integer(least, "least", 0, 255)
    seed = _check.integer(seed, "seed", -(2**63), 2**63 - 1)
    n = x.indptr.size - 1
    if bits is None:
        bits = min(24, max(12, (8 * n * max(1, top * (top - 1) // 2)).bit_length()))
    bits = _check.integer(bits, "bits", 6, 30)
    if top < 2 or least == 0:
        return Crosses(np.zeros(1, np.uint64), np.zeros(1, np.int32), x.width, 0, 6, seed)
    tables = np.zeros((max(1, min(_threads.available(), n, _TABLES >> bits)), 1 << bits), np.uint8)
    _kernels.count_pairs(*x[:3], top, _seed(seed), bits, tables)
    counts = tables[0]
    for other in tables[1:]:
        counts += np.minimum(other, 255 - counts)
    cells = np.packbits(counts >= least, bitorder="little").view("<u8").astype(np.uint64, copy=False)
    after = np.cumsum(np.bitwise_count(cells), dtype=np.int64)
    if x.width + after[-1] > _LIMIT:
        raise ValueError(f"x must have at most {_LIMIT - after[-1]} columns beside its {after[-1]} kept pairs, not {x.width}")
    return Crosses(cells, np.concatenate([[0], after[:-1]]).astype(np.int32), x.width, top, bits, seed)


def width(crosses):
    """Number of columns of crossed rows: those of the rows, then one for each kept cell."""
    before, word = (int(_place.to_host(array[-1:])[0]) for array in (crosses.ranks, crosses.cells))
    return crosses.columns + before + word.bit_count()


def cross(crosses, x, *, check=True):
    """Rows followed by their kept pairs.

    crosses : Crosses.  x : Rows (n, crosses.columns), on a device if the crosses are.  check : look at every entry of x.
    Returns Rows (n, width(crosses)), where x is; a pair's value is the product of its two, pairs of a row that share a cell are added. The
    column of a pair is crosses.columns + the kept cells before its own. Without kept pairs x itself.
    Raises ValueError for another number of columns.
    Example:
        >>> x = sparse.rows([[0, 1], [0, 1], [1, 2]])
        >>> cross(find(x), x).indices
        array([0, 1, 3, 0, 1, 3, 1, 2], dtype=int32)
    """
    x = sparse.rows(x, check=check, device=True)
    kernels = _place.kernels(_kernels, crosses=crosses.cells, x=x.indices)
    if x.width != crosses.columns:
        raise ValueError(f"x must have {crosses.columns} columns, not {x.width}")
    wide = width(crosses)
    if wide == x.width:
        return x
    if kernels is not _kernels:
        return _there.crossed(kernels, crosses, _seed(crosses.seed), x, wide)
    paired = np.minimum(np.diff(x.indptr), crosses.top)
    room = _starts(np.diff(x.indptr) + paired * (paired - 1) // 2)
    # The rows are written once into room for all their pairs: pages of it that stay unused take no memory.
    indices, values, lengths = np.empty(room[-1], np.int32), np.empty(room[-1], np.float32), np.empty(paired.size, np.int64)
    _kernels.cross_rows(*x[:3], crosses.cells, crosses.ranks, crosses.top, _seed(crosses.seed), crosses.bits, crosses.columns, room,
                        indices, values, lengths)
    indptr = _starts(lengths)
    out = Rows(indptr, np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32), wide)
    _kernels.close_gaps(room, indptr, indices, values, *out[1:3])
    return out


def _seed(seed):
    return hashing.seeds(1, seed)[0]


def _starts(lengths):
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _validate(crosses):
    if not (6 <= crosses.bits <= 30 and 0 <= crosses.top <= 16):
        raise ValueError(f"bits must be between 6 and 30 and top between 0 and 16, not {crosses.bits} and {crosses.top}")
    words = 1 << (crosses.bits - 6)
    if crosses.cells.shape != (words,) or crosses.ranks.shape != (words,):
        raise ValueError(f"cells and ranks must have {words} words, not {crosses.cells.size} and {crosses.ranks.size}")
    before = np.cumsum(np.bitwise_count(crosses.cells[:-1]), dtype=np.int64)
    if crosses.ranks[0] != 0 or not np.array_equal(crosses.ranks[1:], before):
        raise ValueError("ranks must count the bits of cells before each word")


modelfile.register(Crosses, _validate, cells=(np.uint64, 1), ranks=(np.int32, 1), columns=int, top=int, bits=int, seed=int)
