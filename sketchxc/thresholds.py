"""Which of the ranked labels to accept: thresholds on their scores or probabilities, one for all labels or one for each, chosen on rows
with known labels that the model was not trained on."""
import numpy as np

from . import _check, metrics


def best_threshold(ranked, scores, labels):
    """Threshold at which accepted labels have the largest F1 over all rows together (micro average).

    ranked : int32 (n, m), -1 for none.  scores : floats (n, m), larger for better labels.  labels : Rows (n, n_labels), the true ones.
    Returns float, the largest such score; labels with it or more are accepted. Infinity if no ranked label is right.
    Raises as the measures of `metrics` do, and ValueError for scores of another shape or NaN.
    Source: van Rijsbergen 1979, chapter 7, for F1.
    Example:
        >>> from sketchxc import rows
        >>> best_threshold(np.array([[1, 0], [0, 2]]), np.array([[0.9, 0.2], [0.6, 0.5]]), rows([[1], [0]], 3))
        0.6
    """
    ranked, scores, hits = _judged(ranked, scores, labels)
    asked = ranked >= 0
    return float(_thresholds(np.zeros(asked.sum(), np.int64), scores[asked], hits[asked], np.array([labels.indices.size]))[0])


def label_thresholds(ranked, scores, labels):
    """Threshold of each label at which it has the largest F1 of its own.

    ranked, scores, labels : as in `best_threshold`.
    Returns float64 (n_labels,); infinity for labels that are never right.
    Raises as `best_threshold` does.
    Example:
        >>> from sketchxc import rows
        >>> label_thresholds(np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.2], [0.6, 0.5]]), rows([[1], [0]], 3)).tolist()
        [0.6, 0.9, inf]
    """
    ranked, scores, hits = _judged(ranked, scores, labels)
    asked = ranked >= 0
    return _thresholds(ranked[asked], scores[asked], hits[asked], np.bincount(labels.indices, minlength=labels.width))


def accepted(ranked, scores, threshold):
    """Ranked labels without those below the threshold.

    ranked : int32 (n, m), -1 for none.  scores : floats (n, m).  threshold : float, or floats (n_labels,), one of each label.
    Returns int32 (n, m) with -1 in their places.
    Raises ValueError for other shapes.
    Example:
        >>> accepted(np.array([[1, 0]]), np.array([[0.9, 0.2]]), [0.1, 0.95])
        array([[-1,  0]], dtype=int32)
    """
    ranked, scores = _pair(ranked, scores)
    bars = _check.array(np.atleast_1d(threshold), "threshold", np.float64, 1, kinds="iuf")
    if np.ndim(threshold) and ranked.size and ranked.max() >= bars.size:
        raise ValueError(f"threshold must have a number for each label up to {ranked.max()}, not {bars.size}")
    bars = np.append(bars, np.inf)[ranked] if np.ndim(threshold) else bars[0]  # the last one for label -1
    return np.where(scores >= bars, ranked, -1).astype(np.int32)


def _judged(ranked, scores, labels):
    ranked, scores = _pair(ranked, scores)
    return ranked, scores, metrics.hits(ranked, labels)


def _pair(ranked, scores):
    ranked = _check.array(ranked, "ranked", np.int64, 2)
    scores = _check.array(scores, "scores", np.float64, 2, kinds="iuf")
    if scores.shape != ranked.shape:
        raise ValueError(f"scores must have the shape of ranked, {ranked.shape}, not {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError("scores must not hold NaN")
    return ranked, scores


def _thresholds(group, scores, hits, truths):
    """Threshold of the largest F1 = 2 hits / (accepted + truths) in every group."""
    order = np.lexsort((-scores, group))
    group, scores, hits = group[order], scores[order], hits[order]
    starts = np.searchsorted(group, np.arange(truths.size))
    before = np.concatenate([[0], np.cumsum(hits)])
    accepted = np.arange(group.size) - starts[group] + 1
    found = before[1:] - before[starts[group]]
    value = 2 * found / np.maximum(accepted + truths[group], 1)
    last = np.append((group[1:] != group[:-1]) | (scores[1:] != scores[:-1]), True)[:group.size]  # equal scores are accepted together
    value = np.where(last, value, 0.0)
    best = np.full(truths.size, np.inf)
    order = np.lexsort((scores, value, group))  # the best of a group comes last in it, of equal ones the one of the largest score
    ends = np.searchsorted(group[order], np.arange(truths.size), side="right") - 1
    some = np.flatnonzero((ends >= 0) & (group.size > 0))
    some = some[(group[order][ends[some]] == some) & (value[order][ends[some]] > 0)]
    best[some] = scores[order][ends[some]]
    return best
