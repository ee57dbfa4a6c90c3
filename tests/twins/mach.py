"""Cases of linear MACH: whole passes over prepared batches, and bucket scores."""
import numpy as np

from sketchxc import optim, sparse
from sketchxc._batches import group

from . import Case
from .embed import words
from .lookup import table
from .optim import moments
from .sparse import csr, normal

# Steps of the loop over batches, which owns its columns on a CPU and is several grids on a device.
PARTS = {"project", "descend_along", "combine", "column_sums", "collect_targets", "subtract_targets", "logistic_slopes", "softmax_slopes"}
OPTIMIZERS = [optim.sgd(0.3), optim.adam(0.05, eps=1e-3), optim.adamw(0.05, eps=1e-3, decay=0.1, l1=0.1)]


def prepared(x, batch):
    """Transposed batches, whose free places hold nothing by chance."""
    distinct, columns, ends, members, values = group(x, batch)
    for t, start in enumerate(x.indptr[:-1:batch]):
        stop = x.indptr[min(x.indptr.size - 1, (t + 1) * batch)]
        columns[start + distinct[t]:stop] = ends[start + distinct[t]:stop] = -7
    return distinct, columns, ends, members, values


def train(opt, softmax, hashed, reps=(0, 2), probes=1, buckets=4, batch=2, n=3, width=6, features=True):
    """A pass of two batches over 3 rows; row 1 has no labels, row 0 no features."""
    def arguments(rng):
        x = sparse.Rows(*csr(rng, n, width), width)
        x = x if features else sparse.Rows(np.zeros(n + 1, np.int64), x.indices[:0], x.values[:0], width)
        y = [[] if i == 1 else rng.choice(9, 3, replace=False) for i in range(n)]
        labels = sparse.Rows(*np.cumsum([[0] + [len(own) for own in y]], axis=1), np.concatenate(y).astype(np.int32), np.ones(6), 9)
        seeds = words(rng, 3) if hashed else np.zeros(3, np.uint64)
        own = np.empty((3, 0), np.int32) if hashed else table(rng, 3 * probes, 9, buckets)
        columns = reps[0] * buckets, reps[1] * buckets
        hypers = optim.hyper(opt, 3, 2)
        return (normal(rng, width, 3 * buckets), normal(rng, 3 * buckets), *moments(rng, opt, (width, 3 * buckets)),
                *moments(rng, opt, (3 * buckets,)), opt.rule, hypers, softmax, columns, columns[1] - columns[0], False, *x[:3], batch,
                *prepared(x, batch), labels.indptr, labels.indices, 12 * probes, seeds, own, buckets, np.full(1, np.nan))
    return Case("train", arguments, rtol=2e-5, atol=2e-5)


def scores(r, reps):
    return lambda rng: (normal(rng, 11, 15), normal(rng, 15), r, 5, *csr(rng), np.full((reps, 9, 5), np.nan, np.float32))


def added(values, out):
    out[:] = 0
    out[0] = values.sum(dtype=np.float64)


CASES = [
    train(OPTIMIZERS[0], False, True),
    train(OPTIMIZERS[2], True, True, reps=(1, 2)),
    train(OPTIMIZERS[1], True, False, reps=(1, 3), probes=2),
    train(OPTIMIZERS[1], False, True, features=False),
    Case("bucket_scores", scores(0, 3), rtol=1e-5, atol=1e-5),
    Case("bucket_scores", scores(1, 2), rtol=1e-5, atol=1e-5),
    Case("add_up", lambda rng: (normal(rng, 23), np.full(2, np.nan)), reference=added, rtol=1e-6),
]
