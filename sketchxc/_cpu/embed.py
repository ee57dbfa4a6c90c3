"""Loops of embedding bags. A bag, a table row or a block of keys belongs to one thread."""
import numpy as np
from numba import prange

from .._jit import loop, loop_vector, serial
from .._scalar.embed import code
from .._scalar.hashing import cell
from .hashing import buckets_part
from .mach import project
from .vector import prefetch, span

AHEAD = 16  # lookups between the request for a table row and its use: about the reads that a core keeps in flight
LINE = 16  # float32 in a cache line


@loop
def feature_ids(values, features, seeds, size, out):
    """Cell of value `features[c]` of every row under seed c; one thread owns one row."""
    for i in prange(values.shape[0]):
        for c in range(seeds.size):
            out[i, c] = cell(values[i, features[c]], seeds[c], size)


@loop
def codes(keys, seeds, out):
    """Code of every key under every seed; one thread owns one key."""
    for i in prange(keys.size):
        for c in range(seeds.size):
            out[i, c] = code(keys[i], seeds[c])


@serial
def hash_part(keys, seeds, first, last, size, ids):
    """Row numbers of the keys from `first` to `last`, seeds.size for each."""
    if seeds.size == 1:
        buckets_part(span(keys, first, last - first), seeds[0], size, span(ids, first, last - first))
        return
    for key in range(first, last):
        for r in range(seeds.size):
            ids[key * seeds.size + r] = cell(keys[key], seeds[r], size)


@loop_vector
def bags(keys, seeds, indptr, ids, values, table, blocks, out):
    """Add table row ids[k] times values[k], for k from indptr[i] to indptr[i + 1], to out[i]; one thread owns a block of bags.

    With seeds the ids of a block are written first, seeds.size for every key; rows are asked for AHEAD lookups before their turn.
    """
    width = table.shape[1]
    flat, sums = table.reshape(-1), out.reshape(-1)
    for block in prange(blocks):
        first, last = out.shape[0] * block // blocks, out.shape[0] * (block + 1) // blocks
        if seeds.size:
            hash_part(keys, seeds, indptr[first] // seeds.size, indptr[last] // seeds.size, table.shape[0], ids)
        ahead = indptr[first]
        for i in range(first, last):
            until = min(indptr[i + 1] + AHEAD, indptr[last])
            while ahead < until:
                for j in range(0, width, LINE):
                    prefetch(flat, np.int64(ids[ahead]) * width + j)
                ahead += 1
            project(flat, width, 0, ids, values, indptr[i], indptr[i + 1], span(sums, i * width, width))


@serial
def turn(indptr, ids, values, n_rows, rows, starts, members, member_values):
    """Lookups by table row: those of rows[s] begin at starts[s], each with its bag and value, in the order of the bags; returns how many
    rows there are. A radix sort of positions, 11 bits a pass, which is stable and therefore fixes the order of every sum."""
    n = ids.size
    order, spare, owners = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int32)
    for k in range(n):
        order[k] = np.int64(ids[k]) << 32 | k  # row and position in one number, so that no pass looks elsewhere
    shift = 32
    while n_rows >> (shift - 32):
        ends = np.zeros(2049, np.int64)
        for k in range(n):
            ends[((order[k] >> shift) & 2047) + 1] += 1
        for digit in range(2048):
            ends[digit + 1] += ends[digit]
        for k in range(n):
            digit = (order[k] >> shift) & 2047
            spare[ends[digit]] = order[k]
            ends[digit] += 1
        order, spare = spare, order
        shift += 11
    for i in range(indptr.size - 1):
        owners[indptr[i]:indptr[i + 1]] = i
    found = 0
    for k in range(n):
        place, row = order[k] & 0xffffffff, order[k] >> 32
        if found == 0 or rows[found - 1] != row:
            rows[found] = row
            starts[found] = k
            found += 1
        members[k] = owners[place]
        member_values[k] = values[place]
    starts[found] = n
    return found


@loop_vector
def products(indptr, ids, table, grads, out):
    """Inner product of the table row of every lookup with the gradient of its bag; one thread owns one bag."""
    for i in prange(indptr.size - 1):
        for k in range(indptr[i], indptr[i + 1]):
            row = np.int64(ids[k])
            total = np.float32(0.0)
            for j in range(table.shape[1]):
                total += table[row, j] * grads[i, j]
            out[k] = total
