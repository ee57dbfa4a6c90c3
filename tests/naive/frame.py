"""Hashed rows of a table in plain Python. A table is a dict of columns, a column a list of values, None where one is missing."""
import xxhash

from . import sparse as naive_sparse


def text(value):
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return str(value)


def frame_rows(table, width, seed, numeric, signed=True):
    n = len(next(iter(table.values()))) if table else 0
    pairs = [[] for _ in range(n)]
    for name in sorted(table):
        key = xxhash.xxh64_intdigest(name.encode())
        for i, value in enumerate(table[name]):
            if value is None:
                continue
            if name in numeric:
                pairs[i].append((key, naive_sparse.single(value)))
            else:
                pairs[i].append((xxhash.xxh64_intdigest(text(value).encode(), key), 1.0))
    return naive_sparse.hash_columns([[(c, v) for c, v in row if v != 0] for row in pairs], width, seed, signed)
