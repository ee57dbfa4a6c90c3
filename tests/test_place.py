"""Arrays on a device: public functions give there what they give on the host; mixed places and missing devices are told.

Most of it runs with NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1, in Numba's simulator.
"""
import types

import numba
import numpy as np
import pytest

import sketchxc
from sketchxc import _place, families, hashing, optim, rowsketch, sketch, sketchoptim, to_device, to_host
from twins import small_grids  # noqa: F401

simulated = pytest.mark.skipif(not (numba.config.ENABLE_CUDASIM and numba.config.DISABLE_JIT),
                               reason="needs NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1")
grids = pytest.mark.usefixtures("small_grids")
KEYS = np.array([0, 1, -1, 2**62, -2**63, 7], np.int64)


def same(function, *arrays, **options):
    """The same result from arrays on the host and on a device, where it stays."""
    wanted, found = function(*arrays, **options), function(*to_device(arrays), **options)
    assert _place.on_device(found) and not _place.on_device(wanted)
    found = to_host(found)
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    np.testing.assert_array_equal(found, wanted)


@simulated
@grids
@pytest.mark.parametrize("keys", [KEYS, KEYS.view(np.uint64), KEYS[:0], KEYS.astype(np.int32), np.arange(6, dtype=np.uint8),
                                  np.arange(6, dtype=np.int16).reshape(2, 3)], ids=lambda keys: f"{keys.dtype}{keys.shape}")
def test_integers(keys):
    same(hashing.mix, keys, seed=-3)
    same(hashing.hash_keys, keys, seed=4)
    if keys.ndim == 1:
        seeds = hashing.seeds(3, 1)
        same(lambda keys, seeds: hashing.buckets(keys, seeds, 1000), keys, seeds)
        same(hashing.signs, keys, seeds)


@simulated
@grids
def test_other_numbers():
    same(hashing.hash_keys, np.array([[0.5, -0.0], [np.nan, np.inf]]), seed=1)
    same(hashing.hash_keys, np.array([0.5, -0.0, np.nan], np.float32), seed=1)
    same(hashing.hash_keys, np.array([True, False]), seed=1)
    same(lambda labels: hashing.official_buckets(labels, 3, 97), np.array([0, -5, 2**31 - 1], np.int32))
    with pytest.raises(TypeError, match="labels must be int32"):
        hashing.official_buckets(to_device(KEYS), 3, 97)


@simulated
@grids
def test_out():
    keys, out = to_device((KEYS, np.zeros(6, np.uint64)))
    assert hashing.mix(keys, 5, out=out) is out
    np.testing.assert_array_equal(to_host(out), hashing.mix(KEYS, 5))
    with pytest.raises(ValueError, match="out must be a writable"):
        hashing.mix(keys, out=to_device(np.zeros(5, np.uint64)))
    with pytest.raises(TypeError, match="keys is on the device and out on the host"):
        hashing.mix(keys, out=np.zeros(6, np.uint64))


@simulated
@grids
def test_texts():
    data, offsets = np.frombuffer(b"abc" * 30 + b"x", np.uint8), np.array([0, 0, 1, 4, 40, 91])
    for function in (hashing.hash_strings, hashing.murmur3_strings, hashing.murmur3_128_strings):
        same(lambda *pair: function(pair, 7), data, offsets)
        same(lambda *pair: function(pair, 7), data[:0], offsets[:1])
    for bad in ([], [0, 92], [-1, 3], [3, 2]):
        with pytest.raises(ValueError, match="ascending offsets"):
            hashing.hash_strings(to_device((data, np.array(bad, np.int64))))
    with pytest.raises(TypeError, match=r"texts\[1\] is on the device and texts\[0\] on the host"):
        hashing.hash_strings((data, to_device(offsets)))


@simulated
@grids
@pytest.mark.parametrize("draw", [families.multiply_shift, lambda depth, seed: families.polynomial(depth, 4, seed), families.tabulation])
def test_families(draw):
    family = draw(2, 1)
    same(families.hashes, family, KEYS)
    same(families.buckets, family, KEYS, width=1000)
    if not isinstance(family, families.MultiplyShift):
        same(families.signs, family, KEYS)


