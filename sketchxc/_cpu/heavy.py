"""Loops of the heavy hitters: counters in an open-addressing table (Misra-Gries), and in a heap with a table of places (SpaceSaving)."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.hashing import mix64
from .vector import prefetch

USED, OFFSET, TOTAL = 0, 1, 2  # columns of `totals`
BLOCK = 512  # keys whose slots are asked for at a time


@serial
def walk(table, key, slot):
    """Slot of a key in the table (slots, 2) of keys and counts, or the empty slot (count 0) where it belongs, from its first `slot` on."""
    mask = np.uint64(table.shape[0] - 1)
    while table[slot, 1] != np.uint64(0) and table[slot, 0] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@serial
def probe(table, key, seed):
    """Slot of a key, or the empty slot where it belongs."""
    return walk(table, key, mix64(key ^ seed) & np.uint64(table.shape[0] - 1))


@serial
def above(counts, limit):
    """How many of the counts exceed a limit."""
    n = 0
    for i in range(counts.size):
        n += 1 if counts[i] > limit else 0
    return n


@serial
def smallest_with(counts, low, wanted):
    """Smallest number from `low` on that at most `wanted` of the counts exceed, by steps that double and then bisection: most are near, and
    a pass over the counts is a few vector instructions."""
    step = np.uint64(1)
    high = low
    while above(counts, high) > wanted:
        low = high + np.uint64(1)
        high = high + step
        step = step + step
    while low < high:
        middle = low + ((high - low) >> np.uint64(1))
        few = above(counts, middle) <= wanted
        low = low if few else middle + np.uint64(1)
        high = middle if few else high
    return low


@serial
def fill(table, errors, seed, keys, counts, key_errors):
    """Put distinct keys into an empty table. One thread owns the table."""
    for i in range(keys.size):
        slot = probe(table, keys[i], seed)
        table[slot, 0] = keys[i]
        table[slot, 1] = counts[i]
        errors[slot] = key_errors[i]


@serial
def purge(table, errors, offset, capacity, seed):
    """Raise the offset to the smallest number that leaves `capacity` counts above it or fewer, and drop the others; returns it and how many
    are left.

    More than `capacity` counters lose the whole difference, which is what the bound of Misra and Gries rests on. One thread owns the table.
    """
    counts = np.empty(table.shape[0], np.uint64)  # 0 where a slot is empty
    for slot in range(counts.size):
        counts[slot] = table[slot, 1]
    offset = smallest_with(counts, offset, capacity)
    keys, kept = np.empty(capacity + 1, np.uint64), np.empty(capacity + 1, np.int64)
    left = 0
    for slot in range(counts.size):  # without a branch: what goes and what stays are random
        count = counts[slot]
        keys[left], counts[left], kept[left] = table[slot, 0], count, errors[slot]
        left += 1 if count > offset else 0
        table[slot, 1] = np.uint64(0)
    fill(table, errors, seed, keys[:left], counts[:left], kept[:left])
    return offset, left


@serial
def add(table, errors, totals, seed, capacity, keys, counts):
    """Add the counts (None: 1 each) of keys in their order; purge where more than 2 * capacity keys are held. One thread owns the table.

    Counts are kept with the offset on top, so that a purge subtracts nothing; the last entry of `errors` belongs to no slot. The slots of a
    block of keys are asked for from memory before the first of them is read: after a mispredicted branch, which about every second key
    costs, its successors then wait less."""
    used, offset, total = totals[USED], np.uint64(totals[OFFSET]), totals[TOTAL]
    nowhere, mask = np.uint64(table.shape[0]), np.uint64(table.shape[0] - 1)
    flat, homes = table.reshape(table.size), np.empty(min(keys.size, BLOCK), np.uint64)
    for first in range(0, keys.size, BLOCK):
        part = keys[first:first + BLOCK]
        for i in range(part.size):
            homes[i] = mix64(part[i] ^ seed) & mask
        for i in range(part.size):
            prefetch(flat, 2 * np.int64(homes[i]))
        for i in range(part.size):
            count = np.int64(1) if counts is None else counts[first + i]
            slot = walk(table, part[i], homes[i])
            held = table[slot, 1]
            new = held == np.uint64(0) and count > 0
            # Written whether new or not: whether a key is new is a coin toss, and a mispredicted branch costs more than the stores.
            table[slot, 0] = part[i]
            table[slot, 1] = held + np.uint64(count) + (offset if new else np.uint64(0))
            errors[slot if new else nowhere] = np.int64(offset)
            used += 1 if new else 0
            total += count
            if used > 2 * capacity:
                offset, used = purge(table, errors, offset, capacity, seed)
    totals[USED], totals[OFFSET], totals[TOTAL] = used, np.int64(offset), total


@serial
def lookup_part(table, errors, seed, absent, keys, lower, upper):
    """Bounds of the counts of keys, 0 and `absent` of those that are not held."""
    for i in range(keys.size):
        slot = probe(table, keys[i], seed)
        count = np.int64(table[slot, 1])
        upper[i] = count if count > 0 else absent
        lower[i] = count - errors[slot] if count > 0 else np.int64(0)


@loop
def lookup(table, errors, seed, absent, keys, lower, upper):
    """`lookup_part` by threads, of which each owns a block of keys."""
    for block in prange((keys.size + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, block * BLOCK + BLOCK
        lookup_part(table, errors, seed, absent, keys[first:last], lower[first:last], upper[first:last])


@serial
def find(places, nodes, key, seed):
    """Slot of a key in the table of places (node of the heap, -1 for none), or the empty slot where it belongs."""
    mask = np.uint64(places.size - 1)
    slot = mix64(key ^ seed) & mask
    while places[slot] >= 0 and nodes[places[slot], 0] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@serial
def forget(places, nodes, slots, hole, seed):
    """Empty a slot, and move the keys behind it up so that each is still found from its own slot on."""
    mask = np.uint64(places.size - 1)
    slot = (hole + np.uint64(1)) & mask
    while places[slot] >= 0:
        node = places[slot]
        home = mix64(nodes[node, 0] ^ seed) & mask
        if ((slot - home) & mask) >= ((slot - hole) & mask):
            places[hole] = node
            slots[node] = hole
            hole = slot
        slot = (slot + np.uint64(1)) & mask
    places[hole] = -1


@serial
def settle(places, nodes, slots, node, used):
    """Move a node of the heap up or down to where its count belongs: no parent has a larger count than its children."""
    key, count, error, slot = nodes[node, 0], nodes[node, 1], nodes[node, 2], slots[node]
    moving = True
    while moving:
        parent, child = (node - 1) // 2, 2 * node + 1
        child = child + 1 if child + 1 < used and nodes[child + 1, 1] < nodes[child, 1] else child
        other = parent if node > 0 and nodes[parent, 1] > count else child if child < used and nodes[child, 1] < count else node
        moving = other != node
        if moving:
            nodes[node, 0], nodes[node, 1], nodes[node, 2] = nodes[other, 0], nodes[other, 1], nodes[other, 2]
            slots[node] = slots[other]
            places[slots[node]] = node
            node = other
    nodes[node, 0], nodes[node, 1], nodes[node, 2] = key, count, error
    slots[node] = slot
    places[slot] = node


@serial
def replace(nodes, slots, places, totals, seed, keys, counts, errors):
    """Add the counts (none: 1 each) of keys, in their order: a new key takes the node with the smallest count where all are taken, and its
    count as error. `errors` (none: 0 each) are for keys that are not held yet. One thread owns everything."""
    used, total = totals[USED], totals[TOTAL]
    for i in range(keys.size):
        count = counts[i] if counts.size else np.int64(1)
        if count == 0:
            continue
        slot = find(places, nodes, keys[i], seed)
        node = places[slot]
        if node < 0:
            node = used if used < nodes.shape[0] else 0
            smallest = np.uint64(0)
            if used == nodes.shape[0]:
                smallest = nodes[0, 1]
                forget(places, nodes, slots, slots[0], seed)
                slot = find(places, nodes, keys[i], seed)
            used += 1 if used < nodes.shape[0] else 0
            nodes[node, 0], nodes[node, 1] = keys[i], smallest
            nodes[node, 2] = smallest + (np.uint64(errors[i]) if errors.size else np.uint64(0))
            slots[node] = slot
            places[slot] = node
        nodes[node, 1] += np.uint64(count)
        total += count
        settle(places, nodes, slots, node, used)
    totals[USED], totals[TOTAL] = used, total


@serial
def held_part(nodes, places, seed, absent, keys, lower, upper):
    """Bounds of the counts of keys, 0 and `absent` of those that are not held."""
    for i in range(keys.size):
        node = places[find(places, nodes, keys[i], seed)]
        upper[i] = np.int64(nodes[node, 1]) if node >= 0 else absent
        lower[i] = np.int64(nodes[node, 1] - nodes[node, 2]) if node >= 0 else np.int64(0)


@loop
def held(nodes, places, seed, absent, keys, lower, upper):
    """`held_part` by threads, of which each owns a block of keys."""
    for block in prange((keys.size + BLOCK - 1) // BLOCK):
        first, last = block * BLOCK, block * BLOCK + BLOCK
        held_part(nodes, places, seed, absent, keys[first:last], lower[first:last], upper[first:last])
