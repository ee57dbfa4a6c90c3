"""Heads for recommendation in plain Python numbers and lists: the specification."""
import math

from naive.dense import dot, layer_norm, mlp


def sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def log_loss(scores, clicks):
    return -sum(c * math.log(sigmoid(z)) + (1 - c) * math.log(sigmoid(-z)) for z, c in zip(scores, clicks)) / len(scores)


def squared_loss(scores, targets):
    return sum((z - t)**2 / 2 for z, t in zip(scores, targets)) / len(scores)


def bpr_loss(wanted, other):
    return -sum(math.log(sigmoid(a - b)) for a, b in zip(wanted, other)) / len(wanted)


def triplet_loss(near, far, margin):
    return sum(max(0.0, a - b + margin) for a, b in zip(near, far)) / len(near)


def factors(users, items, user_bias, item_bias, bias):
    return [dot(p, q) + a + b + bias for p, q, a, b in zip(users, items, user_bias, item_bias)]


def fm(rows, weights, bias):
    """Every pair by itself."""
    return [bias + sum(own) + sum(dot(row[i], row[j]) for i in range(len(row)) for j in range(i)) for row, own in zip(rows, weights)]


def wukong(x, project, weights, biases, activation, compress, residual):
    """One row x, a list of F vectors: the matrix of all inner products times `project`, and so on."""
    products = [[dot(a, b) for b in x] for a in x]
    flat = layer_norm([dot(line, column) for line in products for column in zip(*project)])
    (flat,), d = mlp([flat], weights, biases, activation), len(x[0])
    parts = [flat[i:i + d] for i in range(0, len(flat), d)] + [[dot(line, column) for column in zip(*x)] for line in compress]
    added = [[dot(line, column) for column in zip(*x)] for line in residual]
    return [layer_norm([p + q for p, q in zip(a, b)]) for a, b in zip(parts, added)]
