"""Measures of ranked label lists against the true labels, as fractions from 0 to 1. Plain NumPy.

Everywhere: `ranked` is int32 (n, at least k), the best label first, -1 where there is none (a place without label is a miss); `labels` are
Rows (n rows) whose values are ignored; `k` is an int, the number of places that count. Every function raises TypeError for other types,
and ValueError for other shapes, for labels outside the width and for a label twice among the first k of a row.

With `ranked` and `labels` on a device the hits are found there, and go to the host in a byte each; `coverage_at` and the scored measures
move both whole.
"""
import numpy as np

from . import _check, _place, _there
from .sparse import Rows

# (a, b) of `propensities` by the data set, as the Extreme Classification Repository uses them
PROPENSITY_PRESETS = {"default": (0.55, 1.5), "wikipedia": (0.5, 0.4), "amazon": (0.6, 2.6)}


def precision_at(ranked, labels, k):
    """Hits among the first k, divided by k; mean over all rows, a row without labels counts as 0.

    Returns float; nan if there is no row.
    Source: the Extreme Classification Repository, P@k.
    Example:
        >>> from sketchxc.sparse import rows
        >>> precision_at([[3, 1], [0, 2]], rows([[3], [0, 2]], width=4), 2)
        0.75
    """
    hits, _ = _hits(ranked, labels, k)
    return _mean(hits.sum(axis=1) / k)


def capped_precision_at(ranked, labels, k):
    """Hits among the first k, divided by the most that are possible, min(k, labels of the row); mean over the rows with labels.

    Returns float; nan if no row has a label.
    Source: the evaluation code of Medini et al. 2019 (MACH), which calls this precision.
    Example:
        >>> from sketchxc.sparse import rows
        >>> capped_precision_at([[3, 1], [0, 2]], rows([[3], [0, 2]], width=4), 2)
        1.0
    """
    hits, counts = _hits(ranked, labels, k)
    return _mean(hits[counts > 0].sum(axis=1) / np.minimum(counts[counts > 0], k))


def recall_at(ranked, labels, k):
    """Hits among the first k, divided by the labels of the row; mean over the rows with labels.

    Returns float; nan if no row has a label.
    Example:
        >>> from sketchxc.sparse import rows
        >>> recall_at([[3, 1], [0, 2]], rows([[3], [0, 2]], width=4), 1)
        0.75
    """
    hits, counts = _hits(ranked, labels, k)
    return _mean(hits[counts > 0].sum(axis=1) / counts[counts > 0])


def ndcg_at(ranked, labels, k):
    """Sum of 1 / log2(place + 1) over the hits among the first k, divided by the sum over the places 1 to min(k, labels of the row);
    mean over the rows with labels.

    Returns float; nan if no row has a label.
    Source: the Extreme Classification Repository, nDCG@k.
    Example:
        >>> from sketchxc.sparse import rows
        >>> round(ndcg_at([[3, 1]], rows([[1, 2]], width=4), 2), 6)  # (1 / log2(3)) / (1 + 1 / log2(3))
        0.386853
    """
    hits, counts = _hits(ranked, labels, k)
    gains = _discounts(k)
    return _mean(hits[counts > 0] @ gains / np.cumsum(gains)[np.minimum(counts[counts > 0], k) - 1])


def reciprocal_rank_at(ranked, labels, k):
    """1 / place of the first hit among the first k, 0 without a hit; mean over the rows with labels (MRR@k).

    Returns float; nan if no row has a label.
    Example:
        >>> from sketchxc.sparse import rows
        >>> reciprocal_rank_at([[3, 1], [0, 2]], rows([[1], [0]], width=4), 2)
        0.75
    """
    hits, counts = _hits(ranked, labels, k)
    hits = hits[counts > 0]
    return _mean(hits.any(axis=1) / (hits.argmax(axis=1) + 1))


def coverage_at(ranked, labels, k):
    """Share of the distinct labels that occur in `labels` which are a hit among the first k of at least one row.

    Returns float; nan if no label occurs.
    Example:
        >>> from sketchxc.sparse import rows
        >>> coverage_at([[3, 1], [3, 2]], rows([[3], [3, 0]], width=4), 1)
        0.5
    """
    ranked, labels = _place.to_host((ranked, labels))
    hits, _ = _hits(ranked, labels, k)
    found, occurring = np.zeros(labels.width, bool), np.zeros(labels.width, bool)
    found[np.asarray(ranked)[:, :k][hits]] = True
    occurring[labels.indices] = True
    return _share(np.count_nonzero(found), np.count_nonzero(occurring))


