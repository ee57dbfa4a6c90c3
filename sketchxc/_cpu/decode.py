"""Label scores from bucket scores, fused with the selection of the best k: exact, or pruned to labels of the best buckets.

Ties are broken by the smaller label everywhere. Sums run over the repetitions in ascending order.
"""
import math

import numpy as np
from numba import prange

from .._jit import loop, loop_vector, serial, serial_vector
from .._scalar.loss import exp32, log32, sigmoid
from .._scalar.order import sort
from .vector import LANES, any_above, load, smaller, store

BLOCK = 128  # labels per block: the accumulators of a block stay in the first-level cache
SUM, LEAST, MEDIAN = 0, 1, 2
LOGIT, PROBABILITY, LOG_PROBABILITY = 0, 1, 2


@serial
def insert(score, label, scores, labels):
    """Put a candidate into a list sorted by score descending, then label ascending; the last entry falls out."""
    i = scores.size - 1
    while i > 0 and (scores[i - 1] < score or (scores[i - 1] == score and (labels[i - 1] > label or labels[i - 1] < 0))):
        scores[i] = scores[i - 1]
        labels[i] = labels[i - 1]
        i -= 1
    scores[i] = score
    labels[i] = label


@serial_vector
def transform(kind, softmax, row):
    """Turn a row of logits into what is aggregated: itself, probabilities or their logarithms."""
    if kind == LOGIT:
        return
    if softmax:
        top = row[0]
        for j in range(row.size):
            top = max(top, row[j])
        mass = 0.0
        for j in range(row.size):
            mass += math.exp(row[j] - top)
        shift = top + np.float32(math.log(mass))
        for j in range(row.size):
            z = row[j] - shift
            row[j] = z if kind == LOG_PROBABILITY else np.float32(math.exp(z))
    elif kind == PROBABILITY:
        for j in range(row.size):
            row[j] = sigmoid(row[j])
    else:
        for j in range(row.size):
            z = row[j]
            row[j] = (z if z < np.float32(0.0) else np.float32(0.0)) - log32(np.float32(1.0) + exp32(-abs(z)))


@loop_vector
def transform_all(kind, softmax, scores):
    """Apply `transform` to every row of bucket scores (reps, n, buckets) in place; one thread owns one row."""
    for i in prange(scores.shape[1]):
        for r in range(scores.shape[0]):
            transform(kind, softmax, scores[r, i])


@serial
def median_of(values):
    """Median of a scratch array, which it sorts; the mean of the middle two for an even number."""
    sort(values, values.size)
    half = values.size // 2
    if values.size % 2:
        return values[half]
    return np.float32(0.5) * (values[half - 1] + values[half])


@serial
def accumulate(how, scores, places, start, count, sums):
    """sums[i * 16 + l] = aggregate over r of the scores of label start + i in row l; `scores` holds 16 rows side by side per bucket."""
    for i in range(count):
        own = places[start + i]
        total = load(scores, own[0] * LANES)
        if how == SUM:
            for r in range(1, own.size):
                total = total + load(scores, own[r] * LANES)
        else:
            for r in range(1, own.size):
                total = smaller(total, load(scores, own[r] * LANES))
        store(sums, i * LANES, total)


@serial
def accumulate_median(scores, places, start, count, scratch, sums):
    """The same for the median."""
    for i in range(count):
        for l in range(LANES):
            for r in range(places.shape[1]):
                scratch[r] = scores[places[start + i, r] * LANES + l]
            sums[i * LANES + l] = median_of(scratch)


