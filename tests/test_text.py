"""Texts: plain-Python twin on any Unicode, containers, vocabularies, blocks, bad input."""
import numba
import numpy as np
import pytest
from containers import containers
from hypothesis import given
from hypothesis import strategies as st
from naive import hashing as naive_hashing
from naive import text as naive
from strategies import SEEDS

from sketchxc import hashing, text

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # uint64 wraps when kernels run as Python

FROZEN = 14408412015386935747
PIECES = st.sampled_from(["a", "b", "red", "Wine", "ΟΔΟΣ", "Σ", "ς", "İ", "ß", "ǅ", "naïve", "日本語", "𝟘", "😀", "é", "e\u0301", "٣", "²",
                          "_", "-", "#", " ", "\n", "\t", "\0", "'", "\u2028", "\u00ad", "."])
TEXT = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.lists(PIECES, max_size=12).map("".join))
TEXTS = st.lists(TEXT, max_size=5)
GRAMS = st.one_of(st.none(), st.tuples(st.integers(1, 4), st.integers(0, 2)).map(lambda pair: (pair[0], pair[0] + pair[1])))
KINDS = st.tuples(GRAMS, GRAMS).filter(any)


def pairs(rows):
    """Rows as lists of (column, count), after a look at their types."""
    assert (rows.indptr.dtype, rows.indices.dtype, rows.values.dtype) == (np.int64, np.int32, np.float32)
    assert rows.indptr[-1] == rows.indices.size == rows.values.size and type(rows.width) is int
    return [list(zip(rows.indices[a:b].tolist(), rows.values[a:b].tolist())) for a, b in zip(rows.indptr[:-1], rows.indptr[1:])]


def lists(indptr, keys):
    assert (indptr.dtype, keys.dtype) == (np.int64, np.uint64)
    return [keys[a:b].tolist() for a, b in zip(indptr[:-1], indptr[1:])]


@given(TEXTS, KINDS, SEEDS)
def test_token_keys_twin(texts, kinds, seed):
    words, chars = kinds
    assert lists(*text.token_keys(texts, words=words, chars=chars, seed=seed)) == naive.token_keys(texts, words, chars, seed)


@given(TEXTS, st.one_of(st.integers(1, 12), st.integers(1, 2**31 - 1)), KINDS, SEEDS, st.booleans())
def test_hash_texts_twin(texts, width, kinds, seed, signed):
    found = text.hash_texts(texts, width, words=kinds[0], chars=kinds[1], seed=seed, signed=signed)
    assert found.width == width
    assert pairs(found) == naive.hash_texts(texts, width, kinds[0], kinds[1], seed, signed)


@given(TEXTS, TEXTS, st.integers(0, 20), st.integers(0, 9), KINDS, SEEDS, st.integers(1, 2))
def test_vocabulary_and_lookup_twin(texts, others, size, bins, kinds, seed, min_rows):
    words, chars = kinds
    found = text.vocabulary(texts, size, words=words, chars=chars, seed=seed, min_rows=min_rows)
    assert found.dtype == np.uint64 and found.tolist() == naive.vocabulary(texts, size, words, chars, seed, min_rows)
    rows = text.lookup_texts(others, found, bins=bins, words=words, chars=chars, seed=seed)
    assert rows.width == found.size + bins
    assert pairs(rows) == naive.lookup_texts(others, found.tolist(), bins, words, chars, seed)


@given(TEXTS, SEEDS)
def test_containers_agree(texts, seed):
    wanted = pairs(text.hash_texts(texts, 1000, words=(1, 2), chars=(2, 3), seed=seed))
    for name, container in containers(texts):
        assert pairs(text.hash_texts(container, 1000, words=(1, 2), chars=(2, 3), seed=seed)) == wanted, name


def test_pandas_series():
    pandas = pytest.importorskip("pandas")
    texts = ["Red wine", "naïve", ""]
    for dtype in (object, "str", "string"):
        found = text.token_keys(pandas.Series(texts, dtype=dtype, index=[2, 0, 1]))
        assert lists(*found) == naive.token_keys(texts)


