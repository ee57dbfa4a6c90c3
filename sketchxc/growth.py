"""Growing and pruning the hidden layers of `shallow` nets: which units stay, smaller and larger nets of the same function, training runs
that alternate between them, and learned gates.

A pruned net is a net of fewer units, so that it costs less memory and time. Every repetition keeps as many units as the others, but not
the same ones. Units take their gains and moving averages of a batch norm with them. Nets with layer norm are refused: there every unit
has a share in what the others give, so that no smaller net has the function of one with pruned units.
"""
from typing import NamedTuple

import numpy as np

from . import _check, _units, modelfile, optim, shallow, sketchoptim
from ._scalar.dense import LAYER, NONE
from .dense import NORMS


class Units(NamedTuple):
    """A number or a choice for each unit of the hidden layers.

    first : (reps, units).  second : (reps, units), (reps, 0) without a second layer; bool for choices, True for units that stay.
    """
    first: np.ndarray
    second: np.ndarray


class Gates(NamedTuple):
    """Learned gates of the hidden units, for `gates` of `shallow.train`: a unit gives h [s > 0], and its score s learns as if it gave h s.

    first, second : float32, the scores, in the shapes of Units.
    prices : float32 (2,), penalty of a unit of each layer: its price times sigmoid(s) is added to the loss.  rate : float, of the scores.
    """
    first: np.ndarray
    second: np.ndarray
    prices: np.ndarray
    rate: float


def magnitudes(model):
    """How much a unit matters: length of the weights that enter it (bias included), times that of the weights that leave it.

    With ReLU the product stays as it is when weights move from one side to the other. Behind a norm the length of the weights that enter
    tells nothing; it is that of gain and bias there.
    model : Shallow.  Returns Units of float32.
    Example:
        >>> from sketchxc.lookup import hashed
        >>> model = shallow.init(9, hashed(50, reps=2, buckets=5), hidden=(8, 4))
        >>> [scores.shape for scores in magnitudes(model)]
        [(2, 8), (2, 4)]
    """
    after = model.hidden if model.hidden.shape[2] else model.weights
    plain = model.norm == NONE
    first = _lengths(model.embed if plain else model.embed_gain[:, None], model.embed_bias) * np.sqrt((after * after).sum(2))
    second = _lengths(model.hidden if plain else model.hidden_gain[:, None], model.hidden_bias)
    if second.shape[1]:
        second = second * np.sqrt((model.weights * model.weights).sum(2))
    return Units(first, second)


def best(scores, first, second=0):
    """The units with the largest scores in every repetition, ties by the smaller number.

    scores : Units of floats.  first, second : ints, how many stay in each hidden layer.  Returns Units of bool.
    Example:
        >>> best(Units(np.array([[0.1, 0.3, 0.2]]), np.zeros((1, 0))), 2).first
        array([[False,  True,  True]])
    """
    out = []
    for name, own, count in zip(Units._fields, scores, (first, second)):
        count = _check.integer(count, name, min(1, own.shape[1]), own.shape[1])
        kept = np.zeros(own.shape, np.bool_)
        np.put_along_axis(kept, np.argsort(-own, axis=1, kind="stable")[:, :count], True, axis=1)
        out.append(kept)
    return Units(*out)


def within(scores, nonzeros, buckets, budget):
    """The units that one threshold over all layers leaves, as many as a budget allows.

    Layers are cut in step: the k-th best unit of a layer counts with its score's mean over the repetitions, and each layer keeps one unit.
    scores : Units of floats, that can be compared over layers, as those of Gates.  nonzeros, buckets, budget : as in `flops`, its result.
    Returns Units of bool.  Raises ValueError if one unit a layer is above the budget.
    """
    ranked = [-np.sort(-own, axis=1).mean(0) for own in scores]
    counts = [min(1, curve.size) for curve in ranked]
    if flops(nonzeros, counts, buckets) > budget:
        raise ValueError(f"budget must be at least {flops(nonzeros, counts, buckets)} for one unit a layer, not {budget}")
    order = sorted((-value, layer, k) for layer, curve in enumerate(ranked) for k, value in enumerate(curve.tolist()) if k)
    for _, layer, _ in order:
        counts[layer] += 1
        if flops(nonzeros, counts, buckets) > budget:
            counts[layer] -= 1
            break
    return best(scores, *counts)


