"""Grids of the hashing functions: keys to mixed keys, buckets and signs; spans of a byte buffer to hashes."""
import numpy as np

from .._scalar import hashing as _scalar
from ._target import cuda, device, kernel, on_device

_device = on_device(_scalar)
bucket, float_key, mix64, side, splitmix64 = _device.bucket, _device.float_key, _device.mix64, _device.side, _device.splitmix64
murmur3_128_block, murmur3_128_end = _device.murmur3_128_block, _device.murmur3_128_end
murmur3_128_first, murmur3_128_second = _device.murmur3_128_first, _device.murmur3_128_second
murmur3_block, murmur3_end, murmur3_word = _device.murmur3_block, _device.murmur3_end, _device.murmur3_word
official_bucket, xxh64_eight, xxh64_end = _device.official_bucket, _device.xxh64_eight, _device.xxh64_end
xxh64_round, xxh64_start, xxh64_tail, xxh64_whole = _device.xxh64_round, _device.xxh64_start, _device.xxh64_tail, _device.xxh64_whole


@kernel(lambda seed, out: out.size)
def seeds(seed, out):
    """One thread owns each number of the stream of splitmix64."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = splitmix64(seed + np.uint64(0x9E3779B97F4A7C15) * np.uint64(i + 1))


@kernel(lambda keys, seed, out: (keys.size + 3) >> 2)
def mix(keys, seed, out):
    """One thread owns every so-many-th key, and asks for four before it writes: one at a time leaves too little under way to memory."""
    i, step = cuda.grid(1), cuda.gridsize(1)
    while i + 3 * step < keys.size:
        first, second, third, fourth = keys[i], keys[i + step], keys[i + 2 * step], keys[i + 3 * step]
        out[i] = mix64(first ^ seed)
        out[i + step] = mix64(second ^ seed)
        out[i + 2 * step] = mix64(third ^ seed)
        out[i + 3 * step] = mix64(fourth ^ seed)
        i += 4 * step
    while i < keys.size:
        out[i] = mix64(keys[i] ^ seed)
        i += step


@kernel(lambda bits, seed, out: bits.size)
def mix_floats(bits, seed, out):
    """Mixed keys of float64 numbers, given by their bits; one thread owns each."""
    for i in range(cuda.grid(1), bits.size, cuda.gridsize(1)):
        out[i] = mix64(float_key(bits[i]) ^ seed)


@kernel(lambda keys, seeds, width, out: (keys.size, seeds.size))
def buckets(keys, seeds, width, out):
    """One thread owns each bucket of `out` (depth, n), rows on the y axis of the grid."""
    first, row = cuda.grid(2)
    step, rows = cuda.gridsize(2)
    for d in range(row, seeds.size, rows):
        for i in range(first, keys.size, step):
            out[d, i] = bucket(mix64(keys[i] ^ seeds[d]), width)


@kernel(lambda keys, seeds, out: (keys.size, seeds.size))
def signs(keys, seeds, out):
    """One thread owns each sign of `out` (depth, n), rows on the y axis of the grid."""
    first, row = cuda.grid(2)
    step, rows = cuda.gridsize(2)
    for d in range(row, seeds.size, rows):
        for i in range(first, keys.size, step):
            out[d, i] = side(mix64(keys[i] ^ seeds[d]))


@kernel(lambda labels, width, out: (labels.size, out.shape[0]))
def official_buckets(labels, width, out):
    """One thread owns each bucket of `out` (repetitions, n), repetitions on the y axis of the grid."""
    first, row = cuda.grid(2)
    step, rows = cuda.gridsize(2)
    for r in range(row, out.shape[0], rows):
        for i in range(first, labels.size, step):
            out[r, i] = official_bucket(labels[i], r, width)


@device
def load(data, start, count):
    """`count` bytes, 8 at most, as a little-endian number; single loads, because texts start anywhere and a device reads aligned words."""
    word = np.uint64(0)
    for k in range(count):
        word = word | np.uint64(data[start + k]) << np.uint64(8 * k)
    return word


@device
def xxh64_blocks(data, start, stop, seed):
    """State of xxh64 after the whole 32-byte blocks of data[start:stop]."""
    lane1, lane2, lane3, lane4 = xxh64_start(seed)
    at = start
    while at + 32 <= stop:
        lane1 = xxh64_round(lane1, load(data, at, 8))
        lane2 = xxh64_round(lane2, load(data, at + 8, 8))
        lane3 = xxh64_round(lane3, load(data, at + 16, 8))
        lane4 = xxh64_round(lane4, load(data, at + 24, 8))
        at += 32
    return xxh64_whole(lane1, lane2, lane3, lane4)


@kernel(lambda data, starts, stops, seed, out: starts.size)
def xxh64_spans(data, starts, stops, seed, out):
    """One thread owns each span of the buffer."""
    for i in range(cuda.grid(1), starts.size, cuda.gridsize(1)):
        at, stop = starts[i], stops[i]
        length = stop - at
        state = seed + np.uint64(0x27D4EB2F165667C5)
        if length >= 32:
            state = xxh64_blocks(data, at, stop, seed)
            at = at + (length >> 5 << 5)
        state = state + np.uint64(length)
        while at + 8 <= stop:
            state = xxh64_eight(state, load(data, at, 8))
            at += 8
        out[i] = xxh64_end(xxh64_tail(state, load(data, at, stop - at), stop - at))


@kernel(lambda data, starts, stops, seed, out: starts.size)
def murmur3_spans(data, starts, stops, seed, out):
    """One thread owns each span of the buffer."""
    for i in range(cuda.grid(1), starts.size, cuda.gridsize(1)):
        at, stop = starts[i], stops[i]
        length = stop - at
        state = seed
        while at + 4 <= stop:
            state = murmur3_block(state, np.uint32(load(data, at, 4)))
            at += 4
        state = np.uint32(state ^ murmur3_word(np.uint32(load(data, at, stop - at))))
        out[i] = murmur3_end(state, np.uint32(length & 0xFFFFFFFF))


@kernel(lambda data, starts, stops, seed, out: starts.size)
def murmur3_128_spans(data, starts, stops, seed, out):
    """One thread owns each span of the buffer; `out` is (n, 2), low half first."""
    for i in range(cuda.grid(1), starts.size, cuda.gridsize(1)):
        at, stop = starts[i], stops[i]
        length = stop - at
        low, high = seed, seed
        while at + 16 <= stop:
            low, high = murmur3_128_block(low, high, load(data, at, 8), load(data, at + 8, 8))
            at += 16
        left = stop - at
        low = low ^ murmur3_128_first(load(data, at, left if left < 8 else 8))
        high = high ^ murmur3_128_second(load(data, at + 8, left - 8 if left > 8 else 0))
        low, high = murmur3_128_end(low, high, np.uint64(length))
        out[i, 0] = low
        out[i, 1] = high


@kernel(lambda offsets, size, bad: offsets.size)
def check_offsets(offsets, size, bad):
    """Set bad[0] if the offsets of spans are not ascending within 0 to `size`; only the device has this, the host asks NumPy."""
    for i in range(cuda.grid(1), offsets.size, cuda.gridsize(1)):
        before = offsets[i - 1] if i > 0 else 0
        if offsets[i] < before or offsets[i] > size:
            bad[0] = 1
