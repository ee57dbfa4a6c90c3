"""One-pass MACH: every feature votes for the labels that it was seen with. One pass of counting, no gradient; counts add up over data,
machines and time, so that new rows and new labels cost one merge."""
from typing import NamedTuple

import numpy as np

from . import _check, modelfile, sparse
from ._cpu import votes as _kernels


class Counts(NamedTuple):
    """How often features and labels occur together.

    indptr : int64 (width + 1,), labels : int32 (nnz,), counts : int32 (nnz,): feature j was in counts[p] rows with label labels[p], p from
    indptr[j] to indptr[j + 1], labels ascending.  feature_rows : int64 (width,), label_rows : int64 (n_labels,), rows that hold the feature
    or the label.  rows : int, all rows.
    """
    indptr: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    feature_rows: np.ndarray
    label_rows: np.ndarray
    rows: int


class Votes(NamedTuple):
    """Labels that each feature votes for.

    starts : uint32 (width + 1,).  labels : uint16 (nnz,), int32 above 65,536 labels, ascending for each feature.
    weights : uint8 (nnz,), 1 to 255 times the feature's scale.  scales : float16 (width,).  n_labels : int.
    """
    starts: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    scales: np.ndarray
    n_labels: int


def count(x, labels):
    """Counts of the rows' features with their labels.

    x : Rows (n, width), values ignored.  labels : Rows (n, n_labels), values ignored.  Returns Counts.
    Raises ValueError if the numbers of rows differ."""
    x, labels = sparse.rows(x, check=False), sparse.rows(labels, check=False, name="labels")
    if x.indptr.size != labels.indptr.size:
        raise ValueError(f"labels must have as many rows as x, {x.indptr.size - 1}, not {labels.indptr.size - 1}")
    feature_ptr, rows = sparse.transpose(x, check=False)[:2]
    lengths = np.empty(x.width, np.int64)
    _kernels.count_lengths(feature_ptr, rows, labels.indptr, labels.indices, labels.width, lengths)
    indptr = _starts(lengths)
    found, counts = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.int32)
    _kernels.count(feature_ptr, rows, labels.indptr, labels.indices, labels.width, indptr, found, counts)
    return Counts(indptr, found, counts, np.diff(feature_ptr), sparse.column_counts(labels, check=False), x.indptr.size - 1)


def merge(a, b):
    """Counts of all rows of two: count(a's rows and b's rows). Features and labels that one lacks are new.

    a, b : Counts.  Returns Counts."""
    width = max(a.indptr.size, b.indptr.size) - 1
    room = [np.pad(np.diff(one.indptr), (0, width + 1 - one.indptr.size)) for one in (a, b)]
    starts, lengths = _starts(room[0] + room[1]), np.empty(width, np.int64)
    labels, counts = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    _kernels.merge(*a[:3], *b[:3], starts, labels, counts, lengths)
    kept = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts)) < np.repeat(lengths, np.diff(starts))
    return Counts(_starts(lengths), labels[kept], counts[kept], _sum(a.feature_rows, b.feature_rows), _sum(a.label_rows, b.label_rows),
                  a.rows + b.rows)


def votes(counts, *, feature_power=0.75, label_power=0.2, smoothing=1.5, expected=1.0, keep=100, threshold=0.02):
    """Weights of the labels of every feature.

    The weight of label k for feature j is (n_jk - expected df_j rows_k / rows) / ((df_j + smoothing)^feature_power rows_k^label_power) with
    n_jk rows that hold both, df_j the feature, rows_k the label.
    counts : Counts.  expected : float, share of the count to be expected by chance that is taken off.
    keep : int, heaviest labels kept per feature (ties: the smaller label).  threshold : float, smaller weights are dropped, and those of 0.
    Returns Votes, weights rounded to 8 bits of each feature's largest.  Source: our own; the weighting is one of the tf-idf family."""
    keep = _check.integer(keep, "keep", 1)
    label_rows = np.maximum(counts.label_rows, 1)
    weights = np.empty(counts.counts.size, np.float32)
    _kernels.weigh(counts.indptr, counts.labels, counts.counts, counts.feature_rows, counts.label_rows / max(1, counts.rows),
                   label_rows**-float(label_power), float(feature_power), float(smoothing), float(expected), np.float32(threshold), weights)
    lengths = np.empty(counts.indptr.size - 1, np.int64)
    _kernels.trim(counts.indptr, weights, keep, lengths)
    starts = _starts(lengths)
    n_labels = counts.label_rows.size
    labels = np.empty(starts[-1], np.uint16 if n_labels <= 65536 else np.int32)
    small, scales = np.empty(starts[-1], np.uint8), np.empty(lengths.size, np.float32)
    _kernels.quantize(counts.indptr, counts.labels, weights, starts, labels, small, scales)
    return Votes(starts.astype(np.uint32), labels, small, scales.astype(np.float16), n_labels)


def candidates(votes, x, k, *, power=0.5):
    """Labels that the features of each row vote for: label k gets the sum of x_j^power w_jk.

    votes : Votes.  x : Rows (n, width), values above 0 vote.  k : int, at most n_labels.  power : float.
    Returns labels int32 (n, k) and scores float32 (n, k), best first, ties by the smaller label; -1 and 0 where no label is left.
    Raises ValueError for another number of columns."""
    x = sparse.rows(x, check=False)
    if x.width != votes.scales.size:
        raise ValueError(f"x must have {votes.scales.size} columns, not {x.width}")
    k = _check.integer(k, "k", 1, votes.n_labels)
    n = x.indptr.size - 1
    labels, scores = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    _kernels.candidates(votes.starts, votes.labels, votes.weights, votes.scales.astype(np.float32), votes.n_labels, float(power), *x[:3],
                        labels, scores)
    return labels, scores


def completed(labels, scores, n_labels):
    """Rankings of all n_labels labels: those without a vote follow the others, in ascending order, with score 0.

    labels : int32 (n, n_labels), -1 at the end.  scores : float32 (n, n_labels).  Returns both, new."""
    n = labels.shape[0]
    missing = np.ones((n, n_labels + 1), bool)
    missing[np.arange(n)[:, None], labels] = False  # -1 marks the extra column
    labels = labels.copy()
    labels[labels < 0] = np.nonzero(missing[:, :n_labels])[1]  # both in row order, and each row misses as many as it has places
    return labels, scores.copy()


def _starts(lengths):
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _sum(a, b):
    out = np.zeros(max(a.size, b.size), np.int64)
    out[:a.size] += a
    out[:b.size] += b
    return out


def _validate(votes):
    if votes.starts.size != votes.scales.size + 1 or votes.labels.size != votes.weights.size:
        raise ValueError("starts, scales, labels and weights must belong to the same features")


modelfile.register(Counts, indptr=(np.int64, 1), labels=(np.int32, 1), counts=(np.int32, 1), feature_rows=(np.int64, 1),
                   label_rows=(np.int64, 1), rows=int)
modelfile.register(Votes, _validate, starts=(np.uint32, 1), labels=((np.uint16, np.int32), 1), weights=(np.uint8, 1),
                   scales=(np.float16, 1), n_labels=int)
