"""sketchxc beside other extreme classifiers on the same files, all in one run: one table of accuracy, time, size and memory.

TRAIN and TEST are files of the Extreme Classification Repository or labelled texts. Every library runs in a process of its own, one after
the other, `--rounds` times in turn. Training seconds leave out reading the file, except for libraries that train from a file; for sketchxc
they include features, but not compilation, which is done once and cached: a small training run first takes care of it. `--peer-script`
names a program, `_peers.py` or another, that is called as `SCRIPT NAME TRAIN TEST --threads T` and prints one JSON line with train_s,
model_mb, predict_ms, p_at and peak_mb. PSP@k is the propensity-scored precision of Jain et al. 2016 (A = 0.55, B = 1.5, `--propensity` for
other presets), by one function for all libraries: a program that knows `--ranked FILE` writes its best 5 labels of every row there, int32
(n, 5) as .npy; one without it gets no PSP@k. `--tail` adds sketchxc ranked by expected propensity-scored gain.
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
TAIL = "sketchxc --tail"


def measure(variant, train, test, threads, seed, ranked_path=None, preset="default"):
    """Train and score sketchxc in this process; print the JSON line that peers print too, and write the ranking where it is asked for."""
    import numba
    import numpy as np

    from sketchxc import enable_cache, metrics, modelfile, pipeline, sparse
    enable_cache()
    numba.set_num_threads(threads)
    settings = {"tail": metrics.PROPENSITY_PRESETS[preset]} if variant == TAIL else VARIANTS[variant]
    data, labels, names = pipeline.read(train)
    few = np.arange(min(200, labels.indptr.size - 1))
    sample = [data[i] for i in few] if isinstance(data, list) else sparse.take(data, few)
    pipeline.train(sample, sparse.take(labels, few), **settings)  # compile before the clock runs
    start = time.perf_counter()
    classifier, _, _ = pipeline.train(data, labels, names=names, seed=seed, threads=threads, **settings)
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
    if ranked_path:
        np.save(ranked_path, ranked)
    print(json.dumps({"train_s": round(train_s, 2), "model_mb": round(model_mb, 2), "predict_ms": round(predict_ms, 4),
                      "p_at": [round(100 * metrics.precision_at(ranked, truth, j), 2) for j in (1, 3, 5) if j <= k],
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def scorer(train, test, preset):
    """Function of the file of a ranking: PSP@1, 3, 5 in percent, or None if there is no such file."""
    import numpy as np

    from sketchxc import files, metrics, pipeline
    _, labels, names = pipeline.read(train)
    truth = (files.read_text(test, names=names) if files.detect_format(test) == "text" else files.read_xc(test))[1]
    width = max(labels.width, truth.width)
    counts = np.bincount(labels.indices, minlength=width)
    propensity = metrics.propensities(counts, max(3, labels.indptr.size - 1), *metrics.PROPENSITY_PRESETS[preset])

    def scored(path):
        if not os.path.exists(path):
            return None
        ranked = np.load(path)
        return [round(100 * metrics.scored_precision_at(ranked, truth._replace(width=width), k, propensity), 2)
                for k in (1, 3, 5) if k <= ranked.shape[1]]
    return scored


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
    parser.add_argument("--tail", action="store_true", help="one more row: ranked by expected propensity-scored gain")
    parser.add_argument("--propensity", default="default", help="preset of the propensities (default: A = 0.55, B = 1.5)")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--ranked", help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true", help="a tiny data set: only shows that the script runs")
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure, args.train, args.test, args.threads, args.seed, args.ranked, args.propensity)
    with tempfile.TemporaryDirectory() as folder:
        if args.smoke:
            args.train, args.test = smoke_files(folder)
            args.threads = 1
        if not args.test:
            parser.error("TRAIN and TEST are needed")
        ranked = os.path.join(folder, "ranked.npy")
        common, wanted = ["--threads", str(args.threads)], ["--ranked", ranked]
        programs = {variant: [sys.executable, os.path.abspath(__file__), args.train, args.test, *common, *wanted, "--seed", str(args.seed),
                              "--propensity", args.propensity, "--measure", variant] for variant in args.variants + [TAIL] * args.tail}
        if args.peer_script:
            with open(args.peer_script, encoding="utf-8") as file:
                wanted = wanted if "--ranked" in file.read() else []
            programs |= {peer: [args.peer_python, args.peer_script, peer, args.train, args.test, *common, *wanted] for peer in args.peers}
        from _timing import machine
        print(f"{machine()}, {args.threads} threads, {args.rounds} rounds, medians")
        results = {name: [] for name in programs}
        for _ in range(args.rounds):
            for name, command in programs.items():
                results[name].append(run(command))
                if os.path.exists(ranked):
                    os.replace(ranked, os.path.join(folder, f"{name} {len(results[name])}.npy"))
                print(f"  {name}: {json.dumps(results[name][-1])}", file=sys.stderr, flush=True)
        # Only now, because a child's peak memory begins with that of the process it comes from.
        scored = scorer(args.train, args.test, args.propensity)
        for name, rounds in results.items():
            for i, one in enumerate(rounds, 1):
                one["psp_at"] = scored(os.path.join(folder, f"{name} {i}.npy"))
    print("| library | P@1 / P@3 / P@5 | PSP@1 / 3 / 5 | train s | model MB | ms a row | peak MB |\n|---|---|---|---|---|---|---|")
    for name, rounds in results.items():
        failed = [r["failed"] for r in rounds if "failed" in r]
        if failed:
            print(f"| {name} | failed: {failed[0]} | | | | | |")
            continue
        cells = {key: [r[key] for r in rounds] for key in ("train_s", "model_mb", "predict_ms", "peak_mb")}
        points, rare = (" / ".join(f"{statistics.median(r[key][i] for r in rounds):.2f}" for i in range(len(rounds[0][key] or [])))
                        for key in ("p_at", "psp_at"))
        spread = f" ({min(cells['train_s']):.1f} to {max(cells['train_s']):.1f})" if args.rounds > 1 else ""
        middle = {key: statistics.median(values) for key, values in cells.items()}
        print(f"| {name} | {points} | {rare} | {middle['train_s']:.1f}{spread} | {middle['model_mb']:.1f} | {middle['predict_ms']:.3f} | "
              f"{middle['peak_mb']:.0f} |")
    return 1 if any("failed" in r for rounds in results.values() for r in rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
