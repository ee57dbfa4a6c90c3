"""Optimizers whose state is small: moments in sketches, or a second moment of rank one. Their rules are those of `optim`.

A sketch of a moment is a table (depth, width, columns) in which the rows of the parameters share places by hashing; columns stay where
they are. The estimate of a first moment is the median of its signed places, of a second one the smallest, which is too large where another
row shares all places. With a sketch so wide that no rows meet, a step is that of the dense state, bit for bit.
"""
from typing import NamedTuple

import numpy as np

from . import _check, _memory, _place, hashing, modelfile, optim
from ._cpu import sketchoptim as _kernels
from ._threads import available, one_if

KINDS = ("same", "cell", "batch")
_FEW = 1 << 15  # floats below which one thread is faster than two
_LANES = 16  # columns, a cache line of them, that a thread has at least


class SketchedSlots(NamedTuple):
    """State of an optimizer in sketches, for parameters (..., n, d), each leading index with sketches of its own.

    m : float32 (..., depth, width, d) or, where it is kept as it is, (..., n, d); the last axis is 0 for rules without a first moment.
    v : float32 (..., depth, width, d); the last axis is 0 for rules without a second moment.
    seeds : uint64 (..., depth).  steps : int64 (1,), steps taken so far.
    kind : int, place in KINDS.  factor : float and period : int, every `period` steps v is multiplied by `factor`; period 0 for never.
    """
    m: np.ndarray
    v: np.ndarray
    seeds: np.ndarray
    steps: np.ndarray
    kind: int
    factor: float
    period: int


class RankOneSlots(NamedTuple):
    """State of an optimizer for parameters (..., n, d) whose second moment is rows[i] * columns[j] / sum(columns).

    m : float32 (..., n, d), the last axis is 0 for rules without a first moment.  rows : float32 (..., n), sums of the second moment over
    the columns.  columns : float32 (..., d), sums over the rows.  steps : int64 (1,), steps taken so far.
    """
    m: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    steps: np.ndarray


def sketched_slots(opt, shape, *, width=None, share=None, depth=3, seed=0, kind="same", exact_m=False, factor=1.0, period=0):
    """Fresh state of `opt` in sketches.

    opt : Optimizer with a state, not `optim.sgd`.  shape : (..., n, d) of the parameters.
    width : int, places in a row of a sketch; or share : float, numbers of a sketch as a share of those of the parameters.
    depth : 1, 3 or 5, rows of a sketch.  seed : int.
    kind : "same", rows one after the other, all places of a row move by the same increment (the paper); "cell", every place takes the step
        for its own value (the published code), which decays more where rows meet; "batch", all rows of a step are read before any is
        written, and rows that meet in a place share its decay, so that second moments stay at least 0.
    exact_m : keep the first moment as it is, and only the second one in a sketch ("CS-V").
    factor, period : second moments are multiplied by `factor` every `period` steps (cleaning); the right ones depend on how many rows a
        step has.
    Returns SketchedSlots, zeros.  Raises ValueError for a rule without state.
    Source: Spring, Kyrillidis, Mohan & Shrivastava 2019, "Compressing gradient optimizers via count-sketches", algorithms 1 to 4 and
    section 4 (cleaning). "batch" is our own.
    Example:
        >>> state = sketched_slots(optim.adam(), (1000, 8), share=0.3)
        >>> state.m.shape, state.v.shape, state_bytes(state)
        ((3, 100, 8), (3, 100, 8), 19232)
    """
    *lead, n, d = _rows(shape)
    if depth not in (1, 3, 5):
        raise ValueError(f"depth must be 1, 3 or 5, not {depth!r}")
    if (width is None) == (share is None):
        raise ValueError("one of width and share must be given, the other be None")
    width = max(1, int(_check.real(share, "share", 0, open_low=True) * n / depth + 1e-9)) if width is None else width
    width = _check.integer(width, "width", 1, 2**31 - 1)
    kind = KINDS.index(_check.choice(kind, "kind", KINDS))
    first, second = (d if moment.shape[-1] else 0 for moment in optim.slots(opt, (0, d))[:2])
    if not first and not second:
        raise ValueError("opt must be a rule with a state, not sgd")
    seeds = hashing.seeds(int(np.prod(lead, dtype=np.int64)) * depth, seed).reshape(*lead, depth)
    m = _memory.zeros((*lead, n, first) if exact_m and first else (*lead, depth, width, first))
    factor, period = _check.real(factor, "factor", 0, 1), _check.integer(period, "period", 0)
    return SketchedSlots(m, _memory.zeros((*lead, depth, width, second)), seeds, np.zeros(1, np.int64), kind, factor, period)


def rank_one_slots(opt, shape):
    """Fresh state of `opt` with a second moment of rank one, the baseline of sketches.

    opt : Optimizer with a second moment.  shape : (..., n, d) of the parameters.
    Rows without a gradient keep their sum; the sums of the columns lose what the estimates of the rows with a gradient lose.
    Returns RankOneSlots, zeros.  Raises ValueError for a rule without a second moment.
    Source: Shazeer & Stern 2018 (Adafactor), algorithm 1; that rows without a gradient stay is our own.
    """
    *lead, n, d = _rows(shape)
    m, v, _ = optim.slots(opt, (0, d))
    if not v.shape[-1]:
        raise ValueError("opt must be a rule with a second moment")
    return RankOneSlots(_memory.zeros((*lead, n, m.shape[-1])), _memory.zeros((*lead, n)), _memory.zeros((*lead, d)), np.zeros(1, np.int64))


