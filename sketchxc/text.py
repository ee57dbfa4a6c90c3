"""Tokens of texts as hashed rows: word and character n-grams, with or without a vocabulary.

A text is lower-cased; its words are the longest runs of characters for which `str.isalnum` holds. The key of a word is the xxh64 hash of
its UTF-8 bytes, the key of a word n-gram is folded from its words' keys in order, and the key of a character n-gram is the hash of its
bytes, taken from the word between two "#". Kind and length enter the seed: "ab" as a word and "ab" as a character bigram are two tokens.
"""
import functools

import numpy as np

from . import _check, _strings, hashing
from ._cpu import text as _kernels
from ._threads import one_if
from .sparse import Rows

LONGEST = 255       # characters or words in an n-gram
_TOKENS = 2**23     # tokens in one block of texts, about
_FEW = 2**16        # tokens in a block of texts below which one thread is faster than two


def token_keys(texts, *, words=(1, 1), chars=None, seed=0):
    """Keys of all tokens of each text: its word n-grams by length, then its character n-grams word by word, all in the order of the text.

    texts : list of str or bytes, NumPy array of strings, pandas Series, or a pair of a uint8 buffer and int64 offsets (n + 1,).
    words : pair of ints, the lowest and highest number of words in a word n-gram (1 to 255), or None for no word n-grams.
    chars : the same for characters; the two "#" around a word count as characters, and a word that is shorter than an n-gram has none.
    seed : int; another seed gives other keys.

    Returns int64 (n + 1,) and uint64 (tokens,): text i has the keys `keys[indptr[i]:indptr[i + 1]]`.

    Raises TypeError if a text is neither str nor bytes, ValueError for a lone surrogate, invalid UTF-8 or bad lengths.

    >>> import sketchxc.text as text
    >>> indptr, keys = text.token_keys(["Red red wine", ""], words=(1, 2))
    >>> indptr.tolist(), bool(keys[0] == keys[1]), len(set(keys.tolist()))
    ([0, 5, 5], True, 4)
    """
    blocks = list(_blocks(texts, words, chars, seed))
    keys = np.concatenate([np.empty(0, np.uint64)] + [block_keys for _, block_keys in blocks])
    return _joined([indptr for indptr, _ in blocks]), keys


def hash_texts(texts, width, *, words=(1, 1), chars=None, seed=0, signed=False):
    """Bag of hashed tokens of each text: column `bucket(mix64(key ^ seed), width)` counts the tokens that fall into it.

    texts, words, chars, seed : as in `token_keys`.  width : int, number of columns, 1 to 2**31 - 1.
    signed : bool, whether a token counts as +1 or -1 by another bit of its hash; collisions then cancel on average.

    Returns Rows (n, width), int32 columns ascending and distinct in each row, float32 counts; with `signed` a count may be 0.

    Raises what `token_keys` raises, and ValueError for a bad width.

    Source: Weinberger et al. 2009, "Feature hashing for large scale multitask learning", section 2.

    >>> import sketchxc.text as text
    >>> x = text.hash_texts(["Red red wine", "White wine"], 1000)
    >>> x.indptr.tolist(), sorted(x.values.tolist())
    ([0, 2, 4], [1.0, 1.0, 1.0, 2.0])
    """
    width = _check.integer(width, "width", 1, 2**31 - 1)
    return _rows(texts, np.empty(0, np.uint64), width, words, chars, seed, bool(signed))


