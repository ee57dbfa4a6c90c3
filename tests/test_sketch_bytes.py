"""Sketches as bytes: golden bytes, round trips, pickles, and data that must be refused."""
import copy
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import hashing as naive_hashing
from naive import sketch as naive

from sketchxc import hashing, sketch, sketchbytes

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # uint64 wraps when kernels run as Python
GOLDEN = ("534b584301000001020000000000000003000000000000000700000000000000956eeb2f2632d7bd03f166b233e3ef2803000000000000000400000000000000"
          "0000000000000000040000000000000000000000000000000300000000000000385749be623ade35")


def example(dtype=np.int64, signed=False, depth=3, width=5):
    s = (sketch.count_sketch if signed else sketch.count_min)(depth, width, seed=9, dtype=dtype)
    sketch.add(s, [1, 2, 2**63 - 1], [5, 6, 7])
    return s


def same(a, b):
    return type(a) is type(b) and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a, b))


def sealed(body):
    """A body with the checksum that fits it."""
    return body + struct.pack("<Q", naive_hashing.hash_bytes(body))


@given(st.booleans(), st.sampled_from([np.int64, np.int32, np.float32]), st.integers(0, 3), st.integers(1, 20),
       st.integers(-2**63, 2**64 - 1), st.lists(st.tuples(st.integers(-2**63, 2**63 - 1), st.integers(0, 10**6)), max_size=20))
def test_round_trip(signed, dtype, half_depth, width, seed, stream):
    s = (sketch.count_sketch if signed else sketch.count_min)(2 * half_depth + 1, width, seed=seed, dtype=dtype)
    sketch.add(s, np.array([key for key, _ in stream], np.int64), np.array([count for _, count in stream], np.int64))
    data = sketchbytes.to_bytes(s)
    for found in (sketchbytes.from_bytes(data), sketchbytes.from_bytes(bytearray(data)), pickle.loads(pickle.dumps(s)), copy.copy(s)):
        assert same(found, s) and not np.shares_memory(found.table, s.table)
        assert all(part.flags.writeable and part.flags.aligned for part in found)
    if dtype != np.float32:
        assert data == naive.to_bytes(int(signed), int(dtype == np.int64), s.table.tolist(), s.seeds.tolist(), int(s.total[0]))


def test_golden_bytes():
    s = sketch.count_min(2, 3, seed=42)
    sketch.add(s, [1, 2], [3, 4])
    assert sketchbytes.to_bytes(s).hex() == GOLDEN
    assert same(sketchbytes.from_bytes(bytes.fromhex(GOLDEN)), s)


def test_pickle_holds_the_bytes():
    s = example()
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert same(pickle.loads(pickle.dumps(s, protocol)), s)
    assert sketchbytes.to_bytes(s) in pickle.dumps(s, 5)
    assert same(copy.deepcopy([s])[0], s)


def test_a_sketch_that_was_read_goes_on():
    s = sketchbytes.from_bytes(sketchbytes.to_bytes(example(signed=True)))
    sketch.add(s, [1], [-2])
    assert sketch.merge(s, example(signed=True)).total[0] == 18 + 2 + 18


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_every_flipped_bit_is_an_error(dtype):
    data = sketchbytes.to_bytes(example(dtype, depth=1, width=3))
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="data must"):
            sketchbytes.from_bytes(changed)


def test_every_cut_is_an_error():
    data = sketchbytes.to_bytes(example())
    for end in range(len(data)):
        with pytest.raises(ValueError, match="data must"):
            sketchbytes.from_bytes(data[:end])
    for more in (b"\0", b"\0" * 8, data):
        with pytest.raises(ValueError, match="data must have"):
            sketchbytes.from_bytes(data + more)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error(data):
    for head in (b"", b"SKXC\1\0", struct.pack("<4sHBB", b"SKXC", 1, 0, 1)):
        with pytest.raises(ValueError, match="data must"):
            sketchbytes.from_bytes(head + data)


@given(st.integers(0, 300), st.integers(0, 5), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**16 - 1))
def test_any_header_is_an_error_or_the_sketch(kind, code, depth, width, version):
    s = example(depth=2)
    body = bytearray(sketchbytes.to_bytes(s)[:-8])
    struct.pack_into("<HBBIIQ", body, 4, version, kind % 256, code, depth, 0, width)
    if (version, kind % 256, code, depth, width) != (1, 0, 1, 2, 5):
        with pytest.raises(ValueError, match="data must|depth must"):
            sketchbytes.from_bytes(sealed(bytes(body)))