def test_letters_are_those_of_str_isalnum():
    bits = np.unpackbits(text._letters(), bitorder="little")
    assert bits.size == 0x110000
    assert bits.tolist() == [chr(code).isalnum() for code in range(0x110000)]


def test_keys_by_hand():
    word, pair = naive_hashing.mix(1 << 32 | 1, 5), naive_hashing.mix(1 << 32 | 2, 5)
    red, wine = (naive_hashing.hash_bytes(part, word) for part in (b"red", b"wine"))
    bigram = naive_hashing.mix(naive_hashing.mix(pair ^ red) ^ wine)
    trigram = [naive_hashing.hash_bytes(part, naive_hashing.mix(2 << 32 | 3, 5)) for part in (b"#a\xc3\xa9", b"a\xc3\xa9#")]
    accented = naive_hashing.hash_bytes("aé".encode(), word)
    assert lists(*text.token_keys(["Red--WINE_", "aé"], words=(1, 2), seed=5)) == [[red, wine, bigram], [accented]]
    assert lists(*text.token_keys(["aé"], words=None, chars=(3, 3), seed=5)) == [trigram]


def test_frozen_keys():
    found = text.token_keys(["Straße 42, ΟΔΟΣ"], words=(1, 2), chars=(3, 3))[1]
    assert int(np.bitwise_xor.reduce(hashing.mix(found))) == FROZEN


def test_order_and_kind_matter():
    def keys(*texts, **kinds):
        return set(text.token_keys(list(texts), **kinds)[1].tolist())
    assert not keys("a b", words=(2, 2)) & keys("b a", words=(2, 2))
    assert not keys("ab", words=(1, 1)) & keys("a", "b", "ab", words=None, chars=(1, 4))
    assert not keys("a b", words=(2, 2)) & keys("a b", words=(1, 1))
    assert not keys("a b c", words=(2, 2), seed=1) & keys("a b c", words=(2, 2), seed=2)
    assert keys("RED, wine!", words=(1, 2)) == keys("red wine", words=(1, 2))


def test_blocks_do_not_change_the_result(monkeypatch):
    texts = ["Red wine", "", "white\nwine", "İstanbul ΟΔΟΣ", "x" * 50, "a b c d e f g", "wine"]
    whole = [text.token_keys(texts, words=(1, 2)), text.hash_texts(texts, 9, chars=(2, 3)), text.vocabulary(texts, 5, chars=(1, 2))]
    whole.append(text.lookup_texts(texts, whole[2], bins=7, chars=(1, 2)))
    monkeypatch.setattr(text, "_TOKENS", 20)
    parts = [text.token_keys(texts, words=(1, 2)), text.hash_texts(texts, 9, chars=(2, 3)), text.vocabulary(texts, 5, chars=(1, 2))]
    parts.append(text.lookup_texts(texts, parts[2], bins=7, chars=(1, 2)))
    for one, other in zip(whole, parts):
        for a, b in zip(one, other):
            assert np.array_equal(a, b)


def test_many_tasks_and_long_texts():
    rng = np.random.default_rng(2)
    texts = [" ".join(f"w{j}" for j in rng.integers(0, 60, rng.integers(0, 12))) for _ in range(200)]
    texts[77] = " ".join(f"w{j}" for j in rng.integers(0, 900, 700))
    assert pairs(text.hash_texts(texts, 500, words=(1, 2))) == naive.hash_texts(texts, 500, (1, 2))
    frequent = text.vocabulary(texts, 100)
    assert frequent.tolist() == naive.vocabulary(texts, 100)
    assert pairs(text.lookup_texts(texts, frequent, bins=50)) == naive.lookup_texts(texts, frequent.tolist(), 50)


def test_lookup_of_keys_that_are_not_spread():
    keys = np.unique(np.append(text.token_keys(["a b c"])[1], np.arange(40, dtype=np.uint64)))
    for vocabulary in (keys, np.array([0, 2**64 - 1], np.uint64), np.array([], np.uint64)):
        rows = text.lookup_texts(["a b c d", "b b"], vocabulary, bins=3)
        assert pairs(rows) == naive.lookup_texts(["a b c d", "b b"], vocabulary.tolist(), 3)


