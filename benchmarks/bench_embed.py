"""Embedding bags on one thread: lookups fused with their hash, and a training step beside PyTorch's, where PyTorch is installed.

A batch has `bags` bags of 20 uniform keys each; nanoseconds are of one lookup. Every task takes TURNS batches before the next task has its
turn, so that what another task left in the caches counts less. "step" is Adam on the distinct rows of the batch. PyTorch is given row
numbers that are already hashed: EmbeddingBag(sparse=True), backward of the sum of the bags times given slopes, SparseAdam.
"""
import argparse
from itertools import cycle

import numba
import numpy as np
from _timing import interleaved, machine, spread

from sketchxc import embed, hashing, optim

LENGTH, BATCHES = 20, 16  # keys a bag; batches that take turns, so that caches hold what they would hold in training
TURNS = 4  # batches of one measurement


def tasks(n_rows, d, bags, how):
    """dict name -> function: the parts of a step of ours, the whole, and PyTorch's, each on the next batch."""
    rng = np.random.default_rng(0)
    indptr, seeds = np.arange(0, bags * LENGTH + 1, LENGTH), hashing.seeds(1, 0)
    slopes = rng.standard_normal((bags, d), np.float32)
    table, opt = embed.init(n_rows, d, seed=0), optim.adam()
    state = optim.slots(opt, table.shape)
    batches = []
    for _ in range(BATCHES):
        keys = rng.integers(0, 2**63, bags * LENGTH).astype(np.uint64)
        seen = embed.bag(table, keys, indptr, how=how, seeds=seeds)[1]
        batches.append((keys, seen, *embed.bag_grads(seen, slopes)))
    turns = cycle(batches)

    def numpy_bag():
        ids = hashing.buckets(next(turns)[0], seeds, n_rows)[0]
        return table[ids].reshape(bags, LENGTH, d).sum(axis=1)

    def whole():
        _, seen = embed.bag(table, next(turns)[0], indptr, how=how, seeds=seeds)
        embed.step(opt, state, table, *embed.bag_grads(seen, slopes))

    found = {"bag and hash": lambda: embed.bag(table, next(turns)[0], indptr, how=how, seeds=seeds),
             "bag of ids": lambda: embed.bag(table, next(turns)[1].ids, indptr, how=how),
             "NumPy": numpy_bag,
             "gradient": lambda: embed.bag_grads(next(turns)[1], slopes),
             "step": lambda: embed.step(opt, state, table, *next(turns)[2:]),
             "all three": whole}
    try:
        import torch
    except ImportError:
        return found
    torch.set_num_threads(1)
    layer = torch.nn.EmbeddingBag(n_rows, d, mode=how, sparse=True)
    offsets, weights = torch.from_numpy(indptr[:-1]), torch.from_numpy(slopes)
    ids = cycle([torch.from_numpy(seen.ids.astype(np.int64)) for _, seen, _, _ in batches])
    rule = torch.optim.SparseAdam(layer.parameters(), lr=1e-3)

    def peer():
        rule.zero_grad()
        (layer(next(ids), offsets) * weights).sum().backward()
        rule.step()

    def peer_bag():
        with torch.no_grad():
            layer(next(ids), offsets)

    return {**found, f"torch {torch.__version__} bag of ids": peer_bag, "torch all three": peer}


def several(task):
    """A function that runs a task TURNS times."""
    def run():
        for _ in range(TURNS):
            task()
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", type=int, help="the number of one table, from 0")
    args = parser.parse_args()
    numba.set_num_threads(1)
    print(machine())
    sizes = [(1000, 8, 10)] if args.smoke else [(2**20, 32, 4096), (2**16, 32, 4096), (2**20, 16, 256)]
    for n_rows, d, bags in sizes if args.only is None else sizes[args.only:args.only + 1]:
        for how in ("sum", "mean"):
            every = {name: several(task) for name, task in tasks(n_rows, d, bags, how).items()}
            seconds = interleaved(every, 1 if args.smoke else args.rounds)
            print(f"table {n_rows} x {d}, {bags} bags of {LENGTH}, {how}")
            for name, values in seconds.items():
                print(f"  {name:<28} {spread(values / (TURNS * bags * LENGTH) * 1e9)} ns")
            if "torch all three" in seconds:
                print(f"  {'torch / ours':<28} {spread(seconds['torch all three'] / seconds['all three'])}", flush=True)


if __name__ == "__main__":
    main()
