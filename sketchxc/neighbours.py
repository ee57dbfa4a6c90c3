"""Nearest neighbours of a row among the training rows, by cosine, and their votes for labels: exact where postings are few, with a bounded
number of postings a row where they are many."""
from typing import NamedTuple

import numpy as np

from . import _check, _place, _there, modelfile, sparse
from ._cpu import neighbours as _kernels


SAME = 0.99999  # cosine from which on two rows count as the same: rounding leaves less than 1e-6


class Neighbours(NamedTuple):
    """Training rows by feature, and their labels.

    starts : int64 (width + 1,), rows : int32 (nnz,), values : float32 (nnz,): feature j has the value values[p] above 0 in row rows[p], p
    from starts[j] to starts[j + 1], rows ascending.
    labels_ptr : int64 (n + 1,), labels : int32 (label nonzeros,): labels of each row.  n_labels : int.
    """
    starts: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    labels_ptr: np.ndarray
    labels: np.ndarray
    n_labels: int


def index(x, labels, *, check=True):
    """Index of training rows.

    x : Rows (n, width), of length 1 for cosines; values of 0 and below are left out.  labels : Rows (n, n_labels), values ignored.
    check : look at every entry of both.
    Returns Neighbours.
    Raises ValueError if the numbers of rows differ."""
    x, labels = sparse.rows(x, check=check), sparse.rows(labels, check=check, name="labels")
    if x.indptr.size != labels.indptr.size:
        raise ValueError(f"labels must have as many rows as x, {x.indptr.size - 1}, not {labels.indptr.size - 1}")
    if not (x.values > 0).all():
        kept = x.values > 0
        before = np.concatenate([[0], np.cumsum(kept)])
        x = sparse.Rows(before[x.indptr], x.indices[kept], x.values[kept], x.width)
    starts, rows, values = sparse.transpose(x, check=False)[:3]
    return Neighbours(starts, rows, values, labels.indptr, labels.indices, labels.width)


def votes(index, x, shortlist, *, nearest=50, power=2.0, budget=8_000, rescored=100, check=True):
    """Votes of each row's nearest neighbours for the labels of a shortlist: the sum of cosine^power over the neighbours with the label.

    index : Neighbours.  x : Rows (n, width), of length 1; values above 0 count.  shortlist : int32 (n, m), labels, -1 for none. On a device
    all are, and what is returned is.
    nearest : int, neighbours that vote.  power : float, at least 0.
    budget : int, postings read for a row: features from the heaviest on, without those that would go beyond it; the heaviest always.
    rescored : int, at least `nearest`: so many best rows by these features get their exact cosine; ties by the smaller row.
    check : look at every entry of x and the shortlist.
    Returns float32 (n, m), the votes, and bool (n, m), whether a neighbour with the label is the same row (cosine of SAME or more).
    Raises ValueError for shapes or labels that do not fit.
    Source: k-nearest-neighbour voting over an inverted index (Yang 1994), with the budget as our own.
    Example:
        >>> x = sparse.normalize(sparse.rows([[0, 1], [1]]))
        >>> known = index(x, sparse.rows([[0], [1]]))
        >>> given, same = votes(known, x, np.array([[0, 1], [0, 1]], np.int32))
        >>> given.round(3).tolist(), same.tolist()
        ([[1.0, 0.5], [0.5, 1.0]], [[True, False], [False, True]])
    """
    x = sparse.rows(x, check=check, device=True)
    kernels = _place.kernels(_kernels, index=index.rows, x=x.indices, shortlist=shortlist)
    if x.width != index.starts.size - 1:
        raise ValueError(f"x must have {index.starts.size - 1} columns, not {x.width}")
    nearest = _check.integer(nearest, "nearest", 1)
    rescored, budget = _check.integer(rescored, "rescored", nearest), _check.integer(budget, "budget", 0)
    power = _check.real(power, "power", 0)
    shortlist = _check.array(shortlist, "shortlist", np.int32, 2, device=True)
    if shortlist.shape[0] != x.indptr.size - 1:
        raise ValueError(f"shortlist must have a row for each of the {x.indptr.size - 1} rows of x, not {shortlist.shape[0]}")
    if kernels is not _kernels:
        _there.labels(shortlist, index.n_labels, check)
    elif check and shortlist.size and not -1 <= shortlist.min() <= shortlist.max() < index.n_labels:
        raise ValueError(f"shortlist must hold labels between 0 and {index.n_labels - 1}, or -1")
    out, same = (_place.empty(shortlist.shape, kind, x.indices) for kind in (np.float32, np.bool_))  # (n, m)
    kernels.votes(*index, budget, min(rescored, max(1, index.labels_ptr.size - 1)), nearest, power, np.float32(SAME), *x[:3], shortlist,
                  out, same)
    return out, same


def _validate(index):
    if index.starts[0] != 0 or index.rows.size != index.starts[-1] or index.values.size != index.starts[-1]:
        raise ValueError(f"rows and values must hold {index.starts[-1]} entries, not {index.rows.size} and {index.values.size}")
    if index.labels_ptr[0] != 0 or index.labels.size != index.labels_ptr[-1]:
        raise ValueError(f"labels must hold {index.labels_ptr[-1]} entries, not {index.labels.size}")


modelfile.register(Neighbours, _validate, starts=(np.int64, 1), rows=(np.int32, 1), values=(np.float32, 1), labels_ptr=(np.int64, 1),
                   labels=(np.int32, 1), n_labels=int)
