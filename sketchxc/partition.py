"""Learned buckets: labels move to buckets that the trained model already scores high on their rows, and loads stay balanced.

Training goes on with the new lookup: the weights of the buckets stay as they are, and only the labels move. Alike labels come to share
buckets: rows find the buckets of their labels more often, but tell labels apart that meet in all repetitions less well than with hashing.
"""
import numpy as np

from . import _check, decode, mach, shallow, sparse
from ._cpu import decode as _transforms
from ._cpu import partition as _kernels
from .lookup import from_table, label_buckets

LOADS = ("labels", "rows")


def affinities(model, x, labels, choices, *, how="log", memory=1 << 28):
    """The buckets that score highest on the training rows of each label.

    model : Mach or Shallow.  x : Rows (n, n_features).  labels : Rows (n, n_labels), values ignored.
    choices : int, buckets of a label that are found, at most all.
    how : what of a bucket is summed over the rows: "logit", "mean" (its probability) or "log" (its log-probability).
    memory : int, bytes that the scores of a block of rows may take, and as many again the sums of a block of labels.
    Returns buckets int32 (reps, n_labels, choices), best first, equal ones ascending, and their sums float32 of the same shape, the same
    bits for any memory and number of threads. A label without rows has all sums 0.
    Raises ValueError if the numbers of rows, features or labels do not fit.
    Source: Gupta et al. 2021, section 3 (they sum logits)."""
    x, labels = mach.check_data(model, x, labels, True)
    lookup, scorer = model.lookup, (shallow if isinstance(model, shallow.Shallow) else mach).bucket_scores
    choices = min(_check.integer(choices, "choices", 1), lookup.buckets)
    kind, _ = decode.AGGREGATES[_check.choice(how, "how", ("logit", "mean", "log"))]
    block = max(256, memory // (4 * lookup.reps * lookup.buckets))  # of labels, and of rows
    rows_of = sparse.transpose(labels, check=False)
    best = np.empty((lookup.reps, lookup.n_labels, choices), np.int32)
    sums = np.empty(best.shape, np.float32)
    for first in range(0, lookup.n_labels, block):
        part = slice(first, min(lookup.n_labels, first + block))
        starts = rows_of.indptr[first:part.stop + 1]
        rows, members = np.unique(rows_of.indices[starts[0]:starts[-1]], return_inverse=True)
        totals = np.zeros((lookup.reps, part.stop - first, lookup.buckets), np.float32)
        for start in range(0, rows.size, block):
            scores = scorer(model, sparse.take(x, rows[start:start + block], check=False), check=False)
            _transforms.transform_all(kind, model.loss == 1, scores)
            _kernels.add_scores(scores, starts - starts[0], members - start, totals)
        _kernels.best(totals, best[:, part], sums[:, part])
    return best, sums


def assign(lookup, best, counts, *, load="labels"):
    """Buckets by the power of k choices: labels in the order of descending counts take the least loaded of their best buckets.

    lookup : Lookup; labels without rows keep its buckets.  best : integers (reps, n_labels, choices), buckets of each label, best first.
    counts : integers (n_labels,), training rows of each label.
    load : "labels" or "rows", what the load of a bucket counts; of equal loads the better bucket wins, of equal counts the smaller label.
    Returns Lookup with a table.
    Raises ValueError if shapes do not fit, best holds what is no bucket, or labels have several buckets in a repetition.
    Source: Gupta et al. 2021, section 3.2 (they take the labels by number).
    Example:
        >>> from sketchxc.lookup import from_table
        >>> assign(from_table([[0, 0, 0]], 2), [[[1, 0], [1, 0], [1, 0]]], [3, 5, 4]).table
        array([[1, 1, 0]], dtype=int32)
    """
    best = _check.array(best, "best", np.int32, 3)
    counts = _check.array(counts, "counts", np.int64, 1)
    _check.choice(load, "load", LOADS)
    if lookup.probes != 1:
        raise ValueError(f"lookup must have one bucket a label and repetition, not {lookup.probes}")
    if best.shape[:2] != (lookup.reps, lookup.n_labels) or best.shape[2] == 0 or counts.shape != (lookup.n_labels,):
        raise ValueError(f"best and counts must be of {lookup.reps} repetitions and {lookup.n_labels} labels, "
                         f"not of shapes {best.shape} and {counts.shape}")
    if best.min() < 0 or best.max() >= lookup.buckets:
        raise ValueError(f"best must hold buckets between 0 and {lookup.buckets - 1}")
    table = label_buckets(lookup).copy()
    order = np.argsort(-counts, kind="stable")
    weights = counts if load == "rows" else np.ones_like(counts)
    _kernels.assign(best, order, counts, weights, np.zeros((lookup.reps, lookup.buckets), np.int64), table)
    return from_table(table, lookup.buckets)


def repartition(model, x, labels, *, choices=10, load="labels", how="log"):
    """New buckets of the labels from what the model has learned so far: `affinities`, then `assign`.

    model : Mach or Shallow, which stays as it is.  x, labels : Rows, the training set.  choices : int, best buckets of a label among
        which the least loaded one is taken; more balance the loads, fewer keep the affinity.  load : as for `assign`.
    how : as for `affinities`.  Returns Lookup with a table.  Train on with `model._replace(lookup=...)`.
    Source: Gupta et al. 2021, algorithm 1."""
    labels = sparse.rows(labels, model.lookup.n_labels, name="labels")
    best, _ = affinities(model, x, labels, choices, how=how)
    return assign(model.lookup, best, sparse.column_counts(labels), load=load)
