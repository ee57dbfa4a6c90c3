"""Passes of one net of `shallow` on the host, and what its layers are; a Python thread owns a net and calls serial kernels only."""
import math

import numpy as np

from ._cpu import mach as _mach
from ._cpu import optim as _optim
from ._cpu import shallow as _kernels
from ._scalar.dense import LAYER, LINEAR, NONE, RELU


def names(model):
    """Fields of every layer: weights and biases, of the hidden ones also gains and moving moments."""
    second = [("hidden", "hidden_bias", "hidden_gain", "hidden_stats")] if model.hidden.shape[2] else []
    return [("embed", "embed_bias", "embed_gain", "embed_stats"), *second, ("weights", "biases")]


def train(model, state, rule, hypers, rows, groups, targets, batch, r, coins, shares, gates, most, clip, own_step):
    """Train net r on prepared rows, batch after batch; returns the sum of the losses.

    shares : float32 (steps,), how far each batch moves the averages of batch norm.  most : int, targets of a batch at most.
    own_step : None for a table with moments in arrays, otherwise the step of such tables (`sketchoptim.own_step`)."""
    lookup, n = model.lookup, rows.indptr.size - 1
    distinct, *columns = groups
    layers, moments = _layers(model, r), _moments(model, state, r, own_step is None)
    size, last = min(batch, n), len(layers) - 1
    outputs = [np.empty((size, biases.size), np.float32) for _, biases in layers]  # values of each layer; scores, then slopes, of the last
    backs = [np.empty_like(hidden) for hidden in outputs[:-1]]  # slopes of the hidden layers
    activated = [_slopes(model, hidden) for hidden in outputs[:-1]]
    used = layers if gates is None else [layers[0], *((np.empty_like(weights), biases) for weights, biases in layers[1:])]
    gradients = [None, *(np.empty_like(weights) for weights, _ in layers[1:])]
    by_bias = [np.empty_like(biases) for _, biases in layers]
    norms = _norms(model, r)
    by_gain, gain_moments = [np.empty_like(gain) for gain, _ in norms], _gain_moments(model, state, r) if norms else []
    normed = [np.empty_like(hidden) for hidden in outputs[:len(norms)]]
    scales = [np.empty(hidden.shape[0 if model.norm == LAYER else 1], np.float32) for hidden in normed]
    work = (np.zeros(lookup.buckets, np.bool_), np.empty(most, np.int64), np.empty(size + 1, np.int64), by_bias[-1],
            np.empty_like(by_bias[-1]))
    loss = 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges shows in the loss
        for t in range(distinct.size):
            first, hyper = t * batch, hypers[t]
            values = [output[:n - first] for output in outputs]
            within = [own[:n - first] for own in activated]
            sums = [own[:n - first] for own in normed]
            drops = None if coins is None else [(key, *coins[1:]) for key in coins[0][r, t]]
            for own, (weights, _), (opened, _) in () if gates is None else zip(gates, layers[1:], used[1:]):
                _kernels.open_units(own[r], weights, opened)
            slopes = _forward(model, used, rows, first, values, within, [(gain, own, scale, shares[t], stats)
                                                                         for (gain, stats), own, scale in zip(norms, sums, scales)], drops)
            loss += _kernels.loss_slopes(slopes, np.float32(1.0 / slopes.shape[0]), model.loss == 1, targets.indptr, targets.indices,
                                         first, r, lookup.seeds, lookup.table, lookup.buckets, *work)
            for i in range(last, -1, -1):
                if i < len(norms):
                    _norm_back(model.norm, slopes, norms[i][0], scales[i], by_bias[i], by_gain[i], sums[i])
                    slopes = sums[i]
                else:
                    _mach.column_sums(slopes, slopes.shape[0], by_bias[i])
                if i == 0:
                    break
                below, back = values[i - 1], backs[i - 1][:n - first]
                np.matmul(below.T, slopes, out=gradients[i])
                np.matmul(slopes, used[i][0].T, out=back)
                if gates is not None:
                    _kernels.learn_gates(gates[i - 1][r], np.float32(gates.rate), gates.prices[i - 1], layers[i][0], gradients[i])
                if drops:
                    _kernels.drop(*drops[i - 1], back)
                _kernels.block(below, within[i - 1], back)
                slopes = back
            embed, begin = layers[0][0], rows.indptr[first]
            if clip is not None or own_step is not None:
                features = columns[0][begin:begin + distinct[t]]
                ascending = np.argsort(features)
                features = features[ascending]
                grads = np.empty((distinct[t], embed.shape[1]), np.float32)
                _kernels.row_gradients(slopes, *columns[1:], begin, ascending, grads)
                if clip is not None:
                    _clip([grads, *gradients[1:], *by_bias, *by_gain], clip)
            for (weights, biases), gradient, own, (weight_slots, bias_slots) in zip(layers, gradients, by_bias, moments):
                if gradient is not None:
                    _optim.descend_weights(rule, hyper, gradient.reshape(-1), weights.reshape(-1), *weight_slots)
                _optim.descend(rule, hyper, own, biases, *bias_slots)
            for (gain, _), own, gain_slots in zip(norms, by_gain, gain_moments):
                _optim.descend(rule, hyper, own, gain, *gain_slots)
            if own_step is not None:
                own_step(rule, hyper, int(state.embed.steps[0]) + t + 1, state.embed, features.astype(np.int64), grads, embed, r)
            elif clip is not None:
                _kernels.descend_given(rule, hyper, features, grads, embed, *moments[0][0])
            else:
                _kernels.descend_rows(rule, hyper, slopes, *columns, begin, distinct[t], by_bias[0], embed, *moments[0][0])
    return float(loss)


