"""Cases of the label lookups."""
import numpy as np

from . import Case
from .embed import words

PARTS = {"bucket_of"}


def table(rng, rows=6, n=9, buckets=5):
    return rng.integers(0, buckets, (rows, n)).astype(np.int32)


def inverse(reps):
    return lambda rng: (table(rng), np.full((reps, 6), -7), np.full((reps, 6 // reps * 9), -7, np.int32))


CASES = [
    Case("label_buckets", lambda rng: (words(rng, 3), np.empty((3, 0), np.int32), 11, np.full((3, 13), -7, np.int32))),
    Case("label_buckets", lambda rng: (words(rng, 6), table(rng), 5, np.full((6, 9), -7, np.int32))),
    Case("distinct_buckets", lambda rng: (words(rng, 1)[0], 5, np.full((4, 9), -7, np.int32))),
    Case("places", lambda rng: (table(rng), 5, 1, np.full((9, 6), -7, np.int32))),
    Case("places", lambda rng: (table(rng), 5, 3, np.full((9, 6), -7, np.int32))),
    Case("inverse", inverse(6)),
    Case("inverse", inverse(2)),
]