def filled(make, depth, dtype, keys, counts, **options):
    """A sketch on the host and one on a device that got the same keys."""
    host, there = make(depth, 40, seed=1, dtype=dtype), to_device(make(depth, 40, seed=1, dtype=dtype))
    sketch.add(host, keys, counts, **options)
    assert sketch.add(there, *to_device((keys, counts)), **options) is None
    assert type(there) is type(host) and all(map(_place.on_device, there))
    for a, b in zip(host, to_host(there)):
        np.testing.assert_array_equal(a, b)
    return host, there


@simulated
@grids
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
def test_sketches(dtype):
    keys, counts = np.arange(-30, 30) % 25, np.arange(60)
    keys[0] = hashing.seeds(1, 1).view(np.int64)[0]
    for numbers in (None, counts.astype({np.int64: np.int16, np.int32: np.int64, np.float32: np.float32}[dtype])):
        for make, depth in ((sketch.count_min, 2), (sketch.count_sketch, 3), (sketch.count_sketch, 7)):
            host, there = filled(make, depth, dtype, keys, numbers)
            for how in (None, "mean_min") if make is sketch.count_min else (None,):
                found, wanted = to_host(sketch.estimate(there, to_device(keys), how)), sketch.estimate(host, keys, how)
                assert found.dtype == wanted.dtype
                np.testing.assert_allclose(found, wanted, rtol=1e-12 if how else 0)
            assert sketch.inner(there, there) == sketch.inner(host, host)
            host, there = sketch.merge(host, host), sketch.merge(there, there)
            for factor in (3, 0.3) if make is sketch.count_min or dtype == np.float32 else (3, -2):
                sketch.scale(host, factor)
                sketch.scale(there, factor)
            for a, b in zip(host, to_host(there)):
                np.testing.assert_array_equal(a, b)
    sketch.add(there, to_device(keys[:0]))
    assert sketch.estimate(there, to_device(keys[:0])).shape == (0,)


@simulated
@grids
def test_conservative_updates_on_a_device():
    """Equal keys count as one; between the true count and a plain addition, and as on the host where no two keys share a cell."""
    keys, counts = np.arange(60) % 25, np.arange(60)
    there, plain = to_device(sketch.count_min(2, 10, seed=1)), sketch.count_min(2, 10, seed=1)
    sketch.add(there, *to_device((keys, counts)), conservative=True)
    sketch.add(plain, keys, counts)
    found, true = to_host(sketch.estimate(there, to_device(keys))), np.bincount(keys, counts)[keys]
    assert (found >= true).all() and (found <= sketch.estimate(plain, keys)).all() and (to_host(there).table <= plain.table).all()
    assert to_host(there).total[0] == counts.sum()
    filled(sketch.count_min, 2, np.int64, np.array([1, 2, 1, 2, 1]), np.arange(5), conservative=True)


@simulated
@grids
def test_sketches_near_the_end_of_int32():
    keys, one = to_device(np.array([1, 2])), to_device(np.array([1]))
    host = sketch.count_min(2, 50, seed=0, dtype=np.int32)
    sketch.add(host, [1, 2], [2**31 - 4, 7])
    there = to_device(host)
    sketch.add(there, keys, to_device(np.array([2, 2**31 - 10])))
    assert to_host(sketch.estimate(there, keys)).tolist() == [2**31 - 2, 2**31 - 3]
    before = to_host(there)
    with pytest.raises(OverflowError, match="every cell within 2147483647"):
        sketch.add(there, one, to_device(np.array([2])))
    np.testing.assert_array_equal(to_host(there).table, before.table)
    with pytest.raises(OverflowError, match="keep the total below"):
        sketch.add(there, one, to_device(np.array([2**63 - 1])))
    for a in (there, before):
        with pytest.raises(OverflowError, match="every cell within 2147483647"):
            sketch.merge(a, a)
        with pytest.raises(OverflowError, match="factor must keep"):
            sketch.scale(a, 2)
    with pytest.raises(OverflowError, match="product is below"):
        big = to_device(sketch.CountMin(host.table, host.seeds, np.array([2**62])))
        sketch.inner(big, big)


