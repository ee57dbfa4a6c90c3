"""MACH with small neural nets: R independent nets of one or two hidden layers over hashed buckets of the labels.

Nets share nothing, so every one is trained by a thread of its own, and its bits are the same for any number of threads.
"""
from typing import NamedTuple

import numpy as np

from . import _batches, _check, _memory, _nets, _place, _threads, hashing, mach, modelfile, optim, sketchoptim, sparse
from ._cpu import shallow as _kernels
from ._scalar.dense import MISH, RELU, TANH
from .lookup import Lookup

BLOCK = 1024  # rows whose scores are one task
ACTIVATIONS = {"relu": RELU, "tanh": TANH, "mish": MISH}


class Shallow(NamedTuple):
    """R nets: sparse rows -> hidden layer -> perhaps a second hidden layer -> bucket scores.

    embed : float32 (reps, width, hidden1).  embed_bias : float32 (reps, hidden1).
    hidden : float32 (reps, hidden1, hidden2), (reps, hidden1, 0) without a second layer.  hidden_bias : float32 (reps, hidden2).
    weights : float32 (reps, last hidden, buckets).  biases : float32 (reps, buckets).  lookup : Lookup.
    feature_seeds : uint64 (reps,), of the hash of the columns into `width` cells in each repetition, or (0,) where columns are used as is.
    n_features : int, columns of the input.  loss : 0 logistic (multi-label), 1 softmax (multi-class).
    activation : of the hidden layers, 0 ReLU, 1 hyperbolic tangent, 2 Mish.
    """
    embed: np.ndarray
    embed_bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    lookup: Lookup
    feature_seeds: np.ndarray
    n_features: int
    loss: int
    activation: int = RELU


class ShallowSlots(NamedTuple):
    """Optimizer state of a Shallow model: Slots for each of its arrays, for `embed` also what `sketchoptim` makes for its shape."""
    embed: optim.Slots
    embed_bias: optim.Slots
    hidden: optim.Slots
    hidden_bias: optim.Slots
    weights: optim.Slots
    biases: optim.Slots


def init(n_features, lookup, *, hidden=(256,), loss="logistic", activation="relu", width=None, seed=0):
    """Untrained model: normal weights, biases zero. Repetition r is the same whatever the number of repetitions.

    n_features : int, columns of the input.  lookup : Lookup.  hidden : one or two ints, units of the hidden layers (`mach` has none).
    activation : "relu", "tanh" or "mish", of the hidden layers.
    loss : "logistic" for any number of labels a row, "softmax" for one.
    width : int, cells that the columns are hashed into, afresh in each repetition; None uses the columns as they are.
    seed : int, of that hash and of the weights.  Returns Shallow.
    Source: He et al. 2015, section 2.2. Variances are 2 / inputs of a unit (their eq. 10), but 2 / units for the first layer (eq. 14):
    few of its inputs are other than zero, and so a row of length one makes hidden values of length about one, however wide it is.
    Mish: Misra 2019, equation 3.
    Example:
        >>> from sketchxc.lookup import hashed
        >>> model = init(1000, hashed(500, reps=2, buckets=20), hidden=(64, 32))
        >>> model.embed.shape, model.hidden.shape, model.weights.shape
        ((2, 1000, 64), (2, 64, 32), (2, 32, 20))
    """
    n_features = _check.integer(n_features, "n_features", 1, 2**31 - 1)
    _check.choice(loss, "loss", mach.LOSSES)
    _check.choice(activation, "activation", ACTIVATIONS)
    if not isinstance(hidden, (tuple, list)) or len(hidden) not in (1, 2):
        raise ValueError(f"hidden must be a tuple of one or two numbers of units, not {hidden!r}")
    sizes = [_check.integer(units, "hidden", 1, 2**20) for units in hidden]
    if width is None:
        width, feature_seeds = n_features, np.empty(0, np.uint64)
    else:
        width = _check.integer(width, "width", 1, 2**31 - 1)
        feature_seeds = hashing.mix(hashing.seeds(lookup.reps, seed), 0x66656174)  # as in `mach.init`
    reps, second = lookup.reps, sizes[1] if len(sizes) == 2 else 0
    embed = _memory.empty((reps, width, sizes[0]))
    middle = _memory.empty((reps, sizes[0], second))
    weights = _memory.empty((reps, sizes[-1], lookup.buckets))
    for r, child in enumerate(np.random.SeedSequence(int(_check.seed(seed))).spawn(reps)):
        rng = np.random.default_rng(child)
        for array, scale in ((embed[r], sizes[0]), (middle[r], sizes[0]), (weights[r], sizes[-1])):
            rng.standard_normal(dtype=np.float32, out=array)
            array *= np.float32(np.sqrt(2.0 / scale))
    zeros = [np.zeros((reps, units), np.float32) for units in (sizes[0], second, lookup.buckets)]
    return Shallow(embed, zeros[0], middle, zeros[1], weights, zeros[2], lookup, feature_seeds, n_features, mach.LOSSES.index(loss),
                   ACTIVATIONS[activation])


