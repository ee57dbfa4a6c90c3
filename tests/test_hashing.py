"""Hashing: known answers, plain-Python twin, oracles, containers, bad input."""
import csv
import pathlib

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from containers import containers
from naive import hashing as naive
from strategies import SEEDS

from sketchxc import hashing

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # uint64 wraps when kernels run as Python
VECTORS = pathlib.Path(__file__).parent / "vectors"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def vectors(name):
    with open(VECTORS / f"{name}.csv", newline="") as file:
        return [(row["input"], int(row["seed"]), int(row["output"], 16)) for row in csv.DictReader(file)]


def smhasher(function):
    """Verification value of the SMHasher suite: hashes of {}, {0}, {0, 1}, ... with seed 256 - length, hashed together."""
    width = 4 if function is hashing.murmur3 else 8
    parts = b"".join(int(function(bytes(range(length)), 256 - length)).to_bytes(width, "little") for length in range(256))
    return int(function(parts, 0)) & 0xFFFFFFFF


def test_known_hashes_of_bytes():
    for data, seed, wanted in vectors("xxh64"):
        assert hashing.hash_bytes(bytes.fromhex(data), seed) == wanted
    for data, seed, wanted in vectors("murmur3_32"):
        assert hashing.murmur3(bytes.fromhex(data), seed) == wanted


def test_known_hashes_of_keys():
    for key, seed, wanted in vectors("mix64"):
        assert hashing.mix(np.array([key], np.uint64), seed).tolist() == [wanted]


def test_known_seeds():
    rows = vectors("splitmix64")
    for seed in {seed for _, seed, _ in rows}:
        wanted = [output for _, s, output in rows if s == seed]
        assert hashing.seeds(len(wanted), seed).tolist() == wanted


def test_published_values():
    assert hashing.mix(np.array([0, 1, 2, 2**63, 2**64 - 1], np.uint64)).tolist() == [
        0, 0xB456BCFC34C2CB2C, 0x3ABF2A20650683E7, 0x8F780810AF31A493, 0x64B5720B4B825F21]
    assert hashing.seeds(2, 1234567).tolist() == [0x599ED017FB08FC85, 0x2C73F08458540FA5]
    assert hashing.buckets(range(5), hashing.seeds(2, 0), 1000).tolist() == [[579, 197, 597, 991, 726], [535, 746, 339, 85, 546]]
    assert ["".join("-+"[int(s > 0)] for s in row) for row in hashing.signs(range(8), hashing.seeds(2, 0))] == ["-+--+--+", "--++++++"]
    assert hashing.hash_bytes("naïve".encode()) == 0xC07351DC8A26AFE6
    assert hashing.murmur3((-1).to_bytes(8, "little", signed=True), 42) == 0xC8008529


def test_smhasher_verification():
    assert smhasher(hashing.murmur3) == 0xB0F57EE3
    assert smhasher(hashing.hash_bytes) == 0x024B7CF4


def test_official_mach_buckets():
    wanted = [[9054, 4522, 2463, 9505, 9975, 8494], [6445, 1156, 7948, 5673, 1879, 8432]]
    assert hashing.official_buckets(range(6), 2, 10_000).tolist() == wanted


@given(st.lists(st.integers(-2**31, 2**31 - 1), max_size=9), st.integers(0, 3), st.integers(1, 2**31 - 1))
def test_official_mach_buckets_twin(labels, repetitions, width):
    found = hashing.official_buckets(labels, repetitions, width)
    assert found.dtype == np.int32 and found.tolist() == naive.official_buckets(labels, repetitions, width)


@given(st.binary(max_size=300), SEEDS)
def test_bytes_twin(data, seed):
    assert hashing.hash_bytes(data, seed) == naive.hash_bytes(data, seed)
    assert hashing.murmur3(data, seed % 2**32) == naive.murmur3(data, seed % 2**32)


def test_oracles_at_every_length():
    mmh3, xxhash = pytest.importorskip("mmh3"), pytest.importorskip("xxhash")
    data = np.random.default_rng(5).integers(0, 256, 310, np.uint8)
    for length in range(301):
        part, seed = data[length % 9:length % 9 + length], hashing.seeds(1, length)[0]
        assert hashing.hash_bytes(part, seed) == xxhash.xxh64_intdigest(part.tobytes(), int(seed))
        assert hashing.murmur3(part, int(seed) >> 32) == mmh3.hash(part.tobytes(), int(seed) >> 32, signed=False)


def test_spans_of_every_length_and_place():
    data = np.random.default_rng(6).integers(0, 256, 700, np.uint8)
    offsets = np.concatenate([[0], np.cumsum(np.arange(37))])
    for end in (data.size, offsets[-1]):  # the last text in the middle of the buffer, and at its end
        wanted = [data[a:b].tobytes() for a, b in zip(offsets[:-1], offsets[1:])]
        assert hashing.hash_strings((data[:end], offsets), 3).tolist() == naive.hash_strings(wanted, 3)
        assert hashing.murmur3_strings((data[:end], offsets), 3).tolist() == [naive.murmur3(text, 3) for text in wanted]


