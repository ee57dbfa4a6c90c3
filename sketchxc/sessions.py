"""Next item of a session: sessions that share items with it vote, low-rank factors re-rank, weights from the latest sessions join the two.

Sessions are in the order of time: later ones count more, and the weights are fitted on the last ones, which the parts have not seen then.
Every constant below was chosen on the last sessions of the Diginetica training file.
"""
from typing import NamedTuple

import numpy as np

from . import _check, _disk, calibration, modelfile, rerank, sparse
from ._cpu import sessions as _kernels
from .rerank import PackedFactors

BLOCK = 8192       # rows scored at a time
SHORTLIST = 100    # items re-ranked per row
MEMORY = 30        # last items of a row that look for neighbours
RECENT = 12        # last items of a row that the factors see
RECENCY = 1.75     # the first session counts exp(-RECENCY) times the last one
REPEAT = 0.8       # factor of the last item itself
KINDS = {"best": (32, 4), "fast": (32, 0)}  # numbers per vector and repetitions of the factors
EPOCHS, LR, FAR = 4, 0.35, 60  # passes of training, learning rate at the start, random items beside the true one
HELD = 5000        # last sessions, for the weights


class Sessions(NamedTuple):
    """Sequences of items, the earliest session first.

    indptr : int64 (n + 1,), items : int32 (nnz,): session i holds items[indptr[i]:indptr[i + 1]] in the order of time, repeats and all.
    n_items : int; items are numbers below it.
    """
    indptr: np.ndarray
    items: np.ndarray
    n_items: int


class SessionModel(NamedTuple):
    """The trained model: the sessions, an index of them by item, and the factors.

    indptr, items : as in Sessions.  starts : int64 (n_items + 1,), holders : int32 (m,): item j occurs in the sessions
    holders[starts[j]:starts[j + 1]].  session_weights : float32 (n,).  item_weights, dampings : float32 (n_items,), of an item that is
    shared and of one that is voted for.  popular : int32, items of the latest sessions by their number, for rows without neighbours.
    factors : PackedFactors or None.  weights : float64 (4,), of the logarithm of the votes, the factors' score, the last item, and items
    before it.
    """
    indptr: np.ndarray
    items: np.ndarray
    starts: np.ndarray
    holders: np.ndarray
    session_weights: np.ndarray
    item_weights: np.ndarray
    dampings: np.ndarray
    popular: np.ndarray
    factors: object
    weights: np.ndarray


def sessions(lists, n_items=None):
    """Sessions from lists of item numbers.

    lists : list with one list of integers per session, the earliest first, or Sessions.  n_items : int; None takes the largest + 1.
    Returns Sessions.
    Raises TypeError for items that are not integers, ValueError for items outside n_items.
    Example:
        >>> sessions([[7, 3, 7], [1]])
        Sessions(indptr=array([0, 3, 4]), items=array([7, 3, 7, 1], dtype=int32), n_items=8)
    """
    if isinstance(lists, Sessions):
        indptr, flat, own = lists
        n_items = own if n_items is None else n_items
        indptr = _check.array(indptr, "indptr", np.int64, 1)
    else:
        if not isinstance(lists, (list, tuple)) or not all(isinstance(row, (list, tuple, np.ndarray)) for row in lists):
            raise TypeError("lists must be Sessions or a list with one list of items per session")
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists], dtype=np.int64)])
        flat = np.concatenate([np.empty(0, np.int64)] + [np.asarray(row) for row in lists if len(row)])
    flat = np.asarray(flat)
    if flat.dtype.kind not in "iu":
        raise TypeError(f"items must be integers, not {flat.dtype}")
    low, high = (int(flat.min()), int(flat.max())) if flat.size else (0, -1)
    n_items = _check.integer(high + 1 if n_items is None else n_items, "n_items", 0, 2**31 - 1)
    if low < 0 or high >= n_items:
        raise ValueError(f"items must be between 0 and {n_items - 1}, not {low if low < 0 else high}")
    if indptr.size == 0 or indptr[0] != 0 or indptr[-1] != flat.size or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(f"indptr must ascend from 0 to the number of items, {flat.size}")
    return Sessions(indptr, np.ascontiguousarray(flat, np.int32), n_items)


