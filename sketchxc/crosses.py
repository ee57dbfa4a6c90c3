"""Crosses: pairs of columns that occur together in rows, as further columns. Which pairs are worth one is learnt by a hashed count."""
from typing import NamedTuple

import numpy as np

from . import _check, _threads, hashing, modelfile, sparse
from ._cpu import crosses as _kernels
from .sparse import Rows


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


def find(x, *, top=8, least=2, bits=None, seed=0):
    """Crosses for the pairs that rows hold often enough.

    x : Rows.  top : int from 0 to 16, heaviest columns of a row that are paired (values above 0; ties: the smaller column); 0 for no pairs.
    least : int from 1 to 255, rows that must hold a pair.  Rows are counted in 2**bits hashed cells, a count-min sketch of depth 1: pairs
    that share a cell are counted, and kept, together.  bits : int from 6 to 30; None takes 24, less for small data.  seed : int.
    Returns Crosses."""
    x = sparse.rows(x, check=False)
    top, least = _check.integer(top, "top", 0, 16), _check.integer(least, "least", 1, 255)
    seed = _check.integer(seed, "seed", -(2**63), 2**63 - 1)
    n = x.indptr.size - 1
    if bits is None:
        bits = min(24, max(12, (8 * n * max(1, top * (top - 1) // 2)).bit_length()))
    bits = _check.integer(bits, "bits", 6, 30)
    tables = np.zeros((min(_threads.available(), max(1, n)), 1 << bits), np.uint8)
    _kernels.count_pairs(*x[:3], top, _seed(seed), bits, tables)
    counts = tables[0]
    for other in tables[1:]:
        counts += np.minimum(other, 255 - counts)
    cells = np.packbits(counts >= least, bitorder="little").view("<u8").astype(np.uint64, copy=False)
    ones = np.cumsum(np.bitwise_count(cells), dtype=np.int64)
    return Crosses(cells, np.concatenate([[0], ones[:-1]]).astype(np.int32), x.width, top, bits, seed)


def width(crosses):
    """Number of columns of crossed rows: those of the rows, then one for each kept cell."""
    return crosses.columns + int(crosses.ranks[-1]) + int(np.bitwise_count(crosses.cells[-1]))


def cross(crosses, x):
    """Rows followed by their kept pairs.

    crosses : Crosses.  x : Rows (n, crosses.columns).
    Returns Rows (n, width(crosses)); a pair's value is the product of its two, pairs of a row that share a cell are added.
    Raises ValueError for another number of columns."""
    x = sparse.rows(x, check=False)
    if x.width != crosses.columns:
        raise ValueError(f"x must have {crosses.columns} columns, not {x.width}")
    known = (crosses.cells, crosses.ranks, crosses.top, _seed(crosses.seed), crosses.bits, crosses.columns)
    lengths = np.empty(x.indptr.size - 1, np.int64)
    _kernels.pair_lengths(*x[:3], *known, lengths)
    indptr = np.concatenate([[0], np.cumsum(np.diff(x.indptr) + lengths)])
    out = Rows(indptr, np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32), width(crosses))
    _kernels.append_pairs(*x[:3], *known, *out[:3])
    return out


def _seed(seed):
    return hashing.seeds(1, seed)[0]


def _validate(crosses):
    words = 1 << max(0, crosses.bits - 6)
    if crosses.cells.shape != (words,) or crosses.ranks.shape != (words,):
        raise ValueError(f"cells and ranks must have {words} words, not {crosses.cells.size} and {crosses.ranks.size}")


modelfile.register(Crosses, _validate, cells=(np.uint64, 1), ranks=(np.int32, 1), columns=int, top=int, bits=int, seed=int)
