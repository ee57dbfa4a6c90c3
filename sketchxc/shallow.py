"""MACH with small neural nets: R independent nets of one or two hidden layers over hashed buckets of the labels.

Nets share nothing, so every one is trained by a thread of its own, and its bits are the same for any number of threads.
"""
from typing import NamedTuple

import numpy as np

from . import _batches, _check, _memory, _net, _nets, _place, _threads, hashing, mach, modelfile, optim, sketchoptim, sparse
from ._scalar.dense import BATCH, LAYER, MISH, NONE, RELU, TANH
from .dense import NORMS
from .lookup import Lookup

BLOCK = 1024  # rows whose scores are one task
ACTIVATIONS = {"relu": RELU, "tanh": TANH, "mish": MISH}
KEEP = 0.9  # share of what they are that the moving averages of batch norm keep of a batch
_NO_GAINS, _NO_STATS, _NO_STEPS = np.empty((0, 0), np.float32), np.empty((0, 2, 0), np.float32), np.empty(0, np.int64)


class Shallow(NamedTuple):
    """R nets: sparse rows -> hidden layer -> perhaps a second hidden layer -> bucket scores.

    embed : float32 (reps, width, hidden1).  embed_bias : float32 (reps, hidden1).
    hidden : float32 (reps, hidden1, hidden2), (reps, hidden1, 0) without a second layer.  hidden_bias : float32 (reps, hidden2).
    weights : float32 (reps, last hidden, buckets).  biases : float32 (reps, buckets).  lookup : Lookup.
    feature_seeds : uint64 (reps,), of the hash of the columns into `width` cells in each repetition, or (0,) where columns are used as is.
    n_features : int, columns of the input.  loss : 0 logistic (multi-label), 1 softmax (multi-class).
    activation : of the hidden layers, 0 ReLU, 1 hyperbolic tangent, 2 Mish.
    norm : of the sums of the hidden layers, 0 none, 1 layer norm, 2 batch norm; the fields below are empty without.
    embed_gain : float32 (reps, hidden1).  hidden_gain : float32 (reps, hidden2).
    embed_stats : float32 (reps, 2, hidden1), with batch norm the moving averages of means and variances of the sums.
    hidden_stats : float32 (reps, 2, hidden2).  steps : int64 (1,), with batch norm how many batches these have seen.
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
    norm: int = NONE
    embed_gain: np.ndarray = _NO_GAINS
    hidden_gain: np.ndarray = _NO_GAINS
    embed_stats: np.ndarray = _NO_STATS
    hidden_stats: np.ndarray = _NO_STATS
    steps: np.ndarray = _NO_STEPS


class ShallowSlots(NamedTuple):
    """Optimizer state of a Shallow model: Slots for each of its arrays, for `embed` also what `sketchoptim` makes for its shape."""
    embed: optim.Slots
    embed_bias: optim.Slots
    hidden: optim.Slots
    hidden_bias: optim.Slots
    weights: optim.Slots
    biases: optim.Slots
    embed_gain: optim.Slots
    hidden_gain: optim.Slots


def init(n_features, lookup, *, hidden=(256,), loss="logistic", activation="relu", norm="none", width=None, seed=0):
    """Untrained model: normal weights, biases zero, gains one. Repetition r is the same whatever the number of repetitions.

    n_features : int, columns of the input.  lookup : Lookup.  hidden : one or two ints, units of the hidden layers (`mach` has none).
    activation : "relu", "tanh" or "mish", of the hidden layers.
    norm : "none", "layer" or "batch", of the sums of the hidden layers, as in `dense.mlp`: a hidden layer is
        dropout(activation(gain * norm(x @ weights) + bias)). Batch norm takes the moments of the batch in training and moving averages
        of them, as `dense.see` makes them, in scoring; a batch of one row, normed to zeros, does not count in these.
    loss : "logistic" for any number of labels a row, "softmax" for one.
    width : int, cells that the columns are hashed into, afresh in each repetition; None uses the columns as they are.
    seed : int, of that hash and of the weights.  Returns Shallow.
    Source: He et al. 2015, section 2.2. Variances are 2 / inputs of a unit (their eq. 10), but 2 / units for the first layer (eq. 14):
    few of its inputs are other than zero, and so a row of length one makes hidden values of length about one, however wide it is.
    Mish: Misra 2019, equation 3. Norms: Ba, Kiros & Hinton 2016, equation 3; Ioffe & Szegedy 2015, algorithms 1 and 2.
    Example:
        >>> from sketchxc.lookup import hashed
        >>> model = init(1000, hashed(500, reps=2, buckets=20), hidden=(64, 32))
        >>> model.embed.shape, model.hidden.shape, model.weights.shape
        ((2, 1000, 64), (2, 64, 32), (2, 32, 20))
    """
    n_features = _check.integer(n_features, "n_features", 1, 2**31 - 1)
    _check.choice(loss, "loss", mach.LOSSES)
    _check.choice(activation, "activation", ACTIVATIONS)
    norm = NORMS.index(_check.choice(norm, "norm", NORMS))
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
    gains = [np.ones((reps, 0 if norm == NONE else units), np.float32) for units in (sizes[0], second)]
    stats = [np.zeros((reps, 2, units if norm == BATCH else 0), np.float32) for units in (sizes[0], second)]
    for own in stats:
        own[:, 1] = 1.0
    return Shallow(embed, zeros[0], middle, zeros[1], weights, zeros[2], lookup, feature_seeds, n_features, mach.LOSSES.index(loss),
                   ACTIVATIONS[activation], norm, *gains, *stats, np.zeros(int(norm == BATCH), np.int64))


def slots(opt, model):
    """Fresh optimizer state for a model. Returns ShallowSlots."""
    return ShallowSlots(*(optim.slots(opt, getattr(model, name).shape) for name in ShallowSlots._fields))


def train(model, opt, state, x, labels, order, *, batch=256, last_lr=None, rates=None, dropout=0.0, seed=0, gates=None,
          clip=None, threads=None, check=True):
    """One pass of mini-batch training over the rows `order`, in place; the same bits for any number of threads.

    opt : Optimizer; only table rows of columns that occur in a batch take its step.  state : ShallowSlots.
    x : Rows (n, n_features).  labels : Rows (n, n_labels), values ignored.
    order : integers (m,), row numbers in the order of the pass.  batch : int, rows a step; gradients are means over the batch.
    last_lr : float, learning rate that a straight line from opt.lr reaches at the end of the pass; None keeps opt.lr.
    rates : floats, the rate of each step of the pass, as `schedules` makes them, in place of opt.lr and last_lr.
    dropout : float, share of the hidden values that are left out of a step, while the others are divided by the share that stays.
    seed : int, of those choices; they depend on it, the number of the step, the place in the batch and the repetition, on nothing else.
    gates : None, or `growth.Gates`, of which closed units give zero; their scores learn in place. Not with layer norm.
    clip : None, or float: the gradients of a step, in each repetition all of them together, are scaled down to that length if they are
        longer (in float64; those of gates are no part of it). It costs the rows of the table a pass more.
    check : whether the entries of x and labels are looked at; their shapes always are.
    threads : int, repetitions trained at a time; None takes Numba's number of threads. Products of matrices run on one thread each.
    With a model on a device all repetitions are trained at a time; x, labels and order are all there or all on the host, as in
    `mach.train`, the state of `embed` is Slots, gates and clip are None, products are CuPy's, and results are equal to a tolerance only.
    Returns the mean loss of a row: with logistic loss summed over the buckets, in both cases averaged over the repetitions.
    Raises ValueError if the numbers of rows, features or labels do not fit, or the state is not of this model and optimizer.
    Source: Medini et al. 2019, algorithm 1; several labels of a row in one bucket count once. Dropout: Srivastava et al. 2014.
    Clipping: Pascanu, Mikolov & Bengio 2013, algorithm 1."""
    x, labels, order = mach.check_pass(model, x, labels, order, check)
    batch = min(_check.integer(batch, "batch", 1), max(1, order.size))
    threads = _threads.available() if threads is None else _check.integer(threads, "threads", 1)
    last_lr = last_lr if last_lr is None else _check.real(last_lr, "last_lr", 0)
    rates = optim.check_rates(rates, -(-order.size // batch))
    for field in ShallowSlots._fields:
        check = sketchoptim.check_slots if field == "embed" else optim.check_slots
        check(opt, getattr(state, field), getattr(model, field).shape, f"state.{field}")
    for name, bias in () if gates is None else (("first", model.embed_bias), ("second", model.hidden_bias)):
        if getattr(gates, name).shape != bias.shape:
            raise ValueError(f"gates.{name} must have shape {bias.shape}, not {getattr(gates, name).shape}")
    if gates is not None and model.norm == LAYER:
        raise ValueError("gates must be None with layer norm, in which closed units would still have their share")
    clip = None if clip is None else _check.real(clip, "clip", 0, open_low=True)
    there = _place.on_device(model.embed)
    if there:
        room = _room(model, state, batch, gates, clip)
    dropout, seed = _check.real(dropout, "dropout", 0, 1, open_high=True), _check.seed(seed)
    own_step = None if isinstance(state.embed, optim.Slots) else sketchoptim.own_step
    losses, done = [], 0
    for rows, targets in mach.feed(model, x, labels, order, batch):
        size = rows.indptr.size - 1
        steps, before = -(-size // batch), int(state.weights.steps[0])
        hypers = optim.hyper(opt, before + 1, steps, last_lr, done / order.size, batch / order.size,
                             None if rates is None else rates[done // batch:done // batch + steps])
        done += size
        shared = None if model.feature_seeds.size else _batches.group(rows, batch)
        coins = _coins(model, dropout, seed, before, steps) if dropout else None
        shares = _shares(model, size, batch)
        more = () if there else (gates, mach.most_targets(model.lookup, targets, batch), clip, own_step)
        tasks = ((model, state, opt.rule, hypers, seen, shared or _batches.group(seen, batch), targets, batch, r, coins, shares, *more)
                 for r, seen in (_together(model, rows) if there else _each(model, rows)))
        losses += [_nets.train(room, *task) for task in tasks] if there else _threads.each(threads, _net.train, tasks)
        for one in state:
            one.steps[0] += steps
        model.steps[:] += np.count_nonzero(shares)
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
    _threads.each(_threads.available(), _net.score, tasks)
    return out


def top_k(model, x, k, *, how="logit", top=None, least=2, memory=None):
    """Best k labels of every row; bucket scores are made and decoded block by block.

    x, k, how, top, least, memory : as in `mach.top_k`.
    Returns labels int32 (n, k) and scores float32 (n, k), best first, -1 where there are no more candidates, where the model is."""
    return mach.decode_blocks(model, mach.check_features(model, x), bucket_scores, k, how=how, top=top, least=least, memory=memory)


def _shares(model, size, batch):
    """How far each batch of `size` rows moves the averages of batch norm, float32 (steps,): as in `dense.see`, one row not at all."""
    counts = np.minimum(batch, size - np.arange(0, size, batch))
    if model.norm != BATCH:
        return np.zeros(counts.size, np.float32)
    seen = int(model.steps[0]) + np.cumsum(counts > 1)
    return np.where(counts > 1, np.maximum(1.0 - KEEP, 1.0 / np.maximum(seen, 1)), 0.0).astype(np.float32)


def _coins(model, dropout, seed, before, steps):
    """Keys of the dropout uint64 (reps, steps, hidden layers) behind `before` steps, bound of the coins, factor of what stays."""
    own = hashing.seeds(2 * model.lookup.reps, seed).reshape(-1, 1, 2)
    keys = hashing.mix(own ^ np.arange(before, before + steps, dtype=np.uint64)[:, None])
    return keys, np.uint64(round((1.0 - dropout) * 2**32)), np.float32(1.0 / (1.0 - dropout))


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


def _room(model, state, batch, gates, clip):
    """Work space of a pass on a device, of which it is first seen whether it fits."""
    if clip is not None:
        raise TypeError("clip must be None on a device, where steps do not wait for the length of a gradient")
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
    if model.norm not in range(len(NORMS)):
        raise ValueError(f"norm must be 0, 1 or 2, not {model.norm}")
    if model.norm != NONE:
        wanted |= {"embed_gain": (reps, first), "hidden_gain": (reps, second)}
    if model.norm == BATCH:
        wanted |= {"embed_stats": (reps, 2, first), "hidden_stats": (reps, 2, second), "steps": (1,)}
    for name in ("embed_gain", "hidden_gain", "embed_stats", "hidden_stats", "steps"):
        if name not in wanted and getattr(model, name).size:
            raise ValueError(f"{name} must be empty with the norm {NORMS[model.norm]!r}, not of shape {getattr(model, name).shape}")
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
                   feature_seeds=(np.uint64, 1), n_features=int, loss=int, activation=int, norm=int, embed_gain=(np.float32, 2),
                   hidden_gain=(np.float32, 2), embed_stats=(np.float32, 3), hidden_stats=(np.float32, 3), steps=(np.int64, 1))
modelfile.register(ShallowSlots, **{**dict.fromkeys(ShallowSlots._fields, optim.Slots),
                                    "embed": (optim.Slots, sketchoptim.SketchedSlots, sketchoptim.RankOneSlots)})
