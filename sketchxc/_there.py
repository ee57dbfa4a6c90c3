"""What the public functions do otherwise with arrays on a device: checks by kernels, and results whose size only the device knows."""
import numpy as np

from . import _check, _place
from ._cpu import decode as _decode
from ._cpu import embed as _embed
from ._cpu import optim as _optim
from ._cpu import rerank as _rerank
from ._cpu import sparse as _sparse

_BLOCKS = 4096  # of rows, each looked at by one thread


def number(array, place=0):
    """One number of a vector on the device: waits for all that is under way there."""
    return _place.to_host(array[place:place + 1])[0]


def indices(value, name):
    """Row numbers as int64 on the device; unsigned ones are taken as they are."""
    return _check.array(value, name, np.int64, 1, device=True)


def rows(x, name="x", check=True):
    """Rows on the device, checked there as `sparse` checks those on the host."""
    indptr, values = indices(x.indptr, f"{name}.indptr"), _check.array(x.values, f"{name}.values", np.float32, 1, kinds="iuf", device=True)
    columns = _check.array(x.indices, f"{name}.indices", np.int32, 1, device=True)
    run = _place.kernels(_sparse, **{f"{name}.indptr": indptr, f"{name}.indices": columns, f"{name}.values": values})
    if indptr.size == 0 or values.size != columns.size:
        raise ValueError(f"{name} must have row starts, and a column for each of the {values.size} values, not {columns.size} columns")
    x = x._replace(indptr=indptr, indices=columns, values=values, width=_check.integer(x.width, f"{name}.width", 0, 2**31 - 1))
    if check:
        starts(run, indptr, values.size, f"{name}.indptr")
        found = _place.zeros((min(_BLOCKS, indptr.size - 1), 4), np.int64, indptr)
        run.scan(indptr, columns, values, x.width, found)
        faults = _place.to_host(found)
        for code, row, place, _ in faults[faults[:, 0] > 0][:1]:
            column = number(columns, place)
            if code == 2:
                raise ValueError(f"{name} row {row} holds column {column}, which is outside the width {x.width}")
            raise ValueError(f"{name} row {row}, column {column}: the value must be finite in float32, not {number(values, place)}")
    return x


def starts(run, indptr, size, name):
    """ValueError unless row starts on the device ascend from 0 to `size`."""
    bad = _place.zeros(1, np.int64, indptr)
    run.check_starts(indptr, size, bad)
    if number(bad):
        raise ValueError(f"{name} must ascend from 0 to {size}")


def strays(ids, n):
    """Whether a vector on the device holds anything but 0 to n - 1."""
    bad = _place.zeros(1, np.int64, ids)
    _place.kernels(_embed, ids=ids).check_ids(ids, n, bad)
    return bool(number(bad))


def table(value, width=None, name="table"):
    """View of a float32 table with 2 axes, and `width` rows, on the device, never a converted copy."""
    found = _place.target().array(value)
    if found.dtype != np.float32 or found.ndim != 2 or not found.is_c_contiguous():
        raise TypeError(f"{name} must be a C-contiguous float32 array with 2 axes on a device, not {found.dtype} {tuple(found.shape)}")
    if width not in (None, found.shape[0]):
        raise ValueError(f"{name} must have {width} rows, not {found.shape[0]}")
    return found


def step_rows(table, wanted, grads):
    """Rows of a step as int64, all of them for None, and float32 gradients or None, on the device; errors as `optim.step` raises them."""
    run = _place.kernels(_optim, table=table, rows=wanted, grads=grads)
    if wanted is None:
        wanted = run.all_rows(table.shape[0])
    else:
        wanted = indices(wanted, "rows")
        bad = _place.zeros(1, np.int64, wanted)
        run.check_rows(wanted, table.shape[0], bad)
        if number(bad):
            raise ValueError(f"rows must be distinct and ascend within 0 to {table.shape[0] - 1}")
    if grads is not None:
        grads = _check.array(grads, "grads", np.float32, 2, kinds="f", device=True)
        if tuple(grads.shape) != (wanted.size, table.shape[1]):
            raise ValueError(f"grads must have shape {(wanted.size, table.shape[1])}, not {tuple(grads.shape)}")
    return wanted, grads


def count_up(n, like):
    """0, 1, ..., n - 1 as int64 on the device of `like`."""
    return _place.kernels(_optim, like=like).all_rows(n)


def lookups(keys, indptr, weights, how, seeds, table, check):
    """((keys, seeds) to hash by, (indptr, ids, values) of the lookups) of bags on the device, checked as in `embed.bag`; with seeds the
    ids are still to be written."""
    hashed, n_rows = seeds is not None, table.shape[0]
    run = _place.kernels(_embed, table=table, keys=keys, indptr=indptr, weights=weights, seeds=seeds)
    keys = _check.keys(keys, device=True) if hashed else indices(keys, "keys")
    seeds = _check.keys(seeds, "seeds", device=True) if hashed else None
    each = seeds.size if hashed else 1
    if keys.ndim != 1 or (hashed and seeds.ndim != 1) or each == 0 or keys.size * each > 2**31 - 1:
        raise ValueError(f"keys and seeds must have 1 axis and make less than 2**31 lookups, not {keys.size} x {each}")
    _check.choice(how, "how", ("sum", "mean"))
    if how == "mean" and weights is not None:
        raise ValueError("weights must be None for a mean")
    indptr = count_up(keys.size + 1, keys) if indptr is None else indices(indptr, "indptr")
    if check:
        starts(_place.kernels(_sparse, indptr=indptr), indptr, keys.size, "indptr")
    if check and not hashed and strays(keys, n_rows):
        raise ValueError(f"keys must be row numbers of the table, 0 to {n_rows - 1}")
    bounds = _place.empty(indptr.size, np.int64, indptr)
    run.multiply(indptr, each, bounds)
    if weights is None:
        values = _place.empty(keys.size * each, np.float32, keys)
        run.shares(bounds, how == "mean", values)
    elif tuple(weights.shape) in ((keys.size, each), (keys.size,) if each == 1 else ()):
        values = _check.array(weights, "weights", np.float32, len(weights.shape), kinds="iuf", device=True).reshape(keys.size * each)
    else:
        raise ValueError(f"weights must have shape {(keys.size, each)}, one for each lookup, not {tuple(weights.shape)}")
    if hashed:
        return (keys, seeds), (bounds, _place.empty(keys.size * each, np.int32, keys), values)
    return (None, None), (bounds, _place.copied(keys, np.int32), values)


