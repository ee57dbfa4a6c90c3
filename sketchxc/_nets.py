"""Passes of the nets of `shallow` on a device: all repetitions in one launch, dense products by cuBLAS, nothing waits for the host."""
import numpy as np

from . import _net, _place
from ._cpu import mach as _mach
from ._cpu import shallow as _shallow
from ._scalar.dense import LAYER, LINEAR, NONE, RELU


def work_bytes(model, batch):
    """Bytes that training takes beside the model and its state, but for what a chunk of rows takes."""
    return 4 * model.lookup.reps * (2 * batch * sum(biases.shape[1] for _, biases in _layers(model))
                                    + sum(weights.shape[1] * weights.shape[2] for weights, _ in _layers(model)[1:])
                                    + sum(batch * (units + 1) + 4 * units for units in _normed(model)))


def work(model, batch):
    """Room for the values of every layer and their slopes, flat arrays on the device; gradients of the dense layers; what norms need."""
    reps = model.lookup.reps
    sizes = [reps * batch * biases.shape[1] for _, biases in _layers(model)]
    norms = [(_empty(reps * batch * units), _empty(reps * (batch if model.norm == LAYER else units)),
              *(_place.target().empty((reps, units), np.float32) for _ in range(2)), _place.target().zeros((reps, units), np.float32))
             for units in _normed(model)]
    return ([_empty(size) for size in sizes], [_empty(size) for size in sizes[:-1]],
            [_empty(0 if model.activation == RELU else size) for size in sizes[:-1]],
            [_place.target().empty(weights.shape, np.float32) for weights, _ in _layers(model)[1:]], norms)


def train(room, model, state, rule, hypers, rows, groups, targets, batch, reps, coins, shares):
    """Train the repetitions reps[0] to reps[1] on the prepared batches of a chunk; returns the sum of the losses, on the device.

    room : as from `work`.  rows, groups, targets : on the device.  hypers : on the host.  coins : None or those of the dropout.
    shares : float32 (steps,), how far each batch moves the averages of batch norm, on the host."""
    run = _place.kernels(_shallow, model=model.embed, **{f"state.{name}": getattr(state, name).m for name in state._fields})
    lookup, n, own = model.lookup, rows.indptr.size - 1, slice(*reps)
    layers = [[array[own] for array in layer] for layer in _layers(model)]
    slots = [[(pair.m[own], pair.v[own]) for pair in layer] for layer in _layers(model, state)]
    (indptr, indices, values), (distinct, *columns), hypers = rows[:3], groups, _place.beside(hypers, model.embed)
    keys = None if coins is None else _place.beside(coins[0][own], model.embed)
    losses = _place.target().empty((n, reps[1] - reps[0]), np.float32)
    for t in range(distinct.size):
        first, count = t * batch, min(batch, n - t * batch)
        outputs, backs, within = [_views(flat, layers, count) for flat in room[:3]]
        norms = _norms(model, own, room[4], layers, count)
        dropped = None if keys is None else (keys, t, *coins[1:])
        _forward(run, model, layers, (indptr, indices, values), first, outputs, within, norms, shares[t], dropped)
        slopes = outputs[-1]
        run.loss_slopes(slopes, np.float32(1.0 / count), model.loss == 1, targets.indptr, targets.indices, first, reps[0], lookup.seeds,
                        lookup.table, lookup.buckets, losses)
        for i in range(len(layers) - 1, -1, -1):
            (weights, biases), (weight_slots, bias_slots) = layers[i], slots[i]
            sums = slopes
            if i < len(norms):
                gain, _, sums, scales, by_bias, by_gain, _ = norms[i]
                run.norm_sums(slopes, sums, by_bias, by_gain)
                if model.norm == LAYER:
                    run.norm_rows_back(slopes, gain, scales, sums)
                else:
                    run.norm_columns_back(slopes, gain, scales, by_bias, by_gain, sums)
                gain_slots = getattr(state, _net.names(model)[i][2])
                run.descend_gains(rule, hypers, t, by_gain, gain, gain_slots.m[own], gain_slots.v[own])
            if i == 0:
                run.descend_rows(rule, hypers, t, sums, distinct, *columns, indptr, first, weights, *weight_slots, slopes, biases,
                                 *bias_slots)
                break
            gradient, back = room[3][i - 1][own], backs[i - 1]
            _place.target().matmul(outputs[i - 1], sums, gradient, a_turned=True)
            _place.target().matmul(sums, weights, back, b_turned=True)
            run.descend_layer(rule, hypers, t, gradient, weights, *weight_slots, slopes, biases, *bias_slots)
            if dropped:
                run.drop(*dropped[:2], i - 1, *dropped[2:], back)
            run.block(outputs[i - 1], within[i - 1], back)
            slopes = back
    total = _place.zeros(1, np.float64, losses)
    _place.kernels(_mach, losses=losses).add_up(losses.reshape(losses.size), total)
    return total