def header(**fields):
    values = {"magic": b"SKXC", "version": 1, "kind": 0, "code": 1, "depth": 2, "zero": 0, "width": 3, "total": 7, **fields}
    return struct.pack("<4sHBBIIQq", *values.values())


@pytest.mark.parametrize("fields, message", [
    ({"magic": b"SKXD"}, "begin with b'SKXC', not b'SKXD'"),
    ({"version": 2}, "of version 1, which this release reads, not 2"),
    ({"version": 0}, "of version 1"),
    ({"kind": 2}, "header of a sketch, not kind 2"),
    ({"code": 3}, "header of a sketch, not kind 0, dtype 3"),
    ({"zero": 1}, "header of a sketch"),
    ({"depth": 0}, "header of a sketch"),
    ({"width": 0}, "header of a sketch"),
    ({"depth": 2**32 - 1, "width": 2**64 - 1}, "bytes for a sketch of depth 4294967295 and width 18446744073709551615"),
    ({"width": 2**61 + 3}, "bytes for a sketch of depth 2"),  # 8 * width wraps around to the right size in 64 bits
    ({"kind": 1}, None),
    ({"total": -1}, "total that is not negative"),
])
def test_headers(fields, message):
    body = header(**fields) + struct.pack("<2Q6q", 1, 2, 3, 0, 4, 0, 3, 4)
    with pytest.raises(ValueError, match=message or "depth must be odd"):
        sketchbytes.from_bytes(sealed(body))


@pytest.mark.parametrize("cells, total", [([0.0, np.nan], 1.0), ([np.inf, 0.0], 1.0), ([-1.0, 0.0], 1.0), ([1.0, 0.0], np.nan),
                                          ([1.0, 0.0], np.inf)])
def test_impossible_numbers_are_refused(cells, total):
    body = struct.pack("<4sHBBIIQdQ2f", b"SKXC", 1, 0, 2, 1, 0, 2, total, 5, *cells)
    with pytest.raises(ValueError, match="data must hold"):
        sketchbytes.from_bytes(sealed(body))


def test_too_deep_a_sketch_is_refused():
    body = struct.pack("<4sHBBIIQq", b"SKXC", 1, 0, 0, 256, 0, 1, 0) + bytes(256 * 12)
    with pytest.raises(ValueError, match="sketch must have"):
        sketchbytes.from_bytes(sealed(body))


@pytest.mark.parametrize("call, error, message", [
    (lambda: sketchbytes.from_bytes("abc"), TypeError, "data must be bytes or another contiguous buffer, not str"),
    (lambda: sketchbytes.from_bytes(None), TypeError, "data must be bytes"),
    (lambda: sketchbytes.from_bytes(b""), ValueError, "more than 40 bytes, not 0 bytes"),
    (lambda: sketchbytes.to_bytes([1]), TypeError, "sketch must be a CountMin or a CountSketch, not list"),
    (lambda: sketchbytes.to_bytes(sketch.CountMin(np.zeros((2, 3)), hashing.seeds(2, 0), np.zeros(1))), ValueError, "not float64"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_datasketches_any_seed_survives_the_round_trip():
    for seed in (123, 0, -1, 2**64 - 1):
        s = sketch.count_min(3, 50, seed=seed)
        sketch.add(s, [1, 1, 2])
        assert sketch.estimate(sketchbytes.from_bytes(sketchbytes.to_bytes(s)), [1, 2]).tolist() == sketch.estimate(s, [1, 2]).tolist()


def test_datasketches_cut_by_8_or_16_bytes_is_refused():
    data = sketchbytes.to_bytes(example())
    for cut in (8, 16):
        with pytest.raises(ValueError, match="data must have"):
            sketchbytes.from_bytes(data[:-cut])


def test_bounter_totals_keep_their_64_bits():
    s = sketch.count_min(1, 4, seed=0)
    sketch.add(s, [7], [3_000_000_000])
    found = pickle.loads(pickle.dumps(s))
    assert found.total[0] == 3_000_000_000 and sketch.estimate(found, [7])[0] == 3_000_000_000
