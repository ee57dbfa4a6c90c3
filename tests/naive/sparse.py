"""Sparse rows in plain Python: a matrix is a list of rows, a row a list of (column, value) pairs."""
import math
import struct

MASK = 2**64 - 1


def single(value):
    """The nearest float32, as a Python float."""
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def rows(pairs, drop=True):
    """Rows with ascending columns, the values of equal columns summed in their order, zeros dropped if `drop`."""
    out = []
    for row in pairs:
        sums = {}
        for column, value in row:
            sums[column] = sums.get(column, 0.0) + single(value)
        out.append([(column, single(sums[column])) for column in sorted(sums) if single(sums[column]) != 0 or not drop])
    return out


def take(pairs, order):
    return [pairs[i] for i in order]


def normalize(pairs):
    out = []
    for row in pairs:
        length = math.sqrt(sum(value * value for _, value in row))
        out.append([(column, single(value / length) if length else value) for column, value in row])
    return out


def column_counts(pairs, width):
    counts = [0] * width
    for row in pairs:
        for column, _ in row:
            counts[column] += 1
    return counts


def transpose(pairs, width):
    out = [[] for _ in range(width)]
    for i, row in enumerate(pairs):
        for column, value in row:
            out[column].append((i, value))
    return out


def gather(pairs, table):
    d = len(table[0]) if table else 0
    return [[sum(value * table[column][j] for column, value in row) for j in range(d)] for row in pairs]


def scatter(pairs, grads, table):
    """The table with the gradients added, as a new list."""
    out = [list(row) for row in table]
    for row, grad in zip(pairs, grads):
        for column, value in row:
            out[column] = [t + value * g for t, g in zip(out[column], grad)]
    return out


def mix64(key):
    key = ((key ^ key >> 33) * 0xFF51AFD7ED558CCD) & MASK
    key = ((key ^ key >> 33) * 0xC4CEB9FE1A85EC53) & MASK
    return key ^ key >> 33


def first_seed(seed):
    """First output of splitmix64."""
    state = (seed + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ state >> 27) * 0x94D049BB133111EB) & MASK
    return state ^ state >> 31


def hash_columns(pairs, width, seed, signed=True):
    """Also the twin of hash_entries: a column may be any 64-bit number."""
    salt = first_seed(seed)
    out = []
    for row in pairs:
        hashed = []
        for column, value in row:
            word = mix64(column ^ salt)
            hashed.append((((word >> 32) * width) >> 32, value if word & 1 or not signed else -value))
        out.append(hashed)
    return rows(out)


def coalesce(ids, grads):
    """Distinct ids ascending, and the sums in float32, added in the order of appearance."""
    sums = {}
    for i, grad in zip(ids, grads):
        before = sums.get(i, [0.0] * len(grad))
        sums[i] = [single(b + g) for b, g in zip(before, grad)]
    return sorted(sums), [sums[i] for i in sorted(sums)]
