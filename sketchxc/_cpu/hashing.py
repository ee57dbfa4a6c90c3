"""Loops of the hashing functions: keys to mixed keys, buckets and signs; spans of a byte buffer to hashes; code points to UTF-8."""
import numpy as np
from numba import prange

from .._jit import c_function, loop, serial, serial_held
from .._scalar.hashing import (bucket, float_key, mix64, murmur3_128_block, murmur3_128_end, murmur3_128_first, murmur3_128_second,
                               murmur3_block, murmur3_end, murmur3_word, official_bucket, side, splitmix64, xxh64_eight, xxh64_end,
                               xxh64_round, xxh64_start, xxh64_tail, xxh64_whole)

BLOCK = 16384  # keys that one thread takes at a time, so that short rows still use every thread
TASK, LANES = 1024, 64  # texts that one thread takes at a time, and those whose last steps run side by side

_list_item = c_function("PyList_GetItem", "uintp", "uintp", "intp")
_utf8 = c_function("PyUnicode_AsUTF8AndSize", "uintp", "uintp", "uintp")
_clear_error = c_function("PyErr_Clear", "void")
_copy = c_function("memcpy", "uintp", "uintp", "uintp", "uintp")


@serial
def seeds(seed, out):
    """Stream of splitmix64; the caller's thread owns everything."""
    state = seed
    for i in range(out.size):
        state = state + np.uint64(0x9E3779B97F4A7C15)
        out[i] = splitmix64(state)


@serial
def mix_part(keys, seed, out):
    """Mixed keys; the caller's thread owns everything."""
    for i in range(keys.size):
        out[i] = mix64(keys[i] ^ seed)


