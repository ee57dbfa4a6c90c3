"""Training and decoding kernels of MACH beside a matrix product and a copy on the same machine, in one run of interleaved rounds.

GFLOP/s of training count 4 operations for every (nonzero, bucket, repetition): one multiply-add forward and one backward. GB/s count 8
bytes, one float32 read and written, for every (distinct feature of a batch, bucket, repetition), whether they came from a cache or not.
"""
import argparse

import numba
import numpy as np
from _timing import interleaved, machine, spread

from sketchxc import decode, lookup, mach, optim, sparse


def zipf_rows(rng, n, width, nonzeros):
    """Rows of `nonzeros` distinct columns drawn by Zipf's law, as words are, scaled to length 1."""
    weights = 1.0 / np.arange(1, width + 1)
    edges = np.cumsum(weights / weights.sum())
    lists = [np.unique(np.searchsorted(edges, rng.random(nonzeros))) for _ in range(n)]
    return sparse.normalize(sparse.rows([np.minimum(row, width - 1).tolist() for row in lists], width))


def training(rounds, smoke):
    """GFLOP/s of passes for shapes from a small set whose weights fit the caches to a large one whose weights do not.

    A task takes some tenths of a second: the threads of the matrix product before it spin on for a while."""
    rng = np.random.default_rng(0)
    shapes = [("tags: 1,836 features, 69 nonzeros, R=16, B=32", 1836, 69, 16, 32),
              ("1,836 features, 69 nonzeros, R=8, B=256", 1836, 69, 8, 256),
              ("titles: 93,039 features, 12 nonzeros, R=8, B=512", 93039, 12, 8, 512)]
    tasks, work, moved = {}, {}, {}
    for name, width, nonzeros, reps, buckets in shapes[:1] if smoke else shapes:
        n = 256 if smoke else 8192
        x, labels = zipf_rows(rng, n, width, nonzeros), sparse.rows([[int(v)] for v in rng.integers(0, 5000, n)], 5000)
        opt = optim.sgd(1.0)
        model = mach.init(width, lookup.hashed(5000, reps=reps, buckets=buckets))
        state, order = mach.slots(opt, model), np.arange(n)
        passes = 1 if smoke else int(np.ceil(10e9 / (4.0 * x.indices.size * reps * buckets)))
        tasks[name] = lambda m=model, s=state, x=x, y=labels, o=order, opt=opt, passes=passes: [
            mach.train(m, opt, s, x, y, o, batch=32) for _ in range(passes)]
        work[name] = 4.0 * x.indices.size * reps * buckets * passes
        distinct = sum(np.unique(x.indices[x.indptr[i]:x.indptr[min(n, i + 32)]]).size for i in range(0, n, 32))
        moved[name] = 8.0 * distinct * reps * buckets * passes
    size = 256 if smoke else 2048
    a, b = rng.random((size, size), np.float32), rng.random((size, size), np.float32)
    out = np.empty_like(a)
    tasks["SGEMM"], work["SGEMM"] = lambda: np.matmul(a, b, out=out), 2.0 * size**3
    source = rng.random(1 << (16 if smoke else 26), np.float32)
    target = np.empty_like(source)
    tasks["copy (GB/s, read and written)"], work["copy (GB/s, read and written)"] = lambda: np.copyto(target, source), 2.0 * source.nbytes
    for name, seconds in interleaved(tasks, rounds).items():
        weights = f", weights at {spread(moved[name] / seconds / 1e9)} GB/s" if name in moved else ""
        print(f"{name:<60}{spread(work[name] / seconds / 1e9)} G/s{weights}")


def decoding(rounds, smoke):
    """Gathers a second of exact decoding; milliseconds a row and agreement of pruned decoding."""
    rng = np.random.default_rng(1)
    for labels, reps, buckets, n in [(2000, 4, 64, 32)] if smoke else [(27754, 8, 512, 256), (670091, 16, 10000, 64)]:
        table = lookup.hashed(labels, reps=reps, buckets=buckets)
        scores, truth = planted_scores(rng, table, n)
        tables = decode.decoding_tables(table, pruned=True)
        k = 5
        tasks = {"exact": lambda: decode.top_k(scores, table, k, tables=tables[:1])}
        tops = (20, 50, 100)
        for top in tops:
            tasks[f"pruned, {top} buckets"] = lambda top=top: decode.top_k(scores, table, k, top=top, tables=tables)
        seconds = interleaved(tasks, rounds)
        exact = decode.top_k(scores, table, k, tables=tables[:1])[0]
        base = np.mean([np.isin(exact[i], truth[i]).mean() for i in range(n)])
        print(f"decoding, {labels:,} labels, R={reps}, B={buckets:,}: exact "
              f"{spread(n * labels * reps / seconds['exact'] / 1e9 / numba.get_num_threads())} G gathers/s and thread, "
              f"{spread(1e3 * seconds['exact'] / n)} ms/row")
        for top in tops:
            pruned = decode.top_k(scores, table, k, top=top, tables=tables)[0]
            found = np.mean([np.isin(pruned[i], truth[i]).mean() for i in range(n)])
            print(f"    pruned, {top:>3} buckets a repetition: {spread(1e3 * seconds[f'pruned, {top} buckets'] / n)} ms/row, "
                  f"P@5 {100 * found:.2f} of exact {100 * base:.2f}, top-5 agreement {100 * (pruned == exact).mean():.2f} %")


def planted_scores(rng, table, n):
    """Logits as a trained model gives them: noise around -6, and five true labels a row whose buckets stand out, some more than others."""
    buckets = lookup.label_buckets(table)
    scores = rng.normal(-6, 1.5, (table.reps, n, table.buckets)).astype(np.float32)
    truth = rng.integers(0, table.n_labels, (n, 5))
    for i in range(n):
        for label, height in zip(truth[i], (9, 7, 6, 5, 4)):
            r = np.arange(table.reps)
            scores[r, i, buckets[:, label]] += (height + rng.normal(0, 1.5, table.reps)).astype(np.float32)
    return scores, truth


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: only shows that the script runs")
    args = parser.parse_args()
    rounds = 1 if args.smoke else args.rounds
    print(machine(), f"{numba.get_num_threads()} threads")
    training(rounds, args.smoke)
    decoding(rounds, args.smoke)


if __name__ == "__main__":
    main()
