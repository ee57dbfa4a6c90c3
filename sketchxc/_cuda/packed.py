"""Grids of tables with numbers of one byte: rounding, and the bucket scores of linear MACH from them."""
import numpy as np

from .._scalar import packed as _scalar
from ._target import cuda, kernel, on_device

byte_of = on_device(_scalar).byte_of


@kernel(lambda rows, packed, scales: rows.shape[0])
def pack(rows, packed, scales):
    """Rows of a table rounded to 127 steps of their largest magnitude; one thread owns a row."""
    for i in range(cuda.grid(1), rows.shape[0], cuda.gridsize(1)):
        top = np.float32(0.0)
        for j in range(rows.shape[1]):
            top = abs(rows[i, j]) if abs(rows[i, j]) > top else top
        scales[i] = top / np.float32(127.0)
        factor = np.float32(127.0) / top if top > np.float32(0.0) else np.float32(0.0)
        for j in range(rows.shape[1]):
            packed[i, j] = byte_of(rows[i, j] * factor)


@kernel(lambda weights, scales, biases, buckets, indptr, indices, values, out: (buckets, out.shape[1], out.shape[0]))
def bucket_scores(weights, scales, biases, buckets, indptr, indices, values, out):
    """out[r, i] = scores of row i in repetition r; one thread owns one score."""
    column, row, rep = cuda.grid(3)
    columns, rows, reps = cuda.gridsize(3)
    for r in range(rep, out.shape[0], reps):
        for i in range(row, out.shape[1], rows):
            for b in range(column, buckets, columns):
                j = r * buckets + b
                total = biases[j]
                for p in range(indptr[i], indptr[i + 1]):
                    total += values[p] * scales[indices[p]] * np.float32(weights[indices[p], j])
                out[r, i, b] = total
