"""What the default classifier (`ranker`) is made of: chosen by the size of the data, within budgets of memory and time."""
from typing import NamedTuple

import numpy as np

from . import _check, sizing

SMALL_MACH = 10 << 20  # weights, a byte each, of a linear MACH model that takes part; with fewer than FEWEST buckets it does not
FEWEST = 32
MACH_PACE = {"lr": 80.0, "epochs": 5}  # of that part: few steep passes; plain MACH alone wants twice as many, half as steep
SMALL_INDEX = 32 << 20  # bytes up to which the nearest rows take part: on large sets they add little (.1 point on titles, 1 point on tags)
LARGE_SET = 100_000  # rows above which a step of the factors takes the more draws: .2 points of P@3 and P@5 on titles, none on tags
DRAWS = (4, 16), (20, 80)  # from a row's shortlist and from all labels: up to that many rows, and above
# kind -> top, keep, threshold, dim, reps: chosen on validation rows of the titles set for accuracy against bytes
KINDS = {"best": (8, 100, 0.05, 64, 2), "fast": (8, 100, 0.05, 64, 0), "small": (6, 30, 0.084, 32, 1)}
# kind -> shares of the pairs of features and labels, and of a row's crosses, that the model keeps, as seen on those rows
KEPT = {"best": (0.85, 1.3), "fast": (0.85, 1.3), "small": (0.45, 1.0)}
FALLBACKS = {"best": ("small", "fast"), "fast": ("small",), "small": ("fast",)}  # tried in this order where a budget does not allow a kind


class Recipe(NamedTuple):
    """Parts and settings of a training run, and its forecast.

    kind : "best", "fast" (votes alone) or "small" (short lists of votes, short factors).
    top : columns of a row that are paired into crosses.  keep : labels kept per feature.  threshold : smallest weight kept.
    shortlist : labels re-ranked per row.
    dim, reps, epochs, lr, near, far : of the factors; reps 0 leaves them out.  mach : sizing.Plan, or None.
    neighbours : bool, whether the nearest rows take part.
    tail : (A, B) of the propensities by which labels are ranked, or () for ranking by probability.
    held : rows held out for the weights.  seed : int.  model_bytes : int, forecast.  one_vs_all_bytes : int.  seconds : float, forecast.
    reason : str, why not the kind that was asked for; empty if it is.
    features : str, what the texts were turned into and why; empty where there was no choice.
    """
    kind: str
    top: int
    keep: int
    threshold: float
    shortlist: int
    dim: int
    reps: int
    epochs: int
    lr: float
    near: int
    far: int
    mach: object
    neighbours: bool
    tail: tuple
    held: int
    seed: int
    model_bytes: int
    one_vs_all_bytes: int
    seconds: float
    reason: str
    features: str = ""

    def __str__(self):
        parts = [f"votes of features and of pairs of the {self.top} heaviest, {self.keep} labels each"]
        if self.reps:
            parts.append(f"factors of {self.reps} x {self.dim} columns, {self.epochs} epochs")
        if self.mach is not None:
            parts.append(f"MACH R={self.mach.reps} B={self.mach.buckets}")
        if self.neighbours:
            parts.append("nearest rows")
        if self.tail:
            parts.append("ranked by expected propensity-scored gain")
        size = sizing.megabytes(self.model_bytes)
        lines = [f"model      {self.kind}: {'; '.join(parts)}",
                 f"training   weights fitted on {self.held:,} held-out rows, seed {self.seed}",
                 f"memory     model about {size}, one-vs-all would take {sizing.megabytes(self.one_vs_all_bytes)}",
                 f"time       about {max(1, round(self.seconds)):,} s"]
        return "\n".join(lines + [f"{name:10} {why}" for name, why in (("features", self.features), ("choice", self.reason)) if why])


