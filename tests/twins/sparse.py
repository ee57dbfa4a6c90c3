"""Cases of the loops over sparse rows."""
import numpy as np

from . import Case

# Sorting of rows and dense input: data are prepared on the host.
PARTS = {"_sort", "arrange", "dense_lengths", "dense_entries", "transpose"}


def csr(rng, n=9, width=11, empty=True):
    """Row starts, ascending columns and values of n rows, some of them empty."""
    rows = [np.sort(rng.choice(width, rng.integers(0, width), replace=False)) if not empty or i % 4 else [] for i in range(n)]
    indptr = np.r_[0, np.cumsum([len(row) for row in rows])].astype(np.int64)
    indices = np.concatenate([np.asarray(row, np.int32) for row in rows])
    return indptr, indices, rng.normal(size=indices.size).astype(np.float32)


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def faulty(rng, index=None, value=None):
    indptr, indices, values = csr(rng)
    if index is not None:
        indices[5] = index
    if value is not None:
        values[7] = value
    return indptr, indices, values, 11, np.full((3, 4), -7, np.int64)


def copied(rng):
    indptr, indices, values = csr(rng)
    order = rng.integers(0, 9, 7)
    starts = np.r_[0, np.cumsum(np.diff(indptr)[order])]
    return indptr, indices, values, order, starts, np.full(starts[-1], -7, np.int32), np.full(starts[-1], np.nan, np.float32)


def segments(rng, n=17, d=5):
    ids = np.sort(rng.integers(0, 4, n))
    starts = np.r_[0, np.flatnonzero(np.diff(ids)) + 1, n]
    return rng.permutation(n), starts, normal(rng, n, d), np.full((starts.size - 1, d), np.nan, np.float32)


def keys(rng, signed):
    n = 13
    return (rng.integers(0, 2**64, n, dtype=np.uint64) if signed else rng.integers(0, 2**31, n).astype(np.int32), normal(rng, n),
            np.uint64(2**64 - 9), 1000, signed, np.full(n, -7, np.int32), np.full(n, np.nan, np.float32))


def starts_wrong(indptr, size, bad):
    bad[0] |= int(indptr[0] != 0 or indptr[-1] != size or (np.diff(indptr) < 0).any())


def lengths_of(indptr, order, lengths):
    lengths[:] = np.r_[0, np.diff(indptr)[order]]


def long_rows(rng):
    indptr, indices, values = csr(rng, 3, 40, empty=False)
    return indptr, indices, values, normal(rng, 40, 3), np.full((3, 3), np.nan, np.float32)


def ranking(rng, fault=None):
    indptr, indices, _ = csr(rng)
    ranked = np.array([rng.permutation(11)[:5] for _ in range(9)], np.int32)
    ranked[rng.random((9, 5)) < 0.2] = -1
    ranked[2] = [4, 3, 2, 1, 0]
    if fault == 0:
        ranked[2, 1] = 11
    elif fault == 1:
        ranked[2, 1] = 4
    elif fault == 2:
        indices[indptr[2] + 1] = indices[indptr[2]]
    return ranked, indptr, indices, 11, np.ones((9, 3), np.bool_), np.zeros(3, np.int64)


def found(ranked, indptr, indices, width, out, bad):
    for i in range(9):
        own = indices[indptr[i]:indptr[i + 1]].tolist()
        out[i] = [label in own for label in ranked[i, :3].tolist()]
        named = [label for label in ranked[i, :3].tolist() if label >= 0]
        for place, wrong in enumerate((max(named, default=0) >= width, len(set(named)) < len(named), len(set(own)) < len(own))):
            bad[place] = i + 1 if wrong else bad[place]


def longer(rng, fault):
    """Row 2 has two columns at least."""
    while np.diff(csr(np.random.default_rng(state := rng.integers(2**32)))[0])[2] < 2:
        pass
    return ranking(np.random.default_rng(state), fault)


CASES = [
    *(Case("hits", lambda rng, fault=fault: longer(rng, fault), reference=found) for fault in (None, 0, 1, 2)),
    Case("scan", faulty),
    Case("scan", lambda rng: faulty(rng, index=11)),
    Case("scan", lambda rng: faulty(rng, index=-1, value=np.inf)),
    Case("scan", lambda rng: faulty(rng, value=np.nan)),
    Case("check_starts", lambda rng: (np.array([0, 2, 2, 5]), 5, np.zeros(1, np.int64)), reference=starts_wrong),
    Case("check_starts", lambda rng: (np.array([0, 3, 2, 5]), 5, np.zeros(1, np.int64)), reference=starts_wrong),
    Case("check_starts", lambda rng: (np.array([0, 2, 4]), 5, np.zeros(1, np.int64)), reference=starts_wrong),
    Case("check_starts", lambda rng: (np.array([1, 2, 5]), 5, np.zeros(1, np.int64)), reference=starts_wrong),
    Case("row_lengths", lambda rng: (csr(rng)[0], rng.integers(0, 9, 7), np.full(8, -7, np.int64)), reference=lengths_of),
    Case("copy_rows", copied),
    Case("normalize", lambda rng: (*csr(rng)[::2], np.full(csr(np.random.default_rng(0))[1].size + 99, 7, np.float32)), rtol=3e-7),
    Case("normalize", lambda rng: (np.array([0, 2, 3, 5]), np.float32([3e30, 4e30, 2e-30, 0, 0]), np.full(5, 7, np.float32)), rtol=3e-7),
    Case("gather", lambda rng: (*csr(rng), normal(rng, 11, 5), np.full((9, 5), np.nan, np.float32)), rtol=1e-5, atol=1e-5),
    Case("gather", long_rows, rtol=1e-5, atol=1e-5),
    Case("gather", lambda rng: (np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), normal(rng, 3, 2),
                                np.empty((0, 2), np.float32))),
    Case("scatter", lambda rng: (*csr(rng), normal(rng, 9, 5), normal(rng, 11, 5), 2), rtol=1e-5, atol=1e-5),
    Case("scatter", lambda rng: (np.zeros(3, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), normal(rng, 2, 2),
                                 normal(rng, 3, 2), 1)),
    Case("hash_keys", lambda rng: keys(rng, True)),
    Case("hash_keys", lambda rng: keys(rng, False)),
    Case("segment_sums", segments, rtol=1e-5, atol=1e-5),
]
