"""Passes over rows that are on the device: the same bits as over rows of the host, in any chunks; what does not go together is told.

Runs with NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1.
"""
import numpy as np
import pytest
from twins import random_rows as rows
from twins import NEEDS, SIMULATED, small_blocks  # noqa: F401

if not SIMULATED:
    pytest.skip(NEEDS, allow_module_level=True)

from sketchxc import _batches, _place, fit, lookup, mach, optim, partition, shallow, sizing, sparse, to_device, to_host
from sketchxc._cuda import _target


def untrained(kind, **more):
    own = lookup.hashed(9, reps=2, buckets=3, seed=2)
    return mach.init(7, own, **more) if kind is mach else shallow.init(7, own, hidden=(2,), **more)


def data(rng, n=5):
    return rows(rng, n), sparse.rows([[] if i == 1 else sorted(rng.choice(9, 2, replace=False).tolist()) for i in range(n)], 9)


def arrays(*states):
    return _place._arrays(to_host(states))


@pytest.mark.parametrize("kind, chunk", [(mach, 1 << 20), (mach, 6), (shallow, 6)])
def test_a_pass_on_the_device(kind, chunk, monkeypatch):
    """Rows of the pass come twice or not at all; row 1 has no labels."""
    monkeypatch.setattr(_batches, "CHUNK", chunk)
    rng, opt = np.random.default_rng(20), optim.adam(0.1)
    x, labels = data(rng)
    order, results = np.array([3, 0, 1, 3, 2]), []
    for move in (lambda state: state, to_device):
        model = untrained(kind)
        own, state = to_device((model, kind.slots(opt, model)))
        more = {"dropout": 0.3} if kind is shallow else {}
        loss = kind.train(own, opt, state, *move((x, labels, order)), batch=2, last_lr=0.05, **more)
        results.append((loss, arrays(own, state)))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-12)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_chunks_there_are_those_of_the_host(monkeypatch):
    rng = np.random.default_rng(21)
    x, labels = data(rng, 12)
    for chunk, batch in ((1, 2), (9, 2), (20, 5), (1000, 3)):
        monkeypatch.setattr(_batches, "CHUNK", chunk)
        order = rng.integers(0, 12, 11)
        found = list(_batches.chunks_there(*to_device((x, labels, order)), batch))
        wanted = list(_batches.chunks(x, order, batch))
        assert len(found) == len(wanted) and (chunk < 1000 or len(found) == 1)
        for parts, part in zip(found, wanted):
            for own, a in zip((x, labels), parts):
                for one, other in zip(to_host(a), sparse.take(own, part)):
                    np.testing.assert_array_equal(one, other)
    assert list(_batches.chunks_there(*to_device((x, labels, order[:0])), 1)) == []


