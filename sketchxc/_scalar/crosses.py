"""Pairs of the heaviest columns of one row, and their cells."""
import numpy as np

from .._jit import scalar
from .hashing import mix64
from .order import sort, sort_pairs


@scalar
def pair_cell(low, high, seed, bits):
    """Cell below 2**bits of the pair of columns low < high: the highest bits of a hash that mixes both."""
    mixed = mix64(mix64(np.uint64(low) ^ seed) ^ np.uint64(high))
    return np.int64(mixed >> np.uint64(64 - bits))


@scalar
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
    sort_pairs(columns, weights, found)
    return found


@scalar
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
    sort(keys, kept)
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


@scalar
def ones(word):
    """Number of set bits."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
