"""Small dense nets: layers, activations, normalisations, dropout, heads with their losses, and the nets made of them.

A layer `name` has a partner `name_grads` that takes the slopes of its result and the same arguments, and gives the slopes of the arguments;
a loss gives (its mean, slopes of the scores). All are NumPy functions of any float dtype; they compute in the dtype of their arguments
and change none. Deep hash embeddings and the nets of Wukong layers are made of them. Layers, the cosine head and whole nets take arrays on
a device too, all of a call's: NumPy's functions are CuPy's there.
"""
from typing import NamedTuple

import numpy as np

from . import _check, _place, hashing
from ._cpu import dense as _kernels
from ._scalar.dense import EPS

NORMS = ("none", "layer", "batch")


# ---- layers

@_place.anywhere
def affine(x, weights, bias):
    """Dense layer.  x : floats (n, inputs).  weights : (inputs, units).  bias : (units,).  Returns (n, units)."""
    return x @ weights + bias


@_place.anywhere
def affine_grads(slopes, x, weights, bias):
    """Slopes of (x, weights, bias) from those of the result (n, units)."""
    return slopes @ weights.T, x.T @ slopes, slopes.sum(0)


@_place.anywhere
def activate(z, activation):
    """Activation of every number.  z : floats of any shape.  activation : "relu", "tanh" or "mish".  Returns an array like z.

    Source: Mish, z tanh(log(1 + exp(z))): Misra 2019, equation 3.
    Example:
        >>> activate(np.array([-1.0, 0.0, 1.0]), "mish").round(4)
        array([-0.3034,  0.    ,  0.8651])
    """
    return _ACTIVATIONS[_check.choice(activation, "activation", _ACTIVATIONS)](z)[0]


@_place.anywhere
def activate_grads(slopes, z, activation):
    """Slopes of z from those of the result; that of a ReLU at zero is zero."""
    return slopes * _ACTIVATIONS[_check.choice(activation, "activation", _ACTIVATIONS)](z)[1]


@_place.anywhere
def layer_norm(x):
    """Rows less their mean, over their standard deviation, along the last axis; a linear layer behind it has all of gain and offset.

    x : floats of any shape.  Returns an array like x.  Source: Ba, Kiros & Hinton 2016, equation 3."""
    return _normed(x, -1)[0]


@_place.anywhere
def layer_norm_grads(slopes, x):
    """Slopes of x from those of the result."""
    return _normed_grads(slopes, *_normed(x, -1), -1)


@_place.anywhere
def batch_norm(x, stats=None):
    """Columns less their mean, over their standard deviation: those of the batch in training, and fixed ones afterwards.

    x : floats (n, d).  stats : None for those of the batch, or Moments.  Returns floats (n, d).
    Source: Ioffe & Szegedy 2015, algorithms 1 and 2; the gain and the offset are those of the layers around it.
    """
    return _normed(x, 0)[0] if stats is None else (x - stats.mean) / np.sqrt(stats.variance + x.dtype.type(EPS))


@_place.anywhere
def batch_norm_grads(slopes, x, stats=None):
    """Slopes of x from those of the result; in training every row of the batch has a share in the others."""
    return _normed_grads(slopes, *_normed(x, 0), 0) if stats is None else slopes / np.sqrt(stats.variance + x.dtype.type(EPS))


class Moments(NamedTuple):
    """Moving averages of the mean (d,) and the variance (d,) of the columns of batches, and how many batches they have seen (1,)."""
    mean: np.ndarray
    variance: np.ndarray
    steps: np.ndarray


def moments(d, dtype=np.float32):
    """Moments that have seen no batch.  d : int, columns.  Returns Moments."""
    return Moments(np.zeros(d, dtype), np.ones(d, dtype), np.zeros(1, np.int64))


