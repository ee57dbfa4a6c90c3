"""Loops of count-min and count-sketch: blocks of keys are hashed first and then taken to one row of the table after the other.

Row by row, because five places in one row wait less for memory than one place in each of five rows. Blocks are slices that are read from 0
on: an index like `first + i` could be negative as far as the compiler knows, which turns vector loads into gathers.
"""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.order import insert
from .._scalar.sketch import cell, low_estimate, median3, median5, side, signed_estimate
from .vector import prefetch

BLOCK = 2048  # keys whose cells are computed at a time
CHUNK = 2**17  # keys that go to every row before the next ones are read
FEW = 128  # keys below which a block of their own takes longer than their cells
FAR = 2**20  # bytes of a row from which its cells are asked for in advance
COLUMNS = 256  # columns of a row sketch that one thread takes at a time


@serial
def hash_block(row, seed, keys, cells):
    """Cells in `row` of a block of keys, asked for from memory if the row is large."""
    width = row.size
    for i in range(keys.size):
        cells[i] = cell(keys[i], seed, width)
    if width * row.itemsize >= FAR:
        for i in range(keys.size):
            prefetch(row, np.int64(cells[i]))


@serial
def add_row(row, seed, keys, counts, signed, start, stop, cells, weights):
    """Add the counts (None: ones) of the keys from `start` to `stop` to one row, which the caller's thread owns."""
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        part = keys[first:last]
        hash_block(row, seed, part, cells)
        if signed:
            for i in range(part.size):
                weights[i] = side(part[i], seed)
            if counts is not None:
                some = counts[first:last]
                for i in range(some.size):
                    weights[i] *= some[i]
            for i in range(part.size):
                row[cells[i]] += weights[i]
        elif counts is None:
            for i in range(part.size):
                row[cells[i]] += 1
        else:
            some = counts[first:last]
            for i in range(some.size):
                row[cells[i]] += some[i]


@serial
def add_part(table, seeds, keys, counts, signed, start, stop, spare):
    """Add what lies between `start` and `stop` when the keys of all rows are laid end to end; a row entered in the middle goes to `spare`,
    because another thread owns it."""
    n = keys.size
    cells, weights = np.empty(min(n, BLOCK), np.uint32), np.empty(min(n, BLOCK) if signed else 0, table.dtype)
    low, high = start // n, (stop + n - 1) // n
    for chunk in range(0, n, CHUNK):
        for d in range(low, high):
            first, last = max(start - d * n, chunk), min(stop - d * n, n, chunk + CHUNK)
            if first < last:
                row = spare if d * n < start else table[d]
                add_row(row, seeds[d], keys, counts, signed, first, last, cells, weights)


@serial
def add(table, seeds, keys, counts, signed):
    """Add the counts (None: ones) of the keys to every row; the caller's thread owns everything."""
    add_part(table, seeds, keys, counts, signed, 0, table.shape[0] * keys.size, table[0])


@serial
def add_few(table, seeds, keys, signed):
    """`add` of few keys of 64 bits, once each, without blocks; the caller's thread owns everything."""
    for d in range(seeds.size):
        for i in range(keys.size):
            key = np.uint64(keys[i])
            table[d, cell(key, seeds[d], table.shape[1])] += side(key, seeds[d]) if signed else np.int64(1)


@loop
def add_split(table, seeds, keys, counts, signed, bounds, spares):
    """One thread owns the part between two bounds of the keys of all rows laid end to end, and its row of `spares`."""
    for t in prange(bounds.size - 1):
        add_part(table, seeds, keys, counts, signed, bounds[t], bounds[t + 1], spares[t])


