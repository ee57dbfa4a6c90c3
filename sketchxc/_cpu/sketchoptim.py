"""Loops of optimizers whose moments are not arrays of the parameters' shape: sketches (depth, width, columns), and two vectors.

A sequence of rows is one thread's, column by column: no column waits for another, so threads own blocks of columns. Sixteen columns of a
row are in registers at a time, from the estimates of the moments through the rule of `optim` to the places that move by what has changed.
"""
import numpy as np
from numba import prange

from .._jit import inlined, loop_vector, serial, serial_vector
from .._scalar.optim import ADAGRAD, ADAM, moments, move, stepped
from .._scalar.sketch import cell, side
from .optim import LINE, decay, soften
from .vector import LANES, fill, fma, load_some, prefetch, smaller, span, store_some, where_below, where_same

SAME, CELL, BATCH = 0, 1, 2  # places in `sketchoptim.KINDS`
ONE = np.float32(1.0)
AHEAD = 512  # numbers of a row's block between the request for their memory and their turn, but 2 to 8 rows


@inlined
def lowest(table, at, j, count):
    """Smallest of the numbers at[r] + j, at[r] + j + 1, ... of the flat table, over r: lanes, of which `count` matter."""
    low = load_some(table, at[0] + j, count)
    for r in range(1, len(at)):
        low = smaller(load_some(table, at[r] + j, count), low)
    return low


@inlined
def middle(x, y, z):
    """Median of three, in lanes."""
    low, high = where_below(x, y, x, y), where_below(x, y, y, x)
    return where_below(z, low, low, where_below(high, z, high, z))


@inlined
def median(table, at, sides, j, count):
    """Median of 1, 3 or 5 numbers times their signs, as in `lowest`."""
    x = sides[0] * load_some(table, at[0] + j, count)
    if len(at) == 1:
        return x
    y, z = sides[1] * load_some(table, at[1] + j, count), sides[2] * load_some(table, at[2] + j, count)
    if len(at) == 3:
        return middle(x, y, z)
    u, w = sides[3] * load_some(table, at[3] + j, count), sides[4] * load_some(table, at[4] + j, count)
    low, high, other_low, other_high = where_below(x, y, x, y), where_below(x, y, y, x), where_below(z, u, z, u), where_below(z, u, u, z)
    return middle(w, where_below(other_low, low, low, other_low), where_below(high, other_high, high, other_high))


@inlined
def put(table, at, side, j, count, old, new):
    """Move the numbers that begin at at + j by what changed between the estimates `old` and `new`.

    A number that was the estimate itself becomes the new one, bit for bit."""
    line = load_some(table, at + j, count)
    store_some(table, at + j, count, where_same(side * line, old, side * new, fma(fill(side), new - old, line)))


@serial_vector
def put_shared(table, at, side, crowd, relax, floor, old, new):
    """`put` of a whole row for a place that `crowd` rows of a batch share, not below `floor`.

    Each of the rows answers only for its part of the decay `relax` of the numbers there."""
    back = relax * (ONE - ONE / np.float32(crowd))
    for j in range(0, old.size, LANES):
        count = min(LANES, old.size - j)
        before, after = load_some(old, j, count), load_some(new, j, count)
        if crowd == 1:
            put(table, at, side, j, count, before, after)
        else:
            moved = load_some(table, at + j, count) + side * ((after - before) + back * before)
            store_some(table, at + j, count, where_below(moved, fill(floor), fill(floor), moved))


