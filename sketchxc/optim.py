"""Optimizers: which rule, with which constants, and the state they keep. The arithmetic of one coordinate is in `_scalar.optim`."""
from typing import NamedTuple

import numpy as np

from . import _check, _memory, modelfile
from ._scalar.optim import ADAGRAD, ADAM, MOMENTUM, SGD

RULES = {"sgd": SGD, "momentum": MOMENTUM, "adagrad": ADAGRAD, "adam": ADAM}


class Optimizer(NamedTuple):
    """A rule and its constants: rule (number), lr (learning rate), b1 and b2 (decay of the moments), eps (added to the divisor)."""
    rule: int
    lr: float
    b1: float
    b2: float
    eps: float


class Slots(NamedTuple):
    """State of an optimizer for one array of parameters.

    m, v : float32, first and second moment, of the parameters' shape or with a last axis of 0 where the rule has no such moment.
    steps : int64 (1,), steps taken so far.
    """
    m: np.ndarray
    v: np.ndarray
    steps: np.ndarray


def sgd(lr=0.1):
    """Plain gradient descent, w -= lr g."""
    return Optimizer(SGD, _check.real(lr, "lr", 0, open_low=True), 0.0, 0.0, 0.0)


def momentum(lr=0.1, b1=0.9):
    """Heavy-ball momentum, m = b1 m + g, w -= lr m."""
    return Optimizer(MOMENTUM, _check.real(lr, "lr", 0, open_low=True), _decay(b1, "b1"), 0.0, 0.0)


def adagrad(lr=0.1, eps=1e-10):
    """Adagrad, v += g^2, w -= lr g / (sqrt(v) + eps).

    Source: Duchi, Hazan & Singer 2011, the diagonal form."""
    return Optimizer(ADAGRAD, _check.real(lr, "lr", 0, open_low=True), 0.0, 0.0, _check.real(eps, "eps", 0))


def adam(lr=1e-3, b1=0.9, b2=0.999, eps=1e-8):
    """Adam with bias correction; rows without a gradient are left alone (lazy), the correction counts all steps.

    Source: Kingma & Ba 2015, algorithm 1."""
    return Optimizer(ADAM, _check.real(lr, "lr", 0, open_low=True), _decay(b1, "b1"), _decay(b2, "b2"),
                     _check.real(eps, "eps", 0))


def by_name(name, lr):
    """The optimizer called `name` (sgd, momentum, adagrad or adam) with learning rate `lr` and its usual constants."""
    _check.choice(name, "optimizer", RULES)
    return {"sgd": sgd, "momentum": momentum, "adagrad": adagrad, "adam": adam}[name](lr)


def slots(opt, shape):
    """Fresh state of `opt` for float32 parameters of `shape`.

    Returns Slots; a moment that the rule does not use takes no memory."""
    return Slots(*(_memory.zeros(own) for own in _shapes(opt, shape)), np.zeros(1, np.int64))


def check_slots(opt, state, shape, name="state"):
    """ValueError unless `state` has the shapes of `slots(opt, shape)`: the kernels would read and write elsewhere."""
    for moment, own in zip("mv", _shapes(opt, shape)):
        if getattr(state, moment).shape != own:
            raise ValueError(f"{name}.{moment} must have shape {own} for this optimizer, not {getattr(state, moment).shape}")


def hyper(opt, first, count, last_lr=None, start=0.0, stride=0.0):
    """Constants of steps first, first + 1, ... (counted from 1) as the kernels read them, with the bias corrections in float64 first.

    last_lr : float, rate at the end of a pass that begins with opt.lr and falls in a straight line; None keeps opt.lr.
    start, stride : floats, share of the pass done before the first of these steps, and by each.
    Returns float32 (count, 6): lr, 1 - b1, 1 - b2, eps, 1 / (1 - b1**t), 1 / (1 - b2**t)."""
    out = np.empty((count, 6), np.float32)
    out[:, :4] = opt.lr, 1.0 - opt.b1, 1.0 - opt.b2, opt.eps
    if last_lr is not None:
        out[:, 0] = opt.lr + (last_lr - opt.lr) * (start + stride * np.arange(count))
    t = np.arange(first, first + count, dtype=np.float64)
    out[:, 4] = 1.0 / (1.0 - opt.b1**t)
    out[:, 5] = 1.0 / (1.0 - opt.b2**t)
    return out


def _shapes(opt, shape):
    """Shapes of the two moments."""
    return [(*shape[:-1], shape[-1] if opt.rule in users else 0) for users in ((MOMENTUM, ADAM), (ADAGRAD, ADAM))]


def _decay(value, name):
    return _check.real(value, name, 0, 1, open_high=True)  # a moment that never decays has an infinite bias correction


modelfile.register(Optimizer, rule=int, lr=float, b1=float, b2=float, eps=float)
modelfile.register(Slots, m=(np.float32, None), v=(np.float32, None), steps=(np.int64, 1))
