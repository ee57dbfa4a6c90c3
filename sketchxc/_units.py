"""Arrays of nets with axes of hidden units, cut to some of the units, or put into larger arrays.

axes : of an array, after that of the repetitions, the hidden layer (0 or 1) whose units they are, or None; None for the output layer.
units : bool arrays (reps, units) of both hidden layers, True for units that stay (or are there).
"""
import numpy as np

from . import _memory


def _each_axis(array, axes, units):
    """(axis of the array, units along it) for its hidden layers; moments that a rule does not have are empty along their last axis."""
    for axis, layer in enumerate(_axes(axes, units.second.shape[1]), array.ndim - len(_axes(axes, units.second.shape[1]))):
        if layer is not None and array.shape[axis]:
            yield axis, units[layer]


def cut(array, axes, units):
    """The part of an array that belongs to the units that stay, at a cache line."""
    for axis, own in _each_axis(array, axes, units):
        if own.shape != (array.shape[0], array.shape[axis]):
            raise ValueError(f"units must be {array.shape[axis]} in each of {array.shape[0]} repetitions, not {own.shape[1]} in {len(own)}")
        array = np.stack([np.compress(kept, part, axis - 1) for kept, part in zip(own, array)])
    return _lined(array)


def put(array, axes, units, fill):
    """A wider array with the given one at the places of the units that were there, else `fill` or zeros."""
    places = list(_each_axis(array, axes, units))
    shape = list(array.shape)
    for axis, own in places:
        if (len(own), own[0].sum()) != (shape[0], shape[axis]):
            raise ValueError(f"units must keep {shape[axis]} in each of {shape[0]} repetitions, not {own[0].sum()} in {len(own)}")
        shape[axis] = own.shape[1]
    out = _lined(np.zeros(shape, array.dtype) if fill is None or not array.size else fill)
    for r in range(shape[0]):
        chosen = [np.arange(size) for size in shape[1:]]
        for axis, own in places:
            chosen[axis - 1] = np.flatnonzero(own[r])
        out[r][np.ix_(*chosen)] = array[r]
    return out


def zeroed(array, axes, units):
    """Copy of an array that is zero wherever one of its units is pruned."""
    out = _lined(array)
    for axis, own in _each_axis(array, axes, units):
        shape = [own.shape[0]] + [1] * (array.ndim - 1)
        shape[axis] = own.shape[1]
        out *= own.reshape(shape)
    return out


def _lined(array):
    """Copy at a cache line."""
    out = _memory.empty(array.shape)
    out[...] = array
    return out


def _axes(axes, second):
    """Axes of an array; the output layer stands behind the last hidden layer that there is."""
    return (1 if second else 0, None) if axes is None else axes
