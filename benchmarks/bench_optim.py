"""Optimizer steps on the touched rows of a table, and shallow MACH trained with small states, in one run of interleaved rounds.

"step" compares Adam on rows of a large table with copying an array by two threads, both in bytes a second: a step reads
the gradients, and reads and writes weights and two moments, 28 bytes a number; a copy reads and writes, 8 bytes a number. Sketched steps
are given in multiples of dense Adam's time. With TRAIN and TEST (files of the format of the extreme classification repository) a shallow
MACH is trained with every kind of state for its first layer: bytes of that state and of all states, precision at 1, seconds a pass.
Choices belong on rows held out of TRAIN (--hold); --only trains some of the states, --one times one shape.
"""
import argparse
import gc
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from _timing import interleaved, machine, spread

from sketchxc import files, lookup, metrics, optim, schedules, shallow, sketchoptim, sparse

SHAPES = [(200_000, 256, 20_000, 0.0), (200_000, 256, 20_000, 1.0), (2_000_000, 32, 100_000, 0.0), (100_000, 128, 10_000, 0.0)]
KINDS = [("CS-MV", dict()), ("CS-V", dict(exact_m=True)), ("CS-MV cell", dict(kind="cell")), ("CS-MV batch", dict(kind="batch"))]


def zipf_rows(rng, n, count, exponent):
    """`count` distinct rows, drawn with chances that fall as rank**-exponent (0 for uniform ones), at random places."""
    chances = np.arange(1, n + 1, dtype=np.float64)**-exponent
    return np.sort(rng.permutation(n)[rng.choice(n, count, replace=False, p=chances / chances.sum())])


