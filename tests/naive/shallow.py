"""MACH with hidden layers in plain Python floats: the specification. A net is a list of layers, each [weights[input][output], biases];
a row is a list of (feature, value) pairs, and own[label] the bucket of a label in the net's repetition."""
from naive import mach


def outputs(net, row):
    """Values of every layer: the hidden ones after the ReLU, the scores of the buckets last."""
    values, inputs = [], row
    for i, (weights, biases) in enumerate(net):
        z = [b + sum(value * weights[f][j] for f, value in inputs) for j, b in enumerate(biases)]
        values.append(z if i == len(net) - 1 else [max(v, 0.0) for v in z])
        inputs = list(enumerate(values[-1]))
    return values


def gradient(net, x, y, own, buckets, softmax):
    """Of one batch: sum of the losses; for every layer the gradients of their mean by weights[input] (a dict) and by biases."""
    total, found = 0.0, [[{}, [0.0] * len(biases)] for _, biases in net]
    for row, labels in zip(x, y):
        values, hit = outputs(net, row), mach.targets([own], labels)
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
                slopes = [sum(w * s for w, s in zip(weights[f], slopes)) if value > 0 else 0.0 for f, value in enumerate(values[i - 1])]
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
