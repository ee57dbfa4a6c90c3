"""Cases of the loops of crosses."""
import numpy as np

from sketchxc import crosses, sparse
from sketchxc._cpu import crosses as _cpu

from . import Case
from .sparse import csr

PARTS = {"count_pairs"}  # what is learnt is learnt on the host


def found(rng, top=4, least=2):
    """Rows, positive for the most part, and the crosses of them and some more: pairs that are kept and pairs that are not."""
    x = sparse.Rows(*csr(rng, 40, 6), 6)
    x = x._replace(values=np.abs(x.values) - np.float32(0.1))
    return sparse.take(x, np.arange(9)), crosses.find(x, top=top, least=least, bits=6, seed=3)


def lengths(x, top):
    size = np.diff(x.indptr)
    paired = np.minimum(size, top)
    return np.r_[0, np.cumsum(size + paired * (paired - 1) // 2)]


def crossing(rng, top=4, least=2):
    x, own = found(rng, top, least)
    room = lengths(x, top)
    return (*x[:3], own.cells, own.ranks, top, crosses._seed(own.seed), own.bits, own.columns, room, np.full(room[-1], -7, np.int32),
            np.full(room[-1], np.nan, np.float32), np.full(9, -7, np.int64))


def row_by_row(function):
    """The CPU's loop with blocks of one row, which then lie apart as on a device."""
    def reference(*arguments):
        before, _cpu.BLOCK = _cpu.BLOCK, 1
        try:
            getattr(_cpu, function)(*arguments)
        finally:
            _cpu.BLOCK = before
    return reference


def gaps(rng):
    arguments = crossing(rng)
    row_by_row("cross_rows")(*arguments)
    indptr = np.r_[0, np.cumsum(arguments[-1])]
    return arguments[9], indptr, *arguments[10:12], np.full(indptr[-1], -7, np.int32), np.full(indptr[-1], np.nan, np.float32)


def roomy(indptr, top, room):
    room[...] = np.diff(lengths(sparse.Rows(indptr, None, None, 0), top), prepend=0)


CASES = [
    Case("rooms", lambda rng: (found(rng)[0].indptr, 4, np.full(10, -7, np.int64)), reference=roomy),
    *(Case("cross_rows", lambda rng, top=top, least=least: crossing(rng, top, least), rtol=1e-6, reference=row_by_row("cross_rows"))
      for top, least in ((4, 2), (16, 1), (2, 3))),
    Case("close_gaps", gaps, reference=row_by_row("close_gaps")),
]