def test_rows_are_streamed_through_two_rooms(monkeypatch):
    """A room is written again only after the kernels that read it, and after an event behind them; memory grows with the largest part."""
    calls, copied = [], _target.copied_beside

    class Event:
        def __init__(self):
            self.number = sum(call[0] == "event" for call in calls)
            calls.append(("event", self.number))

        def record(self):
            calls.append(("record", self.number))

        def synchronize(self):
            calls.append(("wait", self.number))
    rooms = []

    def copy(arrays, room):
        rooms.extend([] if any(room is own for own in rooms) else [room])
        calls.append(("copy", [room is own for own in rooms].index(True)))
        return copied(arrays, room)
    monkeypatch.setattr(_target, "event", Event)
    monkeypatch.setattr(_target, "copied_beside", copy)
    parts = [(np.arange(n), np.full(n // 2, n, np.float32)) for n in (3, 1, 0, 7, 2)]
    found = []
    for own in _batches.streamed(iter(parts)):
        calls.append(("kernels",))
        found.append([to_host(array).copy() for array in own])
    for part, own in zip(parts, found, strict=True):
        for a, b in zip(part, own, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert calls[:2] == [("event", 0), ("event", 1)]
    assert calls[2:] == [call for i in range(5) for call in (("wait", i % 2), ("copy", i % 2), ("kernels",), ("record", i % 2))]


def test_an_empty_pass():
    x, labels = data(np.random.default_rng(22))
    model, opt = untrained(mach), optim.sgd(0.1)
    own, state = to_device((model, mach.slots(opt, model)))
    assert mach.train(own, opt, state, *to_device((x, labels, np.empty(0, np.int64)))) == 0.0


@pytest.mark.parametrize("kind", [mach, shallow])
def test_what_does_not_go_together(kind):
    x, labels = data(np.random.default_rng(23))
    order, opt = np.array([0, 4]), optim.sgd(0.1)
    model = untrained(kind)
    state = kind.slots(opt, model)
    (own, moments), (gone, targets, there) = to_device((model, state)), to_device((x, labels, order))
    dense = to_device(np.ones((5, 7), np.float32))
    for kind_of, message, arguments in [
            (TypeError, "x is on the device and labels on the host: move one", (gone, labels, there)),
            (TypeError, "x is on the device and order on the host", (gone, targets, order)),
            (TypeError, "order is on the device and x on the host", (x, labels, there)),
            (TypeError, "labels is on the device and x on the host", (x, targets, order)),
            (TypeError, "x is on the device and labels on the host", (gone._replace(values=x.values), labels, there)),
            (TypeError, "on the device and x.values on the host", (gone._replace(values=x.values), targets, there)),
            (TypeError, "x and labels must be Rows on a device, not", (dense, targets, there)),
            (TypeError, "order must hold integers, not float32", (gone, targets, to_device(np.zeros(2, np.float32)))),
            (ValueError, "order must have 1 axis", (gone, targets, to_device(order[:, None]))),
            (ValueError, "order must be C-contiguous", (gone, targets, to_device(np.arange(4))[::2])),
            (ValueError, "order must hold row numbers between 0 and 4", (gone, targets, to_device(np.array([0, 5])))),
            (ValueError, "order must hold row numbers between 0 and 4", (gone, targets, to_device(np.array([-1, 0])))),
            (ValueError, "x must have 7 columns as in training, not 8", (gone._replace(width=8), targets, there)),
            (ValueError, "labels row 0 holds column 1[0-9]", (gone, targets._replace(indices=to_device(labels.indices + 10)), there)),
            (ValueError, "labels must have as many rows as x, 5, not 3", (gone, to_device(sparse.rows([[0], [1], [2]], 9)), there))]:
        with pytest.raises(kind_of, match=message):
            kind.train(own, opt, moments, *arguments)
    with pytest.raises(TypeError, match="x is on the device and model on the host"):
        kind.train(model, opt, state, gone, targets, there)
    hashed = untrained(kind, width=5)
    own, moments = to_device((hashed, kind.slots(opt, hashed)))
    with pytest.raises(TypeError, match="x must be on the host for a model that is there or hashes its columns"):
        kind.train(own, opt, moments, gone, targets, there)
    with pytest.raises(TypeError, match="x and labels must be on the host here"):
        partition.repartition(model, gone, labels)


@pytest.mark.parametrize("free, width, resident", [(None, 0, True), (10**6, 0, True), (100, 0, False), (None, 5, False)])
def test_rows_move_once_if_they_fit(monkeypatch, free, width, resident):
    """They take at most half of what is free."""
    x, labels = data(np.random.default_rng(24))
    plan = sizing.plan(5, 7, 9, reps=2, buckets=3, epochs=1, batch=5, seed=1)._replace(width=width)
    model, seen = fit.untrained(plan, 7, 9), []
    before = fit._passes
    monkeypatch.setattr(fit, "_passes", lambda model, plan, opt, x, labels, *more: seen.append((x, labels)) or before(
        model, plan, opt, x, labels, *more))
    if free:
        monkeypatch.setattr(_place, "free", lambda like: free)
    fit.fit(model, plan, x, labels, device="cuda")
    assert [_place.on_device(array) for own in seen[0] for array in own[:3]] == [resident] * 6


def test_launches_of_a_chunk(monkeypatch):
    """To take the rows of a chunk and to transpose its batches takes as many grids for one batch as for two; sorts are not counted."""
    rng, opt, counted = np.random.default_rng(25), optim.sgd(0.1), []
    x, labels, order = to_device((*data(rng), np.arange(4)))
    model = untrained(mach)
    own, state = to_device((model, mach.slots(opt, model)))
    launch = _target.launch
    monkeypatch.setattr(_target, "launch", lambda *arguments: (counted.append(0), launch(*arguments)))
    runs = []
    for last in (2, 4):
        counted.clear()
        mach.train(own, opt, state, x, labels, order[:last], batch=2, check=False)
        runs.append(len(counted))
    assert runs[1] - runs[0] == 3
    assert runs[0] - 3 == 2 + 4 + 4 + 3 + 2  # order looked at, ends of batches, rows taken, batches transposed, losses
