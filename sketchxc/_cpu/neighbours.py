"""Nearest training rows by cosine, found through postings, and their votes for given labels."""
import math

import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.neighbours import posting
from .votes import select

BLOCK = 256  # queries of a task


@serial
def heaviest_first(values, order):
    """Places of a row's values, the largest first, ties in the order of the row."""
    for a in range(order.size):
        b = a
        while b > 0 and values[order[b - 1]] < values[a]:
            order[b] = order[b - 1]
            b -= 1
        order[b] = a


@serial
def collect(starts, rows, values, budget, columns, weights, order, sums, touched):
    """Add up the products of a query and the indexed rows, its heaviest features first, features that would go beyond the budget left out:
    their places in `order` become -1 - place. Returns the number of rows touched."""
    used, found = 0, 0
    for u in range(order.size):
        j, x = columns[order[u]], weights[order[u]]
        if not x > np.float32(0.0) or (u > 0 and used + starts[j + 1] - starts[j] > budget):
            order[u] = -1 - order[u]
            continue
        used += starts[j + 1] - starts[j]
        for p in range(starts[j], starts[j + 1]):
            part = x * values[p]
            if part > np.float32(0.0):  # a sum of 0 stands for a row that was not touched
                if sums[rows[p]] == np.float32(0.0):
                    touched[found] = rows[p]
                    found += 1
                sums[rows[p]] += part
    return found


@serial
def complete(starts, rows, values, columns, weights, order, near, scores):
    """Add what the features left out by `collect` contribute to the rows `near`, and sort them anew, ties by the smaller row."""
    for place in order:
        if place < 0 and weights[-1 - place] > np.float32(0.0):
            j, x = columns[-1 - place], weights[-1 - place]
            for q in range(near.size):
                p = posting(rows, starts[j], starts[j + 1], near[q])
                if p >= 0:
                    scores[q] += x * values[p]
    for a in range(1, near.size):
        row, score = near[a], scores[a]
        b = a
        while b > 0 and (scores[b - 1] < score or (scores[b - 1] == score and near[b - 1] > row)):
            near[b], scores[b] = near[b - 1], scores[b - 1]
            b -= 1
        near[b], scores[b] = row, score


@loop
def votes(starts, rows, values, labels_ptr, labels, n_labels, budget, rescored, nearest, power, bar, indptr, indices, weights, shortlist,
          out, same):
    """out[i, c] = sum of cosine^power over the nearest indexed rows of query i that have label shortlist[i, c], and same[i, c] whether one
    of them has a cosine of `bar` or more; one thread owns a block of queries."""
    n = indptr.size - 1
    for block in prange((n + BLOCK - 1) // BLOCK):
        sums, touched = np.zeros(labels_ptr.size - 1, np.float32), np.empty(labels_ptr.size - 1, np.int32)
        near, scores = np.empty(rescored, np.int32), np.empty(rescored, np.float32)
        given, top = np.zeros(n_labels, np.float32), np.zeros(n_labels, np.float32)  # votes, and the largest cosine
        for i in range(block * BLOCK, min(n, block * BLOCK + BLOCK)):
            columns, own = indices[indptr[i]:indptr[i + 1]], weights[indptr[i]:indptr[i + 1]]
            order = np.empty(own.size, np.int64)
            heaviest_first(own, order)
            found = collect(starts, rows, values, budget, columns, own, order, sums, touched)
            select(sums, touched, found, scores, near)
            found = min(found, rescored)
            complete(starts, rows, values, columns, own, order, near[:found], scores[:found])
            for q in range(min(found, nearest)):
                vote = np.float32(math.pow(scores[q], power))
                for p in range(labels_ptr[near[q]], labels_ptr[near[q] + 1]):
                    given[labels[p]] += vote
                    top[labels[p]] = max(top[labels[p]], scores[q])
            for c in range(shortlist.shape[1]):
                label = shortlist[i, c]
                out[i, c] = given[label] if label >= 0 else np.float32(0.0)
                same[i, c] = label >= 0 and top[label] >= bar
            for q in range(min(found, nearest)):
                for p in range(labels_ptr[near[q]], labels_ptr[near[q] + 1]):
                    given[labels[p]] = top[labels[p]] = np.float32(0.0)
