"""Hashed embeddings: which rows of one table a value looks up, the bags made of them, and their gradients on distinct rows.

Every kind of embedding is a choice of ids into one table (n_rows, d). `feature_ids` and `dictionary_ids` make them beforehand, `bag` can
hash while it looks up, `bag_grads` turns slopes of the bags into slopes of the table rows, and `step` lets an optimizer change just those.
"""
from typing import NamedTuple

import numpy as np

from . import _check, _memory, _place, _there, hashing, optim
from ._cpu import embed as _kernels
from ._threads import one_if
from .frame import frame_keys

_LIMIT = 2**31 - 1
_NO_KEYS = np.empty(0, np.uint64)
_FEW = 1 << 15  # floats below which one thread is faster than two


class Lookups(NamedTuple):
    """What bags looked up: bag i is the sum of table rows ids[k] times values[k], for k from indptr[i] to indptr[i + 1].

    indptr : int64 (n + 1,).  ids : int32 (nnz,).  values : float32 (nnz,).  n_rows : int, of the table.
    """
    indptr: np.ndarray
    ids: np.ndarray
    values: np.ndarray
    n_rows: int


def init(n_rows, d, *, seed, scale=None):
    """Untrained table: normal numbers.

    n_rows, d : ints.  seed : int.  scale : standard deviation; None takes 1 / sqrt(d), for rows of length about one.
    Returns float32 (n_rows, d) that begins at a cache line.
    """
    out = _memory.empty((_check.integer(n_rows, "n_rows", 1, _LIMIT), _check.integer(d, "d", 1)))
    np.random.default_rng(int(_check.seed(seed))).standard_normal(dtype=np.float32, out=out)
    out *= np.float32(out.shape[1]**-0.5 if scale is None else _check.real(scale, "scale", 0))
    return out


def feature_seeds(names, chunks, seed):
    """Seed of every lookup of every feature; it depends on the feature's name and the number of the lookup, not on other features.

    names : list of F distinct str, or one.  chunks : int or ints (F,), lookups of each feature, at least one.  seed : int.
    Returns (uint64 (C,) seeds, int64 (C,) number of the feature of each), features in the order of `names`, lookups from 0 up.
    Source: Coleman et al. 2023 (Unified Embedding), section 3; the seeds are our own.
    Example:
        >>> seeds, features = feature_seeds(["age", "city"], [1, 2], seed=0)
        >>> features
        array([0, 1, 1])
    """
    names = [names] if isinstance(names, str) else list(names)
    if len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"names must be distinct str, not {names}")
    chunks = _check.array(np.atleast_1d(chunks), "chunks", np.int64, 1)
    if chunks.size not in (1, len(names)):
        raise ValueError(f"chunks must be one number or {len(names)}, one for each feature, not {chunks.size}")
    chunks = np.broadcast_to(chunks, len(names))
    if chunks.size and chunks.min() < 1:
        raise ValueError(f"chunks must be at least 1, not {chunks.min()}")
    own = [hashing.seeds(int(count), int(key)) for count, key in zip(chunks, hashing.hash_strings(names, seed))]
    return np.concatenate([np.empty(0, np.uint64), *own]), np.repeat(np.arange(chunks.size), chunks)


def feature_ids(values, seeds, features, size):
    """Unified Embedding: the rows of one shared table that the values of all features look up.

    values : integers (n, F), keys such as `frame.frame_keys` makes.  seeds, features : as from `feature_seeds`.
    size : int, rows of the table.  Returns int32 (n, C); `bag` of them, reshaped to (n, C * d), is the embedding.
    Source: Coleman et al. 2023, equation 3.
    Example:
        >>> feature_ids([[30, 7], [4, 7]], *feature_seeds(["age", "city"], [1, 2], seed=0), 1000)
        array([[930, 154, 452],
               [107, 154, 452]], dtype=int32)
    """
    values, seeds = _check.keys(values, "values"), _check.keys(seeds, "seeds")
    features = _check.array(features, "features", np.int64, 1)
    if values.ndim != 2:
        raise ValueError(f"values must have 2 axes, not shape {values.shape}")
    if seeds.shape != features.shape or (features.size and not 0 <= features.min() <= features.max() < values.shape[1]):
        raise ValueError(f"features must name one of the {values.shape[1]} columns of values for each of the {seeds.size} seeds")
    out = np.empty((values.shape[0], seeds.size), np.int32)  # (n, C)
    with one_if(out.size < _FEW):
        _kernels.feature_ids(values, features, seeds, _check.integer(size, "size", 1, _LIMIT), out)
    return out


