"""What held-out rows say about scores: how much each part of a score should count, and which probability a score stands for."""
import numpy as np


def fit_weights(features, valid, hits, present):
    """Weights of the features that put the true labels of the shortlists before the others, drawn a little toward 1.

    features : float64 (n, m, parts), what is known of each label on each shortlist.  valid : bool (n, m), whether there is a label.
    hits : bool (n, m), whether it is a true one; rows without any, or with nothing else, do not count.
    present : bool (parts,), the weights that are fitted.
    Returns float64 (parts,), 0 for the others: the minimum, by Newton's method, of the mean over rows of the mean over true labels of
    -log(softmax) of the label among itself and the labels that are not true, so that true labels do not compete with each other.
    Source: Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach", with a list for every true label."""
    rows = hits.any(axis=1) & (valid & ~hits).any(axis=1)
    features, valid, hits = features[rows], valid[rows], hits[rows]
    weights = np.where(present, 1.0, 0.0)
    free = np.flatnonzero(present)
    if not len(features):
        return weights
    features = features[:, :, free]
    row, place = np.nonzero(hits)
    own = features[row, place]  # (true labels, parts)
    share = 1 / (hits.sum(1)[row] * len(features))  # of each true label in the mean
    ridge = 1e-3

    def loss(found):
        scores = features @ found
        others = np.where(valid & ~hits, scores, -np.inf)
        tops = others.max(1)
        mass = np.exp(others - tops[:, None])
        total = mass.sum(1)
        mass /= total[:, None]
        mean = (features * mass[:, :, None]).sum(1)
        around = features - mean[:, None, :]
        spread = np.einsum("nm,nmi,nmj->nij", mass, around, around, optimize=True)
        behind = (tops + np.log(total))[row] - scores[row, place]  # log of the others' mass over the label's
        lost = np.exp(-np.logaddexp(0, -behind))  # the others' part of the softmax
        gap = mean[row] - own
        value = share @ np.logaddexp(0, behind) + ridge / 2 * ((found - 1) ** 2).sum()
        slope = (share * lost) @ gap + ridge * (found - 1)
        curve = np.einsum("q,qi,qj->ij", share * lost * (1 - lost), gap, gap, optimize=True)
        curve += np.einsum("q,qij->ij", share * lost, spread[row], optimize=True)
        return value, slope, curve + ridge * np.eye(free.size)

    weights[free] = _minimum(loss, weights[free])
    return weights


def apart(scores, valid, among, size=None):
    """Scores less `among` times the logarithm of the sum of exp(score) over the valid places of their row.

    scores : float32 (n, m), minus infinity where there is no label.  valid : bool (n, m).  among : float.
    size : int, the first so many places make the sum; None takes all.
    Returns float32 (n, m); rows without a valid place, and all of them with among 0, as they are."""
    if not among:
        return scores
    return (scores - among * _mass(scores[:, :size], valid[:, :size])).astype(np.float32)


def fit_among(scores, valid, hits):
    """How much of the logarithm of the sum of exp(score) over the valid places of a row is to be taken off its scores so that the sigmoid
    of a line through them comes nearest to the probability of a hit: near 1 where rows have one label each, less where they have several.

    scores : floats (n, m), minus infinity where there is no label.  valid, hits : bool (n, m), as in `fit_weights`.
    Returns float from 0 to 2; 0 where all labels are hits or none is, and where higher scores are no likelier hits.
    Source: Platt 1999, with the row's log-partition as a second input, as our own."""
    found = _fit_line([scores[valid], np.broadcast_to(_mass(scores, valid), valid.shape)[valid]], hits[valid])
    if found is None:
        return 0.0
    slope, taken, _ = found
    return float(np.clip(-taken / slope, 0.0, 2.0)) if slope > 1e-6 else 0.0


def fit_platt(scores, valid, hits):
    """Slope and offset of the sigmoid of a score that comes nearest to the probability of a hit.

    scores : floats (n, m).  valid, hits : bool (n, m), as in `fit_weights`.
    Returns float64 (2,); (1, 0) where all labels are hits or none is.
    Source: Platt 1999, with his soft targets; by Newton's method."""
    found = _fit_line([scores[valid]], hits[valid])
    return np.array([1.0, 0.0]) if found is None else found


def probabilities(scores, slope, offset):
    """sigmoid(slope * score + offset) as float32 in the shape of `scores`; 0 for a score of -inf, where there is no label."""
    scores = np.asarray(scores, np.float64)
    none = np.isneginf(scores)
    z = slope * np.where(none, 0.0, scores) + offset
    return np.where(none, 0.0, np.exp(-np.logaddexp(0, -z))).astype(np.float32)


def _mass(scores, valid):
    """Logarithm of the sum of exp(score) over the valid places of each row: float64 (n, 1), 0 where there is none."""
    some = valid.any(axis=1, keepdims=True)
    scores = np.where(valid, scores, -np.inf).astype(np.float64)
    tops = np.where(some, scores.max(axis=1, keepdims=True, initial=-np.inf), 0.0)
    return tops + np.log(np.where(some, np.exp(scores - tops).sum(axis=1, keepdims=True), 1.0))


def _fit_line(columns, hits):
    """Slope of every column, and offset, of the line whose sigmoid comes nearest to Platt's soft targets; None if all are hits or none."""
    columns, hit = [column.astype(np.float64) for column in columns], hits.astype(np.float64)
    if not hit.any() or hit.all():
        return None
    share, centres, spreads = hit.mean(), [own.mean() for own in columns], [own.std() or 1.0 for own in columns]
    inputs = np.stack([*((own - c) / s for own, c, s in zip(columns, centres, spreads)), np.ones(hit.size)], 1)
    wanted = np.where(hit > 0, (hit.sum() + 1) / (hit.sum() + 2), 1 / (hit.size - hit.sum() + 2))
    *slopes, offset = _minimum(_logistic(inputs, wanted), np.append(np.zeros(len(columns)), np.log(share / (1 - share))))
    slopes = [slope / s for slope, s in zip(slopes, spreads)]
    for slope, c in zip(slopes, centres):
        offset = offset - slope * c
    return np.array([*slopes, offset])


def _logistic(inputs, wanted):
    """Mean cross-entropy of the sigmoid of inputs @ weights with the targets `wanted`, as `_minimum` takes it."""
    def loss(found):
        z = inputs @ found
        p = np.exp(-np.logaddexp(0, -z))
        return ((np.logaddexp(0, z) - wanted * z).mean(), inputs.T @ (p - wanted) / wanted.size,
                (inputs * (p * (1 - p))[:, None]).T @ inputs / wanted.size + 1e-9 * np.eye(found.size))
    return loss


def _minimum(loss, found):
    """Minimum of a convex function that returns its value, gradient and curvature: Newton's steps, halved until the value falls, because
    whole ones diverge where the scores are far apart."""
    value, slope, curve = loss(found)
    for _ in range(100):
        step = np.linalg.solve(curve, slope)
        fall, part = slope @ step, 1.0
        if fall < 1e-14:
            break
        ahead = loss(found - step)
        while not ahead[0] <= value - 1e-4 * part * fall:
            part /= 2
            if part < 1e-12:  # no further fall that rounding would show
                return found
            ahead = loss(found - part * step)
        found, (value, slope, curve) = found - part * step, ahead
    return found