@loop
def exact(scores, places, how, best_scores, best_labels):
    """Best labels of every row over all labels; one thread owns 16 rows, laid out side by side.

    places (labels, probes) : r * buckets + bucket of the label, for every probe in every repetition r.
    """
    reps, n, buckets = scores.shape
    n_labels = places.shape[0]
    k = best_labels.shape[1]
    for group in prange((n + LANES - 1) // LANES):
        first = group * LANES
        rows = min(LANES, n - first)
        side_by_side = np.empty(reps * buckets * LANES, np.float32)
        for r in range(reps):
            for l in range(LANES):
                row = first + min(l, rows - 1)
                for b in range(buckets):
                    side_by_side[(r * buckets + b) * LANES + l] = scores[r, row, b]
        sums = np.empty(BLOCK * LANES, np.float32)
        scratch = np.empty(places.shape[1], np.float32)
        bars = np.full(LANES, np.inf, np.float32)  # the k-th best sum so far; lanes without a row take none
        for l in range(rows):
            bars[l] = -np.inf
            for j in range(k):
                best_scores[first + l, j] = -np.inf
                best_labels[first + l, j] = -1
        for start in range(0, n_labels, BLOCK):
            count = min(BLOCK, n_labels - start)
            if how == MEDIAN:
                accumulate_median(side_by_side, places, start, count, scratch, sums)
            else:
                accumulate(how, side_by_side, places, start, count, sums)
            for i in range(count):
                if any_above(load(sums, i * LANES), load(bars, 0)):
                    for l in range(rows):
                        if sums[i * LANES + l] > bars[l]:
                            insert(sums[i * LANES + l], start + i, best_scores[first + l], best_labels[first + l])
                            bars[l] = best_scores[first + l, k - 1]


@serial_vector
def best_buckets(row, chosen_scores, chosen):
    """The chosen.size best buckets of a row, best first."""
    chosen_scores[:] = -np.inf
    chosen[:] = -1
    bar = chosen_scores[0]
    for start in range(0, row.size, 64):
        part = row[start:min(row.size, start + 64)]
        top = part[0]
        for j in range(part.size):
            top = part[j] if part[j] > top else top
        if top > bar:  # most blocks hold nothing good enough
            for j in range(part.size):
                if part[j] > bar:
                    insert(part[j], start + j, chosen_scores, chosen)
                    bar = chosen_scores[chosen.size - 1]


@serial
def aggregate(how, scores, i, places, scratch):
    """Aggregate of one label's bucket scores in row i."""
    reps, _, buckets = scores.shape
    for q in range(places.size):
        r = q * reps // places.size
        scratch[q] = scores[r, i, places[q] - r * buckets]
    if how == MEDIAN:
        return median_of(scratch)
    total = scratch[0]
    for q in range(1, places.size):
        total = total + scratch[q] if how == SUM else min(total, scratch[q])
    return total


@loop_vector
def pruned(scores, places, offsets, order, top, least, how, best_scores, best_labels):
    """Best labels of every row among those with `least` buckets among the `top` best of a repetition; one thread owns a block of rows.

    Where fewer than k labels do, `least` falls for that row until enough do or it is 1. Candidates get the exact aggregate over all
    their buckets.
    """
    reps, n, buckets = scores.shape
    n_labels = places.shape[0]
    k = best_labels.shape[1]
    for block in prange((n + 63) // 64):
        counts = np.zeros(n_labels, np.uint16)
        candidates = np.empty(n_labels, np.int32)
        scratch = np.empty(places.shape[1], np.float32)
        chosen_scores = np.empty(top, np.float32)
        chosen = np.empty(top, np.int64)
        seen = np.empty(places.shape[1] + 1, np.int64)
        for i in range(block * 64, min(n, block * 64 + 64)):
            found = 0
            seen[:] = 0
            for r in range(reps):
                best_buckets(scores[r, i], chosen_scores, chosen)
                for q in range(top):
                    if chosen[q] < 0:
                        continue
                    for p in range(offsets[r, chosen[q]], offsets[r, chosen[q] + 1]):
                        label = order[r, p]
                        if counts[label] == 0:
                            candidates[found] = label
                            found += 1
                        counts[label] += 1
                        seen[counts[label]] += 1  # labels seen at least so often
            enough = least
            while enough > 1 and seen[enough] < k:
                enough -= 1
            best_scores[i] = -np.inf
            best_labels[i] = -1
            for q in range(found):
                label = candidates[q]
                if counts[label] >= enough:
                    score = aggregate(how, scores, i, places[label], scratch)
                    last = best_scores[i, k - 1]
                    if score > last or (score == last and (label < best_labels[i, k - 1] or best_labels[i, k - 1] < 0)):
                        insert(score, label, best_scores[i], best_labels[i])
                counts[label] = 0


@loop
def of_shortlist(scores, places, shortlist, how, out):
    """Aggregate of every shortlisted label, 0 for -1; one thread owns one row."""
    for i in prange(shortlist.shape[0]):
        scratch = np.empty(places.shape[1], np.float32)
        for q in range(shortlist.shape[1]):
            label = shortlist[i, q]
            out[i, q] = aggregate(how, scores, i, places[label], scratch) if label >= 0 else np.float32(0.0)