def added(losses):
    """Sum of what `train` gave; waits for the device."""
    return sum(float(_place.to_host(own)[0]) for own in losses)


def bucket_scores(model, rows, reps, out):
    """Fill out (repetitions, n, buckets) with the scores of sparse rows in the repetitions reps[0] to reps[1]."""
    run = _place.kernels(_shallow, model=model.embed)
    n, own = out.shape[1], slice(*reps)
    layers = [[array[own] for array in layer] for layer in _layers(model)]
    values = [_place.target().empty((reps[1] - reps[0], n, biases.shape[1]), np.float32) for _, biases in layers[:-1]]
    unused = [_place.target().empty((reps[1] - reps[0], n, 0), np.float32)] * len(values)
    norms = [(getattr(model, names[2])[own], getattr(model, names[3])[own], sums, _place.target().empty(sums.shape[:2], np.float32),
              _place.zeros((sums.shape[0], sums.shape[2]), np.float32, sums))
             for names, sums in zip(_net.names(model) if model.norm else (), values)]
    _forward(run, model, layers, [_place.beside(array, model.embed) for array in rows[:3]], 0, [*values, out], unused, norms, None, None)


def _forward(run, model, layers, rows, first, values, slopes, norms, share, dropped):
    """Fill `values` with the outputs of all layers for rows first, first + 1, ..., and `slopes` with those of the activations.

    norms : without a norm empty, or for each hidden layer (gain, moving moments, room for normed sums and for factors, ..., zeros).
    share : how far the averages of batch norm move; None uses them."""
    for i, (weights, biases) in enumerate(layers):
        sums = norms[i][2] if i < len(norms) else values[i]
        if i:
            _place.target().matmul(values[i - 1], weights, sums)
        if i + 1 == len(layers):
            run.add_bias(biases, sums)
            return
        if i < len(norms):
            gain, stats, _, scales, *_, zeros = norms[i]
            if i == 0:
                run.embed_rows(LINEAR, weights, zeros, *rows, first, sums, slopes[0])
            if model.norm == LAYER:
                run.norm_rows(sums, scales)
            elif share is None:
                run.norm_by(stats, sums)
            else:
                run.norm_columns(sums, share, stats, scales)
            run.scale_activate(model.activation, gain, biases, sums, values[i], slopes[i])
        elif i == 0:
            run.embed_rows(model.activation, weights, biases, *rows, first, values[0], slopes[0])
        else:
            run.add_bias_activate(model.activation, biases, values[i], slopes[i])
        if dropped:
            run.drop(*dropped[:2], i, *dropped[2:], values[i])


def _norms(model, own, room, layers, count):
    """(gain, moving moments, normed sums, factors, gradients of biases and of gains, zeros) of every hidden layer, none without a norm."""
    found = []
    for names, (sums, scales, *units), (_, biases) in zip(_net.names(model), room, layers):
        reps, width = biases.shape
        shape = (reps, count) if model.norm == LAYER else (reps, width)
        found.append((getattr(model, names[2])[own], getattr(model, names[3])[own], sums[:reps * count * width].reshape(reps, count, width),
                      scales[:shape[0] * shape[1]].reshape(*shape), *(array[own] for array in units)))
    return found


def _normed(model):
    """Units of every hidden layer with a norm."""
    return [] if model.norm == NONE else [biases.shape[1] for _, biases in _layers(model)[:-1]]


def _views(flat, layers, count):
    """The first places of flat arrays as (repetitions, count, units) of each layer; an empty one has no units."""
    shapes = [(biases.shape[0], count, biases.shape[1] if own.size else 0) for own, (_, biases) in zip(flat, layers)]
    return [own[:reps * count * units].reshape(reps, count, units) for own, (reps, count, units) in zip(flat, shapes)]


def _layers(model, state=None):
    """(of the weights, of the biases) for every layer of a model, or of its state, for all repetitions."""
    found = model if state is None else state
    return [(getattr(found, own[0]), getattr(found, own[1])) for own in _net.names(model)]


def _empty(size):
    return _place.target().empty(size, np.float32)