def unified_ids(frame, columns=None, *, chunks=1, size, seed):
    """Rows of one shared table for the categories of a pandas DataFrame: keys, seeds and ids in one call.

    frame, columns : as in `frame.frame_keys`.  chunks, seed : as in `feature_seeds`.  size : int, rows of the table.
    Returns int32 (n, C).
    Example:
        >>> import pandas as pd
        >>> unified_ids(pd.DataFrame({"age": [30, 4], "city": ["Turku", None]}), chunks=[1, 2], size=1000, seed=0).shape
        (2, 3)
    """
    keys, names = frame_keys(frame, columns)
    return feature_ids(keys, *feature_seeds(names, chunks, seed), size)


def dictionary(keys):
    """Distinct keys, for tables in which no two share a row.  keys : integers of any shape.  Returns uint64 (k,), ascending."""
    return np.unique(_check.keys(keys))


def dictionary_ids(keys, known):
    """Place of every key in a dictionary; all keys that are not in it share the place behind its end.

    keys : integers of any shape.  known : uint64 (k,), from `dictionary`.  Returns int32, the shape of `keys`, from 0 to k.
    Example:
        >>> dictionary_ids([9, 4, 5], dictionary([4, 9, 9]))
        array([1, 0, 2], dtype=int32)
    """
    keys, known = _check.keys(keys), _check.keys(known, "known")
    if (known[1:] <= known[:-1]).any():
        raise ValueError("known must hold distinct keys that ascend as uint64, as from dictionary")
    places = np.searchsorted(known, keys)
    same = np.append(known, np.uint64(0))[places] == keys  # behind the end, any of the two answers is the right one
    return np.where(same, places, known.size).astype(np.int32)


def quotient_remainder(ids, divisor):
    """Rows of the two small tables of the quotient-remainder trick; no two ids share both.

    ids : integers of any shape, at least 0.  divisor : int, at least 1.  Returns (int64, int64), the shape of `ids`.
    Source: Shi et al. 2020, section 3; their code divides in float32, which is wrong for half of the ids at 200 million.
    Example:
        >>> quotient_remainder([7, 2**40 + 1], 4)
        (array([           1, 274877906944]), array([3, 1]))
    """
    ids = np.asarray(ids)
    ids = _check.array(ids, "ids", np.int64, ids.ndim)
    if ids.size and ids.min() < 0:
        raise ValueError(f"ids must be at least 0, not {ids.min()}")
    return np.divmod(ids, _check.integer(divisor, "divisor", 1, 2**63 - 1))


def codes(keys, seeds):
    """Dense code of each key, the input of a deep hash embedding (a small net such as `dense.mlp`): uniform in [-1, 1).

    keys : integers (n,).  seeds : uint64 (k,), from `hashing.seeds`.  Returns float32 (n, k).
    Source: Kang et al. 2021, section 3.2; 2**24 buckets a number.
    Example:
        >>> codes([1, 2], hashing.seeds(3, 0)).shape
        (2, 3)
    """
    keys, seeds = _check.keys(keys), _check.keys(seeds, "seeds")
    if keys.ndim != 1 or seeds.ndim != 1:
        raise ValueError(f"keys and seeds must have 1 axis, not shapes {keys.shape} and {seeds.shape}")
    out = np.empty((keys.size, seeds.size), np.float32)  # (n, k)
    with one_if(out.size < _FEW):
        _kernels.codes(keys, seeds, out)
    return out


