"""Sketches beside NumPy, datasketches and bounter (where they are installed), interleaved in one process: nanoseconds per key."""
import argparse
import os
import time

import numpy as np
from _streams import real_streams
from _timing import interleaved, machine, spread

from sketchxc import hashing, sketch
from sketchxc._threads import available, limited

DEPTH = 5


def stream(n, distinct=1_000_000):
    """Keys with Zipf(1) frequencies, in random order."""
    chances = np.cumsum(1 / np.arange(1, distinct + 1))
    ranks = np.searchsorted(chances, np.random.default_rng(0).random(n) * chances[-1])
    return hashing.mix(ranks, 7).view(np.int64)


def numpy_add(table, seeds, keys):
    for row, places in zip(table, hashing.buckets(keys, seeds, table.shape[1])):
        row += np.bincount(places, minlength=row.size)


def numpy_estimate(table, seeds, keys):
    return np.minimum.reduce([row[places] for row, places in zip(table, hashing.buckets(keys, seeds, table.shape[1]))])


def peers(width, keys):
    """(name, call) of the libraries that are installed; they take one key per call or a sequence of bytes."""
    few = keys[:200_000]
    try:
        import datasketches
        other = datasketches.count_min_sketch(DEPTH, width)

        def update(values=few.tolist()):
            for value in values:
                other.update(value)

        def ask(values=few.tolist()):
            for value in values:
                other.get_estimate(value)
        yield "update, datasketches (a loop)", update, few.size
        yield "query, datasketches (a loop)", ask, few.size
    except ImportError:
        pass
    try:
        import bounter
        counter = bounter.CountMinSketch(width=width, depth=DEPTH)
        texts = [str(value) for value in few.tolist()]
        yield "conservative, bounter (strings)", lambda: counter.update(texts), few.size
    except ImportError:
        pass


def measure(width, dtype, keys, rounds, name="Zipf"):
    plain, one, conservative = (sketch.count_min(DEPTH, width, seed=1, dtype=dtype) for _ in range(3))
    signed = sketch.count_sketch(DEPTH, width, seed=1, dtype=dtype)
    baseline, counts = np.zeros_like(plain.table), np.ones(keys.size, np.int64)
    few = keys[:keys.size // 5]

    def alone(call):
        def task():
            with limited(1):
                call()
        return task

    tasks = {"update": (alone(lambda: sketch.add(one, keys)), keys.size),
             "update, NumPy bincount": (alone(lambda: numpy_add(baseline, one.seeds, few)), few.size),
             "update with counts": (alone(lambda: sketch.add(plain, keys, counts)), keys.size),
             "query": (alone(lambda: sketch.estimate(one, keys)), keys.size),
             "query, NumPy": (alone(lambda: numpy_estimate(one.table, one.seeds, few)), few.size),
             "conservative update": (alone(lambda: sketch.add(conservative, keys, conservative=True)), keys.size),
             "count-sketch update": (alone(lambda: sketch.add(signed, keys)), keys.size),
             "count-sketch query": (alone(lambda: sketch.estimate(signed, keys)), keys.size)}
    if available() > 1:
        tasks[f"update, {available()} threads"] = (lambda: sketch.add(plain, keys), keys.size)
        tasks[f"query, {available()} threads"] = (lambda: sketch.estimate(plain, keys), keys.size)
    tasks.update({name: (call, n) for name, call, n in peers(width, keys)})
    seconds = interleaved({name: call for name, (call, _) in tasks.items()}, rounds)
    print(f"\ndepth {DEPTH}, width {width:,}, {np.dtype(dtype)}, {keys.size:,} keys, {name}: nanoseconds per key, median (range)")
    for name, (_, n) in tasks.items():
        print(f"{name:34} {spread(seconds[name] / n * 1e9)}")


def small(rounds):
    """Microseconds of calls with few keys, and of NumPy calls beside them."""
    s, row = sketch.count_min(DEPTH, 2**16, seed=1), np.zeros(2**16, np.int64)
    print("\nmicroseconds per call")
    for n in (1, 100):
        keys = np.arange(n)
        calls = {"add": lambda: sketch.add(s, keys), "add with counts": lambda: sketch.add(s, keys, keys),
                 "estimate": lambda: sketch.estimate(s, keys), "np.bincount": lambda: np.bincount(keys),
                 "np.add.at": lambda: np.add.at(row, keys, 1)}
        for name, call in calls.items():
            call()
            taken = []
            for _ in range(rounds):
                start = time.perf_counter()
                for _ in range(200):
                    call()
                taken.append((time.perf_counter() - start) / 200 * 1e6)
            print(f"{name + f', {n} keys':34} {spread(np.array(taken))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=10_000_000, help="keys of the stream")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    parser.add_argument("--data", default=os.environ.get("SKETCHXC_DATA"), help="folder with fimi/ and words/ (default: SKETCHXC_DATA)")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that it runs")
    args = parser.parse_args()
    if args.smoke:
        args.keys, args.rounds = 40_000, 2
    print(machine())
    keys = stream(args.keys)
    for width in (2**16, 2**20):
        for dtype in (np.int64, np.int32):
            measure(width, dtype, keys, args.rounds)
    for name, real in real_streams(args.data):
        measure(2**16, np.int64, real[:20_000] if args.smoke else real, args.rounds, name)
    small(50 if not args.smoke else 2)


if __name__ == "__main__":
    main()
