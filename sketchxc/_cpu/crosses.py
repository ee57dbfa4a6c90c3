"""Pairs of a row's heaviest columns: counted in hashed cells, and appended to the rows."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.crosses import pair_cell

BLOCK = 1024  # rows of a task


@serial
def heaviest(indices, values, start, stop, columns, weights):
    """The columns.size heaviest entries of a row (ties: the smaller column), in the order of the columns, which must ascend in the row;
    returns how many there are."""
    found = 0
    for p in range(start, stop):
        value, column = values[p], indices[p]
        if not value > np.float32(0.0):
            continue
        if found == columns.size:
            if not value > weights[found - 1]:
                continue
            found -= 1
        q = found
        while q > 0 and weights[q - 1] < value:
            weights[q] = weights[q - 1]
            columns[q] = columns[q - 1]
            q -= 1
        weights[q] = value
        columns[q] = column
        found += 1
    for a in range(1, found):
        value, column = weights[a], columns[a]
        q = a
        while q > 0 and columns[q - 1] > column:
            weights[q] = weights[q - 1]
            columns[q] = columns[q - 1]
            q -= 1
        weights[q] = value
        columns[q] = column
    return found


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


@serial
def kept_pairs(found, columns, weights, cells, ranks, seed, bits, width, keys, products, out_indices, out_values, place):
    """Write the kept pairs of the `found` heaviest columns from `place` on: columns ascending, the values of pairs that share a cell added
    in the order of the pairs. Returns where they end."""
    kept = 0
    for a in range(found):
        for b in range(a + 1, found):
            cell = pair_cell(columns[a], columns[b], seed, bits)
            keys[kept] = (cell << 7) | kept  # at most 120 pairs; one number to sort, and the place of the product
            products[kept] = weights[a] * weights[b]
            kept += np.int64((cells[cell >> 6] >> np.uint64(cell & 63)) & np.uint64(1))  # no branch, it would be a coin toss
    for a in range(1, kept):
        key = keys[a]
        q = a
        while q > 0 and keys[q - 1] > key:
            keys[q] = keys[q - 1]
            q -= 1
        keys[q] = key
    before = np.int64(-1)
    for a in range(kept):
        cell, product = keys[a] >> 7, products[keys[a] & 127]
        if cell == before:
            out_values[place - 1] += product
            continue
        before = cell
        below = cells[cell >> 6] & ((np.uint64(1) << np.uint64(cell & 63)) - np.uint64(1))
        out_indices[place] = width + ranks[cell >> 6] + ones(below)
        out_values[place] = product
        place += 1
    return place


@serial
def ones(word):
    """Number of set bits."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


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