def vocabulary(texts, size, *, words=(1, 1), chars=None, seed=0, min_rows=1):
    """Keys of the tokens that occur in the largest number of texts; of equally frequent ones those with the smaller key.

    texts, words, chars, seed : as in `token_keys`.  size : int, keys at most.  min_rows : int, leave out tokens of fewer texts.

    Returns uint64 (size,), ascending; shorter if there are not so many tokens.

    Raises what `token_keys` raises, and ValueError for a negative size.

    >>> import sketchxc.text as text
    >>> frequent = text.vocabulary(["red wine", "white wine", "wine, wine"], 1)
    >>> bool(frequent[0] == text.token_keys(["wine"])[1][0])
    True
    """
    size, min_rows = _check.integer(size, "size", 0), _check.integer(min_rows, "min_rows", 1)
    runs = []  # sorted (keys, counts), each more than twice as long as the next
    for indptr, keys in _blocks(texts, words, chars, seed):
        lengths = np.empty(indptr.size - 1, np.int64)
        with one_if(keys.size < _FEW):
            _kernels.distinct(indptr, keys, lengths)
            keys = _compacted(indptr, _ends(lengths), keys)
        runs.append(np.unique(keys, return_counts=True))
        while len(runs) > 1 and runs[-2][0].size <= 2 * runs[-1][0].size:
            runs.append(_merged(runs.pop(), runs.pop()))
    while len(runs) > 1:
        runs.append(_merged(runs.pop(), runs.pop()))
    keys, counts = runs[0] if runs else (np.empty(0, np.uint64), np.empty(0, np.int64))
    keys, counts = keys[counts >= min_rows], counts[counts >= min_rows]
    return np.sort(keys[np.argsort(-counts, kind="stable")[:size]])


def lookup_texts(texts, vocabulary, *, bins, words=(1, 1), chars=None, seed=0):
    """Bag of tokens of each text: a token of the vocabulary has its own column, all others share `bins` hashed columns behind those.

    texts, words, chars, seed : as in `token_keys`, and as they were for the vocabulary.
    vocabulary : uint64 (size,), ascending and distinct keys from `vocabulary`.
    bins : int, from 0; with 0 the tokens outside of the vocabulary are left out.

    Returns Rows (n, size + bins): the column of a token is its place in the vocabulary, or size + `bucket(mix64(key ^ seed), bins)`;
    values are counts.

    Raises what `token_keys` raises, TypeError and ValueError for a bad vocabulary or number of bins.

    Source: Nigam et al. 2019, "Semantic Product Search", section 4.3 (hashing of unseen tokens).

    >>> import sketchxc.text as text
    >>> frequent = text.vocabulary(["red wine", "white wine"], 1)
    >>> x = text.lookup_texts(["wine and wine"], frequent, bins=10)
    >>> x.width, x.indices[0], x.values[0]
    (11, np.int32(0), np.float32(2.0))
    """
    keys = _check.array(vocabulary, "vocabulary", np.uint64, 1, kinds="u")
    if (keys[1:] <= keys[:-1]).any():
        raise ValueError("vocabulary must hold ascending and distinct keys")
    bins = _check.integer(bins, "bins", 0, 2**31 - 1 - keys.size)
    return _rows(texts, keys, bins, words, chars, seed, False)


@functools.cache
def _letters():
    """Bitmap over the code points: bit c % 8 of byte c // 8 is `chr(c).isalnum()`; built once, on first use."""
    characters = np.arange(0x110000, dtype=np.uint32).view("U1")
    bitmap = np.packbits(np.char.isalnum(characters), bitorder="little")
    bitmap.flags.writeable = False
    return bitmap


def _lengths(value, name):
    """Lowest and highest length of an n-gram as int64 (2,); an empty range for None."""
    if value is None:
        return np.array([1, 0], np.int64)
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be None or a pair of integers, not {value!r}")
    low = _check.integer(value[0], f"{name}[0]", 1, LONGEST)
    return np.array([low, _check.integer(value[1], f"{name}[1]", low, LONGEST)], np.int64)


def _kind_seeds(seed, kind, longest):
    """Seed of the n-grams of each length 0 to `longest`; kind 1 is words, 2 is characters."""
    return hashing.mix(np.arange(longest + 1, dtype=np.uint64) | np.uint64(kind << 32), seed)