@simulated
@grids
def test_bad_sketches():
    host, there, keys = sketch.count_min(2, 50, seed=0), to_device(sketch.count_min(2, 50, seed=0)), to_device(KEYS)
    for call, kind, message in [
            (lambda: sketch.add(there, KEYS), TypeError, "sketch is on the device and keys on the host"),
            (lambda: sketch.add(host, keys), TypeError, "keys is on the device and sketch on the host"),
            (lambda: sketch.add(there, keys, KEYS), TypeError, "sketch is on the device and counts on the host"),
            (lambda: sketch.add(there, keys, to_device(KEYS.view(np.uint64))), TypeError, "counts must be signed"),
            (lambda: sketch.add(there, keys, to_device(KEYS)), ValueError, "counts must not be negative"),
            (lambda: sketch.add(there, to_device(KEYS.reshape(2, 3))), ValueError, "1 axis"),
            (lambda: sketch.inner(there, host), TypeError, "a is on the device and b on the host"),
            (lambda: sketch.bounds(there, keys, 0.1), TypeError, "sketch must be on the host here"),
            (lambda: sketch.merge(there, host), TypeError, "a is on the device and b on the host"),
            (lambda: sketch.add(sketch.CountMin(there.table, host.seeds, host.total), keys), TypeError, "three NumPy arrays")]:
        with pytest.raises(kind, match=message):
            call()


@simulated
@grids
@pytest.mark.parametrize("signed", [False, True])
def test_row_sketches(signed):
    table, seeds, numbers = np.zeros((3, 40, 4), np.float32), hashing.seeds(3, 1), np.array([5, 900, 5])
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    there = to_device((table, seeds, numbers, values))
    rowsketch.row_add(table, seeds, numbers, values, signed=signed)
    rowsketch.row_add(*there, signed=signed)
    np.testing.assert_array_equal(to_host(there[0]), table)
    found = to_host(rowsketch.row_estimate(*there[:3], signed=signed))
    np.testing.assert_array_equal(found, rowsketch.row_estimate(table, seeds, numbers, signed=signed))
    with pytest.raises(TypeError, match="table is on the device and seeds on the host"):
        rowsketch.row_estimate(there[0], seeds, there[2], signed=signed)
    with pytest.raises(TypeError, match="table must be a float32 array"):
        rowsketch.row_add(there[1], *there[1:], signed=signed)


@simulated
@grids
@pytest.mark.parametrize("make, options", [
    (sketchoptim.sketched_slots, {"width": 3, "kind": "same", "factor": 0.5, "period": 2}), (sketchoptim.rank_one_slots, {}),
    (sketchoptim.sketched_slots, {"width": 3, "kind": "batch", "exact_m": True})])
def test_small_optimizer_states(make, options):
    opt, rng = optim.adam(0.1), np.random.default_rng(0)
    state, table = make(opt, (8, 3), **options), rng.normal(size=(8, 3)).astype(np.float32)
    own, other = to_device((state, table))
    assert sketchoptim.state_bytes(own) == sketchoptim.state_bytes(state)
    for rows in ([1, 4, 5], [0, 4]):
        rows, grads = np.array(rows), rng.normal(size=(len(rows), 3)).astype(np.float32)
        sketchoptim.step(opt, state, table, rows, grads)
        sketchoptim.step(opt, own, other, *to_device((rows, grads)))
    for a, b in zip((*state, table), to_host((*own, other))):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)
    with pytest.raises(TypeError, match="table is on the device and state.m on the host"):
        sketchoptim.step(opt, state, other, *to_device((rows, grads)))


@simulated
@grids
def test_moves():
    state = (families.tabulation(1, 1), 3, "text", None, (KEYS, KEYS, np.zeros((0, 4), np.float32)))
    there = to_device(state)
    assert type(there[0]) is families.Tabulation and there[1:4] == (3, "text", None)
    assert there[4][0] is there[4][1] and to_device(there)[4][0] is there[4][0]
    back = to_host(there)
    assert back[4][2].shape == (0, 4) and isinstance(back[0].tables, np.ndarray) and back[4][0] is not KEYS
    np.testing.assert_array_equal(back[4][0], KEYS)
    with pytest.raises(TypeError, match="state must hold numbers"):
        to_device(np.array(["a"]))


