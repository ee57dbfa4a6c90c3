"""Hashing of every kind of column, murmur3 of 128 bits, oracles of other packages, and defects of peers by name."""
import struct

import numba
import numpy as np
import pytest
from containers import containers
from hypothesis import example, given
from hypothesis import strategies as st
from naive import hashing as naive
from scipy.stats import binom, chi2
from strategies import SEEDS

from sketchxc import hashing

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(st.binary(max_size=300), SEEDS)
def test_murmur3_128_twin(data, seed):
    assert hashing.murmur3_128(data, seed) == naive.murmur3_128(data, seed)


def test_murmur3_128_published_values():
    for data, digest in ((b"", "0" * 32), (b"a", "897859f6655555855a890e51483ab5e6"), (b"abc", "6778ad3f3f3f96b4522dca264174a23b"),
                         (b"sketch", "4d03b51e6fd7af597fcf6c1716b0a9a5")):
        assert hashing.murmur3_128(data).to_bytes(16, "little").hex() == digest
    parts = b"".join(hashing.murmur3_128(bytes(range(n)), 256 - n).to_bytes(16, "little") for n in range(256))
    assert hashing.murmur3_128(parts) & 0xFFFFFFFF == 0x6384BA69  # the verification value of SMHasher


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 9))
@example(b"\0", 0, 0, 1)
@example(b"\0" * 33, 2**32 - 1, 2**64 - 1, 3)
def test_other_packages_agree(data, seed, wide, skip):
    mmh3, xxhash = pytest.importorskip("mmh3"), pytest.importorskip("xxhash")
    utils = pytest.importorskip("sklearn.utils")
    assert hashing.murmur3(data, seed) == mmh3.hash(data, seed, signed=False) == utils.murmurhash3_32(data, seed, positive=True)
    assert hashing.murmur3_128(data, seed) == mmh3.hash128(data, seed)
    assert hashing.hash_bytes(data, wide) == xxhash.xxh64_intdigest(data, wide)
    part = memoryview(b"x" * skip + data)[skip:]  # any alignment
    assert hashing.hash_bytes(part, wide) == hashing.hash_bytes(data, wide)
    offsets = np.array([skip, skip + len(data)])
    assert hashing.hash_strings((b"x" * skip + data, offsets), wide)[0] == xxhash.xxh64_intdigest(data, wide)
    low, high = hashing.murmur3_128_strings((b"x" * skip + data, offsets), seed)[0].tolist()
    assert low | high << 64 == mmh3.hash128(data, seed)


@given(st.lists(TEXT, max_size=6), st.integers(0, 2**32 - 1))
@example(["a\0b", "\0", "😀", "\U0010ffff", "naïve", ""], 7)
def test_other_packages_agree_on_texts(texts, seed):
    mmh3, xxhash = pytest.importorskip("mmh3"), pytest.importorskip("xxhash")
    for name, container in containers(texts):
        assert hashing.hash_keys(container, seed).tolist() == [xxhash.xxh64_intdigest(text.encode(), seed) for text in texts], name
        found = hashing.murmur3_128_strings(container, seed)
        assert found.shape == (len(texts), 2) and found.dtype == np.uint64, name
        assert [low | high << 64 for low, high in found.tolist()] == [mmh3.hash128(text.encode(), seed) for text in texts], name


@given(st.lists(st.floats(width=64), max_size=9), SEEDS)
@example([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 5e-324], 0)
def test_floats_twin(values, seed):
    found = hashing.hash_keys(np.array(values, np.float64), seed)
    assert found.tolist() == [naive.mix(naive.float_key(value), seed) for value in values] == hashing.hash_keys(values, seed).tolist()


@given(st.lists(st.floats(width=16), max_size=9), SEEDS)
def test_floats_of_any_width_agree(values, seed):
    wanted = hashing.hash_keys(np.array(values, np.float64), seed).tolist()
    for dtype in (np.float16, np.float32, ">f8", ">f4"):
        assert hashing.hash_keys(np.array(values, np.float64).astype(dtype), seed).tolist() == wanted


