"""Cases of decoding: whole lists with ties, every aggregate, and candidates that are too few."""
import numpy as np

from sketchxc._cpu import lookup

from . import Case
from .lookup import table

PARTS = {"insert", "transform", "median_of", "accumulate", "accumulate_median", "best_buckets", "aggregate"}


def logits(rng, reps, n, buckets, coarse=True):
    """Scores, on a coarse grid so that labels tie and their sums are exact."""
    found = rng.normal(size=(reps, n, buckets)).astype(np.float32)
    return np.round(found * 2) / np.float32(2) if coarse else found


def tables(rng, reps, buckets, n_labels, probes):
    own = table(rng, reps * probes, n_labels, buckets)
    if probes > 1:
        own = np.concatenate([np.stack([rng.permutation(buckets)[:probes] for _ in range(n_labels)], 1) for _ in range(reps)])
        own = own.astype(np.int32)
    places = np.empty((n_labels, reps * probes), np.int32)
    lookup.places(own, buckets, probes, places)
    offsets, order = np.empty((reps, buckets + 1), np.int64), np.empty((reps, probes * n_labels), np.int32)
    lookup.inverse(own, offsets, order)
    return places, offsets, order


def exact(how, reps=3, probes=1, n_labels=23, k=3):
    def arguments(rng):
        places, _, _ = tables(rng, reps, 5, n_labels, probes)
        return logits(rng, reps, 6, 5), places, how, np.full((6, k), np.nan, np.float32), np.full((6, k), -7, np.int32)
    return Case("exact", arguments)


def pruned(how, top, least, probes=1, k=3):
    def arguments(rng):
        return (logits(rng, 2, 3, 5), *tables(rng, 2, 5, 12, probes), top, least, how, np.full((3, k), np.nan, np.float32),
                np.full((3, k), -7, np.int32))
    return Case("pruned", arguments)


def shortlist(how):
    def arguments(rng):
        places, _, _ = tables(rng, 3, 5, 23, 1)
        return logits(rng, 3, 6, 5), places, rng.integers(-1, 23, (6, 4)).astype(np.int32), how, np.full((6, 4), np.nan, np.float32)
    return Case("of_shortlist", arguments)


def scaled(scores, times, plus):
    scores[:] = scores * times + plus


def outside(labels, low, high, bad):
    bad[0] |= int((labels < low).any() or (labels >= high).any())


CASES = [
    *(Case("transform_all", lambda rng, kind=kind, softmax=softmax: (kind, softmax, logits(rng, 2, 3, 5, False)), rtol=2e-6, atol=2e-6)
      for kind in range(3) for softmax in (False, True) if kind or not softmax),
    *(exact(how) for how in range(3)),
    exact(2, reps=2), exact(0, reps=2, probes=2), exact(0, n_labels=2, k=2),
    pruned(0, 2, 2), pruned(1, 1, 2), pruned(2, 5, 1), pruned(0, 2, 3, probes=2), pruned(0, 1, 2, k=8),
    *(shortlist(how) for how in range(3)),
    *(Case("check_labels", lambda rng, bad=bad: (np.array([3, bad, -1], np.int32), -1, 9, np.zeros(1, np.int64)), reference=outside)
      for bad in (-2, 8, 9)),
    Case("rescale", lambda rng: (logits(rng, 1, 1, 9)[0, 0], np.float32(0.3), np.float32(-1.0)), reference=scaled, rtol=1e-6, atol=1e-6),
]
