"""Cases of bench_cuda.py: hashes, families and sketches."""
import numpy as np
from _cuda_timing import copy_bandwidth, poisoned, seconds

from sketchxc import families, hashing, rowsketch, sketch, to_device, to_host


def zipf(rng, n, universe=2**24):
    """Keys whose frequency falls as 1 / rank (Zipf with exponent 1), as scattered 64-bit numbers: rank r is drawn as exp of a uniform."""
    ranks = np.exp(rng.random(n, np.float32) * np.float32(np.log(universe))).astype(np.int64)
    return hashing.mix(ranks, 7).view(np.int64)


def check_mix(rng, small):
    for n in (1, 31, 101 if small else 5_000_011):
        keys, seed = rng.integers(-2**63, 2**63, n), int(rng.integers(2**63))
        there, out = to_device(keys), poisoned(n, np.uint64)
        assert hashing.mix(there, seed, out=out) is out
        assert (to_host(out) == hashing.mix(keys, seed)).all()
        numbers = rng.normal(size=n)
        assert (to_host(hashing.hash_keys(to_device(numbers), seed)) == hashing.hash_keys(numbers, seed)).all()
        seeds = hashing.seeds(5, seed)
        for function, options in ((hashing.buckets, {"width": 1_000_003}), (hashing.signs, {})):
            assert (to_host(function(there, to_device(seeds), **options)) == function(keys, seeds, **options)).all()
        assert (to_host(hashing.official_buckets(to_device(keys.astype(np.int32)), 3, 10_007))
                == hashing.official_buckets(keys.astype(np.int32), 3, 10_007)).all()


def measure_mix(small):
    n = 64 if small else 2**27
    keys, out = to_device(np.arange(n)), poisoned(n, np.uint64)
    speed = 16 * n / seconds(lambda: hashing.mix(keys, 3, out=out))
    return speed / copy_bandwidth(small), "of copy", f"{speed / 1e9:,.0f} GB/s, copy {copy_bandwidth(small) / 1e9:,.0f} GB/s"


def measure_buckets(small):
    n = 64 if small else 2**26
    keys, seeds = to_device((np.arange(n), hashing.seeds(5, 1)))
    time = seconds(lambda: hashing.buckets(keys, seeds, 1_000_003))
    return 5 * n / time / 1e9, "G hashes/s", f"5 rows, {28 * n / time / copy_bandwidth(small):.2f} of copy bandwidth on 28 bytes a key"


