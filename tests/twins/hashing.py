"""Cases of the hashing loops."""
import numpy as np

from . import Case

# Steps of the loops, and what only Python's texts need.
PARTS = {"mix_part", "mix_floats_part", "buckets_part", "buckets_rows", "signs_part", "signs_rows",
         "load32", "load64", "load_tail", "masked", "xxh64_blocks", "xxh64", "murmur3",
         "murmur3_128", "joined", "trimmed", "utf8_lengths", "utf8_fill"}


def words(rng, n):
    found = rng.integers(0, 2**64, n, dtype=np.uint64)
    found[:3] = [0, 1, 2**64 - 1][:n]
    return found


def spans(rng, n=23):
    """Buffer and spans of 0 to 100 bytes, the last at the end of the buffer."""
    offsets = np.zeros(n + 1, np.int64)
    offsets[1:] = np.cumsum(np.r_[np.arange(9), rng.integers(0, 101, n - 9)])
    return rng.integers(0, 256, offsets[-1], dtype=np.uint8), offsets[:-1], offsets[1:]


def floats(rng):
    return np.r_[0.0, -0.0, np.nan, -np.nan, np.inf, rng.normal(size=8)].view(np.uint64), np.uint64(3), words(rng, 13)


def outside(offsets, size, bad):
    bad[0] |= int((np.diff(offsets, prepend=0) < 0).any() or (offsets > size).any())


CASES = [
    Case("seeds", lambda rng: (words(rng, 1)[0], words(rng, 37))),
    *[Case("mix", lambda rng, n=n: (words(rng, n), words(rng, 9)[8], words(rng, n))) for n in (1, 4, 37, 48, 99)],
    Case("mix", lambda rng: (words(rng, 0), np.uint64(1), words(rng, 0))),
    Case("mix_floats", floats),
    Case("buckets", lambda rng: (words(rng, 19), words(rng, 5), 1000, np.full((5, 19), -7, np.int32))),
    Case("buckets", lambda rng: (words(rng, 2), words(rng, 14), 2**31 - 1, np.full((14, 2), -7, np.int32))),
    Case("buckets", lambda rng: (words(rng, 3), words(rng, 0), 3, np.full((0, 3), -7, np.int32))),
    Case("signs", lambda rng: (words(rng, 19), words(rng, 5), np.full((5, 19), 7, np.int8))),
    Case("official_buckets", lambda rng: (rng.integers(-2**31, 2**31, 17), 997, np.full((6, 17), -7, np.int32))),
    Case("xxh64_spans", lambda rng: (*spans(rng), np.uint64(2**63 + 5), words(rng, 23))),
    Case("murmur3_spans", lambda rng: (*spans(rng), np.uint32(2**32 - 5), np.full(23, 7, np.uint32))),
    Case("murmur3_128_spans", lambda rng: (*spans(rng), np.uint64(9), np.full((23, 2), 7, np.uint64))),
    Case("check_offsets", lambda rng: (np.r_[0, 3, 3, 9, 10], 10, np.zeros(1, np.int64)), reference=outside),
    Case("check_offsets", lambda rng: (np.r_[0, 3, 2, 9, 10], 10, np.zeros(1, np.int64)), reference=outside),
    Case("check_offsets", lambda rng: (np.r_[-1, 3, 3, 9], 10, np.zeros(1, np.int64)), reference=outside),
    Case("check_offsets", lambda rng: (np.r_[0, 3, 3, 19], 10, np.zeros(1, np.int64)), reference=outside),
]