def see(stats, x, keep=0.9):
    """Add a batch to moving averages, in place: they keep the share `keep` of what they are, at first less, for the plain mean.

    stats : Moments.  x : floats (n, d), n at least 1.  keep : float in [0, 1).
    """
    keep = _check.real(keep, "keep", 0, 1, open_high=True)
    stats.steps[0] += 1
    share = max(1.0 - keep, 1.0 / float(stats.steps[0]))
    for average, new in ((stats.mean, x.mean(0)), (stats.variance, x.var(0))):
        average += average.dtype.type(share) * (new - average)


def dropout_mask(shape, rate, *, seed, step, like=None):
    """Which numbers stay in a step of training: number i in C order by the hash of (seed, step, i), the same on every target.

    shape : ints.  rate : float in [0, 1), share that is left out.  seed, step : ints.  like : None, or an array on the device where the
    mask is wanted.  Returns bool of that shape.
    Example:
        >>> dropout_mask((2, 8), 0.5, seed=0, step=3).sum()
        np.int64(8)
    """
    out = _place.empty(shape, np.bool_, like)
    rate, step = _check.real(rate, "rate", 0, 1, open_high=True), _check.seed(step, "step")
    key = hashing.mix(hashing.seeds(1, seed) ^ step)[0]
    _place.kernels(_kernels, like=out).coins(key, np.uint64(round((1.0 - rate) * 2**32)), out.reshape(out.size))
    return out


@_place.anywhere
def dropout(x, rate, *, seed, step):
    """Leave out a share of all numbers, and divide the others by what stays. Slopes take the same way: its gradient is `dropout` of them.

    x : floats of any shape.  rate, seed, step : as in `dropout_mask`.  Returns an array like x.
    Source: Srivastava et al. 2014, in the form that changes training instead of use.
    """
    return x * dropout_mask(x.shape, rate, seed=seed, step=step, like=x) * x.dtype.type(1.0 / (1.0 - rate))


# ---- heads

@_place.anywhere
def cosine(x, weights):
    """Cosine head: of the angle between every row and every column of the weights; 0 for a vector of zeros.

    x : floats (n, d).  weights : (d, k), a column for each class, or the vectors of k items.  Returns (n, k).
    Example:
        >>> cosine(np.array([[3.0, 4.0], [0.0, 0.0]]), np.eye(2))
        array([[0.6, 0.8],
               [0. , 0. ]])
    """
    return _unit(x, 1)[0] @ _unit(weights, 0)[0]


@_place.anywhere
def cosine_grads(slopes, x, weights):
    """Slopes of (x, weights) from those of the result (n, k): s (v - c u) / |x| for the unit vectors u and v; 0 for a vector of zeros."""
    (u, by_u), (v, by_v) = _unit(x, 1), _unit(weights, 0)
    du, dv = slopes @ v.T, u.T @ slopes
    return by_u * (du - u * (du * u).sum(1, keepdims=True)), by_v * (dv - v * (dv * v).sum(0, keepdims=True))


def softmax_loss(scores, targets):
    """Mean cross entropy of softmax, for one class a row or for chances of the classes, in nats.

    scores : floats (n, k), logits.  targets : ints (n,), classes, or floats (n, k) that sum to one.
    Returns (float, slopes of the scores (n, k)).
    Example:
        >>> loss, slopes = softmax_loss(np.zeros((1, 2)), np.array([1]))
        >>> round(loss, 4), slopes
        (0.6931, array([[ 0.5, -0.5]]))
    """
    scores, targets = _scores(scores), np.asarray(targets)
    if targets.dtype.kind in "iu" and targets.shape == scores.shape[:1]:
        if targets.min() < 0 or targets.max() >= scores.shape[1]:
            raise ValueError(f"targets must be classes between 0 and {scores.shape[1] - 1}, not {targets.min()} to {targets.max()}")
        targets = (targets[:, None] == np.arange(scores.shape[1])).astype(scores.dtype)
    targets = _targets(scores, targets)
    shifted = scores - scores.max(1, keepdims=True)
    shares = np.exp(shifted)
    mass = shares.sum(1, keepdims=True)
    wanted = np.multiply(shifted, targets, out=np.zeros_like(shifted), where=targets != 0)  # a logit may be minus infinity elsewhere
    loss = (np.log(mass)[:, 0] * targets.sum(1) - wanted.sum(1)).mean()
    return float(loss), (shares / mass * targets.sum(1, keepdims=True) - targets) / scores.dtype.type(len(scores))


