"""Optimizers: which rule, with which constants, the state they keep, clipped gradients, and the step on the rows of a table.

The arithmetic of one coordinate is in `_scalar.optim`. State in sketches and in two vectors instead of arrays is in `sketchoptim`.
"""
from typing import NamedTuple

import numpy as np

from . import _check, _memory, _place, _there, modelfile
from ._cpu import optim as _kernels
from ._scalar.optim import ADAGRAD, ADAM, ADAM_HAT, MOMENTUM, NESTEROV, RMSPROP, RMSPROP_CORRECTED, SGD
from ._threads import one_if

RULES = {"sgd": SGD, "momentum": MOMENTUM, "adagrad": ADAGRAD, "adam": ADAM, "nesterov": NESTEROV, "rmsprop": RMSPROP,
         "rmsprop_corrected": RMSPROP_CORRECTED, "adam_hat": ADAM_HAT}
FIRST = MOMENTUM, ADAM, NESTEROV, ADAM_HAT  # rules that keep a first moment
SECOND = ADAGRAD, ADAM, RMSPROP, RMSPROP_CORRECTED, ADAM_HAT  # and a second one
_FEW = 1 << 15  # floats below which one thread is faster than two
_ALL = 2**62


class Optimizer(NamedTuple):
    """A rule and its constants: rule (number), lr (learning rate), b1 and b2 (decay of the moments), eps (added to the divisor).

    decay : decoupled L2 penalty, weights lose the share lr * decay in each of their steps, which is not added to the gradient (for `sgd`
    the two are the same).  l1 : after each of their steps weights move by lr * l1 towards zero and stop there (proximal step of the L1
    penalty), so that weights without use become exact zeros. Both act on weights and table rows with their steps, not on biases.
    """
    rule: int
    lr: float
    b1: float
    b2: float
    eps: float
    decay: float = 0.0
    l1: float = 0.0


class Slots(NamedTuple):
    """State of an optimizer for one array of parameters.

    m, v : float32, first and second moment, of the parameters' shape or with a last axis of 0 where the rule has no such moment.
    steps : int64 (1,), steps taken so far.
    """
    m: np.ndarray
    v: np.ndarray
    steps: np.ndarray


class LazySlots(NamedTuple):
    """State of an optimizer for the rows of a table (n, d), which take the steps that they have missed when they are needed again.

    m, v, steps : as in Slots.  last : int64 (n,), the step that a row has taken last, 0 before its first gradient.
    most : int, missed steps of a row that are taken one by one; the rest only lets its moments decay.
    """
    m: np.ndarray
    v: np.ndarray
    last: np.ndarray
    steps: np.ndarray
    most: int


def sgd(lr=0.1, *, decay=0.0, l1=0.0):
    """Plain gradient descent, w -= lr g.  decay, l1 : as in `Optimizer`, here and below."""
    return _made(SGD, lr, 0.0, 0.0, 0.0, decay, l1)


def momentum(lr=0.1, b1=0.9, *, nesterov=False, decay=0.0, l1=0.0):
    """Heavy-ball momentum, m = b1 m + g, w -= lr m; Nesterov's looks one step ahead, w -= lr (g + b1 m).

    Source: Sutskever, Martens, Dahl & Hinton 2013, section 2, in the form in which the gradient is taken at the weights themselves."""
    return _made(NESTEROV if nesterov else MOMENTUM, lr, b1, 0.0, 0.0, decay, l1)


def adagrad(lr=0.1, eps=1e-10, *, decay=0.0, l1=0.0):
    """Adagrad, v += g^2, w -= lr g / (sqrt(v) + eps).

    Source: Duchi, Hazan & Singer 2011, the diagonal form."""
    return _made(ADAGRAD, lr, 0.0, 0.0, eps, decay, l1)


def rmsprop(lr=1e-3, b2=0.9, eps=1e-8, *, corrected=False, decay=0.0, l1=0.0):
    """RMSprop, v = b2 v + (1 - b2) g^2, w -= lr g / (sqrt(v) + eps).

    corrected : divide v by 1 - b2**t, which makes it Adam with b1 = 0 that keeps no first moment (Spring et al. 2019 compress this one).
    Source: Tieleman & Hinton 2012, lecture 6.5."""
    return _made(RMSPROP_CORRECTED if corrected else RMSPROP, lr, 0.0, b2, eps, decay, l1)


def adam(lr=1e-3, b1=0.9, b2=0.999, eps=1e-8, *, hat=False, decay=0.0, l1=0.0):
    """Adam with bias correction; rows without a gradient are left alone (lazy), the correction counts all steps.

    hat : add eps to the root of the uncorrected second moment ("epsilon hat", as TensorFlow does) instead of the corrected one.
    Source: Kingma & Ba 2015, algorithm 1; `hat` is the form at the end of their section 2."""
    return _made(ADAM_HAT if hat else ADAM, lr, b1, b2, eps, decay, l1)