def bag(table, keys, indptr=None, weights=None, *, how="sum", seeds=None, check=True):
    """Sum or mean of the table rows of each bag.

    table : float32 (n_rows, d).
    keys : integers (m,): row numbers, or with `seeds` keys of any size, each of which looks up one row per seed (multi-hash).
    indptr : integers (n + 1,) from 0 to m, bag i holds keys[indptr[i]:indptr[i + 1]]; None makes every key a bag of its own.
    weights : None or floats (m,), with seeds (m, k): factor of every lookup, for sums only.
    how : "sum" or "mean" over the lookups of a bag; an empty bag gives zeros.  check : look at row numbers and indptr.
    All arrays are on the host, or all on a device; there what is returned is too.
    Returns (float32 (n, d), Lookups, for `bag_grads`), the same bits for any number of threads.
    Raises ValueError for row numbers outside the table and shapes that do not fit.
    Source: Serra & Karatzoglou 2017 (sums of hashed rows); Svenstrup et al. 2017 (with a weight for each lookup).
    Example:
        >>> bag(np.eye(3, dtype=np.float32), [0, 2, 2], [0, 1, 3])[0]
        array([[1., 0., 0.],
               [0., 0., 2.]], dtype=float32)
    """
    table = _table(table)
    if seeds is not None and table.shape[0] == 0:
        raise ValueError("table must have at least one row for keys that are hashed")
    if _place.on_device(table):
        hashing_keys, found = _there.lookups(keys, indptr, weights, how, seeds, table, check)
        lookups = Lookups(*found, table.shape[0])
        return _sums(lookups, table, *hashing_keys), lookups
    hashed = seeds is not None
    keys = _check.keys(keys) if hashed else _check.array(keys, "keys", np.int64, 1)
    seeds = _check.keys(seeds if hashed else [], "seeds")
    each = seeds.size if hashed else 1
    indptr = np.arange(keys.size + 1) if indptr is None else _check.array(indptr, "indptr", np.int64, 1)
    if keys.ndim != 1 or seeds.ndim != 1 or each == 0 or keys.size * each > _LIMIT:
        raise ValueError(f"keys and seeds must have 1 axis and make less than 2**31 lookups, not shapes {keys.shape} and {seeds.shape}")
    if indptr.size == 0 or indptr[0] != 0 or indptr[-1] != keys.size or (check and (np.diff(indptr) < 0).any()):
        raise ValueError(f"indptr must ascend from 0 to the number of keys, {keys.size}")
    if check and not hashed and keys.size and not 0 <= keys.min() <= keys.max() < table.shape[0]:
        raise ValueError(f"keys must be row numbers of the table, 0 to {table.shape[0] - 1}, not {keys.min()} to {keys.max()}")
    indptr = indptr * each
    ids = np.empty(keys.size * each, np.int32) if hashed else keys.astype(np.int32)
    lookups = Lookups(indptr, ids, _values(weights, how, indptr, (keys.size, each)), table.shape[0])
    return _sums(lookups, table, keys, seeds) if hashed else _sums(lookups, table), lookups


def bag_grads(lookups, grads):
    """Gradient of the table: the distinct rows that the bags looked up, with the sum of what each lookup gives them.

    lookups : Lookups, from `bag`.  grads : floats (n, d), slopes of the bags.
    Returns (int64 (k,) row numbers, ascending; float32 (k, d)), the same bits for any number of threads, summed in the order of the bags.
    Example:
        >>> _, seen = bag(np.zeros((9, 1), np.float32), [7, 2, 7])
        >>> bag_grads(seen, np.array([[1.0], [2.0], [3.0]]))
        (array([2, 7]), array([[2.],
               [4.]], dtype=float32))
    """
    grads = _grads(lookups, grads)
    n, like = lookups.ids.size, lookups.ids
    rows, starts = _place.empty(n, np.int64, like), _place.empty(n + 1, np.int64, like)
    members, values = _place.empty(n, np.int32, like), _place.empty(n, np.float32, like)
    found = _place.kernels(_kernels, lookups=like, grads=grads).turn(*lookups, rows, starts, members, values)
    turned = Lookups(starts[:found + 1], members, values, grads.shape[0])  # a row's gradient is a bag of slopes
    return rows[:found], _sums(turned, grads)


