"""Grids of the crosses: rows followed by their kept pairs. Which pairs are kept is learnt on the host."""
import numpy as np

from .._scalar import crosses as _scalar
from ._target import block_kernel, cuda, kernel, on_device

_device = on_device(_scalar)
heaviest, kept_pairs = _device.heaviest, _device.kept_pairs
MOST, PAIRS = 16, 120  # columns of a row that are paired at most, and their pairs


@kernel(lambda indptr, top, room: indptr.size)
def rooms(indptr, top, room):
    """room[i + 1] = length of row i with all its pairs, room[0] = 0. Only the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), indptr.size, cuda.gridsize(1)):
        length = indptr[i] - indptr[i - 1] if i > 0 else 0
        paired = length if length < top else top
        room[i] = length + ((paired * (paired - 1)) >> 1)


@kernel(lambda indptr, indices, values, cells, ranks, top, seed, bits, width, room, out_indices, out_values, lengths: lengths.size)
def cross_rows(indptr, indices, values, cells, ranks, top, seed, bits, width, room, out_indices, out_values, lengths):
    """Every row followed by its kept pairs, from room[i] on; one thread owns one row and sorts its pairs in memory of its own."""
    columns, weights = cuda.local.array(MOST, np.int32), cuda.local.array(MOST, np.float32)
    keys, products = cuda.local.array(PAIRS, np.int64), cuda.local.array(PAIRS, np.float32)
    for i in range(cuda.grid(1), lengths.size, cuda.gridsize(1)):
        place = room[i]
        for p in range(indptr[i], indptr[i + 1]):
            out_indices[place] = indices[p]
            out_values[place] = values[p]
            place += 1
        found = heaviest(indices, values, indptr[i], indptr[i + 1], columns[:top], weights[:top])
        place = kept_pairs(found, columns, weights, cells, ranks, seed, bits, width, keys, products, out_indices, out_values, place)
        lengths[i] = place - room[i]


@block_kernel(lambda room, indptr, indices, values, out_indices, out_values: indptr.size - 1)
def close_gaps(room, indptr, indices, values, out_indices, out_values):
    """The rows of `cross_rows` without the room between them; one block owns one row."""
    for i in range(cuda.blockIdx.x, indptr.size - 1, cuda.gridDim.x):
        shift = room[i] - indptr[i]
        for p in range(indptr[i] + cuda.threadIdx.x, indptr[i + 1], cuda.blockDim.x):
            out_indices[p] = indices[p + shift]
            out_values[p] = values[p + shift]
