"""Loops of optimizers whose moments are not arrays of the parameters' shape: sketches (depth, width, columns), and two vectors.

A sequence of rows is one thread's, column by column: no column waits for another, so threads own blocks of columns. The moments of a row
are read into buffers, the rule of `optim` takes its step on them, and the sketch is moved by what the step has changed.
"""
import numpy as np
from numba import prange

from .._jit import loop_vector, serial, serial_vector
from .._scalar.optim import ADAGRAD, MOMENTUM, NESTEROV, moments, move, softened
from .._scalar.sketch import cell, median3, median5, side
from .optim import LINE, descend_weights
from .vector import LANES, fill, fma, load, prefetch, smaller, span, store, times, where_below, where_same

SAME, CELL, BATCH = 0, 1, 2  # places in `sketchoptim.KINDS`
AHEAD = 512  # numbers of a row's block between the request for their memory and their turn, but 2 to 8 rows


@serial_vector
def read_low(table, at, first, last, out, copy):
    """out = copy = smallest of the numbers of the flat table that begin at the places `at`, from number `first` to `last` of them."""
    j = 0
    while j + LANES <= out.size:
        low = load(table, at[first] + j)
        for r in range(first + 1, last):
            low = smaller(load(table, at[r] + j), low)
        store(out, j, low)
        store(copy, j, low)
        j += LANES
    for k in range(j, out.size):
        number = table[at[first] + k]
        for r in range(first + 1, last):
            number = table[at[r] + k] if table[at[r] + k] < number else number
        out[k] = number
        copy[k] = number


@serial_vector
def read_median(table, at, first, last, sides, out, copy):
    """out = copy = median of the numbers of the flat table that begin at 1, 3 or 5 places, as in `read_low`, times their signs."""
    n, j = out.size, 0
    p = sides[first]
    if last - first == 1:
        line = span(table, at[first], n)
        for j in range(n):
            out[j] = p * line[j]
            copy[j] = p * line[j]
        return
    q, s = sides[1], sides[2]
    if last - first == 5:
        a, b, c, t, u = span(table, at[0], n), span(table, at[1], n), span(table, at[2], n), sides[3], sides[4]
        d, e = span(table, at[3], n), span(table, at[4], n)
        for j in range(n):
            out[j] = median5(p * a[j], q * b[j], s * c[j], t * d[j], u * e[j])
            copy[j] = out[j]
        return
    while j + LANES <= n:
        x, y = times(fill(p), load(table, at[0] + j)), times(fill(q), load(table, at[1] + j))
        z = times(fill(s), load(table, at[2] + j))
        low, high = where_below(x, y, x, y), where_below(x, y, y, x)
        middle = where_below(z, low, low, where_below(high, z, high, z))
        store(out, j, middle)
        store(copy, j, middle)
        j += LANES
    for k in range(j, n):
        out[k] = median3(p * table[at[0] + k], q * table[at[1] + k], s * table[at[2] + k])
        copy[k] = out[k]


@serial_vector
def write(table, at, first, last, sides, old, new):
    """Move the numbers at the places by what changed between the estimates `old` and `new`.

    A number that was the estimate itself becomes the new one, bit for bit."""
    j = 0
    while j + LANES <= old.size:
        before, after = load(old, j), load(new, j)
        change = fma(fill(np.float32(-1.0)), before, after)
        for r in range(first, last):
            side, line = fill(sides[r]), load(table, at[r] + j)
            store(table, at[r] + j, where_same(times(side, line), before, times(side, after), fma(side, change, line)))
        j += LANES
    for k in range(j, old.size):
        for r in range(first, last):
            number, side = table[at[r] + k], sides[r]
            table[at[r] + k] = side * new[k] if side * number == old[k] else number + side * (new[k] - old[k])


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
def places(row, seeds, width, columns, at, sides):
    """Where a row stands in every row of the flat table, with its signs."""
    for r in range(seeds.size):
        at[r] = (r * width + cell(np.uint64(row), seeds[r], width)) * columns
        sides[r] = side(np.uint64(row), seeds[r])


@serial
def ask(table, first, size):
    """Ask for a run of memory before its turn."""
    for j in range(first, first + size, LINE):
        prefetch(table, j)


