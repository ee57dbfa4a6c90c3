"""Loops of the density sketch: products with random vectors to columns, counts of columns, sums of counts."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.density import step, take_side, take_step
from .._scalar.hashing import bucket, cell

BLOCK = 2048  # points that one thread takes at a time
STEPS, SIDES, DIRECT = 0, 1, 2  # ways from products to columns; the last without hashing


@serial
def columns(products, offsets, row, values, first, stop, seed, way, width, codes, out):
    """Columns in one row of the points from `first` to `stop`; products (rows * values, points), row by row."""
    n = stop - first
    for i in range(n):
        codes[i] = seed if way == STEPS else np.uint64(0)
    for k in range(row * values, row * values + values):
        line, offset = products[k, first:stop], offsets[k]
        if way == STEPS:
            for i in range(n):
                codes[i] = take_step(codes[i], step(line[i], offset))
        else:
            for i in range(n):
                codes[i] = take_side(codes[i], line[i])
    if way == STEPS:
        for i in range(n):
            out[i] = bucket(codes[i], width)
    elif way == SIDES:
        for i in range(n):
            out[i] = cell(codes[i], seed, width)
    else:
        for i in range(n):
            out[i] = codes[i]


@loop
def add(counts, products, offsets, seeds, way):
    """Count every point once in each row; one thread owns each row."""
    rows, width = counts.shape
    n = products.shape[1]
    for d in prange(rows):
        codes, places = np.empty(min(n, BLOCK), np.uint64), np.empty(min(n, BLOCK), np.uint32)
        for first in range(0, n, BLOCK):
            stop = min(first + BLOCK, n)
            columns(products, offsets, d, products.shape[0] // rows, first, stop, seeds[d], way, width, codes, places)
            row = counts[d]
            for i in range(stop - first):
                row[places[i]] += 1


@loop
def sums(counts, products, offsets, seeds, way, out):
    """Sum over the rows, in their order, of the count of each point's column; one thread owns each block of points."""
    rows, width = counts.shape
    n = products.shape[1]
    for block in prange((n + BLOCK - 1) // BLOCK):
        first = block * BLOCK
        stop = min(first + BLOCK, n)
        part = out[first:stop]
        codes, places = np.empty(stop - first, np.uint64), np.empty(stop - first, np.uint32)
        for i in range(part.size):
            part[i] = 0.0
        for d in range(rows):
            columns(products, offsets, d, products.shape[0] // rows, first, stop, seeds[d], way, width, codes, places)
            row = counts[d]
            for i in range(part.size):
                part[i] += row[places[i]]
