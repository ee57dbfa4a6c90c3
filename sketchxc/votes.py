"""One-pass MACH: every feature votes for the labels that it was seen with. One pass of counting, no gradient; counts add up over data,
machines and time, so that new rows and new labels cost one merge."""
from typing import NamedTuple

import numpy as np

from . import _check, _place, hashing, modelfile, sparse
from ._cpu import votes as _kernels

_LIMIT = 2**31 - 1
_BLOCK = 1 << 15  # features whose counts are restored at a time
_EXACT = 1 << 15  # sizes below it are kept exactly in two bytes, larger ones as one of _SIZES
_SIZES = np.concatenate([np.arange(_EXACT), np.round(_EXACT * 2.0 ** (np.arange(_EXACT) * (16 / (_EXACT - 1))))]).astype(np.int64)


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


class Basis(NamedTuple):
    """What the weights of votes were made of, beside the votes themselves: with it they can be turned back into counts.

    sizes : uint16 (width,), rows that hold each feature: exact below 32,768, in steps of 1/30 % above.
    label_rows : int32 (n_labels,), rows that hold each label, -1 for labels that were erased.  rows : int, all rows.
    feature_power, label_power, smoothing, expected, threshold : float.  keep : int.  All as given to `votes`.
    """
    sizes: np.ndarray
    label_rows: np.ndarray
    rows: int
    feature_power: float
    label_power: float
    smoothing: float
    expected: float
    threshold: float
    keep: int


def count(x, labels, *, check=True):
    """Counts of the rows' features with their labels.

    x : Rows (n, width), values ignored.  labels : Rows (n, n_labels), values ignored.  check : look at every entry of both.
    Returns Counts.
    Raises ValueError if the numbers of rows differ.
    Example:
        >>> count(sparse.rows([[0, 1], [1]]), sparse.rows([[0], [0]])).counts
        array([1, 2], dtype=int32)
    """
    x, labels = sparse.rows(x, check=check), sparse.rows(labels, check=check, name="labels")
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
    """Counts of all rows of two: exactly those of counting the rows together, in any order and grouping. Features and labels that one
    lacks are new.

    a, b : Counts.  Returns Counts.
    Raises ValueError for 2**31 rows or more, whose counts would not fit.
    Example:
        >>> part = count(sparse.rows([[0, 1]]), sparse.rows([[0]]))
        >>> merge(part, part).counts
        array([2, 2], dtype=int32)
    """
    rows = _check.integer(a.rows + b.rows, "the number of rows of a and b", 0, _LIMIT)
    lengths = np.empty(max(a.indptr.size, b.indptr.size) - 1, np.int64)
    none = np.empty(0, np.int32)
    _kernels.merge(*a[:3], *b[:3], False, np.zeros(lengths.size, np.int64), none, none, lengths)
    starts = _starts(lengths)
    labels, counts = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int32)
    _kernels.merge(*a[:3], *b[:3], True, starts, labels, counts, lengths)
    return Counts(starts, labels, counts, _sum(a.feature_rows, b.feature_rows), _sum(a.label_rows, b.label_rows), rows)


def decay(counts, factor):
    """Counts in which the past weighs less: every number times a factor, rounded down; pairs that come to 0 are dropped. Count new rows by
    `merge` after it.

    counts : Counts.  factor : float, 0 to 1.  Returns Counts.
    Example:
        >>> once = count(sparse.rows([[0, 1], [0]]), sparse.rows([[0], [0]]))
        >>> decay(once, 0.5).counts
        array([1], dtype=int32)
    """
    factor = _check.real(factor, "factor", 0, 1)
    left = np.floor(counts.counts * factor).astype(np.int32)
    kept = left > 0
    feature_rows, label_rows = (np.floor(own * factor).astype(np.int64) for own in (counts.feature_rows, counts.label_rows))
    return Counts(_starts(kept)[counts.indptr], counts.labels[kept], left[kept], feature_rows, label_rows, int(counts.rows * factor))