@given(st.lists(st.integers(-2**63, 2**63 - 1), max_size=9), st.lists(SEEDS, max_size=3), st.integers(1, 2**31 - 1))
def test_keys_twin(keys, seeds, width):
    unsigned, seeds = [key % 2**64 for key in keys], [seed % 2**64 for seed in seeds]
    given_keys, given_seeds = np.array(keys, np.int64), np.array(seeds, np.uint64)
    assert hashing.buckets(given_keys, given_seeds, width).tolist() == naive.buckets(unsigned, seeds, width)
    assert hashing.signs(given_keys, given_seeds).tolist() == naive.signs(unsigned, seeds)
    for seed in seeds:
        assert hashing.mix(given_keys, seed).tolist() == [naive.mix(key, seed) for key in unsigned]


@given(st.integers(0, 50), SEEDS)
def test_seeds_twin(n, seed):
    assert hashing.seeds(n, seed).tolist() == naive.seeds(n, seed)


def test_blocks_of_keys():
    keys = np.arange(40_000 if not _interpreted() else 300)
    assert (hashing.buckets(keys, hashing.seeds(3, 1), 97)[1] == naive.buckets(keys.tolist(), naive.seeds(3, 1)[1:2], 97)[0]).all()
    assert (hashing.signs(keys, hashing.seeds(3, 1))[2, -5:] == naive.signs(keys[-5:].tolist(), naive.seeds(3, 1)[2:])[0]).all()


def _interpreted():
    return bool(numba.config.DISABLE_JIT)


def test_any_width_of_key_and_any_shape():
    for dtype in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64, ">i4"):
        assert hashing.mix(np.array([[1, 2], [3, 100]], dtype), 9).tolist() == hashing.mix([[1, 2], [3, 100]], 9).tolist()
    assert hashing.mix(np.int8([-1]), 9) == hashing.mix(np.array([2**64 - 1], np.uint64), 9)
    assert hashing.mix(np.arange(20)[::3]).tolist() == hashing.mix([0, 3, 6, 9, 12, 15, 18]).tolist()
    assert hashing.mix([]).shape == (0,) and hashing.buckets([], hashing.seeds(2, 0), 5).shape == (2, 0)


def test_key_zero_moves_with_the_seed():
    assert len({int(hashing.mix([0], seed)[0]) for seed in range(100)}) == 100


def test_sign_does_not_depend_on_bucket():
    keys, row = np.arange(3000), hashing.seeds(1, 4)
    buckets, signs = hashing.buckets(keys, row, 10)[0], hashing.signs(keys, row)[0]
    for bucket in range(10):
        assert abs(signs[buckets == bucket].sum()) < 6 * np.sqrt((buckets == bucket).sum())


@given(st.lists(TEXT, max_size=6), SEEDS)
def test_containers_agree(texts, seed):
    wanted = naive.hash_strings(texts, seed)
    for name, container in containers(texts):
        found = hashing.hash_strings(container, seed)
        assert found.dtype == np.uint64 and found.tolist() == wanted, name
        assert hashing.murmur3_strings(container, 7).tolist() == [naive.murmur3(text.encode(), 7) for text in texts], name


def test_lists_of_every_length_and_past_one_task():
    rng = np.random.default_rng(8)
    lengths = list(range(301)) + rng.integers(0, 40, 3000 if not _interpreted() else 10).tolist()
    data = [bytes(rng.integers(0, 128, length, np.uint8)) for length in lengths]  # ASCII, with NULs
    wanted = naive.hash_strings(data, 5)
    assert hashing.hash_strings([part.decode() for part in data], 5).tolist() == wanted
    assert hashing.hash_strings(data, 5).tolist() == wanted


def test_a_list_stops_at_its_first_bad_text():
    class Text(str):
        """A subclass is a str."""
    assert hashing.hash_strings(["é", Text("b"), b"c"]).tolist() == naive.hash_strings(["é", "b", "c"])
    for bad, error in ((None, TypeError), (5, TypeError), ("\ud800", ValueError)):
        for place in (0, 1, 2):
            texts = ["a", "b"]
            texts.insert(place, bad)
            with pytest.raises(error, match=rf"texts\[{place}\]"):
                hashing.hash_strings(texts)


def test_borders_of_utf8():
    texts = [chr(code) + "x" for code in (1, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF)]
    for name, container in containers(texts):
        assert hashing.hash_strings(container).tolist() == naive.hash_strings(texts), name


def test_any_number_of_threads_gives_the_same_bits():
    keys = np.arange(2**18 + 5 if not _interpreted() else 50)
    texts = np.array([f"text {i}" for i in range(2**14 + 5 if not _interpreted() else 50)])
    threads = numba.get_num_threads()
    found = hashing.mix(keys), hashing.buckets(keys, [1, 2], 9), hashing.hash_strings(texts), hashing.hash_strings(texts.tolist())
    numba.set_num_threads(1)
    try:
        alone = hashing.mix(keys), hashing.buckets(keys, [1, 2], 9), hashing.hash_strings(texts), hashing.hash_strings(texts.tolist())
    finally:
        numba.set_num_threads(threads)
    for one, other in zip(found, alone):
        assert np.array_equal(one, other)


