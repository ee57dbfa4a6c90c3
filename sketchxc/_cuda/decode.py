"""Grids from bucket scores to labels, fused with the choice of the best k: no array is rows x labels.

Exact decoding lays the rows side by side, so that the threads of a warp, one for each row, read the score of a label's bucket as one run
of memory; the bucket scores of a row (1.3 MB for 32 x 10,000) are too many for shared memory. Ties are broken by the smaller label.
"""
import math

import numpy as np

from .._scalar import loss as _loss
from . import _target
from ._target import block_kernel, cuda, device, kernel, on_device

_device = on_device(_loss)
exp32, log32, sigmoid = _device.exp32, _device.log32, _device.sigmoid
SHARES = 256  # most threads of a block, which join their sums
SUM, LEAST, MEDIAN = 0, 1, 2
LOGIT, PROBABILITY, LOG_PROBABILITY = 0, 1, 2
PARTS = 8192  # lists of the best labels that exact decoding keeps at a time, over all rows: enough to fill a device


@device
def joined(share, value, largest):
    """Sum of the values of a block's threads, or the largest of them, the same on all; `share` is shared memory (SHARES,)."""
    thread = cuda.threadIdx.x
    share[thread] = value
    cuda.syncthreads()
    reach = 1
    while reach < cuda.blockDim.x:  # a tree of fixed shape: the same bits in every run
        if thread & (2 * reach - 1) == 0 and thread + reach < cuda.blockDim.x:
            other = share[thread + reach]
            if not largest:
                share[thread] += other
            elif other > share[thread]:
                share[thread] = other
        cuda.syncthreads()
        reach *= 2
    found = share[0]
    cuda.syncthreads()
    return found


@device
def better(score, label, other_score, other_label):
    """Whether a candidate stands before an entry of a list."""
    return score > other_score or (score == other_score and (label < other_label or other_label < 0))


@device
def insert(score, label, scores, labels):
    """Put a candidate into a list sorted by score descending, then label ascending; the last entry falls out."""
    i = scores.shape[0] - 1
    while i > 0 and better(score, label, scores[i - 1], labels[i - 1]):
        scores[i] = scores[i - 1]
        labels[i] = labels[i - 1]
        i -= 1
    scores[i] = score
    labels[i] = label


@device
def clear(scores, labels):
    """An empty list."""
    for j in range(scores.shape[0]):
        scores[j] = np.float32(-math.inf)
        labels[j] = -1


@block_kernel(lambda kind, softmax, scores: scores.shape[:2] if kind != LOGIT else 0)
def transform_all(kind, softmax, scores):
    """Turn logits (reps, n, buckets) in place into probabilities or their logarithms; one block owns a row in one repetition."""
    share = cuda.shared.array(SHARES, np.float32)
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    for r in range(cuda.blockIdx.x, scores.shape[0], cuda.gridDim.x):
        for i in range(cuda.blockIdx.y, scores.shape[1], cuda.gridDim.y):
            row = scores[r, i]
            if softmax:
                top = row[0]
                for j in range(thread, row.size, threads):
                    top = row[j] if row[j] > top else top
                top = joined(share, top, True)
                mass = np.float32(0.0)
                for j in range(thread, row.size, threads):
                    mass += exp32(row[j] - top)
                shift = top + log32(joined(share, mass, False))
                for j in range(thread, row.size, threads):
                    z = row[j] - shift
                    row[j] = z if kind == LOG_PROBABILITY else exp32(z)
            else:
                for j in range(thread, row.size, threads):
                    z = row[j]
                    if kind == PROBABILITY:
                        row[j] = sigmoid(z)
                    else:
                        row[j] = (z if z < np.float32(0.0) else np.float32(0.0)) - log32(np.float32(1.0) + exp32(-abs(z)))


@device
def score_at(scores, i, own, q, along, across, jump, reps):
    """Score of row i at place own[q] of a label. `scores` are flat: place p of row i is at p * along + i * across, and those of each
    further repetition `jump` later."""
    later = q * reps // own.size * jump if jump > 0 else 0
    return scores[own[q] * along + i * across + later]


@device
def median_at(scores, i, own, along, across, jump, reps):
    """Median of a label's scores, found by ranks, because a thread has no room for a copy to sort."""
    below, above = np.float32(0.0), np.float32(0.0)  # the middle two
    for q in range(own.size):
        value = score_at(scores, i, own, q, along, across, jump, reps)
        less, same = 0, 0
        for p in range(own.size):
            other = score_at(scores, i, own, p, along, across, jump, reps)
            less += 1 if other < value else 0
            same += 1 if other == value else 0
        if less <= (own.size - 1) // 2 < less + same:
            below = value
        if less <= own.size // 2 < less + same:
            above = value
    return above if own.size % 2 == 1 else np.float32(0.5) * (below + above)


