"""Tables with numbers of one byte: rounding, and the bucket scores of linear MACH from them."""
import numpy as np
from numba import prange

from .._jit import loop_vector
from .._scalar.packed import byte_of


@loop_vector
def pack(rows, packed, scales):
    """Rows of a table rounded to 127 steps of their largest magnitude; one thread owns a row."""
    for i in prange(rows.shape[0]):
        top = np.float32(0.0)
        for j in range(rows.shape[1]):
            top = abs(rows[i, j]) if abs(rows[i, j]) > top else top
        scales[i] = top / np.float32(127.0)
        factor = np.float32(127.0) / top if top > np.float32(0.0) else np.float32(0.0)
        for j in range(rows.shape[1]):
            packed[i, j] = byte_of(rows[i, j] * factor)


@loop_vector
def bucket_scores(weights, scales, biases, buckets, indptr, indices, values, out):
    """out[r, i] = scores of row i in repetition r; one thread owns one row in every repetition."""
    for i in prange(out.shape[1]):
        for r in range(out.shape[0]):
            row = out[r, i]
            low = r * buckets
            row[:] = biases[low:low + buckets]
            for p in range(indptr[i], indptr[i + 1]):
                x = values[p] * scales[indices[p]]
                own = weights[indices[p], low:low + buckets]
                for j in range(row.size):
                    row[j] += x * np.float32(own[j])
