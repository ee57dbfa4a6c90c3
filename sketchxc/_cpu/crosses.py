"""Pairs of a row's heaviest columns: counted in hashed cells, and appended to the rows."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.crosses import pair_cell


@serial
def heaviest(indices, values, start, stop, columns, weights):
    """The columns.size heaviest entries of a row, heaviest first, ties by the smaller column; returns how many there are."""
    found = 0
    for p in range(start, stop):
        value, column = values[p], indices[p]
        if not value > np.float32(0.0):
            continue
        if found == columns.size and not value > weights[found - 1]:
            continue
        q = found if found < columns.size else found - 1
        while q > 0 and weights[q - 1] < value:
            weights[q] = weights[q - 1]
            columns[q] = columns[q - 1]
            q -= 1
        weights[q] = value
        columns[q] = column
        found = min(found + 1, columns.size)
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
                for b in range(a):
                    cell = pair_cell(min(columns[a], columns[b]), max(columns[a], columns[b]), seed, bits)
                    if tables[block, cell] < 255:
                        tables[block, cell] += 1


@serial
def kept_pairs(indices, values, start, stop, cells, ranks, seed, bits, width, columns, weights, pairs, products):
    """Columns and values of a row's kept pairs, ascending, values that share a column added; returns how many there are."""
    found = heaviest(indices, values, start, stop, columns, weights)
    kept = 0
    for a in range(found):
        for b in range(a):
            cell = pair_cell(min(columns[a], columns[b]), max(columns[a], columns[b]), seed, bits)
            word, bit = cells[cell >> 6], np.uint64(cell & 63)
            if (word >> bit) & np.uint64(1) == np.uint64(0):
                continue
            below = word & ((np.uint64(1) << bit) - np.uint64(1))
            column = width + ranks[cell >> 6] + ones(below)
            product = weights[a] * weights[b]
            q = kept
            while q > 0 and pairs[q - 1] > column:
                q -= 1
            if q > 0 and pairs[q - 1] == column:
                products[q - 1] += product
                continue
            for p in range(kept, q, -1):
                pairs[p] = pairs[p - 1]
                products[p] = products[p - 1]
            pairs[q] = column
            products[q] = product
            kept += 1
    return kept


@serial
def ones(word):
    """Number of set bits."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@loop
def pair_lengths(indptr, indices, values, cells, ranks, top, seed, bits, width, lengths):
    """Number of kept pairs of every row; one thread owns a block of rows."""
    n = lengths.size
    for block in prange((n + 1023) // 1024):
        columns, weights = np.empty(top, np.int32), np.empty(top, np.float32)
        pairs, products = np.empty(top * top, np.int64), np.empty(top * top, np.float32)
        for i in range(block * 1024, min(n, block * 1024 + 1024)):
            lengths[i] = kept_pairs(indices, values, indptr[i], indptr[i + 1], cells, ranks, seed, bits, width, columns, weights, pairs,
                                    products)


@loop
def append_pairs(indptr, indices, values, cells, ranks, top, seed, bits, width, out_indptr, out_indices, out_values):
    """Every row followed by its kept pairs; one thread owns a block of rows."""
    n = indptr.size - 1
    for block in prange((n + 1023) // 1024):
        columns, weights = np.empty(top, np.int32), np.empty(top, np.float32)
        pairs, products = np.empty(top * top, np.int64), np.empty(top * top, np.float32)
        for i in range(block * 1024, min(n, block * 1024 + 1024)):
            place = out_indptr[i]
            for p in range(indptr[i], indptr[i + 1]):
                out_indices[place] = indices[p]
                out_values[place] = values[p]
                place += 1
            kept = kept_pairs(indices, values, indptr[i], indptr[i + 1], cells, ranks, seed, bits, width, columns, weights, pairs, products)
            for q in range(kept):
                out_indices[place + q] = pairs[q]
                out_values[place + q] = products[q]
