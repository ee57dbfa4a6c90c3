"""Grids of optimizers whose moments are sketches or of rank one.

A sequence of rows is one thread's, which owns a column of the weights and of the sketches, so the order is the documented one and nothing
is atomic. What the rows of a batch share is summed over all of them by kernels of their own.
"""
import numpy as np

from .._scalar import optim as _scalar
from .._scalar import sketch as _sketch_scalar
from . import _target
from ._target import block_kernel, cuda, device, empty, kernel, on_device
from .sketch import lowest, middle, read

ADAGRAD = _scalar.ADAGRAD
_device = on_device(_scalar)
move, moments, softened = _device.move, _device.moments, _device.softened
cell, side = on_device(_sketch_scalar).cell, on_device(_sketch_scalar).side
SAME, CELL, BATCH = 0, 1, 2  # places in `sketchoptim.KINDS`
MOST = 1024  # threads of any block


@device
def put(table, seeds, key, r, j, signed, old, new):
    """Move the number of a row in row r of a sketch by what changed between `old` and `new`; the estimate itself becomes the new one."""
    place = cell(key, seeds[r], table.shape[1])
    minus = signed and side(key, seeds[r]) < 0
    value = -table[r, place, j] if minus else table[r, place, j]
    value = new if value == old else value + (new - old)
    table[r, place, j] = -value if minus else value


@device
def put_shared(table, seeds, key, r, j, signed, count, relax, floor, old, new):
    """`put` for a place that `count` rows of a batch share, not below `floor`; each answers for its part of the decay `relax` there."""
    if count == 1:
        put(table, seeds, key, r, j, signed, old, new)
    else:
        place = cell(key, seeds[r], table.shape[1])
        change = (new - old) + relax * (np.float32(1.0) - np.float32(1.0) / np.float32(count)) * old
        change = -change if signed and side(key, seeds[r]) < 0 else change
        moved = table[r, place, j] + change
        table[r, place, j] = floor if moved < floor else moved


@device
def shrunk(hyper, weight, change):
    """A weight that first loses the share hyper[6], then changes, and afterwards loses the amount hyper[7]."""
    weight = weight - hyper[6] * weight + change
    return softened(weight, hyper[7]) if hyper[7] != np.float32(0.0) else weight


def step(rule, hyper, kind, rows, grads, blocks, weights, m, exact, v, seeds):
    """One step of the rule on the given rows; kinds and moments as on the CPU, `blocks` is of no use here."""
    k, columns, depth = rows.size, weights.shape[1], seeds.size
    if kind != BATCH:
        _step(rule, hyper, kind, rows, grads, weights, m, exact, v, seeds, empty((1, 4, columns), np.float32))
        return
    kept = empty((k, 4, columns), np.float32)  # moments of each row before and after
    loads, counts = _target.zeros((depth, v.shape[1]), np.int32), empty((k, depth), np.int32)
    _step(rule, hyper, kind, rows, grads, weights, m, exact, v, seeds, kept)
    _loads(rows, seeds, loads)
    _counts(rows, seeds, loads, counts)
    _shared(hyper, rows, m, exact, v, seeds, np.float32(0.0 if rule == ADAGRAD else 1.0), kept, counts)


@kernel(lambda rule, hyper, kind, rows, grads, weights, m, exact, v, seeds, kept: weights.shape[1])
def _step(rule, hyper, kind, rows, grads, weights, m, exact, v, seeds, kept):
    """One thread owns each column, row after row; a BATCH leaves the moments in `kept` and the sketches as they are."""
    has_m, has_v, zero = m.shape[2] > 0, v.shape[2] > 0, np.float32(0.0)
    for j in range(cuda.grid(1), weights.shape[1], cuda.gridsize(1)):
        for i in range(rows.size):
            row, g = rows[i], grads[i, j]
            key = np.uint64(row)
            new_m, new_v = zero, zero
            if kind == CELL:
                for r in range(seeds.size):
                    old_m = zero
                    if has_m:
                        old_m = m[0, row, j] if exact else read(m, seeds, key, r, j, True)
                    old_v = read(v, seeds, key, r, j, False) if has_v else zero
                    dm, dv = moments(rule, hyper, g, old_m, old_v)
                    if has_m and not exact:
                        put(m, seeds, key, r, j, True, old_m, old_m + dm)
                    if has_m and exact and r == 0:
                        new_m = old_m + dm
                    if has_v:
                        put(v, seeds, key, r, j, False, old_v, old_v + dv)
                if has_m and not exact:
                    new_m = middle(m, seeds, key, j)
                if has_v:
                    new_v = lowest(v, seeds, key, j)
            else:
                old_m, old_v = zero, zero
                if has_m:
                    old_m = m[0, row, j] if exact else middle(m, seeds, key, j)
                if has_v:
                    old_v = lowest(v, seeds, key, j)
                dm, dv = moments(rule, hyper, g, old_m, old_v)
                new_m, new_v = old_m + dm, old_v + dv
                if kind == BATCH:
                    kept[i, 0, j], kept[i, 1, j], kept[i, 2, j], kept[i, 3, j] = old_m, new_m, old_v, new_v
                else:
                    for r in range(seeds.size):
                        if has_m and not exact:
                            put(m, seeds, key, r, j, True, old_m, new_m)
                        if has_v:
                            put(v, seeds, key, r, j, False, old_v, new_v)
            if has_m and exact:
                m[0, row, j] = new_m
            weights[row, j] = shrunk(hyper, weights[row, j], move(rule, hyper, g, new_m, new_v))


