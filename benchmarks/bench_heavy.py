"""Heavy hitters beside datasketches, collections.Counter and NumPy on the same keys, and `sketchxc count` beside sort and uniq.

Interleaved in one process on one thread; nanoseconds per key, medians with the range of the rounds. Peers that are not installed are left
out.
"""
import argparse
import collections
import os
import subprocess
import sys
import tempfile
import time

import numba
import numpy as np
from _streams import real_streams
from _timing import interleaved, machine, spread

from sketchxc import count, heavy


def streams(n, data):
    """(name, int64 keys) of each stream: Zipf-like ones, and the real ones that the data folder has."""
    rng = np.random.default_rng(0)
    yield "Zipf(1), 1 M keys", (1_000_000 ** rng.random(n)).astype(np.int64)
    yield "Zipf(1), 100 M keys", (100_000_000 ** rng.random(n)).astype(np.int64)
    yield from real_streams(data)


def tasks(keys, capacity):
    """name -> function that counts the keys from nothing; and how many keys each takes."""
    few = keys[:200_000]
    listed = few.tolist()

    def summary(make, some):
        made = make(capacity)
        heavy.add(made, some)
        return made

    found = {"misra_gries": (lambda: summary(heavy.misra_gries, keys), keys.size),
             "space_saving": (lambda: summary(heavy.space_saving, keys[:2_000_000]), min(keys.size, 2_000_000)),
             "NumPy unique (exact)": (lambda: np.unique(keys[:2_000_000], return_counts=True), min(keys.size, 2_000_000)),
             "Counter (exact)": (lambda: collections.Counter(listed), few.size)}
    try:
        import datasketches

        def peer():
            made = datasketches.frequent_items_sketch(15)
            for key in listed:
                made.update(key)
        found["datasketches frequent_items, 2^15"] = (peer, few.size)
    except ImportError:
        pass
    return found


def heavy_hitters(n, rounds, data):
    for name, keys in streams(n, data):
        found = tasks(keys, 12288)
        seconds = interleaved({task: call for task, (call, _) in found.items()}, rounds)
        print(f"\n{name}: {keys.size:,} keys, capacity 12,288 (a table of 2^15 slots)")
        for task, (_, size) in found.items():
            print(f"  {task:36} {spread(seconds[task] / size * 1e9)} ns per key")
        made = heavy.misra_gries(12288)
        heavy.add(made, keys)
        print(f"  bounds {heavy.error(made)} apart at most, promised {keys.size // 12289}")


def files(n):
    """Seconds of one count of a file of words, beside sort | uniq -c | sort."""
    keys = (1_000_000 ** np.random.default_rng(1).random(n)).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "words")
        with open(path, "w") as file:
            file.writelines(f"w{key}\n" for key in keys.tolist())
        megabytes = os.path.getsize(path) / 1e6
        for by in ("word", "line"):
            count.count(path, by=by, top=1)  # compile
            start = time.perf_counter()
            count.count(path, by=by)
            seconds = time.perf_counter() - start
            print(f"count by {by:5} {megabytes:7.1f} MB, {n:,} tokens: {seconds:6.2f} s, {megabytes / seconds:5.0f} MB/s")
        if sys.platform != "win32":
            start = time.perf_counter()
            subprocess.run(f"LC_ALL=C sort {path} | uniq -c | sort -rn | head -20", shell=True, stdout=subprocess.DEVNULL, check=True)
            print(f"sort | uniq -c | sort                        : {time.perf_counter() - start:6.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", default=os.environ.get("SKETCHXC_DATA"), help="folder with fimi/ and words/ (default: SKETCHXC_DATA)")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that it runs")
    args = parser.parse_args()
    if args.smoke:
        args.keys, args.rounds = 20_000, 1
    numba.set_num_threads(1)
    print(machine())
    heavy_hitters(args.keys, args.rounds, args.data)
    print()
    files(args.keys // 5)


if __name__ == "__main__":
    main()