def state_bytes(state):
    """Bytes of all arrays of a state.  state : NamedTuple, such as Slots, SketchedSlots or RankOneSlots, or one of such.  Returns int."""
    return sum(state_bytes(field) if isinstance(field, tuple) else field.nbytes for field in state
               if isinstance(field, (np.ndarray, tuple)) or _place.on_device(field))


def check_slots(opt, state, shape, name="state"):
    """ValueError unless `state` fits the optimizer and parameters of `shape`; takes what `optim.check_slots` takes, too."""
    if not isinstance(state, (SketchedSlots, RankOneSlots)):
        optim.check_slots(opt, state, shape, name)
        return
    *lead, n, d = shape
    first, second = (moment.shape[-1] for moment in optim.slots(opt, (0, d))[:2])
    if isinstance(state, RankOneSlots):
        allowed = {"m": [(*lead, n, first)], "rows": [(*lead, n)], "columns": [(*lead, second)]}
    else:
        depth, width = tuple(state.seeds.shape)[-1] if state.seeds.ndim else 0, tuple(state.v.shape)[-2] if state.v.ndim > 2 else 0
        if depth not in (1, 3, 5) or width < 1 or state.kind not in range(len(KINDS)):
            raise ValueError(f"{name} must have a depth of 1, 3 or 5, a width and a kind, not {depth}, {width} and {state.kind}")
        allowed = {"m": [(*lead, depth, width, first)] + [(*lead, n, d)] * (first > 0), "v": [(*lead, depth, width, second)],
                   "seeds": [(*lead, depth)]}
    for field, shapes in allowed.items():
        if tuple(getattr(state, field).shape) not in shapes:
            raise ValueError(f"{name}.{field} must have shape {' or '.join(map(str, shapes))}, not {getattr(state, field).shape}")


def step(opt, state, table, rows, grads, *, lr=None):
    """One step of the optimizer on some rows of a table, in place; `optim.step` for every kind of state.

    state : SketchedSlots or RankOneSlots, or what `optim.step` takes.  opt, table, rows, grads, lr : as there; on a device, too.
    The rows are taken in ascending order, one after the other, or as a batch; the same bits for any number of threads.
    Raises what `optim.step` raises.
    Example:
        >>> opt, table = optim.adam(0.1), np.ones((4, 2), np.float32)
        >>> state = sketched_slots(opt, table.shape, width=2)
        >>> step(opt, state, table, [1, 3], np.ones((2, 2)))
        >>> table[1]
        array([0.9, 0.9], dtype=float32)
    """
    if not isinstance(state, (SketchedSlots, RankOneSlots)):
        optim.step(opt, state, table, rows, grads, lr=lr)
        return
    rows, grads = optim.check_rows(table, rows, grads)
    check_slots(opt, state, table.shape)
    number = int(state.steps[0]) + 1
    hyper = optim.hyper(opt, number, 1, rates=None if lr is None else [_check.real(lr, "lr", 0)])[0]
    kernels = _place.kernels(_kernels, table=table, rows=rows, grads=grads, **{f"state.{name}": array for name, array in zip("mv", state)})
    hyper = _place.beside(hyper, table)
    if isinstance(state, RankOneSlots):
        kernels.rank_one(opt.rule, hyper, rows, grads, table, *state[:3])
    else:
        with one_if(grads.size < _FEW):
            blocks = max(1, min(available(), table.shape[1] // _LANES))  # bits do not depend on them: columns have nothing in common
            kernels.step(opt.rule, hyper, state.kind, rows, grads, blocks, table, *_moments(state))
        _clean(state, state.v, number)
    state.steps[0] = number


def own_step(rule, hyper, number, state, rows, grads, table, r):
    """`step` on the table of leading index r, on the calling thread, unchecked; `number` is that of the step, which is not counted."""
    if isinstance(state, RankOneSlots):
        _kernels.rank_one(rule, hyper, rows, grads, table, state.m[r], state.rows[r], state.columns[r])
        return
    own = state._replace(m=state.m[r], v=state.v[r], seeds=state.seeds[r])
    _kernels.own_step(rule, hyper, state.kind, rows, grads, table, *_moments(own))
    _clean(state, own.v, number)


def _rows(shape):
    """`shape` as a tuple; ValueError unless it is that of rows."""
    if len(shape := tuple(shape)) < 2:
        raise ValueError(f"shape must be (..., n, d), not {shape}")
    return shape


def _moments(state):
    """(m, exact, v, seeds) as the kernels take them."""
    exact = state.m.ndim < state.v.ndim
    return state.m.reshape(1, *state.m.shape) if exact else state.m, exact, state.v, state.seeds


def _clean(state, v, number):
    if not state.period or number % state.period:
        return
    if _place.on_device(v):
        _place.kernels(_kernels, v=v).scale(v.reshape(v.size), np.float32(state.factor))
    else:
        v *= np.float32(state.factor)


modelfile.register(SketchedSlots, m=(np.float32, None), v=(np.float32, None), seeds=(np.uint64, None), steps=(np.int64, 1), kind=int,
                   factor=float, period=int)
modelfile.register(RankOneSlots, m=(np.float32, None), rows=(np.float32, None), columns=(np.float32, None), steps=(np.int64, 1))
