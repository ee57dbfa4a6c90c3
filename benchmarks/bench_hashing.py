"""Hashing of keys and strings beside NumPy, pandas, xxhash, mmh3 and scikit-learn, interleaved in one process."""
import argparse
import platform
import time

import numba
import numpy as np

from sketchxc import families, hashing


def keys_rows(n):
    """(name, call, items) of each way to hash `n` int64 keys."""
    keys = np.random.default_rng(0).integers(0, 2**63, n)
    seeds = hashing.seeds(16, 1)
    few = keys[:max(n // 16, 1)]

    def finalizer():
        h = keys.view(np.uint64)
        h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
        h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
        return h ^ (h >> np.uint64(33))

    out = np.empty(n, np.uint64)
    yield "mix", lambda: hashing.mix(keys), n
    yield "mix, out given", lambda: hashing.mix(keys, out=out), n
    floats = keys.astype(np.float64)
    yield "hash_keys, float64", lambda: hashing.hash_keys(floats), n
    for name, family in (("multiply-shift", families.multiply_shift(1, 1)), ("polynomial, 2-wise", families.polynomial(1, 2, 1)),
                         ("polynomial, 4-wise", families.polynomial(1, 4, 1)), ("tabulation", families.tabulation(1, 1))):
        yield f"families.hashes, {name}", lambda family=family: families.hashes(family, keys), n
    yield "buckets, 16 rows", lambda: hashing.buckets(few, seeds, 1000), 16 * few.size
    yield "signs, 16 rows", lambda: hashing.signs(few, seeds), 16 * few.size
    yield "NumPy finalizer", finalizer, n
    try:
        import pandas
        yield "pandas hash_array", lambda: pandas.util.hash_array(keys), n
    except ImportError:
        pass
    try:
        import mmh3
        listed = keys[:100_000].tolist()
        yield "mmh3.hash64 of 8 bytes in a loop", lambda: [mmh3.hash64(key.to_bytes(8, "little")) for key in listed], len(listed)
    except ImportError:
        pass
    try:
        from sklearn.utils import murmurhash3_32
        narrow = keys.astype(np.int32)
        yield "scikit-learn murmurhash3_32, int32", lambda: murmurhash3_32(narrow), n
    except ImportError:
        pass


def string_rows(n):
    """(name, call, items) of each way to hash `n` strings of about 9.6 letters."""
    rng = np.random.default_rng(1)
    lengths = np.clip(rng.normal(9.6, 3.5, n).round(), 1, 30).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    data = rng.integers(97, 123, offsets[-1]).astype(np.uint8)
    whole = data.tobytes().decode()
    texts = [whole[a:b] for a, b in zip(offsets[:-1].tolist(), offsets[1:].tolist())]
    unicode, ascii_, objects = np.array(texts), np.array(texts, np.bytes_), np.array(texts, object)
    yield "hash_strings, offsets", lambda: hashing.hash_strings((data, offsets)), n
    yield "murmur3_strings, offsets", lambda: hashing.murmur3_strings((data, offsets)), n
    yield "murmur3_128_strings, offsets", lambda: hashing.murmur3_128_strings((data, offsets)), n
    yield "hash_strings, list of str", lambda: hashing.hash_strings(texts), n
    yield "hash_strings, object array", lambda: hashing.hash_strings(objects), n
    yield f"hash_strings, {unicode.dtype}", lambda: hashing.hash_strings(unicode), n
    yield f"hash_strings, {ascii_.dtype}", lambda: hashing.hash_strings(ascii_), n
    try:
        import xxhash
        yield "xxhash in a loop, str.encode", lambda: [xxhash.xxh64_intdigest(text.encode()) for text in texts], n
    except ImportError:
        pass
    try:
        import mmh3
        yield "mmh3.hash in a loop", lambda: [mmh3.hash(text) for text in texts], n
    except ImportError:
        pass
    try:
        import pandas
        yield "pandas hash_array, object", lambda: pandas.util.hash_array(objects, categorize=False), n
    except ImportError:
        pass


def measure(rows, rounds):
    """First-call seconds and the seconds of each round of each row; the rounds of all rows take turns."""
    rows, taken = list(rows), {}
    for turn in range(rounds + 1):
        for name, call, _ in rows:
            start = time.perf_counter()
            call()
            taken.setdefault(name, []).append(time.perf_counter() - start)
    for name, _, items in rows:
        first, rest = taken[name][0], sorted(taken[name][1:])
        print(f"{name:38} {items:>11,} first {first:7.3f} s  best {rest[0]:8.4f} s  "
              f"min {rest[0] / items * 1e9:7.2f} median {rest[len(rest) // 2] / items * 1e9:7.2f} ns/item")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000_000, help="int64 keys")
    parser.add_argument("--strings", type=int, default=1_000_000, help="strings")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that it runs")
    args = parser.parse_args()
    if args.smoke:
        args.keys, args.strings, args.rounds = 20_000, 2_000, 2
    print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}, "
          f"numba {numba.__version__}, {numba.get_num_threads()} threads")
    measure(keys_rows(args.keys), args.rounds)
    measure(string_rows(args.strings), args.rounds)


if __name__ == "__main__":
    main()
