"""Loops of optimizers whose moments are not arrays of the parameters' shape: sketches (depth, width, columns), and two vectors.

A sequence of rows is one thread's, column by column: no column waits for another, so threads own blocks of columns. The moments of a row
are read into buffers, the rule of `optim` takes its step on them, and the sketch is moved by what the step has changed.
"""
import numpy as np
from numba import prange

from .._jit import loop_vector, serial, serial_vector
from .._scalar.optim import ADAGRAD, MOMENTUM, NESTEROV, moments, move, softened
from .._scalar.sketch import cell, median3, median5
from .optim import LINE, descend_weights
from .sketch import locate
from .vector import prefetch

SAME, CELL, BATCH = 0, 1, 2  # places in `sketchoptim.KINDS`
AHEAD = 4  # rows between the request for their memory and their turn


@serial_vector
def read_low(table, at, first, last, out):
    """out = smallest of the numbers of the flat table that begin at the places `at`, from number `first` to `last` of them."""
    n = out.size
    line = table[at[first]:at[first] + n]
    for j in range(n):
        out[j] = line[j]
    for r in range(first + 1, last):
        line = table[at[r]:at[r] + n]
        for j in range(n):
            out[j] = line[j] if line[j] < out[j] else out[j]


@serial_vector
def read_median(table, at, first, last, sides, out):
    """out = median of the numbers of the flat table that begin at 1, 3 or 5 places, as in `read_low`, times their signs."""
    n = out.size
    a, p = table[at[first]:at[first] + n], sides[first]
    if last - first == 1:
        for j in range(n):
            out[j] = p * a[j]
        return
    b, c, q, s = table[at[1]:at[1] + n], table[at[2]:at[2] + n], sides[1], sides[2]
    if last - first == 3:
        for j in range(n):
            out[j] = median3(p * a[j], q * b[j], s * c[j])
        return
    d, e, t, u = table[at[3]:at[3] + n], table[at[4]:at[4] + n], sides[3], sides[4]
    for j in range(n):
        out[j] = median5(p * a[j], q * b[j], s * c[j], t * d[j], u * e[j])


@serial_vector
def write(table, at, first, last, sides, old, new):
    """Move the numbers at the places by what changed between the estimates `old` and `new`.

    A number that was the estimate itself becomes the new one, bit for bit."""
    n = old.size
    for r in range(first, last):
        line, side = table[at[r]:at[r] + n], sides[r]
        for j in range(n):
            line[j] = side * new[j] if side * line[j] == old[j] else line[j] + side * (new[j] - old[j])


@serial_vector
def write_shared(table, at, sides, counts, relax, floor, old, new):
    """`write` for places that rows of a batch share, not below `floor`.

    counts : rows at each place, of which every one answers only for its part of the decay `relax` of the number there."""
    n = old.size
    for r in range(at.size):
        if counts[r] == 1:
            write(table, at, r, r + 1, sides, old, new)
            continue
        line, side = table[at[r]:at[r] + n], sides[r]
        back = relax * (np.float32(1.0) - np.float32(1.0) / np.float32(counts[r]))
        for j in range(n):
            moved = line[j] + side * ((new[j] - old[j]) + back * old[j])
            line[j] = floor if moved < floor else moved


@serial_vector
def move_weights(rule, hyper, gradient, weights, m, v):
    """`descend_weights` for moments that are already new."""
    if hyper[6] != np.float32(0.0):
        for j in range(weights.size):
            weights[j] -= hyper[6] * weights[j]
    if rule == MOMENTUM:  # of its own, as in `descend`: product and sum must be rounded in the same way
        for j in range(weights.size):
            weights[j] += move(MOMENTUM, hyper, gradient[j], m[j], v[j])
    elif rule == NESTEROV:
        for j in range(weights.size):
            weights[j] += move(NESTEROV, hyper, gradient[j], m[j], v[j])
    else:
        for j in range(weights.size):
            weights[j] += move(rule, hyper, gradient[j], m[j], v[j])
    if hyper[7] != np.float32(0.0):
        for j in range(weights.size):
            weights[j] = softened(weights[j], hyper[7])


@serial
def places(row, seeds, width, columns, low, cells, sides, at):
    """Where column `low` of a row stands in every row of the flat table, with its signs."""
    locate(np.uint64(row), seeds, width, cells, sides)
    for r in range(at.size):
        at[r] = (r * width + cells[r]) * columns + low


@serial
def ask(table, first, size):
    """Ask for a run of memory before its turn."""
    for j in range(first, first + size, LINE):
        prefetch(table, j)


@serial
def crowds(rows, seeds, width, out):
    """out[i, r] = number of the rows that share the place of rows[i] in row r of the table."""
    for r in range(seeds.size):
        load = np.zeros(width, np.int64)
        for i in range(rows.size):
            load[cell(np.uint64(rows[i]), seeds[r], width)] += 1
        for i in range(rows.size):
            out[i, r] = load[cell(np.uint64(rows[i]), seeds[r], width)]