def sigmoid_loss(scores, targets):
    """Mean of the logistic losses of a row, summed over its classes: for any number of classes a row, in nats.

    scores : floats (n, k), logits.  targets : 0 or 1, or chances (n, k).  Returns (float, slopes of the scores (n, k)).
    """
    scores = _scores(scores)
    targets = _targets(scores, np.asarray(targets))
    loss = np.maximum(scores, 0) - scores * targets + np.log1p(np.exp(-abs(scores)))
    return float(loss.sum(1).mean()), (_sigmoid(scores) - targets) / scores.dtype.type(len(scores))


# ---- nets

class MLP(NamedTuple):
    """Dense layers, between them activations and perhaps a normalisation with a gain.

    weights : tuple of floats (inputs, units).  biases : tuple of (units,).  activation : "relu", "tanh" or "mish".
    norm : "none", "layer" or "batch", of the sums of the hidden layers.  gains : tuple of (units,) for each hidden layer, or () without.
    """
    weights: tuple
    biases: tuple
    activation: str
    norm: str = "none"
    gains: tuple = ()


def mlp_init(sizes, *, activation="relu", norm="none", seed, dtype=np.float32):
    """Untrained dense layers: normal weights of variance 2 / inputs (1 / inputs in the last layer), biases zero, gains one.

    sizes : ints, inputs, units of each layer.  activation : "relu", "tanh" or "mish".  norm : "none", "layer" or "batch".  seed : int.
    Returns MLP.
    Example:
        >>> [w.shape for w in mlp_init([8, 32, 1], seed=0).weights]
        [(8, 32), (32, 1)]
    """
    _check.choice(activation, "activation", _ACTIVATIONS)
    _check.choice(norm, "norm", NORMS)
    sizes = [_check.integer(size, "sizes", 1) for size in sizes]
    if len(sizes) < 2:
        raise ValueError(f"sizes must name the inputs and at least one layer, not {sizes}")
    rng = np.random.default_rng(int(_check.seed(seed)))
    gains = [2.0] * (len(sizes) - 2) + [1.0]
    weights = tuple((rng.standard_normal((a, b)) * np.sqrt(gain / a)).astype(dtype) for a, b, gain in zip(sizes, sizes[1:], gains))
    gains = () if norm == "none" else tuple(np.ones(size, dtype) for size in sizes[1:-1])
    return MLP(weights, tuple(np.zeros(size, dtype) for size in sizes[1:]), activation, norm, gains)


@_place.anywhere
def mlp(x, net, *, stats=None, rate=0.0, seed=0, step=0):
    """Output of dense layers; the encoder of a deep hash embedding when x are its codes.

    A hidden layer is dropout(activation(gain * norm(x @ weights) + bias)), the last one x @ weights + bias.
    x : floats (n, inputs).  net : MLP.  stats : list of Moments for each hidden layer, in use of a net with batch norm; None takes the
    moments of the batch, as in training.  rate, seed, step : of `dropout`, in training.  Returns (n, units).
    Source: for deep hash embeddings, Kang et al. 2021, section 3.3.
    """
    return _run(x, net, stats, rate, seed, step)[-1][0]


@_place.anywhere
def mlp_grads(slopes, x, net, *, rate=0.0, seed=0, step=0):
    """Slopes of (x, net) from those of the output (n, units) in training; those of the net as an MLP."""
    run = _run(x, net, None, rate, seed, step)
    weights, biases, gains = [], [], []
    for i in range(len(run) - 1, -1, -1):
        out, below, sums, normed = run[i]
        if i + 1 < len(run):
            slopes = dropout(slopes, rate, seed=_layer_seed(seed, i), step=step) if rate else slopes
            slopes = activate_grads(slopes, out, net.activation)
        biases.append(slopes.sum(0))
        if normed is not None:
            gains.append((slopes * normed).sum(0))
            slopes = (layer_norm_grads if net.norm == "layer" else batch_norm_grads)(slopes * net.gains[i], sums)
        weights.append(below.T @ slopes)
        slopes = slopes @ net.weights[i].T
    return slopes, net._replace(weights=tuple(weights[::-1]), biases=tuple(biases[::-1]), gains=tuple(gains[::-1]))