@kernel(lambda rows, seeds, loads: (rows.size, seeds.size))
def _loads(rows, seeds, loads):
    """Number of the rows of a batch at each place of each row of a sketch."""
    first, row = cuda.grid(2)
    step, many = cuda.gridsize(2)
    for r in range(row, seeds.size, many):
        for i in range(first, rows.size, step):
            cuda.atomic.add(loads, (r, cell(np.uint64(rows[i]), seeds[r], loads.shape[1])), 1)


@kernel(lambda rows, seeds, loads, counts: (rows.size, seeds.size))
def _counts(rows, seeds, loads, counts):
    """`_loads` of the places of each row of the batch; one thread owns each."""
    first, row = cuda.grid(2)
    step, many = cuda.gridsize(2)
    for r in range(row, seeds.size, many):
        for i in range(first, rows.size, step):
            counts[i, r] = loads[r, cell(np.uint64(rows[i]), seeds[r], loads.shape[1])]


@kernel(lambda hyper, rows, m, exact, v, seeds, decays, kept, counts: kept.shape[2])
def _shared(hyper, rows, m, exact, v, seeds, decays, kept, counts):
    """Write the sketches of a batch; one thread owns each column, row after row."""
    for j in range(cuda.grid(1), kept.shape[2], cuda.gridsize(1)):
        for i in range(rows.size):
            key = np.uint64(rows[i])
            for r in range(seeds.size):
                if m.shape[2] > 0 and not exact:
                    put_shared(m, seeds, key, r, j, True, counts[i, r], hyper[1], np.float32(-np.inf), kept[i, 0, j], kept[i, 1, j])
                if v.shape[2] > 0:
                    put_shared(v, seeds, key, r, j, False, counts[i, r], decays * hyper[2], np.float32(0.0), kept[i, 2, j], kept[i, 3, j])


def rank_one(rule, hyper, rows, grads, weights, m, row_sums, column_sums):
    """One step of a rule with a second moment that is row_sums[i] * column_sums[j] / sum of either; sums first, then all moves."""
    sums = _target.zeros(3, np.float64)  # of the columns before, of the rows of the batch before, of the columns after
    decay = np.float64(0.0 if rule == ADAGRAD else 1.0)
    _total(column_sums, sums, 0)
    touched = empty(rows.size, np.float32)
    _rows(hyper, rows, grads, row_sums, decay, touched)
    _total(touched, sums, 1)
    _columns(hyper, grads, column_sums, decay, sums)
    _total(column_sums, sums, 2)
    _rank_one(rule, hyper, rows, grads, weights, m, row_sums, column_sums, sums)


@block_kernel(lambda values, out, place: 1)
def _total(values, out, place):
    """Sum in float64, in a fixed order; every thread of the block adds up every so-many-th value, the first one all of these sums."""
    parts = cuda.shared.array(MOST, np.float64)
    own = 0.0
    for i in range(cuda.threadIdx.x, values.size, cuda.blockDim.x):
        own += np.float64(values[i])
    parts[cuda.threadIdx.x] = own
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        for t in range(1, cuda.blockDim.x):
            own += parts[t]
        out[place] = own


@kernel(lambda hyper, rows, grads, row_sums, decay, touched: rows.size)
def _rows(hyper, rows, grads, row_sums, decay, touched):
    """Sums of the squares of the rows of the batch into `row_sums`, whose old values stay in `touched`; one thread owns each row."""
    for i in range(cuda.grid(1), rows.size, cuda.gridsize(1)):
        own = 0.0
        for j in range(grads.shape[1]):
            own += np.float64(grads[i, j]) * np.float64(grads[i, j])
        before = row_sums[rows[i]]
        touched[i] = before
        relax = decay * np.float64(hyper[2]) + (1.0 - decay)
        row_sums[rows[i]] = np.float64(before) + (relax * own - decay * np.float64(hyper[2]) * np.float64(before))


@kernel(lambda hyper, grads, column_sums, decay, sums: grads.shape[1])
def _columns(hyper, grads, column_sums, decay, sums):
    """Sums of the squares of the columns into `column_sums`, which lose what the batch's rows lose; one thread owns each column."""
    share = sums[1] / sums[0] if sums[0] > 0.0 else 0.0
    share = 1.0 if share > 1.0 else share
    relax = decay * np.float64(hyper[2]) + (1.0 - decay)
    for j in range(cuda.grid(1), grads.shape[1], cuda.gridsize(1)):
        added = 0.0
        for i in range(grads.shape[0]):
            added += np.float64(grads[i, j]) * np.float64(grads[i, j])
        before = np.float64(column_sums[j])
        column_sums[j] = before + (relax * added - decay * np.float64(hyper[2]) * before * share)


@kernel(lambda rule, hyper, rows, grads, weights, m, row_sums, column_sums, sums: (weights.shape[1], rows.size))
def _rank_one(rule, hyper, rows, grads, weights, m, row_sums, column_sums, sums):
    """Moves of the weights; one thread owns each."""
    column, first = cuda.grid(2)
    columns, many = cuda.gridsize(2)
    for i in range(first, rows.size, many):
        row = rows[i]
        factor = np.float64(row_sums[row]) / sums[2] if sums[2] > 0.0 else 0.0
        for j in range(column, weights.shape[1], columns):
            v, new_m = np.float32(factor * np.float64(column_sums[j])), np.float32(0.0)
            if m.shape[1] > 0:
                dm, _ = moments(rule, hyper, grads[i, j], m[row, j], v)
                new_m = m[row, j] + dm
                m[row, j] = new_m
            weights[row, j] = shrunk(hyper, weights[row, j], move(rule, hyper, grads[i, j], new_m, v))


@kernel(lambda values, factor: values.size)
def scale(values, factor):
    """Multiply every number; one thread owns each. Only the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), values.size, cuda.gridsize(1)):
        values[i] *= factor