@loop
def mix(keys, seed, out):
    """One thread owns each block of keys."""
    for task in prange((keys.size + BLOCK - 1) // BLOCK):
        first, last = task * BLOCK, task * BLOCK + BLOCK
        mix_part(keys[first:last], seed, out[first:last])


@serial
def mix_floats_part(bits, seed, out):
    """Mixed keys of float64 numbers, given by their bits; the caller's thread owns everything."""
    for i in range(bits.size):
        out[i] = mix64(float_key(bits[i]) ^ seed)


@loop
def mix_floats(bits, seed, out):
    """One thread owns each block of numbers."""
    for task in prange((bits.size + BLOCK - 1) // BLOCK):
        first, last = task * BLOCK, task * BLOCK + BLOCK
        mix_floats_part(bits[first:last], seed, out[first:last])


@serial
def buckets_part(keys, seed, width, line):
    """Buckets of keys in one row; the caller's thread owns everything."""
    for i in range(keys.size):
        line[i] = bucket(mix64(keys[i] ^ seed), width)


@serial
def buckets_rows(keys, seeds, width, out):
    """`buckets` on the calling thread."""
    for d in range(seeds.size):
        buckets_part(keys, seeds[d], width, out[d])


@loop
def buckets(keys, seeds, width, out):
    """One thread owns a block of one row of `out` (depth, n)."""
    n = keys.size
    blocks = (n + BLOCK - 1) // BLOCK
    for task in prange(seeds.size * blocks):
        d = task // blocks
        first = (task - d * blocks) * BLOCK
        buckets_part(keys[first:first + BLOCK], seeds[d], width, out[d, first:first + BLOCK])


@serial
def signs_part(keys, seed, line):
    """Signs of keys in one row; the caller's thread owns everything."""
    for i in range(keys.size):
        line[i] = side(mix64(keys[i] ^ seed))


@serial
def signs_rows(keys, seeds, out):
    """`signs` on the calling thread."""
    for d in range(seeds.size):
        signs_part(keys, seeds[d], out[d])


@loop
def signs(keys, seeds, out):
    """One thread owns a block of one row of `out` (depth, n)."""
    n = keys.size
    blocks = (n + BLOCK - 1) // BLOCK
    for task in prange(seeds.size * blocks):
        d = task // blocks
        first = (task - d * blocks) * BLOCK
        signs_part(keys[first:first + BLOCK], seeds[d], out[d, first:first + BLOCK])


@loop
def official_buckets(labels, width, out):
    """One thread owns a block of one row of `out` (repetitions, n)."""
    n = labels.size
    blocks = (n + BLOCK - 1) // BLOCK
    for task in prange(out.shape[0] * blocks):
        r = task // blocks
        first = (task - r * blocks) * BLOCK
        part, line = labels[first:first + BLOCK], out[r, first:first + BLOCK]
        for i in range(part.size):
            line[i] = official_bucket(part[i], r, width)


@serial
def load32(data, start):
    """Four bytes as a little-endian number; unsigned indices, because signed ones keep the compiler from merging the four loads."""
    i = np.uint64(start)
    return (np.uint64(data[i]) | np.uint64(data[i + np.uint64(1)]) << np.uint64(8)
            | np.uint64(data[i + np.uint64(2)]) << np.uint64(16) | np.uint64(data[i + np.uint64(3)]) << np.uint64(24))


@serial
def load64(data, start):
    """Eight bytes as a little-endian number."""
    i = np.uint64(start)
    return (np.uint64(data[i]) | np.uint64(data[i + np.uint64(1)]) << np.uint64(8)
            | np.uint64(data[i + np.uint64(2)]) << np.uint64(16) | np.uint64(data[i + np.uint64(3)]) << np.uint64(24)
            | np.uint64(data[i + np.uint64(4)]) << np.uint64(32) | np.uint64(data[i + np.uint64(5)]) << np.uint64(40)
            | np.uint64(data[i + np.uint64(6)]) << np.uint64(48) | np.uint64(data[i + np.uint64(7)]) << np.uint64(56))


@serial
def load_tail(data, start):
    """The 8 bytes from `start` on as a little-endian number, or those up to the end of `data`, which holds 8 bytes or more."""
    over = max(start + 8 - data.size, 0)
    return load64(data, start - over) >> (np.uint64(over & 7) << np.uint64(3))


@serial
def xxh64_blocks(data, start, stop, seed):
    """State of xxh64 after the whole 32-byte blocks of data[start:stop]; apart from `xxh64`, so that short texts do not pay for it."""
    lane1, lane2, lane3, lane4 = xxh64_start(seed)
    at = start
    while at + 32 <= stop:
        lane1 = xxh64_round(lane1, load64(data, at))
        lane2 = xxh64_round(lane2, load64(data, at + 8))
        lane3 = xxh64_round(lane3, load64(data, at + 16))
        lane4 = xxh64_round(lane4, load64(data, at + 24))
        at += 32
    return xxh64_whole(lane1, lane2, lane3, lane4)


@serial
def xxh64(data, start, stop, seed):
    """Hash of data[start:stop]; `data` holds 8 bytes or more."""
    at = start
    state = seed + np.uint64(0x27D4EB2F165667C5)
    if stop - start >= 32:
        state = xxh64_blocks(data, start, stop, seed)
        at = start + (stop - start) // 32 * 32
    state = state + np.uint64(stop - start)
    while at + 16 <= stop:
        state = xxh64_eight(state, load64(data, at))
        at += 8
    # Selects and not branches from here on: the lengths of tokens are random, and a mispredicted branch costs more than all the steps.
    new = xxh64_eight(state, load_tail(data, at))
    whole = at + 8 <= stop
    state = new if whole else state
    at = at + 8 if whole else at
    return xxh64_end(xxh64_tail(state, load_tail(data, at), stop - at))


@serial
def murmur3(data, start, stop, seed):
    """32-bit hash (x86 variant) of data[start:stop]; `data` holds 8 bytes or more."""
    state = seed
    at = start
    while at + 4 <= stop:
        state = murmur3_block(state, np.uint32(load32(data, at)))
        at += 4
    word = load_tail(data, at) & ((np.uint64(1) << (np.uint64(stop - at) << np.uint64(3))) - np.uint64(1))
    state = np.uint32(state ^ murmur3_word(np.uint32(word)))
    return murmur3_end(state, np.uint32((stop - start) & 0xFFFFFFFF))


@serial
def masked(data, start, left):
    """The 8 bytes from `start` on as a little-endian number, of which the first `left` (0 or less: none, 8 or more: all) are kept."""
    left = 0 if left < 0 else 8 if left > 8 else left
    word = load_tail(data, min(start, data.size))
    return word & (np.uint64(0xFFFFFFFFFFFFFFFF) >> (np.uint64(64 - 8 * left) & np.uint64(63))) if left > 0 else np.uint64(0)


@serial
def murmur3_128(data, start, stop, seed):
    """Both halves of the 128-bit hash (x64 variant) of data[start:stop]; `data` holds 8 bytes or more."""
    low = high = seed
    at = start
    while at + 16 <= stop:
        low, high = murmur3_128_block(low, high, load64(data, at), load64(data, at + 8))
        at += 16
    low = low ^ murmur3_128_first(masked(data, at, stop - at))
    high = high ^ murmur3_128_second(masked(data, at + 8, stop - at - 8))
    return murmur3_128_end(low, high, np.uint64(stop - start))


@loop
def xxh64_spans(data, starts, stops, seed, out):
    """One thread owns a block of spans of the buffer.

    All but the last 15 bytes of a text are hashed one text after the other; the rest of 64 texts together, without a branch, in the vector
    registers: words are short, and this is most of their work."""
    n = starts.size
    for task in prange((n + TASK - 1) // TASK):
        states = np.empty(LANES, np.uint64)
        words = np.empty((2, LANES), np.uint64)  # the next 8 bytes, and those after the last whole 8
        left = np.empty(LANES, np.int64)
        last = min(task * TASK + TASK, n)
        for first in range(task * TASK, last, LANES):
            count = min(LANES, last - first)
            for k in range(count):
                at, stop = starts[first + k], stops[first + k]
                state = seed + np.uint64(0x27D4EB2F165667C5)
                if stop - at >= 32:
                    state = xxh64_blocks(data, at, stop, seed)
                state = state + np.uint64(stop - at)
                at = at + (stop - at) // 32 * 32
                while at + 16 <= stop:
                    state = xxh64_eight(state, load64(data, at))
                    at += 8
                step = 8 if at + 8 <= stop else 0
                if at + 16 <= data.size:
                    words[0, k], words[1, k] = load64(data, at), load64(data, at + step)
                else:
                    words[0, k], words[1, k] = load_tail(data, at), load_tail(data, at + step)
                states[k] = state
                left[k] = stop - at
            for k in range(count):
                new = xxh64_eight(states[k], words[0, k])
                state = new if left[k] >= 8 else states[k]
                out[first + k] = xxh64_end(xxh64_tail(state, words[1, k], left[k] & 7))


@loop
def murmur3_spans(data, starts, stops, seed, out):
    """One thread owns each span of the buffer."""
    for i in prange(starts.size):
        out[i] = murmur3(data, starts[i], stops[i], seed)


@loop
def murmur3_128_spans(data, starts, stops, seed, out):
    """One thread owns each span of the buffer; `out` is (n, 2), low half first."""
    for i in prange(starts.size):
        out[i, 0], out[i, 1] = murmur3_128(data, starts[i], stops[i], seed)


@serial_held
def joined(items, first, n):
    """UTF-8 bytes of the str number `first` to `first + n - 1` of the list at the address `items`, their offsets (n + 1,), and how many
    were done before one that is no str or has a lone surrogate. The calling thread owns everything, and holds the interpreter's lock, so
    that the list keeps its texts and the texts their bytes."""
    places, offsets = np.empty(n, np.uint64), np.zeros(n + 1, np.int64)
    size = np.zeros(1, np.int64)
    done = 0
    good = True
    while good and done < n:
        place = _utf8(_list_item(items, first + done), size.ctypes.data)
        good = place != 0
        places[done] = place
        offsets[done + 1] = offsets[done] + size[0]
        done += 1 if good else 0
    _clear_error()
    data = np.empty(offsets[done], np.uint8)
    for i in range(done):
        _copy(data.ctypes.data + offsets[i], places[i], offsets[i + 1] - offsets[i])
    return data, offsets, done


@loop
def trimmed(cells, starts, stops):
    """Spans of fixed-width byte strings (n, width) without their trailing NUL bytes; one thread owns each row."""
    width = cells.shape[1]
    for i in prange(cells.shape[0]):
        length = width
        while length > 0 and cells[i, length - 1] == 0:
            length -= 1
        starts[i] = i * width
        stops[i] = i * width + length


@loop
def utf8_lengths(codes, characters, lengths):
    """Characters without trailing NULs and UTF-8 bytes (-1 where a surrogate has none) of each row of `codes`; one thread owns each row."""
    for i in prange(codes.shape[0]):
        count = codes.shape[1]
        while count > 0 and codes[i, count - 1] == 0:
            count -= 1
        total = 0
        bad = False
        for j in range(count):
            code = np.int64(codes[i, j])
            total += 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
            bad = bad or (code >= 0xD800 and code < 0xE000) or code > 0x10FFFF
        characters[i] = count
        lengths[i] = -1 if bad else total


@loop
def utf8_fill(codes, characters, offsets, out):
    """UTF-8 bytes of each row of `codes` from offsets[i] on; one thread owns each row and its bytes."""
    for i in prange(codes.shape[0]):
        at = offsets[i]
        for j in range(characters[i]):
            code = np.int64(codes[i, j])
            if code < 0x80:
                out[at] = code
                at += 1
                continue
            more = 1 if code < 0x800 else 2 if code < 0x10000 else 3
            out[at] = (0xFF00 >> more + 1 & 0xFF) | (code >> 6 * more)
            for k in range(1, more + 1):
                out[at + k] = 0x80 | (code >> 6 * (more - k) & 0x3F)
            at += more + 1