def propensities(label_counts, n, a=0.55, b=1.5):
    """Estimated probability that a true label was recorded: 1 / (1 + (ln n - 1) (b + 1)**a (count + b)**-a).

    label_counts : integers (labels,), training rows with each label, 0 to n.  n : int, training rows, at least 3.
    a, b : positive numbers, see PROPENSITY_PRESETS.
    Returns float64 (labels,), above 0 and below 1.
    Source: Jain, Prabhu & Varma 2016, section 4.
    Example:
        >>> propensities([0, 10, 1000], 1000).round(4)
        array([0.1133, 0.2815, 0.8205])
    """
    counts = _check.array(label_counts, "label_counts", np.float64, 1)
    n = _check.integer(n, "n", 3)
    a, b = _check.real(a, "a", 0, open_low=True), _check.real(b, "b", 0, open_low=True)
    if counts.size and (counts.min() < 0 or counts.max() > n):
        raise ValueError(f"label_counts must be between 0 and n = {n}, not {counts[(counts < 0) | (counts > n)][0]:.0f}")
    return 1 / (1 + (np.log(n) - 1) * (b + 1)**a * (counts + b)**-a)


def scored_precision_at(ranked, labels, k, propensity):
    """Sum of 1 / propensity over all hits among the first k, divided by the same of the best possible ranking: the normalised PSP@k.

    propensity : floats (labels.width,), above 0, from `propensities` of the training labels.
    Returns float, never above 1; nan if no row has a label.
    Source: Jain, Prabhu & Varma 2016; normalised as in the tables of the Extreme Classification Repository.
    Example:
        >>> from sketchxc.sparse import rows
        >>> scored_precision_at([[3], [0]], rows([[3], [0, 2]], width=4), 1, [1, 1, 0.5, 1])
        0.6666666666666666
    """
    reached, best, _ = _scored(ranked, labels, k, propensity)
    return _share(reached.sum(), best.sum())


def scored_ndcg_at(ranked, labels, k, propensity):
    """Propensity-scored nDCG, normalised by the best possible ranking: each row's sum of 1 / (propensity log2(place + 1)) over its hits
    among the first k, divided by the sum of 1 / log2(place + 1) over the places 1 to min(k, labels of the row); the total of that over
    all rows, divided by the same of the best ranking.

    propensity : floats (labels.width,), above 0, from `propensities` of the training labels.
    Returns float, never above 1; nan if no row has a label.
    Source: Jain, Prabhu & Varma 2016; the order of the divisions is that of pyxclib.
    Example:
        >>> from sketchxc.sparse import rows
        >>> round(scored_ndcg_at([[1, 3]], rows([[3]], width=4), 2, [1, 1, 1, 0.5]), 6)  # 1 / log2(3)
        0.63093
    """
    gains = _discounts(k)
    reached, best, counts = _scored(ranked, labels, k, propensity)
    some = counts > 0
    ideal = np.cumsum(gains)[np.minimum(counts[some], k) - 1]
    return _share((reached[some] @ gains / ideal).sum(), (best[some] @ gains / ideal).sum())


def calibration_error(probabilities, hits, bins=10):
    """Expected calibration error: how far stated probabilities are from the share of hits, in groups of equal size by probability.

    probabilities : floats in [0, 1], any shape.  hits : bool, same shape.  bins : int, groups.
    Returns float, the mean over all entries of the distance in their group; nan without entries.
    Raises ValueError for other shapes or probabilities.
    Source: Naeini, Cooper & Hauskrecht 2015, with groups of equal size.
    Example:
        >>> import numpy as np
        >>> calibration_error(np.array([0.5, 0.5, 1.0, 1.0]), np.array([True, False, True, True]), bins=2)
        0.0
    """
    probabilities, hits = np.ravel(probabilities).astype(np.float64), np.ravel(hits)
    bins = _check.integer(bins, "bins", 1)
    if probabilities.shape != hits.shape or hits.dtype != bool:
        raise ValueError(f"hits must be bool {probabilities.shape}, not {hits.dtype} {hits.shape}")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be between 0 and 1")
    order = np.argsort(probabilities, kind="stable")
    groups = np.array_split(order, min(bins, max(1, order.size)))
    return _share(sum(abs(float((probabilities[g] - hits[g]).sum())) for g in groups), order.size)


