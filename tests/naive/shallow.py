"""MACH with hidden layers in plain Python floats: the specification. A net is a list of layers, each [weights[input][output], biases];
a row is a list of (feature, value) pairs, and own[label] the bucket of a label in the net's repetition."""
from naive import dense, hashing, mach


def forward(net, row, activation="relu", factors=None):
    """For every layer its sums and its values: the hidden ones after the activation, times factors[layer], the scores last."""
    found, inputs = [], row
    for i, (weights, biases) in enumerate(net):
        z = [b + sum(value * weights[f][j] for f, value in inputs) for j, b in enumerate(biases)]
        values = z if i == len(net) - 1 else [dense.ACTIVATIONS[activation](v) for v in z]
        if factors and i < len(net) - 1:
            values = [v * f for v, f in zip(values, factors[i])]
        found.append((z, values))
        inputs = list(enumerate(values))
    return found


def outputs(net, row, activation="relu"):
    """Values of every layer."""
    return [values for _, values in forward(net, row, activation)]


def dropout(net, r, step, place, rate, seed):
    """Factors of the hidden values of net r for the row at a place of the batch: the coins of a seed for each net and hidden layer."""
    factors = []
    for i, (_, biases) in enumerate(net[:-1]):
        key, width = hashing.mix(hashing.seeds(2 * r + 2, seed)[2 * r + i], step), len(biases)
        kept = [hashing.mix(key, place * width + j) >> 32 < round((1 - rate) * 2**32) for j in range(width)]
        factors.append([1 / (1 - rate) if k else 0.0 for k in kept])
    return factors


def gradient(net, x, y, own, buckets, softmax, activation="relu", factors=None):
    """Of one batch: sum of the losses; for every layer the gradients of their mean by weights[input] (a dict) and by biases.

    factors : None, or for every row those of `forward`."""
    total, found = 0.0, [[{}, [0.0] * len(biases)] for _, biases in net]
    for n, (row, labels) in enumerate(zip(x, y)):
        own_factors = factors and factors[n]
        sums, values = zip(*forward(net, row, activation, own_factors))
        hit = mach.targets([own], labels)
        total += mach.loss(values[-1], hit, buckets, softmax)
        slopes = [s / len(x) for s in mach.slopes(values[-1], hit, buckets, softmax)]
        for i in range(len(net) - 1, -1, -1):
            by_input, by_bias = found[i]
            for j, s in enumerate(slopes):
                by_bias[j] += s
            for f, value in list(enumerate(values[i - 1])) if i else row:
                by_input[f] = [a + value * s for a, s in zip(by_input.get(f, [0.0] * len(slopes)), slopes)]
            if i:
                weights = net[i][0]
                back = [sum(w * s for w, s in zip(weights[f], slopes)) for f in range(len(weights))]
                slopes = [s * dense.SLOPES[activation](z) for s, z in zip(back, sums[i - 1])]
                if own_factors:
                    slopes = [s * f for s, f in zip(slopes, own_factors[i - 1])]
    return total, found


def moments(net):
    """Fresh state: for every layer m and v of the weights, m and v of the biases."""
    return [mach.moments(weights, biases) for weights, biases in net]


def train(net, state, rule, constants, x, y, own, buckets, softmax, order, batch, last_lr=None, done=0):
    """One pass of one net in place after `done` steps; returns the mean loss of a row. Rows of the first layer without gradient rest."""
    lr, *others = constants
    total = 0.0
    for start in range(0, len(order), batch):
        part = order[start:start + batch]
        now = (lr if last_lr is None else lr + (last_lr - lr) * start / len(order), *others)
        loss, found = gradient(net, [x[i] for i in part], [y[i] for i in part], own, buckets, softmax)
        total += loss
        done += 1
        for (weights, biases), (wm, wv, bm, bv), (by_input, by_bias) in zip(net, state, found):
            mach.update(rule, now, done, biases, by_bias, bm, bv)
            for f, g in by_input.items():
                mach.update(rule, now, done, weights[f], g, wm[f], wv[f])
    return total / len(order)
