"""Loops of the proved hash families: keys to words of each row, words to buckets and signs."""
import numpy as np
from numba import prange

from .._jit import loop
from .._scalar.families import multiplied, product61, quotient61, reduced61, widened
from .._scalar.hashing import side

BLOCK = 16384  # keys that one thread takes at a time


@loop
def multiply_shift(factors, keys, out):
    """One thread owns a block of keys in every row of `out` (depth, n)."""
    n = keys.size
    for task in prange((n + BLOCK - 1) // BLOCK):
        first, last = task * BLOCK, min(task * BLOCK + BLOCK, n)
        some = keys[first:last]
        for d in range(factors.size):
            row, factor = out[d, first:last], factors[d]  # slices, because the compiler finds no vector code for blocks of a row
            for i in range(some.size):
                row[i] = multiplied(some[i], factor)


@loop
def polynomial(coefficients, keys, out):
    """Horner's rule on the residue of each key, plus the last coefficient times its quotient; one thread owns a block of keys."""
    n = keys.size
    terms = coefficients.shape[1] - 1
    for task in prange((n + BLOCK - 1) // BLOCK):
        first, last = task * BLOCK, min(task * BLOCK + BLOCK, n)
        some = keys[first:last]
        for d in range(coefficients.shape[0]):
            row = out[d, first:last]
            for i in range(some.size):
                residue = reduced61(some[i])
                value = coefficients[d, terms - 1]
                for j in range(terms - 2, -1, -1):
                    value = reduced61(product61(value, residue) + coefficients[d, j])
                row[i] = reduced61(value + product61(quotient61(some[i], residue), coefficients[d, terms]))


@loop
def tabulation(tables, keys, out):
    """Exclusive or of the entries of the eight bytes of a key; one thread owns a block of keys."""
    n = keys.size
    for task in prange((n + BLOCK - 1) // BLOCK):
        first, last = task * BLOCK, min(task * BLOCK + BLOCK, n)
        some = keys[first:last]
        for d in range(tables.shape[0]):
            row = out[d, first:last]
            for i in range(some.size):
                word = np.uint64(0)
                for j in range(8):
                    word = word ^ tables[d, j, np.int64((some[i] >> np.uint64(8 * j)) & np.uint64(0xFF))]
                row[i] = word


@loop
def buckets(words, shift, width, out):
    """One thread owns each row-major cell of `out`, flat like `words`."""
    for i in prange(words.size):
        out[i] = widened(words[i], shift, width)


@loop
def signs(words, out):
    """One thread owns each row-major cell of `out`, flat like `words`."""
    for i in prange(words.size):
        out[i] = side(words[i])
