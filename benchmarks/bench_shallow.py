"""Training of nets with hidden layers beside the bare matrix products of the same shapes, on one thread, in one run of interleaved rounds.

"products" is the share of SGEMM's speed that the matrix products have inside the training; "dense" that of everything behind the table of
the first layer (products, biases, losses, updates), measured as training on rows with one entry; "all" that of the whole training.
"""
import argparse
import time

import numpy as np
import threadpoolctl
from _timing import interleaved, machine, spread

from sketchxc import _net, lookup, optim, shallow, sparse

NONZEROS = 75


class Stopwatch:
    """np.matmul that counts its seconds, for the module that is measured."""

    def __init__(self):
        self.seconds = 0.0

    def __getattr__(self, name):
        return getattr(np, name)

    def matmul(self, *args, **more):
        start = time.perf_counter()
        np.matmul(*args, **more)
        self.seconds += time.perf_counter() - start


def compare(rounds, batch, sizes, buckets, opt, steps=12, width=20000, n_labels=50000):
    """Print one line for a shape."""
    rng = np.random.default_rng(0)
    n = batch * steps
    labels = sparse.rows([[int(v)] for v in rng.integers(0, n_labels, n)], n_labels)
    model = shallow.init(width, lookup.hashed(n_labels, reps=1, buckets=buckets), hidden=sizes)
    state = shallow.slots(opt, model)
    layers = list(zip(sizes, (*sizes[1:], buckets)))
    arrays = [(rng.random((batch, a), np.float32), rng.random((a, b), np.float32), rng.random((batch, b), np.float32)) for a, b in layers]
    outs = [tuple(np.empty_like(one) for one in group) for group in arrays]

    def products():
        with threadpoolctl.threadpool_limits(1, "blas"):
            for _ in range(steps):
                for (x, w, z), (dx, dw, out) in zip(arrays, outs):
                    np.matmul(x, w, out=out)
                    np.matmul(x.T, z, out=dw)
                    np.matmul(z, w.T, out=dx)

    def training(nonzeros):
        x = sparse.rows([np.unique(rng.integers(0, width, nonzeros)).tolist() for _ in range(n)], width)
        return lambda: shallow.train(model, opt, state, x, labels, np.arange(n), batch=batch, threads=1)

    tasks = {"products": products, "dense": training(1), "all": training(NONZEROS)}
    watch = _net.np = Stopwatch()
    inside = []
    seconds = {name: [] for name in tasks}
    try:
        for task in tasks.values():
            task()
        for _ in range(rounds):
            watch.seconds = 0.0
            for name, task in tasks.items():
                seconds[name].append(interleaved({name: task}, 1)[name][0])
            inside.append(watch.seconds / 4)  # two trainings, each run once to warm up and once to be timed
    finally:
        _net.np = np
    plain = np.array(seconds["products"])
    speed = 6.0 * n * sum(a * b for a, b in layers) / plain / 1e9
    rule = [name for name, number in optim.RULES.items() if number == opt.rule][0]
    print(f"batch {batch:>5}  hidden {'-'.join(map(str, sizes)):<8} buckets {buckets:>6}  {rule:<5} SGEMM {spread(speed)} GFLOP/s  "
          f"products {spread(plain / np.array(inside))}  dense {spread(plain / np.array(seconds['dense']))}  "
          f"all {spread(plain / np.array(seconds['all']))}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print(machine())
    if args.smoke:
        compare(1, 16, (8, 8), 32, optim.adam(), 2, width=100, n_labels=100)
        return
    for opt in (optim.sgd(), optim.adam()):
        for batch, sizes, buckets in [(256, (500,), 2000), (256, (500, 500), 5000), (1000, (500, 500), 5000), (1000, (500, 500), 10000)]:
            compare(args.rounds, batch, sizes, buckets, opt)


if __name__ == "__main__":
    main()
