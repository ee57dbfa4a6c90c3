"""Grids of the optimizers: a weight with its moments belongs to one thread."""
import numpy as np

from .._scalar import optim as _scalar
from . import _target
from ._target import cuda, device, kernel, on_device

_device = on_device(_scalar)
softened, stepped = _device.softened, _device.stepped


@device
def descend(rule, hyper, gradient, weights, m, v, i, j):
    """One step of the rule on weights[i, j], which first loses the share hyper[6] and afterwards the amount hyper[7]; m and v have no
    columns where the rule has no such moment."""
    zero = np.float32(0.0)
    before_m = m[i, j] if m.shape[1] > 0 else zero
    before_v = v[i, j] if v.shape[1] > 0 else zero
    weight = weights[i, j]
    weight, after_m, after_v = stepped(rule, hyper, gradient, weight - hyper[6] * weight, before_m, before_v)
    weights[i, j] = softened(weight, hyper[7]) if hyper[7] != zero else weight
    if m.shape[1] > 0:
        m[i, j] = after_m
    if v.shape[1] > 0:
        v[i, j] = after_v


@device
def descend_bias(rule, hyper, gradient, weights, m, v, j):
    """One step of the rule, without decay and soft threshold, on weights[j]."""
    zero = np.float32(0.0)
    before_m = m[j] if m.size > 0 else zero
    before_v = v[j] if v.size > 0 else zero
    weights[j], after_m, after_v = stepped(rule, hyper, gradient, weights[j], before_m, before_v)
    if m.size > 0:
        m[j] = after_m
    if v.size > 0:
        v[j] = after_v


@kernel(lambda rule, hyper, rows, grads, blocks, table, m, v: (table.shape[1], rows.size))
def step(rule, hyper, rows, grads, blocks, table, m, v):
    """One step of the rule on the given, distinct table rows; one thread owns one weight, `blocks` is of no use here."""
    column, row = cuda.grid(2)
    columns, many = cuda.gridsize(2)
    for i in range(row, rows.size, many):
        for j in range(column, table.shape[1], columns):
            descend(rule, hyper, grads[i, j], table, m, v, rows[i], j)


def catch_up(rule, hypers, first, now, most, keep_m, keep_v, idle, rows, blocks, last, table, m, v):
    """Take the steps up to `now` that the given, distinct rows have missed, as the CPU's `catch_up` does."""
    _missed(rule, hypers, first, now, most, keep_m, keep_v, idle, rows, last, table, m, v)
    mark(rows, now, idle, last)


@kernel(lambda rule, hypers, first, now, most, keep_m, keep_v, idle, rows, last, table, m, v: (table.shape[1], rows.size))
def _missed(rule, hypers, first, now, most, keep_m, keep_v, idle, rows, last, table, m, v):
    """One thread owns one weight."""
    column, line = cuda.grid(2)
    columns, many = cuda.gridsize(2)
    one = np.float32(1.0)
    for i in range(line, rows.size, many):
        row = rows[i]
        begin = last[row] + 1
        if idle and begin == 1:
            continue
        stop = begin + most if begin + most < now + 1 else now + 1
        rest = np.float32(now + 1 - stop)
        hyper = hypers[hypers.shape[0] - 1]
        kept = (one - hyper[6])**rest
        limit = hyper[7] * ((one - kept) / hyper[6] if hyper[6] > np.float32(0.0) else rest)
        for j in range(column, table.shape[1], columns):
            for t in range(begin, stop):
                at = t - first if t - first < hypers.shape[0] else hypers.shape[0] - 1
                descend(rule, hypers[at], np.float32(0.0), table, m, v, row, j)
            if rest > np.float32(0.0):
                if m.shape[1] > 0:
                    m[row, j] *= keep_m**rest
                if v.shape[1] > 0:
                    v[row, j] *= keep_v**rest
                table[row, j] = softened(kept * table[row, j], limit)


@kernel(lambda rows, now, idle, last: rows.size)
def mark(rows, now, idle, last):
    """Set last[row] of the given rows, with `idle` not of those that are at 0; one thread owns one row."""
    for i in range(cuda.grid(1), rows.size, cuda.gridsize(1)):
        if not (idle and last[rows[i]] == 0):
            last[rows[i]] = now


@kernel(lambda rows, n, bad: rows.size)
def check_rows(rows, n, bad):
    """Set bad[0] unless the rows ascend and are within 0 to n - 1; only the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), rows.size, cuda.gridsize(1)):
        if rows[i] < 0 or rows[i] >= n or (i > 0 and rows[i] <= rows[i - 1]):
            bad[0] = 1


@kernel(lambda out: out.size)
def count_up(out):
    """Fill out with 0, 1, 2, ...; one thread owns one number."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = i


def all_rows(n):
    """The numbers of all rows of a table, int64 (n,)."""
    out = _target.empty(n, np.int64)
    count_up(out)
    return out