def test_newlines_separate_words_like_spaces():
    texts = ["white\nwine", "\n", "\na b\n\n", "ΟΔΟΣ\nΣ\n"]
    assert lists(*text.token_keys(texts, words=(1, 2))) == naive.token_keys(texts, (1, 2))
    assert lists(*text.token_keys(texts, words=(1, 2))) == lists(*text.token_keys([t.replace("\n", " ") for t in texts], words=(1, 2)))


def test_any_number_of_threads_gives_the_same_bits():
    texts = [f"title {i % 97} of {i} words" for i in range(9_000 if not numba.config.DISABLE_JIT else 40)]
    threads = numba.get_num_threads()
    found = text.hash_texts(texts, 1000, words=(1, 2), signed=True)
    numba.set_num_threads(1)
    try:
        alone = text.hash_texts(texts, 1000, words=(1, 2), signed=True)
    finally:
        numba.set_num_threads(threads)
    for one, other in zip(found, alone):
        assert np.array_equal(one, other)


def test_no_texts():
    for texts in ([], (), np.array([], "U1"), np.array([], object)):
        assert text.hash_texts(texts, 5).indptr.tolist() == [0]
        assert text.token_keys(texts)[1].shape == (0,)
        assert text.vocabulary(texts, 5).shape == (0,)
        assert text.lookup_texts(texts, text.vocabulary(texts, 5), bins=2).width == 2


def test_arguments_stay_as_they_are():
    texts, vocabulary = ["b a\n", "A"], np.array([3, 9], np.uint64)
    text.lookup_texts(texts, vocabulary, bins=4)
    assert texts == ["b a\n", "A"] and vocabulary.tolist() == [3, 9]


@pytest.mark.parametrize("call, error, message", [
    (lambda: text.hash_texts(["a", "\ud800"], 5), ValueError, r"texts\[1\] must be valid Unicode"),
    (lambda: text.hash_texts(["a", 5], 5), TypeError, r"texts\[1\] must be str or bytes, not int"),
    (lambda: text.hash_texts([b"a", b"ab\xff"], 5), ValueError, r"texts\[1\] must be valid UTF-8, not invalid start byte at byte 2"),
    (lambda: text.hash_texts((b"a\xff", np.array([0, 1, 2])), 5), ValueError, r"texts\[1\] must be valid UTF-8"),
    (lambda: text.hash_texts("ab", 5), TypeError, "texts must be a list or an array of strings, not str"),
    (lambda: text.hash_texts(["a"], 0), ValueError, "width must be between 1 and 2147483647, not 0"),
    (lambda: text.hash_texts(["a"], 5, words=None), ValueError, "words or chars must be a pair"),
    (lambda: text.hash_texts(["a"], 5, words=(0, 1)), ValueError, r"words\[0\] must be between 1 and 255, not 0"),
    (lambda: text.hash_texts(["a"], 5, words=(2, 1)), ValueError, r"words\[1\] must be between 2 and 255, not 1"),
    (lambda: text.hash_texts(["a"], 5, chars=3), TypeError, "chars must be None or a pair of integers, not 3"),
    (lambda: text.hash_texts(["a"], 5, chars=(1, 2.0)), TypeError, r"chars\[1\] must be an integer, not float"),
    (lambda: text.hash_texts(["a"], 5, seed="x"), TypeError, "seed must be an integer, not str"),
    (lambda: text.vocabulary(["a"], -1), ValueError, "size must be at least 0, not -1"),
    (lambda: text.vocabulary(["a"], 1, min_rows=0), ValueError, "min_rows must be at least 1, not 0"),
    (lambda: text.lookup_texts(["a"], np.array([1.0]), bins=1), TypeError, "vocabulary must hold"),
    (lambda: text.lookup_texts(["a"], np.array([2, 1], np.uint64), bins=1), ValueError, "ascending and distinct"),
    (lambda: text.lookup_texts(["a"], np.array([1, 1], np.uint64), bins=1), ValueError, "ascending and distinct"),
    (lambda: text.lookup_texts(["a"], np.array([1], np.uint64), bins=2**31 - 1), ValueError, "bins must be between 0 and 2147483646"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
