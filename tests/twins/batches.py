"""Cases of the transposition of mini-batches."""
import numpy as np

from . import Case
from .sparse import csr

PARTS = set()


def batches(batch, n=9, width=11, same=0):
    """Rows, every fourth of them empty, with `same` columns in all if it is given, so that they come twice in a row. All is poisoned, as
    places without a group stay as they are."""
    def arguments(rng):
        indptr, indices, values = csr(rng, n, width)
        if same:
            indices = rng.integers(0, same, indices.size).astype(np.int32)
        else:
            indices = indices[::-1].copy() if rng.random() < 0.5 else indices  # neither do columns ascend
        size = indices.size
        return (indptr, indices, values, batch, width, 2, np.full(-(-n // batch), -7, np.int64), np.full(size, -7, np.int32),
                np.full(size, -7, np.int64), np.full(size, -7, np.int32), np.full(size, np.nan, np.float32))
    return Case("group_columns", arguments)


def last_places(starts, batch, ends):
    ends[:] = [starts[min(starts.size - 1, (t + 1) * batch)] for t in range(ends.size)]


CASES = [
    batches(4),
    batches(1),
    batches(20),
    batches(3, same=3),
    batches(20, same=1),
    Case("group_columns", lambda rng: (np.zeros(4, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), 2, 5, 1,
                                       np.full(2, -7, np.int64), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int32),
                                       np.empty(0, np.float32))),
    Case("batch_ends", lambda rng: (csr(rng)[0], 4, np.full(3, -7, np.int64)), reference=last_places),
]
