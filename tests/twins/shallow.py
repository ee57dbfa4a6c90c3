"""Cases of the nets with hidden layers. A grid does all repetitions, a CPU loop one: the references call it for each."""
import numpy as np

from sketchxc import optim, sparse
from sketchxc._cpu import mach, shallow
from sketchxc._cpu import optim as steps

from . import Case
from .embed import words
from .lookup import table
from .mach import OPTIMIZERS, prepared
from .optim import moments
from .sparse import csr, normal

# Loops for one net: what the device does for all of them at a time has the arguments of no CPU loop.
PARTS = {"activate", "embed_rows", "add_bias", "add_bias_activate", "norm_rows", "norm_columns", "norm_by", "scale_activate", "norm_sums",
         "norm_rows_back", "norm_columns_back", "block", "drop", "loss_slopes", "descend_rows", "row_gradients", "descend_given", "squares",
         "open_units", "learn_gates"}
REPS, ROWS, UNITS = 2, 3, 5


def values(rng):
    return normal(rng, REPS, ROWS, UNITS)


def units(rng):
    return normal(rng, REPS, UNITS)


def slopes(kind):
    return np.full((REPS, ROWS, UNITS if kind in (1, 2) else 0), np.nan, np.float32)


def each(loop, count):
    """A CPU loop for one net, called with the parts of the last `count` arguments that belong to each."""
    def reference(*arguments):
        for r in range(REPS):
            loop(*arguments[:-count], *(a[r] for a in arguments[-count:]))
    return reference


def embedded(kind, embed, bias, indptr, indices, x, first, out, own):
    for r in range(REPS):
        shallow.embed_rows(kind, embed[r], bias[r], indptr, indices, x, first, out[r], own[r])


def dropped(keys, t, layer, limit, scale, rows):
    for r in range(REPS):
        shallow.drop(keys[r, t, layer], limit, scale, rows[r])


def losses(scores, scale, softmax, labels_ptr, labels, first, low, seeds, own, buckets, out):
    for r in range(REPS):
        for i in range(scores.shape[1]):
            work = (np.zeros(buckets, np.bool_), np.empty(99, np.int64), np.empty(2, np.int64), np.empty(buckets, np.float32),
                    np.empty(buckets, np.float32))
            out[first + i, r] = shallow.loss_slopes(scores[r, i:i + 1], scale, softmax, labels_ptr, labels, first + i, low + r, seeds, own,
                                                    buckets, *work)


def loss_case(softmax):
    def arguments(rng):
        return (normal(rng, REPS, 2, 4), np.float32(0.5), softmax, np.array([0, 1, 1, 4]), np.array([0, 7, 2, 5], np.int32), 1, 1,
                np.zeros(3, np.uint64), table(rng, 3, 9, 4), 4, np.zeros((3, REPS), np.float32))
    return Case("loss_slopes", arguments, rtol=1e-5, atol=1e-5, reference=losses)


def bias_steps(rule, hypers, t, back, bias, m, v):
    for r in range(REPS):
        gradient = np.empty_like(bias[r])
        mach.column_sums(back[r], back.shape[1], gradient)
        steps.descend(rule, hypers[t], gradient, bias[r], m[r], v[r])


def gain_steps(rule, hypers, t, gradient, gain, m, v):
    for r in range(REPS):
        steps.descend(rule, hypers[t], gradient[r], gain[r], m[r], v[r])


def normed_columns(rows, share, stats, scales):
    for r in range(REPS):
        shallow.norm_columns(rows[r], share, stats[r], scales[r])


def layer_steps(rule, hypers, t, gradient, weights, m, v, back, bias, bm, bv):
    bias_steps(rule, hypers, t, back, bias, bm, bv)
    for r in range(REPS):
        steps.descend_weights(rule, hypers[t], gradient[r].reshape(-1), weights[r].reshape(-1), m[r].reshape(-1), v[r].reshape(-1))


def row_steps(rule, hypers, t, own, distinct, features, ends, members, x, indptr, first, embed, m, v, back, bias, bm, bv):
    bias_steps(rule, hypers, t, back, bias, bm, bv)
    for r in range(REPS):
        shallow.descend_rows(rule, hypers[t], own[r], features, ends, members, x, indptr[first], distinct[t], np.empty(UNITS, np.float32),
                             embed[r], m[r], v[r])


