"""Cases of the loops of low-rank factors."""
import numpy as np

from sketchxc import hashing, rerank

from . import Case
from .packed import small
from .sparse import csr, normal

# Steps of the CPU's loops.
PARTS = {"combine", "product", "exchange", "push", "locate", "softmax_slopes", "pass_over"}
SMALL = {"ROOM": 600}  # pieces of a few rows


def scored(rng, scaled, hashed):
    cells, draw = 5 if hashed else 11, small if scaled else normal
    scales = [np.abs(normal(rng, 2, size if scaled else 0)) for size in (cells, 13)]
    return (draw(rng, 2, cells, 16), draw(rng, 2, 13, 16), *scales, scaled, hashing.seeds(2, 1), hashed, *csr(rng),
            rng.integers(-1, 13, (9, 4)).astype(np.int32), np.full((9, 4), np.nan, np.float32))


def trained(rng, hashed, near=2, far=3, dim=16):
    cells = 5 if hashed else 11
    factors = rerank.Factors(normal(rng, 2, cells, dim), normal(rng, 2, 13, dim) / 8, hashing.seeds(2, 1), 11)
    labels = csr(rng, 9, 13)
    order = rng.permutation(9)[:5]
    return (*factors[:2], *rerank.slots(factors), hashing.mix(factors.seeds, 5), factors.seeds, hashed, *csr(rng), *labels[:2],
            rng.integers(-1, 13, (9, 4)).astype(np.int32), order, 0.1, 0.05, near, far, np.full(2, np.nan))


def parts(floor):
    def arguments(rng):
        values = normal(rng, 9, 5) if floor else np.abs(normal(rng, 9, 5)) > 0.5
        return (values, np.float32(floor), rng.normal(size=3), 2, rng.integers(-1, 4, (9, 5)).astype(np.int32), rng.normal(size=(9, 5)))
    return Case("add_part", arguments, rtol=1e-5, atol=1e-5, reference=added)


def added(values, floor, weights, part, shortlist, out):
    own = np.log(np.maximum(values, 0) + floor) if floor else values
    out += np.where(shortlist >= 0, weights[part] * own, 0)


def answered(rng, tail, k=3):
    shortlist = np.array([rng.permutation(8)[:5] for _ in range(9)], np.int32)
    shortlist[rng.random((9, 5)) < 0.3] = -1
    scores = np.round(rng.normal(size=(9, 5)))  # with ties
    return (scores, shortlist, np.array([0.7, -1.0]), np.abs(normal(rng, 8)) if tail else np.empty(0, np.float32),
            np.full((9, k), -7, np.int32), np.full((9, k), np.nan, np.float32), np.full((9, k), np.nan, np.float32))


def ordered(scores, shortlist, calibration, gains, best_labels, best_scores, worth):
    own = scores.astype(np.float32)
    value = gains[shortlist] / (1 + np.exp(-(calibration[0] * own + calibration[1]))) if gains.size else own
    for i in range(9):
        rows = [c for c in np.argsort(-value[i], kind="stable") if shortlist[i, c] >= 0][:worth.shape[1]]
        for out, found, empty in ((best_labels, shortlist, -1), (best_scores, own, -np.inf), (worth, value, -np.inf)):
            out[i] = empty
            out[i, :len(rows)] = found[i, rows]


def erased(shortlist, label_rows):
    shortlist[...] = np.where((shortlist >= 0) & (label_rows[shortlist] < 0), -1, shortlist)


def set_apart(scores, shortlist, among, size):
    scores[...] = scores.astype(np.float32)
    for row, labels in zip(scores, shortlist):
        some = labels[:size] >= 0
        if some.any():
            row -= among * np.log(np.exp(row[:size][some]).sum())


CASES = [
    *(Case("apart", lambda rng, size=size: (rng.normal(size=(9, 5)), rng.integers(-1, 2, (9, 5)).astype(np.int32), 0.7, size),
           rtol=1e-5, reference=set_apart) for size in (5, 3)),
    Case("drop_erased", lambda rng: (rng.integers(-1, 8, (9, 5)).astype(np.int32), rng.integers(-1, 2, 8).astype(np.int32)),
         reference=erased),
    *(Case("scores", lambda rng, scaled=scaled, hashed=hashed: scored(rng, scaled, hashed), rtol=1e-4, atol=1e-3)
      for scaled, hashed in ((False, False), (True, False), (False, True))),
    Case("train", lambda rng: trained(rng, False), rtol=1e-4, atol=1e-5),
    Case("train", lambda rng: trained(rng, True, 0, 4, 32), rtol=1e-4, atol=1e-5),
    parts(0.0), parts(0.01),
    *(Case("answers", lambda rng, tail=tail, k=k: answered(rng, tail, k), rtol=1e-5, reference=ordered)
      for tail, k in ((False, 3), (True, 3), (False, 7))),
]
