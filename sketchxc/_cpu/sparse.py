"""Loops over sparse rows. A row of the output, a part of the table or a segment of sorted ids belongs to one thread."""
import numpy as np
from numba import prange

from .._jit import loop, loop_vector, serial
from .._scalar.hashing import bucket, mix64, side
from .._scalar.order import sort_pairs
from .._scalar.sparse import faults


@loop
def scan(indptr, indices, values, width, found):
    """First fault and shape of each block of rows in `found` (blocks, 4), as `faults` has them; one thread owns one block."""
    blocks = found.shape[0]
    n = indptr.size - 1
    for b in prange(blocks):
        found[b, 0], found[b, 1], found[b, 2], found[b, 3] = faults(indptr, indices, values, width, b * n // blocks, (b + 1) * n // blocks)


@serial
def _sort(indices, values):
    """Sort one row by column, in place; equal columns keep their order."""
    n = indices.size
    if n <= 32:
        sort_pairs(indices, values, n)
    else:
        order = np.argsort(indices, kind="mergesort")
        indices[:] = indices[order]
        values[:] = values[order]


@loop
def arrange(indptr, indices, values, keep_zeros, lengths, twice):
    """Sort every row in place, sum the values of equal columns in float64 in their order, drop zeros unless `keep_zeros`: the result is
    the first `lengths[i]` places of row i. `twice[i]` is the first repeated column, -1 if none. One thread owns one row."""
    for i in prange(indptr.size - 1):
        start, stop = indptr[i], indptr[i + 1]
        for j in range(start + 1, stop):
            if indices[j] < indices[j - 1]:
                _sort(indices[start:stop], values[start:stop])
                break
        end = start
        twice[i] = -1
        j = start
        while j < stop:
            index = indices[j]
            total = np.float64(values[j])
            j += 1
            while j < stop and indices[j] == index:
                if twice[i] < 0:
                    twice[i] = index
                total += np.float64(values[j])
                j += 1
            value = np.float32(total)
            if keep_zeros or value != 0:
                indices[end] = index
                values[end] = value
                end += 1
        lengths[i] = end - start


@loop
def copy_rows(indptr, indices, values, order, out_indptr, out_indices, out_values):
    """Row `order[i]`, from its start, as long as the place in the output, to row i; one thread owns one output row."""
    for i in prange(order.size):
        start = indptr[order[i]]
        for j in range(out_indptr[i], out_indptr[i + 1]):
            source = start + j - out_indptr[i]
            out_indices[j] = indices[source]
            out_values[j] = values[source]


@loop
def dense_lengths(x, lengths):
    """Number of entries other than zero in each row of a dense matrix; one thread owns one row."""
    for i in prange(x.shape[0]):
        count = 0
        for j in range(x.shape[1]):
            if x[i, j] != 0:
                count += 1
        lengths[i] = count


@loop
def dense_entries(x, indptr, indices, values):
    """Entries other than zero of a dense matrix; one thread owns one row."""
    for i in prange(x.shape[0]):
        place = indptr[i]
        for j in range(x.shape[1]):
            if x[i, j] != 0:
                indices[place] = j
                values[place] = x[i, j]
                place += 1


@loop
def normalize(indptr, values, out):
    """Rows divided by their Euclidean length, taken in float64; one thread owns one row."""
    for i in prange(indptr.size - 1):
        total = 0.0
        for j in range(indptr[i], indptr[i + 1]):
            total += np.float64(values[j]) * np.float64(values[j])
        length = np.sqrt(total)
        for j in range(indptr[i], indptr[i + 1]):
            out[j] = np.float32(np.float64(values[j]) / length) if total > 0 else values[j]


@serial
def transpose(indptr, indices, values, starts, out_indices, out_values):
    """Counting sort by column, rows ascending within a column; `starts` (width,) holds where each column begins and is used up."""
    for i in range(indptr.size - 1):
        for j in range(indptr[i], indptr[i + 1]):
            place = starts[indices[j]]
            starts[indices[j]] = place + 1
            out_indices[place] = i
            out_values[place] = values[j]


@loop_vector
def gather(indptr, indices, values, table, out):
    """Sum of the table rows of every sparse row, entries in their order; one thread owns one output row."""
    for i in prange(indptr.size - 1):
        for d in range(table.shape[1]):
            out[i, d] = 0
        for j in range(indptr[i], indptr[i + 1]):
            row = np.int64(indices[j])
            value = values[j]
            for d in range(table.shape[1]):
                out[i, d] += value * table[row, d]


@loop_vector
def scatter(indptr, indices, values, grads, table, parts):
    """Add every gradient to the table rows of its sparse row. Part p of `parts` (a power of two) owns the table rows whose lowest bits
    are p, and goes over all entries in their order, so the sums are the same for any number of parts."""
    for p in prange(parts):
        for i in range(indptr.size - 1):
            for j in range(indptr[i], indptr[i + 1]):
                row = np.int64(indices[j])
                if row & (parts - 1) == p:
                    value = values[j]
                    for d in range(table.shape[1]):
                        table[row, d] += value * grads[i, d]


@loop
def hash_keys(keys, values, seed, width, signed, out_indices, out_values):
    """Cell and signed value of every key (int32 columns or uint64 keys) under one seed; one thread owns one entry."""
    for i in prange(keys.size):
        mixed = mix64(np.uint64(keys[i]) ^ seed)
        out_indices[i] = bucket(mixed, width)
        out_values[i] = -values[i] if signed and side(mixed) < 0 else values[i]


@loop
def segment_sums(order, starts, grads, out):
    """Sum of the gradients `order[starts[i]:starts[i + 1]]`, in that order; one thread owns one segment."""
    for i in prange(starts.size - 1):
        for d in range(grads.shape[1]):
            out[i, d] = 0
        for j in range(starts[i], starts[i + 1]):
            for d in range(grads.shape[1]):
                out[i, d] += grads[order[j], d]
