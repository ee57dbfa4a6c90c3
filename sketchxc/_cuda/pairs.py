"""Grid of the scores of hashed pairs. Their training is one example after the other in each slice, which is work for a processor."""
import math

import numpy as np

from .._scalar import pairs as _scalar
from .._scalar import sketch as _sketch
from ._target import cuda, kernel, on_device

pair_key = on_device(_scalar).pair_key
cell, side = on_device(_sketch).cell, on_device(_sketch).side


@kernel(lambda table, seeds, slices, indptr, indices, values, shortlist, base, out: (out.shape[1], out.shape[0]))
def scores(table, seeds, slices, indptr, indices, values, shortlist, base, out):
    """out[i, c] = base[i, c] + score of label shortlist[i, c] for row i; one thread owns one score."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, out.shape[0], rows):
        for c in range(column, out.shape[1], columns):
            label, total = shortlist[i, c], np.float32(0.0)
            for p in range(indptr[i], indptr[i + 1] if label >= 0 else indptr[i]):
                key = pair_key(indices[p], label)
                for d in range(seeds.size):
                    sign = np.float32(side(key, seeds[d]))
                    total += values[p] * sign * table[d, slices[label], cell(key, seeds[d], table.shape[2])]
            out[i, c] = base[i, c] + total / np.float32(seeds.size) if label >= 0 else np.float32(-math.inf)