def score(model, rows, r, start, out):
    """Scores of rows start, start + 1, ... in repetition r."""
    layers = _layers(model, r)
    values = [np.empty((out.shape[0], biases.size), np.float32) for _, biases in layers[:-1]]
    unused = [np.empty((out.shape[0], 0), np.float32)] * len(values)
    norms = [(gain, own, np.empty(out.shape[0], np.float32), None, stats) for (gain, stats), own in zip(_norms(model, r), values)]
    with np.errstate(over="ignore", invalid="ignore"):
        _forward(model, layers, rows, start, [*values, out], unused, norms)


def _forward(model, layers, rows, first, values, slopes, norms, drops=None):
    """Fill `values` with the outputs of all layers for rows first, first + 1, ..., and `slopes` with those of the activations.

    norms : without a norm empty, or for each hidden layer its gain, room for the normed sums, and what else `_norm` wants.
    drops : None, or for each hidden layer what `drop` wants.  Returns the values of the last layer."""
    for i, (weights, biases) in enumerate(layers):
        if i < len(norms):
            gain, sums, *more = norms[i]
            if i == 0:
                none = np.empty((sums.shape[0], 0), np.float32)
                _kernels.embed_rows(LINEAR, weights, np.zeros_like(biases), *rows[:3], first, sums, none)
            else:
                np.matmul(values[i - 1], weights, out=sums)
            _norm(model.norm, sums, *more)
            _kernels.scale_activate(model.activation, gain, biases, sums, values[i], slopes[i])
        elif i == 0:
            _kernels.embed_rows(model.activation, weights, biases, *rows[:3], first, values[0], slopes[0])
        else:
            np.matmul(values[i - 1], weights, out=values[i])
            if i + 1 == len(layers):
                _kernels.add_bias(biases, values[i])
                break
            _kernels.add_bias_activate(model.activation, biases, values[i], slopes[i])
        if drops:
            _kernels.drop(*drops[i], values[i])
    return values[-1]


def _norm(norm, sums, scales, share, stats):
    """Normalise sums in place; batch norm moves the averages `stats` by `share`, or with None uses them."""
    if norm == LAYER:
        _kernels.norm_rows(sums, scales)
    elif share is None:
        _kernels.norm_by(stats, sums)
    else:
        _kernels.norm_columns(sums, share, stats, scales)


def _norm_back(norm, slopes, gain, scales, by_bias, by_gain, normed):
    """Gradients of biases and gains, and in place of the normed sums the slopes of what they were before."""
    _kernels.norm_sums(slopes, normed, by_bias, by_gain)
    if norm == LAYER:
        _kernels.norm_rows_back(slopes, gain, scales, normed)
    else:
        _kernels.norm_columns_back(slopes, gain, scales, by_bias, by_gain, normed)


def _clip(gradients, limit):
    """Scale gradients together, in place, so that their common length is at most `limit`."""
    length = math.sqrt(sum(_kernels.squares(own.reshape(-1)) for own in gradients))
    if length > limit:
        for own in gradients:
            own *= np.float32(limit / length)


def _slopes(model, hidden):
    """Room for the slopes of a hidden layer's activation; of a ReLU they follow from its values."""
    return np.empty((hidden.shape[0], 0 if model.activation == RELU else hidden.shape[1]), np.float32)


def _layers(model, r):
    """(weights, biases) of every layer of net r."""
    return [(getattr(model, own[0])[r], getattr(model, own[1])[r]) for own in names(model)]


def _norms(model, r):
    """(gains, moving moments) of every hidden layer of net r, none without a norm; moments are empty without batch norm."""
    return [] if model.norm == NONE else [(getattr(model, own[2])[r], getattr(model, own[3])[r]) for own in names(model)[:-1]]


def _moments(model, state, r, dense):
    """For every layer of net r the moments (m, v) of its weights, flat but for the table (None if not `dense`), and of its biases."""
    out = []
    for weights, biases, *_ in names(model):
        first, second = getattr(state, weights), getattr(state, biases)
        own = None
        if weights != "embed" or dense:
            own = [moment[r] if weights == "embed" else moment[r].reshape(-1) for moment in first[:2]]
        out.append((own, (second.m[r], second.v[r])))
    return out


def _gain_moments(model, state, r):
    """The moments (m, v) of the gains of every hidden layer of net r."""
    return [(getattr(state, own[2]).m[r], getattr(state, own[2]).v[r]) for own in names(model)[:-1]]