def test_both_zeros_are_one_and_all_nan_are_one():
    odd = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF0000000000001, 0xFFF8000000000000, 0x7FFFFFFFFFFFFFFF)]
    assert len(set(hashing.hash_keys(np.array(odd + [np.nan])).tolist())) == 1
    assert len(set(hashing.hash_keys(np.array([0.0, -0.0])).tolist())) == 1
    assert len(set(hashing.hash_keys(np.array([np.inf, -np.inf, np.nan, 0.0, 1.0, -1.0])).tolist())) == 6


@given(st.lists(st.integers(-2**63, 2**63 - 1), max_size=9), SEEDS)
def test_integers_and_booleans(keys, seed):
    assert hashing.hash_keys(keys, seed).tolist() == [naive.mix(key % 2**64, seed) for key in keys]
    small = [key % 100 for key in keys]
    for dtype in (np.int8, np.uint8, np.int16, np.uint32, np.uint64, ">i8"):
        assert hashing.hash_keys(np.array(small, dtype), seed).tolist() == [naive.mix(key, seed) for key in small]
    flags = [key % 2 == 1 for key in keys]
    for values in (flags, np.array(flags, bool)):
        assert hashing.hash_keys(values, seed).tolist() == [naive.mix(int(flag), seed) for flag in flags]


def test_shapes_and_empty_ones():
    assert hashing.hash_keys([]).shape == (0,) and hashing.hash_keys(np.zeros((2, 3), np.float32)).shape == (2, 3)
    assert hashing.hash_keys(np.arange(6.0)[::2]).tolist() == hashing.hash_keys([0.0, 2.0, 4.0]).tolist()
    keys = np.arange(5)
    out = np.empty(5, np.uint64)
    assert hashing.mix(keys, 3, out=out) is out and out.tolist() == hashing.mix(keys, 3).tolist()


def test_pandas_columns():
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    texts = ["a", "naïve", "", "😀", "\0"]
    for dtype in ("string[pyarrow]", "string[python]", "str", object):
        assert hashing.hash_keys(pandas.Series(texts, dtype=dtype)).tolist() == naive.hash_strings(texts)
    assert hashing.hash_keys(pandas.Series([1.5, 2.5])).tolist() == hashing.hash_keys([1.5, 2.5]).tolist()
    assert hashing.hash_keys(pandas.Series([1, 2], dtype="int32")).tolist() == hashing.mix([1, 2]).tolist()
    with pytest.raises(TypeError):
        hashing.hash_keys(pandas.Series(["a", None], dtype="string[pyarrow]"))


@pytest.mark.parametrize("values", [["a", "\ud800"], np.array(["a", "\ud800"]), ("a", "\udfff")])
def test_lone_surrogates_raise(values):
    for function in (hashing.hash_keys, hashing.hash_strings, hashing.murmur3_strings, hashing.murmur3_128_strings):
        with pytest.raises(ValueError, match=r"texts\[1\] must be valid Unicode"):
            function(values)


def test_pandas_hash_array_key_zero_moves_with_the_seed():
    for zero in (np.array([0]), np.array([0.0]), np.array([False]), [""]):
        assert len({int(hashing.hash_keys(zero, seed)[0]) for seed in range(200)}) == 200


def test_feature_hasher_integer_names_and_any_seed():
    assert hashing.hash_keys([5, 6], -2**63)[0] != hashing.hash_keys([5, 6], 2**64 - 1)[0]


def test_quotients_are_exact_beyond_float32():
    """dlrm: a float32 quotient is wrong for half of the ids of 200 M. Buckets never leave their range, up to the last key."""
    for width in (1, 3, 1000, 2**24 + 1, 2**31 - 1):
        keys = np.array([0, 2**24, 2**24 + 1, 2**40, 2**40 + 1, 2**63 - 1, -1])
        found = hashing.buckets(keys, hashing.seeds(3, 1), width)
        assert found.tolist() == naive.buckets([key % 2**64 for key in keys.tolist()], naive.seeds(3, 1), width)