def weight_grads(lookups, table, grads):
    """Gradient of the weights of the lookups: inner products of their table rows with the slopes of their bags.

    lookups : Lookups, from `bag`, of sums.  table : float32 (n_rows, d).  grads : floats (n, d).
    Returns float32 (nnz,); with k seeds, `reshape(-1, k)` gives it the shape of the weights.
    """
    table, grads = _table(table), _grads(lookups, grads)
    if table.shape != (lookups.n_rows, grads.shape[1]):
        raise ValueError(f"table must have shape {(lookups.n_rows, grads.shape[1])}, not {table.shape}")
    out = _place.empty(lookups.ids.size, np.float32, lookups.ids)
    with one_if(out.size * table.shape[1] < _FEW):
        _place.kernels(_kernels, lookups=lookups.ids, table=table, grads=grads).products(lookups.indptr, lookups.ids, table, grads, out)
    return out


def step(opt, state, table, rows, grads):
    """One step of an optimizer on some rows of a table: `optim.step`, which see.

    Example:
        >>> weights = np.zeros((3, 2), np.float32)
        >>> step(optim.sgd(0.5), optim.slots(optim.sgd(0.5), (3, 2)), weights, [1], np.ones((1, 2)))
        >>> weights[1]
        array([-0.5, -0.5], dtype=float32)
    """
    optim.step(opt, state, table, rows, grads)


def _table(table):
    if _place.on_device(table):
        return _there.table(table)
    if not isinstance(table, np.ndarray) or table.dtype != np.float32 or table.ndim != 2:
        raise TypeError(f"table must be a float32 array with 2 axes, not {getattr(table, 'dtype', type(table).__name__)}")
    return np.ascontiguousarray(table, np.float32) if table.shape[0] else table


def _grads(lookups, grads):
    grads = _check.array(grads, "grads", np.float32, 2, kinds="f", device=True)
    if grads.shape[0] != lookups.indptr.size - 1:
        raise ValueError(f"grads must have one row for each of the {lookups.indptr.size - 1} bags, not {grads.shape[0]}")
    return grads


def _values(weights, how, indptr, shape):
    """Factor of every lookup, float32 (nnz,)."""
    if _check.choice(how, "how", ("sum", "mean")) == "mean":
        if weights is not None:
            raise ValueError("weights must be None for a mean")
        lengths = np.diff(indptr)
        return np.repeat(np.float32(1.0) / np.maximum(lengths, 1).astype(np.float32), lengths)
    if weights is None:
        return np.ones(shape[0] * shape[1], np.float32)
    weights = np.asarray(weights)
    if weights.shape != shape and (weights.ndim != 1 or shape[1] != 1 or weights.size != shape[0]):
        raise ValueError(f"weights must have shape {shape}, one for each lookup, not {weights.shape}")
    return _check.array(weights.reshape(-1), "weights", np.float32, 1, kinds="iuf")


def _sums(lookups, table, keys=None, seeds=None):
    """Weighted sums of table rows, float32 (n, d); with seeds, the ids are filled in on the way."""
    if keys is None:
        keys = seeds = _place.empty(0, np.uint64, table) if _place.on_device(table) else _NO_KEYS
    out = _place.zeros((lookups.indptr.size - 1, table.shape[1]), np.float32, table)  # (n, d)
    with one_if(lookups.ids.size * table.shape[1] < _FEW):
        _place.kernels(_kernels, table=table).bags(keys, seeds, lookups.indptr, lookups.ids, lookups.values, table,
                                                   optim.blocks(out.shape[0]), out)
    return out
