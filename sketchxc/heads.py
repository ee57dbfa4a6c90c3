"""Heads for recommendation: what turns embeddings into scores, and scores into a loss, each beside its gradient.

A loss gives (its mean, slopes of its arguments). A scorer `name` has a partner `name_grads` that takes the slopes of its result and the
same arguments. All are NumPy functions of any float dtype; they compute in the dtype of their arguments and change none. The layers
that they are made of are in `dense`.
"""
from typing import NamedTuple

import numpy as np

from . import _check
from .dense import MLP, layer_norm, layer_norm_grads, mlp, mlp_grads, mlp_init


# ---- losses

def log_loss(scores, clicks):
    """Mean logistic loss of click prediction, in nats.

    scores : floats (n,), logits.  clicks : 0 or 1, or probabilities (n,).  Returns (float, slopes of the scores (n,)).
    Raises ValueError for clicks outside [0, 1], such as -1.
    Example:
        >>> loss, slopes = log_loss(np.zeros(2), np.array([1, 0]))
        >>> round(loss, 4), slopes
        (0.6931, array([-0.25,  0.25]))
    """
    scores, clicks = _pair(scores=scores, clicks=clicks)
    if not ((clicks >= 0) & (clicks <= 1)).all():
        raise ValueError(f"clicks must be between 0 and 1, not {clicks.min()} to {clicks.max()}")
    loss = np.maximum(scores, 0) - scores * clicks + np.log1p(np.exp(-abs(scores)))
    return float(loss.mean()), (_sigmoid(scores) - clicks) / scores.dtype.type(scores.size)


def squared_loss(scores, targets):
    """Mean of half the squared error, for ratings.  scores, targets : floats (n,).  Returns (float, slopes of the scores (n,))."""
    scores, targets = _pair(scores=scores, targets=targets)
    error = scores - targets
    return float((error * error).mean() / 2), error / scores.dtype.type(scores.size)


def bpr_loss(wanted, other):
    """Bayesian personalised ranking: mean of -log sigmoid of how far the score of a wanted item is above that of another item.

    wanted, other : floats (n,).  Returns (float, slopes of `wanted` (n,), slopes of `other` (n,)).
    Source: Rendle et al. 2009, section 4.
    """
    wanted, other = _pair(wanted=wanted, other=other)
    loss, slopes = log_loss(wanted - other, np.ones_like(wanted))
    return loss, slopes, -slopes


def triplet_loss(near, far, margin=0.2):
    """Mean hinge of the distance to a wanted item over that to another: max(0, near - far + margin).

    near, far : floats (n,), distances.  margin : float.  Returns (float, slopes of `near` (n,), slopes of `far` (n,)).
    Source: Schroff, Kalenichenko & Philbin 2015, equation 3.
    """
    near, far = _pair(near=near, far=far)
    excess = near - far + near.dtype.type(_check.real(margin, "margin", 0))
    slopes = (excess > 0).astype(near.dtype) / near.dtype.type(near.size)
    return float(np.maximum(excess, 0).mean()), slopes, -slopes


def auc(scores, clicks):
    """Area under the curve: share of pairs of a click and a non-click where the click has the higher score, ties half; NaN without pairs,
    and where a score is NaN.

    scores : floats (n,).  clicks : 0 or 1 (n,).  Returns float.
    Example:
        >>> auc(np.array([0.3, 0.1, 0.3]), np.array([1, 0, 0]))
        0.75
    """
    scores, clicks = _pair(scores=scores, clicks=clicks)
    if np.isnan(scores).any():
        return float("nan")
    wanted, other = scores[clicks > 0], np.sort(scores[clicks <= 0])
    below = np.searchsorted(other, wanted, "left") + np.searchsorted(other, wanted, "right")
    return float(below.sum() / 2 / (wanted.size * other.size)) if wanted.size and other.size else float("nan")


# ---- scorers

def linear(x, weights, bias):
    """Logistic regression's score.  x : floats (n, d).  weights : (d,).  bias : (1,).  Returns (n,)."""
    _shaped(np.shape(x)[1:], weights=weights)
    _shaped((1,), bias=bias)
    return x @ weights + bias


def linear_grads(slopes, x, weights, bias):
    """Slopes of (x, weights, bias) from those of the scores (n,)."""
    _shaped(np.shape(x)[:1], slopes=slopes)
    return slopes[:, None] * weights, slopes @ x, slopes.sum(keepdims=True)


def factors(users, items, user_bias, item_bias, bias):
    """Biased matrix factorisation: inner product of a user's and an item's vector, plus both biases and a common one.

    users, items : floats (n, d).  user_bias, item_bias : (n,).  bias : (1,).  Returns (n,).
    Source: Koren, Bell & Volinsky 2009, equation 4; their regularisation is the weight decay of the optimizer.
    """
    _shaped(np.shape(users), items=items)
    _shaped(np.shape(users)[:1], user_bias=user_bias, item_bias=item_bias)
    _shaped((1,), bias=bias)
    return np.einsum("nd,nd->n", users, items) + user_bias + item_bias + bias


def factors_grads(slopes, users, items, user_bias, item_bias, bias):
    """Slopes of (users, items, user_bias, item_bias, bias) from those of the scores (n,)."""
    _shaped(np.shape(users)[:1], slopes=slopes)
    return slopes[:, None] * items, slopes[:, None] * users, slopes, slopes, slopes.sum(keepdims=True)


