"""Cells, signs and medians of count-min and count-sketch: one key, one number at a time."""
import numpy as np

from .._jit import scalar
from .hashing import cell, mix64
from .hashing import side as side_of

__all__ = ["cell", "low_estimate", "median3", "median5", "side", "signed_estimate"]


@scalar
def side(key, seed):
    """Sign +1 or -1 of a key in the hash row of `seed`, from a bit that `cell` does not read."""
    return side_of(mix64(key ^ seed))


@scalar
def median3(a, b, c):
    """Median of three numbers."""
    low = a if a < b else b
    high = b if a < b else a
    return low if c < low else (high if c > high else c)


@scalar
def median5(a, b, c, d, e):
    """Median of five numbers: that of e and of the two middle ones of the other four."""
    low1, high1 = a if a < b else b, b if a < b else a
    low2, high2 = c if c < d else d, d if c < d else c
    return median3(e, low1 if low1 > low2 else low2, high1 if high1 < high2 else high2)


@scalar
def low_estimate(table, cells, j):
    """Smallest of table[d, cells[d], j] over the rows d: the estimate of a row sketch without signs."""
    low = table[0, cells[0], j]
    for d in range(1, table.shape[0]):
        value = table[d, cells[d], j]
        low = value if value < low else low
    return low


@scalar
def signed_estimate(table, cells, sides, j):
    """Median of sides[d] * table[d, cells[d], j] over the rows d, an odd number of them; `sides` has the dtype of `table`."""
    depth = table.shape[0]
    if depth == 3:
        return median3(sides[0] * table[0, cells[0], j], sides[1] * table[1, cells[1], j], sides[2] * table[2, cells[2], j])
    if depth == 5:
        return median5(sides[0] * table[0, cells[0], j], sides[1] * table[1, cells[1], j], sides[2] * table[2, cells[2], j],
                       sides[3] * table[3, cells[3], j], sides[4] * table[4, cells[4], j])
    # By ranks, which need no memory: the median is the value with fewer than half of them below and half or more not above.
    found = sides[0] * table[0, cells[0], j]
    for d in range(depth):
        value = sides[d] * table[d, cells[d], j]
        below, not_above = np.int64(0), np.int64(0)
        for e in range(depth):
            other = sides[e] * table[e, cells[e], j]
            below += np.int64(1) if other < value else np.int64(0)
            not_above += np.int64(1) if other <= value else np.int64(0)
        found = value if 2 * below < depth and depth < 2 * not_above else found
    return found
