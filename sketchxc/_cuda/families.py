"""Grids of the proved hash families: keys to words of each row, words to buckets and signs."""
import numpy as np

from .._scalar import families as _scalar
from .._scalar import hashing as _hashing
from ._target import cuda, kernel, on_device

_device = on_device(_scalar)
multiplied, product61, quotient61 = _device.multiplied, _device.product61, _device.quotient61
reduced61, widened = _device.reduced61, _device.widened
side = on_device(_hashing).side


@kernel(lambda factors, keys, out: (keys.size, factors.size))
def multiply_shift(factors, keys, out):
    """One thread owns each word of `out` (depth, n), rows on the y axis of the grid."""
    first, row = cuda.grid(2)
    step, rows = cuda.gridsize(2)
    for d in range(row, factors.size, rows):
        for i in range(first, keys.size, step):
            out[d, i] = multiplied(keys[i], factors[d])


@kernel(lambda coefficients, keys, out: (keys.size, coefficients.shape[0]))
def polynomial(coefficients, keys, out):
    """Horner's rule on the residue of each key, plus the last coefficient times its quotient; one thread owns each word."""
    first, row = cuda.grid(2)
    step, rows = cuda.gridsize(2)
    terms = coefficients.shape[1] - 1
    for d in range(row, coefficients.shape[0], rows):
        for i in range(first, keys.size, step):
            residue = reduced61(keys[i])
            value = coefficients[d, terms - 1]
            for j in range(terms - 2, -1, -1):
                value = reduced61(product61(value, residue) + coefficients[d, j])
            out[d, i] = reduced61(value + product61(quotient61(keys[i], residue), coefficients[d, terms]))


@kernel(lambda tables, keys, out: (keys.size, tables.shape[0]))
def tabulation(tables, keys, out):
    """Exclusive or of the entries of the eight bytes of a key; one thread owns each word."""
    first, row = cuda.grid(2)
    step, rows = cuda.gridsize(2)
    for d in range(row, tables.shape[0], rows):
        for i in range(first, keys.size, step):
            word = np.uint64(0)
            for j in range(8):
                word = word ^ tables[d, j, np.int64((keys[i] >> np.uint64(8 * j)) & np.uint64(0xFF))]
            out[d, i] = word


@kernel(lambda words, shift, width, out: words.size)
def buckets(words, shift, width, out):
    """One thread owns each item of `out`, flat like `words`."""
    for i in range(cuda.grid(1), words.size, cuda.gridsize(1)):
        out[i] = widened(words[i], shift, width)


@kernel(lambda words, out: words.size)
def signs(words, out):
    """One thread owns each item of `out`, flat like `words`."""
    for i in range(cuda.grid(1), words.size, cuda.gridsize(1)):
        out[i] = side(words[i])
