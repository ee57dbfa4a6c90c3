"""Cases of the loops of tables of bytes."""
import numpy as np

from . import Case
from .sparse import csr, normal

PARTS = set()


def table(rng):
    rows = normal(rng, 9, 5)
    rows[3] = 0
    return rows, np.full((9, 5), -7, np.int8), np.full(9, np.nan, np.float32)


def small(rng, *shape):
    return rng.integers(-127, 128, shape).astype(np.int8)


CASES = [
    Case("pack", table),
    Case("bucket_scores", lambda rng: (small(rng, 11, 6), np.abs(normal(rng, 11)), normal(rng, 6), 3, *csr(rng),
                                       np.full((2, 9, 3), np.nan, np.float32)), rtol=1e-5, atol=1e-4),
]