def read_sessions(path, *, n_items=None):
    """Sessions of a file, one a line: item numbers divided by blanks; in a file of rows to predict, the next item and a TAB before them.

    path : file name; files ending in .xz, .gz or .bz2 are decompressed.  n_items : int; None takes the largest + 1.
    Returns Sessions and targets, int32 (n,), or None for lines without a TAB.
    Raises ValueError with file and line for anything else, and for no line at all.
    Example:
        >>> import os, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     name = os.path.join(folder, "test.tsv")
        ...     with open(name, "w") as file:
        ...         _ = file.write("9\\t4 5\\n3\\t9\\n")
        ...     read_sessions(name)
        (Sessions(indptr=array([0, 2, 3]), items=array([4, 5, 9], dtype=int32), n_items=10), array([9, 3], dtype=int32))
    """
    lists, targets, line, tabs = [], [], 0, False
    for chunk in _disk.chunks(path, 1 << 22):
        for row in chunk.split(b"\n")[:-1]:
            line += 1
            target, tab, items = row.rpartition(b"\t")
            tabs = bool(tab) if line == 1 else tabs
            words = items.split() + [target.strip()] * bool(tab)
            if bool(tab) != tabs or not all(word.isdigit() and len(word) < 10 for word in words):
                raise _disk.wrong(path, line, repr(row[:60].decode(errors="backslashreplace")),
                                  f"items{' behind the next one and a TAB' * tabs} as numbers below 10**9, divided by blanks")
            if tabs:
                targets.append(int(words.pop()))
            lists.append(list(map(int, words)))
    if not lists:
        raise _disk.wrong(path, 1, "no sessions", "at least one")
    top = max(max(map(max, filter(None, lists)), default=-1), max(targets, default=-1))
    found = sessions(lists, top + 1 if n_items is None else n_items)
    if targets and max(targets) >= found.n_items:
        raise ValueError(f"items must be between 0 and {found.n_items - 1}, not {max(targets)}")
    return found, np.array(targets, np.int32) if tabs else None


def prefixes(found):
    """Every proper prefix of every session, with the item after it.

    found : Sessions.  Returns Sessions, in the order of time, and targets, int32 (n,).
    Example:
        >>> prefixes(sessions([[7, 3, 5], [1]]))
        (Sessions(indptr=array([0, 1, 3]), items=array([7, 7, 3], dtype=int32), n_items=8), array([3, 5], dtype=int32))
    """
    found = sessions(found)
    lengths = np.diff(found.indptr)
    rows = np.maximum(lengths - 1, 0)
    first = np.repeat(found.indptr[:-1], rows)
    sizes = np.arange(first.size) - np.repeat(np.cumsum(rows) - rows, rows) + 1
    indptr = _starts(sizes)
    places = np.arange(indptr[-1]) + np.repeat(first - indptr[:-1], sizes)
    return Sessions(indptr, found.items[places], found.n_items), found.items[first + sizes]


