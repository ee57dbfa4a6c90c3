"""Optimizers with sketched moments on lists: the specification. A sketch is sketch[depth][width] = list of numbers, one a column."""
from collections import Counter

from naive import optim, sketch


def empty(depth, width, columns):
    return [[[0.0] * columns for _ in range(width)] for _ in range(depth)]


def read(table, cells, sides, j):
    """Median of the signed places of column j, or without signs the smallest."""
    values = sorted((1 if sides is None else side) * line[cell][j] for line, cell, side in zip(table, cells, sides or cells))
    return values[0] if sides is None else values[len(values) // 2]


def step(kind, rule, constants, t, weights, rows, grads, m, v, seeds):
    """One step on the given rows; m is a sketch, or a dict row -> list where it is kept as it is, or None; v is a sketch or None."""
    if kind == "batch":
        return batch(rule, constants, t, weights, rows, grads, m, v, seeds)
    width = len((v or m)[0])
    for row, slopes in zip(rows, grads):
        cells, sides = sketch.cells(row, seeds, width), sketch.sides(row, seeds)
        for j, g in enumerate(slopes):
            new = {}
            for name, table, signs in (("m", m, sides), ("v", v, None)):
                first = name == "m"
                if table is None:
                    new[name] = 0.0
                elif isinstance(table, dict):
                    new[name] = table[row][j] = optim.moments(rule, constants, g, table[row][j], 0.0)[0]
                elif kind == "cell":
                    for line, cell, side in zip(table, cells, signs or [1] * len(cells)):
                        own = side * line[cell][j]
                        line[cell][j] = side * optim.moments(rule, constants, g, own, own)[0 if first else 1]
                    new[name] = read(table, cells, signs, j)
                else:
                    old = read(table, cells, signs, j)
                    new[name] = optim.moments(rule, constants, g, old, old)[0 if first else 1]
                    for line, cell, side in zip(table, cells, signs or [1] * len(cells)):
                        line[cell][j] += side * (new[name] - old)
            weights[row][j] = optim.move(rule, constants, t, weights[row][j], g, new["m"], new["v"])


def batch(rule, constants, t, weights, rows, grads, m, v, seeds):
    """All rows are read first; of the decay of a place every one of the rows that share it answers for its part."""
    _, b1, b2, *_ = constants
    width = len((v or m)[0])
    columns = len(grads[0]) if grads else 0
    places = {row: (sketch.cells(row, seeds, width), sketch.sides(row, seeds)) for row in rows}
    shared = [Counter(places[row][0][r] for row in rows) for r in range(len(seeds))]
    old, new = {}, {}
    for row, slopes in zip(rows, grads):
        cells, sides = places[row]
        for j in range(columns):
            dense = isinstance(m, dict)
            own_m = 0.0 if m is None else m[row][j] if dense else read(m, cells, sides, j)
            own_v = 0.0 if v is None else read(v, cells, None, j)
            old[row, j] = own_m, own_v
            new[row, j] = optim.moments(rule, constants, slopes[j], own_m, own_v)
            if dense:
                m[row][j] = new[row, j][0]
            weights[row][j] = optim.move(rule, constants, t, weights[row][j], slopes[j], *new[row, j])
    for table, place, keep in ((m, 0, b1), (v, 1, 1.0 if rule == "adagrad" else b2)):
        if table is None or isinstance(table, dict):
            continue
        for row in rows:
            for r, (cell, side) in enumerate(zip(*places[row])):
                side = side if place == 0 else 1
                for j in range(columns):
                    q = old[row, j][place]
                    table[r][cell][j] += side * (new[row, j][place] - keep * q - (1 - keep) / shared[r][cell] * q)


def rank_one(rule, constants, t, weights, rows, grads, m, row_sums, column_sums):
    """One step with a second moment of rank one; m is a list of lists or None."""
    _, _, b2, *_ = constants
    total = sum(column_sums)
    add, keep = (1.0, 1.0) if rule == "adagrad" else (1 - b2, b2)
    lost = [sum(row_sums[row] * c / total for row in rows) if total else 0.0 for c in column_sums]
    for row, slopes in zip(rows, grads):
        row_sums[row] = keep * row_sums[row] + add * sum(g * g for g in slopes)
    for j in range(len(column_sums)):
        column_sums[j] += add * sum(slopes[j]**2 for slopes in grads) - (1 - keep) * lost[j]
    total = sum(column_sums)
    for row, slopes in zip(rows, grads):
        for j, g in enumerate(slopes):
            v = row_sums[row] * column_sums[j] / total if total else 0.0
            own = 0.0
            if m is not None:
                own = m[row][j] = optim.moments(rule, constants, g, m[row][j], v)[0]
            weights[row][j] = optim.move(rule, constants, t, weights[row][j], g, own, v)