def coalesced(ids, grads):
    """Distinct ids, ascending, with the sums of their gradients, for arrays on the device."""
    ids, grads = indices(ids, "ids"), table(grads, name="grads")
    run = _place.kernels(_sparse, ids=ids, grads=grads)
    n = ids.size
    if grads.shape[0] != n:
        raise ValueError(f"grads must have one row for each of the {n} ids, not {grads.shape[0]}")
    if n == 0:
        return ids, grads
    distinct, bounds, order = _place.empty(n, np.int64, ids), _place.empty(n + 1, np.int64, ids), _place.empty(n, np.int32, ids)
    values = _place.empty(n, np.float32, ids)
    found = run.turned(count_up(n + 1, ids), ids, values, distinct, bounds, order, _place.empty(n, np.float32, ids))
    out = _place.empty((found, grads.shape[1]), np.float32, ids)
    run.segment_sums(order, bounds[:found + 1], grads, out)
    return distinct[:found], out


def labels(shortlist, n_labels, check=True):
    """With `check` ValueError unless a shortlist on the device holds labels, or -1 for none."""
    if not check or not shortlist.size:
        return
    run = _place.kernels(_decode, shortlist=shortlist)
    bad = _place.zeros(1, np.int64, shortlist)
    run.check_labels(shortlist.reshape(shortlist.size), -1, n_labels, bad)
    if number(bad):
        raise ValueError(f"shortlist must hold labels between -1 and {n_labels - 1}")


def crossed(run, crosses, seed, x, wide):
    """Rows on the device followed by their kept pairs. Two numbers go to the host: how large the rows may become, and have become."""
    n = x.indptr.size - 1
    room, starts = _place.empty(n + 1, np.int64, x.indptr), _place.zeros(n + 1, np.int64, x.indptr)
    run.rooms(x.indptr, crosses.top, room)
    _place.target().cumsum(room)
    indices, values = (_place.empty(number(room, n), kind, room) for kind in (np.int32, np.float32))
    run.cross_rows(*x[:3], crosses.cells, crosses.ranks, crosses.top, seed, crosses.bits, crosses.columns, room, indices, values,
                   starts[1:])
    _place.target().cumsum(starts)
    out = [_place.empty(number(starts, n), kind, room) for kind in (np.int32, np.float32)]
    run.close_gaps(room, starts, indices, values, *out)
    return x._replace(indptr=starts, indices=out[0], values=out[1], width=wide)


def unless_erased(shortlist, label_rows):
    """A shortlist without the labels whose number of rows is negative; on a device in place."""
    if not _place.on_device(shortlist):
        return np.where(label_rows[shortlist] < 0, np.int32(-1), shortlist)
    _place.kernels(_rerank, shortlist=shortlist, label_rows=label_rows).drop_erased(shortlist, label_rows)
    return shortlist


def answered(shortlist, parts, model, best, best_scores):
    """Fill in the best labels of shortlists on the device, and their scores, from what the parts of a Ranker say of them."""
    run = _place.kernels(_rerank, shortlist=shortlist, model=model.weights)
    scores = _place.zeros(shortlist.shape, np.float64, shortlist)
    for part, own in enumerate(parts):
        if own is not None:
            run.add_part(own[0], np.float32(own[1]), model.weights, part, shortlist, scores)
    if model.among:
        run.apart(scores, shortlist, model.among, model.shortlist)
    run.answers(scores, shortlist, model.calibration, model.gains, best, best_scores, _place.empty(best.shape, np.float32, best))


def hits(ranked, labels, k):
    """bool (n, k), whether a place of a ranking on the device is a hit, and int64 (n,), labels of each row: both on the host, after checks
    as in `metrics`."""
    run = _place.kernels(_sparse, ranked=ranked, labels=labels.indices)
    labels = rows(labels, "labels")
    n = ranked.shape[0]
    found, bad = _place.empty((n, k), np.bool_, ranked), _place.zeros(3, np.int64, ranked)
    run.hits(ranked, labels.indptr, labels.indices, labels.width, found, bad)
    bad = _place.to_host(bad) - 1
    for row, what in zip(bad.tolist(), (f"ranked row {{}} holds what is no label between -1 and {labels.width - 1}",
                                        f"ranked row {{}} holds a label twice among its first {k}", "labels row {} holds a label twice")):
        if row >= 0:
            raise ValueError(what.format(row))
    return _place.to_host(found), np.diff(_place.to_host(labels.indptr))