def fm(x, weights, bias):
    """Factorisation machine of second order: sum of the weights of a row's features, and of the inner products of all pairs of vectors.

    x : floats (n, F, d), vectors of the F features of a row, times their values.  weights : (n, F), likewise.  bias : (1,).
    Returns (n,).  Source: Rendle 2010, equation 1, computed by lemma 3.1 in O(F d).
    Example:
        >>> fm(np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([[0.5, 0.25]]), np.zeros(1))
        array([11.75])
    """
    _shaped(np.shape(x)[:2], weights=weights)
    _shaped((1,), bias=bias)
    total = x.sum(1)
    return (np.einsum("nd,nd->n", total, total) - np.einsum("nfd,nfd->n", x, x)) / 2 + weights.sum(1) + bias


def fm_grads(slopes, x, weights, bias):
    """Slopes of (x, weights, bias) from those of the scores (n,)."""
    _shaped(np.shape(x)[:1], slopes=slopes)
    return slopes[:, None, None] * (x.sum(1, keepdims=True) - x), np.repeat(slopes[:, None], x.shape[1], 1), slopes.sum(keepdims=True)


class Wukong(NamedTuple):
    """One Wukong layer from F vectors to F1 + F2: project (F, k), net MLP from F * k to F1 * d, compress (F2, F), residual (F1 + F2, F)."""
    project: np.ndarray
    net: MLP
    compress: np.ndarray
    residual: np.ndarray


def wukong_init(n_features, d, *, rank, machines, compressed, hidden, seed, dtype=np.float32):
    """Untrained Wukong layer.

    n_features, d : ints, vectors of a row and their width.  rank : int k, columns of the projection.
    machines, compressed : ints F1 and F2, vectors that the factorisation machine and the linear compression give; F2 may be 0.
    hidden : ints, units of the hidden layers of the net.  seed : int.  Returns Wukong.
    """
    for name, value, least in (("n_features", n_features, 1), ("d", d, 1), ("rank", rank, 1), ("machines", machines, 1),
                               ("compressed", compressed, 0)):
        _check.integer(value, name, least)
    hidden = [_check.integer(units, "hidden", 1) for units in hidden]
    rng = np.random.default_rng(int(_check.seed(seed)))
    shapes = (n_features, rank), (compressed, n_features), (machines + compressed, n_features)
    project, compress, residual = ((rng.standard_normal(shape) / np.sqrt(n_features)).astype(dtype) for shape in shapes)
    own = int(rng.integers(2**63))  # with `seed` itself the net would begin with the numbers of the projection
    return Wukong(project, mlp_init([n_features * rank, *hidden, machines * d], seed=own, dtype=dtype), compress, residual)


def wukong(x, layer):
    """Vectors after one Wukong layer: all pairwise interactions through a net, linear compressions, and the input added.

    x : floats (n, F, d).  layer : Wukong.  Returns (n, F1 + F2, d), normalised along d.
    Source: Zhang et al. 2024, sections 3.4 to 3.6; the interactions X X^T Y are computed as X (X^T Y).
    """
    return layer_norm(_mixed(x, layer)[0])


def wukong_grads(slopes, x, layer):
    """Slopes of (x, layer) from those of the result (n, F1 + F2, d); those of the layer as a Wukong."""
    mixed, inner, pairs, flat = _mixed(x, layer)
    slopes = layer_norm_grads(slopes, mixed)
    machines = slopes.shape[1] - layer.compress.shape[0]
    flat_slopes, net = mlp_grads(slopes[:, :machines].reshape(x.shape[0], -1), flat, layer.net)
    pair_slopes = layer_norm_grads(flat_slopes, pairs.reshape(flat.shape)).reshape(pairs.shape)  # (n, F, k)
    inner_slopes = x.transpose(0, 2, 1) @ pair_slopes  # (n, d, k)
    linear_slopes = slopes[:, machines:]
    out = pair_slopes @ inner.transpose(0, 2, 1) + layer.project @ inner_slopes.transpose(0, 2, 1)
    out += layer.compress.T @ linear_slopes + layer.residual.T @ slopes
    return out, Wukong(_outer(x, inner_slopes), net, _outer(linear_slopes, x, True), _outer(slopes, x, True))


def _mixed(x, layer):
    """Sum of the parts of a Wukong layer before its normalisation, X^T Y (n, d, k), X X^T Y (n, F, k), and the input of the net."""
    inner = x.transpose(0, 2, 1) @ layer.project
    pairs = x @ inner
    flat = layer_norm(pairs.reshape(x.shape[0], -1))
    machine = mlp(flat, layer.net).reshape(x.shape[0], -1, x.shape[2])
    return np.concatenate([machine, layer.compress @ x], axis=1) + layer.residual @ x, inner, pairs, flat


def _outer(a, b, turned=False):
    """Sum over rows of a @ b, or of a @ b^T if `turned`, as one product of matrices."""
    return np.tensordot(a, b, ([0, 2], [0, 2] if turned else [0, 1]))


def _sigmoid(z):
    u = np.exp(-abs(z))
    return np.where(z >= 0, 1, u) / (1 + u)


def _pair(**arrays):
    """Two arrays (n,) of the first one's float dtype."""
    (first, a), (second, b) = arrays.items()
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype.kind != "f" or b.dtype.kind not in "biuf" or a.ndim != 1 or a.size == 0 or b.shape != a.shape:
        raise ValueError(f"{first} and {second} must be two float arrays (n,) of one length, at least 1, not {a.dtype} {a.shape} "
                         f"and {b.dtype} {b.shape}")
    return a, b.astype(a.dtype)


def _shaped(shape, **arrays):
    """ValueError unless the arrays have that shape: a column (n, 1) would be broadcast, and give scores of all pairs."""
    for name, array in arrays.items():
        if np.shape(array) != shape:
            raise ValueError(f"{name} must have shape {shape}, not {np.shape(array)}")
