"""Mini-batches of sparse rows, prepared for the training loops of `mach` and `shallow`."""
import numpy as np

from ._cpu import batches as _kernels

CHUNK = 1 << 20  # nonzeros whose transposed batches are held at a time: about 16 MB
BLOCKS = 16  # of batches, transposed side by side


def chunks(x, order, batch):
    """Cut `order` at whole batches so that a piece holds at most about CHUNK nonzeros."""
    ends = np.cumsum(x.indptr[order + 1] - x.indptr[order])
    start = 0
    while start < order.size:
        base = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, base + CHUNK, side="right"))
        stop = min(order.size, max(batch, (stop - start) // batch * batch) + start)
        yield order[start:stop]
        start = stop


def group(rows, batch):
    """Transposed batches of `rows`: (distinct, columns, ends, members, values) as `_cpu.batches.group_columns` lays them out."""
    n, nnz = rows.indptr.size - 1, rows.indices.size
    distinct = np.empty(-(-n // batch), np.int64)
    columns, ends = np.empty(nnz, np.int32), np.empty(nnz, np.int64)
    members, values = np.empty(nnz, np.int32), np.empty(nnz, np.float32)
    blocks = max(1, min(BLOCKS, distinct.size, nnz // max(1, rows.width)))  # a block looks at every column once
    _kernels.group_columns(*rows[:3], batch, rows.width, blocks, distinct, columns, ends, members, values)
    return distinct, columns, ends, members, values