def texts(rng, n):
    """Buffer and offsets of n texts of 0 to 40 bytes, one of 1,000."""
    lengths = rng.integers(0, 41, n)
    lengths[n // 2] = 1_000
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return rng.integers(0, 256, offsets[-1], dtype=np.uint8), offsets


def check_texts(rng, small):
    pair = texts(rng, 41 if small else 300_007)
    there = to_device(pair)
    for function in (hashing.hash_strings, hashing.murmur3_strings, hashing.murmur3_128_strings):
        assert (to_host(function(there, 5)) == function(pair, 5)).all()


def measure_texts(small):
    data, offsets = texts(np.random.default_rng(0), 20 if small else 10**7)
    there = to_device((data, offsets))
    time = seconds(lambda: hashing.hash_strings(there, 5))
    moved = data.size + 16 * offsets.size
    return (offsets.size - 1) / time / 1e9, "G texts/s", f"20 bytes a text, {moved / time / copy_bandwidth(small):.2f} of copy bandwidth"


def check_families(rng, small):
    keys = rng.integers(-2**63, 2**63, 41 if small else 1_000_003)
    for family in (families.multiply_shift(3, 1), families.polynomial(3, 4, 1), families.tabulation(3, 1)):
        there = to_device((family, keys))
        assert (to_host(families.hashes(*there)) == families.hashes(family, keys)).all()
        assert (to_host(families.buckets(*there, 1_009)) == families.buckets(family, keys, 1_009)).all()


def measure_families(small):
    n = 64 if small else 2**26
    keys, best = to_device(np.arange(n)), []
    for family in (families.multiply_shift(1, 1), families.polynomial(1, 4, 1), families.tabulation(1, 1)):
        there = to_device(family)
        best.append(n / seconds(lambda there=there: families.hashes(there, keys)) / 1e9)
    return best[1], "G keys/s", "polynomial, 4-wise; multiply-shift {:.0f}, tabulation {:.0f}".format(best[0], best[2])


def check_counts(rng, small):
    """Tables of integers are bit-equal to the CPU's; estimates too."""
    n = 301 if small else 3_000_017
    keys, counts = zipf(rng, n), rng.integers(0, 1000, n)
    for make, depth, dtype in ((sketch.count_min, 5, np.int64), (sketch.count_min, 4, np.int32), (sketch.count_sketch, 3, np.int64),
                               (sketch.count_sketch, 7, np.int64)):
        host = make(depth, 101 if small else 10_007, seed=3, dtype=dtype)
        there = to_device(host)
        some = counts - 500 if make is sketch.count_sketch else counts
        for part in (slice(0, n // 3), slice(n // 3, n)):
            sketch.add(host, keys[part], some[part])
            sketch.add(there, *to_device((keys[part], some[part])))
        sketch.add(host, keys)
        sketch.add(there, to_device(keys))
        assert all((a == b).all() for a, b in zip(host, to_host(there)))
        assert (to_host(sketch.estimate(there, to_device(keys[:100_000]))) == sketch.estimate(host, keys[:100_000])).all()
        assert sketch.inner(there, there) == sketch.inner(host, host)
    floats = to_device(sketch.count_min(5, 10_007, seed=3, dtype=np.float32))
    sketch.add(floats, *to_device((keys, counts.astype(np.float32))))
    exact = sketch.count_min(5, 10_007, seed=3)
    sketch.add(exact, keys, counts)
    np.testing.assert_allclose(to_host(floats).table, exact.table.astype(np.float64), rtol=1e-4)


def sizes(small):
    return (301, 2**6) if small else (10**8, 2**20)


def check_hundred_million(rng, small):
    n, width = sizes(small)
    keys = zipf(rng, n)
    host = sketch.count_min(5, width, seed=1)
    there = to_device(host)
    sketch.add(host, keys)
    sketch.add(there, to_device(keys))
    assert all((a == b).all() for a, b in zip(host, to_host(there)))


def measure_add(small):
    n, width = sizes(small)
    found = {}
    for name, keys in (("Zipf", zipf(np.random.default_rng(0), n)), ("distinct", np.arange(n))):
        keys, there = to_device(keys), to_device(sketch.count_min(5, width, seed=1))
        found[name] = n / seconds(lambda keys=keys, there=there: sketch.add(there, keys), rounds=5) / 1e9
    return found["Zipf"], "G keys/s", f"depth 5, width {width:,}, {n:,} keys; distinct keys {found['distinct']:.2f}"


def measure_estimate(small):
    n, width = sizes(small)
    keys, there = to_device(zipf(np.random.default_rng(0), n)), to_device(sketch.count_min(5, width, seed=1))
    return n / seconds(lambda: sketch.estimate(there, keys), rounds=5) / 1e9, "G keys/s", "depth 5"


def check_conservative(rng, small):
    """Between the true counts and plain additions; two runs give the same bits."""
    n = 301 if small else 3_000_017
    keys, host = rng.integers(0, n // 20, n), sketch.count_min(4, n // 30 + 1, seed=2)
    there, again = to_device(host), to_device(host)
    for part in (slice(0, n // 3), slice(n // 3, n)):
        sketch.add(host, keys[part])
        sketch.add(there, to_device(keys[part]), conservative=True)
        sketch.add(again, to_device(keys[part]), conservative=True)
    asked = np.arange(n // 20)
    found = to_host(sketch.estimate(there, to_device(asked)))
    assert (found >= np.bincount(keys, minlength=asked.size)).all() and (found <= sketch.estimate(host, asked)).all()
    assert (to_host(there).table == to_host(again).table).all()


def measure_conservative(small):
    n, width = sizes(small)
    keys, there = to_device(zipf(np.random.default_rng(0), n // 10)), to_device(sketch.count_min(5, width, seed=1))
    return n / 10 / seconds(lambda: sketch.add(there, keys, conservative=True), rounds=5) / 1e9, "G keys/s", "in batches of 2**20"


def check_rows(rng, small):
    """Row sketches against sums in float64."""
    k, width, columns = (31, 17, 5) if small else (30_011, 4_001, 67)
    numbers, values = rng.integers(0, 2**40, k), rng.normal(size=(k, columns)).astype(np.float32)
    table, seeds = np.zeros((3, width, columns), np.float32), hashing.seeds(3, 5)
    there = to_device((table, seeds, numbers, values))
    rowsketch.row_add(*there, signed=True)
    places, signs, exact = hashing.buckets(numbers, seeds, width), hashing.signs(numbers, seeds), np.zeros(table.shape)
    for d in range(3):
        np.add.at(exact[d], places[d], values * signs[d][:, None].astype(np.float64))
    np.testing.assert_allclose(to_host(there[0]), exact, rtol=1e-4, atol=1e-4)
    found = to_host(rowsketch.row_estimate(*there[:3], signed=True))
    assert (found == rowsketch.row_estimate(to_host(there[0]), seeds, numbers, signed=True)).all()


def measure_rows(small):
    k, width, columns = (20, 16, 4) if small else (65_536, 2**17, 64)
    rng = np.random.default_rng(0)
    there = to_device((np.zeros((3, width, columns), np.float32), hashing.seeds(3, 5), rng.integers(0, 2**40, k),
                       rng.normal(size=(k, columns)).astype(np.float32)))
    time = seconds(lambda: rowsketch.row_add(*there, signed=True))
    read = seconds(lambda: rowsketch.row_estimate(*there[:3], signed=True))
    return k / time / 1e9, "G rows/s", f"3 x {width:,} x {columns}; estimates {k / read / 1e9:.2f}"


CASES = [
    ("int64 hashing", check_mix, measure_mix, (">=", 0.8, "80 % of copy bandwidth")),
    ("buckets of 5 rows", check_mix, measure_buckets, None),
    ("xxh64 of texts", check_texts, measure_texts, None),
    ("proved families", check_families, measure_families, None),
    ("sketches of all kinds", check_counts, measure_estimate, None),
    ("CMS update, 100M Zipf keys", check_hundred_million, measure_add, (">=", 10, "10 G keys/s")),
    ("conservative update", check_conservative, measure_conservative, None),
    ("row sketch update", check_rows, measure_rows, None),
]
