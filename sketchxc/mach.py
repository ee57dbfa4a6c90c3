"""MACH: R small classifiers over hashed buckets of the labels. Here the linear ones; `shallow` has the nets with hidden layers.

A label's score is the aggregate of its buckets' scores over the repetitions (`decode`). With the identity lookup and one repetition the
model is one-vs-all (`linear`).
"""
from typing import NamedTuple

import numpy as np

from . import _batches, _check, _memory, _place, _there, decode, hashing, modelfile, optim, sparse
from ._cpu import mach as _kernels
from .lookup import Lookup

LOSSES = ("logistic", "softmax")
LEAST_BLOCK = 256  # rows that are decoded at a time, at least


class Mach(NamedTuple):
    """Linear MACH.

    weights : float32 (width, reps * buckets), a feature's weights for all repetitions side by side.
    biases : float32 (reps * buckets,).  lookup : Lookup.
    feature_seeds : uint64 (reps,), of the hash of the columns into `width` cells in each repetition, or (0,) where columns are used as is.
    n_features : int, columns of the input.  loss : 0 logistic (multi-label), 1 softmax (multi-class).
    """
    weights: np.ndarray
    biases: np.ndarray
    lookup: Lookup
    feature_seeds: np.ndarray
    n_features: int
    loss: int


class MachSlots(NamedTuple):
    """Optimizer state of a Mach model: one Slots for the weights, one for the biases."""
    weights: optim.Slots
    biases: optim.Slots


def init(n_features, lookup, *, loss="logistic", width=None, seed=0):
    """Untrained model: all weights zero.

    n_features : int, columns of the input.  lookup : Lookup.  loss : "logistic" for any number of labels a row, "softmax" for one.
    width : int, cells that the columns are hashed into, afresh in each repetition; None uses the columns as they are.
    seed : int, of that hash.  Returns Mach."""
    n_features = _check.integer(n_features, "n_features", 1, 2**31 - 1)
    _check.choice(loss, "loss", LOSSES)
    if width is None:
        width, feature_seeds = n_features, np.empty(0, np.uint64)
    else:
        width = _check.integer(width, "width", 1, 2**31 - 1)
        feature_seeds = hashing.mix(hashing.seeds(lookup.reps, seed), 0x66656174)  # the word "feat": apart from the labels' seeds
    columns = lookup.reps * lookup.buckets
    weights, biases = _memory.zeros((width, columns)), _memory.zeros(columns)
    return Mach(weights, biases, lookup, feature_seeds, n_features, LOSSES.index(loss))


def slots(opt, model):
    """Fresh optimizer state for a model. Returns MachSlots."""
    return MachSlots(optim.slots(opt, model.weights.shape), optim.slots(opt, model.biases.shape))


