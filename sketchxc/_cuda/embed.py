"""Grids of embedding bags. A number of a bag, or of a table row's gradient, belongs to one thread."""
import numpy as np

from .._scalar import embed as _codes
from .._scalar import hashing as _scalar
from . import _target
from ._target import cuda, kernel, on_device
from .sparse import turned, weighted

cell, code = on_device(_scalar).cell, on_device(_codes).code


@kernel(lambda values, features, seeds, size, out: (seeds.size, values.shape[0]))
def feature_ids(values, features, seeds, size, out):
    """Cell of value `features[c]` of every row under seed c; one thread owns one cell."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, values.shape[0], rows):
        for c in range(column, seeds.size, columns):
            out[i, c] = cell(values[i, features[c]], seeds[c], size)


@kernel(lambda keys, seeds, out: (seeds.size, keys.size))
def codes(keys, seeds, out):
    """Code of every key under every seed; one thread owns one code."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, keys.size, rows):
        for c in range(column, seeds.size, columns):
            out[i, c] = code(keys[i], seeds[c])


def bags(keys, seeds, indptr, ids, values, table, blocks, out):
    """Add table row ids[k] times values[k], for k from indptr[i] to indptr[i + 1], to out[i]; one thread owns one number.

    With seeds the ids are written first, seeds.size for every key; `blocks` is of no use here."""
    if seeds.size:
        _hash_ids(keys, seeds, table.shape[0], ids)
    _sums(indptr, ids, values, table, out)


@kernel(lambda keys, seeds, size, ids: (seeds.size, keys.size))
def _hash_ids(keys, seeds, size, ids):
    """One thread owns one lookup."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, keys.size, rows):
        for c in range(column, seeds.size, columns):
            ids[i * seeds.size + c] = cell(keys[i], seeds[c], size)


@kernel(lambda indptr, ids, values, table, out: (out.shape[1], out.shape[0]))
def _sums(indptr, ids, values, table, out):
    """One thread owns one number of a bag."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, out.shape[0], rows):
        for j in range(column, out.shape[1], columns):
            out[i, j] = weighted(table, j, ids, values, indptr[i], indptr[i + 1], out[i, j])


def turn(indptr, ids, values, n_rows, rows, starts, members, member_values):
    """Lookups by table row, as the CPU's `turn` lays them out; returns how many rows there are."""
    if ids.size == 0:
        _target.cast(_target.zeros(1, np.int64), starts[:1])
        return 0
    return turned(indptr, ids, values, rows, starts, members, member_values)


@kernel(lambda ids, n_rows, bad: ids.size)
def check_ids(ids, n_rows, bad):
    """Set bad[0] unless all ids are rows of the table; only the device has this, the host asks NumPy."""
    for k in range(cuda.grid(1), ids.size, cuda.gridsize(1)):
        if ids[k] < 0 or ids[k] >= n_rows:
            bad[0] = 1


@kernel(lambda values, factor, out: values.size)
def multiply(values, factor, out):
    """out = values * factor; one thread owns one number. Only the device has this."""
    for k in range(cuda.grid(1), values.size, cuda.gridsize(1)):
        out[k] = values[k] * factor


@kernel(lambda indptr, mean, out: indptr.size - 1)
def shares(indptr, mean, out):
    """Factor of every lookup of a bag's sum, 1, or of its mean; one thread owns one bag. Only the device has this."""
    for i in range(cuda.grid(1), indptr.size - 1, cuda.gridsize(1)):
        count = indptr[i + 1] - indptr[i]
        share = np.float32(1.0) / np.float32(count) if mean and count > 0 else np.float32(1.0)
        for k in range(indptr[i], indptr[i + 1]):
            out[k] = share


@kernel(lambda indptr, ids, table, grads, out: indptr.size - 1)
def products(indptr, ids, table, grads, out):
    """Inner product of the table row of every lookup with the gradient of its bag; one thread owns one bag."""
    for i in range(cuda.grid(1), indptr.size - 1, cuda.gridsize(1)):
        for k in range(indptr[i], indptr[i + 1]):
            total = np.float32(0.0)
            for j in range(table.shape[1]):
                total += table[ids[k], j] * grads[i, j]
            out[k] = total
