"""Crosses in plain Python: the specification. Rows are lists of (column, value) with ascending columns; kept cells are a sorted list."""
from naive import hashing
from naive.sparse import single


def heaviest(row, top):
    """The heaviest entries of a row above 0, in the order of the columns."""
    return sorted(sorted((entry for entry in row if entry[1] > 0), key=lambda entry: (-entry[1], entry[0]))[:top])


def row_pairs(row, top, bits, seed):
    """(cell, product) of the row's pairs, in the order of their columns."""
    salt, own, out = hashing.seeds(1, seed)[0], heaviest(row, top), []
    for a, (low, weight) in enumerate(own):
        for high, other in own[a + 1:]:
            out.append((hashing.mix(hashing.mix(low, salt) ^ high) >> 64 - bits, single(weight * other)))
    return out


def find(rows, top, least, bits, seed):
    counts = {}
    for row in rows:
        for cell, _ in row_pairs(row, top, bits, seed):
            counts[cell] = counts.get(cell, 0) + 1
    return sorted(cell for cell, count in counts.items() if 0 < least <= count)


def cross(kept, rows, columns, top, bits, seed):
    place = {cell: columns + rank for rank, cell in enumerate(kept)}
    out = []
    for row in rows:
        sums = {}
        for cell, product in row_pairs(row, top, bits, seed):
            if cell in place:
                sums[cell] = single(sums[cell] + product) if cell in sums else product
        out.append(list(row) + [(place[cell], sums[cell]) for cell in sorted(sums)])
    return out
