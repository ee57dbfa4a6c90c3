"""Hashed weights of (feature, label) pairs in plain Python: the specification. A pair's cells are named by the caller."""
import math


def score(table, cells, row, label, base=0.0):
    """Score of a label: base plus value times the mean of the signed cells of each pair. cells(feature, label) gives [(cell, sign)]."""
    total = base
    for feature, value in row:
        places = cells(feature, label)
        total += value * sum(sign * table.get(cell, 0.0) for cell, sign in places) / len(places)
    return total


def train(table, squares, cells, examples, start=1.0):
    """Adagrad on the logistic loss of (row, label, target, base, rate), one after the other; returns the mean loss before the steps."""
    total = 0.0
    for row, label, target, base, rate in examples:
        z = score(table, cells, row, label, base)
        total += max(z, 0) - z * target + math.log1p(math.exp(-abs(z)))
        slope = 1 / (1 + math.exp(-z)) - target
        for feature, value in row:
            places = cells(feature, label)
            for cell, sign in places:
                g = slope * value * sign / len(places)
                squares[cell] = squares.get(cell, start) + g * g
                table[cell] = table.get(cell, 0.0) - rate * g / math.sqrt(squares[cell])
    return total / max(1, len(examples))


def one_vs_all(weights, squares, examples, start=1.0):
    """The same with a weight of its own for every pair."""
    return train(weights, squares, lambda feature, label: [((feature, label), 1)], examples, start)
