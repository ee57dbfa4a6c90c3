"""The default classifier: labels voted for by one pass of counting, re-ranked by low-rank factors, joined by weights from held-out rows.

Votes (`votes`) give every row a shortlist; factors (`rerank`) and, where they are small, a linear MACH model (`mach`) and the nearest
training rows (`neighbours`) score the labels on it. How much each counts is learnt on rows that none of them has seen, and so is the
probability that a score stands for.
"""
from typing import NamedTuple

import numpy as np

from . import (_check, _place, _there, calibration, crosses, decode, fit, mach, metrics, modelfile, neighbours, optim, packed, rerank,
               sizing, sparse, votes)
from .crosses import Crosses
from .neighbours import Neighbours
from .packed import PackedMach
from .rerank import PackedFactors
from .votes import Basis, Votes

BLOCK = 8192  # rows scored at a time
NEAR = 20  # best voted labels of a training row, at least, from which its hard negatives are drawn
SPREAD = 3  # such labels for each draw: with more draws they reach further down
FLOOR = 1e-3  # added to the votes before the logarithm
NEAR_FLOOR = 3e-3  # the same for the votes of the nearest rows
SMALL_SET = 100_000  # rows up to which a last pass takes in the held-out rows; on larger sets they hardly matter
AGAIN = 3  # times that it meets each of them
PARTS = 5  # votes, factors, MACH, nearest rows, the same row
RECALL = 2.0  # added to the score of the labels of a training row with the same features: held-out rows are hardly ever such rows


class Ranker(NamedTuple):
    """The trained classifier.

    crosses : Crosses.  votes : Votes.  factors : PackedFactors or None.  mach : PackedMach or None.  neighbours : Neighbours or None.
    weights : float64 (5,), of the logarithm of the votes, of the factors' score, of MACH's mean log-probability, of the logarithm of the
    nearest rows' votes and of being a label of a training row with the same features.
    calibration : float64 (2,), slope and offset: the probability of a label is sigmoid(slope * score + offset).
    gains : float32 (n_labels,), what a hit of each label is worth in the order of the answers, or (0,) where all are worth the same.
    shortlist : int, labels re-ranked per row.  power : float, of a feature's value in its votes.
    basis : votes.Basis, which `update` needs, or None.
    among : float, how much of the logarithm of the sum of exp(score) over its shortlist is taken off the scores of a row, which makes them
    comparable between rows: 0 leaves them as they are, 1 makes them the logarithm of a softmax.
    """
    crosses: Crosses
    votes: Votes
    factors: object
    mach: object
    neighbours: object
    weights: np.ndarray
    calibration: np.ndarray
    gains: np.ndarray
    shortlist: int
    power: float
    basis: object = None
    among: float = 0.0


def train(x, labels, chosen, *, start=None, keep=None, progress=None):
    """Train a classifier.

    x : Rows (n, features), of length 1.  labels : Rows (n, n_labels).  chosen : Recipe.
    start : (passes done, Factors, FactorSlots) of a training to go on with, or None.  keep : function of these three, called after every
    pass of the factors on sets of over SMALL_SET rows; all else is done anew.
    progress : function (share of the work done since the last call, a line about it).
    Returns Ranker. The same bits for any number of threads."""
    progress = progress or (lambda share, line: None)
    model = _train(x, labels, chosen, start, keep, progress)
    if chosen.tail:
        counts = sparse.column_counts(labels, check=False)
        gains = 1 / metrics.propensities(counts, max(3, x.indptr.size - 1), *chosen.tail)
        model = model._replace(gains=gains.astype(np.float32))
    return model