def hits(ranked, labels):
    """Whether each ranked label is a label of its row.

    ranked : int32 (n, m), -1 for none.  labels : Rows (n, n_labels).
    Returns bool (n, m).
    Raises as the measures do.
    """
    return _hits(ranked, labels, np.shape(ranked)[1])[0]


def _hits(ranked, labels, k):
    """bool (n, k), is the place a hit, and int64 (n,), labels of each row."""
    ranked = _check.array(ranked, "ranked", np.int32 if _place.on_device(ranked) else np.int64, 2, device=True)
    if not isinstance(labels, Rows):
        raise TypeError(f"labels must be Rows (see sketchxc.sparse.rows), not {type(labels).__name__}")
    k = _check.integer(k, "k", 1)
    n, width = ranked.shape[0], max(labels.width, 1)
    if n != labels.indptr.size - 1:
        raise ValueError(f"ranked and labels must have the same number of rows, not {n} and {labels.indptr.size - 1}")
    if k > ranked.shape[1]:
        raise ValueError(f"k must be at most the {ranked.shape[1]} places of ranked, not {k}")
    if _place.on_device(ranked) or _place.on_device(labels.indices):
        return _there.hits(ranked, labels, k)
    ranked = ranked[:, :k]
    for name, found, low in (("ranked", ranked, -1), ("labels", labels.indices, 0)):
        if found.size and (found.min() < low or found.max() >= labels.width):
            bad = found.min() if found.min() < low else found.max()
            raise ValueError(f"{name} must hold labels between {low} and {labels.width - 1}, not {bad}")
    ordered = np.sort(ranked, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        row, place = np.argwhere(twice)[0]
        raise ValueError(f"ranked row {row} holds label {ordered[row, place]} twice among its first {k}")
    counts = np.diff(labels.indptr)
    keys = np.repeat(np.arange(n) * width, counts) + labels.indices  # one number for each true (row, label)
    if keys.size and (keys[1:] <= keys[:-1]).any():
        keys = np.sort(keys, kind="stable")
        if (keys[1:] == keys[:-1]).any():
            row, label = divmod(int(keys[1:][keys[1:] == keys[:-1]][0]), width)
            raise ValueError(f"labels row {row} holds label {label} twice")
    asked = np.arange(n)[:, None] * width + ranked
    places = np.searchsorted(keys, asked)
    hits = np.append(keys, -1)[places] == asked
    return hits & (ranked >= 0), counts


def _scored(ranked, labels, k, propensity):
    """Inverse propensities of the hits, float64 (n, k), the same of the best possible ranking, and the labels of each row."""
    ranked, labels = _place.to_host((ranked, labels))
    hits, counts = _hits(ranked, labels, k)
    propensity = _check.array(propensity, "propensity", np.float64, 1, kinds="iuf")
    if propensity.size != labels.width:
        raise ValueError(f"propensity must have one number for each of the {labels.width} labels, not {propensity.size}")
    if not (np.isfinite(propensity) & (propensity > 0)).all():
        raise ValueError(f"propensity must be above 0, not {propensity[~(np.isfinite(propensity) & (propensity > 0))][0]}")
    weights = np.append(1 / propensity, 0.0)  # the last one for label -1
    reached = np.where(hits, weights[np.asarray(ranked, np.int64)[:, :k]], 0.0)
    best = np.zeros((counts.size, k))
    if labels.indices.size:
        descending = np.argsort(-weights[:-1], kind="stable")
        rank = np.empty(labels.width, np.int64)
        rank[descending] = np.arange(labels.width)
        row = np.repeat(np.arange(counts.size), counts)
        # the rows ascend already: the stable sort took a quarter of the time of the default one
        keys = np.sort(row * labels.width + rank[labels.indices], kind="stable")
        place = np.arange(keys.size) - np.repeat(labels.indptr[:-1], counts)
        first = place < k
        best[row[first], place[first]] = weights[descending[keys[first] % labels.width]]
    return reached, best, counts


def _discounts(k):
    return 1 / np.log2(np.arange(_check.integer(k, "k", 1)) + 2.0)


def _mean(values):
    return float(values.mean()) if values.size else float("nan")


def _share(part, whole):
    return float(min(part / whole, 1.0)) if whole else float("nan")  # rounding may lift an equal part above the whole