def insert(counts, x, labels, *, check=True):
    """Counts with further rows, which may hold new features and labels: exactly those of counting all rows together.

    counts : Counts.  x, labels, check : as for `count`.  Returns Counts.
    Raises ValueError if the numbers of rows differ, and for 2**31 rows or more.
    Example:
        >>> once = count(sparse.rows([[0]]), sparse.rows([[0]]))
        >>> insert(once, sparse.rows([[0, 1]]), sparse.rows([[2]])).label_rows
        array([1, 0, 1])
    """
    return merge(counts, count(x, labels, check=check))


def erase(counts, labels):
    """Counts without some labels, which get no votes any more: exactly those of counting the same rows after the labels were struck out.
    The other labels keep their numbers, and rows that held only erased ones still count as rows.

    counts : Counts.  labels : integers (n,), or one.  Returns Counts.
    Raises ValueError for labels that the counts do not know.
    Example:
        >>> both = count(sparse.rows([[0, 1]]), sparse.rows([[0, 2]]))
        >>> erase(both, 2).labels
        array([0, 0], dtype=int32)
    """
    gone = _marked(labels, counts.label_rows.size)
    label_rows = np.where(gone, 0, counts.label_rows)
    kept = ~gone[counts.labels]
    return counts._replace(indptr=_starts(kept)[counts.indptr], labels=counts.labels[kept], counts=counts.counts[kept],
                           label_rows=label_rows)


def votes(counts, *, feature_power=0.75, label_power=0.2, smoothing=1.5, expected=1.0, keep=100, threshold=0.02):
    """Weights of the labels of every feature.

    The weight of label k for feature j is (n_jk - expected df_j rows_k / rows) / ((df_j + smoothing)^feature_power rows_k^label_power) with
    n_jk rows that hold both, df_j the feature, rows_k the label.
    counts : Counts.  feature_power, label_power, smoothing : floats, at least 0.
    expected : float, at least 0, how many times the count to be expected by chance is taken off.
    keep : int, heaviest labels kept per feature (ties: the smaller label).
    threshold : float, at least 0; smaller weights are dropped, and those of 0.
    Returns Votes. Weights are rounded to a multiple, at least one, of the feature's scale, which is 1/255 of its largest weight as near as
    float16 comes; a weight is wrong by at most half a scale where that does not make it 0.
    Raises ValueError for weights too large for float16 scales (beyond 16 million; feature_power is too small) and 2**32 votes or more.
    Source: our own; the weighting is one of the tf-idf family."""
    keep = _check.integer(keep, "keep", 1)
    feature_power, label_power = _check.real(feature_power, "feature_power", 0), _check.real(label_power, "label_power", 0)
    smoothing, expected = _check.real(smoothing, "smoothing", 0), _check.real(expected, "expected", 0)
    threshold = np.float32(_check.real(threshold, "threshold", 0))
    label_rows = np.maximum(counts.label_rows, 1)
    weights = np.empty(counts.counts.size, np.float32)
    _kernels.weigh(counts.indptr, counts.labels, counts.counts, counts.feature_rows, counts.label_rows / max(1, counts.rows),
                   label_rows**-label_power, feature_power, smoothing, expected, threshold, weights)
    lengths, tops = np.empty(counts.indptr.size - 1, np.int64), np.empty(counts.indptr.size - 1, np.float32)
    _kernels.trim(counts.indptr, weights, keep, lengths)
    _kernels.largest(counts.indptr, weights, tops)
    starts, scales = _starts(lengths), _scales(tops)
    if starts[-1] >= 2**32:
        raise ValueError(f"votes must be fewer than 2**32, not {starts[-1]}: choose a smaller keep or a larger threshold")
    n_labels = counts.label_rows.size
    labels = np.empty(starts[-1], np.uint16 if n_labels <= 65536 else np.int32)
    small = np.empty(starts[-1], np.uint8)
    _kernels.quantize(counts.indptr, counts.labels, weights, scales.astype(np.float32), starts, labels, small)
    return Votes(starts.astype(np.uint32), labels, small, scales, n_labels)