@serial
def crowds(at, size, columns, out):
    """out[i, r] = number of the rows that share place at[i, r] of a flat table of that size, all of them in row r of the table."""
    load = np.zeros(size // columns, np.int64)
    for r in range(at.shape[1]):
        for i in range(at.shape[0]):
            load[at[i, r] // columns] += 1
    for r in range(at.shape[1]):
        for i in range(at.shape[0]):
            out[i, r] = load[at[i, r] // columns]


@serial_vector
def advance(rule, hyper, kind, rows, grads, low, high, spots, signs, counts, weights, m, exact, v):
    """One step of the rule on the columns from `low` to `high` of the given rows.

    kind : SAME, CELL or BATCH; the first two write the sketches row after row, the last one when all rows have been read.
    spots, signs : (rows, depth) of `places`.  counts : (rows, depth) of `crowds` for BATCH.
    m : (depth, width, columns) or with `exact` (1, n, columns), the first moment as it is; columns 0 without one.  v : as the sketched m.
    """
    columns, depth, size = weights.shape[1], spots.shape[1], high - low
    flat_grads, flat_weights, flat_spots, flat_signs = grads.reshape(-1), weights.reshape(-1), spots.reshape(-1), signs.reshape(-1)
    own_m, own_v = m.reshape(-1), v.reshape(-1)
    has_m, has_v = m.shape[2] > 0, v.shape[2] > 0
    own_m, own_v = span(own_m, low * has_m, own_m.size - low * has_m), span(own_v, low * has_v, own_v.size - low * has_v)
    infinite, zero = np.float32(-np.inf), np.float32(0.0)
    ones, spare, alone = np.ones(depth, np.float32), np.zeros(size, np.float32), np.empty(1, np.int64)
    kept = np.empty((max(1, rows.size) if kind == BATCH else 1) * 4 * size, np.float32)  # estimates of rows before and after the step
    turns, places_m = depth if kind == CELL else 1, 1 if exact else depth
    ahead = max(2, min(8, AHEAD // max(1, size)))
    for i in range(rows.size):
        if i + ahead < rows.size:
            row = rows[i + ahead] * columns
            ask(flat_weights, row + low, size)
            if size < columns:
                ask(flat_grads, (i + ahead) * columns + low, size)
            if has_m and exact:
                ask(own_m, row, size)
            for r in range((i + ahead) * depth, (i + ahead + 1) * depth):
                if has_m and not exact:
                    ask(own_m, flat_spots[r], size)
                if has_v:
                    ask(own_v, flat_spots[r], size)
        alone[0] = rows[i] * columns
        at, sides = span(flat_spots, i * depth, depth), span(flat_signs, i * depth, depth)
        at_m, sides_m = alone if exact else at, ones if exact else sides
        start = 4 * i * size if kind == BATCH else 0
        old_m, old_v = span(kept, start, size), span(kept, start + size, size)
        new_m, new_v = span(kept, start + 2 * size, size), span(kept, start + 3 * size, size)
        gradient, row = span(flat_grads, i * columns + low, size), span(flat_weights, rows[i] * columns + low, size)
        for r in range(turns):  # a place's own values, or the estimates from all places
            first, last = (r, r + 1) if kind == CELL else (0, depth)
            mine = has_m and (r == 0 or not exact)
            if mine:
                read_median(own_m, at_m, first, min(last, places_m), sides_m, old_m, new_m)
            if has_v:
                read_low(own_v, at, first, last, old_v, new_v)
            descend_weights(rule, hyper, gradient, spare if kind == CELL else row, new_m, new_v)
            if mine and (exact or kind != BATCH):
                write(own_m, at_m, first, min(last, places_m), sides_m, old_m, new_m)
            if has_v and kind != BATCH:
                write(own_v, at, first, last, ones, old_v, new_v)
        if kind == CELL:
            if has_m:
                read_median(own_m, at_m, 0, places_m, sides_m, new_m, old_m)
            if has_v:
                read_low(own_v, at, 0, depth, new_v, old_v)
            move_weights(rule, hyper, gradient, row, new_m, new_v)
    if kind == BATCH:
        for i in range(rows.size):
            at, sides, start = span(flat_spots, i * depth, depth), span(flat_signs, i * depth, depth), 4 * i * size
            if has_m and not exact:
                write_shared(own_m, at, sides, counts[i], hyper[1], infinite, span(kept, start, size), span(kept, start + 2 * size, size))
            if has_v:
                relax = zero if rule == ADAGRAD else hyper[2]
                write_shared(own_v, at, ones, counts[i], relax, zero, span(kept, start + size, size), span(kept, start + 3 * size, size))


@serial
def plan(kind, rows, columns, v, seeds):
    """(spots, signs, counts) of `advance`."""
    spots, signs = np.empty((rows.size, seeds.size), np.int64), np.empty((rows.size, seeds.size), np.float32)
    width = v.shape[1]
    for i in range(rows.size):
        places(rows[i], seeds, width, columns, spots[i], signs[i])
    counts = np.empty((rows.size if kind == BATCH else 0, seeds.size), np.int64)
    if kind == BATCH:
        crowds(spots, seeds.size * width * columns, columns, counts)
    return spots, signs, counts


@serial
def own_step(rule, hyper, kind, rows, grads, weights, m, exact, v, seeds):
    """`step` on the calling thread."""
    spots, signs, counts = plan(kind, rows, weights.shape[1], v, seeds)
    advance(rule, hyper, kind, rows, grads, 0, weights.shape[1], spots, signs, counts, weights, m, exact, v)


@loop_vector
def step(rule, hyper, kind, rows, grads, blocks, weights, m, exact, v, seeds):
    """`advance` of all columns; one thread owns a block of them."""
    columns = weights.shape[1]
    spots, signs, counts = plan(kind, rows, columns, v, seeds)
    for block in prange(blocks):
        low, high = columns * block // blocks, columns * (block + 1) // blocks
        advance(rule, hyper, kind, rows, grads, low, high, spots, signs, counts, weights, m, exact, v)


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
