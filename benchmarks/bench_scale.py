"""Growth: training time, model size and accuracy against rows, labels and features on synthetic data with planted structure.

The generator: labels are drawn by Zipf's law and belong to topics of 32 labels. Every label has eight words of its own (drawn from the
vocabulary), every topic sixteen. A row has one label and with probability 1/2 a second one of the same topic, four words of each of its
labels, two of the topic and three drawn by Zipf's law from the whole vocabulary. `--million` is the one run with a million labels.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

SEED = 2026


def planted(rows, labels, features, seed=SEED, draw=0):
    """Rows of features and of labels. The structure depends on `seed`, the rows drawn from it on `draw` as well."""
    from sketchxc import sparse
    world, rng = np.random.default_rng(seed), np.random.default_rng([seed, draw])
    own = world.integers(0, features, (labels, 8), np.int32)
    topic_words = world.integers(0, features, (-(-labels // 32), 16), np.int32)
    names = world.permutation(labels)  # so that a label's number says nothing of its frequency
    first = zipf(rng, labels, rows)
    second = np.minimum(first // 32 * 32 + rng.integers(0, 32, rows), labels - 1)
    second = np.where(rng.random(rows) < 0.5, second, first)
    words = np.concatenate([own[label[:, None], np.argsort(rng.random((rows, 8)), axis=1)[:, :4]] for label in (first, second)] + [
        topic_words[(first // 32)[:, None], rng.integers(0, 16, (rows, 2))], zipf(rng, features, (rows, 3)).astype(np.int32)], axis=1)
    return sparse.normalize(distinct(words, features)), distinct(names[np.stack([first, second], 1)].astype(np.int32), labels)


def zipf(rng, n, size):
    """Numbers below n, number i about in proportion to 1 / (i + 1): the inverse of the continuous distribution."""
    return np.minimum((np.exp(rng.random(size) * np.log(n + 1.0)) - 1).astype(np.int64), n - 1)


def distinct(columns, width):
    """Rows with value 1 in the distinct columns of each line of a dense array."""
    from sketchxc import sparse
    columns = np.sort(columns, axis=1)
    new = np.ones(columns.shape, bool)
    new[:, 1:] = columns[:, 1:] != columns[:, :-1]
    indptr = np.concatenate([[0], np.cumsum(new.sum(1))])
    return sparse.Rows(indptr, columns[new].astype(np.int32), np.ones(int(indptr[-1]), np.float32), width)


def measure(rows, labels, features, kind, threads, peer_folder=None):
    """Train in this process; print one JSON line."""
    import numba

    from sketchxc import enable_cache, metrics, modelfile, pipeline
    enable_cache()
    numba.set_num_threads(threads)
    x, y = planted(rows, labels, features)
    test_x, test_y = planted(20_000, labels, features, draw=1)
    start = time.perf_counter()
    classifier, _, _ = pipeline.train(x, y, kind=kind, threads=threads)
    train_s = time.perf_counter() - start
    start = time.perf_counter()
    ranked, _ = pipeline.predict(classifier, test_x, 5)
    predict_ms = 1000 * (time.perf_counter() - start) / ranked.shape[0]
    with tempfile.TemporaryDirectory() as folder:
        modelfile.save(os.path.join(folder, "model"), classifier)
        size = os.path.getsize(os.path.join(folder, "model"))
    print(json.dumps({"rows": rows, "labels": labels, "features": features, "train_s": round(train_s, 2), "model_mb": round(size / 1e6, 2),
                      "predict_ms": round(predict_ms, 4),
                      "p_at": [round(100 * metrics.precision_at(ranked, test_y, k), 2) for k in (1, 3, 5)],
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                      "one_vs_all_mb": round(4e-6 * (features + 1) * labels)}))


def child(*sizes, kind, threads):
    command = [sys.executable, os.path.abspath(__file__), "--measure", *map(str, sizes), "--kind", kind, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def slope(results, key, of):
    """Slope of log(of) against log(key) by least squares."""
    a, b = np.log([r[key] for r in results]), np.log([max(r[of], 1e-3) for r in results])
    return float(np.polyfit(a, b, 1)[0])


def figure(path, series):
    """Training seconds against each size on log-log axes, with the slopes. series : dict key -> results. Needs matplotlib."""
    from matplotlib.figure import Figure
    picture = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, (key, results) in zip(picture.subplots(1, len(series), sharey=True, squeeze=False)[0], series.items()):
        axes.loglog([r[key] for r in results], [r["train_s"] for r in results], "o-")
        axes.set(xlabel=key, ylabel="training time, s", title=f"slope {slope(results, key, 'train_s'):.2f}")
        axes.grid(True, which="both", alpha=0.3)
        axes.label_outer()
    picture.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=3, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--kind", default="best")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--million", action="store_true", help="1,000,000 rows, labels and 100,000 features only")
    parser.add_argument("--figure", metavar="FILE", help="draw the training times of the grid, as .svg or .png; needs matplotlib")
    parser.add_argument("--write", metavar="FOLDER", help="write the million-label set as train.txt and test.txt, for peers, and stop")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.measure:
        return measure(*args.measure, args.kind, args.threads)
    if args.write:
        from sketchxc import write_xc
        for name, rows, draw in (("train.txt", 1_000_000, 0), ("test.txt", 20_000, 1)):
            write_xc(os.path.join(args.write, name), *planted(rows, 1_000_000, 100_000, draw=draw))
        return None
    from _timing import machine
    print(machine(), f"{args.threads} threads, kind {args.kind}, generator seed {SEED}")
    base = {"rows": 200_000, "labels": 20_000, "features": 50_000}
    grid = {key: [dict(base, **{key: value}) for value in values] for key, values in (
        ("rows", (50_000, 100_000, 200_000, 400_000)), ("labels", (5_000, 20_000, 80_000, 320_000)),
        ("features", (12_500, 50_000, 200_000, 800_000)))}
    if args.smoke:
        grid, args.threads = {"rows": [{"rows": 2000, "labels": 100, "features": 500}, {"rows": 4000, "labels": 100, "features": 500}]}, 1
    if args.million:
        grid = {"million": [{"rows": 1_000_000, "labels": 1_000_000, "features": 100_000}]}
    print("| rows | labels | features | train s | model MB | one-vs-all MB | ms a row | P@1 / P@3 / P@5 | peak MB |\n" + "|---" * 9 + "|")
    series = {key: [] for key in grid}
    for key, points in grid.items():
        results = series[key]
        for point in points:
            r = child(*point.values(), kind=args.kind, threads=args.threads)
            results.append(r)
            accuracy = ' / '.join(f'{p:.2f}' for p in r['p_at'])
            print(f"| {r['rows']:,} | {r['labels']:,} | {r['features']:,} | {r['train_s']:.1f} | {r['model_mb']:.1f} | "
                  f"{r['one_vs_all_mb']:,} | {r['predict_ms']:.3f} | {accuracy} | {r['peak_mb']:,} |", flush=True)
        if len(results) > 1:
            print(f"slope on log-log axes against {key}: training time {slope(results, key, 'train_s'):.2f}, "
                  f"model size {slope(results, key, 'model_mb'):.2f}", flush=True)
    if args.figure:
        figure(args.figure, series)
    return None


if __name__ == "__main__":
    sys.exit(main())
