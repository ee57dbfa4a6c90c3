"""Tables of a label lookup: the bucket of every label, and its inverse, the labels of every bucket."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.hashing import cell, splitmix64


@serial
def bucket_of(label, r, seeds, table, buckets):
    """Bucket of a label in row r of the table where there is one, otherwise hashed in repetition r."""
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
def distinct_buckets(seed, buckets, table):
    """Fill table (probes, labels): each label's hashes by the splitmix64 stream of the seed, repeats skipped; one thread owns one label."""
    for label in prange(table.shape[1]):
        state = seed
        found = 0
        while found < table.shape[0]:
            state = state + np.uint64(0x9E3779B97F4A7C15)
            b = cell(np.uint64(label), splitmix64(state), buckets)
            repeated = False
            for q in range(found):
                repeated |= table[q, label] == b
            if not repeated:
                table[found, label] = b
                found += 1


@loop
def places(table, buckets, probes, out):
    """Fill out (labels, reps * probes) with repetition * buckets + bucket: where a label's scores lie; one thread owns a block."""
    n = out.shape[0]
    for block in prange((n + 4095) // 4096):
        for q in range(out.shape[1]):
            for label in range(block * 4096, min(n, block * 4096 + 4096)):
                out[label, q] = q // probes * buckets + table[q, label]


@loop
def inverse(table, offsets, order):
    """Labels sorted by bucket, ascending within a bucket: order[r, offsets[r, b]:offsets[r, b + 1]]; one thread owns one repetition."""
    probes = table.shape[0] // offsets.shape[0]
    for r in prange(offsets.shape[0]):
        own = table[r * probes:(r + 1) * probes]
        offsets[r, :] = 0
        for q in range(probes):
            for label in range(own.shape[1]):
                offsets[r, own[q, label] + 1] += 1
        for b in range(1, offsets.shape[1]):
            offsets[r, b] += offsets[r, b - 1]
        position = offsets[r].copy()
        for label in range(own.shape[1]):
            for q in range(probes):
                b = own[q, label]
                order[r, position[b]] = label
                position[b] += 1
