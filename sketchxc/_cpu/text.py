"""Loops of the text functions: lower-cased UTF-8 texts to token keys, token keys to sorted rows, counted keys to merged counts."""
import numpy as np
from numba import prange

from .._jit import loop, serial
from .._scalar.hashing import bucket, mix64
from .hashing import xxh64

TASK = 64  # texts that one thread takes at a time, with one set of scratch arrays
PAD = 35   # "#", the mark of the beginning and the end of a word in its character n-grams


@serial
def character(data, at):
    """Code point that starts at data[at] and the place after it; `data` is valid UTF-8."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, at + 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | np.int64(data[at + 1]) & 0x3F, at + 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (np.int64(data[at + 1]) & 0x3F) << 6 | np.int64(data[at + 2]) & 0x3F, at + 3
    return ((first & 0x07) << 18 | (np.int64(data[at + 1]) & 0x3F) << 12 | (np.int64(data[at + 2]) & 0x3F) << 6
            | np.int64(data[at + 3]) & 0x3F), at + 4


@serial
def next_word(data, at, stop, letters):
    """Begin, end and number of characters of the first word in data[at:stop]; no characters where there is none."""
    begin = stop
    length = 0
    while at < stop:
        code, after = character(data, at)
        if (letters[code >> 3] >> (code & 7)) & 1:
            begin = at if length == 0 else begin
            length += 1
        elif length > 0:
            return begin, at, length
        at = after
    return begin, stop, length


@serial
def word_grams(count, low, high):
    """Number of n-grams of low to high words in a text of `count` words."""
    total = 0
    for n in range(low, high + 1):
        total += max(count - n + 1, 0)
    return total


@loop
def count_tokens(data, starts, stops, letters, words, chars, counts):
    """Tokens of each text; words and chars hold the lowest and highest length of n-gram. One thread owns each text."""
    for i in prange(starts.size):
        count = 0
        total = 0
        at, stop = starts[i], stops[i]
        while at < stop:
            begin, at, length = next_word(data, at, stop, letters)
            if length > 0:
                count += 1
                total += word_grams(length + 2, chars[0], chars[1])
        counts[i] = total + word_grams(count, words[0], words[1])


@serial
def pad_word(data, begin, end, padded, marks):
    """Write "#word#" to `padded` and the place of each of its characters, and the end, to `marks`; returns the number of characters."""
    padded[0] = PAD
    marks[0] = 0
    count = 1
    for at in range(begin, end):
        padded[at - begin + 1] = data[at]
        if data[at] & 0xC0 != 0x80:
            marks[count] = at - begin + 1
            count += 1
    padded[end - begin + 1] = PAD
    marks[count] = end - begin + 1
    marks[count + 1] = end - begin + 2
    return count + 1


@loop
def fill_tokens(data, starts, stops, letters, words, word_seeds, chars, char_seeds, indptr, keys):
    """Keys of the tokens of each text: word n-grams by length, then character n-grams word by word. One thread owns a block of texts."""
    n = starts.size
    for task in prange((n + TASK - 1) // TASK):
        first, last = task * TASK, min(task * TASK + TASK, n)
        longest = 0
        for i in range(first, last):
            longest = max(longest, stops[i] - starts[i])
        begins = np.empty(longest // 2 + 1, np.int64)
        ends = np.empty(longest // 2 + 1, np.int64)
        hashes = np.empty(longest // 2 + 1, np.uint64)
        padded = np.zeros(longest + 10, np.uint8)
        marks = np.empty(longest + 3, np.int64)
        for i in range(first, last):
            count = 0
            at, stop = starts[i], stops[i]
            while at < stop:
                begin, at, length = next_word(data, at, stop, letters)
                if length > 0:
                    begins[count] = begin
                    ends[count] = at
                    hashes[count] = xxh64(data, begin, at, word_seeds[1])
                    count += 1
            out = indptr[i]
            for size in range(words[0], words[1] + 1):
                for j in range(count - size + 1):
                    key = hashes[j]
                    if size > 1:
                        key = word_seeds[size]
                        for k in range(j, j + size):
                            key = mix64(key ^ hashes[k])
                    keys[out] = key
                    out += 1
            if chars[1] < chars[0]:
                continue
            for j in range(count):
                length = pad_word(data, begins[j], ends[j], padded, marks)
                for size in range(chars[0], chars[1] + 1):
                    for k in range(length - size + 1):
                        keys[out] = xxh64(padded, marks[k], marks[k + size], char_seeds[size])
                        out += 1


@serial
def sort(keys, start, stop):
    """Sort keys[start:stop] in place; insertion for the short ones, which most texts are."""
    if stop - start > 40:
        keys[start:stop].sort()
        return
    for i in range(start + 1, stop):
        key = keys[i]
        j = i
        while j > start and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            j -= 1
        keys[j] = key


@serial
def rank(key, vocabulary, index, shift):
    """Place of a key in the sorted vocabulary, -1 if it is not there; index[b] is the place of the first key whose high bits are b."""
    b = np.int64(key >> shift)
    low, high = index[b], index[b + 1]
    while low < high:
        middle = (low + high) >> 1
        if vocabulary[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < index[b + 1] and vocabulary[low] == key else -1


@loop
def fill_rows(indptr, keys, vocabulary, index, shift, bins, seed, signed, indices, values, lengths):
    """Sorted distinct ids of each row and their summed counts, from indptr[i] on; `keys` is scratch. One thread owns each row.

    `signed` goes with an empty vocabulary: it would give the known tokens signs too.
    """
    known = vocabulary.size
    for i in prange(lengths.size):
        start = indptr[i]
        stop = start
        for j in range(start, indptr[i + 1]):
            place = rank(keys[j], vocabulary, index, shift) if known > 0 else -1
            mixed = mix64(keys[j] ^ seed)
            if place < 0 and bins == 0:
                continue
            negative = signed and (mixed & np.uint64(1)) == np.uint64(0)
            # The sign rides in the lowest bit through the sort.
            keys[stop] = np.uint64((place if place >= 0 else known + bucket(mixed, bins)) * 2 + (1 if negative else 0))
            stop += 1
        sort(keys, start, stop)
        out = start - 1
        for j in range(start, stop):
            column = np.int64(keys[j] >> np.uint64(1))
            count = np.float32(-1.0) if keys[j] & np.uint64(1) else np.float32(1.0)
            if out >= start and indices[out] == column:
                values[out] += count
            else:
                out += 1
                indices[out] = column
                values[out] = count
        lengths[i] = out + 1 - start


@loop
def distinct(indptr, keys, lengths):
    """Sorted distinct keys of each row, in place from indptr[i] on. One thread owns each row."""
    for i in prange(lengths.size):
        start = indptr[i]
        sort(keys, start, indptr[i + 1])
        out = start
        for j in range(start, indptr[i + 1]):
            if j == start or keys[j] != keys[out - 1]:
                keys[out] = keys[j]
                out += 1
        lengths[i] = out - start


@loop
def compact(old, new, source, out):
    """Rows of `source` that begin at old[i] and fill new[i]:new[i + 1] of `out`. One thread owns each row."""
    for i in prange(new.size - 1):
        for j in range(new[i + 1] - new[i]):
            out[new[i] + j] = source[old[i] + j]


@serial
def merge(keys1, counts1, keys2, counts2, keys, counts):
    """Merge two sorted lists of distinct keys and add the counts of equal ones; returns the length. The caller's thread owns everything."""
    i = j = out = 0
    while i < keys1.size or j < keys2.size:
        from1 = j == keys2.size or (i < keys1.size and keys1[i] <= keys2[j])
        from2 = i == keys1.size or (j < keys2.size and keys2[j] <= keys1[i])
        keys[out] = keys1[i] if from1 else keys2[j]
        counts[out] = (counts1[i] if from1 else 0) + (counts2[j] if from2 else 0)
        i += 1 if from1 else 0
        j += 1 if from2 else 0
        out += 1
    return out
