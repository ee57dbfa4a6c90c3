"""Sketches in plain Python integers: the specification. A table is a list of rows, a row a list of cells."""
import math
import struct

from naive import hashing


def empty(depth, width):
    return [[0] * width for _ in range(depth)]


def cells(key, seeds, width):
    return [hashing.bucket(hashing.mix(key, seed), width) for seed in seeds]


def sides(key, seeds):
    return [2 * (hashing.mix(key, seed) & 1) - 1 for seed in seeds]


def add(table, seeds, keys, counts, signed=False):
    for key, count in zip(keys, counts):
        for row, cell, side in zip(table, cells(key, seeds, len(table[0])), sides(key, seeds)):
            row[cell] += side * count if signed else count


def add_conservative(table, seeds, keys, counts):
    for key, count in zip(keys, counts):
        goal = low(table, seeds, key) + count
        for row, cell in zip(table, cells(key, seeds, len(table[0]))):
            row[cell] = max(row[cell], goal)


def low(table, seeds, key):
    return min(row[cell] for row, cell in zip(table, cells(key, seeds, len(table[0]))))


def median(table, seeds, key):
    values = [side * row[cell] for row, cell, side in zip(table, cells(key, seeds, len(table[0])), sides(key, seeds))]
    return sorted(values)[len(values) // 2]


def mean_low(table, seeds, key, total):
    width, n = len(table[0]), len(table)
    values = [row[cell] for row, cell in zip(table, cells(key, seeds, width))]
    rows = sorted((width * value - total) / (width - 1) for value in values)
    return min(max((rows[(n - 1) // 2] + rows[n // 2]) / 2, 0), min(values))


def inner(a, b, signed=False):
    rows = sorted(sum(x * y for x, y in zip(*pair)) for pair in zip(a, b))
    return rows[len(rows) // 2] if signed else rows[0]


def true_counts(keys, counts):
    found = {}
    for key, count in zip(keys, counts):
        found[key] = found.get(key, 0) + count
    return found


def to_bytes(kind, code, table, seeds, total):
    """Of a table of int64 (code 1) or int32 (code 0)."""
    body = struct.pack("<4sHBBIIQq", b"SKXC", 1, kind, code, len(table), 0, len(table[0]), total)
    body += b"".join(struct.pack("<Q", seed) for seed in seeds)
    body += b"".join(struct.pack("<q" if code else "<i", cell) for row in table for cell in row)
    return body + struct.pack("<Q", hashing.hash_bytes(body))


def half_fail(depth, chance):
    """Probability that more than half of the rows fail, by adding up every outcome row by row."""
    chances = [1.0]
    for _ in range(depth):
        chances = [(chances[k] if k < len(chances) else 0) * (1 - chance) + (chances[k - 1] if k else 0) * chance
                   for k in range(len(chances) + 1)]
    return sum(chances[depth // 2 + 1:])


def size_for(error, failure, signed=False):
    width = math.ceil(3 / error**2 if signed else math.e / error)
    depth = 1
    while (half_fail(depth, 1 / 3) > failure) if signed else (math.exp(-depth) > failure):
        depth += 2 if signed else 1
    return depth, (width + 15) // 16 * 16


def row_add(table, seeds, rows, values, signed):
    """table[d][cell] is a list of columns."""
    for row, vector in zip(rows, values):
        for places, cell, side in zip(table, cells(row, seeds, len(table[0])), sides(row, seeds)):
            for j, value in enumerate(vector):
                places[cell][j] += side * value if signed else value


def row_estimate(table, seeds, rows, signed):
    found = []
    for row in rows:
        places, signs = cells(row, seeds, len(table[0])), sides(row, seeds) if signed else [1] * len(seeds)
        columns = [sorted(side * table[d][cell][j] for d, (cell, side) in enumerate(zip(places, signs))) for j in range(len(table[0][0]))]
        found.append([column[len(column) // 2 if signed else 0] for column in columns])
    return found
