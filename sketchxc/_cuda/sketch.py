"""Grids of count-min, count-sketch and row sketches; cells are shared between threads, so additions are atomic.

Sums of integers are the same bits in any order; those of floats are equal up to rounding.
"""
import math

import numpy as np

from .._scalar import sketch as _scalar
from .._scalar import hashing as _hashing
from . import _target
from ._target import block_kernel, cuda, device, download, empty, full, kernel, on_device, zeros

_device = on_device(_scalar)
cell, median3, median5, side = _device.cell, _device.median3, _device.median5, _device.side
mix64 = on_device(_hashing).mix64

HOT = 1024  # keys whose counts a block collects in its shared memory; a power of two
SHARE = 16  # keys for each thread at least, so that emptying that memory costs little beside filling it
PERSISTENT = 1056  # blocks at most: 8 for each of 132 multiprocessors
BATCH = 2**20  # keys that a conservative update takes at a time; a power of two
PIECES = 1024  # partial sums for each row of an inner product


def add(table, seeds, keys, counts, signed):
    """Add counts (None: ones); a key that a block meets often is summed in its shared memory and goes to the table once."""
    each = 0 if counts is None else 1
    _add(table, seeds, keys, full(1, 1, table.dtype) if counts is None else counts, each, signed, table.dtype.type(0))


@device
def _add_one(table, seeds, key, value, signed):
    for d in range(table.shape[0]):
        cuda.atomic.add(table, (d, cell(key, seeds[d], table.shape[1])), -value if signed and side(key, seeds[d]) < 0 else value)


