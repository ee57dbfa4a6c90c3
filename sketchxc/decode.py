"""From bucket scores to labels: aggregation over the repetitions fused with the choice of the best k. No array is rows x labels."""
import numpy as np

from . import _check, _place, _there
from ._cpu import decode as _kernels
from ._cpu import lookup as _lookup_kernels
from .lookup import inverse, label_buckets

# name -> (what a bucket contributes, how contributions are joined)
AGGREGATES = {
    "logit": (_kernels.LOGIT, _kernels.SUM),
    "mean": (_kernels.PROBABILITY, _kernels.SUM),
    "unbiased": (_kernels.PROBABILITY, _kernels.SUM),
    "log": (_kernels.LOG_PROBABILITY, _kernels.SUM),
    "min": (_kernels.PROBABILITY, _kernels.LEAST),
    "median": (_kernels.PROBABILITY, _kernels.MEDIAN),
}


def top_k(scores, lookup, k, *, how="logit", softmax=False, top=None, least=2, tables=None):
    """Best k labels of every row.

    scores : float32 (reps, n, buckets), logits; overwritten by what is aggregated.  lookup : Lookup, on a device if scores are, and then
        what is returned is too.  k : int, at most n_labels.
    how : "logit" (mean of logits), "mean" (of probabilities), "unbiased", "log" (mean log-probability), "min" or "median" (of
        probabilities).
    softmax : whether probabilities are softmax over a repetition's buckets, not a sigmoid of each.
    top : None for all labels; or int, the buckets per repetition whose labels are candidates (pruned decoding).
    least : int, how many of a candidate's buckets must be among the best of their repetitions; relaxed for rows that would get fewer
        than k.
    tables : what `decoding_tables` returned for this lookup, to be built once for many calls.
    Returns labels int32 (n, k) best first, -1 where there are no more candidates, and scores float32 (n, k); equal sums over the
    repetitions are in the order of the labels. Pruned decoding with top = buckets and least = 1 equals the exact one.
    Raises ValueError if shapes do not fit.
    Source: Medini et al. 2019, section 3 and theorem 1 (unbiased); pruning after the authors' code, with exact scores for candidates."""
    kind, join = AGGREGATES[_check.choice(how, "how", AGGREGATES)]
    k = _check.integer(k, "k", 1, lookup.n_labels)
    scores = _check_scores(scores, lookup)
    kernels, n = _place.kernels(_kernels, scores=scores, lookup=lookup.seeds), scores.shape[1]
    if top is not None:
        top = min(_check.integer(top, "top", 1), lookup.buckets)
        least = min(_check.integer(least, "least", 1), lookup.reps * lookup.probes)
    if kind != _kernels.LOGIT:
        kernels.transform_all(kind, softmax, scores)
    best_scores, best_labels = _place.empty((n, k), np.float32, scores), _place.empty((n, k), np.int32, scores)
    if tables is None:
        tables = decoding_tables(lookup, pruned=top is not None)
    if top is None:
        kernels.exact(scores, tables[0], join, best_scores, best_labels)
    else:
        kernels.pruned(scores, *tables, top, least, join, best_scores, best_labels)
    if join == _kernels.SUM:
        _divide(best_scores, lookup.reps * lookup.probes)
    if how == "unbiased" and lookup.buckets > lookup.probes:
        chance = lookup.probes / lookup.buckets  # that a label has a given bucket
        whole = lookup.probes if softmax else 1  # a softmax splits a label among its buckets
        if kernels is _kernels:
            best_scores = (best_scores * np.float32(whole) - np.float32(chance)) * np.float32(1 / (1 - chance))
        else:
            kernels.rescale(best_scores.reshape(n * k), np.float32(whole / (1 - chance)), np.float32(-chance / (1 - chance)))
    return best_labels, best_scores


def decoding_tables(lookup, *, pruned=False):
    """Tables that decoding reads: the places r * buckets + bucket of every label, int32 (n_labels, reps * probes), so that a label's places
    lie side by side; with `pruned` also the labels of every bucket (`lookup.inverse`)."""
    table = label_buckets(lookup)
    places = _place.empty(table.shape[::-1], np.int32, table)
    _place.kernels(_lookup_kernels, table=table).places(table, lookup.buckets, lookup.probes, places)
    return (places, *inverse(table, lookup.buckets, lookup.probes)) if pruned else (places,)


def shortlist_scores(scores, lookup, shortlist, *, how="logit", softmax=False):
    """Aggregated scores of given labels.

    scores : float32 (reps, n, buckets), logits; overwritten by what is aggregated.  lookup : Lookup.
    shortlist : int32 (n, m), labels of each row, -1 for none.  how, softmax : as for `top_k`, but "unbiased" is the mean
        of probabilities, whose correction is left to the caller.
    Returns float32 (n, m), 0 where there is no label.
    Raises ValueError if shapes do not fit or shortlist holds what is no label."""
    kind, join = AGGREGATES[_check.choice(how, "how", AGGREGATES)]
    scores = _check_scores(scores, lookup)
    kernels = _place.kernels(_kernels, scores=scores, lookup=lookup.seeds, shortlist=shortlist)
    shortlist = _check.array(shortlist, "shortlist", np.int32, 2, device=True)
    if shortlist.shape[0] != scores.shape[1]:
        raise ValueError(f"shortlist must have as many rows as scores, {scores.shape[1]}, not {shortlist.shape[0]}")
    if kernels is not _kernels:
        _there.labels(shortlist, lookup.n_labels)
    elif shortlist.size and (shortlist.min() < -1 or shortlist.max() >= lookup.n_labels):
        bad = shortlist.min() if shortlist.min() < -1 else shortlist.max()
        raise ValueError(f"shortlist must hold labels between -1 and {lookup.n_labels - 1}, not {bad}")
    if kind != _kernels.LOGIT:
        kernels.transform_all(kind, softmax, scores)
    out = _place.empty(shortlist.shape, np.float32, scores)
    kernels.of_shortlist(scores, decoding_tables(lookup)[0], shortlist, join, out)
    if join == _kernels.SUM:
        _divide(out, lookup.reps * lookup.probes)
    return out


def _divide(scores, count):
    """Divide scores by a number, in place."""
    if _place.on_device(scores):
        _place.kernels(_kernels, scores=scores).rescale(scores.reshape(scores.size), np.float32(1 / count), np.float32(0.0))
    else:
        scores /= np.float32(count)


def _check_scores(scores, lookup):
    scores = _place.target().array(scores) if _place.on_device(scores) else scores
    if scores.dtype != np.float32 or scores.ndim != 3 or (scores.shape[0], scores.shape[2]) != (lookup.reps, lookup.buckets):
        raise ValueError(f"scores must be float32 ({lookup.reps}, n, {lookup.buckets}), not {scores.dtype} {scores.shape}")
    return scores