def mlp_moments(net):
    """Moments of every hidden layer of a net with batch norm, none seen yet.  Returns list of Moments, for `mlp` and `mlp_see`."""
    return [moments(bias.size, bias.dtype) for bias in net.biases[:-1]]


def mlp_see(stats, x, net, keep=0.9, *, rate=0.0, seed=0, step=0):
    """Add a batch to the moments of the hidden layers, in place.  keep : as in `see`, the others as in `mlp`."""
    for own, (_, _, sums, _) in zip(stats, _run(x, net, None, rate, seed, step)):
        see(own, sums, keep)


def _run(x, net, stats, rate, seed, step):
    """For every layer: the argument of its activation (of the last, the output), its input, its product, and that normalised or None."""
    run = []
    for i, (weights, bias) in enumerate(zip(net.weights, net.biases)):
        sums, normed = x @ weights, None
        last = i + 1 == len(net.weights)
        if net.norm != "none" and not last:
            normed = layer_norm(sums) if net.norm == "layer" else batch_norm(sums, stats and stats[i])
        run.append(((sums if normed is None else normed * net.gains[i]) + bias, x, sums, normed))
        if not last:
            x = activate(run[-1][0], net.activation)
            x = dropout(x, rate, seed=_layer_seed(seed, i), step=step) if rate else x
    return run


def _layer_seed(seed, i):
    """Seed of the dropout of hidden layer i."""
    return int(hashing.seeds(i + 1, seed)[i])


def _normed(x, axis):
    """Numbers less their mean along the axis, over their standard deviation; and the factor 1 / deviation."""
    x = x - x.mean(axis, keepdims=True)
    scale = 1 / np.sqrt(np.mean(x * x, axis, keepdims=True) + x.dtype.type(EPS))
    return x * scale, scale


def _normed_grads(slopes, normed, scale, axis):
    return scale * (slopes - slopes.mean(axis, keepdims=True) - normed * np.mean(slopes * normed, axis, keepdims=True))


def _unit(x, axis):
    """Vectors over their length, and one over the length; both 0 for a vector of zeros."""
    length = np.sqrt((x * x).sum(axis, keepdims=True))
    scale = np.where(length > 0, 1, 0).astype(x.dtype) / np.where(length > 0, length, 1)
    return x * scale, scale


def _scores(scores):
    scores = np.asarray(scores)
    if scores.dtype.kind != "f" or scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"scores must be floats (n, k), n and k at least 1, not {scores.dtype} {scores.shape}")
    return scores


def _targets(scores, targets):
    if targets.shape != scores.shape:
        raise ValueError(f"targets must have the shape of the scores, {scores.shape}, not {targets.shape}")
    return targets.astype(scores.dtype)


def _mish(z):
    """Value and slope of z tanh(log(1 + exp(z))), the tangent as a quotient of polynomials in exp(-|z|)."""
    u = np.exp(-abs(z))
    over = np.where(z >= 0, 1 + 2 * u, u * (u + 2))
    rest = np.where(z >= 0, 2 * u * u, 2)
    t, left = over / (over + rest), rest / (over + rest)
    return z * t, t + z * (1 + t) * left * _sigmoid(z)


def _tanh(z):
    value = np.tanh(z)
    return value, 1 - value * value


def _sigmoid(z):
    u = np.exp(-abs(z))
    return np.where(z >= 0, 1, u) / (1 + u)


_ACTIVATIONS = {"relu": lambda z: (np.maximum(z, 0), (z > 0).astype(z.dtype)), "tanh": _tanh, "mish": _mish}
