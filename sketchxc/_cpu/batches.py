"""Transposed mini-batches: what the steps on sparse rows need to walk by columns of the table."""
import numpy as np
from numba import prange

from .._jit import loop


@loop
def group_columns(indptr, indices, values, batch, n_columns, blocks, distinct, columns, ends, members, member_values):
    """Transpose every batch of rows: its distinct columns in order of first appearance, each with its rows and values.

    Batch t has distinct[t] groups, which begin at position p = indptr[t * batch] of `columns` and `ends`. The entries of a group in
    `members` (rows counted inside the batch) and `member_values` lie between the end of the group before it, or p, and its own end.
    A thread owns the batches of one of `blocks` blocks; as batches keep to the places of their own nonzeros, none waits for another.
    """
    n = indptr.size - 1
    for block in prange(blocks):
        slot = np.full(n_columns, -1, np.int64)  # group of a column in the running batch
        for t in range(distinct.size * block // blocks, distinct.size * (block + 1) // blocks):
            first, last = t * batch, min(n, t * batch + batch)
            base = indptr[first]
            groups = base
            for k in range(base, indptr[last]):
                column = indices[k]
                if slot[column] < base:  # groups of earlier batches have smaller numbers
                    slot[column] = groups
                    columns[groups] = column
                    ends[groups] = 0
                    groups += 1
                ends[slot[column]] += 1
            distinct[t] = groups - base
            start = base
            for group in range(base, groups):  # sizes become starts, and starts ends as the entries come in
                size = ends[group]
                ends[group] = start
                start += size
            for i in range(first, last):
                for k in range(indptr[i], indptr[i + 1]):
                    group = slot[indices[k]]
                    members[ends[group]] = i - first
                    member_values[ends[group]] = values[k]
                    ends[group] += 1