@serial
def add_conservative(table, seeds, keys, counts):
    """Raise the cells of one key after the other to its estimate plus its count (None: 1); the caller's thread owns everything."""
    depth, n = table.shape[0], keys.size
    cells = np.empty((depth, min(n, BLOCK // 4)), np.uint32)  # (depth, block)
    for start in range(0, n, BLOCK // 4):
        stop = min(start + BLOCK // 4, n)
        for d in range(depth):
            hash_block(table[d], seeds[d], keys[start:stop], cells[d])
        for i in range(stop - start):
            low = table[0, cells[0, i]]
            for d in range(1, depth):
                low = min(low, table[d, cells[d, i]])
            low += 1 if counts is None else counts[start + i]
            for d in range(depth):
                table[d, cells[d, i]] = max(low, table[d, cells[d, i]])


@serial
def read_rows(table, seeds, keys, signed, start, stop, cells, values):
    """Cells of the keys from `start` to `stop` in every row, times their signs if `signed`, into `values` (depth, block)."""
    part = keys[start:stop]
    for d in range(table.shape[0]):
        row, line, seed = table[d], values[d], seeds[d]
        hash_block(row, seed, part, cells)
        for i in range(part.size):
            line[i] = row[cells[i]]
        if signed:
            for i in range(part.size):
                line[i] *= side(part[i], seed)


@serial
def low_part(table, seeds, keys, start, stop, out):
    """Smallest cell of each key from `start` to `stop`."""
    cells, line = np.empty(min(stop - start, BLOCK), np.uint32), np.empty(min(stop - start, BLOCK), table.dtype)
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        part = out[first:last]
        for d in range(table.shape[0]):
            row = table[d]
            hash_block(row, seeds[d], keys[first:last], cells)
            if d == 0:
                for i in range(part.size):
                    part[i] = row[cells[i]]
            else:
                for i in range(part.size):
                    line[i] = row[cells[i]]
                for i in range(part.size):
                    part[i] = min(part[i], line[i])


@serial
def low_few(table, seeds, keys, out):
    """`low_part` of few keys of 64 bits, without blocks."""
    for i in range(keys.size):
        key = np.uint64(keys[i])
        low = table[0, cell(key, seeds[0], table.shape[1])]
        for d in range(1, seeds.size):
            low = min(low, table[d, cell(key, seeds[d], table.shape[1])])
        out[i] = low


@loop
def low(table, seeds, keys, out):
    """One thread owns each block of keys."""
    for block in prange((keys.size + BLOCK - 1) // BLOCK):
        low_part(table, seeds, keys, block * BLOCK, min(block * BLOCK + BLOCK, keys.size), out)


@serial
def insertion(values, i, line):
    """The numbers values[:, i] into `line`, ascending."""
    for d in range(line.size):
        insert(line, d, values[d, i])


@serial
def median_part(table, seeds, keys, start, stop, out):
    """Median over the rows, an odd number of them, of the signed cells of each key from `start` to `stop`."""
    depth, block = table.shape[0], min(stop - start, BLOCK)
    cells, values, line = np.empty(block, np.uint32), np.empty((depth, block), table.dtype), np.empty(depth, table.dtype)
    for first in range(start, stop, BLOCK):
        part = out[first:min(first + BLOCK, stop)]
        read_rows(table, seeds, keys, True, first, first + part.size, cells, values)
        if depth == 3:
            for i in range(part.size):
                part[i] = median3(values[0, i], values[1, i], values[2, i])
        elif depth == 5:
            for i in range(part.size):
                part[i] = median5(values[0, i], values[1, i], values[2, i], values[3, i], values[4, i])
        else:
            for i in range(part.size):
                insertion(values, i, line)
                part[i] = line[depth // 2]


@loop
def median(table, seeds, keys, out):
    """One thread owns each block of keys."""
    for block in prange((keys.size + BLOCK - 1) // BLOCK):
        median_part(table, seeds, keys, block * BLOCK, min(block * BLOCK + BLOCK, keys.size), out)


@loop
def mean_low(table, seeds, keys, total, out):
    """Median over the rows of the cell less the mean of the others, between 0 and the smallest cell; one thread owns each block."""
    depth, others = table.shape[0], table.shape[1] - 1.0
    for block in prange((keys.size + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, min(block * BLOCK + BLOCK, keys.size)
        cells, values, line = np.empty(last - first, np.uint32), np.empty((depth, last - first), table.dtype), np.empty(depth, table.dtype)
        read_rows(table, seeds, keys, False, first, last, cells, values)
        for i in range(last - first):
            insertion(values, i, line)
            middle = (np.float64(line[(depth - 1) // 2]) + np.float64(line[depth // 2])) / 2
            out[first + i] = min(max(middle - (total - middle) / others, 0.0), np.float64(line[0]))


@serial
def peak(table, seeds, keys):
    """Largest absolute cell that any of the keys touches."""
    found = np.int64(0)
    for d in range(table.shape[0]):
        for i in range(keys.size):
            found = max(found, abs(np.int64(table[d, cell(keys[i], seeds[d], table.shape[1])])))
    return found


@serial
def extent(counts, zero):
    """Smallest count, largest one, and the sum of their absolute values in the type of `zero`, which wraps if they are large integers."""
    low, high, total = counts[0], counts[0], zero + abs(counts[0])
    for i in range(1, counts.size):
        low, high = min(low, counts[i]), max(high, counts[i])
        total += abs(counts[i])
    return low, high, total


@serial
def locate(key, seeds, width, cells, sides):
    """Cell and sign of a key in every row."""
    for d in range(seeds.size):
        cells[d] = cell(key, seeds[d], width)
        sides[d] = side(key, seeds[d])


@loop
def row_add(table, seeds, rows, values, signed):
    """One thread owns a block of columns of one row of the table (depth, width, columns); vectors are added in the order given."""
    depth, width, columns = table.shape
    blocks = (columns + COLUMNS - 1) // COLUMNS
    for task in prange(depth * blocks):
        d = task // blocks
        first = (task - d * blocks) * COLUMNS
        for i in range(rows.size):
            line, part = table[d, cell(rows[i], seeds[d], width)][first:first + COLUMNS], values[i][first:first + COLUMNS]
            if signed and side(rows[i], seeds[d]) < 0:
                for j in range(part.size):
                    line[j] -= part[j]
            else:
                for j in range(part.size):
                    line[j] += part[j]


@loop
def row_estimate(table, seeds, rows, signed, out):
    """One thread owns each vector of `out` (k, columns)."""
    depth, width, columns = table.shape
    for i in prange(rows.size):
        cells, sides = np.empty(depth, np.int64), np.empty(depth, table.dtype)
        locate(rows[i], seeds, width, cells, sides)
        if signed:
            for j in range(columns):
                out[i, j] = signed_estimate(table, cells, sides, j)
        else:
            for j in range(columns):
                out[i, j] = low_estimate(table, cells, j)