def _blocks(texts, words, chars, seed):
    """(int64 indptr, uint64 keys) of one block of texts after the other."""
    words, chars = _lengths(words, "words"), _lengths(chars, "chars")
    if words[1] < words[0] and chars[1] < chars[0]:
        raise ValueError("words or chars must be a pair of integers, not None both")
    seed = _check.seed(seed)
    word_seeds, char_seeds = _kind_seeds(seed, 1, max(words[1], 1)), _kind_seeds(seed, 2, chars[1])
    texts = _strings.strings(texts)
    kinds = (words[1] - words[0]) + (chars[1] - chars[0]) + 2
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1) * kinds
    first = 0
    while first < len(texts):
        before = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + _TOKENS, "right")))
        data, starts, stops = _lowered(texts[first:last], first)
        counts = np.empty(starts.size, np.int64)
        with one_if(data.size < _FEW):
            _kernels.count_tokens(data, starts, stops, _letters(), words, chars, counts)
            indptr = _ends(counts)
            keys = np.empty(indptr[-1], np.uint64)
            _kernels.fill_tokens(data, starts, stops, _letters(), words, word_seeds, chars, char_seeds, indptr, keys)
        yield indptr, keys
        first = last


def _lowered(block, first):
    """Lower-cased UTF-8 bytes of a list of str, joined by newlines, and the int64 starts and stops of the texts.

    One join and one call of `lower` for all texts: a newline is no letter and no mark, so it ends a word (which the final sigma depends on)
    exactly as the end of the text does, and inside a text it can be a space.
    """
    text = "\n".join(block)
    if text.count("\n") != len(block) - 1:
        text = "\n".join([item.replace("\n", " ") for item in block])
    try:
        data = np.frombuffer(bytearray((text.lower() + "\n").encode()), np.uint8)  # writable, as the kernels' own scratch: one type
    except UnicodeEncodeError:
        for i, item in enumerate(block):
            _strings.encoded(item, first + i)
        raise
    stops = np.flatnonzero(data == 10)
    data = data if data.size >= 8 else np.concatenate([data, np.zeros(8, np.uint8)])
    return data, np.concatenate([[0], stops[:-1] + 1]), stops


def _rows(texts, vocabulary, bins, words, chars, seed, signed):
    bits = max(1, min(24, int(vocabulary.size).bit_length()))
    shift = np.uint64(64 - bits)
    index = np.append(np.searchsorted(vocabulary, np.arange(2**bits, dtype=np.uint64) << shift), vocabulary.size)
    seed = _check.seed(seed)
    indptrs, indices, values = [], [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    for indptr, keys in _blocks(texts, words, chars, seed):
        lengths = np.empty(indptr.size - 1, np.int64)
        block_indices, block_values = np.empty(keys.size, np.int32), np.empty(keys.size, np.float32)
        with one_if(keys.size < _FEW):
            _kernels.fill_rows(indptr, keys, vocabulary, index, shift, bins, seed, signed, block_indices, block_values, lengths)
            ends = _ends(lengths)
            indptrs.append(ends)
            indices.append(_compacted(indptr, ends, block_indices))
            values.append(_compacted(indptr, ends, block_values))
    return Rows(_joined(indptrs), np.concatenate(indices), np.concatenate(values), int(vocabulary.size) + bins)


def _ends(lengths):
    indptr = np.zeros(lengths.size + 1, np.int64)
    np.cumsum(lengths, out=indptr[1:])
    return indptr


def _joined(indptrs):
    """Row pointers of all blocks, one after the other."""
    return _ends(np.concatenate([np.empty(0, np.int64)] + [np.diff(indptr) for indptr in indptrs]))


def _compacted(old, new, source):
    out = np.empty(new[-1], source.dtype)
    _kernels.compact(old, new, source, out)
    return out


def _merged(one, other):
    keys, counts = np.empty(one[0].size + other[0].size, np.uint64), np.empty(one[0].size + other[0].size, np.int64)
    n = _kernels.merge(*one, *other, keys, counts)
    return keys[:n].copy(), counts[:n].copy()
