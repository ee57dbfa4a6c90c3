"""Hash functions in plain Python integers: the specification."""
import struct

MASK = 2**64 - 1
P1, P2, P3, P4, P5 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def mix(key, seed=0):
    key = (key ^ seed) & MASK
    key = (key ^ key >> 33) * 0xFF51AFD7ED558CCD & MASK
    key = (key ^ key >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return key ^ key >> 33


def seeds(n, seed):
    out = []
    for i in range(1, n + 1):
        state = seed + i * 0x9E3779B97F4A7C15 & MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & MASK
        out.append(state ^ state >> 31)
    return out


def bucket(mixed, width):
    return (mixed >> 32) * width >> 32


def buckets(keys, seeds, width):
    return [[bucket(mix(key, seed), width) for key in keys] for seed in seeds]


def signs(keys, seeds):
    return [[2 * (mix(key, seed) & 1) - 1 for key in keys] for seed in seeds]


def _rotate(word, count, bits=64):
    return (word << count | word >> bits - count) & 2**bits - 1


def _round(lane, word):
    return _rotate((lane + word * P2) & MASK, 31) * P1 & MASK


def hash_bytes(data, seed=0):
    seed, at = seed & MASK, 0
    if len(data) >= 32:
        lanes = [(seed + start) & MASK for start in (P1 + P2, P2, 0, -P1)]
        while at + 32 <= len(data):
            lanes = [_round(lane, int.from_bytes(data[at + 8 * i:at + 8 * i + 8], "little")) for i, lane in enumerate(lanes)]
            at += 32
        state = sum(_rotate(lane, count) for lane, count in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            state = ((state ^ _round(0, lane)) * P1 + P4) & MASK
    else:
        state = seed + P5
    state = (state + len(data)) & MASK
    while at + 8 <= len(data):
        state = (_rotate(state ^ _round(0, int.from_bytes(data[at:at + 8], "little")), 27) * P1 + P4) & MASK
        at += 8
    if at + 4 <= len(data):
        state = (_rotate(state ^ int.from_bytes(data[at:at + 4], "little") * P1 & MASK, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        state = _rotate(state ^ byte * P5 & MASK, 11) * P1 & MASK
    state = (state ^ state >> 33) * P2 & MASK
    state = (state ^ state >> 29) * P3 & MASK
    return state ^ state >> 32


def hash_strings(texts, seed=0):
    return [hash_bytes(text if isinstance(text, bytes) else text.encode(), seed) for text in texts]


def murmur3(data, seed=0):
    state = seed & 0xFFFFFFFF
    for at in range(0, len(data), 4):
        word = int.from_bytes(data[at:at + 4], "little") * 0xCC9E2D51 & 0xFFFFFFFF
        state ^= _rotate(word, 15, 32) * 0x1B873593 & 0xFFFFFFFF
        if at + 4 <= len(data):
            state = (_rotate(state, 13, 32) * 5 + 0xE6546B64) & 0xFFFFFFFF
    state ^= len(data)
    state = (state ^ state >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    state = (state ^ state >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return state ^ state >> 16


def official_buckets(labels, repetitions, width):
    def signed(label, r):
        hashed = murmur3((label & 0xFFFFFFFF).to_bytes(4, "little"), r)
        return hashed - 2**32 if hashed >= 2**31 else hashed
    return [[signed(label, r) % width for label in labels] for r in range(repetitions)]


def float_key(value):
    if value != value:
        return 0x7FF8000000000000
    return 0 if value == 0 else struct.unpack("<Q", struct.pack("<d", value))[0]


def murmur3_128(data, seed=0):
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    low = high = seed & MASK
    whole = len(data) // 16 * 16
    for at in range(0, whole, 16):
        first, second = (int.from_bytes(data[at + i:at + i + 8], "little") for i in (0, 8))
        low ^= _rotate(first * c1 & MASK, 31) * c2 & MASK
        low = ((_rotate(low, 27) + high) * 5 + 0x52DCE729) & MASK
        high ^= _rotate(second * c2 & MASK, 33) * c1 & MASK
        high = ((_rotate(high, 31) + low) * 5 + 0x38495AB5) & MASK
    low ^= _rotate(int.from_bytes(data[whole:whole + 8], "little") * c1 & MASK, 31) * c2 & MASK
    high ^= _rotate(int.from_bytes(data[whole + 8:], "little") * c2 & MASK, 33) * c1 & MASK
    low, high = low ^ len(data), high ^ len(data)
    low = low + high & MASK
    low, high = mix(low), mix(low + high)
    low = low + high & MASK
    return low | (low + high & MASK) << 64