def train(found, *, kind="best", seed=0, progress=None):
    """Train a model.

    found : Sessions, the earliest first.  kind : "best", or "fast", which leaves out the factors.  seed : int.
    progress : function (share of the work done since the last call, a line about it), or None.
    Returns SessionModel. The same bits for any number of threads.
    Raises ValueError for no session.
    Source: Jannach & Ludewig 2017 and Garg et al. 2019 for neighbours that are weighted by the age of session and item; the weighting here
    is our own."""
    found = sessions(found)
    dim, reps = KINDS[_check.choice(kind, "kind", KINDS)]
    progress = progress or (lambda share, line: None)
    seed, n = _check.integer(seed, "seed", 0), _check.integer(found.indptr.size - 1, "the number of sessions", 1)
    kept = n - min(HELD, n // 10)
    work = EPOCHS * (n + kept) * 1.1
    early = _part(found, 0, kept)
    factors = _factors(early, dim, reps, seed, lambda loss: progress(kept / work, f"factors, loss {loss:.3f}"))
    model = _index(early)._replace(factors=factors)
    held, targets = prefixes(_part(found, kept, n))
    weights = np.array([1.0, 0.0, 0.0, 0.0])
    if targets.size:
        shortlist, features = _features(model, held, SHORTLIST)
        present = np.array([True, model.factors is not None, True, True])
        weights = calibration.fit_weights(features, shortlist >= 0, shortlist == targets[:, None], present)
    progress(0.1, "weights")
    factors = _factors(found, dim, reps, seed, lambda loss: progress(n / work, f"factors of all sessions, loss {loss:.3f}"))
    return _index(found)._replace(factors=factors, weights=weights)


def top_k(model, found, k):
    """The k items that are likeliest to follow each session.

    model : SessionModel.  found : Sessions, or lists of items; items that the model does not know count as time gone by.  k : int.
    Returns items int32 (n, k) and scores float32 (n, k), best first; -1 and minus infinity where there are no more.
    Example:
        >>> model = train(sessions([[0, 1, 2], [0, 1], [1, 2]] * 20))
        >>> top_k(model, [[0]], 1)[0]
        array([[1]], dtype=int32)
    """
    found = sessions(found)
    k = _check.integer(k, "k", 1)
    n = found.indptr.size - 1
    best, best_scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    for start in range(0, n, BLOCK):
        stop = min(n, start + BLOCK)
        shortlist, features = _features(model, _part(found, start, stop), max(k, SHORTLIST))
        scores = (features @ model.weights).astype(np.float32)
        scores[shortlist < 0] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best[start:stop] = np.take_along_axis(shortlist, order, 1)
        best_scores[start:stop] = np.take_along_axis(scores, order, 1)
    return best, best_scores


def neighbours(model, found, k):
    """The k items that the sessions like each one vote for, without factors and weights.

    model : SessionModel.  found : Sessions or lists of items.  k : int.
    Returns items int32 (n, k) and scores float32 (n, k), best first, ties by the smaller item; popular items with a score of 0 follow, then
    -1.
    A shared item weighs exp(-a / 10) / (1 + a) / log(2 + its sessions)^2 with a items after it; a session exp(-RECENCY times its age as a
    share of all) / length^0.2; its items 1 / (1 + distance to the last shared one) each, divided by (sessions with the item)^0.16."""
    found, k = sessions(found), _check.integer(k, "k", 1)
    n = found.indptr.size - 1
    labels, scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    age = np.arange(MEMORY)
    fades = (np.exp(-age / 10) / (1 + age)).astype(np.float32)
    _kernels.neighbours(*model[:8], fades, np.float32(REPEAT), found.indptr, found.items, labels, scores)
    return labels, scores


def _index(found):
    """A model of neighbours alone."""
    indptr, items, n_items = found
    n = indptr.size - 1
    holder = np.repeat(np.arange(n), np.diff(indptr))
    order = np.argsort(items, kind="stable")
    items_by, holders = items[order], holder[order]
    fresh = np.flatnonzero((np.diff(items_by, prepend=-1) != 0) | (np.diff(holders, prepend=-1) != 0))  # a session once for each item
    own = np.bincount(items_by[fresh], minlength=n_items)
    lengths = np.maximum(np.diff(indptr), 1)
    session_weights = np.exp(-RECENCY * np.arange(n, 0, -1) / max(n, 1)) / lengths**0.2
    latest = np.bincount(items[-max(1, items.size // 9):], minlength=n_items)
    popular = np.argsort(-latest, kind="stable")[:min(SHORTLIST, np.count_nonzero(latest))]
    return SessionModel(indptr, items, _starts(own), holders[fresh].astype(np.int32), session_weights.astype(np.float32),
                        (1 / np.log(2.0 + own)**2).astype(np.float32), (np.maximum(own, 1) ** -0.16).astype(np.float32),
                        popular.astype(np.int32), None, np.array([1.0, 0.0, 0.0, 0.0]))


def _factors(found, dim, reps, seed, progress):
    """Factors of the prefixes of sessions and the items after them; None for no repetitions or no prefix."""
    rows, targets = prefixes(found)
    if not reps or not targets.size:
        return None
    x, labels = _recent(rows, found.n_items), _labels(targets, found.n_items)
    factors = rerank.init(x.width, labels.width, dim=dim, reps=reps, seed=seed)
    state = rerank.slots(factors)
    rng = np.random.default_rng([seed, 3])
    for epoch in range(EPOCHS):
        first, last = (LR * (1 - e / EPOCHS) for e in (epoch, epoch + 1))
        progress(rerank.train(factors, state, x, labels, None, rng.permutation(targets.size), lr=first, last_lr=last, near=0, far=FAR,
                              seed=seed + epoch, check=False))
    return rerank.pack(factors)


def _features(model, found, size):
    """Shortlists int32 (n, size) and what is known of their items: float64 (n, size, 4)."""
    n_items = model.dampings.size
    shortlist, votes = neighbours(model, found, size)
    features = np.zeros((*shortlist.shape, 4))
    features[:, :, 0] = np.log(np.maximum(votes, 1e-9))
    if model.factors is not None:
        features[:, :, 1] = np.where(shortlist >= 0, rerank.scores(model.factors, _recent(found, n_items), shortlist, check=False), 0)
    _kernels.repeats(found.indptr, found.items, shortlist, features)
    return shortlist, features


def _recent(found, n_items):
    """Rows of the last items of each session, of length 1."""
    n = found.indptr.size - 1
    columns, values = np.full((n, RECENT), -1, np.int32), np.empty((n, RECENT), np.float32)
    _kernels.recent(found.indptr, found.items, n_items, columns, values)
    used = columns >= 0
    return sparse.normalize(sparse.Rows(_starts(used.sum(axis=1)), columns[used], values[used], 3 * n_items), check=False)


def _labels(targets, n_items):
    return sparse.Rows(np.arange(targets.size + 1), targets, np.ones(targets.size, np.float32), n_items)


def _part(found, start, stop):
    indptr = found.indptr[start:stop + 1]
    return Sessions(indptr - indptr[0], found.items[indptr[0]:indptr[-1]], found.n_items)


def _starts(lengths):
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _validate(model):
    n, n_items = model.session_weights.size, model.item_weights.size
    if model.indptr.size != n + 1 or model.starts.size != n_items + 1 or model.dampings.size != n_items or model.weights.size != 4:
        raise ValueError(f"a model of {n} sessions and {n_items} items must have as many starts, dampings and 4 weights")
    if model.indptr[-1] != model.items.size or model.starts[-1] != model.holders.size:
        raise ValueError("indptr and starts must end with the number of items and holders")


modelfile.register(Sessions, indptr=(np.int64, 1), items=(np.int32, 1), n_items=int)
modelfile.register(SessionModel, _validate, indptr=(np.int64, 1), items=(np.int32, 1), starts=(np.int64, 1), holders=(np.int32, 1),
                   session_weights=(np.float32, 1), item_weights=(np.float32, 1), dampings=(np.float32, 1), popular=(np.int32, 1),
                   factors=(PackedFactors, type(None)), weights=(np.float64, 1))
