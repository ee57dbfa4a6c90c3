"""Re-ranking of shortlists by low-rank factors: a row's vector, the sum of its features' vectors, meets a vector of each label.

Trained by a softmax over a row's labels and a few others, some of them drawn from its shortlist. Repetitions that differ by their seeds are
trained without a word between them, and their mean scores better than a single one.
"""
from typing import NamedTuple

import numpy as np

from . import _check, _memory, _place, _there, hashing, modelfile, sparse
from ._cpu import packed as _packing
from ._cpu import rerank as _kernels

START = 0.1  # of the sums of squares that divide the steps


class Factors(NamedTuple):
    """Trained or untrained factors.

    features : float32 (reps, cells, dim).  labels : float32 (reps, n_labels, dim).
    seeds : uint64 (reps,), of the hash of the columns into the cells and of the draws in training.
    columns : int, columns of the input; used as they are where there are as many cells, hashed where there are fewer.
    """
    features: np.ndarray
    labels: np.ndarray
    seeds: np.ndarray
    columns: int


class PackedFactors(NamedTuple):
    """Factors for scoring alone, in a quarter of the bytes: vector = scale * int8.

    features : int8 (reps, cells, dim).  feature_scales : float32 (reps, cells).  labels : int8 (reps, n_labels, dim).
    label_scales : float32 (reps, n_labels).  seeds, columns : as in Factors.
    """
    features: np.ndarray
    feature_scales: np.ndarray
    labels: np.ndarray
    label_scales: np.ndarray
    seeds: np.ndarray
    columns: int


class FactorSlots(NamedTuple):
    """State of training: sums of squared slopes.  features : float32 (reps, cells).  labels : float32 (reps, n_labels)."""
    features: np.ndarray
    labels: np.ndarray


def init(width, n_labels, *, dim=64, reps=2, cells=None, seed=0):
    """Untrained factors: features small and random, labels zero.

    width, n_labels : int, columns of the input and number of labels.  dim : int, numbers per vector, a multiple of 16.
    reps : int, repetitions; the first ones are the same whatever their number.
    cells : int, vectors that the columns share by hashing, afresh in each repetition; None gives each column its own.  seed : int.
    Returns Factors.
    Raises ValueError for a `dim` that is not a multiple of 16.
    Example:
        >>> init(1000, 50, dim=16, reps=3).labels.shape
        (3, 50, 16)
    """
    width, n_labels = _check.integer(width, "width", 1, 2**31 - 1), _check.integer(n_labels, "n_labels", 1, 2**31 - 1)
    dim, reps = _check.integer(dim, "dim", 16, 2**16), _check.integer(reps, "reps", 1, 2**16)
    cells = width if cells is None else min(width, _check.integer(cells, "cells", 1, 2**31 - 1))
    if dim % 16:
        raise ValueError(f"dim must be a multiple of 16, not {dim}")
    seeds = hashing.seeds(reps, seed)
    features = _memory.empty((reps, cells, dim))
    for r in range(reps):
        rng = np.random.default_rng(int(seeds[r]))
        rng.random(dtype=np.float32, out=features[r])
    features -= np.float32(0.5)
    features *= np.float32(2 / np.sqrt(dim))
    labels = _memory.empty((reps, n_labels, dim))
    labels[...] = 0
    return Factors(features, labels, seeds, width)


def slots(factors):
    """Fresh state of training.  factors : Factors.  Returns FactorSlots."""
    return FactorSlots(*(np.full(table.shape[:2], START, np.float32) for table in (factors.features, factors.labels)))


def train(factors, state, x, labels, shortlist, order, *, lr, last_lr=None, near=4, far=16, seed, check=True):
    """One pass over the rows `order`, one at a time, in place.

    Each step is one of Adagrad, with a sum of squares per vector, on the softmax over the row's labels and those drawn. Rows without
    features or without labels are passed over.
    factors : Factors.  state : FactorSlots.  x : Rows (n, columns).  labels : Rows (n, n_labels), values ignored. On a device all of
    them and shortlist are; the steps are the same there, one after the other, a repetition to a block.
    shortlist : integers (n, m), labels that are hard to tell from the row's own, which may be among them; -1 = none. None with near=0.
    order : integers (m,), row numbers in the order of the pass.
    lr : float, learning rate.  last_lr : float, rate that a straight line from `lr` reaches at the end of the pass; None keeps `lr`.
    near, far : int, draws per row from its shortlist and from all labels; draws of the row's own labels are dropped.
    seed : int, of the draws; another one for every pass.  check : look at the entries of x, labels and shortlist.
    Returns the mean over rows and repetitions of the loss: cross-entropy with a target spread evenly over the row's labels, times the
    root of their number.
    Raises ValueError if the numbers of rows, columns or labels do not fit.
    """
    x, labels = _check_x(factors, x, check), sparse.rows(labels, factors.labels.shape[1], check=check, name="labels", device=True)
    n = x.indptr.size - 1
    near, far = _check.integer(near, "near", 0, 2**20), _check.integer(far, "far", 0, 2**20)
    if labels.indptr.size != n + 1:
        raise ValueError(f"labels must have as many rows as x, {n}, not {labels.indptr.size - 1}")
    if shortlist is None:
        shortlist = _place.empty((n, 0), np.int32, x.indices)
    kernels = _place.kernels(_kernels, factors=factors.features, state=state.features, x=x.indices, labels=labels.indices,
                             shortlist=shortlist)
    shortlist = _check_shortlist(factors, shortlist, n, check)
    if near and n and not shortlist.shape[1]:
        raise ValueError("shortlist must have at least one column for near draws")
    order = _check.array(order, "order", np.int64, 1)
    if order.size and (order.min() < 0 or order.max() >= n):
        raise ValueError(f"order must hold row numbers between 0 and {n - 1}")
    lr = _check.real(lr, "lr", 0)
    last_lr = lr if last_lr is None else _check.real(last_lr, "last_lr", 0)
    _check_state(factors, state)
    starts = [_place.to_host(own.indptr) for own in (x, labels)]
    used = int(np.count_nonzero((np.diff(starts[0])[order] > 0) & (np.diff(starts[1])[order] > 0)))
    losses = _place.zeros(factors.seeds.size, np.float64, x.indices)  # (reps,)
    kernels.train(factors.features, factors.labels, state.features, state.labels, hashing.mix(factors.seeds, seed), factors.seeds,
                  _hashed(factors), *x[:3], labels.indptr, labels.indices, shortlist, _place.beside(order, x.indices), lr, last_lr, near,
                  far, losses)
    return float(_place.to_host(losses).mean()) / max(1, used)


