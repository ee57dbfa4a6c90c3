"""What held-out rows say about scores: how much each part of a score should count, and which probability a score stands for."""
import numpy as np


def fit_weights(features, valid, hits, present):
    """Weights of the features that make the true labels of the shortlists likeliest under a softmax, drawn a little toward 1.

    features : float64 (n, m, parts), what is known of each label on each shortlist.  valid : bool (n, m), whether there is a label.
    hits : bool (n, m), whether it is a true one; rows without any do not count.  present : bool (parts,), the weights that are fitted.
    Returns float64 (parts,), 0 for the others: the minimum of the mean of -log(softmax) of the true labels, by Newton's method.
    Source: Cao et al. 2007, "Learning to rank: from pairwise approach to listwise approach"; the labels of a row share its target."""
    rows = hits.any(axis=1)
    features, valid, hits = features[rows], valid[rows], hits[rows]
    weights = np.where(present, 1.0, 0.0)
    free = np.flatnonzero(present)
    if not len(features):
        return weights
    features = features[:, :, free]
    target = (features * hits[:, :, None]).sum(1) / hits.sum(1)[:, None]
    ridge = 1e-3

    def loss(own):
        scores = np.where(valid, features @ own, -np.inf)
        tops = scores.max(1, keepdims=True)
        share = np.exp(scores - tops)
        mass = share.sum(1, keepdims=True)
        share /= mass
        mean = (features * share[:, :, None]).sum(1)
        centred = features - mean[:, None, :]
        value = (tops[:, 0] + np.log(mass[:, 0]) - target @ own).mean() + ridge / 2 * ((own - 1) ** 2).sum()
        slope = (mean - target).mean(0) + ridge * (own - 1)
        return value, slope, np.einsum("nm,nmi,nmj->ij", share, centred, centred, optimize=True) / len(features) + ridge * np.eye(free.size)

    weights[free] = _minimum(loss, weights[free])
    return weights


def fit_platt(scores, valid, hits):
    """Slope and offset of the sigmoid of a score that comes nearest to the probability of a hit.

    scores : floats (n, m).  valid, hits : bool (n, m), as in `fit_weights`.
    Returns float64 (2,); (1, 0) where all labels are hits or none is.
    Source: Platt 1999, with his soft targets; by Newton's method."""
    score, hit = scores[valid].astype(np.float64), hits[valid].astype(np.float64)
    if not hit.any() or hit.all():
        return np.array([1.0, 0.0])
    share, centre, spread = hit.mean(), score.mean(), score.std() or 1.0
    wanted = np.where(hit > 0, (hit.sum() + 1) / (hit.sum() + 2), 1 / (hit.size - hit.sum() + 2))  # Platt's soft targets
    inputs = np.stack([(score - centre) / spread, np.ones_like(score)], 1)

    def loss(found):
        z = inputs @ found
        p = np.exp(-np.logaddexp(0, -z))
        return ((np.logaddexp(0, z) - wanted * z).mean(), inputs.T @ (p - wanted) / score.size,
                (inputs * (p * (1 - p))[:, None]).T @ inputs / score.size + 1e-9 * np.eye(2))

    slope, offset = _minimum(loss, np.array([0.0, np.log(share / (1 - share))]))
    return np.array([slope / spread, offset - slope / spread * centre])


def probabilities(scores, slope, offset):
    """sigmoid(slope * score + offset) as float32 in the shape of `scores`; 0 for a score of -inf, where there is no label."""
    scores = np.asarray(scores, np.float64)
    none = np.isneginf(scores)
    z = slope * np.where(none, 0.0, scores) + offset
    return np.where(none, 0.0, np.exp(-np.logaddexp(0, -z))).astype(np.float32)


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