@serial_vector
def advance_row(rule, own, kind, gradient, weights, m, at_m, sides, exact, v, at_v, kept):
    """`advance` of one row.

    at_m, at_v : tuples of where its numbers of either moment begin, with their signs, or None without the moment.  exact : whether the
    first moment is kept as it is.  kept : (4 * columns of the block,), estimates of the sketches before and after, for BATCH."""
    zero, size = np.float32(0.0), weights.size
    for j in range(0, size, LANES):
        count = min(LANES, size - j)
        g, old_m, old_v = load_some(gradient, j, count), fill(zero), fill(zero)
        if kind == CELL:
            if at_m is not None:
                for r in range(len(at_m)):
                    old_m = sides[r] * load_some(m, at_m[r] + j, count)
                    store_some(m, at_m[r] + j, count, sides[r] * (old_m + moments(rule, own, g, old_m, old_v)[0]))
                old_m = median(m, at_m, sides, j, count)
            if at_v is not None:
                for r in range(len(at_v)):
                    old_v = load_some(v, at_v[r] + j, count)
                    store_some(v, at_v[r] + j, count, old_v + moments(rule, own, g, old_m, old_v)[1])
                old_v = lowest(v, at_v, j, count)
            store_some(weights, j, count, load_some(weights, j, count) + move(rule, own, g, old_m, old_v))
            continue
        if at_m is not None:
            old_m = median(m, at_m, sides, j, count)
        if at_v is not None:
            old_v = lowest(v, at_v, j, count)
        after, new_m, new_v = stepped(rule, own, g, load_some(weights, j, count), old_m, old_v)
        store_some(weights, j, count, after)
        if kind == BATCH:
            store_some(kept, j, count, old_m)
            store_some(kept, size + j, count, new_m)
            store_some(kept, 2 * size + j, count, old_v)
            store_some(kept, 3 * size + j, count, new_v)
        if at_m is not None:
            if kind == SAME or exact:
                for r in range(len(at_m)):
                    put(m, at_m[r], sides[r], j, count, old_m, new_m)
        if at_v is not None:
            if kind == SAME:
                for r in range(len(at_v)):
                    put(v, at_v[r], ONE, j, count, old_v, new_v)


