"""Weights of (feature, label) pairs in count-sketch rows: scores and training of shortlisted labels."""
import math

import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.loss import sigmoid
from .._scalar.pairs import pair_key
from .._scalar.sketch import cell, side


@serial
def score(table, seeds, part, label, indices, values, start, stop):
    """Score of a label: sum over the row's features of value times the mean of the pair's signed cells in slice `part`."""
    total = np.float32(0.0)
    for p in range(start, stop):
        key = pair_key(indices[p], label)
        for d in range(seeds.size):
            sign = np.float32(side(key, seeds[d]))
            total += values[p] * sign * table[d, part, cell(key, seeds[d], table.shape[2])]
    return total / np.float32(seeds.size)


@loop
def scores(table, seeds, slices, indptr, indices, values, shortlist, base, out):
    """out[i, c] = base[i, c] + score of label shortlist[i, c] for row i; one thread owns a row."""
    for i in prange(out.shape[0]):
        for c in range(out.shape[1]):
            label = shortlist[i, c]
            if label < 0:
                out[i, c] = np.float32(-np.inf)
            else:
                out[i, c] = base[i, c] + score(table, seeds, slices[label], label, indices, values, indptr[i], indptr[i + 1])


@loop
def train(table, squares, seeds, starts, rows, places, targets, paces, indptr, indices, values, shortlist, base, losses):
    """Logistic steps of Adagrad on the examples of every slice, in their order; one thread owns a slice, whose labels' cells are in no
    other. Example e is label shortlist[rows[e], places[e]] of row rows[e] with target targets[e] and learning rate paces[e]."""
    for part in prange(starts.size - 1):
        loss = 0.0
        for e in range(starts[part], starts[part + 1]):
            i, label = rows[e], shortlist[rows[e], places[e]]
            z = base[i, places[e]] + score(table, seeds, part, label, indices, values, indptr[i], indptr[i + 1])
            slope = sigmoid(z) - targets[e]
            loss += max(z, np.float32(0.0)) - z * targets[e] + math.log1p(math.exp(-abs(float(z))))
            share = slope / np.float32(seeds.size)
            for p in range(indptr[i], indptr[i + 1]):
                key = pair_key(indices[p], label)
                for d in range(seeds.size):
                    j = cell(key, seeds[d], table.shape[2])
                    g = share * values[p] * np.float32(side(key, seeds[d]))
                    squares[d, part, j] += g * g
                    table[d, part, j] -= paces[e] * g / np.float32(math.sqrt(squares[d, part, j]))
        losses[part] = loss
