"""Learned buckets: sums of bucket scores over the rows of each label, the best of them, and the power of k choices."""
import numpy as np
from numba import prange

from .._jit import loop, loop_vector
from .decode import best_buckets


@loop_vector
def add_scores(scores, starts, members, totals):
    """totals[r, label] += scores[r, i] for the label's rows i that are in the block; one thread owns one label.

    members[starts[label]:starts[label + 1]] : rows of the label, ascending; those of the block lie between 0 and scores.shape[1].
    """
    for label in prange(totals.shape[1]):
        for p in range(starts[label], starts[label + 1]):
            if 0 <= members[p] < scores.shape[1]:
                for r in range(scores.shape[0]):
                    row, total = scores[r, members[p]], totals[r, label]
                    for b in range(row.size):
                        total[b] += row[b]


@loop_vector
def best(totals, buckets, sums):
    """The best buckets of each label, best first, ties to the smaller, with their sums; one thread owns one label."""
    for label in prange(totals.shape[1]):
        chosen = np.empty(buckets.shape[2], np.int64)
        for r in range(totals.shape[0]):
            best_buckets(totals[r, label], sums[r, label], chosen)
            buckets[r, label] = chosen


@loop
def assign(best, order, counts, weights, loads, table):
    """Each label of `order` with rows goes to the least loaded of its best buckets; one thread owns one repetition.

    The others stay where table (reps, labels) has them, and load their buckets from the beginning.
    """
    for r in prange(table.shape[0]):
        for label in range(table.shape[1]):
            if counts[label] == 0:
                loads[r, table[r, label]] += weights[label]
        for label in order:
            if counts[label] > 0:
                chosen = best[r, label, 0]
                for q in range(1, best.shape[2]):
                    if loads[r, best[r, label, q]] < loads[r, chosen]:
                        chosen = best[r, label, q]
                table[r, label] = chosen
                loads[r, chosen] += weights[label]
