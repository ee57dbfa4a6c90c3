"""Counts of features with labels, and votes, in plain Python: the specification. Rows are lists of (column, value)."""
from naive.sparse import single


def count(rows, labels):
    """{(feature, label): rows with both}, {feature: rows}, {label: rows}, rows."""
    both, features, own = {}, {}, {}
    for row, line in zip(rows, labels):
        for label in line:
            own[label] = own.get(label, 0) + 1
        for feature, _ in row:
            features[feature] = features.get(feature, 0) + 1
            for label in line:
                both[feature, label] = both.get((feature, label), 0) + 1
    return both, features, own, len(rows)


def decay(counted, factor):
    """The same with every number times the factor, rounded down, without pairs of 0."""
    both, features, own, n = counted
    less = [{key: int(c * factor) for key, c in part.items()} for part in (both, features, own)]
    return {key: c for key, c in less[0].items() if c}, less[1], less[2], int(n * factor)


def erase(counted, labels):
    """The same without some labels."""
    both, features, own, n = counted
    return ({key: c for key, c in both.items() if key[1] not in labels}, features,
            {label: c for label, c in own.items() if label not in labels}, n)


def weights(counted, width, feature_power, label_power, smoothing, expected, keep, threshold):
    """For each feature [(label, weight)], labels ascending, before rounding to 8 bits."""
    both, features, own, n = counted
    out = []
    for j in range(width):
        found = []
        for (feature, label), c in both.items():
            if feature == j:
                above = c - expected * features[j] * (own[label] / n)
                weight = single(above / (features[j] + smoothing)**feature_power / own[label]**label_power)
                if weight > 0 and weight >= single(threshold):
                    found.append((label, weight))
        out.append(sorted(sorted(found, key=lambda entry: (-entry[1], entry[0]))[:keep]))
    return out


def candidates(lists, rows, k, power):
    """The k best (label, score) of each row by the votes of `lists`, a list of (label, scale, parts) for each feature."""
    out = []
    for row in rows:
        sums = {}
        for feature, value in row:
            for label, scale, parts in lists[feature]:
                share = single(single(value**power) * scale) if value > 0 else 0.0
                if share > 0:
                    sums[label] = single(sums.get(label, 0.0) + single(share * parts))
        out.append(sorted(sums.items(), key=lambda entry: (-entry[1], entry[0]))[:k])
    return out