def choose(rows, features, labels, *, nonzeros, label_nonzeros=None, kind="best", memory=None, seconds=None, tail=(), seed=0,
           threads=1):
    """Choose the parts by the size of the data; where a budget does not allow the kind, the first of its fallbacks that it allows.

    rows, features, labels, nonzeros : int.  label_nonzeros : int, labels of all rows, 2 a row if None.
    kind : "best", "fast" or "small".  memory : int, bytes that the model may take.  seconds : float, that training may take.
    tail : (A, B) of `metrics.propensities` to rank labels by probability over propensity, which favours rare ones; () by probability.
    seed : int.  threads : int, for the expected time.
    Returns Recipe. Its size and time are forecasts, the budgets are compared with them.
    Raises ValueError if no kind keeps within the budgets."""
    kind = _check.choice(kind, "kind", KINDS)
    memory = memory if memory is None else _check.integer(memory, "memory", 1)
    seconds = seconds if seconds is None else _check.real(seconds, "seconds", 0, open_low=True)
    label_nonzeros = 2 * rows if label_nonzeros is None else label_nonzeros
    reasons, costs = [], []
    for one in (kind, *FALLBACKS[kind]):
        made = _recipe(rows, features, labels, nonzeros, label_nonzeros, one, seed, threads)
        large, slow = memory is not None and made.model_bytes > memory, seconds is not None and made.seconds > seconds
        if not (large or slow):
            return made._replace(tail=tuple(tail), reason="; ".join(reasons))
        reasons.append(f"{one} would take " + " and ".join(
            [sizing.megabytes(made.model_bytes)] * large + [f"{made.seconds:.0f} s"] * slow))
        costs.append(made)
    smallest, fastest = min(made.model_bytes for made in costs), min(made.seconds for made in costs)
    raise ValueError(f"the budgets are too small: {', '.join(reasons)}; the smallest model takes about {sizing.megabytes(smallest)}, the "
                     f"fastest training about {fastest:.0f} s")


def _small_mach(rows, features, labels, **size):
    """Plan of the linear MACH model that takes part, or None. The shortlist tells labels apart, so that few buckets do."""
    part = sizing.plan(rows, features, labels, 1 << 40, **size, **MACH_PACE)
    while features * part.reps * part.buckets > SMALL_MACH:
        if part.buckets < 2 * FEWEST:
            return None
        part = sizing.plan(rows, features, labels, 1 << 40, reps=part.reps, buckets=part.buckets // 2, **size, **MACH_PACE)
    return part


def _recipe(rows, features, labels, nonzeros, label_nonzeros, kind, seed, threads):
    """Recipe of a kind with its forecast."""
    one_vs_all = 4 * (features + 1) * labels
    part = None
    if kind == "best":
        part = _small_mach(rows, features, labels, nonzeros=nonzeros, seed=seed, threads=threads)
    near = kind == "best" and 8 * nonzeros <= SMALL_INDEX
    top, keep, threshold, dim, reps = KINDS[kind]
    epochs = int(np.clip(round(4 * (100_000 / rows) ** 0.5), 4, 12))
    pairs, crosses = KEPT[kind]
    entries = min(pairs * nonzeros * label_nonzeros / rows, (features + crosses * rows) * keep)
    size = 3 * entries + 6 * features + 13 * crosses * rows + reps * dim * (features + labels)
    size += (part.model_bytes // 4 if part else 0) + (8 * nonzeros + 4 * label_nonzeros) * near
    # Seconds per nonzero, per row of a pass and per row of the shortlists, as measured on one core.
    draws = DRAWS[rows > LARGE_SET]
    factors = rows * (epochs * (0.9e-6 + 3e-8 * sum(draws)) * reps + 1e-5 * (reps > 0))
    seconds = (nonzeros * 1.5e-6 + factors) / threads + (part.seconds if part else 0)
    held = min(max(1, rows // (5 if rows < 6000 else 8)), max(2500, min(5000, rows // 24)))  # enough for the few weights
    return Recipe(kind, top, keep, threshold, min(100, labels), dim, reps, epochs, 0.35, *draws, part, near, (), held, seed, int(size),
                  one_vs_all, seconds, "")