@serial_vector
def advance(rule, hyper, kind, rows, grads, low, high, weights, m, exact, v, seeds):
    """One step of the rule on the columns from `low` to `high` of the given rows.

    kind : SAME, CELL or BATCH; the first two write the sketches row after row, the last one when all rows have been read.
    m : (depth, width, columns) or with `exact` (1, n, columns), the first moment as it is; columns 0 without one.  v : as the sketched m.
    """
    columns, depth, size, width = weights.shape[1], seeds.size, high - low, v.shape[1]
    flat_grads, flat_weights, flat_m, flat_v = grads.reshape(-1), weights.reshape(-1), m.reshape(-1), v.reshape(-1)
    has_m, has_v = m.shape[2] > 0, v.shape[2] > 0
    infinite, zero = np.float32(-np.inf), np.float32(0.0)
    cells, sides, at = np.empty(depth, np.int64), np.empty(depth, np.float32), np.empty(depth, np.int64)
    ones, spare = np.ones(depth, np.float32), np.zeros(size, np.float32)
    at_m, sides_m = (np.empty(1, np.int64), ones[:1]) if exact else (at, sides)
    olds = np.zeros((max(1, rows.size) if kind == BATCH else 1, 2, size), np.float32)  # estimates before the step
    news = np.zeros((olds.shape[0], 2, size), np.float32)
    turns, places_m = depth if kind == CELL else 1, 1 if exact else depth
    old_m, old_v, new_m, new_v = olds[0, 0], olds[0, 1], news[0, 0], news[0, 1]
    for i in range(rows.size):
        if i + AHEAD < rows.size:
            places(rows[i + AHEAD], seeds, width, columns, low, cells, sides, at)
            ask(flat_weights, rows[i + AHEAD] * columns + low, size)
            if exact:
                ask(flat_m, rows[i + AHEAD] * columns + low, size)
            for r in range(depth):
                if has_m and not exact:
                    ask(flat_m, at[r], size)
                if has_v:
                    ask(flat_v, at[r], size)
        places(rows[i], seeds, width, columns, low, cells, sides, at)
        if exact:
            at_m[0] = rows[i] * columns + low
        if kind == BATCH:
            old_m, old_v, new_m, new_v = olds[i, 0], olds[i, 1], news[i, 0], news[i, 1]
        gradient, row = flat_grads[i * columns + low:i * columns + high], flat_weights[rows[i] * columns + low:rows[i] * columns + high]
        for r in range(turns):  # a place's own values, or the estimates from all places
            first, last = (r, r + 1) if kind == CELL else (0, depth)
            mine = has_m and (r == 0 or not exact)
            if mine:
                read_median(flat_m, at_m, first, min(last, places_m), sides_m, old_m)
            if has_v:
                read_low(flat_v, at, first, last, old_v)
            for j in range(size):
                new_m[j], new_v[j] = old_m[j], old_v[j]
            descend_weights(rule, hyper, gradient, spare if kind == CELL else row, new_m, new_v)
            if mine and (exact or kind != BATCH):
                write(flat_m, at_m, first, min(last, places_m), sides_m, old_m, new_m)
            if has_v and kind != BATCH:
                write(flat_v, at, first, last, ones, old_v, new_v)
        if kind == CELL:
            if has_m:
                read_median(flat_m, at_m, 0, places_m, sides_m, new_m)
            if has_v:
                read_low(flat_v, at, 0, depth, new_v)
            move_weights(rule, hyper, gradient, row, new_m, new_v)
    if kind == BATCH:
        counts = np.empty((rows.size, depth), np.int64)
        crowds(rows, seeds, width, counts)
        for i in range(rows.size):
            places(rows[i], seeds, width, columns, low, cells, sides, at)
            if has_m and not exact:
                write_shared(flat_m, at, sides, counts[i], hyper[1], infinite, olds[i, 0], news[i, 0])
            if has_v:
                write_shared(flat_v, at, ones, counts[i], zero if rule == ADAGRAD else hyper[2], zero, olds[i, 1], news[i, 1])


@loop_vector
def step(rule, hyper, kind, rows, grads, blocks, weights, m, exact, v, seeds):
    """`advance` of all columns; one thread owns a block of them."""
    columns = weights.shape[1]
    for block in prange(blocks):
        advance(rule, hyper, kind, rows, grads, columns * block // blocks, columns * (block + 1) // blocks, weights, m, exact, v, seeds)


@serial
def total(values):
    """Sum in float64."""
    found = 0.0
    for j in range(values.size):
        found += values[j]
    return found


@serial_vector
def rank_one(rule, hyper, rows, grads, weights, m, row_sums, column_sums):
    """One step of a rule with a second moment that is row_sums[i] * column_sums[j] / sum of either; sums first, then all moves."""
    columns = weights.shape[1]
    zero, relax, kept = np.float32(0.0), hyper[2], hyper[2]
    if rule == ADAGRAD:
        relax, kept = np.float32(1.0), zero
    added, v, new_m = np.zeros(columns, np.float64), np.zeros(columns, np.float32), np.zeros(columns, np.float32)
    before, touched = total(column_sums), 0.0
    for i in range(rows.size):
        own = 0.0
        for j in range(columns):
            square = np.float64(grads[i, j]) * grads[i, j]
            added[j] += square
            own += square
        touched += row_sums[rows[i]]
        row_sums[rows[i]] += relax * own - kept * row_sums[rows[i]]
    share = min(1.0, touched / before) if before > 0.0 else 0.0
    for j in range(columns):
        column_sums[j] += relax * added[j] - kept * column_sums[j] * share
    after = total(column_sums)
    for i in range(rows.size):
        row, gradient = weights[rows[i]], grads[i]
        factor = row_sums[rows[i]] / after if after > 0.0 else 0.0
        for j in range(columns):
            v[j] = factor * column_sums[j]
        if m.shape[1] > 0:
            own_m = m[rows[i]]
            for j in range(columns):
                dm, _ = moments(rule, hyper, gradient[j], own_m[j], v[j])
                own_m[j] += dm
                new_m[j] = own_m[j]
        move_weights(rule, hyper, gradient, row, new_m, v)