def size(full):
    return full if not numba.config.DISABLE_JIT else 300


@pytest.mark.slow
@pytest.mark.parametrize("keys", [np.arange(4096) << shift for shift in (0, 8, 16, 32, 40, 48)] + [
    np.arange(4096) * 1000, np.arange(4096) * (2**31 - 1), 1_600_000_000 + 86_400 * np.arange(4096)])
def test_spark_integer_hash_strided_keys_spread(keys):
    """One cell of each of many seeds holds a binomial number of the keys (Spark, stream-lib, algebird: all of stride 2^48 in one)."""
    width, trials = 1024, 200
    total = sum(int((hashing.buckets(keys, hashing.seeds(1, seed), width)[0] == seed % width).sum()) for seed in range(trials))
    mean = trials * keys.size
    assert 2 * min(binom.sf(total - 1, mean, 1 / width), binom.cdf(total, mean, 1 / width)) > 1e-9


@pytest.mark.slow
def test_feature_hasher_sign_does_not_depend_on_the_bucket():
    """scikit-learn takes both from one 32-bit hash; the chi-square of the table of bucket and sign is that of independence."""
    keys, width = np.arange(size(200_000)), 64
    for seed in range(20):
        row = hashing.seeds(1, seed)
        table = np.zeros((width, 2))
        np.add.at(table, (hashing.buckets(keys, row, width)[0], (hashing.signs(keys, row)[0] > 0).astype(int)), 1)
        expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / keys.size
        assert chi2.sf(((table - expected) ** 2 / expected).sum(), width - 1) > 1e-9


@pytest.mark.parametrize("call, error, message", [
    (lambda: hashing.hash_keys("abc"), TypeError, "texts must be a list or an array of strings, not str"),
    (lambda: hashing.hash_keys([1, "a"]), TypeError, r"texts\[0\] must be str or bytes, not int"),
    (lambda: hashing.hash_keys(["a", None]), TypeError, r"texts\[1\] must be str or bytes, not NoneType"),
    (lambda: hashing.hash_keys([None]), TypeError, "values must hold integers, floats"),
    (lambda: hashing.hash_keys([1j]), TypeError, "booleans or texts, not complex128"),
    (lambda: hashing.hash_keys([2**63, -1]), TypeError, "values must hold integers"),
    (lambda: hashing.hash_keys([2**64]), TypeError, "values must hold integers"),
    (lambda: hashing.hash_keys(np.array([1], "M8[s]")), TypeError, "values must hold integers"),
    (lambda: hashing.hash_keys(np.array([1, None])), TypeError, r"texts\[0\] must be str or bytes"),
    (lambda: hashing.hash_keys([0.5], 0.5), TypeError, "seed must be an integer"),
    (lambda: hashing.murmur3_128("a"), TypeError, "data must be bytes"),
    (lambda: hashing.mix([1], out=np.empty(2, np.uint64)), ValueError, r"out must be a writable C-contiguous uint64 array of shape \(1,\)"),
    (lambda: hashing.mix([1], out=np.empty(1)), ValueError, "out must be"),
    (lambda: hashing.mix([1, 2], out=np.empty(4, np.uint64)[::2]), ValueError, "out must be"),
    (lambda: hashing.mix([1], out=[0]), ValueError, "out must be"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_loops_of_threads_give_what_one_thread_gives(monkeypatch):
    keys, seeds = np.arange(-20, 20), hashing.seeds(3, 1)

    def all_hashes():
        return (hashing.mix(keys, 5), hashing.hash_keys(keys / 3, 5), hashing.buckets(keys, seeds, 100), hashing.signs(keys, seeds))
    alone = all_hashes()
    monkeypatch.setattr(hashing, "_FEW_KEYS", 0)
    assert all(map(np.array_equal, alone, all_hashes()))
