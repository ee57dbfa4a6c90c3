"""The joining of scores in plain Python: the losses whose minima the ranker's weights and calibration are."""
import math


def listwise_loss(weights, features, valid, hits, ridge=1e-3):
    """Mean over rows with a hit of the mean over its hits of -log softmax of the joined scores, and a pull of the weights toward 1."""
    total, rows = 0.0, 0
    for row, usable, right in zip(features, valid, hits):
        if not any(right):
            continue
        scores = [sum(w * f for w, f in zip(weights, one)) for one in row]
        top = max(s for s, use in zip(scores, usable) if use)
        log_mass = top + math.log(sum(math.exp(s - top) for s, use in zip(scores, usable) if use))
        total += sum(log_mass - s for s, hit in zip(scores, right) if hit) / sum(right)
        rows += 1
    return total / max(1, rows) + ridge / 2 * sum((w - 1) ** 2 for w in weights)


def platt_loss(slope, offset, scores, hits):
    """Mean cross-entropy of sigmoid(slope * score + offset) with Platt's targets in place of 0 and 1."""
    positives, n = sum(hits), len(hits)
    high, low = (positives + 1) / (positives + 2), 1 / (n - positives + 2)
    total = 0.0
    for score, hit in zip(scores, hits):
        z, target = slope * score + offset, high if hit else low
        total += max(z, 0) - z * target + math.log1p(math.exp(-abs(z)))
    return total / n
