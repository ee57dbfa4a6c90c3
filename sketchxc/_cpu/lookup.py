"""Tables of a label lookup: the bucket of every label, and its inverse, the labels of every bucket."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.hashing import cell


@serial
def bucket_of(label, r, seeds, table, buckets):
    """Bucket of a label in repetition r: read from the table where there is one, hashed otherwise."""
    if table.shape[1] > 0:
        return np.int64(table[r, label])
    return cell(np.uint64(label), seeds[r], buckets)


@loop
def label_buckets(seeds, table, buckets, out):
    """Fill out (reps, labels) with every label's bucket; one thread owns one block of labels."""
    n = out.shape[1]
    blocks = (n + 4095) // 4096
    for block in prange(blocks):
        for r in range(out.shape[0]):
            for label in range(block * 4096, min(n, block * 4096 + 4096)):
                out[r, label] = bucket_of(label, r, seeds, table, buckets)


@loop
def places(table, buckets, out):
    """Fill out (labels, reps) with r * buckets + bucket: where a label's scores lie; one thread owns one block of labels."""
    n = out.shape[0]
    for block in prange((n + 4095) // 4096):
        for r in range(out.shape[1]):
            for label in range(block * 4096, min(n, block * 4096 + 4096)):
                out[label, r] = r * buckets + table[r, label]


@loop
def inverse(table, offsets, order):
    """Labels sorted by bucket, ascending within a bucket: order[r, offsets[r, b]:offsets[r, b + 1]]; one thread owns one repetition."""
    for r in prange(table.shape[0]):
        offsets[r, :] = 0
        for label in range(table.shape[1]):
            offsets[r, table[r, label] + 1] += 1
        for b in range(1, offsets.shape[1]):
            offsets[r, b] += offsets[r, b - 1]
        position = offsets[r].copy()
        for label in range(table.shape[1]):
            b = table[r, label]
            order[r, position[b]] = label
            position[b] += 1