@inlined
def advance_one(rule, own, kind, gradient, weights, m, has_m, place, sides, v, has_v, at, kept):
    """`advance_row` with the moments that the rule has.  place : where the first moment is, or -1 if it is in places `at` of a sketch."""
    if has_m and place >= 0 and has_v:
        advance_row(ADAM, own, kind, gradient, weights, m, (place,), (ONE,), True, v, at, kept)  # which all with two moments are
    elif has_m and place >= 0:
        advance_row(rule, own, kind, gradient, weights, m, (place,), (ONE,), True, v, None, kept)
    elif has_m and has_v:
        advance_row(ADAM, own, kind, gradient, weights, m, at, sides, False, v, at, kept)
    elif has_m:
        advance_row(rule, own, kind, gradient, weights, m, at, sides, False, v, None, kept)
    else:
        advance_row(rule, own, kind, gradient, weights, m, None, None, False, v, at, kept)


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
def crowds(at, kind, size, columns):
    """[i, r]: number of the rows that share place at[i, r] of a flat table of that size, all in row r of it; nothing but for BATCH."""
    out = np.empty((at.shape[0] if kind == BATCH else 0, at.shape[1]), np.int64)
    load = np.zeros(size // columns if kind == BATCH else 0, np.int64)
    for i in range(out.shape[0]):
        for r in range(at.shape[1]):
            load[at[i, r] // columns] += 1
    for i in range(out.shape[0]):
        for r in range(at.shape[1]):
            out[i, r] = load[at[i, r] // columns]
    return out


@serial_vector
def advance(rule, hyper, kind, rows, grads, low, high, spots, signs, counts, weights, m, exact, v):
    """One step of the rule on the columns from `low` to `high` of the given rows.

    kind : SAME, CELL or BATCH; the first two write the sketches row after row, the last one when all rows have been read.
    spots, signs : (rows, depth) of `places`.  counts : (rows, depth) of `crowds` for BATCH.
    m : (depth, width, columns) or with `exact` (1, n, columns), the first moment as it is; columns 0 without one.  v : as the sketched m.
    """
    columns, depth, size = weights.shape[1], spots.shape[1], high - low
    flat_grads, flat_weights, flat_spots = grads.reshape(-1), weights.reshape(-1), spots.reshape(-1)
    own_m, own_v = m.reshape(-1), v.reshape(-1)
    has_m, has_v = m.shape[2] > 0, v.shape[2] > 0
    own_m, own_v = span(own_m, low * has_m, own_m.size - low * has_m), span(own_v, low * has_v, own_v.size - low * has_v)
    own = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4], hyper[5]
    kept = np.empty((rows.size if kind == BATCH else 1) * 4 * size, np.float32)  # estimates of rows before and after the step
    penalised = hyper[6] != np.float32(0.0) or hyper[7] != np.float32(0.0)
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
        place, here = rows[i] * columns if exact else -1, span(kept, 4 * size * i if kind == BATCH else 0, 4 * size)
        gradient, row = span(flat_grads, i * columns + low, size), span(flat_weights, rows[i] * columns + low, size)
        if penalised:  # asked once: a call with arrays costs as much as a short row
            decay(hyper, row)
        if depth == 3:
            advance_one(rule, own, kind, gradient, row, own_m, has_m, place, (signs[i, 0], signs[i, 1], signs[i, 2]), own_v, has_v,
                        (spots[i, 0], spots[i, 1], spots[i, 2]), here)
        elif depth == 1:
            advance_one(rule, own, kind, gradient, row, own_m, has_m, place, (signs[i, 0],), own_v, has_v, (spots[i, 0],), here)
        else:
            advance_one(rule, own, kind, gradient, row, own_m, has_m, place,
                        (signs[i, 0], signs[i, 1], signs[i, 2], signs[i, 3], signs[i, 4]), own_v, has_v,
                        (spots[i, 0], spots[i, 1], spots[i, 2], spots[i, 3], spots[i, 4]), here)
        if penalised:
            soften(hyper, row)
    if kind == BATCH:
        zero = np.float32(0.0)
        for i in range(rows.size):
            start = 4 * size * i
            old_m, new_m = span(kept, start, size), span(kept, start + size, size)
            old_v, new_v = span(kept, start + 2 * size, size), span(kept, start + 3 * size, size)
            for r in range(depth):
                if has_m and not exact:
                    put_shared(own_m, spots[i, r], signs[i, r], counts[i, r], hyper[1], np.float32(-np.inf), old_m, new_m)
                if has_v:
                    put_shared(own_v, spots[i, r], ONE, counts[i, r], zero if rule == ADAGRAD else hyper[2], zero, old_v, new_v)


@serial
def own_step(rule, hyper, kind, rows, grads, weights, m, exact, v, seeds):
    """`step` on the calling thread."""
    columns, width = weights.shape[1], v.shape[1]
    spots, signs = np.empty((rows.size, seeds.size), np.int64), np.empty((rows.size, seeds.size), np.float32)
    for i in range(rows.size):
        places(rows[i], seeds, width, columns, spots[i], signs[i])
    counts = crowds(spots, kind, seeds.size * width * columns, columns)
    advance(rule, hyper, kind, rows, grads, 0, columns, spots, signs, counts, weights, m, exact, v)


@loop_vector
def step(rule, hyper, kind, rows, grads, blocks, weights, m, exact, v, seeds):
    """One step of the rule on the given rows, whose places one thread each finds; then one thread owns a block of columns."""
    columns, width = weights.shape[1], v.shape[1]
    spots, signs = np.empty((rows.size, seeds.size), np.int64), np.empty((rows.size, seeds.size), np.float32)
    for i in prange(rows.size):
        places(rows[i], seeds, width, columns, spots[i], signs[i])
    counts = crowds(spots, kind, seeds.size * width * columns, columns)
    lines = -(-columns // LANES)
    for block in prange(blocks):
        low, high = lines * block // blocks * LANES, min(columns, lines * (block + 1) // blocks * LANES)
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
    numbers = hyper[0], hyper[1], hyper[2], hyper[3], hyper[4], hyper[5]
    added, v = np.zeros(columns, np.float64), np.zeros(columns, np.float32)
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
        decay(hyper, row)
        for j in range(0, columns, LANES):
            count = min(LANES, columns - j)
            own_v, new_m, g = load_some(v, j, count), zero, load_some(gradient, j, count)
            if m.shape[1] > 0:
                old_m = load_some(m[rows[i]], j, count)
                change, _ = moments(rule, numbers, g, old_m, own_v)
                new_m = old_m + change
                store_some(m[rows[i]], j, count, new_m)
            store_some(row, j, count, load_some(row, j, count) + move(rule, numbers, g, new_m, own_v))
        soften(hyper, row)