def top_k(model, x, k):
    """Best k labels of every row.

    x : Rows (n, features), for a model on a device on either side.  k : int.
    Returns labels int32 (n, k) and scores float32 (n, k), where the model is, best first; -1 where fewer labels are on the shortlist. Equal
    scores are in the order of the votes. `probabilities` turns scores into probabilities. With gains the order is by expected gain,
    probability times gain, and not by score.
    Source: Jain, Prabhu & Varma 2016, section 3, for propensities as gains."""
    k = _check.integer(k, "k", 1, model.votes.n_labels)
    n = x.indptr.size - 1
    if _place.on_device(model.weights):
        return _top_k_there(model, sparse.rows(x, check=False, device=True), k)
    best, best_scores = np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32)
    for start in range(0, n, BLOCK):
        rows = sparse.take(x, np.arange(start, min(n, start + BLOCK)), check=False)
        shortlist, features = _features(model, rows, max(k, model.shortlist))
        scores = calibration.apart(_joined(features, model.weights, shortlist), shortlist >= 0, model.among, model.shortlist)
        worth = probabilities(model, scores) * model.gains[shortlist] if model.gains.size else scores
        order = np.argsort(-worth, axis=1, kind="stable")[:, :k]
        best[start:start + BLOCK, :order.shape[1]] = np.take_along_axis(shortlist, order, 1)
        best_scores[start:start + BLOCK, :order.shape[1]] = np.take_along_axis(scores, order, 1)
    return best, best_scores


def _top_k_there(model, x, k):
    """`top_k` of a model on a device, a block of rows at a time."""
    n, own = x.indptr.size - 1, _place.on_device(x.indices)
    best, best_scores = (_place.empty((n, k), kind, model.weights) for kind in (np.int32, np.float32))
    for start in range(0, n, BLOCK):
        stop = min(n, start + BLOCK)
        if own:
            rows = x._replace(indptr=x.indptr[start:stop + 1])
        else:
            rows = _place.to_device(sparse.take(x, np.arange(start, stop), check=False))
        shortlist, parts = _parts_of(model, rows, max(k, model.shortlist))
        _there.answered(shortlist, parts, model, best[start:stop], best_scores[start:stop])
    return best, best_scores


def probabilities(model, scores):
    """Probability that a label with a given score is right, from the held-out rows: float32, the shape of `scores`; 0 for a score of -inf,
    where there is no label.

    Source: Platt 1999, on the scores of shortlisted labels."""
    return calibration.probabilities(_place.to_host(scores), *_place.to_host(model.calibration))


def _train(x, labels, chosen, start, keep, progress):
    n = x.indptr.size - 1
    kept, held = sizing.split(n, chosen.held / n, chosen.seed)
    held_x, held_labels = sparse.take(x, held), sparse.take(labels, held)
    seen_x, seen_labels = sparse.take(x, kept), sparse.take(labels, kept)
    pairs = crosses.find(seen_x, top=chosen.top, seed=chosen.seed, check=False)
    wide, held_wide = (crosses.cross(pairs, rows, check=False) for rows in (seen_x, held_x))
    progress(0.05, "crosses")
    counts = votes.count(wide, seen_labels, check=False)
    made, expected, power = _choose(counts, held_wide, held_labels, chosen)
    progress(0.15, "votes")
    start, keep = (start, keep) if n > SMALL_SET else (None, None)
    near = neighbours.index(seen_x, seen_labels, check=False) if chosen.neighbours else None
    model = Ranker(pairs, made, None, None, near, np.eye(PARTS)[0], np.array([1.0, 0.0]), np.empty(0, np.float32), chosen.shortlist,
                   power)
    linear, factors, hard = _parts(model, seen_x, wide, seen_labels, chosen, start, keep, progress)
    model = _packed(model, linear, factors)
    shortlist, features = _features(model, held_x)
    hits = metrics.hits(shortlist, held_labels)
    weights = calibration.fit_weights(features, shortlist >= 0, hits, _present(model))
    weights[4] = RECALL if chosen.neighbours else 0.0
    model = model._replace(weights=weights)
    scores, valid = _joined(features, model.weights, shortlist), shortlist >= 0
    model = model._replace(among=calibration.fit_among(scores, valid, hits))
    model = model._replace(calibration=calibration.fit_platt(calibration.apart(scores, valid, model.among), valid, hits))
    if n <= SMALL_SET:
        _last_pass(linear, factors, x, labels, kept, held, hard, shortlist, chosen)
        model = _packed(model, linear, factors)
    counts = votes.merge(counts, votes.count(held_wide, held_labels, check=False))  # counts are additive: the held-out rows join
    near = neighbours.index(x, labels, check=False) if chosen.neighbours else None
    return model._replace(votes=_votes(counts, expected, chosen), neighbours=near, basis=_basis(counts, expected, chosen))


