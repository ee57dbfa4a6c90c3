"""Loops of the heavy hitters: counters in an open-addressing table (Misra-Gries), and in a heap with a table of places (SpaceSaving)."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.hashing import mix64

USED, OFFSET, TOTAL = 0, 1, 2  # columns of `totals`


@serial
def probe(table, key, seed):
    """Slot of a key in the table (slots, 2) of keys and counts, or the empty slot (count 0) where it belongs."""
    mask = np.uint64(table.shape[0] - 1)
    slot = mix64(key ^ seed) & mask
    while table[slot, 1] != np.uint64(0) and table[slot, 0] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@serial
def smallest_with(counts, wanted):
    """Smallest number that at most `wanted` of the counts exceed, by bisection: a pass over them is a few vector instructions."""
    low, high = np.uint64(0), np.uint64(0)
    for i in range(counts.size):
        high = counts[i] if counts[i] > high else high
    while low < high:
        middle = (low + high) >> np.uint64(1)
        above = 0
        for i in range(counts.size):
            above += 1 if counts[i] > middle else 0
        low = middle + np.uint64(1) if above > wanted else low
        high = high if above > wanted else middle
    return low


@serial
def purge(table, used, capacity, seed):
    """Subtract one number from all counts, the smallest that leaves `capacity` of them positive or fewer; returns it and how many are left.

    More than `capacity` counters lose the whole of it, which is what the bound of Misra and Gries rests on. One thread owns the table."""
    keys, counts = np.empty(used + 1, np.uint64), np.empty(used + 1, np.uint64)
    n = 0
    for slot in range(table.shape[0]):
        keys[n], counts[n] = table[slot, 0], table[slot, 1]
        n += 1 if table[slot, 1] != np.uint64(0) else 0
        table[slot, 1] = np.uint64(0)
    cut = smallest_with(counts[:used], capacity)
    left = 0
    for i in range(used):
        keys[left], counts[left] = keys[i], counts[i]
        left += 1 if counts[i] > cut else 0
    for i in range(left):
        slot = probe(table, keys[i], seed)
        table[slot, 0] = keys[i]
        table[slot, 1] = counts[i] - cut
    return cut, left


@serial
def add(table, totals, seed, capacity, keys, counts):
    """Add the counts (none: 1 each) of keys in their order; purge where more than 2 * capacity keys are held. One thread owns the table."""
    used, offset, total = totals[USED], totals[OFFSET], totals[TOTAL]
    for i in range(keys.size):
        count = counts[i] if counts.size else np.int64(1)
        slot = probe(table, keys[i], seed)
        held = table[slot, 1]
        # Written whether new or not: whether a key is new is a coin toss, and a mispredicted branch costs more than the store.
        table[slot, 0] = keys[i]
        table[slot, 1] = held + np.uint64(count)
        used += 1 if held == np.uint64(0) and count > 0 else 0
        total += count
        if used > 2 * capacity:
            cut, used = purge(table, used, capacity, seed)
            offset += np.int64(cut)
    totals[USED], totals[OFFSET], totals[TOTAL] = used, offset, total


@loop
def lookup(table, seed, keys, out):
    """Count of each key, 0 if it is not held; one thread owns each key."""
    for i in prange(keys.size):
        out[i] = np.int64(table[probe(table, keys[i], seed), 1])


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


@loop
def held(nodes, places, seed, keys, counts, errors):
    """Count and error of each key, 0 and -1 if it is not held; one thread owns each key."""
    for i in prange(keys.size):
        node = places[find(places, nodes, keys[i], seed)]
        counts[i] = np.int64(nodes[node, 1]) if node >= 0 else 0
        errors[i] = np.int64(nodes[node, 2]) if node >= 0 else -1