def test_small_inputs_leave_the_number_of_threads():
    threads = numba.get_num_threads()
    with pytest.raises(TypeError):
        hashing.hash_strings(["a", 1])
    hashing.mix([1])
    assert numba.get_num_threads() == threads


def test_pandas_series():
    pandas = pytest.importorskip("pandas")
    texts = ["a", "naïve", "", "😀"]
    for dtype in (object, "str", "string"):
        assert hashing.hash_strings(pandas.Series(texts, dtype=dtype, index=[3, 1, 2, 0])).tolist() == naive.hash_strings(texts)
    with pytest.raises(ValueError, match=r"texts must have 1 axis, not shape \(4, 1\)"):
        hashing.hash_strings(pandas.DataFrame({"a": texts}))
    with pytest.raises(TypeError, match=r"texts\[1\] must be str or bytes, not float"):
        hashing.hash_strings(pandas.Series(["a", None], dtype="str"))


def test_blocks_of_texts(monkeypatch):
    monkeypatch.setattr(hashing._strings, "BLOCK", 3)
    texts = ["é", "b", "", "d", "ee", "日本", "g"]
    assert hashing.hash_strings(texts).tolist() == naive.hash_strings(texts)
    with pytest.raises(TypeError, match=r"texts\[7\] must be str or bytes, not int"):
        hashing.hash_strings(texts + [5])


@pytest.mark.parametrize("container", [list, tuple, lambda texts: np.array(texts, object), lambda texts: np.array(texts, np.str_)])
def test_lone_surrogates_are_an_error(container):
    with pytest.raises(ValueError, match=r"texts\[2\] must be valid Unicode"):
        hashing.hash_strings(container(["a", "b", "c\ud800", "\udfff"]))
    with pytest.raises(ValueError, match=r"texts\[0\] must be valid Unicode"):
        hashing.hash_strings(container(["\ud83d", "\ude00"]))  # the halves of one character, in two texts


@pytest.mark.parametrize("call, error, message", [
    (lambda: hashing.mix([0.5]), TypeError, "keys must hold integers, not float64"),
    (lambda: hashing.mix(np.array([], np.float64)), TypeError, "keys must hold integers, not float64"),
    (lambda: hashing.mix(["a"]), TypeError, "keys must hold integers"),
    (lambda: hashing.mix([1], 0.5), TypeError, "seed must be an integer, not float"),
    (lambda: hashing.mix([1], 2**64), ValueError, "seed must be between"),
    (lambda: hashing.mix([1], -2**63 - 1), ValueError, "seed must be between"),
    (lambda: hashing.seeds(-1, 0), ValueError, "n must be at least 0, not -1"),
    (lambda: hashing.buckets([1], [0.5], 3), TypeError, "seeds must hold integers"),
    (lambda: hashing.buckets([[1]], [1], 3), ValueError, r"keys must have 1 axis, not shape \(1, 1\)"),
    (lambda: hashing.buckets([1], [1], 0), ValueError, "width must be between 1 and 2147483647, not 0"),
    (lambda: hashing.buckets([1], [1], 2**31), ValueError, "width must be between"),
    (lambda: hashing.signs([1.5], [1]), TypeError, "keys must hold integers"),
    (lambda: hashing.official_buckets([2**31], 1, 3), ValueError, "labels must be between"),
    (lambda: hashing.official_buckets([0.0], 1, 3), TypeError, "labels must hold integers"),
    (lambda: hashing.hash_bytes("abc"), TypeError, "data must be bytes or another contiguous buffer, not str"),
    (lambda: hashing.hash_bytes(5), TypeError, "data must be bytes"),
    (lambda: hashing.murmur3(b"", 2**32), ValueError, "seed must be between"),
    (lambda: hashing.hash_strings("abc"), TypeError, "texts must be a list or an array of strings, not str"),
    (lambda: hashing.hash_strings(None), TypeError, "texts must be a list or an array of strings, not NoneType"),
    (lambda: hashing.hash_strings(["a", 1]), TypeError, r"texts\[1\] must be str or bytes, not int"),
    (lambda: hashing.hash_strings([b"a", bytearray(b"b")]), TypeError, r"texts\[1\] must be str or bytes, not bytearray"),
    (lambda: hashing.hash_strings(np.arange(3)), TypeError, "texts must hold strings, not int64"),
    (lambda: hashing.hash_strings(np.array([["a"]])), ValueError, r"texts must have 1 axis, not shape \(1, 1\)"),
    (lambda: hashing.hash_strings((b"abc", np.array([0, 4]))), ValueError, r"texts\[1\] must hold ascending offsets into the 3 bytes"),
    (lambda: hashing.hash_strings((b"abc", np.array([2, 1]))), ValueError, "ascending offsets"),
    (lambda: hashing.hash_strings((b"abc", np.array([-1, 1]))), ValueError, "ascending offsets"),
    (lambda: hashing.hash_strings((b"abc", np.array([], np.int64))), ValueError, "ascending offsets"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