def _choose(counts, wide, labels, chosen):
    """Votes, how much of the chance count is taken off them and the power of a feature's value: the best of four by the held-out rows'
    P@1 + P@3 + P@5.

    Long rows want more taken off (Bibtex), short ones a power below 1 (titles)."""
    some = np.arange(min(5000, wide.indptr.size - 1))
    wide, labels = sparse.take(wide, some), sparse.take(labels, some)
    best = None
    k = min(5, labels.width)
    for expected in (1.0, 2.0):
        made = _votes(counts, expected, chosen)
        for power in (0.5, 1.0):
            ranked, _ = votes.candidates(made, wide, k, power=power, check=False)
            reached = sum(metrics.precision_at(ranked, labels, j) for j in (1, 3, 5) if j <= k)
            if best is None or reached > best[0]:  # without rows held out, nothing is above the first
                best = reached, made, expected, power
    return best[1:]


def _parts(model, x, wide, labels, chosen, start, keep, progress):
    """Train what stands beside the votes: Mach or None, (Factors, FactorSlots) or None, and the hard negatives of every row."""
    linear, factors, hard = None, None, None
    if chosen.mach is not None:
        linear = fit.untrained(chosen.mach, x.width, labels.width)
        fit.fit(linear, chosen.mach, x, labels)
    if chosen.reps:
        size = min(max(NEAR, SPREAD * chosen.near), chosen.shortlist)
        hard, _ = votes.candidates(model.votes, wide, size, power=model.power, check=False)
        progress(0.15, "shortlists")
        done, table, state = start or (0, rerank.init(x.width, labels.width, dim=chosen.dim, reps=chosen.reps, seed=chosen.seed), None)
        factors = table, state or rerank.slots(table)
        rng = np.random.default_rng([chosen.seed, 2])
        for epoch, loss in passes(factors, x, labels, hard, rng, chosen.epochs, done=done, lr=chosen.lr, near=chosen.near, far=chosen.far,
                                  seed=chosen.seed):
            if keep and loss is not None:
                keep(epoch + 1, *factors)
            progress(0.6 / chosen.epochs, "from the checkpoint" if loss is None else f"factors, loss {loss:.3f}")
    return linear, factors, hard


def passes(factors, x, labels, hard, rng, epochs, *, lr, near, far, seed, done=0):
    """Train factors in place, pass after pass in an order of its own, at a rate that falls in a straight line to zero.

    factors : (Factors, FactorSlots).  x, labels : Rows.  hard : int32 (n, m), hard negatives.  rng : Generator, of the orders.
    epochs : int.  lr, near, far : as for `rerank.train`.  seed : int, of the first pass' draws.  done : int, passes that are behind them.
    Yields (number of the pass, its loss), with None for those that were done."""
    for epoch in range(epochs):
        first, last = (lr * (1 - e / epochs) for e in (epoch, epoch + 1))
        order = rng.permutation(x.indptr.size - 1)
        yield epoch, None if epoch < done else rerank.train(*factors, x, labels, hard, order, lr=first, last_lr=last, near=near, far=far,
                                                            seed=seed + epoch, check=False)


def _last_pass(linear, factors, x, labels, kept, held, hard, shortlist, chosen):
    """One more pass, at half the rate, over all rows: those held out until now AGAIN times, as they were in no pass before."""
    order = np.random.default_rng([chosen.seed, 3]).permutation(np.concatenate([kept, np.tile(held, AGAIN)]))
    if linear is not None:
        opt = optim.by_name(chosen.mach.optimizer, chosen.mach.lr / 2)
        mach.train(linear, opt, mach.slots(opt, linear), x, labels, order, batch=chosen.mach.batch, last_lr=0.0, check=False)
    if factors is not None:
        both = np.empty((x.indptr.size - 1, hard.shape[1]), np.int32)
        both[kept], both[held] = hard, shortlist[:, :hard.shape[1]]
        rerank.train(*factors, x, labels, both, order, lr=chosen.lr / 2, last_lr=0.0, near=chosen.near, far=chosen.far,
                     seed=chosen.seed + chosen.epochs, check=False)


