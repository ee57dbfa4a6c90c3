"""Grids over sparse rows. A number of the output belongs to one thread, which adds in the order of the entries; no float atomics."""
import math

import numpy as np

from .._scalar import hashing as _scalar
from .._scalar import sparse as _rows
from . import _target
from ._target import block_kernel, cuda, device, kernel, on_device

_device = on_device(_scalar)
bucket, mix64, side = _device.bucket, _device.mix64, _device.side
faults = on_device(_rows).faults


@device
def weighted(table, j, indices, values, start, stop, total):
    """total + sum over k of values[k] * table[indices[k], j], in the order of k; four reads are under way at a time."""
    k = start
    while k + 4 <= stop:
        a, b = table[indices[k], j], table[indices[k + 1], j]
        c, d = table[indices[k + 2], j], table[indices[k + 3], j]
        total += values[k] * a
        total += values[k + 1] * b
        total += values[k + 2] * c
        total += values[k + 3] * d
        k += 4
    while k < stop:
        total += values[k] * table[indices[k], j]
        k += 1
    return total


@kernel(lambda indptr, indices, values, width, found: found.shape[0])
def scan(indptr, indices, values, width, found):
    """First fault and shape of each block of rows, as `faults` has them; one thread owns one block."""
    blocks = found.shape[0]
    n = indptr.size - 1
    for b in range(cuda.grid(1), blocks, cuda.gridsize(1)):
        found[b, 0], found[b, 1], found[b, 2], found[b, 3] = faults(indptr, indices, values, width, b * n // blocks, (b + 1) * n // blocks)


@kernel(lambda indptr, size, bad: indptr.size)
def check_starts(indptr, size, bad):
    """Set bad[0] unless the row starts ascend from 0 to `size`; only the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), indptr.size, cuda.gridsize(1)):
        wrong = indptr[i] < indptr[i - 1] if i > 0 else indptr[i] != 0
        if wrong or (i == indptr.size - 1 and indptr[i] != size):
            bad[0] = 1


@kernel(lambda indptr, order, lengths: lengths.size)
def row_lengths(indptr, order, lengths):
    """lengths[0] = 0, and lengths[1 + i] = entries of row order[i]; only the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), lengths.size, cuda.gridsize(1)):
        lengths[i] = indptr[order[i - 1] + 1] - indptr[order[i - 1]] if i > 0 else 0


@block_kernel(lambda indptr, indices, values, order, out_indptr, out_indices, out_values: order.size)
def copy_rows(indptr, indices, values, order, out_indptr, out_indices, out_values):
    """Row `order[i]`, from its start, as long as the place in the output, to row i; one block owns one output row."""
    for i in range(cuda.blockIdx.x, order.size, cuda.gridDim.x):
        shift = indptr[order[i]] - out_indptr[i]
        for j in range(out_indptr[i] + cuda.threadIdx.x, out_indptr[i + 1], cuda.blockDim.x):
            out_indices[j] = indices[j + shift]
            out_values[j] = values[j + shift]


@kernel(lambda indptr, values, out: indptr.size - 1)
def normalize(indptr, values, out):
    """Rows divided by their Euclidean length, taken in float32; one thread owns one row."""
    for i in range(cuda.grid(1), indptr.size - 1, cuda.gridsize(1)):
        top = np.float32(0.0)  # squares of large or tiny values leave float32
        for j in range(indptr[i], indptr[i + 1]):
            size = abs(values[j])
            top = size if size > top else top
        total = np.float32(0.0)
        for j in range(indptr[i], indptr[i + 1]):
            part = values[j] / top if top > np.float32(0.0) else np.float32(0.0)
            total += part * part
        length = math.sqrt(total)
        for j in range(indptr[i], indptr[i + 1]):
            out[j] = values[j] / top / length if top > np.float32(0.0) else values[j]


@kernel(lambda indptr, indices, values, table, out: (out.shape[1], out.shape[0]))
def gather(indptr, indices, values, table, out):
    """Sum of the table rows of every sparse row, entries in their order; one thread owns one number."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, out.shape[0], rows):
        for j in range(column, out.shape[1], columns):
            out[i, j] = weighted(table, j, indices, values, indptr[i], indptr[i + 1], np.float32(0.0))


def scatter(indptr, indices, values, grads, table, parts):
    """Add every gradient to the table rows of its sparse row: entries are sorted by table row, and one thread owns one number of it.

    `parts` is of no use here: a row's sum has one owner whatever the grid."""
    if indices.size:
        n = indices.size
        rows, starts = _target.empty(n, np.int64), _target.empty(n + 1, np.int64)
        members, member_values = _target.empty(n, np.int32), _target.empty(n, np.float32)
        found = turned(indptr, indices, values, rows, starts, members, member_values)
        add_rows(rows[:found], starts[:found + 1], members, member_values, grads, table)


