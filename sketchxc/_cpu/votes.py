"""Counts of features with labels, the weights made of them, and the labels that a row's features vote for."""
import math

import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.crosses import ones
from .._scalar.order import sort

BLOCK = 4096  # features of a task


@serial
def count_feature(rows, start, stop, labels_ptr, labels, counts, marks, touched):
    """Add up the labels of a feature's rows in `counts`, list them ascending in `touched`; returns how many there are. `marks`, a bit for
    each label, is empty before and after."""
    found = 0
    for p in range(start, stop):
        row = rows[p]
        for q in range(labels_ptr[row], labels_ptr[row + 1]):
            label = labels[q]
            if counts[label] == 0:
                touched[found] = label
                found += 1
            counts[label] += 1
    if found <= 32:  # most lists are short
        sort(touched, found)
    elif found * 16 < marks.size:
        touched[:found] = np.sort(touched[:found])
    else:  # bits come out in order, without a comparison
        for q in range(found):
            marks[touched[q] >> 6] |= np.uint64(1) << np.uint64(touched[q] & 63)
        found = 0
        for word in range(marks.size):
            left = marks[word]
            marks[word] = np.uint64(0)
            while left != np.uint64(0):
                lowest = left & (~left + np.uint64(1))
                touched[found] = word * 64 + ones(lowest - np.uint64(1))
                found += 1
                left ^= lowest
    return found