def steps(rounds, n, d, count, exponent, share):
    """Print the table of steps for a shape."""
    rng = np.random.default_rng(0)
    opt, table = optim.adam(), np.zeros((n, d), np.float32)
    table[...] = 1
    rows = zipf_rows(rng, n, count, exponent)
    grads = rng.standard_normal((count, d), np.float32)
    source, target = np.ones((count * 7 // 2, d), np.float32), np.ones((count * 7 // 2, d), np.float32)
    states = {"dense": optim.slots(opt, (n, d))}
    for name, more in KINDS:
        states[name] = sketchoptim.sketched_slots(opt, (n, d), share=share, **more)
    states["rank-1"] = sketchoptim.rank_one_slots(opt, (n, d))
    for name in ("m", "v"):
        getattr(states["dense"], name)[...] = 1  # memory that is there
    half = source.shape[0] // 2

    def copy():
        with ThreadPoolExecutor(2) as pool:
            for part in (slice(0, half), slice(half, None)):
                pool.submit(np.copyto, target[part], source[part])

    tasks = {"copy": copy}
    for name, state in states.items():
        tasks[name] = lambda state=state: sketchoptim.step(opt, state, table, rows, grads)
    seconds = interleaved(tasks, rounds)
    copy, dense = 2 * source.nbytes / seconds["copy"] / 1e9, 7 * grads.nbytes / seconds["dense"] / 1e9
    print(f"rows {count} of {n}, d {d}, exponent {exponent}, sketches of {share:.0%}")
    print(f"  copy {spread(copy)} GB/s  Adam {spread(dense)} GB/s  Adam/copy {spread(dense / copy)}")
    for name, state in states.items():
        print(f"  {name:<12} {sketchoptim.state_bytes(state) / 1e6:>9.1f} MB of {sketchoptim.state_bytes(states['dense']) / 1e6:.1f}  "
              f"time over Adam's {spread(seconds[name] / seconds['dense'])}", flush=True)


def sketched(**more):
    """Function (opt, shape) that makes the state."""
    return lambda opt, shape: sketchoptim.sketched_slots(opt, shape, **more)


def train(train_path, test_path, *, reps, buckets, hidden, passes, limit, hold, lr, batch, shares, only):
    """Print a line for every kind of state of the first layer."""
    x, y = files.read_xc(train_path)
    if hold:
        order = np.random.default_rng(7).permutation(x.indptr.size - 1)
        (test_x, x), (test_y, y) = ([sparse.take(part, np.sort(rows)) for rows in (order[:hold], order[hold:])] for part in (x, y))
    else:
        test_x, test_y = files.read_xc(test_path)
    if limit:
        chosen = [np.sort(np.random.default_rng(0).permutation(part.indptr.size - 1)[:many])
                  for part, many in ((x, limit), (test_x, min(limit, 10_000)))]
        x, y, test_x, test_y = (sparse.take(part, chosen[i // 2]) for i, part in enumerate((x, y, test_x, test_y)))
    x, test_x = (sparse.normalize(part) for part in (x, test_x))
    n = x.indptr.size - 1
    print(f"rows {n}, features {x.width}, labels {y.width}, reps {reps}, buckets {buckets}, hidden {hidden}, passes {passes}, lr {lr}, "
          f"batch {batch}")
    found = lookup.hashed(y.width, reps=reps, buckets=buckets)
    adam, plain = optim.adam(lr), optim.rmsprop(lr, b2=0.999, corrected=True)
    makes, cleaning = [("Adam", adam, optim.slots)], dict(factor=0.9, period=20)  # in small steps: better than half every 125
    for share in shares:
        makes += [(f"CS-V {share:.0%}", adam, sketched(share=share, exact_m=True)),
                  (f"CS-V cleaned {share:.0%}", adam, sketched(share=share, exact_m=True, **cleaning)),
                  (f"b1=0 CS-V {share:.0%}", plain, sketched(share=share)),
                  (f"b1=0 CS-V cleaned {share:.0%}", plain, sketched(share=share, **cleaning)),
                  (f"CS-MV {share:.0%}", adam, sketched(share=share))]
    makes += [("rank-1", adam, sketchoptim.rank_one_slots), ("b1=0", plain, optim.slots),
              ("b1=0 rank-1", plain, sketchoptim.rank_one_slots)]
    for kind in ("cell", "batch"):
        makes += [(f"CS-V {kind} 20%", adam, sketched(share=0.2, exact_m=True, kind=kind)),
                  (f"CS-MV {kind} 20%", adam, sketched(share=0.2, kind=kind))]
    makes += [("CS-MV 200%", adam, sketched(share=2.0)), ("CS-MV cleaned 20%", adam, sketched(share=0.2, **cleaning))]
    unknown = set(only) - {name for name, _, _ in makes}
    if unknown:
        raise SystemExit(f"--only: there is no {', '.join(sorted(unknown))}; there are {', '.join(name for name, _, _ in makes)}")
    for name, opt, make in makes:
        if only and name not in only:
            continue
        model = shallow.init(x.width, found, hidden=(hidden,), loss="softmax", seed=1)
        state = shallow.slots(opt, model)._replace(embed=make(opt, model.embed.shape))
        rng, seconds, total = np.random.default_rng(0), [], passes * -(-n // batch)
        rates = schedules.linear(lr, total).reshape(passes, -1)
        for i in range(passes):
            start = time.perf_counter()
            shallow.train(model, opt, state, x, y, rng.permutation(n), batch=batch, rates=rates[i], check=i == 0)
            seconds.append(time.perf_counter() - start)
        ranked, _ = shallow.top_k(model, test_x, 5)
        own, every = sketchoptim.state_bytes(state.embed), sketchoptim.state_bytes(state)
        weights = sketchoptim.state_bytes(model[:6])
        print(f"{name:<20} first layer {own / 1e6:>7.2f} MB  all states {every / 1e6:>7.2f}  with weights {(every + weights) / 1e6:>7.2f}  "
              f"P@1 {100 * metrics.precision_at(ranked, test_y, 1):>6.2f}  P@5 {100 * metrics.precision_at(ranked, test_y, 5):>6.2f}  "
              f"s/pass {spread(np.array(seconds))}", flush=True)
        del model, state
        gc.collect()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="TRAIN TEST", help="two files, or none")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--limit", type=int, default=0, help="rows of TRAIN, and at most 10,000 of TEST; 0 for all")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--only", default="", help="names of the states that are trained, separated by commas")
    parser.add_argument("--hold", type=int, default=0, help="measure on that many rows held out of TRAIN, not on TEST")
    parser.add_argument("--lr", type=float, default=5e-3, help="rate of Adam at the first step, from which it falls to 0")
    parser.add_argument("--no-steps", action="store_true", help="only the training")
    parser.add_argument("--one", type=int, help="time the steps of one shape only, by its place in SHAPES")
    chosen = parser.parse_args()
    if len(chosen.paths) not in (0, 2):
        parser.error("give the two files TRAIN and TEST, or none")
    print(machine())
    if chosen.smoke:
        steps(1, 200, 20, 50, 1.0, 0.2)
    elif not chosen.no_steps:
        for n, d, count, exponent in SHAPES if chosen.one is None else [SHAPES[chosen.one]]:
            for share in (0.2, 0.01):
                steps(chosen.rounds, n, d, count, exponent, share)
    if chosen.smoke and not chosen.only:
        chosen.only = "Adam,CS-V cleaned 20%,CS-MV 20%,b1=0 rank-1"
    if chosen.paths:
        sizes = dict(reps=2, buckets=64, hidden=32) if chosen.smoke else dict(reps=2, buckets=2000, hidden=128)
        train(*chosen.paths, **sizes, passes=chosen.passes, limit=100 if chosen.smoke else chosen.limit, hold=chosen.hold, lr=chosen.lr,
              batch=256, shares=(0.2, 0.05, 0.01), only=[name for name in chosen.only.split(",") if name])


if __name__ == "__main__":
    main()