@device
def aggregate(how, scores, i, own, along, across, jump, reps):
    """Aggregate of the scores of one label, whose places are `own`, in row i."""
    if how == MEDIAN:
        return median_at(scores, i, own, along, across, jump, reps)
    total = score_at(scores, i, own, 0, along, across, jump, reps)
    for q in range(1, own.size):
        score = score_at(scores, i, own, q, along, across, jump, reps)
        if how == SUM:
            total += score
        elif score < total:
            total = score
    return total


@device
def aggregate_in(how, flat, i, own, reps, n, buckets):
    """Aggregate of one label in row i of scores (reps, n, buckets), given flat."""
    return aggregate(how, flat, i, own, 1, buckets, buckets * (n - 1), reps)


def exact(scores, places, how, best_scores, best_labels):
    """Best labels of every row over all labels: lists of parts of the labels first, joined afterwards."""
    reps, n, buckets = scores.shape
    k = best_scores.shape[1]
    parts = max(1, min(places.shape[0] // max(_target.THREADS, k), PARTS // max(1, n)))
    beside = _target.empty((reps * buckets, n), np.float32)
    part_scores, part_labels = _target.empty((n, parts, k), np.float32), _target.empty((n, parts, k), np.int32)
    _lay_beside(scores, beside)
    _best_of_parts(beside.reshape(beside.size), n, places, how, part_scores, part_labels)
    _join_parts(part_scores, part_labels, best_scores, best_labels)


@kernel(lambda scores, beside: (scores.shape[1], scores.shape[2], scores.shape[0]))
def _lay_beside(scores, beside):
    """Scores with the rows side by side; one thread owns one."""
    row, bucket, rep = cuda.grid(3)
    rows, buckets, reps = cuda.gridsize(3)
    for r in range(rep, scores.shape[0], reps):
        for b in range(bucket, scores.shape[2], buckets):
            for i in range(row, scores.shape[1], rows):
                beside[r * scores.shape[2] + b, i] = scores[r, i, b]


@kernel(lambda beside, n, places, how, part_scores, part_labels: part_scores.shape[:2])
def _best_of_parts(beside, n, places, how, part_scores, part_labels):
    """Best labels of every row in every part of the labels; one thread owns a row's list of a part."""
    row, line = cuda.grid(2)
    rows, lines = cuda.gridsize(2)
    parts, n_labels = part_scores.shape[1], places.shape[0]
    for part in range(line, parts, lines):
        for i in range(row, part_scores.shape[0], rows):
            own_scores, own_labels = part_scores[i, part], part_labels[i, part]
            clear(own_scores, own_labels)
            bar = own_scores[own_scores.shape[0] - 1]
            for label in range(part * n_labels // parts, (part + 1) * n_labels // parts):
                score = aggregate(how, beside, i, places[label], n, 1, 0, 1)
                if score > bar:  # labels ascend, so an equal one stands behind
                    insert(score, label, own_scores, own_labels)
                    bar = own_scores[own_scores.shape[0] - 1]


@kernel(lambda part_scores, part_labels, best_scores, best_labels: best_scores.shape[0])
def _join_parts(part_scores, part_labels, best_scores, best_labels):
    """One list of each row's lists; one thread owns one row."""
    k = best_scores.shape[1]
    for i in range(cuda.grid(1), best_scores.shape[0], cuda.gridsize(1)):
        own_scores, own_labels = best_scores[i], best_labels[i]
        clear(own_scores, own_labels)
        for part in range(part_scores.shape[1]):
            for j in range(k):
                score, label = part_scores[i, part, j], part_labels[i, part, j]
                if label < 0 or not better(score, label, own_scores[k - 1], own_labels[k - 1]):
                    break
                insert(score, label, own_scores, own_labels)


def pruned(scores, places, offsets, order, top, least, how, best_scores, best_labels):
    """Best labels of every row among those with `least` buckets among the `top` best of a repetition, as on the CPU."""
    reps, n, buckets = scores.shape
    k = best_scores.shape[1]
    chosen_scores, chosen = _target.empty((n, reps, top), np.float32), _target.empty((n, reps, top), np.int32)
    _best_buckets(scores, chosen_scores, chosen)
    threads = min(_target.THREADS, SHARES)
    blocks = min(n, _target.BLOCKS, PARTS)
    part_scores, part_labels = _target.empty((blocks, threads, k), np.float32), _target.empty((blocks, threads, k), np.int32)
    seen = _target.empty((blocks, least + 1), np.int32)
    _best_candidates(scores, scores.reshape(scores.size), places, offsets, order, chosen_scores, chosen, least, how, part_scores,
                     part_labels, seen, best_scores, best_labels)


@kernel(lambda scores, chosen_scores, chosen: (scores.shape[1], scores.shape[0]))
def _best_buckets(scores, chosen_scores, chosen):
    """Best buckets of every row and repetition, best first; one thread owns one list."""
    row, rep = cuda.grid(2)
    rows, reps = cuda.gridsize(2)
    for r in range(rep, scores.shape[0], reps):
        for i in range(row, scores.shape[1], rows):
            own_scores, own = chosen_scores[i, r], chosen[i, r]
            clear(own_scores, own)
            bar = own_scores[own.size - 1]
            for b in range(scores.shape[2]):
                if scores[r, i, b] > bar:
                    insert(scores[r, i, b], b, own_scores, own)
                    bar = own_scores[own.size - 1]


@device
def is_chosen(scores, i, places, q, chosen_scores, chosen):
    """Whether the bucket of place q of a label is among the chosen ones of its repetition."""
    r = q * scores.shape[0] // places.size
    bucket = places[q] - r * scores.shape[2]
    last = chosen.shape[2] - 1
    return chosen[i, r, last] == bucket or better(scores[r, i, bucket], bucket, chosen_scores[i, r, last], chosen[i, r, last])


@device
def times_chosen(scores, i, places, first, chosen_scores, chosen):
    """How many buckets of a label are chosen; 0 if one before place `first` is, so that each candidate counts once."""
    count = 0
    for q in range(places.size):
        if is_chosen(scores, i, places, q, chosen_scores, chosen):
            if q < first:
                return 0
            count += 1
    return count


@device
def place_of(places, place):
    """Number of a place among a label's own."""
    q = 0
    while places[q] != place:
        q += 1
    return q


@block_kernel(lambda scores, flat, places, offsets, order, chosen_scores, chosen, least, how, part_scores, part_labels, seen, best_scores,
              best_labels: part_scores.shape[0], threads=lambda *arguments: arguments[9].shape[1])
def _best_candidates(scores, flat, places, offsets, order, chosen_scores, chosen, least, how, part_scores, part_labels, seen, best_scores,
                     best_labels):
    """Best labels of every row among its candidates; one block owns one row, and every thread of it a list of a part of them."""
    thread, threads, block = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x
    reps, n, buckets = scores.shape
    k = best_scores.shape[1]
    own_scores, own_labels, counts = part_scores[block, thread], part_labels[block, thread], seen[block]
    for i in range(block, n, cuda.gridDim.x):
        if thread == 0:
            for c in range(counts.size):
                counts[c] = 0
        clear(own_scores, own_labels)
        cuda.syncthreads()
        enough = 0
        for again in range(2):  # first count the candidates, then rank those that are seen often enough
            if again == 1:
                cuda.syncthreads()
                enough = least
                while enough > 1 and counts[enough] < k:
                    enough -= 1
            for r in range(reps):
                for c in range(chosen.shape[2]):
                    bucket = chosen[i, r, c]
                    if bucket < 0:
                        continue
                    for p in range(offsets[r, bucket] + thread, offsets[r, bucket + 1], threads):
                        label = order[r, p]
                        own = places[label]
                        times = times_chosen(scores, i, own, place_of(own, r * buckets + bucket), chosen_scores, chosen)
                        if again == 0:
                            for least_times in range(1, (times if times < least else least) + 1):
                                cuda.atomic.add(counts, least_times, 1)
                        elif times >= enough and times > 0:
                            score = aggregate_in(how, flat, i, own, reps, n, buckets)
                            if better(score, label, own_scores[k - 1], own_labels[k - 1]):
                                insert(score, label, own_scores, own_labels)
        cuda.syncthreads()
        if thread == 0:
            clear(best_scores[i], best_labels[i])
            for part in range(threads):
                for j in range(k):
                    score, label = part_scores[block, part, j], part_labels[block, part, j]
                    if label < 0 or not better(score, label, best_scores[i, k - 1], best_labels[i, k - 1]):
                        break
                    insert(score, label, best_scores[i], best_labels[i])
        cuda.syncthreads()


def of_shortlist(scores, places, shortlist, how, out):
    """Aggregate of every shortlisted label, 0 for -1."""
    _of_shortlist(scores, scores.reshape(scores.size), places, shortlist, how, out)


@kernel(lambda scores, flat, places, shortlist, how, out: (shortlist.shape[1], shortlist.shape[0]))
def _of_shortlist(scores, flat, places, shortlist, how, out):
    """One thread owns one number."""
    reps, n, buckets = scores.shape
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, shortlist.shape[0], rows):
        for q in range(column, shortlist.shape[1], columns):
            label = shortlist[i, q]
            out[i, q] = aggregate_in(how, flat, i, places[label], reps, n, buckets) if label >= 0 else np.float32(0.0)


@kernel(lambda scores, times, plus: scores.size)
def rescale(scores, times, plus):
    """scores = scores * times + plus; one thread owns one number. Only the device has this, the host uses NumPy."""
    for i in range(cuda.grid(1), scores.size, cuda.gridsize(1)):
        scores[i] = scores[i] * times + plus


@kernel(lambda labels, low, high, bad: labels.size)
def check_labels(labels, low, high, bad):
    """Set bad[0] unless all labels are from `low` to below `high`. Only the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), labels.size, cuda.gridsize(1)):
        if labels[i] < low or labels[i] >= high:
            bad[0] = 1
