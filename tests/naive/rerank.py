"""Low-rank factors in plain Python floats: the specification. A table is a list of vectors, a row a list of (column, value) pairs."""
import math

from naive import hashing

SKIPPED = 1e-3  # slopes below are not worth a step


def locate(row, seed, cells, columns):
    """The row over table rows instead of columns."""
    return [(hashing.bucket(hashing.mix(j, seed), cells) if columns > cells else j, value) for j, value in row]


def hidden(features, row):
    dim = len(features[0])
    return [sum(value * features[j][q] for j, value in row) for q in range(dim)]


def draw(key, own, candidates, near, far, n_labels):
    """The row's labels, then those draws that are none of them."""
    drawn = []
    for q in range(near + far):
        mixed = hashing.mix(q, key)
        label = candidates[hashing.bucket(mixed, len(candidates))] if q < near else hashing.bucket(mixed, n_labels)
        if label >= 0 and label not in own:
            drawn.append(label)
    return list(own) + drawn


def loss(scores, positives):
    """Cross-entropy between the softmax of the scores and a target spread evenly over the first ones, times the root of their number."""
    top = max(scores)
    log_mass = top + math.log(sum(math.exp(z - top) for z in scores))
    return math.sqrt(positives) * (log_mass - sum(scores[:positives]) / positives)


def slopes(scores, positives):
    """Minus the gradient of the loss."""
    top = max(scores)
    mass = sum(math.exp(z - top) for z in scores)
    return [math.sqrt(positives) * ((k < positives) / positives - math.exp(z - top) / mass) for k, z in enumerate(scores)]


def inner(a, b):
    return sum(x * y for x, y in zip(a, b))


def step(features, labels, feature_sums, label_sums, row, picked, positives, rate):
    """One row: labels move one after the other, the features after them by the labels' vectors of before. Returns the loss."""
    dim = len(features[0])
    h = hidden(features, row)
    scores = [inner(h, labels[k]) for k in picked]
    gradient = [0.0] * dim
    for k, e in zip(picked, slopes(scores, positives)):
        if abs(e) < SKIPPED:
            continue
        label_sums[k] += e * e
        gradient = [g + e * v for g, v in zip(gradient, labels[k])]
        labels[k] = [v + rate * e / math.sqrt(label_sums[k]) * x for v, x in zip(labels[k], h)]
    size = inner(gradient, gradient)
    for j, value in row:
        feature_sums[j] += 4 * value * value * size / dim
        features[j] = [u + rate * value / math.sqrt(feature_sums[j]) * g for u, g in zip(features[j], gradient)]
    return loss(scores, positives)


def train(features, labels, feature_sums, label_sums, key, seed, columns, x, y, shortlist, order, lr, last_lr, near, far):
    """One pass of one repetition, in place; `key` is that of the draws, `seed` that of the columns. Returns the mean loss."""
    losses = []
    for t, i in enumerate(order):
        if not x[i] or not y[i]:
            continue
        row = locate(x[i], seed, len(features), columns)
        picked = draw(hashing.mix(t, key), y[i], shortlist[i], near, far, len(labels))
        rate = lr + (last_lr - lr) * t / len(order)
        losses.append(step(features, labels, feature_sums, label_sums, row, picked, len(y[i]), rate))
    return sum(losses) / max(1, len(losses))


def scores(repetitions, columns, x, shortlist):
    """Means over (features, labels, seed) of the repetitions; minus infinity for -1."""
    out = []
    for row, line in zip(x, shortlist):
        found = []
        for k in line:
            each = [inner(hidden(features, locate(row, seed, len(features), columns)), labels[k]) for features, labels, seed in repetitions]
            found.append(sum(each) / len(each) if k >= 0 else -math.inf)
        out.append(found)
    return out