def scores(factors, x, shortlist, *, check=True):
    """Scores of shortlisted labels, means over the repetitions.

    factors : Factors or PackedFactors.  x : Rows (n, columns).  shortlist : integers (n, k), -1 = none.  All on a device, or none.
    check : look at the entries of x and shortlist.
    Returns float32 (n, k), where the factors are, minus infinity where the shortlist has -1.
    Raises ValueError if the numbers of rows, columns or labels do not fit.
    """
    x = _check_x(factors, x, check)
    kernels = _place.kernels(_kernels, factors=factors.features, x=x.indices, shortlist=shortlist)
    shortlist = _check_shortlist(factors, shortlist, x.indptr.size - 1, check)
    packed = isinstance(factors, PackedFactors)
    none = _place.empty((factors.seeds.size, 0), np.float32, x.indices)
    scales = (factors.feature_scales, factors.label_scales) if packed else (none, none)
    out = _place.empty(shortlist.shape, np.float32, x.indices)  # (n, k)
    kernels.scores(factors.features, factors.labels, *scales, packed, factors.seeds, _hashed(factors), *x[:3], shortlist, out)
    return out


def pack(factors):
    """Factors with every vector rounded to int8 numbers and a scale of its own: off by at most half a 127th of its largest number.

    factors : Factors.  Returns PackedFactors."""
    parts = []
    for table in (factors.features, factors.labels):
        packed, scales = np.empty(table.shape, np.int8), np.empty(table.shape[:2], np.float32)
        for r in range(table.shape[0]):
            _packing.pack(table[r], packed[r], scales[r])
        parts += [packed, scales]
    return PackedFactors(*parts, factors.seeds, factors.columns)


def _hashed(factors):
    return factors.columns > factors.features.shape[1]


def _check_x(factors, x, check):
    x = sparse.rows(x, check=check, device=True)
    if x.width != factors.columns:
        raise ValueError(f"x must have {factors.columns} columns as in training, not {x.width}")
    return x


def _check_shortlist(factors, shortlist, n, check):
    shortlist = _check.array(shortlist, "shortlist", np.int32, 2, device=True)
    if shortlist.shape[0] != n:
        raise ValueError(f"shortlist must have a row for each of the {n} rows of x, not {shortlist.shape[0]}")
    n_labels = factors.labels.shape[1]
    if _place.on_device(shortlist):
        _there.labels(shortlist, n_labels, check)
    elif check and shortlist.size and shortlist.max() >= n_labels:
        raise ValueError(f"shortlist must hold labels below {n_labels}, not {shortlist.max()}")
    return shortlist


def _check_state(factors, state):
    wanted = factors.features.shape[:2], factors.labels.shape[:2]
    if (state.features.shape, state.labels.shape) != wanted:
        raise ValueError(f"state must have shapes {wanted[0]} and {wanted[1]}, not {state.features.shape} and {state.labels.shape}")


def _validate(factors):
    reps, cells, dim = factors.features.shape
    if factors.labels.shape[::2] != (reps, dim) or factors.seeds.shape != (reps,) or dim % 16:
        raise ValueError(f"features, labels and seeds must be of {reps} repetitions and {dim} numbers (a multiple of 16), not "
                         f"{factors.labels.shape} and {factors.seeds.shape}")
    if not 1 <= cells <= factors.columns:
        raise ValueError(f"features must have 1 to {factors.columns} cells, not {cells}")
    if isinstance(factors, PackedFactors):
        scales = factors.feature_scales.shape, factors.label_scales.shape
        if scales != ((reps, cells), (reps, factors.labels.shape[1])):
            raise ValueError(f"scales must be one per vector, not {scales[0]} and {scales[1]}")


modelfile.register(Factors, _validate, features=(np.float32, 3), labels=(np.float32, 3), seeds=(np.uint64, 1), columns=int)
modelfile.register(PackedFactors, _validate, features=(np.int8, 3), feature_scales=(np.float32, 2), labels=(np.int8, 3),
                   label_scales=(np.float32, 2), seeds=(np.uint64, 1), columns=int)
modelfile.register(FactorSlots, features=(np.float32, 2), labels=(np.float32, 2))