def basis(counts, *, feature_power=0.75, label_power=0.2, smoothing=1.5, expected=1.0, keep=100, threshold=0.02):
    """What must be kept beside the votes of these counts so that `restore` can turn them back into counts.

    counts : Counts.  feature_power, label_power, smoothing, expected, keep, threshold : as for `votes`.  Returns Basis.
    Source: Morris 1978 for the larger sizes: between two that two bytes can tell apart the choice is by chance, a hash of feature and
    rows, so that sizes stay right in the mean where rows come one at a time."""
    low = np.searchsorted(_SIZES, counts.feature_rows, "right") - 1
    low = np.minimum(low, _SIZES.size - 2)
    share = (counts.feature_rows - _SIZES[low]) / (_SIZES[low + 1] - _SIZES[low])
    chance = (hashing.mix(np.arange(low.size, dtype=np.uint64), counts.rows) >> np.uint64(11)) * 2.0**-53
    return Basis((low + (share > chance)).astype(np.uint16), counts.label_rows.astype(np.int32), counts.rows, float(feature_power),
                 float(label_power), float(smoothing), float(expected), float(threshold), int(keep))


def restore(votes, basis):
    """Counts that the votes were made of, as far as votes tell: pairs that were dropped as too light count 0, and the rounding of weights
    to 8 bits leaves counts of up to about 250 exact, larger ones off by half a 255th of the feature's largest at most.

    votes : Votes.  basis : Basis.  Returns Counts.
    Example:
        >>> seen = count(sparse.rows([[0], [0], [1]]), sparse.rows([[1], [1], [0]]))
        >>> restore(votes(seen), basis(seen)).counts
        array([2, 1], dtype=int32)
    """
    starts, sizes = votes.starts.astype(np.int64), _SIZES[basis.sizes]
    label_rows = np.maximum(basis.label_rows, 0).astype(np.int64)
    factors, powers = (sizes + basis.smoothing) ** basis.feature_power, np.maximum(label_rows, 1.0) ** basis.label_power
    chance = basis.expected / max(1, basis.rows)
    counts = np.empty(votes.labels.size, np.int32)
    for first in range(0, sizes.size, _BLOCK):  # in pieces, because the numbers in between are wide
        last = min(sizes.size, first + _BLOCK)
        part, lengths = slice(starts[first], starts[last]), np.diff(starts[first:last + 1])
        label, size = votes.labels[part], np.repeat(sizes[first:last], lengths)
        weights = votes.weights[part] * np.repeat(votes.scales[first:last].astype(np.float64), lengths)
        found = weights * np.repeat(factors[first:last], lengths) * powers[label] + chance * size * label_rows[label]
        counts[part] = np.clip(np.rint(found), 1, np.maximum(1, np.minimum(size, label_rows[label])))
    return Counts(starts, votes.labels.astype(np.int32), counts, sizes, label_rows, basis.rows)


def strike(votes, labels):
    """Votes without those for some labels; the other votes stay as they are.

    votes : Votes.  labels : integers (n,), or one.  Returns Votes.
    Raises ValueError for labels that there are not."""
    kept = ~_marked(labels, votes.n_labels)[votes.labels]
    starts = _starts(kept)[votes.starts.astype(np.int64)]
    return votes._replace(starts=starts.astype(np.uint32), labels=votes.labels[kept], weights=votes.weights[kept])


def candidates(votes, x, k, *, power=0.5, check=True):
    """Labels that the features of each row vote for: label k gets the sum of x_j^power w_jk.

    votes : Votes.  x : Rows (n, width), values above 0 vote, on a device if votes are.  k : int, at most n_labels.  power : float, at
    least 0.  check : look at every entry of x.
    Returns labels int32 (n, k) and scores float32 (n, k), where x is, best first, ties by the smaller label; -1 and 0 where no label is
    left. Scores are summed in float32 in the order of the columns.
    Raises ValueError for another number of columns.
    Example:
        >>> x = sparse.rows([[0], [1], [1]])
        >>> candidates(votes(count(x, sparse.rows([[0], [1], [0, 1]]))), x, 2)[0]
        array([[ 0, -1],
               [ 1, -1],
               [ 1, -1]], dtype=int32)
    """
    x = sparse.rows(x, check=check, device=True)
    kernels = _place.kernels(_kernels, votes=votes.starts, x=x.indices)
    if x.width != votes.scales.size:
        raise ValueError(f"x must have {votes.scales.size} columns, not {x.width}")
    k, power = _check.integer(k, "k", 1, votes.n_labels), _check.real(power, "power", 0)
    n = x.indptr.size - 1
    labels, scores = (_place.empty((n, k), kind, x.indices) for kind in (np.int32, np.float32))
    kernels.candidates(votes.starts, votes.labels, votes.weights, _place.copied(votes.scales, np.float32), votes.n_labels, power, *x[:3],
                       labels, scores)
    return labels, scores


