"""Trained linear MACH models in a quarter of their bytes, for scoring alone: weights of one byte, with a scale for each feature."""
from typing import NamedTuple

import numpy as np

from . import _check, _place, modelfile, sparse
from ._cpu import packed as _kernels
from .lookup import Lookup
from .mach import LOSSES


class PackedMach(NamedTuple):
    """A linear MACH model whose weights are scale * int8.

    weights : int8 (features, reps * buckets).  scales : float32 (features,).  biases : float32 (reps * buckets,).
    lookup : Lookup.  loss : 0 logistic (multi-label), 1 softmax (multi-class).
    """
    weights: np.ndarray
    scales: np.ndarray
    biases: np.ndarray
    lookup: Lookup
    loss: int


def pack(model):
    """A trained model with the weights of every feature rounded to 127 steps of their largest magnitude.

    model : Mach without hashed columns.  Returns PackedMach.
    Raises ValueError for a model with hashed columns.
    Example:
        >>> from sketchxc import lookup, mach
        >>> pack(mach.init(3, lookup.identity(2))).weights.shape
        (3, 2)
    """
    if model.feature_seeds.size:
        raise ValueError("model must use its columns as they are, not hashed")
    weights = _place.empty(model.weights.shape, np.int8, model.weights)
    scales = _place.empty(model.weights.shape[0], np.float32, model.weights)
    _place.kernels(_kernels, model=model.weights).pack(model.weights, weights, scales)
    return PackedMach(weights, scales, model.biases, model.lookup, model.loss)


def bucket_scores(model, x, *, check=True):
    """Scores (logits) of every bucket, as `mach.bucket_scores` up to the rounding.

    model : PackedMach.  x : Rows (n, features), on a device if the model is.  check : look at every entry of x.
    Returns float32 (reps, n, buckets), where the model is; on the host the same bits for any number of threads.
    Raises ValueError for another number of columns."""
    x = sparse.rows(x, check=check, device=True)
    if x.width != model.scales.size:
        raise ValueError(f"x must have {model.scales.size} columns as in training, not {x.width}")
    kernels = _place.kernels(_kernels, model=model.weights, x=x.indices)
    out = _place.empty((model.lookup.reps, x.indptr.size - 1, model.lookup.buckets), np.float32, x.indices)  # (reps, n, buckets)
    kernels.bucket_scores(model.weights, model.scales, model.biases, model.lookup.buckets, *x[:3], out)
    return out


def _validate(model):
    columns = model.lookup.reps * model.lookup.buckets
    if model.weights.shape != (model.scales.size, columns) or model.biases.shape != (columns,):
        raise ValueError(f"weights and biases must have shapes {(model.scales.size, columns)} and {(columns,)}, not "
                         f"{model.weights.shape} and {model.biases.shape}")
    _check.choice(model.loss, "loss", range(len(LOSSES)))


modelfile.register(PackedMach, _validate, weights=(np.int8, 2), scales=(np.float32, 1), biases=(np.float32, 1), lookup=Lookup, loss=int)