def adamw(lr=1e-3, b1=0.9, b2=0.999, eps=1e-8, decay=0.01, l1=0.0):
    """Adam whose weights lose the share lr * decay in every step.

    Source: Loshchilov & Hutter 2019, algorithm 2."""
    return _made(ADAM, lr, b1, b2, eps, decay, l1)


def by_name(name, lr):
    """The optimizer called `name` (sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw) with rate `lr` and its usual constants."""
    _check.choice(name, "optimizer", _BY_NAME)
    return _BY_NAME[name](lr)


def slots(opt, shape):
    """Fresh state of `opt` for float32 parameters of `shape`.

    Returns Slots; a moment that the rule does not use takes no memory."""
    return Slots(*(_memory.zeros(own) for own in _shapes(opt, shape)), np.zeros(1, np.int64))


def lazy_slots(opt, shape, *, most=None):
    """Fresh state of `opt` for a table in which the rows without a gradient make up for the steps they missed, later and all at once.

    With it the rules of `step` are those of dense arrays, bit for bit, for rows that have been brought up to date by `catch_up`; with
    `slots` Adam, RMSprop and momentum leave rows without a gradient alone, which is another method.
    shape : (n, d) of the table.  most : int, missed steps of a row that are taken one by one, the rest of them lets the moments decay and
    takes the share and the amount of the penalties at once; None takes all one by one.
    Returns LazySlots. The rate must be the same in all steps.
    """
    if len(shape := tuple(shape)) != 2:
        raise ValueError(f"shape must be (n, d), not {shape}")
    n = shape[0]
    most = _ALL if most is None else _check.integer(most, "most", 0, _ALL)
    return LazySlots(*(_memory.zeros(own) for own in _shapes(opt, shape)), np.zeros(n, np.int64), np.zeros(1, np.int64), most)


def check_slots(opt, state, shape, name="state", *, lazy=False):
    """TypeError unless `state` is Slots, or with `lazy` LazySlots; ValueError unless it has the shapes of `slots(opt, shape)`: the kernels
    would read and write elsewhere."""
    if not isinstance(state, (Slots, LazySlots) if lazy else Slots):
        raise TypeError(f"{name} must be Slots{' or LazySlots' * lazy}, not {type(state).__name__}")
    if isinstance(state, LazySlots) and tuple(state.last.shape) != tuple(shape[:1]):
        raise ValueError(f"{name}.last must have shape {tuple(shape[:1])}, not {tuple(state.last.shape)}")
    for moment, own in zip("mv", _shapes(opt, shape)):
        if getattr(state, moment).shape != own:
            raise ValueError(f"{name}.{moment} must have shape {own} for this optimizer, not {getattr(state, moment).shape}")


def check_rates(rates, steps):
    """Rates as float64 (steps,), or None; ValueError unless they are finite, at least 0, and as many as there are steps."""
    if rates is None:
        return None
    rates = _check.array(rates, "rates", np.float64, 1, kinds="iuf")
    if rates.size != steps or not (np.isfinite(rates) & (rates >= 0)).all():
        raise ValueError(f"rates must be {steps} finite numbers of at least 0, one for each step, not {rates.size}")
    return rates


def hyper(opt, first, count, last_lr=None, start=0.0, stride=0.0, rates=None):
    """Constants of steps first, first + 1, ... (counted from 1) as the kernels read them, with the bias corrections in float64 first.

    last_lr : float, rate at the end of a pass that begins with opt.lr and falls in a straight line; None keeps opt.lr.
    start, stride : floats, share of the pass done before the first of these steps, and by each.
    rates : None or floats (count,), rate of each of these steps, as `schedules` makes them; in place of the above.
    Returns float32 (count, 8): lr, 1 - b1, 1 - b2, eps, c1 and c2, lr * decay, lr * l1, where c1 = 1 / (1 - b1**t) and
    c2 = 1 / (1 - b2**t), but for plain RMSprop c2 = 1, and for Adam with epsilon hat c1 is divided by sqrt(c2) and c2 = 1.
    """
    t = np.arange(first, first + count, dtype=np.float64)
    lr = np.full(count, opt.lr)
    if rates is not None:
        lr = check_rates(rates, count)
    elif last_lr is not None:
        lr = opt.lr + (last_lr - opt.lr) * (start + stride * np.arange(count))
    c1, c2 = 1.0 / (1.0 - opt.b1**t), 1.0 / (1.0 - opt.b2**t)
    if opt.rule == ADAM_HAT:
        c1 /= np.sqrt(c2)
    if opt.rule in (ADAM_HAT, RMSPROP):
        c2[:] = 1.0
    out = np.empty((count, 8), np.float32)
    out[:, 1:4] = 1.0 - opt.b1, 1.0 - opt.b2, opt.eps
    for column, values in ((0, lr), (4, c1), (5, c2), (6, lr * opt.decay), (7, lr * opt.l1)):
        out[:, column] = values
    return out


