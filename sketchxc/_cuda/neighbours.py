"""Grids of the nearest training rows and their votes: one block owns a query, and its threads share the postings of a feature."""
import math

import numpy as np

from .._scalar import neighbours as _scalar
from . import _target
from ._target import block_kernel, cuda, on_device
from .votes import COUNTERS, FOUND, choose, in_order, scratch

posting = on_device(_scalar).posting


def votes(starts, rows, values, labels_ptr, labels, n_labels, budget, rescored, nearest, power, bar, indptr, indices, weights, shortlist,
          out, same):
    """Votes of the nearest indexed rows of every query for the labels of its shortlist, as on the CPU; `n_labels` is of no use here."""
    sums, bits, touched = scratch(indptr.size - 1, labels_ptr.size - 1)
    near, scores = (_target.empty((2, sums.shape[0], rescored), kind) for kind in (np.int32, np.float32))
    order = _target.empty(indices.size, np.int64)
    _votes(starts, rows, values, labels_ptr, labels, budget, nearest, power, bar, indptr, indices, weights, shortlist, sums, bits, touched,
           near, scores, order, out, same)


@block_kernel(lambda starts, rows, values, labels_ptr, labels, budget, nearest, power, bar, indptr, indices, weights, shortlist, sums, bits,
              touched, near, scores, order, out, same: sums.shape[0])
def _votes(starts, rows, values, labels_ptr, labels, budget, nearest, power, bar, indptr, indices, weights, shortlist, sums, bits, touched,
           near, scores, order, out, same):
    """One block owns a query; order[indptr[i]:indptr[i + 1]] become its features, the heaviest first, -1 - place for those left out."""
    counters = cuda.shared.array(COUNTERS, np.int32)
    thread, threads, block, zero = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x, np.float32(0.0)
    own, near_rows, near_scores = sums[block], near[0, block], scores[0, block]
    for i in range(block, indptr.size - 1, cuda.gridDim.x):
        first, last = indptr[i], indptr[i + 1]
        if thread == 0:
            counters[FOUND] = 0
        for a in range(first + thread, last, threads):
            place = first
            for b in range(first, last):
                if weights[b] > weights[a] or (weights[b] == weights[a] and b < a):
                    place += 1
            order[place] = a
        cuda.syncthreads()
        used = 0
        for u in range(first, last):
            a = order[u]
            j, x = indices[a], weights[a]
            size = starts[j + 1] - starts[j]
            taken = x > zero and (u == first or used + size <= budget)  # the same in all threads
            cuda.syncthreads()
            if not taken:
                if thread == 0:
                    order[u] = -1 - a
                continue
            used += size
            for p in range(starts[j] + thread, starts[j + 1], threads):
                part = x * values[p]
                if part > zero:  # a sum of 0 stands for a row that was not touched
                    if own[rows[p]] == zero:
                        touched[block, cuda.atomic.add(counters, FOUND, 1)] = rows[p]
                    own[rows[p]] += part
        found = choose(own, bits[block], touched[block], counters, near_scores, near_rows)
        for q in range(thread, found, threads):
            for u in range(first, last):
                a = -1 - order[u]
                if a >= 0 and weights[a] > zero:
                    p = posting(rows, starts[indices[a]], starts[indices[a] + 1], near_rows[q])
                    if p >= 0:
                        near_scores[q] += weights[a] * values[p]
        cuda.syncthreads()
        in_order(found, near_scores, near_rows, scores[1, block], near[1, block])
        found = found if found < nearest else nearest
        for c in range(thread, shortlist.shape[1], threads):
            given, top = zero, zero
            for q in range(found):
                for p in range(labels_ptr[near_rows[q]], labels_ptr[near_rows[q] + 1]):
                    if labels[p] == shortlist[i, c]:
                        given += np.float32(math.pow(near_scores[q], power))
                        top = near_scores[q] if near_scores[q] > top else top
            out[i, c] = given
            same[i, c] = top >= bar and shortlist[i, c] >= 0
        cuda.syncthreads()
