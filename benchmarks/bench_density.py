"""Density sketch beside the bare matrix product that it needs, interleaved in one process: microseconds per point.

The size is that of "How to train data-efficient LLMs": 1,000 rows of 20,000 columns for embeddings of 768 numbers.
"""
import argparse
import contextlib

import numpy as np
from _timing import interleaved, machine, spread
from threadpoolctl import threadpool_limits

from sketchxc import density
from sketchxc._threads import available, limited


@contextlib.contextmanager
def threads(n):
    with limited(n), threadpool_limits(n):
        yield


def measure(rows, width, dims, points, rounds):
    x = np.random.default_rng(0).standard_normal((points, dims), np.float32)
    for made in (density.euclidean(rows, width, dims, 40.0, seed=1), density.angular(rows, dims, 4, seed=1, width=width)):
        tasks = {}
        for n in sorted({1, available()}):
            def alone(call, n=n):
                def task():
                    with threads(n):
                        call()
                return task

            def products(vectors=made.projections):
                for first in range(0, points, 4096):
                    np.matmul(vectors, x[first:first + 4096].T)
            tasks[f"add, {n} threads"] = alone(lambda made=made: density.add(made, x))
            tasks[f"density_scores, {n} threads"] = alone(lambda made=made: density.density_scores(made, x))
            tasks[f"matrix product alone, {n} threads"] = alone(products)
        seconds = interleaved(tasks, rounds)
        print(f"\n{made.kind}, {rows:,} rows x {width:,} columns, {made.projections.shape[0]:,} vectors of {dims} numbers, "
              f"{points:,} points: microseconds per point, median (range)")
        for name, taken in seconds.items():
            print(f"{name:34} {spread(taken / points * 1e6)}")
    with threads(1):
        taken = interleaved({"sample": lambda: density.inverse_propensity_sample(np.full(points * 10, 0.5), points, 0)}, rounds)["sample"]
    print(f"{'inverse_propensity_sample':34} {spread(taken / points / 10 * 1e6)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that it runs")
    args = parser.parse_args()
    print(machine())
    if args.smoke:
        measure(20, 100, 16, 300, 1)
    else:
        measure(1000, 20_000, 768, args.points, args.rounds)


if __name__ == "__main__":
    main()
