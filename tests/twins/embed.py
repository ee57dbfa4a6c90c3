"""Cases of the loops of embedding bags."""
import numpy as np

from . import Case
from .sparse import csr, normal

PARTS = {"hash_part"}


def words(rng, *shape):
    return rng.integers(0, 2**64, shape, dtype=np.uint64)


def bags(rng, hashed):
    """Six bags, the first empty, of table rows or of keys under two seeds."""
    indptr = np.array([0, 0, 1, 4, 4, 9, 11]) * (2 if hashed else 1)
    n = indptr[-1]
    seeds = words(rng, 2 if hashed else 0)
    ids = np.full(n, -7, np.int32) if hashed else rng.integers(0, 8, n).astype(np.int32)
    return words(rng, 11 if hashed else 0), seeds, indptr, ids, normal(rng, n), normal(rng, 8, 5), 3, np.zeros((6, 5), np.float32)


def turn(rng, n_rows=6):
    indptr = np.array([0, 0, 1, 4, 4, 9, 11])
    return (indptr, rng.integers(0, n_rows, 11).astype(np.int32), normal(rng, 11), n_rows, np.full(11, -7), np.full(12, -7),
            np.full(11, -7, np.int32), np.full(11, np.nan, np.float32))


def nothing(rng):
    return (np.zeros(3, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), 6, np.empty(0, np.int64), np.full(1, -7),
            np.empty(0, np.int32), np.empty(0, np.float32))


def products(rng):
    indptr, indices, values = csr(rng)
    return indptr, indices, normal(rng, 11, 5), normal(rng, 9, 5), np.full(indices.size, np.nan, np.float32)


def outside(ids, n_rows, bad):
    bad[0] |= int((ids < 0).any() or (ids >= n_rows).any())


def multiplied(values, factor, out):
    out[:] = values * factor


def shares(indptr, mean, out):
    lengths = np.diff(indptr)
    out[:] = np.repeat(1 / np.maximum(lengths, 1), lengths) if mean else 1


CASES = [
    Case("feature_ids", lambda rng: (words(rng, 9, 3), np.array([0, 2, 2, 1]), words(rng, 4), 1000, np.full((9, 4), -7, np.int32))),
    Case("codes", lambda rng: (words(rng, 9), words(rng, 6), np.full((9, 6), np.nan, np.float32))),
    Case("bags", lambda rng: bags(rng, False), rtol=1e-5, atol=1e-5),
    Case("bags", lambda rng: bags(rng, True), rtol=1e-5, atol=1e-5),
    Case("turn", turn),
    Case("turn", lambda rng: turn(rng, 2**31 - 1)),
    Case("turn", nothing),
    *(Case("check_ids", lambda rng, bad=bad: (np.array([3, bad, 5]), 9, np.zeros(1, np.int64)), reference=outside) for bad in (-1, 8, 9)),
    Case("multiply", lambda rng: (rng.integers(0, 99, 9), 3, np.full(9, -7)), reference=multiplied),
    *(Case("shares", lambda rng, mean=mean: (np.array([0, 0, 1, 4, 9]), mean, np.full(9, np.nan, np.float32)), reference=shares)
      for mean in (False, True)),
    Case("products", products, rtol=1e-5, atol=1e-5),
]
