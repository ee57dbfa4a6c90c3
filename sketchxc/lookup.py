"""Label lookups: which buckets hold a label in each repetition. Hashed, identity (one-vs-all), the official MACH code's, learned, or
shared: several buckets of one repetition for each label."""
import math
from typing import NamedTuple

import numpy as np

from . import _check, _place, hashing, modelfile
from ._cpu import lookup as _kernels


class Lookup(NamedTuple):
    """Label -> `probes` distinct buckets in each repetition.

    seeds : uint64 (reps,), of the hash `bucket(mix64(label ^ seed), buckets)`.
    table : int32 (reps * probes, n_labels), the buckets where they are not hashed; (reps, 0) where they are, with one probe.
    buckets : int.  n_labels : int.
    """
    seeds: np.ndarray
    table: np.ndarray
    buckets: int
    n_labels: int

    @property
    def reps(self):
        return self.seeds.size

    @property
    def probes(self):
        return self.table.shape[0] // self.seeds.size


def hashed(n_labels, *, reps, buckets, seed=0):
    """Lookup by `reps` independent hashes: nothing is stored but the seeds.

    n_labels, reps, buckets : int.  seed : int.  Returns Lookup.
    Source: Medini et al. 2019, section 3."""
    n_labels = _check.integer(n_labels, "n_labels", 1, 2**31 - 1)
    reps = _check.integer(reps, "reps", 1, 2**16)
    buckets = _check.integer(buckets, "buckets", 1, 2**31 - 1)
    return Lookup(hashing.seeds(reps, seed), np.empty((reps, 0), np.int32), buckets, n_labels)


def identity(n_labels):
    """Lookup in which every label is its own bucket, once: MACH with it is one-vs-all.

    n_labels : int.  Returns Lookup with one repetition."""
    n_labels = _check.integer(n_labels, "n_labels", 1, 2**31 - 1)
    return Lookup(np.zeros(1, np.uint64), np.arange(n_labels, dtype=np.int32)[None, :], n_labels, n_labels)


def shared(n_labels, *, probes, buckets, seed=0):
    """Lookup with one repetition in which every label has `probes` distinct buckets: one output, shared by all labels.

    n_labels, probes, buckets : int, probes at most buckets.  seed : int.
    Returns Lookup. A label's buckets are the first distinct ones of its hashes by the seeds of `hashing.seeds`, whatever the other labels;
    with one probe they are those of `hashed`.
    Source: Serra & Karatzoglou 2017, section 3, with distinct buckets.
    Example:
        >>> shared(3, probes=2, buckets=10).table
        array([[5, 1, 5],
               [0, 7, 3]], dtype=int32)
    """
    n_labels = _check.integer(n_labels, "n_labels", 1, 2**31 - 1)
    buckets = _check.integer(buckets, "buckets", 1, 2**31 - 1)
    probes = _check.integer(probes, "probes", 1, min(buckets, 2**16))
    table = np.empty((probes, n_labels), np.int32)
    _kernels.distinct_buckets(_check.seed(seed), buckets, table)
    return Lookup(hashing.seeds(1, seed), table, buckets, n_labels)


def from_table(table, buckets):
    """Lookup from given buckets.

    table : integers (reps, n_labels) in [0, buckets).  buckets : int.  Returns Lookup.
    Raises ValueError if a bucket is out of range."""
    buckets = _check.integer(buckets, "buckets", 1, 2**31 - 1)
    table = _check.array(table, "table", np.int64, 2)
    if table.size == 0 or table.min() < 0 or table.max() >= buckets:
        raise ValueError(f"table must hold buckets between 0 and {buckets - 1} for at least one label")
    return Lookup(np.zeros(table.shape[0], np.uint64), table.astype(np.int32), buckets, table.shape[1])


def label_buckets(lookup):
    """Buckets of every label: int32 (reps * probes, n_labels), where the lookup is."""
    if lookup.table.shape[1]:
        return lookup.table
    out = _place.empty((lookup.reps, lookup.n_labels), np.int32, lookup.seeds)
    _place.kernels(_kernels, seeds=lookup.seeds, table=lookup.table).label_buckets(lookup.seeds, lookup.table, lookup.buckets, out)
    return out


def inverse(table, buckets, probes=1):
    """Labels of every bucket.

    table : int32 (reps * probes, n_labels).  buckets, probes : int.
    Returns offsets int64 (reps, buckets + 1) and order int32 (reps, probes * n_labels): bucket b of repetition r holds the labels
    order[r, offsets[r, b]:offsets[r, b + 1]], ascending."""
    reps = table.shape[0] // probes
    offsets = _place.empty((reps, buckets + 1), np.int64, table)
    order = _place.empty((reps, probes * table.shape[1]), np.int32, table)
    _place.kernels(_kernels, table=table).inverse(table, offsets, order)
    return offsets, order


def needed_reps(n_labels, buckets, failure=0.01):
    """Smallest number of repetitions at which all labels can be told apart with probability 1 - failure.

    Source: Medini et al. 2019, theorem 2: R >= 2 log(K / sqrt(failure)) / log B."""
    if buckets < 2:
        return 1 if n_labels < 2 else math.inf
    return max(1, math.ceil(2.0 * math.log(n_labels / math.sqrt(failure)) / math.log(buckets)))


def _validate(lookup):
    reps, (rows, columns) = lookup.seeds.size, lookup.table.shape
    if reps == 0 or rows == 0 or rows % reps or (columns == 0 and rows != reps):
        raise ValueError(f"seeds must hold as many seeds as table has rows, {rows}, or if it is not hashed a divisor, not {reps}")
    if columns not in (0, lookup.n_labels):
        raise ValueError(f"table must have 0 or {lookup.n_labels} columns, not {columns}")


modelfile.register(Lookup, _validate, seeds=(np.uint64, 1), table=(np.int32, 2), buckets=int, n_labels=int)
