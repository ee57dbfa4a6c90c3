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