def flops(nonzeros, hidden, buckets):
    """Multiply-adds of a row in one repetition; training takes three times as many.

    nonzeros : float, entries of a row.  hidden : one or two ints, units of the hidden layers, 0 for no second one.  buckets : int.
    Example:
        >>> flops(10, (64, 32), 100), flops(10, (64, 0), 100)
        (5888, 7040)
    """
    sizes = [units for units in hidden if units] + [buckets]
    return nonzeros * sizes[0] + sum(a * b for a, b in zip(sizes, sizes[1:]))


def masked(model, units):
    """Copy of a net in which the weights from and to pruned units, and their biases, gains and averages, are zero.

    model : Shallow.  units : Units of bool, not always as many in each repetition.  Returns Shallow.  With ReLU, tanh and Mish pruned
    units then stay without use in training, because no gradient reaches their weights.
    """
    units = _checked(model, units)
    return _changed(model, lambda name, axes: _units.zeroed(getattr(model, name), axes, units))


def compact(model, units):
    """The net without its pruned units: smaller arrays; scores are those of `masked`, up to the rounding of other sums of products.

    model : Shallow.  units : Units of bool, as many in each repetition.  Returns Shallow.
    Example:
        >>> from sketchxc.lookup import hashed
        >>> model = shallow.init(9, hashed(50, reps=2, buckets=5), hidden=(8, 4))
        >>> compact(model, best(magnitudes(model), 3, 2)).hidden.shape
        (2, 3, 2)
    """
    units = _checked(model, units, even=True)
    return _changed(model, lambda name, axes: _units.cut(getattr(model, name), axes, units))


def compact_slots(state, units):
    """The state of the optimizer of `compact`.  state : ShallowSlots, the table's in arrays or sketches.  Returns ShallowSlots."""
    return _each_moment(state, lambda moment, axes: _units.cut(moment, axes, _even(units)))


def expand(model, units, *, seed=0, fill=None, back=False):
    """A wider net of the same function: new units take part with weights of zero, and learn because something enters them.

    model : Shallow.  units : Units of bool, where the units of the model go in the wider net, as in the call of `compact`.
    seed : int, of the weights that enter new units, as in `shallow.init`.  fill : Shallow of the wider net, from which they come instead.
    back : with `fill`, whether what leaves new units comes from there too; the scores then are not those of the model.
    Returns Shallow.  Its scores are those of the model, up to the rounding of other sums of products.
    """
    units = _even(units)
    _prunable(model)
    counts = [int(own[0].sum()) if len(own) else 0 for own in units]
    if counts != [model.embed.shape[2], model.hidden.shape[2]] or len(units.first) != model.lookup.reps:
        raise ValueError(f"units must keep {model.embed.shape[2]} and {model.hidden.shape[2]} units in {model.lookup.reps} repetitions, "
                         f"not {counts[0]} and {counts[1]} in {len(units.first)}")
    hidden = tuple(own.shape[1] for own in units if own.shape[1])
    if fill is None:
        if back:
            raise ValueError("fill must be the wider net for units to come back, not None")
        fill = shallow.init(model.embed.shape[1], model.lookup, hidden=hidden, seed=seed, norm=NORMS[model.norm])
    elif fill.norm != model.norm:
        raise ValueError(f"fill must have the norm {NORMS[model.norm]!r} of the model, not {NORMS[fill.norm]!r}")
    wide = _changed(model, lambda name, axes: _units.put(getattr(model, name), axes, units, getattr(fill, name)))
    if not back:
        wide.hidden[~units.first[:, :, None] & units.second[:, None]] = 0.0  # from a new unit to one that was there
        wide.weights[~(units.second if model.hidden.shape[2] else units.first)] = 0.0
    return wide


