"""Layers of small dense nets in plain Python numbers and lists: the specification."""
import math

from naive import hashing


def dot(a, b):
    return sum(p * q for p, q in zip(a, b))


def softplus(z):
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


ACTIVATIONS = {"relu": lambda z: max(z, 0.0), "tanh": math.tanh, "mish": lambda z: z * math.tanh(softplus(z))}
SLOPES = {"relu": lambda z: float(z > 0), "tanh": lambda z: 1 / math.cosh(z)**2 if abs(z) < 300 else 0.0,
          "mish": lambda z: math.tanh(softplus(z)) + z * (1 - math.tanh(softplus(z))**2) / (1 + math.exp(-max(z, -700)))}


def affine(row, weights, bias):
    return [dot(row, column) + b for column, b in zip(zip(*weights), bias)]


def moments(values):
    mean = sum(values) / len(values)
    return mean, sum((z - mean)**2 for z in values) / len(values)


def normed(values, mean, variance, eps=1e-5):
    return [(z - mean) / math.sqrt(variance + eps) for z in values]


def layer_norm(row):
    return normed(row, *moments(row))


def batch_norm(rows):
    return [list(row) for row in zip(*[normed(column, *moments(column)) for column in zip(*rows)])]


def kept(seed, step, index, rate):
    """One seed from the seed, mixed with the step, mixed with the index; its high half is a number below 2**32."""
    key = hashing.mix(hashing.seeds(1, seed)[0], step)
    return hashing.mix(key, index) >> 32 < round((1 - rate) * 2**32)


def dropout(rows, rate, seed, step):
    width = len(rows[0])
    return [[z / (1 - rate) if kept(seed, step, i * width + j, rate) else 0.0 for j, z in enumerate(row)] for i, row in enumerate(rows)]


def cosine(row, column):
    length = math.sqrt(dot(row, row) * dot(column, column))
    return dot(row, column) / length if length else 0.0


def softmax_loss(rows, classes):
    return sum(math.log(sum(math.exp(z - max(row)) for z in row)) + max(row) - row[c] for row, c in zip(rows, classes)) / len(rows)


def sigmoid_loss(rows, targets):
    return sum(softplus(z) - t * z for row, own in zip(rows, targets) for z, t in zip(row, own)) / len(rows)


def mlp(rows, weights, biases, activation, norm="none", gains=(), rate=0.0, seed=0, step=0):
    """Output for a batch in training."""
    for i, (own, bias) in enumerate(zip(weights, biases)):
        rows = [affine(row, own, [0.0] * len(bias)) for row in rows]
        last = i + 1 == len(weights)
        if norm != "none" and not last:
            rows = [layer_norm(row) for row in rows] if norm == "layer" else batch_norm(rows)
            rows = [[g * z for g, z in zip(gains[i], row)] for row in rows]
        rows = [[z + b for z, b in zip(row, bias)] for row in rows]
        if not last:
            rows = [[ACTIVATIONS[activation](z) for z in row] for row in rows]
            rows = dropout(rows, rate, hashing.seeds(i + 1, seed)[i], step) if rate else rows
    return rows
