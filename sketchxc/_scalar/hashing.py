"""Hash functions of one 64-bit key, and the steps of the byte-string hashes xxh64 and murmur3.

All 64-bit state is uint64: one int64 operand would turn the arithmetic into float64 or wrong integers. The steps of murmur3 are wrapped in
np.uint32 one by one, because compiled products and shifts of two uint32 are uint64 and do not wrap.
"""
import numpy as np

from .._jit import scalar


@scalar
def mix64(key):
    """MurmurHash3's 64-bit finalizer: a bijection in which every input bit moves every output bit."""
    key = key ^ (key >> np.uint64(33))
    key = key * np.uint64(0xFF51AFD7ED558CCD)
    key = key ^ (key >> np.uint64(33))
    key = key * np.uint64(0xC4CEB9FE1A85EC53)
    return key ^ (key >> np.uint64(33))


@scalar
def splitmix64(state):
    """Output of the splitmix64 generator whose state has just become `state`."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@scalar
def float_key(bits):
    """Key of a float64 from its bits: 0.0 for both zeros, and one NaN."""
    size = bits & np.uint64(0x7FFFFFFFFFFFFFFF)
    key = np.uint64(0x7FF8000000000000) if size > np.uint64(0x7FF0000000000000) else bits
    return np.uint64(0) if size == np.uint64(0) else key


@scalar
def bucket(mixed, width):
    """Number in [0, width) from the high 32 bits of a mixed key (multiply-shift: no division); width below 2**31."""
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(width)) >> np.uint64(32))


@scalar
def side(mixed):
    """Sign +1 (bit set) or -1 from the lowest bit of a mixed key, which `bucket` does not read."""
    return np.int64((mixed & np.uint64(1)) << np.uint64(1)) - np.int64(1)


@scalar
def cell(key, seed, width):
    """Bucket of a key in the hash row of `seed`."""
    return bucket(mix64(key ^ seed), width)


@scalar
def rotate64(word, count):
    """Word rotated left by `count` bits, 1 to 63 (uint64)."""
    return (word << count) | (word >> (np.uint64(64) - count))


@scalar
def xxh64_round(lane, word):
    """Lane of xxh64 after it took in one 8-byte word."""
    lane = lane + word * np.uint64(0xC2B2AE3D27D4EB4F)
    return rotate64(lane, np.uint64(31)) * np.uint64(0x9E3779B185EBCA87)


@scalar
def xxh64_join(state, lane):
    """State of xxh64 after it took in one lane of the 32-byte blocks."""
    state = state ^ xxh64_round(np.uint64(0), lane)
    return state * np.uint64(0x9E3779B185EBCA87) + np.uint64(0x85EBCA77C2B2AE63)


@scalar
def xxh64_start(seed):
    """The four lanes of xxh64 before the first of the 32-byte blocks."""
    return seed + np.uint64(0x60EA27EEADC0B5D6), seed + np.uint64(0xC2B2AE3D27D4EB4F), seed, seed - np.uint64(0x9E3779B185EBCA87)


@scalar
def xxh64_whole(lane1, lane2, lane3, lane4):
    """State of xxh64 after all of the 32-byte blocks."""
    state = (rotate64(lane1, np.uint64(1)) + rotate64(lane2, np.uint64(7))
             + rotate64(lane3, np.uint64(12)) + rotate64(lane4, np.uint64(18)))
    return xxh64_join(xxh64_join(xxh64_join(xxh64_join(state, lane1), lane2), lane3), lane4)


@scalar
def xxh64_eight(state, word):
    """State of xxh64 after it took in 8 of the last 31 bytes."""
    state = state ^ xxh64_round(np.uint64(0), word)
    return rotate64(state, np.uint64(27)) * np.uint64(0x9E3779B185EBCA87) + np.uint64(0x85EBCA77C2B2AE63)


@scalar
def xxh64_one(state, word):
    """State of xxh64 after it took in the lowest byte of `word`."""
    state = state ^ ((word & np.uint64(0xFF)) * np.uint64(0x27D4EB2F165667C5))
    return rotate64(state, np.uint64(11)) * np.uint64(0x9E3779B185EBCA87)


@scalar
def xxh64_tail(state, word, left):
    """State of xxh64 after it took in the last `left` bytes (0 to 7), which are the low bytes of `word`; selects and no branches."""
    new = rotate64(state ^ ((word & np.uint64(0xFFFFFFFF)) * np.uint64(0x9E3779B185EBCA87)), np.uint64(23))
    new = new * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(0x165667B19E3779F9)
    rest = word >> np.uint64(32)
    state = new if left >= 4 else state
    word = rest if left >= 4 else word
    left = left & 3
    new = xxh64_one(state, word)
    state = new if left > 0 else state
    new = xxh64_one(state, word >> np.uint64(8))
    state = new if left > 1 else state
    new = xxh64_one(state, word >> np.uint64(16))
    return new if left > 2 else state


@scalar
def xxh64_end(state):
    """Hash from the last state of xxh64."""
    state = (state ^ (state >> np.uint64(33))) * np.uint64(0xC2B2AE3D27D4EB4F)
    state = (state ^ (state >> np.uint64(29))) * np.uint64(0x165667B19E3779F9)
    return state ^ (state >> np.uint64(32))


@scalar
def murmur3_word(word):
    """Scrambled 4-byte word of murmur3; 0 stays 0, so an empty tail changes nothing."""
    word = np.uint32(word * np.uint32(0xCC9E2D51))
    word = np.uint32(np.uint32(word << np.uint32(15)) | np.uint32(word >> np.uint32(17)))
    return np.uint32(word * np.uint32(0x1B873593))


@scalar
def murmur3_block(state, word):
    """State of murmur3 after it took in one whole 4-byte word."""
    state = np.uint32(state ^ murmur3_word(word))
    state = np.uint32(np.uint32(state << np.uint32(13)) | np.uint32(state >> np.uint32(19)))
    return np.uint32(np.uint32(state * np.uint32(5)) + np.uint32(0xE6546B64))


@scalar
def murmur3_end(state, length):
    """Hash from the last state of murmur3 and the length in bytes (uint32)."""
    state = np.uint32(state ^ length)
    state = np.uint32(np.uint32(state ^ np.uint32(state >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    state = np.uint32(np.uint32(state ^ np.uint32(state >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(state ^ np.uint32(state >> np.uint32(16)))


@scalar
def official_bucket(label, repetition, width):
    """Bucket of the published MACH code: murmur3 of the int32 label, read as a signed number, floor modulo the width."""
    hashed = np.int64(murmur3_end(murmur3_block(np.uint32(repetition), np.uint32(label)), np.uint32(4)))
    signed = hashed - np.int64(4294967296) if hashed > np.int64(2147483647) else hashed
    return signed % width


@scalar
def murmur3_128_first(word):
    """Scrambled first word of 8 bytes of murmur3's 128-bit variant; 0 stays 0, so an empty tail changes nothing."""
    return rotate64(word * np.uint64(0x87C37B91114253D5), np.uint64(31)) * np.uint64(0x4CF5AD432745937F)


@scalar
def murmur3_128_second(word):
    """Scrambled second word of 8 bytes of murmur3's 128-bit variant; 0 stays 0."""
    return rotate64(word * np.uint64(0x4CF5AD432745937F), np.uint64(33)) * np.uint64(0x87C37B91114253D5)


@scalar
def murmur3_128_block(low, high, first, second):
    """Both halves of the state of murmur3's 128-bit variant after it took in 16 bytes."""
    low = rotate64(low ^ murmur3_128_first(first), np.uint64(27)) + high
    low = low * np.uint64(5) + np.uint64(0x52DCE729)
    high = rotate64(high ^ murmur3_128_second(second), np.uint64(31)) + low
    return low, high * np.uint64(5) + np.uint64(0x38495AB5)


@scalar
def murmur3_128_end(low, high, length):
    """Both halves of the hash from the last state of murmur3's 128-bit variant and the length in bytes (uint64)."""
    low, high = low ^ length, high ^ length
    low = low + high
    low, high = mix64(low), mix64(high + low)
    low = low + high
    return low, high + low
