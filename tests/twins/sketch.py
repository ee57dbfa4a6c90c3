"""Cases of the loops of sketches."""
import numpy as np

from sketchxc._cuda import sketch as _cuda

from . import Case
from .hashing import words

# Steps of the loops, and the sharing of one row between the threads of a CPU.
PARTS = {"hash_block", "add_row", "add_part", "add_few", "add_split", "read_rows", "low_part", "low_few", "insertion", "median_part",
         "locate"}
SMALL = {"HOT": 8, "SHARE": 4, "PERSISTENT": 3, "BATCH": 16, "PIECES": 8}


def keys(rng, n=61):
    """A few frequent keys among rare ones."""
    found = words(rng, n)
    return np.where(rng.random(n) < 0.5, found[rng.integers(0, max(min(4, n), 1), n)], found)


def table(rng, depth, width, dtype, least=0):
    return rng.integers(least, 50, (depth, width)).astype(dtype)


def state(rng, depth, width, dtype, least=0):
    return table(rng, depth, width, dtype, least), words(rng, 5 + depth)[5:]


def weights(rng, n=61, dtype=np.int64, least=0):
    return rng.integers(least, 1000, n).astype(dtype)


def adds(depth, width, dtype, signed, counted):
    def draw(rng):
        t, seeds = state(rng, depth, width, dtype, -49 if signed else 0)
        some = keys(rng)
        some[10] = seeds[0]  # the one that a block has no place for
        kind = np.float32 if dtype == np.float32 else np.int64
        return t, seeds, some, weights(rng, dtype=kind, least=-999 if signed else 0) if counted else None, signed
    return Case("add", draw)


def by_batches(table, seeds, keys, counts):
    """The documented order of a device, in Python's integers: batches, equal keys together, all estimates before all raises."""
    from sketchxc.hashing import buckets
    for start in range(0, keys.size, _cuda.BATCH):
        sums = {}
        for i in range(start, min(start + _cuda.BATCH, keys.size)):
            sums[int(keys[i])] = sums.get(int(keys[i]), 0) + (1 if counts is None else counts[i])
        cells = buckets(np.array(list(sums), np.uint64), seeds, table.shape[1])  # (depth, k)
        rows = np.arange(table.shape[0])
        goals = [min(table[rows, cells[:, k]]) + count for k, count in enumerate(sums.values())]
        for k, goal in enumerate(goals):
            table[rows, cells[:, k]] = np.maximum(table[rows, cells[:, k]], goal)


def conservative(depth, width, dtype, counted, n=61):
    def draw(rng):
        t, seeds = state(rng, depth, width, dtype)
        some = keys(rng, n)
        some[n // 2:n // 2 + 2] = seeds[0]
        return t, seeds, some, weights(rng, n, np.float32 if dtype == np.float32 else np.int64) if counted else None
    return Case("add_conservative", draw, reference=by_batches)


def apart(rng):
    """Keys that share no cell: then the order says nothing, and the device gives what the CPU gives."""
    return table(rng, 3, 100_003, np.int64), words(rng, 8)[5:], np.arange(12, dtype=np.uint64), weights(rng, 12)


def estimates(function, depth, width, dtype, least=0):
    return Case(function, lambda rng: (*state(rng, depth, width, dtype, least), keys(rng), np.full(61, -7, dtype)))


def rows(rng, depth, columns, k=9):
    t = rng.normal(size=(depth, 7, columns)).astype(np.float32)
    return t, words(rng, 5 + depth)[5:], np.arange(k, dtype=np.uint64) % 6


def summed(table, other):
    table += other


def multiplied(table, factor):
    table[:] = np.floor(table * factor) if table.dtype.kind == "i" else table * factor


CASES = [
    *[Case("add_table", lambda rng, dtype=dtype: (table(rng, 1, 13, dtype)[0], table(rng, 1, 13, dtype)[0]), reference=summed)
      for dtype in (np.int64, np.int32, np.float32)],
    Case("add_table", lambda rng: (table(rng, 1, 13, np.int64)[0], table(rng, 1, 13, np.int32)[0]), reference=summed),
    *[Case("multiply", lambda rng, dtype=dtype, factor=factor: (table(rng, 1, 13, dtype, -9)[0], factor), reference=multiplied)
      for dtype, factor in ((np.int64, np.int64(3)), (np.int32, np.int64(-3)), (np.float32, np.float64(0.3)))],
    *[Case("multiply_down", lambda rng, dtype=dtype: (table(rng, 1, 13, dtype)[0], 0.3), reference=multiplied)
      for dtype in (np.int64, np.int32)],
    adds(5, 17, np.int64, False, False), adds(2, 1, np.int64, False, True), adds(3, 17, np.int32, False, True),
    adds(3, 17, np.int64, True, True), adds(7, 5, np.int64, True, False), adds(3, 17, np.float32, True, True),
    Case("add", lambda rng: (*state(rng, 3, 5, np.int64), keys(rng, 0), None, False), reference=lambda *nothing: None),
    conservative(3, 17, np.int64, True), conservative(5, 3, np.int64, False), conservative(2, 17, np.int32, True),
    conservative(3, 17, np.float32, True), conservative(3, 7, np.int64, True, 5), Case("add_conservative", apart),
    Case("add_conservative", lambda rng: (*state(rng, 3, 5, np.int64), keys(rng, 0), None), reference=by_batches),
    estimates("low", 5, 17, np.int64), estimates("low", 1, 17, np.int32), estimates("low", 4, 1, np.float32),
    estimates("median", 3, 17, np.int64, -49), estimates("median", 5, 17, np.float32, -49), estimates("median", 7, 17, np.int32, -49),
    estimates("median", 1, 5, np.int64, -49),
    *[Case("mean_low", lambda rng, depth=depth: (*state(rng, depth, 17, np.int64), keys(rng), 700.0, np.full(61, -7.0)), rtol=1e-12)
      for depth in (1, 2, 5)],
    Case("mean_low", lambda rng: (*state(rng, 3, 17, np.float32), keys(rng), 700.0, np.full(61, -7.0)), rtol=1e-12),
    Case("peak", lambda rng: (*state(rng, 3, 17, np.int64, -99), keys(rng))),
    Case("peak", lambda rng: (*state(rng, 3, 17, np.int32, -99), keys(rng, 2))),
    Case("extent", lambda rng: (weights(rng, least=-999), np.int64(0))),
    Case("extent", lambda rng: (weights(rng, 1, np.float32, -999), np.float64(0))),
    Case("inner", lambda rng: (table(rng, 3, 50, np.int64, -9), table(rng, 3, 50, np.int64, -9), np.int64(0)),
         reference=lambda a, b, zero: (a * b).sum(1)),
    Case("inner", lambda rng: (table(rng, 2, 5, np.float32), table(rng, 2, 5, np.float32), np.float64(0)), rtol=1e-12,
         reference=lambda a, b, zero: (a.astype(np.float64) * b).sum(1)),
    *[Case("row_add", lambda rng, signed=signed: (*rows(rng, 3, 5), rng.normal(size=(9, 5)).astype(np.float32), signed), 1e-5, 1e-5)
      for signed in (False, True)],
    *[Case("row_estimate", lambda rng, depth=depth, signed=signed: (*rows(rng, depth, 6), signed, np.full((9, 6), np.nan, np.float32)))
      for depth, signed in ((2, False), (3, True), (5, True), (7, True))],
]
