"""The next item of sessions: sketchxc beside item neighbours of the last click, on the same files, in one run.

TRAIN holds one session a line, item numbers divided by blanks, the earliest session first; TEST one row a line: the next item, a TAB and
the items before. ItemKNN ranks items by the shrunk cosine of the sessions that they share with the last item. Compilation is not counted.
"""
import argparse
import os
import tempfile
import time

import numpy as np
from _timing import machine

from sketchxc import enable_cache, metrics, modelfile, sessions, sparse

K = 20


def item_knn(train, test, shrink=20.0):
    """(seconds of training, MB, seconds of ranking, items int32 (n, K)) of item neighbours of the last click."""
    from scipy.sparse import csr_matrix
    start = time.perf_counter()
    shape = train.indptr.size - 1, train.n_items
    x = csr_matrix((np.ones(train.items.size, np.float32), train.items.copy(), train.indptr.copy()), shape)  # it sorts them in place
    x.sum_duplicates()
    x.data[:] = 1
    both = (x.T @ x).tocsr()
    counts = both.diagonal()
    rows = np.repeat(np.arange(shape[1]), np.diff(both.indptr))
    both.data /= np.sqrt(counts[rows] * counts[both.indices]) + np.float32(shrink)
    both.data[rows == both.indices] = 0
    lists = np.full((shape[1], K), -1, np.int32)
    for item in range(shape[1]):
        a, b = both.indptr[item], both.indptr[item + 1]
        best = a + np.argsort(-both.data[a:b], kind="stable")[:K]
        lists[item, :best.size] = both.indices[best]
    train_s = time.perf_counter() - start
    start = time.perf_counter()
    ranked = lists[test.items[test.indptr[1:] - 1]]
    return train_s, lists.nbytes / 1e6, time.perf_counter() - start, ranked


def measured(kind, train, test, seed):
    """The same of sketchxc."""
    start = time.perf_counter()
    model = sessions.train(train, kind=kind, seed=seed)
    train_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        modelfile.save(path, model)
        size = os.path.getsize(path) / 1e6
    start = time.perf_counter()
    ranked, _ = sessions.top_k(model, test, K)
    return train_s, size, time.perf_counter() - start, ranked


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="?")
    parser.add_argument("test", nargs="?")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a tiny data set: only shows that the script runs")
    args = parser.parse_args()
    if not args.smoke and not args.test:
        parser.error("TRAIN and TEST are needed")
    import numba
    numba.set_num_threads(min(args.threads, numba.config.NUMBA_NUM_THREADS))
    enable_cache()
    few = sessions.sessions([[i % 7, (i + 1) % 7, (i + 2) % 7] for i in range(40)])
    for kind in sessions.KINDS:  # compile before the clock runs
        sessions.top_k(sessions.train(few, kind=kind), few, K)
    if args.smoke:
        train, (test, targets) = few, sessions.prefixes(few)
    else:
        train, _ = sessions.read_sessions(args.train)
        test, targets = sessions.read_sessions(args.test)
    width = max(train.n_items, test.n_items)
    train, test = (part._replace(n_items=width) for part in (train, test))
    truth = sparse.Rows(np.arange(targets.size + 1), targets, np.ones(targets.size, np.float32), width)
    print(f"{machine()}, {args.threads} threads; {train.indptr.size - 1} sessions, {targets.size} test rows, {width} items")
    print("| | P@20 (hit rate) | MRR@20 | train s | model MB | ms a row |\n|---|---|---|---|---|---|")
    for name, result in (("ItemKNN, last click", lambda: item_knn(train, test)), ("sketchxc fast (neighbours)",
                         lambda: measured("fast", train, test, args.seed)), ("sketchxc", lambda: measured("best", train, test, args.seed))):
        train_s, size, rank_s, ranked = result()
        print(f"| {name} | {100 * metrics.recall_at(ranked, truth, K):.2f} | {100 * metrics.reciprocal_rank_at(ranked, truth, K):.2f} | "
              f"{train_s:.1f} | {size:.1f} | {1000 * rank_s / targets.size:.3f} |", flush=True)


if __name__ == "__main__":
    main()
