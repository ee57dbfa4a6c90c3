"""Grids of the votes: one block owns a row, and its threads share the labels of one feature after the other.

A feature names a label once, so no two threads add to one sum at a time, and the sums run in the order of the features, as on the CPU.
The best are found by their 64-bit keys, digit by digit (a radix select), not by lists in which one thread would sort.
"""
import math

import numpy as np

from . import _target
from ._target import block_kernel, cuda, device, kernel

BITS = 8  # of a digit of the selection
FOUND, PICKED, FIRST, COUNTERS = 0, 1, 2, 258  # places of shared memory: two numbers, then the counts of up to 256 digits
SCRATCH = 1 << 28  # bytes that the sums of all blocks take at most


def scratch(n, width):
    """Sums (blocks, width), zero, the same memory as int32, and touched places: for the blocks that share n rows."""
    blocks = max(1, min(n, _target.BLOCKS, SCRATCH // (8 * max(1, width))))
    sums = _target.zeros((blocks, max(1, width)), np.float32)
    return sums, sums.view(np.int32), _target.empty((blocks, max(1, width)), np.int32)


@device
def key_of(bits, number):
    """Keys in the order of the scores, which are above 0 and whose bits ascend as they do, then of falling numbers."""
    return (np.uint64(bits) << np.uint64(32)) | (np.uint64(0xFFFFFFFF) - np.uint64(number))


@device
def bar_of(bits, touched, found, size, counters):
    """A key that the `size` best of the `found` touched entries reach, and no others; by all threads of a block."""
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    bar, left = np.uint64(0), size
    for low in range(64 - BITS, -1, -BITS):
        for q in range(thread, 1 << BITS, threads):
            counters[FIRST + q] = 0
        cuda.syncthreads()
        shift = np.uint64(low)
        for q in range(thread, found, threads):
            key = key_of(bits[touched[q]], touched[q])
            # All digits before this one; two shifts, because one by 64 is undefined.
            if (key >> shift) >> np.uint64(BITS) == bar:
                cuda.atomic.add(counters, FIRST + np.int64((key >> shift) & np.uint64((1 << BITS) - 1)), 1)
        cuda.syncthreads()
        value = (1 << BITS) - 1
        while counters[FIRST + value] < left:
            left -= counters[FIRST + value]
            value -= 1
        bar = (bar << np.uint64(BITS)) | np.uint64(value)
        if counters[FIRST + value] == left:  # all that begin so are taken
            return bar << shift
        cuda.syncthreads()
    return bar


@device
def in_order(size, scores, numbers, other_scores, other_numbers):
    """Sort by falling score, then rising number: every entry counts those before it. The others are room; by all threads of a block."""
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    for q in range(thread, size, threads):
        place = 0
        for p in range(size):
            if scores[p] > scores[q] or (scores[p] == scores[q] and numbers[p] < numbers[q]):
                place += 1
        other_scores[place] = scores[q]
        other_numbers[place] = numbers[q]
    cuda.syncthreads()
    for q in range(thread, size, threads):
        scores[q] = other_scores[q]
        numbers[q] = other_numbers[q]
    cuda.syncthreads()


@device
def choose(sums, bits, touched, counters, scores, numbers):
    """The best of the touched sums, best first (ties: the smaller number), and clear the sums; returns how many. By all threads of a block,
    `counters` is shared memory (COUNTERS,)."""
    thread, threads = cuda.threadIdx.x, cuda.blockDim.x
    cuda.syncthreads()
    found = counters[FOUND]
    size = found if found < scores.size else scores.size
    bar = bar_of(bits, touched, found, size, counters) if size < found else np.uint64(0)
    if thread == 0:
        counters[PICKED] = 0
    cuda.syncthreads()
    for q in range(thread, found, threads):
        number = touched[q]
        if key_of(bits[number], number) >= bar:
            place = cuda.atomic.add(counters, PICKED, 1)
            scores[place] = sums[number]
            numbers[place] = number
    cuda.syncthreads()
    for q in range(thread, found, threads):
        sums[touched[q]] = np.float32(0.0)
    cuda.syncthreads()
    in_order(size, scores, numbers, sums, touched)
    for q in range(thread, size, threads):
        sums[q] = np.float32(0.0)
    cuda.syncthreads()
    return size


def candidates(starts, vote_labels, vote_weights, scales, n_labels, power, indptr, indices, values, labels, scores):
    """Best labels of every row by the sum of its features' votes."""
    _candidates(starts, vote_labels, vote_weights, scales, power, indptr, indices, values, *scratch(labels.shape[0], n_labels), labels,
                scores)


@block_kernel(lambda starts, vote_labels, vote_weights, scales, power, indptr, indices, values, sums, bits, touched, labels, scores:
              sums.shape[0])
def _candidates(starts, vote_labels, vote_weights, scales, power, indptr, indices, values, sums, bits, touched, labels, scores):
    """One block owns a row, with its own sums."""
    counters = cuda.shared.array(COUNTERS, np.int32)
    thread, threads, block, zero = cuda.threadIdx.x, cuda.blockDim.x, cuda.blockIdx.x, np.float32(0.0)
    own = sums[block]
    for i in range(block, labels.shape[0], cuda.gridDim.x):
        if thread == 0:
            counters[FOUND] = 0
        cuda.syncthreads()
        for p in range(indptr[i], indptr[i + 1]):
            j, share = indices[p], zero
            if values[p] > zero:
                share = np.float32(math.pow(values[p], power)) * scales[j]
            if share > zero:  # the same in all threads
                for q in range(np.int64(starts[j]) + thread, np.int64(starts[j + 1]), threads):
                    label = np.int64(vote_labels[q])
                    if own[label] == zero:
                        touched[block, cuda.atomic.add(counters, FOUND, 1)] = label
                    own[label] += share * np.float32(vote_weights[q])
                cuda.syncthreads()
        found = choose(own, bits[block], touched[block], counters, scores[i], labels[i])
        for q in range(found + thread, labels.shape[1], threads):
            labels[i, q] = -1
            scores[i, q] = zero
        cuda.syncthreads()


@kernel(lambda labels, marks: labels.shape[0])
def complete_rows(labels, marks):
    """Labels that a row of all labels lacks in its empty places, ascending; `marks`, as many, are 0 before. One thread owns one row; only
    the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), labels.shape[0], cuda.gridsize(1)):
        for q in range(labels.shape[1]):
            if labels[i, q] >= 0:
                marks[i, labels[i, q]] = 1
        label = 0
        for q in range(labels.shape[1]):
            if labels[i, q] < 0:
                while marks[i, label] == 1:
                    label += 1
                labels[i, q] = label
                label += 1
