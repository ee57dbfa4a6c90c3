"""Mini-batches of sparse rows, prepared for the training loops of `mach` and `shallow`, on the host or on a device."""
import contextlib

import numpy as np

from . import _place
from ._cpu import batches as _kernels
from ._cpu import sparse as _sparse

CHUNK = 1 << 20  # nonzeros whose transposed batches are held at a time: about 16 MB
BLOCKS = 16  # of batches, transposed side by side
STREAMED = 8  # pieces that a chunk is cut into if it is copied to a device, so that all but the first are copied while another one trains
BYTES = 128  # that an entry of a chunk takes on a device: rows, batches, what the sort takes


def chunks(x, order, batch, share=1):
    """Cut `order` at whole batches so that a piece holds at most about CHUNK / share nonzeros."""
    ends = np.cumsum(x.indptr[order + 1] - x.indptr[order])
    for first, last in _cuts(ends[np.minimum(np.arange(batch, order.size + batch, batch), order.size) - 1], CHUNK // share):
        yield order[first * batch:last * batch]


def chunks_there(x, labels, order, batch):
    """(rows, targets) of every chunk of a pass over rows on the device; two numbers a batch go to the host, sizes of what follows."""
    ends = [_ends(own, order, batch) for own in (x, labels)]
    for first, last in _cuts(ends[0], CHUNK):
        part = order[first * batch:last * batch]
        yield [_take(own, part, int(up_to[last - 1] - (up_to[first - 1] if first else 0))) for own, up_to in zip((x, labels), ends)]


def streamed(parts):
    """Tuples of vectors of the host, one tuple after the other on the device; each holds until the one after the next is asked for.

    A part is made ready and copied after the kernels of the one before were put on their stream, while they run: nothing here waits for
    them. There is room for two parts. That of part i was part i - 2's, whose kernels had all been put on the stream when its event was
    recorded; the event is waited for before anything is written, so nothing is overwritten that a kernel still reads. The pinned half
    of the room is read by copies only, which are over before a part is given out.
    """
    target = _place.target()
    rooms, through = [{}, {}], [target.event(), target.event()]  # an event that was not recorded yet is through
    with contextlib.ExitStack() as later:
        for i, part in enumerate(parts):
            through[i % 2].synchronize()
            arrays = target.copied_beside(part, rooms[i % 2])
            later.close()  # what the kernels of the part before worked on is given back now, which waits for them
            later.enter_context(target.freeing_later())
            yield arrays
            through[i % 2].record()


def group(rows, batch):
    """Transposed batches of `rows`: (distinct, columns, ends, members, values) as `_cpu.batches.group_columns` lays them out."""
    n, nnz = rows.indptr.size - 1, rows.indices.size
    run = _place.kernels(_kernels, indptr=rows.indptr, indices=rows.indices, values=rows.values)
    distinct, columns, ends, members, values = (_place.empty(size, kind, rows.indptr) for size, kind in (
        (-(-n // batch), np.int64), (nnz, np.int32), (nnz, np.int64), (nnz, np.int32), (nnz, np.float32)))
    blocks = max(1, min(BLOCKS, distinct.size, nnz // max(1, rows.width)))  # a block looks at every column once
    run.group_columns(*rows[:3], batch, rows.width, blocks, distinct, columns, ends, members, values)
    return distinct, columns, ends, members, values


def _cuts(ends, most):
    """(first batch, last + 1) of chunks of at most `most` nonzeros, or of one batch, by the nonzeros up to the end of every batch."""
    first = 0
    while first < ends.size:
        base = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, base + most, side="right")))
        yield first, last
        first = last


def _starts(x, order):
    """Where the rows `order` start that follow each other, and where the last one ends, on the device."""
    starts = _place.empty(order.size + 1, np.int64, order)
    _place.kernels(_sparse, indptr=x.indptr, order=order).row_lengths(x.indptr, order, starts)
    _place.target().cumsum(starts)
    return starts


def _ends(x, order, batch):
    """Entries of the rows `order` up to the end of every batch; on the host."""
    ends = _place.empty(-(-order.size // batch), np.int64, order)
    _place.kernels(_kernels, order=order).batch_ends(_starts(x, order), batch, ends)
    return _place.to_host(ends)


def _take(x, order, size):
    """The rows `order` of x, which have `size` entries, on the device."""
    indptr = _starts(x, order)
    indices, values = _place.empty(size, np.int32, order), _place.empty(size, np.float32, order)
    _place.kernels(_sparse, indptr=indptr).copy_rows(*x[:3], order, indptr, indices, values)
    return x._replace(indptr=indptr, indices=indices, values=values)
