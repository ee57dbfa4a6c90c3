"""Cases of the optimizers' loops: every rule, with and without penalties."""
import numpy as np

from sketchxc import optim

from . import Case
from .sparse import normal

# One row on one thread: the CPU's steps of its loops.
PARTS = {"descend", "descend_weights", "decay", "soften"}
RULES = [optim.sgd(0.3), optim.momentum(0.2, b1=0.8), optim.momentum(0.2, b1=0.8, nesterov=True), optim.adagrad(0.1, eps=1e-3),
         optim.rmsprop(0.05, eps=1e-3), optim.rmsprop(0.05, eps=1e-3, corrected=True), optim.adam(0.05, eps=1e-3),
         optim.adam(0.05, eps=1e-3, hat=True), optim.adamw(0.05, eps=1e-3, decay=0.2, l1=0.3)]


def moments(rng, opt, shape):
    state = optim.slots(opt, shape)
    return normal(rng, *state.m.shape), np.abs(normal(rng, *state.v.shape))


def step(opt):
    def arguments(rng, n=7, d=3):
        rows = np.sort(rng.choice(n, 4, replace=False))
        return opt.rule, optim.hyper(opt, 3, 1)[0], rows, normal(rng, 4, d), 2, normal(rng, n, d), *moments(rng, opt, (n, d))
    return Case("step", arguments, rtol=1e-5, atol=1e-6)


def catch_up(opt, most, idle):
    def arguments(rng, n=7, d=3):
        rows = np.sort(rng.choice(n, 5, replace=False))
        return (opt.rule, optim.hyper(opt, 1, 4), 1, 6, most, np.float32(0.9), np.float32(0.99), idle, rows, 2, rng.integers(0, 7, n),
                normal(rng, n, d), *moments(rng, opt, (n, d)))
    return Case("catch_up", arguments, rtol=1e-5, atol=1e-6)


def marked(rows, now, idle, last):
    last[rows] = np.where((last[rows] == 0) & idle, 0, now)


def wrong(rows, n, bad):
    bad[0] |= int(rows.size > 0 and not (0 <= rows[0] and rows[-1] < n and (np.diff(rows) > 0).all()))


def counted(out):
    out[:] = np.arange(out.size)


CASES = [
    *(step(opt) for opt in RULES),
    catch_up(RULES[6], 10**9, True),
    catch_up(RULES[8], 2, False),
    catch_up(RULES[1], 0, True),
    Case("mark", lambda rng: (np.array([0, 2, 3]), 9, True, rng.integers(0, 2, 5)), reference=marked),
    *(Case("check_rows", lambda rng, rows=rows: (np.array(rows, np.int64), 9, np.zeros(1, np.int64)), reference=wrong)
      for rows in ([0, 3, 8], [-1, 3, 8], [0, 3, 9], [0, 3, 3], [])),
    Case("count_up", lambda rng: (np.full(13, -7),), reference=counted),
]
