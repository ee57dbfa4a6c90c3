"""Cases of the loops of the proved hash families."""
import numpy as np

from . import Case
from .hashing import words

PARTS = set()
PRIME = 2**61 - 1


def coefficients(rng, depth, terms):
    return rng.integers(0, PRIME, (depth, terms), dtype=np.uint64)


def edges(rng, n):
    found = words(rng, n)
    found[3:6] = [PRIME - 1, PRIME, 8 * PRIME]
    return found


CASES = [
    Case("multiply_shift", lambda rng: (words(rng, 3) | np.uint64(1), words(rng, 17), words(rng, 51).reshape(3, 17))),
    Case("polynomial", lambda rng: (coefficients(rng, 3, 6), edges(rng, 17), words(rng, 51).reshape(3, 17))),
    Case("polynomial", lambda rng: (coefficients(rng, 14, 2), edges(rng, 7), words(rng, 98).reshape(14, 7))),
    Case("tabulation", lambda rng: (words(rng, 4096).reshape(2, 8, 256), words(rng, 17), words(rng, 34).reshape(2, 17))),
    Case("buckets", lambda rng: (words(rng, 17), np.uint64(3), 1000, np.full(17, -7, np.int32))),
    Case("signs", lambda rng: (words(rng, 17), np.full(17, 7, np.int8))),
]
