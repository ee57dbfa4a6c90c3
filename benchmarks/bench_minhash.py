"""MinHash signatures, similar pairs and groups, beside datasketch where it is installed, interleaved in one process.

Sets of 100 keys, of which every tenth is a near copy of the one before; microseconds per set, one thread.
"""
import argparse

import numpy as np
from _timing import interleaved, machine, spread

from sketchxc import minhash
from sketchxc._threads import limited

THRESHOLD, PERMUTATIONS, MEMBERS = 0.8, 128, 100


def sets(n):
    keys = np.random.default_rng(0).integers(0, 2**40, (n, MEMBERS))
    keys[1::10, 5:] = keys[:-1:10, 5:][:keys[1::10].shape[0]]
    return np.arange(n + 1) * MEMBERS, keys.ravel()


def peer(starts, keys):
    """(name, call) of datasketch, for as many sets as `starts` says; its values come from 8 bytes of each key."""
    try:
        import datasketch
    except ImportError:
        print("datasketch is not installed: left out")
        return
    listed = [[key.tobytes() for key in keys[first:last]] for first, last in zip(starts[:-1], starts[1:])]

    def make():
        return datasketch.MinHash.bulk(listed, num_perm=PERMUTATIONS)
    made = make()

    def groups():
        index = datasketch.MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)
        with index.insertion_session() as session:
            for i, one in enumerate(made):
                session.insert(i, one)
        for one in made:
            index.query(one)
    yield "signatures, datasketch", make
    yield "insert and query all, datasketch", groups


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that it runs")
    args = parser.parse_args()
    if args.smoke:
        args.sets, args.rounds = 300, 1
    print(machine())
    starts, keys = sets(args.sets)
    few = min(2000, args.sets)
    found = minhash.signatures((starts, keys), PERMUTATIONS)
    same = minhash.Signatures(np.zeros_like(found.values), 0)
    tasks = {"signatures": (lambda: minhash.signatures((starts, keys), PERMUTATIONS), args.sets),
             "similar": (lambda: minhash.similar(found, THRESHOLD), args.sets),
             "duplicates": (lambda: minhash.duplicates(found, THRESHOLD), args.sets),
             "duplicates, all sets equal": (lambda: minhash.duplicates(same, THRESHOLD), args.sets)}
    tasks.update({name: (call, few) for name, call in peer(starts[:few + 1], keys[:starts[few]])})
    with limited(1):
        seconds = interleaved({name: call for name, (call, _) in tasks.items()}, args.rounds)
    print(f"\n{args.sets:,} sets of {MEMBERS} keys, {PERMUTATIONS} permutations, threshold {THRESHOLD}: "
          "microseconds per set, median (range)")
    for name, (_, n) in tasks.items():
        print(f"{name:34} {spread(seconds[name] / n * 1e6)}")
    pairs, _ = minhash.similar(found, THRESHOLD)
    planted = np.arange(1, args.sets, 10)
    hit = np.isin(planted, pairs[:, 1])
    print(f"planted pairs found: {hit.mean():.4f}, other pairs: {pairs.shape[0] - hit.sum()}")


if __name__ == "__main__":
    main()