@loop
def count_lengths(feature_ptr, rows, labels_ptr, labels, n_labels, lengths):
    """Number of different labels that each feature occurs with; one thread owns a block of features."""
    n = lengths.size
    for block in prange((n + BLOCK - 1) // BLOCK):
        marks = np.full(n_labels, -1, np.int64)
        for j in range(block * BLOCK, min(n, block * BLOCK + BLOCK)):
            found = 0
            for p in range(feature_ptr[j], feature_ptr[j + 1]):
                for q in range(labels_ptr[rows[p]], labels_ptr[rows[p] + 1]):
                    if marks[labels[q]] != j:
                        marks[labels[q]] = j
                        found += 1
            lengths[j] = found


@loop
def count(feature_ptr, rows, labels_ptr, labels, n_labels, indptr, out_labels, out_counts):
    """Labels of each feature, ascending, with the number of rows that hold both; one thread owns a block of features."""
    n = indptr.size - 1
    for block in prange((n + BLOCK - 1) // BLOCK):
        counts, touched = np.zeros(n_labels, np.int32), np.empty(n_labels, np.int32)
        marks = np.zeros((n_labels + 63) // 64, np.uint64)
        for j in range(block * BLOCK, min(n, block * BLOCK + BLOCK)):
            found = count_feature(rows, feature_ptr[j], feature_ptr[j + 1], labels_ptr, labels, counts, marks, touched)
            for q in range(found):
                out_labels[indptr[j] + q] = touched[q]
                out_counts[indptr[j] + q] = counts[touched[q]]
                counts[touched[q]] = 0


@serial
def merge_feature(labels_a, counts_a, a, a_end, labels_b, counts_b, b, b_end, write, labels, counts, place):
    """Merge two ascending lists into the place of the output, counts of equal labels added; without `write` only count. Returns the length
    of the result."""
    start = place
    while a < a_end or b < b_end:
        left = a < a_end and (b == b_end or labels_a[a] <= labels_b[b])
        right = b < b_end and (a == a_end or labels_b[b] <= labels_a[a])
        if write:
            labels[place] = labels_a[a] if left else labels_b[b]
            counts[place] = (counts_a[a] if left else 0) + (counts_b[b] if right else 0)
        place += 1
        a += left
        b += right
    return place - start


@loop
def merge(ptr_a, labels_a, counts_a, ptr_b, labels_b, counts_b, write, starts, labels, counts, lengths):
    """Length of each feature's merged list; with `write` also the list, from `starts` on. One thread owns one feature."""
    for j in prange(lengths.size):
        a, a_end, b, b_end = 0, 0, 0, 0
        if j < ptr_a.size - 1:
            a, a_end = ptr_a[j], ptr_a[j + 1]
        if j < ptr_b.size - 1:
            b, b_end = ptr_b[j], ptr_b[j + 1]
        lengths[j] = merge_feature(labels_a, counts_a, a, a_end, labels_b, counts_b, b, b_end, write, labels, counts, starts[j])


@loop
def weigh(indptr, labels, counts, feature_rows, label_shares, label_factors, feature_power, smoothing, expected, threshold, weights):
    """Weight of every counted pair: the count above chance over powers of the feature's and the label's frequency, 0 where it is below the
    threshold; one thread owns one feature."""
    for j in prange(indptr.size - 1):
        if indptr[j] == indptr[j + 1]:
            continue  # no row may hold the feature: with a smoothing of 0 its factor would be infinite
        factor = 1.0 / math.pow(feature_rows[j] + smoothing, feature_power)
        for p in range(indptr[j], indptr[j + 1]):
            above = counts[p] - expected * feature_rows[j] * label_shares[labels[p]]
            weight = np.float32(above * factor * label_factors[labels[p]])
            weights[p] = weight if weight >= threshold and weight > np.float32(0.0) else np.float32(0.0)


@loop
def trim(indptr, weights, keep, lengths):
    """Set all but the `keep` heaviest weights of each feature to 0, ties by the smaller label; lengths become the number left."""
    for j in prange(lengths.size):
        start, stop = indptr[j], indptr[j + 1]
        left = 0
        for p in range(start, stop):
            left += weights[p] > np.float32(0.0)
        if left > keep:
            bar = np.partition(weights[start:stop], stop - start - keep)[stop - start - keep]
            room = keep
            for p in range(start, stop):
                room -= weights[p] > bar
            for p in range(start, stop):
                if weights[p] < bar or (weights[p] == bar and room == 0):
                    weights[p] = np.float32(0.0)
                elif weights[p] == bar:
                    room -= 1
            left = keep
        lengths[j] = left


@loop
def largest(indptr, weights, tops):
    """Largest weight of each feature, 0 if it has none; one thread owns one feature."""
    for j in prange(tops.size):
        top = np.float32(0.0)
        for p in range(indptr[j], indptr[j + 1]):
            top = max(top, weights[p])
        tops[j] = top


@loop
def quantize(indptr, labels, weights, scales, starts, out_labels, out_weights):
    """Labels with a weight, and their weights as 1 to 255 parts of the feature's scale; one thread owns one feature."""
    for j in prange(scales.size):
        place = starts[j]
        for p in range(indptr[j], indptr[j + 1]):
            if weights[p] > np.float32(0.0):
                out_labels[place] = labels[p]
                out_weights[place] = min(255, max(1, int(round(weights[p] / scales[j]))))
                place += 1


@serial
def worse(score, label, other_score, other_label):
    """Whether a label ranks behind another: a lower score, or the same and a larger number."""
    return score < other_score or (score == other_score and label > other_label)


@serial
def sink(scores, labels, size, i):
    """Restore a heap whose root is its worst entry after entry i was replaced."""
    while True:
        child = 2 * i + 1
        if child >= size:
            return
        if child + 1 < size and worse(scores[child + 1], labels[child + 1], scores[child], labels[child]):
            child += 1
        if not worse(scores[child], labels[child], scores[i], labels[i]):
            return
        scores[i], scores[child] = scores[child], scores[i]
        labels[i], labels[child] = labels[child], labels[i]
        i = child


@serial
def select(sums, touched, found, scores, labels):
    """Best labels of a row, best first, and clear the sums."""
    size = min(found, scores.size)
    for q in range(size):
        scores[q], labels[q] = sums[touched[q]], touched[q]
    for i in range(size // 2 - 1, -1, -1):
        sink(scores, labels, size, i)
    for q in range(size, found):
        label = touched[q]
        if worse(scores[0], labels[0], sums[label], label):
            scores[0], labels[0] = sums[label], label
            sink(scores, labels, size, 0)
    for last in range(size - 1, 0, -1):  # the worst goes to the end of what is left
        scores[0], scores[last] = scores[last], scores[0]
        labels[0], labels[last] = labels[last], labels[0]
        sink(scores, labels, last, 0)
    for q in range(found):
        sums[touched[q]] = np.float32(0.0)


@loop
def candidates(starts, vote_labels, vote_weights, scales, n_labels, power, indptr, indices, values, labels, scores):
    """Best labels of every row by the sum of its features' votes; one thread owns a block of rows with its own sums."""
    n = labels.shape[0]
    for block in prange((n + 255) // 256):
        sums, touched = np.zeros(n_labels, np.float32), np.empty(n_labels, np.int32)
        for i in range(block * 256, min(n, block * 256 + 256)):
            found = 0
            for p in range(indptr[i], indptr[i + 1]):
                j = indices[p]
                if not values[p] > np.float32(0.0):
                    continue
                share = np.float32(math.pow(values[p], power)) * scales[j]
                if not share > np.float32(0.0):  # too small for float32; a sum of 0 stands for a label without a vote
                    continue
                for q in range(np.int64(starts[j]), np.int64(starts[j + 1])):
                    label = np.int64(vote_labels[q])
                    if sums[label] == np.float32(0.0):
                        touched[found] = label
                        found += 1
                    sums[label] += share * np.float32(vote_weights[q])
            labels[i] = -1
            scores[i] = np.float32(0.0)
            select(sums, touched, found, scores[i], labels[i])
