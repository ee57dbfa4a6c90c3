"""Nets with layer or batch norm, and clipped training, in plain Python floats: the specification. Nets, rows and labels are those of
`naive.shallow`, with gains[layer] for the hidden layers, and averages[layer] of batch norm, each [means, variances]."""
import math

from naive import dense, mach


def forward(net, gains, x, norm, activation="relu", factors=None, averages=None):
    """For every layer, of a batch: inputs (pairs), sums before the norm, normed sums, arguments of the activation, values."""
    found, inputs = [], x
    for i, (weights, biases) in enumerate(net):
        sums = [[sum(value * weights[f][j] for f, value in row) for j in range(len(biases))] for row in inputs]
        normed, hidden = sums, i < len(net) - 1
        if hidden and norm == "layer":
            normed = [dense.layer_norm(row) for row in sums]
        elif hidden and norm == "batch":
            moments = [dense.moments(column) for column in zip(*sums)] if averages is None else list(zip(*averages[i]))
            normed = [list(row) for row in zip(*[dense.normed(column, *own) for column, own in zip(zip(*sums), moments)])]
        gain = gains[i] if hidden and norm != "none" else [1.0] * len(biases)
        z = [[g * s + b for g, s, b in zip(gain, row, biases)] for row in normed]
        values = [[dense.ACTIVATIONS[activation](v) for v in row] for row in z] if hidden else z
        if factors and hidden:
            values = [[v * f for v, f in zip(row, own[i])] for row, own in zip(values, factors)]
        found.append((inputs, sums, normed, z, values))
        inputs = [list(enumerate(row)) for row in values]
    return found


def scores(net, gains, x, norm, activation="relu", averages=None):
    return forward(net, gains, x, norm, activation, None, averages)[-1][-1]


def back(slopes, values, eps=1e-5):
    """Slopes of numbers from those of the numbers less their mean, over their deviation."""
    mean, variance = dense.moments(values)
    normed, n = dense.normed(values, mean, variance, eps), len(values)
    total, product = sum(slopes) / n, dense.dot(slopes, normed) / n
    return [(s - total - z * product) / math.sqrt(variance + eps) for s, z in zip(slopes, normed)]


def gradient(net, gains, x, y, own, buckets, softmax, norm, activation="relu", factors=None):
    """Of one batch: sum of the losses; for every layer the gradients of their mean by weights[input] (a dict) and by biases; by gains."""
    run = forward(net, gains, x, norm, activation, factors)
    hits = [mach.targets([own], labels) for labels in y]
    total = sum(mach.loss(row, hit, buckets, softmax) for row, hit in zip(run[-1][-1], hits))
    slopes = [[s / len(x) for s in mach.slopes(row, hit, buckets, softmax)] for row, hit in zip(run[-1][-1], hits)]
    found, by_gain = [], []
    for i in range(len(net) - 1, -1, -1):
        inputs, sums, normed, z, _ = run[i]
        if i < len(net) - 1:
            if factors:
                slopes = [[s * f for s, f in zip(row, own_factors[i])] for row, own_factors in zip(slopes, factors)]
            slopes = [[s * dense.SLOPES[activation](v) for s, v in zip(row, values)] for row, values in zip(slopes, z)]
        by_bias = [sum(column) for column in zip(*slopes)]
        if i < len(net) - 1 and norm != "none":
            by_gain.insert(0, [dense.dot(s, n) for s, n in zip(zip(*slopes), zip(*normed))])
            slopes = [[s * g for s, g in zip(row, gains[i])] for row in slopes]
            if norm == "layer":
                slopes = [back(row, values) for row, values in zip(slopes, sums)]
            else:
                slopes = list(zip(*[back(list(column), list(values)) for column, values in zip(zip(*slopes), zip(*sums))]))
        by_input = {}
        for row, own_slopes in zip(inputs, slopes):
            for f, value in row:
                by_input[f] = [a + value * s for a, s in zip(by_input.get(f, [0.0] * len(by_bias)), own_slopes)]
        found.insert(0, [by_input, by_bias])
        slopes = [[dense.dot(weights, row) for weights in net[i][0]] for row in slopes]
    return total, found, by_gain


def clipped(found, by_gain, limit):
    """The gradients, scaled so that their common length is at most `limit`; and the length before."""
    lists = [line for by_input, by_bias in found for line in (*by_input.values(), by_bias)] + by_gain
    length = math.sqrt(sum(g * g for line in lists for g in line))
    factor = min(1.0, limit / length) if length else 1.0

    def scaled(line):
        return [g * factor for g in line]
    return ([[{f: scaled(line) for f, line in by_input.items()}, scaled(by_bias)] for by_input, by_bias in found],
            [scaled(line) for line in by_gain], length)


def see(averages, seen, run, keep=0.9):
    """The averages after a batch, of which `seen` with more than one row came before; one row does not count."""
    if len(run[0][1]) == 1:
        return averages, seen
    share = max(1 - keep, 1 / (seen + 1))
    out = []
    for own, layer in zip(averages, run):
        moments = zip(*[dense.moments(column) for column in zip(*layer[1])])
        out.append([[a + share * (b - a) for a, b in zip(old, new)] for old, new in zip(own, moments)])
    return out, seen + 1


def train(net, gains, state, gain_state, rule, constants, x, y, own, buckets, softmax, order, batch, norm, activation="relu", factors=None,
          averages=(), clip=None):
    """One pass of one net in place; returns the mean loss of a row and the averages. factors(step, rows) : those of `forward`, or None."""
    total, seen = 0.0, 0
    for done, start in enumerate(range(0, len(order), batch), 1):
        part = order[start:start + batch]
        rows, labels = [x[i] for i in part], [y[i] for i in part]
        own_factors = factors and factors(done - 1, len(part))
        loss, found, by_gain = gradient(net, gains, rows, labels, own, buckets, softmax, norm, activation, own_factors)
        if norm == "batch":
            averages, seen = see(averages, seen, forward(net, gains, rows, norm, activation, own_factors))
        total += loss
        if clip is not None:
            found, by_gain, _ = clipped(found, by_gain, clip)
        for (weights, biases), (wm, wv, bm, bv), (by_input, by_bias) in zip(net, state, found):
            mach.update(rule, constants, done, biases, by_bias, bm, bv)
            for f, g in by_input.items():
                mach.update(rule, constants, done, weights[f], g, wm[f], wv[f])
        for gain, (m, v), g in zip(gains, gain_state, by_gain):
            mach.update(rule, constants, done, gain, g, m, v)
    return total / len(order), averages