@simulated
@grids
def test_files_do_not_tell_the_place(tmp_path):
    host = sketchoptim.sketched_slots(optim.adam(), (9, 2), width=4)
    for name, state in (("a", host), ("b", to_device(host))):
        sketchxc.save(tmp_path / name, state)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@simulated
@grids
def test_bad_places(monkeypatch):
    keys = to_device(KEYS)
    with pytest.raises(TypeError, match="keys is on the device and seeds on the host: move one"):
        hashing.buckets(keys, hashing.seeds(2, 1), 10)
    with pytest.raises(TypeError, match="must hold integers, not float64"):
        hashing.mix(to_device(np.zeros(3)))
    with pytest.raises(ValueError, match="1 axis"):
        hashing.signs(to_device(KEYS.reshape(2, 3)), keys)
    with pytest.raises(ValueError, match="C-contiguous"):
        hashing.mix(keys[::2])
    with pytest.raises(TypeError, match="b must be on the host here"):
        sketchxc._check.array(keys, "b", np.int64, 1)
    with pytest.raises(TypeError, match="keys must be on the host here"):
        sketchxc._check.keys(keys)
    monkeypatch.setattr(_place.target(), "free_bytes", lambda: 40)
    with pytest.raises(MemoryError, match="needs 48 bytes, of which 40 are free"):
        to_device(KEYS)


@simulated
@grids
def test_arrays_of_other_libraries(monkeypatch):
    """Those of torch, for example, are taken into states as they are, without a copy; their memory is shared."""
    class Tensor:
        def __init__(self, own):
            self.own, self.__cuda_array_interface__ = own, {}
    target, own = _place.target(), to_device(np.zeros((3, 17), np.int64))
    as_before = target.array
    monkeypatch.setattr(target, "array", lambda value: value.own if isinstance(value, Tensor) else as_before(value))
    host = sketch.count_min(3, 17, seed=1)
    there = to_device(host._replace(table=Tensor(own)))
    assert there.table is own and type(there) is type(host)
    sketch.add(there, to_device(KEYS))
    sketch.add(host, KEYS)
    np.testing.assert_array_equal(to_host(own), host.table)


@simulated
@grids
def test_matmul():
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 4), np.float32)
    there = to_device((a, b, np.zeros((2, 4), np.float32)))
    _place.target().matmul(*there)
    np.testing.assert_array_equal(to_host(there[2]), a @ b)


class Elsewhere:
    """What the package sees of an array on a device."""
    __cuda_array_interface__ = {}
    dtype = np.dtype(np.int64)


def broken(monkeypatch, target):
    """The way to the device, with `target` instead of numba-cuda's module."""
    def load(name):
        if isinstance(target, Exception):
            raise target
        return target
    _place.target.cache_clear()
    monkeypatch.setattr(_place, "importlib", types.SimpleNamespace(import_module=load))


def test_no_device(monkeypatch):
    """A clear error, also where numba-cuda is not installed; the host's arrays work on."""
    class Target:
        problem = staticmethod(lambda: "no CUDA device was found")
    for target, message in [(ModuleNotFoundError("no numba.cuda"), "pip install 'sketchxc"), (Target, "no CUDA device was found")]:
        with monkeypatch.context() as patch:
            broken(patch, target)
            for call in (lambda: to_device(KEYS), lambda: to_host(Elsewhere()), lambda: hashing.mix(Elsewhere())):
                with pytest.raises(RuntimeError, match=message):
                    call()
            assert to_host((KEYS, 3))[0] is KEYS and hashing.mix(KEYS).shape == (6,)
        _place.target.cache_clear()


def test_a_column_without_grids(monkeypatch):
    """An array on a device where only the host has loops: told, instead of copied."""
    class Target:
        problem = staticmethod(lambda: None)

    def load(name):
        if name == "sketchxc._cuda._target":
            return Target
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    _place.target.cache_clear()
    monkeypatch.setattr(_place, "importlib", types.SimpleNamespace(import_module=load))
    from sketchxc._cpu import text
    with pytest.raises(TypeError, match="keys must be on the host here: .* nothing of text runs on a device"):
        _place.kernels(text, keys=Elsewhere())
    _place.target.cache_clear()