def slots(opt, model):
    """Fresh optimizer state for a model. Returns ShallowSlots."""
    return ShallowSlots(*(optim.slots(opt, getattr(model, name).shape) for name in ShallowSlots._fields))


def train(model, opt, state, x, labels, order, *, batch=256, last_lr=None, rates=None, dropout=0.0, seed=0, gates=None,
          threads=None, check=True):
    """One pass of mini-batch training over the rows `order`, in place; the same bits for any number of threads.

    opt : Optimizer; only table rows of columns that occur in a batch take its step.  state : ShallowSlots.
    x : Rows (n, n_features).  labels : Rows (n, n_labels), values ignored.
    order : integers (m,), row numbers in the order of the pass.  batch : int, rows a step; gradients are means over the batch.
    last_lr : float, learning rate that a straight line from opt.lr reaches at the end of the pass; None keeps opt.lr.
    rates : floats, the rate of each step of the pass, as `schedules` makes them, in place of opt.lr and last_lr.
    dropout : float, share of the hidden values that are left out of a step, while the others are divided by the share that stays.
    seed : int, of those choices; they depend on it, the number of the step, the place in the batch and the repetition, on nothing else.
    gates : None, or `growth.Gates`, of which closed units give zero; their scores learn in place.
    check : whether the entries of x and labels are looked at; their shapes always are.
    threads : int, repetitions trained at a time; None takes Numba's number of threads. Products of matrices run on one thread each.
    With a model on a device all repetitions are trained at a time; x, labels and order are all there or all on the host, as in
    `mach.train`, the state of `embed` is Slots, gates are None, products are CuPy's, and results are equal to a tolerance only.
    Returns the mean loss of a row: with logistic loss summed over the buckets, in both cases averaged over the repetitions.
    Raises ValueError if the numbers of rows, features or labels do not fit, or the state is not of this model and optimizer.
    Source: Medini et al. 2019, algorithm 1; several labels of a row in one bucket count once. Dropout: Srivastava et al. 2014."""
    x, labels, order = mach.check_pass(model, x, labels, order, check)
    batch = min(_check.integer(batch, "batch", 1), max(1, order.size))
    threads = _threads.available() if threads is None else _check.integer(threads, "threads", 1)
    last_lr = last_lr if last_lr is None else _check.real(last_lr, "last_lr", 0)
    rates = optim.check_rates(rates, -(-order.size // batch))
    for field in ShallowSlots._fields:
        sketchoptim.check_slots(opt, getattr(state, field), getattr(model, field).shape, f"state.{field}")
    for name, bias in () if gates is None else (("first", model.embed_bias), ("second", model.hidden_bias)):
        if getattr(gates, name).shape != bias.shape:
            raise ValueError(f"gates.{name} must have shape {bias.shape}, not {getattr(gates, name).shape}")
    there = _place.on_device(model.embed)
    if there:
        room = _room(model, state, batch, gates)
    dropout, seed = _check.real(dropout, "dropout", 0, 1, open_high=True), _check.seed(seed)
    losses, done = [], 0
    for rows, targets in mach.feed(model, x, labels, order, batch):
        size = rows.indptr.size - 1
        steps, before = -(-size // batch), int(state.weights.steps[0])
        hypers = optim.hyper(opt, before + 1, steps, last_lr, done / order.size, batch / order.size,
                             None if rates is None else rates[done // batch:done // batch + steps])
        done += size
        shared = None if model.feature_seeds.size else _batches.group(rows, batch)
        coins = _coins(model, dropout, seed, before, steps) if dropout else None
        tasks = ((model, state, opt.rule, hypers, seen, shared or _batches.group(seen, batch), targets, batch, r, coins, gates)
                 for r, seen in (_together(model, rows) if there else _each(model, rows)))
        losses += [_nets.train(room, *task[:-1]) for task in tasks] if there else _threads.each(threads, _train_repetition, tasks)
        for one in state:
            one.steps[0] += steps
    return (_nets.added(losses) if there else sum(losses)) / (model.lookup.reps * max(1, order.size))


def bucket_scores(model, x, *, check=True):
    """Scores (logits) of every bucket.

    x : Rows (n, n_features), as for `mach.bucket_scores`.
    Returns float32 (reps, n, buckets), where the model is, on the host the same bits for any number of threads."""
    if check:
        x = mach.check_features(model, x)
    n = x.indptr.size - 1
    if _place.on_device(model.embed):
        out = _place.empty((model.lookup.reps, n, model.lookup.buckets), np.float32, model.embed)
        for reps, rows in _together(model, x):
            _nets.bucket_scores(model, rows, reps, out[slice(*reps)])
        return out
    out = np.empty((model.lookup.reps, n, model.lookup.buckets), np.float32)  # (reps, n, buckets)
    tasks = ((model, rows, r, start, out[r, start:start + BLOCK]) for r, rows in _each(model, x) for start in range(0, n, BLOCK))
    _threads.each(_threads.available(), _score_block, tasks)
    return out


def top_k(model, x, k, *, how="logit", top=None, least=2, memory=None):
    """Best k labels of every row; bucket scores are made and decoded block by block.

    x, k, how, top, least, memory : as in `mach.top_k`.
    Returns labels int32 (n, k) and scores float32 (n, k), best first, -1 where there are no more candidates, where the model is."""
    return mach.decode_blocks(model, mach.check_features(model, x), bucket_scores, k, how=how, top=top, least=least, memory=memory)


def _train_repetition(model, state, rule, hypers, rows, groups, targets, batch, r, coins, gates):
    """Train net r on prepared rows, batch after batch; returns the sum of the losses. Calls serial kernels only."""
    lookup, n = model.lookup, rows.indptr.size - 1
    distinct, *columns = groups
    layers, moments = _layers(model, r), _moments(model, state, r)
    size = min(batch, n)
    outputs = [np.empty((size, biases.size), np.float32) for _, biases in layers]  # values of each layer; scores, then slopes, of the last
    backs = [np.empty_like(hidden) for hidden in outputs[:-1]]  # slopes of the hidden layers
    activated = [_slopes(model, hidden) for hidden in outputs[:-1]]
    used = layers if gates is None else [layers[0], *((np.empty_like(weights), biases) for weights, biases in layers[1:])]
    gradients = [np.empty_like(weights) for weights, _ in layers[1:]]
    sums = [np.empty_like(biases) for _, biases in layers]
    most = mach.most_targets(lookup, targets, batch)
    work = (np.zeros(lookup.buckets, np.bool_), np.empty(most, np.int64), np.empty(size + 1, np.int64), sums[-1], np.empty_like(sums[-1]))
    loss = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges shows in the loss
        for t in range(distinct.size):
            first, hyper = t * batch, hypers[t]
            values = [output[:n - first] for output in outputs]
            within = [own[:n - first] for own in activated]
            drops = None if coins is None else [(key, *coins[1:]) for key in coins[0][r, t]]
            for own, (weights, _), (opened, _) in () if gates is None else zip(gates, layers[1:], used[1:]):
                _kernels.open_units(own[r], weights, opened)
            slopes = _forward(model.activation, used, rows, first, values, within, drops)
            loss += _kernels.loss_slopes(slopes, np.float32(1.0 / slopes.shape[0]), model.loss == 1, targets.indptr, targets.indices,
                                         first, r, lookup.seeds, lookup.table, lookup.buckets, *work)
            for i in range(len(layers) - 1, 0, -1):
                below, (weights, biases), (weight_slots, bias_slots) = values[i - 1], layers[i], moments[i]
                back, gradient = backs[i - 1][:n - first], gradients[i - 1]
                np.matmul(below.T, slopes, out=gradient)
                np.matmul(slopes, used[i][0].T, out=back)
                if gates is not None:
                    _kernels.learn_gates(gates[i - 1][r], np.float32(gates.rate), gates.prices[i - 1], weights, gradient)
                _kernels.descend_weights(rule, hyper, gradient.reshape(-1), weights.reshape(-1), *weight_slots)
                _kernels.descend_bias(rule, hyper, slopes, sums[i], biases, *bias_slots)
                if drops:
                    _kernels.drop(*drops[i - 1], back)
                _kernels.block(below, within[i - 1], back)
                slopes = back
            (embed, biases), (embed_slots, bias_slots) = layers[0], moments[0]
            _kernels.descend_bias(rule, hyper, slopes, sums[0], biases, *bias_slots)
            if embed_slots is not None:
                _kernels.descend_rows(rule, hyper, slopes, *columns, rows.indptr[first], distinct[t], sums[0], embed, *embed_slots)
                continue
            features = columns[0][rows.indptr[first]:rows.indptr[first] + distinct[t]]
            ascending = np.argsort(features)
            grads = np.empty((distinct[t], embed.shape[1]), np.float32)
            _kernels.row_gradients(slopes, *columns[1:], rows.indptr[first], ascending, grads)
            sketchoptim.own_step(rule, hyper, int(state.embed.steps[0]) + t + 1, state.embed, features[ascending].astype(np.int64), grads,
                                 embed, r)
    return float(loss)


def _score_block(model, rows, r, start, out):
    """Scores of rows start, start + 1, ... in repetition r."""
    layers = _layers(model, r)
    values = [np.empty((out.shape[0], biases.size), np.float32) for _, biases in layers[:-1]]
    unused = [np.empty((out.shape[0], 0), np.float32)] * len(values)
    with np.errstate(over="ignore", invalid="ignore"):
        _forward(model.activation, layers, rows, start, [*values, out], unused)


def _forward(activation, layers, rows, first, values, slopes, drops=None):
    """Fill `values` with the outputs of all layers for rows first, first + 1, ..., and `slopes` with those of the activations.

    drops : None, or for each hidden layer what `drop` wants.  Returns the values of the last layer."""
    for i, (weights, biases) in enumerate(layers):
        if i == 0:
            _kernels.embed_rows(activation, weights, biases, *rows[:3], first, values[0], slopes[0])
        else:
            np.matmul(values[i - 1], weights, out=values[i])
            if i + 1 == len(layers):
                _kernels.add_bias(biases, values[i])
                break
            _kernels.add_bias_activate(activation, biases, values[i], slopes[i])
        if drops:
            _kernels.drop(*drops[i], values[i])
    return values[-1]


def _slopes(model, hidden):
    """Room for the slopes of a hidden layer's activation; of a ReLU they follow from its values."""
    return np.empty((hidden.shape[0], 0 if model.activation == RELU else hidden.shape[1]), np.float32)


def _coins(model, dropout, seed, before, steps):
    """Keys of the dropout uint64 (reps, steps, hidden layers) behind `before` steps, bound of the coins, factor of what stays."""
    own = hashing.seeds(2 * model.lookup.reps, seed).reshape(-1, 1, 2)
    keys = hashing.mix(own ^ np.arange(before, before + steps, dtype=np.uint64)[:, None])
    return keys, np.uint64(round((1.0 - dropout) * 2**32)), np.float32(1.0 / (1.0 - dropout))


def _layers(model, r):
    """(weights, biases) of every layer of net r."""
    return [(getattr(model, weights)[r], getattr(model, biases)[r]) for weights, biases in _names(model)]


def _moments(model, state, r):
    """For every layer of net r the moments (m, v) of its weights, flat but for the table (None if not arrays), and of its biases."""
    out = []
    for weights, biases in _names(model):
        first, second = getattr(state, weights), getattr(state, biases)
        dense = None
        if isinstance(first, optim.Slots):
            dense = [moment[r] if weights == "embed" else moment[r].reshape(-1) for moment in first[:2]]
        out.append((dense, (second.m[r], second.v[r])))
    return out


def _names(model):
    """Fields of the weights and biases of every layer."""
    second = [("hidden", "hidden_bias")] if model.hidden.shape[2] else []
    return [("embed", "embed_bias"), *second, ("weights", "biases")]


def _each(model, x):
    """Every repetition with the rows as it sees them; hashing has parallel kernels, so it belongs to the calling thread."""
    for r in range(model.lookup.reps):
        if model.feature_seeds.size:
            seed = int(_place.to_host(model.feature_seeds)[r])
            yield r, sparse.hash_columns(x, model.embed.shape[1], seed=seed, signed=False, check=False)
        else:
            yield r, x


def _together(model, x):
    """Repetitions (first, last + 1) that see the same rows, with those rows."""
    if model.feature_seeds.size:
        return (((r, r + 1), mach.beside(model, rows)) for r, rows in _each(model, x))
    return [((0, model.lookup.reps), x)]


def _room(model, state, batch, gates):
    """Work space of a pass on a device, of which it is first seen whether it fits."""
    if gates is not None or not isinstance(state.embed, optim.Slots):
        raise TypeError("gates must be None and state.embed optim.Slots on a device, not "
                        f"{type(gates).__name__} and {type(state.embed).__name__}")
    _place.room(_nets.work_bytes(model, batch) + _batches.BYTES * _batches.CHUNK, "a step")
    return _nets.work(model, batch)


def _validate(model):
    reps, width, first = model.embed.shape
    second, buckets = model.hidden.shape[2], model.lookup.buckets
    wanted = {"embed_bias": (reps, first), "hidden": (reps, first, second), "hidden_bias": (reps, second),
              "weights": (reps, second or first, buckets), "biases": (reps, buckets)}
    if reps != model.lookup.reps:
        raise ValueError(f"embed must hold the {model.lookup.reps} repetitions of the lookup, not {reps}")
    for name, shape in wanted.items():
        if getattr(model, name).shape != shape:
            raise ValueError(f"{name} must have shape {shape}, not {getattr(model, name).shape}")
    if model.feature_seeds.size not in (0, reps):
        raise ValueError(f"feature_seeds must hold none or {reps} seeds, not {model.feature_seeds.size}")
    if model.feature_seeds.size == 0 and width != model.n_features:
        raise ValueError(f"embed must have {model.n_features} rows, not {width}")
    if model.loss not in range(len(mach.LOSSES)):
        raise ValueError(f"loss must be 0 or 1, not {model.loss}")
    if model.activation not in ACTIVATIONS.values():
        raise ValueError(f"activation must be 0, 1 or 2, not {model.activation}")


modelfile.register(Shallow, _validate, embed=(np.float32, 3), embed_bias=(np.float32, 2), hidden=(np.float32, 3),
                   hidden_bias=(np.float32, 2), weights=(np.float32, 3), biases=(np.float32, 2), lookup=Lookup,
                   feature_seeds=(np.uint64, 1), n_features=int, loss=int, activation=int)
modelfile.register(ShallowSlots, **{**dict.fromkeys(ShallowSlots._fields, optim.Slots),
                                    "embed": (optim.Slots, sketchoptim.SketchedSlots, sketchoptim.RankOneSlots)})