def row_case(opt):
    def arguments(rng):
        x = sparse.Rows(*csr(rng, 6, 7), 7)
        return (opt.rule, optim.hyper(opt, 3, 2), 1, values(rng), *prepared(x, 3), x.indptr, 3, normal(rng, REPS, 7, UNITS),
                *moments(rng, opt, (REPS, 7, UNITS)), values(rng), units(rng), *moments(rng, opt, (REPS, UNITS)))
    return Case("descend_rows", arguments, rtol=1e-5, atol=1e-5, reference=row_steps)


def layer_case(opt):
    def arguments(rng):
        return (opt.rule, optim.hyper(opt, 3, 2), 1, normal(rng, REPS, ROWS, UNITS), normal(rng, REPS, ROWS, UNITS),
                *moments(rng, opt, (REPS, ROWS, UNITS)), values(rng), normal(rng, REPS, UNITS), *moments(rng, opt, (REPS, UNITS)))
    return Case("descend_layer", arguments, rtol=1e-5, atol=1e-5, reference=layer_steps)


def gain_case(opt):
    def arguments(rng):
        return opt.rule, optim.hyper(opt, 3, 2), 1, units(rng), units(rng), *moments(rng, opt, (REPS, UNITS))
    return Case("descend_gains", arguments, rtol=1e-5, atol=1e-5, reference=gain_steps)


CASES = [
    *(Case("embed_rows", lambda rng, kind=kind: (kind, normal(rng, REPS, 7, UNITS), normal(rng, REPS, UNITS), *csr(rng, 6, 7), 2,
                                                 np.full((REPS, ROWS, UNITS), np.nan, np.float32), slopes(kind)),
           rtol=1e-5, atol=1e-5, reference=embedded) for kind in range(4)),
    Case("add_bias", lambda rng: (normal(rng, REPS, UNITS), values(rng)), reference=each(shallow.add_bias, 2)),
    *(Case("add_bias_activate", lambda rng, kind=kind: (kind, normal(rng, REPS, UNITS), values(rng), slopes(kind)), rtol=1e-5, atol=1e-6,
           reference=each(shallow.add_bias_activate, 3)) for kind in range(3)),
    Case("norm_rows", lambda rng: (values(rng), np.zeros((REPS, ROWS), np.float32)), rtol=1e-5, atol=1e-5,
         reference=each(shallow.norm_rows, 2)),
    Case("norm_columns", lambda rng: (values(rng), np.float32(0.3), normal(rng, REPS, 2, UNITS), np.zeros((REPS, UNITS), np.float32)),
         rtol=1e-5, atol=1e-5, reference=normed_columns),
    Case("norm_by", lambda rng: (abs(normal(rng, REPS, 2, UNITS)), values(rng)), rtol=1e-5, atol=1e-5, reference=each(shallow.norm_by, 2)),
    *(Case("scale_activate", lambda rng, kind=kind: (kind, units(rng), units(rng), values(rng), np.zeros((REPS, ROWS, UNITS), np.float32),
                                                     slopes(kind)),
           rtol=1e-5, atol=1e-5, reference=each(shallow.scale_activate, 5)) for kind in range(3)),
    Case("norm_sums", lambda rng: (values(rng), values(rng), *np.zeros((2, REPS, UNITS), np.float32)), rtol=1e-5, atol=1e-5,
         reference=each(shallow.norm_sums, 4)),
    Case("norm_rows_back", lambda rng: (values(rng), units(rng), normal(rng, REPS, ROWS), values(rng)), rtol=1e-5, atol=1e-5,
         reference=each(shallow.norm_rows_back, 4)),
    Case("norm_columns_back", lambda rng: (values(rng), *(units(rng) for _ in range(4)), values(rng)), rtol=1e-5, atol=1e-5,
         reference=each(shallow.norm_columns_back, 6)),
    gain_case(OPTIMIZERS[0]), gain_case(OPTIMIZERS[1]),
    *(Case("block", lambda rng, kind=kind: (np.maximum(values(rng), 0), values(rng) if kind else slopes(0), values(rng)),
           reference=each(shallow.block, 3)) for kind in range(2)),
    Case("drop", lambda rng: (words(rng, REPS, 2, 2), 1, 0, np.uint64(2**31), np.float32(2.0), values(rng)), reference=dropped),
    loss_case(False), loss_case(True),
    *(layer_case(opt) for opt in OPTIMIZERS),
    row_case(OPTIMIZERS[0]), row_case(OPTIMIZERS[1]),
]