def _packed(model, linear, factors):
    return model._replace(mach=linear and packed.pack(linear), factors=factors and rerank.pack(factors[0]))


def _votes(counts, expected, chosen):
    return votes.votes(counts, expected=expected, keep=chosen.keep, threshold=chosen.threshold)


def _basis(counts, expected, chosen):
    return votes.basis(counts, expected=expected, keep=chosen.keep, threshold=chosen.threshold)


def _present(model):
    """Which of the weights are fitted: those that the model has a part for."""
    return np.array([True] + [part is not None for part in (model.factors, model.mach, model.neighbours)] + [False])


def _features(model, x, size=None):
    """Shortlists int32 (n, m) and what is known of their labels: float64 (n, m, PARTS), zero for parts that the model lacks."""
    shortlist, parts = _parts_of(model, x, size or model.shortlist)
    features = np.zeros((*shortlist.shape, PARTS))
    for part, own in enumerate(parts):
        if own is not None:
            features[:, :, part] = np.log(np.maximum(own[0], 0) + own[1]) if own[1] else own[0]
    features[:, :, 1][shortlist < 0] = 0  # where factors say minus infinity
    return shortlist, features


def _parts_of(model, x, size):
    """Shortlists, and for each part None or (what it says of their labels (n, m), what is added before the logarithm, 0 for none)."""
    wide = crosses.cross(model.crosses, x, check=False)
    size = min(size, model.votes.n_labels)
    shortlist, counted = votes.candidates(model.votes, wide, size, power=model.power, check=False)
    if size == model.votes.n_labels:  # so few labels that all are re-ranked, also those without a vote
        shortlist, counted = votes.completed(shortlist, counted, model.votes.n_labels)
        if model.basis is not None:  # but for those that were erased
            shortlist = _there.unless_erased(shortlist, model.basis.label_rows)
    parts = [(counted, FLOOR), None, None, None, None]
    if model.factors is not None:
        parts[1] = rerank.scores(model.factors, x, shortlist, check=False), 0
    if model.mach is not None:
        logits = packed.bucket_scores(model.mach, x, check=False)
        parts[2] = decode.shortlist_scores(logits, model.mach.lookup, shortlist, how="log", softmax=model.mach.loss == 1), 0
    if model.neighbours is not None:
        given, same = neighbours.votes(model.neighbours, x, shortlist, check=False)
        parts[3:] = (given, NEAR_FLOOR), (same, 0)
    return shortlist, parts


def _joined(features, weights, shortlist):
    scores = (features @ weights).astype(np.float32)
    scores[shortlist < 0] = -np.inf
    return scores


def _validate(model):
    if model.weights.shape != (PARTS,) or model.calibration.shape != (2,):
        raise ValueError(f"weights and calibration must have {PARTS} and 2 numbers, not {model.weights.shape} and "
                         f"{model.calibration.shape}")
    if model.gains.size and model.gains.shape != (model.votes.n_labels,):
        raise ValueError(f"gains must hold none or {model.votes.n_labels} numbers, not {model.gains.size}")
    if model.basis is not None and (model.basis.sizes.size, model.basis.label_rows.size) != (model.votes.scales.size, model.votes.n_labels):
        raise ValueError(f"basis must be of {model.votes.scales.size} features and {model.votes.n_labels} labels, not "
                         f"{model.basis.sizes.size} and {model.basis.label_rows.size}")


modelfile.register(Ranker, _validate, crosses=Crosses, votes=Votes, factors=(PackedFactors, type(None)), mach=(PackedMach, type(None)),
                   neighbours=(Neighbours, type(None)), weights=(np.float64, 1), calibration=(np.float64, 1), gains=(np.float32, 1),
                   shortlist=int, power=float, basis=(Basis, type(None)), among=float)
