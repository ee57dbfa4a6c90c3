"""Growing and pruning in plain Python numbers and lists: the specification. Nets are those of `naive.shallow`, of dense first layers."""
import math


def column(weights, biases, j):
    return math.sqrt(sum(row[j]**2 for row in weights) + biases[j]**2)


def magnitudes(net):
    """For every hidden layer the scores of its units."""
    return [[column(weights, biases, j) * math.sqrt(sum(w * w for w in above[j])) for j in range(len(biases))]
            for (weights, biases), (above, _) in zip(net, net[1:])]


def best(scores, count):
    order = sorted(range(len(scores)), key=lambda j: (-scores[j], j))[:count]
    return [j in order for j in range(len(scores))]


def within(scores, nonzeros, buckets, budget):
    """How many units of each layer stay: scores[layer][repetition][unit]. Every threshold is tried, from the highest down."""
    curves = [[sum(own) / len(own) for own in zip(*[sorted(one, reverse=True) for one in layer])] for layer in scores]
    allowed = None
    for threshold in sorted({v for curve in curves for v in curve[1:]} | {math.inf}, reverse=True):
        counts = [1 + sum(v >= threshold for v in curve[1:]) for curve in curves]
        if flops(nonzeros, counts, buckets) > budget:
            break
        allowed = counts
    return allowed


def flops(nonzeros, hidden, buckets):
    total, inputs = 0, nonzeros
    for units in [*hidden, buckets]:
        total, inputs = total + inputs * units, units
    return total


def compact(net, kept):
    """The net of the units that stay, kept[layer][unit]."""
    out = []
    for i, (weights, biases) in enumerate(net):
        rows = kept[i - 1] if i else [True] * len(weights)
        columns = kept[i] if i < len(kept) else [True] * len(biases)
        left = [[w for w, c in zip(row, columns) if c] for row, r in zip(weights, rows) if r]
        out.append([left, [b for b, c in zip(biases, columns) if c]])
    return out


def expand(net, kept, wide, back):
    """The wider net with the given one in the places of the units kept[layer][unit]; what leaves others is zero unless they come back."""
    out = []
    for i, (weights, biases) in enumerate(wide):
        rows = kept[i - 1] if i else [True] * len(weights)
        columns = kept[i] if i < len(kept) else [True] * len(biases)
        own_rows, own_biases = iter(net[i][0]), iter(net[i][1])
        made = []
        for row, r in zip(weights, rows):
            own = iter(next(own_rows)) if r else None
            made.append([next(own) if r and c else (0.0 if c and not r and not back else w) for w, c in zip(row, columns)])
        out.append([made, [next(own_biases) if c else b for b, c in zip(biases, columns)]])
    return out


def falling(shares, lr):
    """Rate before each pass, and after the last: what is left of the work."""
    return [lr * sum(shares[i:]) / (sum(shares) or 1) for i in range(len(shares) + 1)]


def learn_gates(scores, rate, price, weights, gradient):
    """Scores after one step, and the gradient that the weights take."""
    out = []
    for s, row, slopes in zip(scores, weights, gradient):
        sigma = 1 / (1 + math.exp(-s))
        out.append(s - rate * (sum(w * g for w, g in zip(row, slopes)) + price * sigma * (1 - sigma)))
    return out, [[g if s > 0 else 0.0 for g in slopes] for s, slopes in zip(scores, gradient)]
