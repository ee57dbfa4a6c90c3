"""Pairs of a row's heaviest columns: counted in hashed cells, and appended to the rows."""
import numpy as np
from numba import prange

from .._jit import loop
from .._scalar.crosses import heaviest, kept_pairs, pair_cell

BLOCK = 1024  # rows of a task


@loop
def count_pairs(indptr, indices, values, top, seed, bits, tables):
    """Count the pairs of every row in its block's table, up to 255; one thread owns a block of rows with its table.

    The sums of the tables, cut at 255, are the same for any number of blocks.
    """
    blocks, n = tables.shape[0], indptr.size - 1
    for block in prange(blocks):
        columns, weights = np.empty(top, np.int32), np.empty(top, np.float32)
        for i in range(n * block // blocks, n * (block + 1) // blocks):
            found = heaviest(indices, values, indptr[i], indptr[i + 1], columns, weights)
            for a in range(found):
                for b in range(a + 1, found):
                    cell = pair_cell(columns[a], columns[b], seed, bits)
                    if tables[block, cell] < 255:
                        tables[block, cell] += 1


@loop
def cross_rows(indptr, indices, values, cells, ranks, top, seed, bits, width, room, out_indices, out_values, lengths):
    """Every row followed by its kept pairs. One thread owns a block of rows, which it writes without gaps from `room` of its first row."""
    n = lengths.size
    for block in prange((n + BLOCK - 1) // BLOCK):
        columns, weights = np.empty(top, np.int32), np.empty(top, np.float32)
        keys, products = np.empty(top * top, np.int64), np.empty(top * top, np.float32)
        place = room[block * BLOCK]
        for i in range(block * BLOCK, min(n, block * BLOCK + BLOCK)):
            start = place
            for p in range(indptr[i], indptr[i + 1]):
                out_indices[place] = indices[p]
                out_values[place] = values[p]
                place += 1
            found = heaviest(indices, values, indptr[i], indptr[i + 1], columns, weights)
            place = kept_pairs(found, columns, weights, cells, ranks, seed, bits, width, keys, products, out_indices, out_values, place)
            lengths[i] = place - start


@loop
def close_gaps(room, indptr, indices, values, out_indices, out_values):
    """The blocks of `cross_rows` without the room between them; one thread owns a block of rows."""
    n = indptr.size - 1
    for block in prange((n + BLOCK - 1) // BLOCK):
        first, last = indptr[block * BLOCK], indptr[min(n, block * BLOCK + BLOCK)]
        shift = room[block * BLOCK] - first
        for p in range(first, last):
            out_indices[p] = indices[p + shift]
            out_values[p] = values[p + shift]