def expand_slots(state, units):
    """The state of the optimizer of `expand`, zero for new units.  state : ShallowSlots.  Returns ShallowSlots."""
    return _each_moment(state, lambda moment, axes: _units.put(moment, axes, _even(units), None))


def alternating(passes, share, *, period=1):
    """Share of the units in every pass of a run that is pruned and grown in turn, and ends with all units.

    passes : int.  share : float in (0, 1], in the pruned passes.  period : int, passes until the next change.  Returns float64 (passes,).
    Source: Du et al. 2021, "Alternate model growth and pruning for efficient training of recommendation systems", in our own form.
    Example:
        >>> alternating(5, 0.25, period=2)
        array([1.  , 0.25, 0.25, 1.  , 1.  ])
    """
    passes, period = _check.integer(passes, "passes", 0), _check.integer(period, "period", 1)
    phases = np.arange(passes)[::-1] // period
    return np.where(phases % 2 == 0, 1.0, _check.real(share, "share", 0, 1, open_low=True))


def falling(shares, lr):
    """Learning rates between the passes of `fit` that fall to zero in a straight line of the multiply-adds, for its `lrs`.

    A pruned pass lowers the rate by its share only, so that what grows late still learns at a rate worth having.
    shares : floats in (0, 1], share of the units in each pass.  lr : float, rate at the start.  Returns float64 (passes + 1,).
    Example:
        >>> falling([0.5, 0.5, 1.0], 0.2)
        array([0.2 , 0.15, 0.1 , 0.  ])
    """
    shares = np.array([_check.real(share, "shares", 0, 1, open_low=True) for share in shares])
    left = np.append(np.cumsum(shares[::-1])[::-1], 0.0)
    return _check.real(lr, "lr", 0) * (left / max(left[0], 1e-300))


def fit(model, opt, state, x, labels, orders, shares, *, lrs=None, back=True, **more):
    """Train for several passes, each with a share of the units.

    Before a pass with another share than the last the net grows to all units, and is then pruned to the units of the largest magnitudes.
    What enters a unit that comes back are the weights it had when it was pruned (measured better than new ones), its moments are zero.
    back : whether what leaves it is as it was too (measured better), else zero, which leaves the scores as they are.
    model, opt, state, x, labels : as in `shallow.train`, model and state of all units; they are changed.
    orders : sequence of integers (m,), one for each pass.  shares : floats in (0, 1], share of the units in each pass (at least one unit).
    lrs : None, or floats (passes + 1,), learning rates between which a pass goes in a straight line.
    more : further arguments of `shallow.train`.
    Returns (Shallow, ShallowSlots, list of the losses, list of the Units of each pass).
    """
    orders, shares = list(orders), [_check.real(share, "shares", 0, 1, open_low=True) for share in shares]
    if len(orders) != len(shares) or (lrs is not None and len(lrs) != len(shares) + 1):
        raise ValueError(f"orders, shares and lrs must be as many as passes, lrs one more, not {len(orders)}, {len(shares)} and "
                         f"{None if lrs is None else len(lrs)}")
    full = Units(*(np.ones(bias.shape, np.bool_) for bias in (model.embed_bias, model.hidden_bias)))
    units, wide, now, losses, seen = full, model, 1.0, [], []
    for i, (order, share) in enumerate(zip(orders, shares)):
        if share != now and now < 1.0:
            model, state = expand(model, units, fill=wide, back=back), expand_slots(state, units)
            units = full
        if share != now and share < 1.0:
            wide, units = model, best(magnitudes(model), *(max(min(1, own.shape[1]), round(share * own.shape[1])) for own in full))
            model, state = compact(model, units), compact_slots(state, units)
        now = share
        rates = {} if lrs is None else {"last_lr": lrs[i + 1]}
        own = opt if lrs is None else opt._replace(lr=lrs[i])
        losses.append(shallow.train(model, own, state, x, labels, order, **rates, **more))
        seen.append(units)
    return model, state, losses, seen