def clip_values(grads, limit):
    """Gradients with every number moved into [-limit, limit]; NaN stays.  grads : floats of any shape.  Returns an array like grads."""
    limit = _check.real(limit, "limit", 0, open_low=True)
    return np.clip(np.asarray(grads), -limit, limit)


def clip_norm(grads, limit):
    """Gradients scaled down together, if need be, so that their common length is at most `limit`.

    grads : array of floats (the rows of a batch), or list of such arrays (of all tables of a model).  limit : float.
    Returns (array or list of arrays, length before, as float); arrays of a shorter length come back as they are.
    It is for loops of one's own, between `embed.bag_grads` or `dense.affine_grads` and `step`; `shallow.train` has `clip`. The trainer of
    `mach` uses the gradient of a row as soon as it has it, before the common length is known, and therefore does not clip.
    Raises ValueError if the length is NaN or infinite.
    Source: Pascanu, Mikolov & Bengio 2013, algorithm 1.
    Example:
        >>> clip_norm(np.array([[3.0, 0.0], [0.0, 4.0]]), 1.0)
        (array([[0.6, 0. ],
               [0. , 0.8]]), 5.0)
    """
    limit = _check.real(limit, "limit", 0, open_low=True)
    many = isinstance(grads, (list, tuple))
    parts = [np.asarray(part) for part in (grads if many else [grads])]
    for part in parts:
        if part.dtype.kind != "f":
            raise TypeError(f"grads must hold floats, not {part.dtype}")
    norm = float(np.sqrt(sum(np.square(part, dtype=np.float64).sum() for part in parts)))
    if not np.isfinite(norm):
        raise ValueError(f"grads must have a finite length, not {norm}")
    if norm > limit:
        parts = [part * part.dtype.type(limit / norm) for part in parts]
    return (parts if many else parts[0]), norm


def step(opt, state, table, rows, grads, *, lr=None):
    """One step of the optimizer on some rows of a table, in place; the other rows stay as they are.

    opt : Optimizer.  state : Slots or LazySlots of the table.  table : float32 (n, d), C-contiguous.
    rows : integers (k,), distinct and ascending (as from `embed.bag_grads`), or None for all.  grads : floats (k, d).
    State, table, rows and gradients are all on the host or, but for state.steps, all on a device.
    lr : rate of this step, None takes opt.lr.
    The same bits for any number of threads. With LazySlots the rows first take the steps that they have missed.
    Raises ValueError if shapes do not fit or the rows do not ascend.
    Example:
        >>> opt, table = sgd(0.5), np.ones((3, 2), np.float32)
        >>> step(opt, slots(opt, table.shape), table, [1], np.ones((1, 2)))
        >>> table.tolist()
        [[1.0, 1.0], [0.5, 0.5], [1.0, 1.0]]
    """
    if not isinstance(state, (Slots, LazySlots)):
        raise TypeError(f"state must be Slots or LazySlots (others step by `sketchoptim.step`), not {type(state).__name__}")
    rows, grads = check_rows(table, rows, grads)
    check_slots(opt, state, table.shape, lazy=True)
    kernels = _place.kernels(_kernels, table=table, rows=rows, grads=grads, **{"state.m": state.m, "state.v": state.v})
    lazy = isinstance(state, LazySlots)
    if lazy:
        if lr is not None:
            raise ValueError("lr must be None with LazySlots: the missed steps know no other rates")
        _missed(opt, state, table, rows)
        _last(state, rows, int(state.steps[0]) + 1)
    constants = hyper(opt, int(state.steps[0]) + 1, 1, rates=None if lr is None else [_check.real(lr, "lr", 0)])[0]
    with one_if(grads.size < _FEW):
        kernels.step(opt.rule, _place.beside(constants, table), rows, grads, blocks(rows.size), table, state.m, state.v)
    state.steps[0] += 1


def catch_up(opt, state, table, rows=None):
    """Let rows of a table take the steps that they have missed, in place: before they are looked up, and all of them at the end.

    opt, table, rows : as in `step`.  state : LazySlots.
    """
    if not isinstance(state, LazySlots):
        raise TypeError(f"state must be LazySlots, not {type(state).__name__}")
    rows, _ = check_rows(table, rows, None)
    check_slots(opt, state, table.shape, lazy=True)
    _missed(opt, state, table, rows)


