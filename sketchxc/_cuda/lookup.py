"""Grids of the label lookups: the bucket of every label, and its inverse, the labels of every bucket."""
import numpy as np

from .._scalar import hashing as _scalar
from . import _target
from ._target import cuda, device, kernel, on_device

_device = on_device(_scalar)
cell, splitmix64 = _device.cell, _device.splitmix64


@device
def bucket_of(label, r, seeds, table, buckets):
    """Bucket of a label in row r of the table where there is one, otherwise hashed in repetition r."""
    if table.shape[1] > 0:
        return np.int64(table[r, label])
    return cell(np.uint64(label), seeds[r], buckets)


@kernel(lambda seeds, table, buckets, out: (out.shape[1], out.shape[0]))
def label_buckets(seeds, table, buckets, out):
    """Fill out (reps, labels) with every label's bucket; one thread owns one."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for r in range(row, out.shape[0], rows):
        for label in range(column, out.shape[1], columns):
            out[r, label] = bucket_of(label, r, seeds, table, buckets)


@kernel(lambda seed, buckets, table: table.shape[1])
def distinct_buckets(seed, buckets, table):
    """Fill table (probes, labels): each label's hashes by the splitmix64 stream of the seed, repeats skipped; one thread owns one label."""
    for label in range(cuda.grid(1), table.shape[1], cuda.gridsize(1)):
        state = np.uint64(seed)
        found = 0
        while found < table.shape[0]:
            state = state + np.uint64(0x9E3779B97F4A7C15)
            b = cell(np.uint64(label), splitmix64(state), buckets)
            repeated = False
            for q in range(found):
                repeated = repeated or table[q, label] == b
            if not repeated:
                table[found, label] = b
                found += 1


@kernel(lambda table, buckets, probes, out: (out.shape[0], out.shape[1]))
def places(table, buckets, probes, out):
    """Fill out (labels, reps * probes) with repetition * buckets + bucket: where a label's scores lie; one thread owns one place."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for q in range(row, out.shape[1], rows):
        low = 0
        for _ in range(probes, q + 1, probes):
            low += buckets
        for label in range(column, out.shape[0], columns):
            out[label, q] = low + table[q, label]


def inverse(table, offsets, order):
    """Labels sorted by bucket, ascending within a bucket: order[r, offsets[r, b]:offsets[r, b + 1]]; sorts one repetition at a time."""
    reps = offsets.shape[0]
    probes, n = table.shape[0] // reps, table.shape[1]
    for r in range(reps):
        keys = _target.empty(probes * n, np.int32)
        _keys(table[r * probes:(r + 1) * probes], keys)
        sorting = _target.argsort(keys)
        _fill_order(keys, sorting, probes, offsets[r], order[r])


@kernel(lambda table, keys: (table.shape[1], table.shape[0]))
def _keys(table, keys):
    """Buckets of a repetition, those of a label side by side; one thread owns one."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for q in range(row, table.shape[0], rows):
        for label in range(column, table.shape[1], columns):
            keys[label * table.shape[0] + q] = table[q, label]


@kernel(lambda keys, sorting, probes, offsets, order: max(order.size, offsets.size))
def _fill_order(keys, sorting, probes, offsets, order):
    """Labels in the sorted order, and where each bucket begins; one thread owns one of each."""
    start, step = cuda.grid(1), cuda.gridsize(1)
    for k in range(start, order.size, step):
        order[k] = sorting[k] // probes
    for b in range(start, offsets.size, step):
        low, high = 0, order.size
        while low < high:  # the first entry of this bucket or a later one
            middle = (low + high) >> 1
            if keys[sorting[middle]] < b:
                low = middle + 1
            else:
                high = middle
        offsets[b] = low