@kernel(lambda rows, starts, members, values, grads, table: (table.shape[1], rows.size))
def add_rows(rows, starts, members, values, grads, table):
    """table[rows[s]] += sum of the gradients of its members times their values; rows are distinct, one thread owns one number."""
    column, row = cuda.grid(2)
    columns, many = cuda.gridsize(2)
    for s in range(row, rows.size, many):
        for j in range(column, table.shape[1], columns):
            table[rows[s], j] += weighted(grads, j, members, values, starts[s], starts[s + 1], np.float32(0.0))


@kernel(lambda keys, values, seed, width, signed, out_indices, out_values: keys.size)
def hash_keys(keys, values, seed, width, signed, out_indices, out_values):
    """Cell and signed value of every key (int32 columns or uint64 keys) under one seed; one thread owns one entry."""
    for i in range(cuda.grid(1), keys.size, cuda.gridsize(1)):
        mixed = mix64(np.uint64(keys[i]) ^ seed)
        out_indices[i] = bucket(mixed, width)
        out_values[i] = -values[i] if signed and side(mixed) < 0 else values[i]


@kernel(lambda order, starts, grads, out: (out.shape[1], out.shape[0]))
def segment_sums(order, starts, grads, out):
    """Sum of the gradients `order[starts[i]:starts[i + 1]]`, in that order; one thread owns one number."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, out.shape[0], rows):
        for j in range(column, out.shape[1], columns):
            total = np.float32(0.0)
            for k in range(starts[i], starts[i + 1]):
                total += grads[order[k], j]
            out[i, j] = total


def turned(indptr, ids, values, rows, starts, members, member_values):
    """Entries by id: those of rows[s], ascending, begin at starts[s], each with its row and value, in the order of the rows of `indptr`.

    Returns how many distinct ids there are: the one number that goes to the host. A stable sort fixes the order of every sum."""
    order = _target.argsort(ids)
    ranks = _target.empty(ids.size, np.int64)
    _mark(indptr, ids, values, order, ranks, members, member_values)
    _target.cumsum(ranks)
    _collect(ids, order, ranks, rows, starts)
    return int(_target.download(ranks[-1:])[0])


@device
def row_of(indptr, low, place):
    """The row, `low` or one after it, that holds an entry: the last one that begins at or before it."""
    high = indptr.size - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if indptr[middle] <= place:
            low = middle
        else:
            high = middle
    return low


@kernel(lambda indptr, ids, values, order, first, members, member_values: ids.size)
def _mark(indptr, ids, values, order, first, members, member_values):
    """Row and value of every entry, and first[k] = 1 where another id begins; one thread owns one entry."""
    for k in range(cuda.grid(1), ids.size, cuda.gridsize(1)):
        place = order[k]
        members[k] = row_of(indptr, 0, place)
        member_values[k] = values[place]
        first[k] = 1 if k == 0 or ids[place] != ids[order[k - 1]] else 0


@kernel(lambda ids, order, ranks, rows, starts: ids.size)
def _collect(ids, order, ranks, rows, starts):
    """Write each distinct id and its start; `ranks` numbers the ids from 1 along the sorted entries. One thread owns one entry."""
    n = ids.size
    for k in range(cuda.grid(1), n, cuda.gridsize(1)):
        if k == 0 or ranks[k] != ranks[k - 1]:
            rows[ranks[k] - 1] = ids[order[k]]
            starts[ranks[k] - 1] = k
        if k == n - 1:
            starts[ranks[k]] = n


@kernel(lambda ranked, indptr, indices, width, found, bad: found.shape[0])
def hits(ranked, indptr, indices, width, found, bad):
    """found[i, q] = whether ranked[i, q] is a column of row i. `bad` gets 1 + a row where one is outside -1 to `width` - 1, where one comes
    twice, and where a column comes twice. One thread owns a row; only the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), found.shape[0], cuda.gridsize(1)):
        begin, end = indptr[i], indptr[i + 1]
        for q in range(found.shape[1]):
            label = ranked[i, q]
            if label < -1 or label >= width:
                bad[0] = i + 1
            for p in range(q):
                if ranked[i, p] == label and label >= 0:
                    bad[1] = i + 1
            times = 0
            for p in range(begin, end):
                times += 1 if indices[p] == label else 0
            found[i, q] = times > 0
        for p in range(begin, end):
            for q in range(begin, p):
                if indices[q] == indices[p]:
                    bad[2] = i + 1