def check_rows(table, rows, grads):
    """Rows as int64 (k,) and gradients as float32 (k, d), or None; errors as `step` raises them."""
    if _place.on_device(table):
        return _there.step_rows(_there.table(table), rows, grads)
    if not isinstance(table, np.ndarray) or table.dtype != np.float32 or table.ndim != 2:
        raise TypeError(f"table must be a float32 array with 2 axes, not {getattr(table, 'dtype', type(table).__name__)}")
    if not table.flags.c_contiguous or not table.flags.writeable:
        raise ValueError("table must be a writable C-contiguous float32 array, because it is changed in place")
    rows = _check.array(np.arange(table.shape[0]) if rows is None else rows, "rows", np.int64, 1)
    if grads is not None:
        grads = _check.array(grads, "grads", np.float32, 2, kinds="f")
        if grads.shape != (rows.size, table.shape[1]):
            raise ValueError(f"grads must have shape {(rows.size, table.shape[1])}, not {grads.shape}")
    if rows.size and not (0 <= rows[0] and rows[-1] < table.shape[0] and (np.diff(rows) > 0).all()):
        raise ValueError(f"rows must be distinct and ascend within 0 to {table.shape[0] - 1}")
    return rows, grads


def blocks(n):
    """Number of blocks of n rows; each asks for its rows ahead by itself."""
    return min(64, 1 + n // 32)


def _missed(opt, state, table, rows):
    """Take the steps up to state.steps[0] that the rows have missed."""
    now = int(state.steps[0])
    penalised = opt.decay > 0 or opt.l1 > 0
    if _place.on_device(table):  # no look at how far the rows are behind: as if to the first step
        if opt.rule in (SGD, ADAGRAD) and not penalised:
            _place.kernels(_kernels, table=table).mark(rows, now, True, state.last)
        else:
            _catch_up(opt, state, table, rows, now, 1)
        return
    behind = state.last[rows]
    behind = behind[behind < now] if penalised else behind[(behind < now) & (behind > 0)]
    if behind.size == 0 or (opt.rule in (SGD, ADAGRAD) and not penalised):  # a gradient of zero changes nothing there
        state.last[rows] = np.where(state.last[rows] > 0, now, 0)
    else:
        _catch_up(opt, state, table, rows, now, int(behind.min()) + 1)


def _catch_up(opt, state, table, rows, now, first):
    """Take the missed steps first, first + 1, ..., now."""
    slowest = max(opt.b1, opt.b2)
    level = 1 + int(18.1 / -np.log(slowest)) if slowest > 0 else 1  # step from which b1**t and b2**t are lost beside 1 in float32
    hypers = hyper(opt, first, max(1, min(now, max(first, level)) - first + 1))
    keep_m = opt.b1 if opt.rule in FIRST else 1.0
    keep_v = opt.b2 if opt.rule in SECOND and opt.rule != ADAGRAD else 1.0
    with one_if(rows.size * table.shape[1] < _FEW):
        _place.kernels(_kernels, table=table, rows=rows).catch_up(
            opt.rule, _place.beside(hypers, table), first, now, state.most, np.float32(keep_m), np.float32(keep_v),
            not (opt.decay > 0 or opt.l1 > 0), rows, blocks(rows.size), state.last, table, state.m, state.v)


def _last(state, rows, step):
    """Note that the rows have taken that step."""
    if _place.on_device(state.last):
        _place.kernels(_kernels, rows=rows).mark(rows, step, False, state.last)
    else:
        state.last[rows] = step


def _shapes(opt, shape):
    """Shapes of the two moments; ValueError for a rule that does not exist, which the kernels would take for another."""
    if opt.rule not in _NUMBERS:
        raise ValueError(f"opt.rule must be one of {', '.join(map(str, sorted(_NUMBERS)))}, not {opt.rule!r}")
    shape = tuple(shape)
    return [(*shape[:-1], shape[-1] if opt.rule in users else 0) for users in (FIRST, SECOND)]


def _made(rule, lr, b1, b2, eps, decay, l1):
    """Optimizer of checked constants; a moment that never decays has an infinite bias correction."""
    return Optimizer(rule, _check.real(lr, "lr", 0, open_low=True), _check.real(b1, "b1", 0, 1, open_high=True),
                     _check.real(b2, "b2", 0, 1, open_high=True), _check.real(eps, "eps", 0), _check.real(decay, "decay", 0),
                     _check.real(l1, "l1", 0))


_NUMBERS = frozenset(RULES.values())
_BY_NAME = {"sgd": sgd, "momentum": momentum, "adagrad": adagrad, "adam": adam, "rmsprop": rmsprop, "adamw": adamw,
            "nesterov": lambda lr: momentum(lr, nesterov=True)}
modelfile.register(Optimizer, rule=int, lr=float, b1=float, b2=float, eps=float, decay=float, l1=float)
modelfile.register(Slots, m=(np.float32, None), v=(np.float32, None), steps=(np.int64, 1))
modelfile.register(LazySlots, m=(np.float32, 2), v=(np.float32, 2), last=(np.int64, 1), steps=(np.int64, 1), most=int)