def _blocks(table, seeds, keys, counts, each, signed, zero):
    return min(-(-keys.size // (_target.THREADS * SHARE)), PERSISTENT)


@block_kernel(_blocks)
def _add(table, seeds, keys, counts, each, signed, zero):
    """A block owns every so-many-th of the keys. The first key to come to a place of its shared memory has it; 0 is a free one.

    Frequent keys, which otherwise wait for each other at the same cells, come early, so most have a place."""
    names = cuda.shared.array(HOT, np.uint64)
    sums = cuda.shared.array(HOT, table.dtype)
    for k in range(cuda.threadIdx.x, HOT, cuda.blockDim.x):
        names[k] = np.uint64(0)
        sums[k] = zero
    cuda.syncthreads()
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        name, value = keys[i] ^ seeds[0], zero + counts[i * each]
        k = np.int64(mix64(name) & np.uint64(HOT - 1))
        owner = names[k]
        if owner == np.uint64(0):
            owner = cuda.atomic.cas(names, k, np.uint64(0), name)
            owner = name if owner == np.uint64(0) else owner
        if owner == name and name != np.uint64(0):
            cuda.atomic.add(sums, k, value)
        else:
            _add_one(table, seeds, keys[i], value, signed)
    cuda.syncthreads()
    for k in range(cuda.threadIdx.x, HOT, cuda.blockDim.x):
        if names[k] != np.uint64(0):
            _add_one(table, seeds, names[k] ^ seeds[0], sums[k], signed)


def add_conservative(table, seeds, keys, counts):
    """Conservative update by batches of `BATCH` keys: the counts (None: ones) of equal keys of a batch are added up, and the estimates of
    all its keys are read before any cell is raised to the estimate plus the count of a key; so no order within a batch matters."""
    n = min(keys.size, BATCH)
    places = 2 << (n - 1).bit_length() if n else 0
    names, sums = empty(places + 1, np.uint64), empty(places + 1, table.dtype)  # the last place is for the name 0
    each = 0 if counts is None else 1
    counts = full(1, 1, table.dtype) if counts is None else counts
    for start in range(0, keys.size, BATCH):
        stop = min(start + BATCH, keys.size)
        _target.fill(names, 0)
        _target.fill(sums, 0)
        _collect(seeds, keys[start:stop], counts[start:stop] if each else counts, each, names, sums)
        _raised(table.reshape(*table.shape, 1), seeds, names, sums)
        _raise(table, seeds, names, sums)


@kernel(lambda seeds, keys, counts, each, names, sums: keys.size)
def _collect(seeds, keys, counts, each, names, sums):
    """Sum of the counts of each key of a batch; a key has the first place from its hash on that was free."""
    last = names.size - 1
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        name = keys[i] ^ seeds[0]
        k = last
        if name != np.uint64(0):
            k = np.int64(mix64(name) & np.uint64(last - 1))
            owner = cuda.atomic.cas(names, k, np.uint64(0), name)
            while owner != np.uint64(0) and owner != name:
                k = (k + 1) & (last - 1)
                owner = cuda.atomic.cas(names, k, np.uint64(0), name)
        cuda.atomic.add(sums, k, counts[i * each])


@kernel(lambda table, seeds, names, sums: names.size)
def _raised(table, seeds, names, sums):
    """Estimate plus count of each key of a batch, in place of its count; one thread owns each key."""
    for k in range(cuda.grid(1), names.size, cuda.gridsize(1)):
        if sums[k] > 0:
            sums[k] += lowest(table, seeds, names[k] ^ seeds[0], 0)


@kernel(lambda table, seeds, names, sums: names.size)
def _raise(table, seeds, names, sums):
    """Raise the cells of each key of a batch."""
    for k in range(cuda.grid(1), names.size, cuda.gridsize(1)):
        if sums[k] > 0:
            key = names[k] ^ seeds[0]
            for d in range(table.shape[0]):
                cuda.atomic.max(table, (d, cell(key, seeds[d], table.shape[1])), sums[k])


@device
def read(table, seeds, key, d, j, signed):
    """Cell of a key in row d of a table (depth, width, columns), times its sign if `signed`."""
    value = table[d, cell(key, seeds[d], table.shape[1]), j]
    return -value if signed and side(key, seeds[d]) < 0 else value


@device
def lowest(table, seeds, key, j):
    """Smallest cell of a key."""
    low = read(table, seeds, key, 0, j, False)
    for d in range(1, table.shape[0]):
        value = read(table, seeds, key, d, j, False)
        low = value if value < low else low
    return low


@device
def ranked(table, seeds, key, j, signed, rank):
    """Cell of a key that has `rank` smaller ones; by counting, because a thread has no memory for all of them."""
    found = read(table, seeds, key, 0, j, signed)
    for d in range(table.shape[0]):
        value = read(table, seeds, key, d, j, signed)
        below, not_above = 0, 0
        for e in range(table.shape[0]):
            other = read(table, seeds, key, e, j, signed)
            below += 1 if other < value else 0
            not_above += 1 if other <= value else 0
        found = value if below <= rank and rank < not_above else found
    return found


@device
def middle(table, seeds, key, j):
    """Median of the signed cells of a key, of an odd number of rows."""
    depth = table.shape[0]
    if depth == 3:
        return median3(read(table, seeds, key, 0, j, True), read(table, seeds, key, 1, j, True), read(table, seeds, key, 2, j, True))
    if depth == 5:
        return median5(read(table, seeds, key, 0, j, True), read(table, seeds, key, 1, j, True), read(table, seeds, key, 2, j, True),
                       read(table, seeds, key, 3, j, True), read(table, seeds, key, 4, j, True))
    return ranked(table, seeds, key, j, True, depth >> 1)


def low(table, seeds, keys, out):
    """Smallest cell of each key."""
    _low(table.reshape(*table.shape, 1), seeds, keys, out)


@kernel(lambda table, seeds, keys, out: keys.size)
def _low(table, seeds, keys, out):
    """One thread owns each key."""
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        out[i] = lowest(table, seeds, keys[i], 0)


def median(table, seeds, keys, out):
    """Median over the rows, an odd number of them, of the signed cells of each key."""
    _median(table.reshape(*table.shape, 1), seeds, keys, out)


@kernel(lambda table, seeds, keys, out: keys.size)
def _median(table, seeds, keys, out):
    """One thread owns each key."""
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        out[i] = middle(table, seeds, keys[i], 0)


def mean_low(table, seeds, keys, total, out):
    """Median over the rows of the cell less the mean of the others, between 0 and the smallest cell."""
    _mean_low(table.reshape(*table.shape, 1), seeds, keys, total, out)


@kernel(lambda table, seeds, keys, total, out: keys.size)
def _mean_low(table, seeds, keys, total, out):
    """One thread owns each key."""
    depth, others = table.shape[0], table.shape[1] - 1.0
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        center = (np.float64(ranked(table, seeds, keys[i], 0, False, (depth - 1) >> 1))
                  + np.float64(ranked(table, seeds, keys[i], 0, False, depth >> 1))) / 2
        smallest = np.float64(lowest(table, seeds, keys[i], 0))
        value = center - (total - center) / others
        value = 0.0 if value < 0.0 else value
        out[i] = smallest if value > smallest else value


def peak(table, seeds, keys):
    """Largest absolute cell that any of the keys touches, as a number on the host."""
    found = zeros(1, np.int64)
    _peak(table, seeds, keys, found)
    return download(found)[0]


@kernel(lambda table, seeds, keys, found: (keys.size, table.shape[0]))
def _peak(table, seeds, keys, found):
    first, row = cuda.grid(2)
    step, rows = cuda.gridsize(2)
    largest = np.int64(0)
    for d in range(row, table.shape[0], rows):
        for i in range(first, keys.size, step):
            value = np.int64(table[d, cell(keys[i], seeds[d], table.shape[1])])
            value = -value if value < 0 else value
            largest = value if value > largest else largest
    if largest > found[0]:
        cuda.atomic.max(found, 0, largest)


def extent(counts, zero):
    """Smallest count, largest one, and the sum of their absolute values in the type of `zero`, as numbers on the host."""
    edges, total = empty(2, counts.dtype), zeros(1, zero.dtype)
    limit = np.finfo(counts.dtype) if counts.dtype.kind == "f" else np.iinfo(counts.dtype)
    _target.fill(edges[:1], limit.max)
    _target.fill(edges[1:], limit.min)
    _extent(counts, zero, edges, total)
    low, high = download(edges)
    return low, high, download(total)[0]


@kernel(lambda counts, zero, edges, total: min(counts.size, 2**16))
def _extent(counts, zero, edges, total):
    """One thread owns every so-many-th count."""
    first = cuda.grid(1)
    if first < counts.size:
        low, high, amount = counts[first], counts[first], zero
        for i in range(first, counts.size, cuda.gridsize(1)):
            value = counts[i]
            low = value if value < low else low
            high = value if value > high else high
            amount += -value if value < 0 else value
        cuda.atomic.min(edges, 0, low)
        cuda.atomic.max(edges, 1, high)
        cuda.atomic.add(total, 0, amount)


def inner(a, b, zero):
    """Sums over the cells of each row of two tables of the products in the type of `zero`, (depth,) on the host; in a fixed order."""
    parts = empty((a.shape[0], PIECES), zero.dtype)
    _inner(a, b, zero, parts)
    return download(parts).sum(1)


@kernel(lambda a, b, zero, parts: (parts.shape[1], parts.shape[0]))
def _inner(a, b, zero, parts):
    """One thread owns each partial sum, of every so-many-th cell of a row."""
    first, row = cuda.grid(2)
    step, rows = cuda.gridsize(2)
    for d in range(row, parts.shape[0], rows):
        for k in range(first, parts.shape[1], step):
            total = zero
            for c in range(k, a.shape[1], parts.shape[1]):
                total += (zero + a[d, c]) * (zero + b[d, c])
            parts[d, k] = total


@kernel(lambda table, other: table.size)
def add_table(table, other):
    """Add another table, both flat; one thread owns each cell. Only the device has this and what follows, the host asks NumPy."""
    for i in range(cuda.grid(1), table.size, cuda.gridsize(1)):
        table[i] += other[i]


@kernel(lambda table, factor: table.size)
def multiply(table, factor):
    """Multiply a flat table; one thread owns each cell."""
    for i in range(cuda.grid(1), table.size, cuda.gridsize(1)):
        table[i] = table[i] * factor


@kernel(lambda table, factor: table.size)
def multiply_down(table, factor):
    """Multiply a flat table of integers by a float and round down; one thread owns each cell."""
    for i in range(cuda.grid(1), table.size, cuda.gridsize(1)):
        table[i] = np.int64(math.floor(table[i] * factor))


@kernel(lambda table, seeds, rows, values, signed: (values.shape[1], rows.size))
def row_add(table, seeds, rows, values, signed):
    """One thread owns each number of the vectors, and adds it to every row of the table (depth, width, columns)."""
    column, first = cuda.grid(2)
    columns, step = cuda.gridsize(2)
    for i in range(first, rows.size, step):
        for d in range(table.shape[0]):
            place = cell(rows[i], seeds[d], table.shape[1])
            minus = signed and side(rows[i], seeds[d]) < 0
            for j in range(column, values.shape[1], columns):
                cuda.atomic.add(table, (d, place, j), -values[i, j] if minus else values[i, j])


@kernel(lambda table, seeds, rows, signed, out: (out.shape[1], rows.size))
def row_estimate(table, seeds, rows, signed, out):
    """One thread owns each number of `out` (k, columns)."""
    column, first = cuda.grid(2)
    columns, step = cuda.gridsize(2)
    for i in range(first, rows.size, step):
        for j in range(column, out.shape[1], columns):
            out[i, j] = middle(table, seeds, rows[i], j) if signed else lowest(table, seeds, rows[i], j)