def gates(model, *, rate=0.01, penalty=0.0, nonzeros=1.0, start=0.5):
    """Gates that are all open.

    model : Shallow.  rate : float, learning rate of the scores.
    penalty : float, of a unit that costs all the multiply-adds of the net; units cost what enters and leaves them.
    nonzeros : float, entries of a row.  start : float above 0, first score.  Returns Gates.
    Source: after the aims of Ye et al. 2020, "Adaptive dense-to-sparse paradigm for pruning online recommendation system with
    non-stationary data": learned sparsity of each layer and a global budget (`within`); the gates are our own form.
    """
    _prunable(model)
    hidden = [units for units in model.hidden.shape[1:] if units]
    sizes = [_check.real(nonzeros, "nonzeros", 0), *hidden, model.lookup.buckets]
    prices = [sizes[i - 1] + sizes[i + 1] for i in range(1, len(sizes) - 1)]
    whole = flops(sizes[0], hidden, sizes[-1])
    prices = np.array([_check.real(penalty, "penalty", 0) * price / whole for price in prices] + [0.0], np.float32)[:2]
    start = _check.real(start, "start", 0, open_low=True)
    first, second = (np.full(bias.shape, start, np.float32) for bias in (model.embed_bias, model.hidden_bias))
    return Gates(first, second, prices, _check.real(rate, "rate", 0))


def opened(own):
    """The units whose gates are open.  own : Gates.  Returns Units of bool, for `masked`."""
    return Units(own.first > 0, own.second > 0)


# Axes of the arrays of a net, after that of the repetitions, that are units of the first (0) or second (1) hidden layer, or neither.
_AXES = {"embed": (None, 0), "embed_bias": (0,), "hidden": (0, 1), "hidden_bias": (1,), "weights": None, "biases": (None,),
         "embed_gain": (0,), "hidden_gain": (1,)}
_STATS = {"embed_stats": (None, 0), "hidden_stats": (None, 1)}


def _even(units):
    """The units, if as many are kept in each repetition; else ValueError."""
    for name, own in zip(Units._fields, units):
        if own.dtype != np.bool_ or own.ndim != 2 or (own.sum(1) != own[:1].sum()).any() or (own.shape[1] and not own.any()):
            raise ValueError(f"units.{name} must be bool (reps, units) with as many True in each repetition, and at least one")
    return units


def _checked(model, units, even=False):
    _prunable(model)
    for name, own, wanted in zip(Units._fields, units, (model.embed.shape[::2], model.hidden.shape[::2])):
        if own.dtype != np.bool_ or own.shape != wanted:
            raise ValueError(f"units.{name} must be bool {wanted}, not {own.dtype} {own.shape}")
    return _even(units) if even else units


def _prunable(model):
    if model.norm == LAYER:
        raise ValueError("model must have no layer norm, in which pruned units would still have their share; batch norm can be pruned")


def _changed(model, change):
    """The model with its arrays changed, by change(name, axes)."""
    return model._replace(**{name: change(name, axes) for name, axes in (_AXES | _STATS).items()}, steps=model.steps.copy())


def _lengths(weights, bias):
    return np.sqrt((weights * weights).sum(1) + bias * bias)


def _each_moment(state, change):
    """State with its moments changed; steps stay."""
    out = {}
    for name, axes in _AXES.items():
        own = getattr(state, name)
        if not isinstance(own, (optim.Slots, sketchoptim.SketchedSlots)):
            raise TypeError(f"state.{name} must be Slots or SketchedSlots, not {type(own).__name__}")
        out[name] = own._replace(m=change(own.m, axes), v=change(own.v, axes), steps=own.steps.copy())
    return state._replace(**out)


modelfile.register(Units, first=((np.bool_, np.float32), 2), second=((np.bool_, np.float32), 2))
modelfile.register(Gates, first=(np.float32, 2), second=(np.float32, 2), prices=(np.float32, 1), rate=float)
