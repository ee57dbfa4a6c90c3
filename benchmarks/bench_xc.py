"""sketchxc beside other extreme classifiers on the same files, all in one run: one table of accuracy, time, size and memory.

TRAIN and TEST are files of the Extreme Classification Repository or labelled texts. Every library runs in a process of its own, one after
the other, `--rounds` times in turn. Training seconds leave out reading the file, except for libraries that train from a file; for sketchxc
they include features, but not compilation, which is done once and cached: a small training run first takes care of it. `--peer-script`
names a program that is called as `SCRIPT NAME TRAIN TEST --threads T` and prints one JSON line with train_s, model_mb, predict_ms, p_at
and peak_mb.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

VARIANTS = {"sketchxc": {}, **{f"sketchxc {kind}": {"kind": kind} for kind in ("fast", "small", "mach", "linear")}}


def measure(variant, train, test, threads, seed):
    """Train and score sketchxc in this process; print the JSON line that peers print too."""
    import numba
    import numpy as np

    from sketchxc import enable_cache, metrics, modelfile, pipeline, sparse
    enable_cache()
    numba.set_num_threads(threads)
    data, labels, names = pipeline.read(train)
    few = np.arange(min(200, labels.indptr.size - 1))
    sample = [data[i] for i in few] if isinstance(data, list) else sparse.take(data, few)
    pipeline.train(sample, sparse.take(labels, few), **VARIANTS[variant])  # compile before the clock runs
    start = time.perf_counter()
    classifier, _, _ = pipeline.train(data, labels, names=names, seed=seed, threads=threads, **VARIANTS[variant])
    train_s = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model")
        modelfile.save(path, classifier)
        model_mb = os.path.getsize(path) / 1e6
    data, truth, _ = pipeline.read(test, encoder=classifier.encoder, names=names)
    k = min(5, labels.width)
    pipeline.predict(classifier, data[:20] if isinstance(data, list) else pipeline.first_row(data), k)
    start = time.perf_counter()
    ranked, _ = pipeline.predict(classifier, data, k)
    predict_ms = 1000 * (time.perf_counter() - start) / ranked.shape[0]
    truth = sparse.Rows(truth.indptr, truth.indices, truth.values, max(truth.width, labels.width))
    print(json.dumps({"train_s": round(train_s, 2), "model_mb": round(model_mb, 2), "predict_ms": round(predict_ms, 4),
                      "p_at": [round(100 * metrics.precision_at(ranked, truth, j), 2) for j in (1, 3, 5) if j <= k],
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def run(command):
    """The JSON line that a program prints last, or the reason why there is none."""
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        return {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(lines[-1])


def smoke_files(folder):
    """A tiny data set, so that the script can be tried."""
    paths = [os.path.join(folder, name) for name in ("train.txt", "test.txt")]
    for path in paths:
        with open(path, "w", encoding="utf-8") as file:
            file.write("200 20 10\n" + "".join(f"{i % 10} {i % 10}:1 {10 + i % 7}:0.5\n" for i in range(200)))
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="?")
    parser.add_argument("test", nargs="?")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variants", nargs="*", default=["sketchxc"], choices=list(VARIANTS))
    parser.add_argument("--peers", nargs="*", default=["omikuji", "pecos", "napkinxc"])
    parser.add_argument("--peer-script", help="program that trains and scores a peer")
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true", help="a tiny data set: only shows that the script runs")
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure, args.train, args.test, args.threads, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        if args.smoke:
            args.train, args.test = smoke_files(folder)
            args.threads = 1
        if not args.test:
            parser.error("TRAIN and TEST are needed")
        common = ["--threads", str(args.threads)]
        programs = {variant: [sys.executable, os.path.abspath(__file__), args.train, args.test, *common, "--seed", str(args.seed),
                              "--measure", variant] for variant in args.variants}
        if args.peer_script:
            programs |= {peer: [args.peer_python, args.peer_script, peer, args.train, args.test, *common] for peer in args.peers}
        from _timing import machine
        print(f"{machine()}, {args.threads} threads, {args.rounds} rounds, medians")
        results = {name: [] for name in programs}
        for _ in range(args.rounds):
            for name, command in programs.items():
                results[name].append(run(command))
                print(f"  {name}: {json.dumps(results[name][-1])}", file=sys.stderr, flush=True)
    print("| library | P@1 / P@3 / P@5 | train s | model MB | ms a row | peak MB |\n|---|---|---|---|---|---|")
    for name, rounds in results.items():
        failed = [r["failed"] for r in rounds if "failed" in r]
        if failed:
            print(f"| {name} | failed: {failed[0]} | | | | |")
            continue
        cells = {key: [r[key] for r in rounds] for key in ("train_s", "model_mb", "predict_ms", "peak_mb")}
        points = " / ".join(f"{statistics.median(r['p_at'][i] for r in rounds):.2f}" for i in range(len(rounds[0]["p_at"])))
        spread = f" ({min(cells['train_s']):.1f} to {max(cells['train_s']):.1f})" if args.rounds > 1 else ""
        print(f"| {name} | {points} | {statistics.median(cells['train_s']):.1f}{spread} | {statistics.median(cells['model_mb']):.1f} | "
              f"{statistics.median(cells['predict_ms']):.3f} | {statistics.median(cells['peak_mb']):.0f} |")
    return 1 if any("failed" in r for rounds in results.values() for r in rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
