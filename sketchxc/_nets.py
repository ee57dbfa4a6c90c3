"""Passes of the nets of `shallow` on a device: all repetitions in one launch, dense products by cuBLAS, nothing waits for the host."""
import numpy as np

from . import _place
from ._cpu import mach as _mach
from ._cpu import shallow as _shallow

FIELDS = ("embed", "embed_bias", "hidden", "hidden_bias", "weights", "biases")


def work_bytes(model, batch):
    """Bytes that training takes beside the model and its state, but for what a chunk of rows takes."""
    return 4 * model.lookup.reps * (2 * batch * sum(biases.shape[1] for _, biases in _layers(model))
                                    + sum(weights.shape[1] * weights.shape[2] for weights, _ in _layers(model)[1:]))


def work(model, batch):
    """Room for the values of every layer and their slopes, and for the gradients of the dense layers: flat arrays on the device."""
    sizes = [model.lookup.reps * batch * biases.shape[1] for _, biases in _layers(model)]
    return ([_empty(size) for size in sizes], [_empty(size) for size in sizes[:-1]],
            [_empty(0 if model.activation == 0 else size) for size in sizes[:-1]],
            [_place.target().empty(weights.shape, np.float32) for weights, _ in _layers(model)[1:]])


def train(room, model, state, rule, hypers, rows, groups, targets, batch, reps, coins):
    """Train the repetitions reps[0] to reps[1] on the prepared batches of a chunk; returns the sum of the losses, on the device.

    room : as from `work`.  rows, groups, targets : on the device.  hypers : on the host.  coins : None or those of the dropout."""
    run = _place.kernels(_shallow, model=model.embed, **{f"state.{name}": getattr(state, name).m for name in FIELDS})
    lookup, n = model.lookup, rows.indptr.size - 1
    layers = [[array[slice(*reps)] for array in layer] for layer in _layers(model)]
    slots = [[(own.m[slice(*reps)], own.v[slice(*reps)]) for own in pair] for pair in _pairs(model, state)]
    (indptr, indices, values), (distinct, *columns), hypers = rows[:3], groups, _place.beside(hypers, model.embed)
    keys = None if coins is None else _place.beside(coins[0][slice(*reps)], model.embed)
    losses = _place.target().empty((n, reps[1] - reps[0]), np.float32)
    for t in range(distinct.size):
        first, count = t * batch, min(batch, n - t * batch)
        outputs, backs, within = [_views(flat, layers, count) for flat in room[:3]]
        dropped = None if keys is None else (keys, t, *coins[1:])
        _forward(run, model.activation, layers, (indptr, indices, values), first, outputs, within, dropped)
        slopes = outputs[-1]
        run.loss_slopes(slopes, np.float32(1.0 / count), model.loss == 1, targets.indptr, targets.indices, first, reps[0], lookup.seeds,
                        lookup.table, lookup.buckets, losses)
        for i in range(len(layers) - 1, 0, -1):
            (weights, biases), (weight_slots, bias_slots) = layers[i], slots[i]
            gradient, back = room[3][i - 1][slice(*reps)], backs[i - 1]
            _place.target().matmul(outputs[i - 1], slopes, gradient, a_turned=True)
            _place.target().matmul(slopes, weights, back, b_turned=True)
            run.descend_layer(rule, hypers, t, gradient, weights, *weight_slots, slopes, biases, *bias_slots)
            if dropped:
                run.drop(*dropped[:2], i - 1, *dropped[2:], back)
            run.block(outputs[i - 1], within[i - 1], back)
            slopes = back
        (embed, biases), (embed_slots, bias_slots) = layers[0], slots[0]
        run.descend_rows(rule, hypers, t, slopes, distinct, *columns, indptr, first, embed, *embed_slots, biases, *bias_slots)
    total = _place.zeros(1, np.float64, losses)
    _place.kernels(_mach, losses=losses).add_up(losses.reshape(losses.size), total)
    return total


def added(losses):
    """Sum of what `train` gave; waits for the device."""
    return sum(float(_place.to_host(own)[0]) for own in losses)


def bucket_scores(model, rows, reps, out):
    """Fill out (repetitions, n, buckets) with the scores of sparse rows in the repetitions reps[0] to reps[1]."""
    run = _place.kernels(_shallow, model=model.embed)
    n = out.shape[1]
    layers = [[array[slice(*reps)] for array in layer] for layer in _layers(model)]
    values = [_place.target().empty((reps[1] - reps[0], n, biases.shape[1]), np.float32) for _, biases in layers[:-1]]
    unused = [_place.target().empty((reps[1] - reps[0], n, 0), np.float32)] * len(values)
    _forward(run, model.activation, layers, [_place.beside(array, model.embed) for array in rows[:3]], 0, [*values, out], unused, None)


def _forward(run, activation, layers, rows, first, values, slopes, dropped):
    """Fill `values` with the outputs of all layers for rows first, first + 1, ..., and `slopes` with those of the activations."""
    for i, (weights, biases) in enumerate(layers):
        if i == 0:
            run.embed_rows(activation, weights, biases, *rows, first, values[0], slopes[0])
        else:
            _place.target().matmul(values[i - 1], weights, values[i])
            if i + 1 == len(layers):
                run.add_bias(biases, values[i])
                return
            run.add_bias_activate(activation, biases, values[i], slopes[i])
        if dropped:
            run.drop(*dropped[:2], i, *dropped[2:], values[i])


def _views(flat, layers, count):
    """The first places of flat arrays as (repetitions, count, units) of each layer; an empty one has no units."""
    shapes = [(biases.shape[0], count, biases.shape[1] if own.size else 0) for own, (_, biases) in zip(flat, layers)]
    return [own[:reps * count * units].reshape(reps, count, units) for own, (reps, count, units) in zip(flat, shapes)]


def _layers(model):
    """(weights, biases) of every layer, for all repetitions."""
    return _pairs(model, model)


def _pairs(model, state):
    """(of the weights, of the biases) for every layer."""
    second = [(state.hidden, state.hidden_bias)] if model.hidden.shape[2] else []
    return [(state.embed, state.embed_bias), *second, (state.weights, state.biases)]


def _empty(size):
    return _place.target().empty(size, np.float32)
