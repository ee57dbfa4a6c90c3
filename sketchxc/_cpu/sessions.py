"""Items of sessions like the one at hand, and the features of a session's last items."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .decode import insert

BLOCKS = 64  # of rows; each allocates one number per item and per session


@serial
def meet(own, start, stop, starts, holders, item_weights, fades, similar, met, seen):
    """Add up in `similar` the similarity of every session that holds an item of own[start:stop], list those in `met` and mark the items
    in `seen`; returns how many sessions were met. `fades` holds the weight of the last item, the one before it and so on."""
    found = 0
    for age in range(min(stop - start, fades.size)):
        item = own[stop - 1 - age]
        if item >= seen.size or seen[item]:
            continue
        seen[item] = True
        weight = fades[age] * item_weights[item]
        for p in range(starts[item], starts[item + 1]):
            session = holders[p]
            if similar[session] == np.float32(0.0):
                met[found] = session
                found += 1
            similar[session] += weight
    return found


@serial
def collect(indptr, items, session_weights, similar, met, count, seen, sums, touched):
    """Spread the similarity of every met session over its items by their distance to the last item in common; `similar` is zero again.
    Returns the number of items in `touched`."""
    found = 0
    for k in range(count):
        session = met[k]
        first, behind = indptr[session], indptr[session + 1]
        weight = similar[session] * session_weights[session]
        similar[session] = np.float32(0.0)
        last = behind - 1
        while not seen[items[last]]:
            last -= 1
        for p in range(first, behind):
            item = items[p]
            if sums[item] == np.float32(0.0):
                touched[found] = item
                found += 1
            sums[item] += weight / np.float32(1 + abs(p - last))
    return found


@serial
def fill(popular, labels, scores):
    """Put popular items, with a score of zero, into the places behind the last item found."""
    at = 0
    while at < labels.size and labels[at] >= 0:
        at += 1
    found = at
    for p in range(popular.size):
        fresh = at < labels.size
        for j in range(found):
            fresh = fresh and labels[j] != popular[p]
        if fresh:
            labels[at] = popular[p]
            scores[at] = np.float32(0.0)
            at += 1


@loop
def neighbours(indptr, items, starts, holders, session_weights, item_weights, dampings, popular, fades, repeat, row_ptr, row_items,
               labels, scores):
    """Best items of every row by the sessions that share items with it, then popular ones; one thread owns a block of rows."""
    n = row_ptr.size - 1
    blocks = min(n, BLOCKS)
    for b in prange(blocks):
        similar, met = np.zeros(session_weights.size, np.float32), np.empty(session_weights.size, np.int32)
        sums, touched = np.zeros(dampings.size, np.float32), np.empty(dampings.size, np.int32)
        seen = np.zeros(dampings.size, np.bool_)
        for i in range(b * n // blocks, (b + 1) * n // blocks):
            start, stop = row_ptr[i], row_ptr[i + 1]
            count = meet(row_items, start, stop, starts, holders, item_weights, fades, similar, met, seen)
            count = collect(indptr, items, session_weights, similar, met, count, seen, sums, touched)
            for k in range(count):
                item = touched[k]
                score = sums[item] * dampings[item]
                sums[item] = np.float32(0.0)
                if item == row_items[stop - 1]:
                    score *= repeat
                if score > scores[i, -1] or (score == scores[i, -1] and item < labels[i, -1]):
                    insert(score, item, scores[i], labels[i])
            for age in range(min(stop - start, fades.size)):
                if row_items[stop - 1 - age] < seen.size:
                    seen[row_items[stop - 1 - age]] = False
            fill(popular, labels[i], scores[i])


@loop
def recent(row_ptr, row_items, n_items, columns, values):
    """Columns, ascending, and values of each row: its last item, the one before it (behind n_items) and those before that (behind twice
    n_items), as many as `columns` has places, which are -1; one thread owns a row."""
    for i in prange(columns.shape[0]):
        found = 0
        for age in range(min(row_ptr[i + 1] - row_ptr[i], columns.shape[1])):
            item = np.int64(row_items[row_ptr[i + 1] - 1 - age])
            if item >= n_items:
                continue
            column = item + n_items * min(age, 2)
            value = np.float32(0.7) / np.float32(age) if age else np.float32(1.0)
            at = found
            while at > 0 and columns[i, at - 1] > column:
                at -= 1
            if at > 0 and columns[i, at - 1] == column:
                values[i, at - 1] += value
                continue
            for j in range(found, at, -1):
                columns[i, j] = columns[i, j - 1]
                values[i, j] = values[i, j - 1]
            columns[i, at] = column
            values[i, at] = value
            found += 1


@loop
def repeats(row_ptr, row_items, shortlist, features):
    """features[i, j, 2] is 1 where the item is the last of the row, features[i, j, 3] where it is among those before; one thread owns a
    row."""
    for i in prange(shortlist.shape[0]):
        for p in range(row_ptr[i], row_ptr[i + 1]):
            for j in range(shortlist.shape[1]):
                if shortlist[i, j] == row_items[p]:
                    features[i, j, 2 if p == row_ptr[i + 1] - 1 else 3] = 1.0