def completed(labels, scores, n_labels):
    """Rankings of all n_labels labels: those without a vote follow the others, in ascending order, with score 0.

    labels : int32 (n, n_labels), -1 at the end.  scores : float32 (n, n_labels).  Returns both, new, but on a device as they were."""
    if _place.on_device(labels):
        _place.kernels(_kernels, labels=labels).complete_rows(labels, _place.zeros(labels.shape, np.int8, labels))
        return labels, scores
    n = labels.shape[0]
    missing = np.ones((n, n_labels + 1), bool)
    missing[np.arange(n)[:, None], labels] = False  # -1 marks the extra column
    labels = labels.copy()
    labels[labels < 0] = np.nonzero(missing[:, :n_labels])[1]  # both in row order, and each row misses as many as it has places
    return labels, scores.copy()


def _marked(labels, n_labels):
    """Which of the labels are among some: bool (n_labels,)."""
    labels = _check.array([labels] if np.ndim(labels) == 0 else labels, "labels", np.int64, 1)
    if labels.size and not 0 <= labels.min() <= labels.max() < n_labels:
        raise ValueError(f"labels must be between 0 and {n_labels - 1}, not {labels.min()} to {labels.max()}")
    marked = np.zeros(n_labels, bool)
    marked[labels] = True
    return marked


def _starts(lengths):
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _scales(tops):
    """Float16 scales in whose terms the largest weights are at most 255, rounded."""
    exact = tops / np.float32(255.0)
    if exact.size and exact.max() > np.finfo(np.float16).max:
        raise ValueError(f"weights must be at most {255 * int(np.finfo(np.float16).max)}, not {tops.max()}: choose a larger feature_power")
    scales = exact.astype(np.float16)
    # Only where float16 has few bits left, below 6e-5, is the nearest number too far below.
    return np.where(scales.astype(np.float32) * np.float32(255.5) < tops, np.nextafter(scales, np.float16(np.inf)), scales)


def _sum(a, b):
    out = np.zeros(max(a.size, b.size), np.int64)
    out[:a.size] += a
    out[:b.size] += b
    return out


def _validate_counts(counts):
    if counts.indptr.size != counts.feature_rows.size + 1 or counts.indptr[0] != 0:
        raise ValueError(f"indptr must hold {counts.feature_rows.size + 1} starts from 0 on")
    if counts.labels.size != counts.indptr[-1] or counts.counts.size != counts.indptr[-1]:
        raise ValueError(f"labels and counts must hold {counts.indptr[-1]} entries, not {counts.labels.size} and {counts.counts.size}")


def _validate_votes(votes):
    if votes.starts.size != votes.scales.size + 1 or votes.starts[0] != 0:
        raise ValueError(f"starts must hold {votes.scales.size + 1} starts from 0 on")
    if votes.labels.size != votes.starts[-1] or votes.weights.size != votes.starts[-1]:
        raise ValueError(f"labels and weights must hold {votes.starts[-1]} entries, not {votes.labels.size} and {votes.weights.size}")


def _validate_basis(basis):
    if not (basis.rows >= 0 and basis.keep >= 1 and basis.label_rows.min(initial=0) >= -1):
        raise ValueError(f"rows, keep and label_rows must be at least 0, 1 and -1, not {basis.rows}, {basis.keep} and "
                         f"{basis.label_rows.min(initial=0)}")


modelfile.register(Basis, _validate_basis, sizes=(np.uint16, 1), label_rows=(np.int32, 1), rows=int, feature_power=float,
                   label_power=float, smoothing=float, expected=float, threshold=float, keep=int)
modelfile.register(Counts, _validate_counts, indptr=(np.int64, 1), labels=(np.int32, 1), counts=(np.int32, 1), feature_rows=(np.int64, 1),
                   label_rows=(np.int64, 1), rows=int)
modelfile.register(Votes, _validate_votes, starts=(np.uint32, 1), labels=((np.uint16, np.int32), 1), weights=(np.uint8, 1),
                   scales=(np.float16, 1), n_labels=int)
