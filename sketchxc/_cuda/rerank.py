"""Grids of the low-rank factors: scores of shortlists, training, and the choice of the answers from all that is known of a shortlist.

A repetition of the training is one chain of steps, so one block owns it and its threads share the numbers of the vectors: the same steps
as on the CPU, on as many processors of the device as there are repetitions.
"""
import math

import numpy as np

from .._scalar import hashing as _hashing
from .._scalar import loss as _loss
from .._scalar import rerank as _scalar
from . import _target
from ._target import block_kernel, cuda, device, kernel, on_device
from .decode import SHARES, joined

cell, mix64 = on_device(_hashing).cell, on_device(_hashing).mix64
exp32, draw = on_device(_loss).exp32, on_device(_scalar).draw
ROOM = 1 << 28  # bytes that the vectors of a piece of the rows take at most


@device
def place_of(column, seed, width, hashed):
    """Table row of a column: the column itself, or hashed into `width` cells."""
    return cell(np.uint64(column), seed, width) if hashed else np.int64(column)


def scores(features, labels, feature_scales, label_scales, scaled, seeds, hashed, indptr, indices, values, shortlist, out):
    """Mean over the repetitions of the score of every shortlisted label, minus infinity for -1."""
    reps, _, dim = features.shape
    n = out.shape[0]
    piece = max(1, min(n, ROOM // (4 * reps * dim)))
    hidden = _target.empty((reps, piece, dim), np.float32)
    for first in range(0, n, piece):
        stop = min(n, first + piece)
        _vectors(features, feature_scales, scaled, seeds, hashed, indptr[first:stop + 1], indices, values, hidden)
        _products(hidden, labels, label_scales, scaled, shortlist[first:stop], out[first:stop])


@kernel(lambda features, scales, scaled, seeds, hashed, indptr, indices, values, hidden:
        (hidden.shape[2], indptr.size - 1, hidden.shape[0]))
def _vectors(features, scales, scaled, seeds, hashed, indptr, indices, values, hidden):
    """hidden[r, i] = sum of the vectors of the features of row i times their values; one thread owns one number."""
    column, row, rep = cuda.grid(3)
    columns, rows, reps = cuda.gridsize(3)
    for r in range(rep, hidden.shape[0], reps):
        for i in range(row, indptr.size - 1, rows):
            for j in range(column, hidden.shape[2], columns):
                total = np.float32(0.0)
                for p in range(indptr[i], indptr[i + 1]):
                    place = place_of(indices[p], seeds[r], features.shape[1], hashed)
                    x = values[p] * scales[r, place] if scaled else values[p]
                    total += x * np.float32(features[r, place, j])
                hidden[r, i, j] = total


@kernel(lambda hidden, labels, scales, scaled, shortlist, out: (out.shape[1], out.shape[0]))
def _products(hidden, labels, scales, scaled, shortlist, out):
    """One thread owns one score."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, out.shape[0], rows):
        for c in range(column, out.shape[1], columns):
            label, total = shortlist[i, c], np.float32(0.0)
            for r in range(labels.shape[0] if label >= 0 else 0):
                score = np.float32(0.0)
                for j in range(labels.shape[2]):
                    score += np.float32(labels[r, label, j]) * hidden[r, i, j]
                total += score * scales[r, label] if scaled else score
            out[i, c] = total / np.float32(labels.shape[0]) if label >= 0 else np.float32(-math.inf)


@device
def softmax_slopes(scores, count, positives):
    """Scores of one step become the slopes of its loss, upward, as on the CPU; returns the loss."""
    top, picked, mass = scores[0], np.float32(0.0), np.float32(0.0)
    for k in range(count):
        top = scores[k] if scores[k] > top else top
        picked += scores[k] if k < positives else np.float32(0.0)
    for k in range(count):
        scores[k] = exp32(scores[k] - top)
        mass += scores[k]
    root = np.float32(math.sqrt(np.float32(positives)))
    target = root / np.float32(positives)
    for k in range(count):
        scores[k] = (target if k < positives else np.float32(0.0)) - scores[k] * (root / mass)
    return root * (top + np.float32(math.log(mass)) - picked / np.float32(positives))


@device
def fewer(sums, picked, slopes, steps, count, rate):
    """Labels whose slope is worth a step, in front, with the sizes of their steps; returns how many."""
    kept = 0
    for k in range(count):
        slope, label = slopes[k], picked[k]
        if abs(slope) >= np.float32(1e-3):
            sums[label] += slope * slope
            picked[kept] = label
            slopes[kept] = slope
            steps[kept] = rate * slope / np.float32(math.sqrt(sums[label]))
            kept += 1
    return kept


def train(features, labels, feature_sums, label_sums, keys, seeds, hashed, indptr, indices, values, label_ptr, label_ids, shortlist, order,
          lr, last_lr, near, far, losses):
    """One pass over the rows `order` in every repetition."""
    reps, _, dim = features.shape
    longest = _target.zeros(2, np.int64)  # features and labels of a row
    _longest(indptr, label_ptr, longest)
    most, most_labels = (int(count) for count in _target.download(longest))
    most_labels += near + far
    vectors, picked = _target.empty((reps, 2, dim), np.float32), _target.empty((reps, max(1, most_labels)), np.int64)
    steps = _target.empty((reps, 3, max(1, most, most_labels)), np.float32)
    _train(features, labels, feature_sums, label_sums, keys, seeds, hashed, indptr, indices, values, label_ptr, label_ids, shortlist, order,
           lr, last_lr, near, far, vectors, picked, steps, losses)


@kernel(lambda indptr, label_ptr, longest: indptr.size - 1)
def _longest(indptr, label_ptr, longest):
    """Most features and labels of a row; one thread owns one row."""
    for i in range(cuda.grid(1), indptr.size - 1, cuda.gridsize(1)):
        cuda.atomic.max(longest, 0, indptr[i + 1] - indptr[i])
        cuda.atomic.max(longest, 1, label_ptr[i + 1] - label_ptr[i])


@block_kernel(lambda *arguments: arguments[0].shape[0])
def _train(features, labels, feature_sums, label_sums, keys, seeds, hashed, indptr, indices, values, label_ptr, label_ids, shortlist, order,
           lr, last_lr, near, far, vectors, picked, steps, losses):
    """One block owns a repetition; each of its threads numbers of the vectors, or labels, or features of a row."""
    share = cuda.shared.array(SHARES, np.float32)
    counts = cuda.shared.array(1, np.int64)  # on a line of its own: the simulator tells them apart by their lines
    thread, threads, dim, total = cuda.threadIdx.x, cuda.blockDim.x, features.shape[2], 0.0
    for r in range(cuda.blockIdx.x, features.shape[0], cuda.gridDim.x):
        hidden, gradient, own, slopes, moves, pushes = vectors[r, 0], vectors[r, 1], picked[r], steps[r, 0], steps[r, 1], steps[r, 2]
        for t in range(order.size):
            i = order[t]
            first, last, positives = indptr[i], indptr[i + 1], label_ptr[i + 1] - label_ptr[i]
            if first == last or positives == 0:
                continue
            rate = np.float32(lr + (last_lr - lr) * t / order.size)
            if thread == 0:
                counts[0] = draw(mix64(keys[r] ^ np.uint64(t)), label_ids, label_ptr[i], positives, shortlist, i, near, far,
                                 labels.shape[1], own)
            for j in range(thread, dim, threads):
                vector = np.float32(0.0)
                for p in range(first, last):
                    vector += values[p] * features[r, place_of(indices[p], seeds[r], features.shape[1], hashed), j]
                hidden[j] = vector
            cuda.syncthreads()
            count = counts[0]
            for k in range(thread, count, threads):
                score = np.float32(0.0)
                for j in range(dim):
                    score += labels[r, own[k], j] * hidden[j]
                slopes[k] = score
            cuda.syncthreads()
            if thread == 0:
                total += softmax_slopes(slopes, count, positives)
                counts[0] = fewer(label_sums[r], own, slopes, moves, count, rate)
            cuda.syncthreads()
            size = np.float32(0.0)
            for j in range(thread, dim, threads):
                vector = np.float32(0.0)
                for k in range(counts[0]):
                    before = labels[r, own[k], j]
                    vector += slopes[k] * before
                    labels[r, own[k], j] = before + moves[k] * hidden[j]
                gradient[j] = vector
                size += vector * vector
            size = np.float32(4.0) / np.float32(dim) * joined(share, size, False)
            if thread == 0:
                for p in range(first, last):  # cells may meet, so one after the other
                    place = place_of(indices[p], seeds[r], features.shape[1], hashed)
                    feature_sums[r, place] += values[p] * values[p] * size
                    pushes[p - first] = rate * values[p] / np.float32(math.sqrt(feature_sums[r, place]))
            cuda.syncthreads()
            for j in range(thread, dim, threads):
                for p in range(first, last):
                    features[r, place_of(indices[p], seeds[r], features.shape[1], hashed), j] += pushes[p - first] * gradient[j]
            cuda.syncthreads()
        if thread == 0:
            losses[r] = total


@kernel(lambda values, floor, weights, part, shortlist, out: (out.shape[1], out.shape[0]))
def add_part(values, floor, weights, part, shortlist, out):
    """Add weights[part] times what is known of every shortlisted label, or with a `floor` its logarithm, to its score (float64). One thread
    owns one number; only the device has this, the host asks NumPy."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, out.shape[0], rows):
        for c in range(column, out.shape[1], columns):
            if shortlist[i, c] >= 0:
                value = np.float32(values[i, c])
                if floor > np.float32(0.0):
                    value = math.log((value if value > np.float32(0.0) else np.float32(0.0)) + floor)
                out[i, c] += weights[part] * np.float64(value)


@kernel(lambda scores, shortlist, calibration, gains, best_labels, best_scores, worth: best_labels.shape[0])
def answers(scores, shortlist, calibration, gains, best_labels, best_scores, worth):
    """Best shortlisted labels by score, or by probability times gain, equal ones in their order; `worth` is room for that of the best. One
    thread owns one row; only the device has this."""
    for i in range(cuda.grid(1), best_labels.shape[0], cuda.gridsize(1)):
        last = best_labels.shape[1] - 1
        for q in range(last + 1):
            best_labels[i, q], best_scores[i, q], worth[i, q] = -1, np.float32(-math.inf), np.float32(-math.inf)
        for c in range(shortlist.shape[1]):
            label, score = shortlist[i, c], np.float32(scores[i, c])
            if label < 0:
                continue
            own = score
            if gains.size > 0:
                own = np.float32(1.0 / (1.0 + math.exp(-(calibration[0] * score + calibration[1])))) * gains[label]
            if own > worth[i, last]:
                q = last
                while q > 0 and own > worth[i, q - 1]:
                    best_labels[i, q], best_scores[i, q], worth[i, q] = best_labels[i, q - 1], best_scores[i, q - 1], worth[i, q - 1]
                    q -= 1
                best_labels[i, q], best_scores[i, q], worth[i, q] = label, score, own


@kernel(lambda scores, shortlist, among, size: scores.shape[0])
def apart(scores, shortlist, among, size):
    """Scores rounded to float32, less `among` times the logarithm of the sum of exp(score) over the first `size` places that hold a label.
    One thread owns one row; only the device has this."""
    for i in range(cuda.grid(1), scores.shape[0], cuda.gridsize(1)):
        top, mass = -math.inf, 0.0
        for c in range(shortlist.shape[1]):
            scores[i, c] = np.float32(scores[i, c])
            if c < size and shortlist[i, c] >= 0 and scores[i, c] > top:
                top = scores[i, c]
        for c in range(shortlist.shape[1]):
            if c < size and shortlist[i, c] >= 0:
                mass += math.exp(scores[i, c] - top)
        for c in range(shortlist.shape[1]):
            if mass > 0.0:
                scores[i, c] -= among * (top + math.log(mass))


@kernel(lambda shortlist, label_rows: (shortlist.shape[1], shortlist.shape[0]))
def drop_erased(shortlist, label_rows):
    """-1 in place of the labels that have a negative number of rows; one thread owns one. Only the device has this."""
    column, row = cuda.grid(2)
    columns, rows = cuda.gridsize(2)
    for i in range(row, shortlist.shape[0], rows):
        for c in range(column, shortlist.shape[1], columns):
            if shortlist[i, c] >= 0 and label_rows[shortlist[i, c]] < 0:
                shortlist[i, c] = -1
