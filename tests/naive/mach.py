"""Linear MACH in plain Python floats: the specification. weights[feature][column], column = repetition * buckets + bucket; a row is a list
of (feature, value) pairs, its labels a list, and table[repetition][label] a bucket."""
import math

from naive import optim


def scores(weights, biases, row):
    return [b + sum(value * weights[f][j] for f, value in row) for j, b in enumerate(biases)]


def targets(table, labels):
    """Per repetition the set of buckets that hold a label of the row."""
    return [{own[label] for label in labels} for own in table]


def loss(z, hit, buckets, softmax):
    """Loss of one row, summed over the repetitions."""
    total = 0.0
    for r, wanted in enumerate(hit):
        own = z[r * buckets:(r + 1) * buckets]
        if not softmax:
            total += sum(max(s, 0.0) + math.log1p(math.exp(-abs(s))) - (b in wanted) * s for b, s in enumerate(own))
        elif wanted:
            top = max(own)
            total += top + math.log(sum(math.exp(s - top) for s in own)) - sum(own[b] for b in wanted) / len(wanted)
    return total


def slopes(z, hit, buckets, softmax):
    """Derivatives of the loss of one row by its scores."""
    out = []
    for r, wanted in enumerate(hit):
        own = z[r * buckets:(r + 1) * buckets]
        if not softmax:
            out += [1 / (1 + math.exp(-s)) - (b in wanted) for b, s in enumerate(own)]
        elif wanted:
            top = max(own)
            mass = sum(math.exp(s - top) for s in own)
            out += [math.exp(s - top) / mass - (b in wanted) / len(wanted) for b, s in enumerate(own)]
        else:
            out += [0.0] * buckets
    return out


def gradient(weights, biases, x, y, table, buckets, softmax):
    """Of one batch: sum of the losses; gradients of their mean by the weights of the features that occur (a dict) and by the biases."""
    total, by_feature, by_bias = 0.0, {}, [0.0] * len(biases)
    for row, labels in zip(x, y):
        z, hit = scores(weights, biases, row), targets(table, labels)
        total += loss(z, hit, buckets, softmax)
        own = [s / len(x) for s in slopes(z, hit, buckets, softmax)]
        by_bias = [a + b for a, b in zip(by_bias, own)]
        for f, value in row:
            by_feature[f] = [a + value * b for a, b in zip(by_feature.get(f, [0.0] * len(own)), own)]
    return total, by_feature, by_bias


def update(rule, constants, t, w, g, m, v):
    """One step of a list of numbers, in place."""
    for j, slope in enumerate(g):
        w[j], m[j], v[j] = optim.step(rule, constants, t, w[j], slope, m[j], v[j])


def moments(weights, biases):
    """Fresh state: m and v of the weights, m and v of the biases."""
    return [[[0.0] * len(biases) for _ in weights] for _ in range(2)] + [[0.0] * len(biases) for _ in range(2)]


def train(weights, biases, state, rule, constants, x, y, table, buckets, softmax, order, batch, last_lr=None, done=0):
    """One pass in place after `done` steps; returns the mean loss of a row and repetition."""
    lr, *others = constants
    wm, wv, bm, bv = state
    total = 0.0
    for start in range(0, len(order), batch):
        part = order[start:start + batch]
        now = (lr if last_lr is None else lr + (last_lr - lr) * start / len(order), *others)
        found, by_feature, by_bias = gradient(weights, biases, [x[i] for i in part], [y[i] for i in part], table, buckets, softmax)
        total += found
        done += 1
        update(rule, now, done, biases, by_bias, bm, bv)
        for f, g in by_feature.items():
            update(rule, now, done, weights[f], g, wm[f], wv[f])
    return total / (len(order) * len(table))
