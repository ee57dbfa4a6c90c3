"""The joining of scores in plain Python: the losses whose minima the ranker's weights and calibration are."""
import math


def listwise_loss(weights, features, valid, hits, ridge=1e-3):
    """Mean over rows with hits and others of the mean over the hits of -log softmax of a hit among itself and the others, and a pull of
    the weights toward 1."""
    total, rows = 0.0, 0
    for row, usable, right in zip(features, valid, hits):
        scores = [sum(w * f for w, f in zip(weights, one)) for one in row]
        others = [s for s, use, hit in zip(scores, usable, right) if use and not hit]
        if not any(right) or not others:
            continue
        for score in (s for s, hit in zip(scores, right) if hit):
            top = max(others + [score])
            total += (top + math.log(sum(math.exp(s - top) for s in others + [score])) - score) / sum(right)
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


def platt(scores, hits, steps=200):
    """Slope and offset at the minimum of `platt_loss`: Newton's method in standard units, steps halved until the loss falls."""
    n = len(scores)
    centre = sum(scores) / n
    spread = math.sqrt(sum((s - centre) ** 2 for s in scores) / n)
    units = [(s - centre) / spread for s in scores]
    high, low = (sum(hits) + 1) / (sum(hits) + 2), 1 / (n - sum(hits) + 2)
    a = b = 0.0
    for _ in range(steps):
        chances = [1 / (1 + math.exp(-(a * u + b))) for u in units]
        errors = [p - (high if hit else low) for p, hit in zip(chances, hits)]
        ga, gb = sum(e * u for e, u in zip(errors, units)), sum(errors)
        bends = [p * (1 - p) for p in chances]
        aa, ab, bb = sum(c * u * u for c, u in zip(bends, units)), sum(c * u for c, u in zip(bends, units)), sum(bends)
        determinant = aa * bb - ab * ab
        da, db = (bb * ga - ab * gb) / determinant, (aa * gb - ab * ga) / determinant
        here, part = platt_loss(a, b, units, hits), 1.0
        while part > 1e-9 and platt_loss(a - part * da, b - part * db, units, hits) > here:
            part /= 2
        a, b = a - part * da, b - part * db
        if abs(part * da) + abs(part * db) < 1e-12:
            break
    return a / spread, b - a * centre / spread
