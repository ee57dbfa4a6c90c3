"""A count-sketch of the one-vs-all weights: every (feature, label) pair has a signed cell in each of a few hashed rows, so that memory does
not depend on the numbers of features and labels. Labels are scored and trained on shortlists.

The default classifier (`ranker`) re-ranks by the low-rank factors of `rerank` instead, which need a vector a feature and a label.
"""
from typing import NamedTuple

import numpy as np

from . import _check, _place, _there, hashing, modelfile, sparse
from ._cpu import pairs as _kernels

SLICES = 64  # parts of the labels with cells of their own: as many threads could train, and the bits do not depend on how many do


class PairWeights(NamedTuple):
    """Hashed weights of (feature, label) pairs; the weight of a pair is the mean of its signed cells.

    table : float32 (depth, SLICES, cells).  seeds : uint64 (depth,).  n_labels : int.
    """
    table: np.ndarray
    seeds: np.ndarray
    n_labels: int


def init(n_labels, *, depth=1, width=1 << 22, seed=0):
    """Weights of zero.

    n_labels : int.  depth : int, 1 to 3 hashed rows.  width : int, cells a row, rounded up to a multiple of SLICES.  seed : int.
    Returns PairWeights.
    Source: Charikar, Chen & Farach-Colton 2002, for the signed cells; their mean in place of the median, so that there is a gradient.
    Example:
        >>> init(1000, depth=2, width=4096).table.shape
        (2, 64, 64)
    """
    n_labels = _check.integer(n_labels, "n_labels", 1, 2**31 - 1)
    depth, width = _check.integer(depth, "depth", 1, 3), _check.integer(width, "width", 1, 2**31 - 1)
    return PairWeights(np.zeros((depth, SLICES, -(-width // SLICES)), np.float32), hashing.seeds(depth, seed), n_labels)


def slots(weights, start=1.0):
    """Fresh state of training: sums of squared slopes, float32 of the table's shape, that begin at `start` above 0."""
    return np.full(weights.table.shape, _check.real(start, "start", 0, open_low=True), np.float32)


def scores(weights, x, shortlist, base=None, *, check=True):
    """Scores of shortlisted labels.

    weights : PairWeights.  x : Rows (n, width), of fewer than 2**31 columns.  shortlist : int32 (n, k), -1 for none.
    base : float32 (n, k), scores that these are added to, or None.  check : look at every entry of x and the shortlist.
    Returns float32 (n, k), where the arrays are, minus infinity where the shortlist has -1.
    Raises ValueError for shapes or labels that do not fit."""
    kernels = _place.kernels(_kernels, weights=weights.table, x=getattr(x, "indices", None), shortlist=shortlist, base=base)
    x, shortlist, base = _checked(weights, x, shortlist, base, check, device=True)
    out = _place.empty(shortlist.shape, np.float32, shortlist)  # (n, k)
    kernels.scores(weights.table, weights.seeds, _place.beside(_slices(weights), weights.table), *x[:3], shortlist, base, out)
    return out


def train(weights, squares, x, labels, shortlist, order, *, lr, last_lr=None, base=None, check=True):
    """One pass over the rows `order`, in place: every shortlisted label of a row is an example of the logistic loss, positive if the row
    has it, and takes a step of Adagrad on the cells of its pairs.

    weights : PairWeights.  squares : as `slots` makes it.  x : Rows (n, width).  labels : Rows (n, n_labels), values ignored.
    shortlist : int32 (n, k), the row's own labels and hard or drawn negatives, -1 for none; labels that are not on it are not trained.
    order : integers (m,), row numbers.  lr : float, learning rate.  last_lr : float, rate that a straight line from `lr` reaches at the
    end; None keeps it.  base : float32 (n, k), scores that the weights add to, or None.  check : look at the entries.
    Returns the mean loss of an example, before its step. The same bits for any number of threads: labels are dealt into SLICES slices
    that share no cell, and logistic losses of two labels do not depend on each other.
    Raises ValueError for shapes, rows or labels that do not fit.
    Source: Duchi, Hazan & Singer 2011, for the steps."""
    x, shortlist, base = _checked(weights, x, shortlist, base, check)
    labels = sparse.rows(labels, weights.n_labels, check=check, name="labels")
    n = x.indptr.size - 1
    if labels.indptr.size != n + 1:
        raise ValueError(f"labels must have as many rows as x, {n}, not {labels.indptr.size - 1}")
    if squares.shape != weights.table.shape or squares.dtype != np.float32:
        raise ValueError(f"squares must be float32 of shape {weights.table.shape}, not {squares.dtype} of {squares.shape}")
    order = _check.array(order, "order", np.int64, 1)
    if order.size and (order.min() < 0 or order.max() >= n):
        raise ValueError(f"order must hold row numbers between 0 and {n - 1}")
    lr = _check.real(lr, "lr", 0)
    last_lr = lr if last_lr is None else _check.real(last_lr, "last_lr", 0)
    step, place = np.nonzero(shortlist[order] >= 0)  # in the order of the pass
    part = _slices(weights)[shortlist[order[step], place]]
    by_part = np.argsort(part, kind="stable")
    step, place = step[by_part], place[by_part]
    row = order[step]
    own = np.repeat(np.arange(n), np.diff(labels.indptr)) * weights.n_labels + labels.indices
    targets = np.isin(row * weights.n_labels + shortlist[row, place], own).astype(np.float32)
    paces = (lr + (last_lr - lr) * step / max(1, order.size)).astype(np.float32)
    starts = np.searchsorted(part[by_part], np.arange(SLICES + 1))
    losses = np.empty(SLICES, np.float64)  # (SLICES,)
    _kernels.train(weights.table, squares, weights.seeds, starts, row, place, targets, paces, *x[:3], shortlist, base, losses)
    return float(losses.sum()) / max(1, row.size)


def _slices(weights):
    """Slice of every label: int64 (n_labels,). Dealt in turn, because labels of near numbers are often of like frequency."""
    return np.arange(weights.n_labels, dtype=np.int64) % SLICES


def _checked(weights, x, shortlist, base, check, device=False):
    x = sparse.rows(x, check=check, device=device)
    n = x.indptr.size - 1
    shortlist = _check.array(shortlist, "shortlist", np.int32, 2, device=device)
    if shortlist.shape[0] != n:
        raise ValueError(f"shortlist must have a row for each of the {n} rows of x, not {shortlist.shape[0]}")
    if _place.on_device(shortlist):
        _there.labels(shortlist, weights.n_labels, check)
    elif check and shortlist.size and not -1 <= shortlist.min() <= shortlist.max() < weights.n_labels:
        raise ValueError(f"shortlist must hold labels between 0 and {weights.n_labels - 1}, or -1")
    if base is None:
        base = _place.zeros(shortlist.shape, np.float32, shortlist)
    base = _check.array(base, "base", np.float32, 2, kinds="iuf", device=device)
    if base.shape != shortlist.shape:
        raise ValueError(f"base must have the shape of shortlist, {shortlist.shape}, not {base.shape}")
    return x, shortlist, base


def _validate(weights):
    depth, slices, cells = weights.table.shape
    if weights.seeds.size != depth or not 1 <= depth <= 3 or slices != SLICES or not cells or weights.n_labels < 1:
        raise ValueError(f"table must have 1 to 3 rows of {SLICES} slices and as many seeds, not shape {weights.table.shape} and "
                         f"{weights.seeds.size} seeds")


modelfile.register(PairWeights, _validate, table=(np.float32, 3), seeds=(np.uint64, 1), n_labels=int)