def train(model, opt, state, x, labels, order, *, batch=64, last_lr=None, rates=None, check=True):
    """One pass of mini-batch training over the rows `order`, in place.

    opt : Optimizer.  state : MachSlots, where the model is.  x : Rows (n, n_features).  labels : Rows (n, n_labels), values ignored.
    order : integers (m,), row numbers in the order of the pass.  batch : int, rows a step; gradients are means over the batch.
    last_lr : float, learning rate that a straight line from opt.lr reaches at the end of the pass; None keeps opt.lr.
    rates : floats, the rate of each step of the pass, as `schedules` makes them, in place of opt.lr and last_lr.
    check : whether the entries of x and labels are looked at; their shapes always are.
    With a model on a device x, labels and order may all be there, where batches are made ready then, or all on the host, from where
    they are copied while other batches train; results are equal. Hashed columns are made ready on the host alone.
    Gradients are not clipped: that of a feature is used at once, before the common length is known (`shallow.train` can clip).
    Returns the mean loss of a row: with logistic loss summed over the buckets, in both cases averaged over the repetitions.
    Raises ValueError if the numbers of rows, features or labels do not fit, or the state is not of this model and optimizer, TypeError
    if some of x, labels and order are on a device and others, or the model, are not.
    Source: Medini et al. 2019, algorithm 1; several labels of a row in one bucket count once."""
    x, labels, order = check_pass(model, x, labels, order, check)
    batch = min(_check.integer(batch, "batch", 1), max(1, order.size))
    last_lr = last_lr if last_lr is None else _check.real(last_lr, "last_lr", 0)
    rates = optim.check_rates(rates, -(-order.size // batch))
    for field in MachSlots._fields:
        optim.check_slots(opt, getattr(state, field), getattr(model, field).shape, f"state.{field}")
    if _place.on_device(model.weights):  # what a step works on beside the model
        _place.room(8 * model.biases.size * batch + _batches.BYTES * _batches.CHUNK, "a step")
    losses, done = [], 0
    for rows, targets in feed(model, x, labels, order, batch):
        size = rows.indptr.size - 1
        steps = -(-size // batch)
        hypers = optim.hyper(opt, int(state.weights.steps[0]) + 1, steps, last_lr, done / order.size, batch / order.size,
                             None if rates is None else rates[done // batch:done // batch + steps])
        done += size
        if model.feature_seeds.size:
            for r in range(model.lookup.reps):
                losses.append(_train_chunk(model, opt.rule, state, hypers, beside(model, _hashed(model, rows, r)), targets, batch,
                                           (r, r + 1)))
        else:
            losses.append(_train_chunk(model, opt.rule, state, hypers, rows, targets, batch, (0, model.lookup.reps)))
        state.weights.steps[0] += steps
        state.biases.steps[0] += steps
    return sum(float(_place.to_host(own).sum()) for own in losses) / (model.lookup.reps * max(1, order.size))


def bucket_scores(model, x, *, check=True):
    """Scores (logits) of every bucket.

    x : Rows (n, n_features), for a model on a device on either side, but on the host if columns are hashed.
    Returns float32 (reps, n, buckets), where the model is."""
    if check:
        x = check_features(model, x)
    n, lookup, kernels = x.indptr.size - 1, model.lookup, _place.kernels(_kernels, weights=model.weights, biases=model.biases)
    out = _place.empty((lookup.reps, n, lookup.buckets), np.float32, model.weights)  # (reps, n, buckets)
    if model.feature_seeds.size:
        for r in range(lookup.reps):
            kernels.bucket_scores(model.weights, model.biases, r, lookup.buckets, *beside(model, _hashed(model, x, r))[:3], out[r:r + 1])
    else:
        kernels.bucket_scores(model.weights, model.biases, 0, lookup.buckets, *beside(model, x)[:3], out)
    return out


def top_k(model, x, k, *, how="logit", top=None, least=2, memory=None):
    """Best k labels of every row; bucket scores are made and decoded block by block.

    x : Rows, as for `bucket_scores`.  k : int.  how, top, least : as in `decode.top_k`.
    memory : int, bytes that the scores of a block may take; None takes 256 MB, on a device an eighth of what is free.
    Returns labels int32 (n, k) and scores float32 (n, k), best first, -1 where there are no more candidates, where the model is."""
    return decode_blocks(model, check_features(model, x), bucket_scores, k, how=how, top=top, least=least, memory=memory)


def decode_blocks(model, x, scorer, k, *, how, top, least, memory):
    """`decode.top_k` over blocks of rows whose bucket scores come from `scorer(model, rows, check=False)`."""
    k = _check.integer(k, "k", 1, model.lookup.n_labels)
    n, like = x.indptr.size - 1, model.biases
    memory = (_place.free(like) or 1 << 31) // 8 if memory is None else memory
    block = max(LEAST_BLOCK, memory // (4 * model.lookup.reps * model.lookup.buckets))
    tables = decode.decoding_tables(model.lookup, pruned=top is not None)
    labels, scores = _place.empty((n, k), np.int32, like), _place.empty((n, k), np.float32, like)
    for start in range(0, n, block):
        if _place.on_device(x.indptr):
            rows = x._replace(indptr=x.indptr[start:start + block + 1])
        else:
            rows = sparse.take(x, np.arange(start, min(n, start + block)))
        part = decode.top_k(scorer(model, rows, check=False), model.lookup, k, how=how, softmax=model.loss == 1, top=top, least=least,
                            tables=tables)
        _place.assign(labels[start:start + block], part[0])
        _place.assign(scores[start:start + block], part[1])
    return labels, scores


def slice_width(columns, buckets, softmax):
    """Columns of one training task: whole tiles of the kernel, few enough for the second-level cache; a softmax needs whole repetitions."""
    unit = buckets if softmax else 128
    wide = min(1024, max(256, columns // 4))
    return min(columns, max(unit, wide // unit * unit))


def _train_chunk(model, rule, state, hypers, rows, targets, batch, reps):
    """Prepare the batches of one chunk and run the kernel on the repetitions reps[0] to reps[1]; return sums of losses, where the model is:
    nobody waits for a device here."""
    lookup, softmax = model.lookup, model.loss == 1
    columns = reps[0] * lookup.buckets, reps[1] * lookup.buckets
    width = slice_width(columns[1] - columns[0], lookup.buckets, softmax)
    # Slices within a page of each other slow each other down, up to 1.4 times, as prefetching crosses over; a copy must be worth its price.
    private = model.biases.size <= 2048 and rows.indices.size >= 32 * rows.width
    losses = _place.zeros(-(-(columns[1] - columns[0]) // width), np.float64, model.weights)  # one per task
    most = 0 if _place.on_device(model.weights) else most_targets(lookup, targets, batch)
    arrays = dict(weights=model.weights, biases=model.biases, lookup=lookup.seeds, wm=state.weights.m, wv=state.weights.v,
                  bm=state.biases.m, bv=state.biases.v)
    train = _place.kernels(_kernels, **arrays).train
    train(model.weights, model.biases, state.weights.m, state.weights.v, state.biases.m, state.biases.v, rule,
          _place.beside(hypers, model.weights), softmax, columns, width, private, *rows[:3], batch, *_batches.group(rows, batch),
          targets.indptr, targets.indices, most, lookup.seeds, lookup.table, lookup.buckets, losses)
    return losses


def most_targets(lookup, targets, batch):
    """Buckets that the labels of a batch name at most; targets on the host."""
    return lookup.probes * int(np.diff(np.append(targets.indptr[:-1:batch], targets.indptr[-1])).max(initial=0))


def feed(model, x, labels, order, batch):
    """(rows, targets) of every chunk of a pass, where the model is; but rows on the host if columns are to be hashed."""
    if _place.on_device(order):
        yield from _batches.chunks_there(x, labels, order, batch)
        return
    there = _place.on_device(model.biases)
    parts = ((sparse.take(x, part, check=False), sparse.take(labels, part, check=False))
             for part in _batches.chunks(x, order, batch, _batches.STREAMED if there else 1))
    if not there:
        yield from parts
    elif model.feature_seeds.size:
        yield from ((rows, beside(model, targets)) for rows, targets in parts)
    else:
        for found in _batches.streamed((*rows[:3], *targets[:3]) for rows, targets in parts):
            yield sparse.Rows(*found[:3], x.width), sparse.Rows(*found[3:], labels.width)


def beside(model, rows):
    """Rows where a Mach or Shallow model is."""
    return rows._replace(**{name: _place.beside(getattr(rows, name), model.biases) for name in ("indptr", "indices", "values")})


def _hashed(model, x, r):
    """Rows as repetition r sees them."""
    return sparse.hash_columns(x, model.weights.shape[0], seed=int(_place.to_host(model.feature_seeds)[r]), signed=False)


def check_features(model, x, check=True):
    """Rows x with the columns of a Mach or Shallow model, on the device only where such a model reads them; `check` as in `train`."""
    if isinstance(x, sparse.Rows) and _place.on_device(x.indices):
        if not _place.on_device(model.biases) or model.feature_seeds.size:
            raise TypeError("x must be on the host for a model that is there or hashes its columns: move it with sketchxc.to_host")
        x = _there.rows(x, "x", check)
    else:
        x = sparse.rows(x, check=check)
    if x.width != model.n_features:
        raise ValueError(f"x must have {model.n_features} columns as in training, not {x.width}")
    return x


def check_data(model, x, labels, check):
    """Rows x and labels on the host, as many of each, with the columns and labels of a Mach or Shallow model."""
    if any(isinstance(own, sparse.Rows) and _place.on_device(own.indices) for own in (x, labels)):
        raise TypeError("x and labels must be on the host here: move them with sketchxc.to_host")
    return _as_many(check_features(model, x, check), sparse.rows(labels, model.lookup.n_labels, check=check, name="labels"))


def check_pass(model, x, labels, order, check):
    """As `check_data`, with the row numbers `order` of a pass; all may be on the device where the model is."""
    places = {name: own.indices if isinstance(own, sparse.Rows) else own for name, own in (("x", x), ("labels", labels), ("order", order))}
    there = any(map(_place.on_device, places.values()))
    if not there:
        x, labels = check_data(model, x, labels, check)
    else:
        _place.kernels(_kernels, **places, model=model.biases)
        if not (isinstance(x, sparse.Rows) and isinstance(labels, sparse.Rows)):
            raise TypeError(f"x and labels must be Rows on a device, not {type(x).__name__} and {type(labels).__name__}")
        labels = sparse.rows(labels, model.lookup.n_labels, check=check, name="labels", device=True)
        x, labels = _as_many(check_features(model, x, check), labels)
    order, n = _check.array(order, "order", np.int64, 1, device=there), x.indptr.size - 1
    if order.size and (_there.strays(order, n) if there else order.min() < 0 or order.max() >= n):
        raise ValueError(f"order must hold row numbers between 0 and {n - 1}")
    return x, labels, order


def _as_many(x, labels):
    if labels.indptr.size != x.indptr.size:
        raise ValueError(f"labels must have as many rows as x, {x.indptr.size - 1}, not {labels.indptr.size - 1}")
    return x, labels


def _validate(model):
    columns = model.lookup.reps * model.lookup.buckets
    if model.weights.shape[1] != columns or model.biases.shape != (columns,):
        raise ValueError(f"weights and biases must have {columns} columns, not {model.weights.shape[1]} and {model.biases.shape[0]}")
    if model.feature_seeds.size not in (0, model.lookup.reps):
        raise ValueError(f"feature_seeds must hold none or {model.lookup.reps} seeds, not {model.feature_seeds.size}")
    if model.feature_seeds.size == 0 and model.weights.shape[0] != model.n_features:
        raise ValueError(f"weights must have {model.n_features} rows, not {model.weights.shape[0]}")
    if model.loss not in range(len(LOSSES)):
        raise ValueError(f"loss must be 0 or 1, not {model.loss}")


modelfile.register(Mach, _validate, weights=(np.float32, 2), biases=(np.float32, 1), lookup=Lookup, feature_seeds=(np.uint64, 1),
                   n_features=int, loss=int)
modelfile.register(MachSlots, weights=optim.Slots, biases=optim.Slots)
