"""Seconds of `import sketchxc` beside those of the packages under it, and of the first training call without and with the compiled cache.

Every figure is a fresh process; medians of interleaved rounds.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from _timing import machine

TRAIN = """
import time, numpy as np, sketchxc
if {cache!r}:
    sketchxc.enable_cache({cache!r})
x = sketchxc.rows(np.eye(64, dtype=np.float32))
y = sketchxc.rows([[i % 5] for i in range(64)], 5)
model = sketchxc.mach.init(64, sketchxc.lookup.hashed(5, reps=2, buckets=4))
opt = sketchxc.optim.sgd(1.0)
start = time.perf_counter()
sketchxc.mach.train(model, opt, sketchxc.mach.slots(opt, model), x, y, np.arange(64))
print(time.perf_counter() - start)
"""


def wall(code):
    """Seconds that a fresh interpreter takes for `code`, less those of an empty one."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def first_call(cache):
    done = subprocess.run([sys.executable, "-c", TRAIN.format(cache=cache)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    rounds = 1 if args.smoke else args.rounds
    print(machine())
    codes = {"nothing": "", "numpy": "import numpy", "numba": "import numba", "sketchxc": "import sketchxc"}
    seconds = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            seconds[name].append(wall(code))
    base = statistics.median(seconds["nothing"])
    for name in ("numpy", "numba", "sketchxc"):
        values = seconds[name]
        print(f"import {name:<10} {statistics.median(values) - base:.3f} s ({min(values) - base:.3f} to {max(values) - base:.3f})")
    calls = [first_call("") for _ in range(min(rounds, 3))]
    print(f"first training call, compiled anew  {statistics.median(calls):.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        first_call(os.path.join(folder, "cache"))
        calls = [first_call(os.path.join(folder, "cache")) for _ in range(min(rounds, 3))]
    print(f"first training call, from the cache {statistics.median(calls):.2f} s")


if __name__ == "__main__":
    main()
