"""Grids that transpose mini-batches: entries are sorted once by batch and column, and every one finds its place by itself.

A stable sort keeps the entries of a batch in its own places, and those of a column in the order of the rows. Groups come in the order of
first appearance and members in that of the rows, as on the CPU, so that nothing depends on where a batch was made ready.
"""
import numpy as np

from . import _target
from ._target import cuda, device, kernel
from .sparse import row_of


def group_columns(indptr, indices, values, batch, n_columns, blocks, distinct, columns, ends, members, member_values):
    """Transpose every batch of rows: its distinct columns in order of first appearance, each with its rows and values.

    The layout is that of the CPU's loop, to the bit; `blocks` is of no use here. Takes 32 bytes an entry, and what the sort takes."""
    n = indices.size
    keys, seen, sizes = (_target.empty(n, np.int64) for _ in range(3))
    _set_keys(indptr, indices, batch, n_columns, distinct, keys)
    if n:
        order = _target.argsort(keys)
        _mark(indptr, batch, distinct, keys, order, seen, sizes)
        _target.cumsum(seen)
        _target.cumsum(sizes)
        _settle(indptr, indices, values, batch, keys, order, seen, sizes, distinct, columns, ends, members, member_values)


@device
def start_of(indptr, t, batch):
    """First entry of batch t of rows, the last of all behind the last one."""
    row = t * batch
    return indptr[row if row < indptr.size - 1 else indptr.size - 1]


@device
def bound(keys, order, low, high, key):
    """First place in [low, high) whose key is at least `key`, or `high`; keys ascend along `order`."""
    while low < high:
        middle = (low + high) >> 1
        if keys[order[middle]] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(lambda indptr, indices, batch, n_columns, distinct, keys: (max(1, indices.size // max(1, distinct.size)), distinct.size))
def _set_keys(indptr, indices, batch, n_columns, distinct, keys):
    """keys = batch * n_columns + column, and distinct = 0; one thread owns one entry, rows of the grid are batches."""
    place, row = cuda.grid(2)
    places, rows = cuda.gridsize(2)
    for t in range(row, distinct.size, rows):
        if place == 0:
            distinct[t] = 0
        for k in range(start_of(indptr, t, batch) + place, start_of(indptr, t + 1, batch), places):
            keys[k] = t * n_columns + indices[k]


@kernel(lambda indptr, batch, distinct, keys, order, seen, sizes: (max(1, keys.size // max(1, distinct.size)), distinct.size))
def _mark(indptr, batch, distinct, keys, order, seen, sizes):
    """seen[k] = 1 and sizes[k] = entries of its group for the entry where a column appears first in its batch, 0 for all others."""
    place, row = cuda.grid(2)
    places, rows = cuda.gridsize(2)
    for t in range(row, distinct.size, rows):
        base, stop = start_of(indptr, t, batch), start_of(indptr, t + 1, batch)
        for p in range(base + place, stop, places):
            key = keys[order[p]]
            head = p == base or keys[order[p - 1]] != key
            seen[order[p]] = 1 if head else 0
            sizes[order[p]] = bound(keys, order, p, stop, key + 1) - p if head else 0


@kernel(lambda indptr, indices, values, batch, keys, order, seen, sizes, distinct, columns, ends, members, member_values:
        (max(1, keys.size // max(1, distinct.size)), distinct.size))
def _settle(indptr, indices, values, batch, keys, order, seen, sizes, distinct, columns, ends, members, member_values):
    """Write every entry to its group, whose number and end are the running sums at the entry where its column appears first."""
    place, row = cuda.grid(2)
    places, rows = cuda.gridsize(2)
    for t in range(row, distinct.size, rows):
        base, stop = start_of(indptr, t, batch), start_of(indptr, t + 1, batch)
        before = seen[base - 1] if base > 0 else 0
        for p in range(base + place, stop, places):
            k = order[p]
            head = bound(keys, order, base, p, keys[k])
            earliest = order[head]
            start = sizes[earliest - 1] if earliest > 0 else 0
            members[start + p - head] = row_of(indptr, t * batch, k) - t * batch
            member_values[start + p - head] = values[k]
            if p == head:
                group = base + seen[k] - 1 - before
                columns[group] = indices[k]
                ends[group] = sizes[k]
            if p == stop - 1:
                distinct[t] = seen[p] - before


@kernel(lambda starts, batch, ends: ends.size)
def batch_ends(starts, batch, ends):
    """Where every batch of rows ends; only the device has this, the host asks NumPy."""
    for t in range(cuda.grid(1), ends.size, cuda.gridsize(1)):
        ends[t] = start_of(starts, t + 1, batch)
