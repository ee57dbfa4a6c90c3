"""Cases of the loops of optimizers with small states."""
import numpy as np

from sketchxc import optim

from . import Case
from .hashing import words
from .optim import RULES
from .sparse import normal

# One row or one place on one thread: the CPU's steps of its loops.
PARTS = {"lowest", "middle", "median", "put", "put_shared", "places", "ask", "crowds", "advance_row", "advance_one", "advance", "own_step",
         "total"}


def rows(rng, n, k):
    return np.sort(rng.choice(n, k, replace=False))


def step(opt, kind, depth=3, exact=False, k=6):
    """Six rows in sketches of four places: some meet."""
    def arguments(rng, n=9, d=5):
        first, second = (moment.shape[-1] for moment in optim.slots(opt, (1, d))[:2])
        m = normal(rng, 1, n, first) if exact else normal(rng, depth, 4, first)
        return (opt.rule, optim.hyper(opt, 3, 1)[0], kind, rows(rng, n, k), normal(rng, k, d), 2, normal(rng, n, d), m, exact,
                np.abs(normal(rng, depth, 4, second)), words(rng, 3 + depth)[3:])
    return Case("step", arguments, 1e-4, 1e-5)


def rank_one(opt, k=6):
    def arguments(rng, n=9, d=5):
        first = optim.slots(opt, (1, d)).m.shape[-1]
        sums, parts = np.abs(normal(rng, n)), np.abs(normal(rng, d))
        return (opt.rule, optim.hyper(opt, 3, 1)[0], rows(rng, n, k), normal(rng, k, d), normal(rng, n, d), normal(rng, n, first),
                sums, parts * (sums.sum() / parts.sum()))
    return Case("rank_one", arguments, 1e-4, 1e-5)


def scaled(values, factor):
    values *= factor


MOMENTUM, NESTEROV, ADAGRAD, RMSPROP, ADAM, PENALISED = (RULES[place] for place in (1, 2, 3, 5, 6, 8))
CASES = [
    *(step(opt, kind) for opt in (MOMENTUM, ADAGRAD, ADAM) for kind in (0, 1, 2)),
    step(ADAM, 0, depth=5), step(ADAM, 2, depth=1), step(PENALISED, 1, depth=5), step(NESTEROV, 0), step(RMSPROP, 2),
    *(step(opt, kind, exact=True) for opt, kind in ((ADAM, 0), (PENALISED, 1), (ADAM, 2))), step(ADAM, 2, k=0),
    Case("scale", lambda rng: (normal(rng, 13), np.float32(0.25)), reference=scaled),
    rank_one(ADAGRAD), rank_one(ADAM), rank_one(PENALISED), rank_one(RMSPROP), rank_one(ADAM, 0),
]
