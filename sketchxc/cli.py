"""The command line: train, predict, evaluate, update, info, count, demo. Every verb is one call of the library plus a progress bar."""
import argparse
import contextlib
import json
import os
import sys
import time

import numpy as np

from . import _jit, _place, count, metrics, modelfile, pipeline, thresholds, update
from ._disk import replacing
from .sizing import LOOKUPS, megabytes


def main(argv=None):
    """Run one command; returns the exit status: 0, 1 for an error in the data or files, 2 for wrong usage, 130 when interrupted."""
    args = _parser().parse_args(argv)
    _jit.enable_cache(os.environ.get("SKETCHXC_CACHE_DIR"))
    if getattr(args, "threads", None):
        import numba
        if args.threads > numba.config.NUMBA_NUM_THREADS:
            print(f"sketchxc: --threads must be at most {numba.config.NUMBA_NUM_THREADS} here, not {args.threads}", file=sys.stderr)
            return 2
        numba.set_num_threads(args.threads)
    try:
        args.run(args)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # the reader of our output has gone: nothing left to say
        return 1
    except KeyboardInterrupt:
        print("sketchxc: interrupted, no output written", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError, MemoryError, _place.DeviceError) as error:
        print(f"sketchxc: {error or type(error).__name__}", file=sys.stderr)
        return 1
    return 0


def _train(args):
    folder = os.path.dirname(os.path.abspath(args.output))
    if not args.dry_run and not os.access(folder, os.W_OK):  # said now, not after the training
        raise ValueError(f"{args.output}: the folder cannot be written to")
    if args.device == "cuda":
        _place.target()  # said now, not after the data are read
    data, labels, names = pipeline.read(args.train, args.format)
    bar = None

    def report(plan):
        nonlocal bar
        if not args.quiet:
            print(plan, file=sys.stderr)
            if not args.dry_run:
                from tqdm import tqdm
                bar = tqdm(total=rows * plan.epochs, unit="row", unit_scale=True, file=sys.stderr, mininterval=0.5, dynamic_ncols=True)

    def progress(share, line):
        if bar is not None:
            bar.update(round(share * bar.total))
            bar.set_postfix_str(line, refresh=False)

    rows = labels.indptr.size - 1
    rows -= int(round(rows * args.validation))
    given = {name: value for name, value in (
        ("reps", args.repetitions), ("buckets", args.buckets), ("lookup", args.lookup), ("hidden", args.hidden), ("epochs", args.epochs),
        ("lr", args.learning_rate), ("batch", args.batch_size), ("optimizer", args.optimizer)) if value is not None}
    kind = args.model or ("mach" if given or args.device == "cuda" else "best")
    if given and kind not in ("mach", "linear"):
        raise ValueError(f"--model {kind} chooses its own settings: {', '.join(given)} go with --model mach or linear")
    start = time.perf_counter()
    checkpoints = f"{args.output}.checkpoint"
    classifier, plan, scores = pipeline.train(
        data, labels, names=names, kind=kind, validation=args.validation, characters=args.characters, memory=args.memory,
        seconds=args.time, tail=metrics.PROPENSITY_PRESETS[args.tail] if args.tail else (), seed=args.seed, threads=_threads(args),
        device=args.device, progress=progress, checkpoints=checkpoints, every=args.checkpoint, report=report, dry_run=args.dry_run, **given)
    if args.dry_run:
        return
    if bar is not None:
        bar.close()
    forecasts = "warnings", "seconds", "model_bytes", "training_bytes"
    settings = {name: value for name, value in plan._asdict().items() if name not in forecasts}
    settings |= {"rows": rows, "mach": str(plan.mach) if getattr(plan, "mach", None) else None}
    modelfile.save(args.output, classifier, settings)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(checkpoints)
    if not args.quiet:
        if scores:
            print("validation " + "  ".join(f"P@{k} {value:.2f}" for k, value in scores.items()), file=sys.stderr)
        print(f"wrote {args.output}, {megabytes(os.path.getsize(args.output))}, trained in {time.perf_counter() - start:.1f} s",
              file=sys.stderr)


def _predict(args):
    classifier = modelfile.load(args.model_file, expected=pipeline.Classifier)
    names = pipeline.label_names(classifier)
    data = pipeline.read_inputs(args.input, classifier.encoder)
    ranked, scores = pipeline.predict(classifier, data, args.k, device=args.device)
    chances = pipeline.probabilities(classifier, scores)
    scores = scores if chances is None else chances
    if args.threshold is not None:
        if chances is None:
            raise ValueError(f"--threshold needs probabilities, which {args.model_file} lacks: train with --model best, fast or small")
        ranked = thresholds.accepted(ranked, scores, args.threshold)
    lines = ("".join((" ".join(f"{names[label] if names else label}:{score:.6g}" for label, score in zip(*row) if label >= 0), "\n"))
             for row in zip(ranked.tolist(), scores.tolist()))
    if args.output is None:
        sys.stdout.writelines(lines)
        return
    with replacing(args.output) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(lines)


def _evaluate(args):
    classifier = modelfile.load(args.model_file, expected=pipeline.Classifier)
    names = pipeline.label_names(classifier)
    data, labels, _ = pipeline.read(args.test, encoder=classifier.encoder, names=names, n_labels=pipeline.n_labels(classifier))
    pipeline.predict(classifier, data[:1] if classifier.encoder.text else pipeline.first_row(data), 1)  # compile before the clock runs
    start = time.perf_counter()
    ranked, scores = pipeline.predict(classifier, data, args.k, device=args.device)
    seconds = time.perf_counter() - start
    n = ranked.shape[0]
    ks = sorted({k for k in (1, 3, 5, args.k) if k <= ranked.shape[1]})
    result = {"rows": n, **{name: {str(k): round(100 * measure(ranked, labels, k), 4) for k in ks} for name, measure in (
        ("p_at", metrics.precision_at), ("ndcg_at", metrics.ndcg_at), ("recall_at", metrics.recall_at))}}
    if args.train:
        _, train_labels, _ = pipeline.read(args.train, encoder=classifier.encoder, names=names)
        width = max(labels.width, train_labels.width)
        counts = np.bincount(train_labels.indices, minlength=width)
        propensity = metrics.propensities(counts, train_labels.indptr.size - 1, *metrics.PROPENSITY_PRESETS[args.propensity])
        wide = labels._replace(width=width)
        result["psp_at"] = {str(k): round(100 * metrics.scored_precision_at(ranked, wide, k, propensity), 4) for k in ks}
    chances = pipeline.probabilities(classifier, scores)
    if chances is not None:
        result["calibration_error"] = round(metrics.calibration_error(chances, metrics.hits(ranked, labels)), 4)
    result["predict_ms"] = round(1000 * seconds / max(1, n), 4)
    if args.json:
        print(json.dumps(result))
        return
    print(f"{n:,} rows, {result['predict_ms']:.3f} ms a row")
    if "calibration_error" in result:
        print(f"probabilities are off by {result['calibration_error']:.3f} in the mean")
    for name, title in (("p_at", "P"), ("ndcg_at", "nDCG"), ("recall_at", "recall"), ("psp_at", "PSP")):
        if name in result:
            print("  ".join(f"{title}@{k} {value:.2f}" for k, value in result[name].items()))


def _update(args):
    done = update.change(args.model_file, new=args.new, erased=args.erase, output=args.output, decay=args.decay, seed=args.seed)
    if not args.quiet:
        print(f"wrote {args.output or args.model_file}: {done}", file=sys.stderr)


def _info(args):
    content = modelfile.describe(args.model_file)
    sizes = {name: int(np.prod(shape)) * np.dtype(dtype).itemsize for name, (dtype, shape, _) in content["arrays"].items()}
    result = {"class": content["state"]["class"], "package": content["package"], "format": content["format"], "settings": content["notes"],
              "bytes_on_disk": os.path.getsize(args.model_file), "bytes_in_memory": sum(sizes.values()),
              "one_vs_all_bytes": content["notes"].get("one_vs_all_bytes")}
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.model_file}: {result['class']}, written by sketchxc {result['package']}, format {result['format']}")
    print(f"on disk {megabytes(result['bytes_on_disk'])}, in memory {megabytes(result['bytes_in_memory'])}"
          + (f", one-vs-all would take {megabytes(result['one_vs_all_bytes'])}" if result["one_vs_all_bytes"] else ""))
    for name, value in sorted(content["notes"].items()):
        print(f"  {name.replace('_', ' ')}: {value}")


def _count(args):
    by, *rest = args.by
    number, separator = 1, None
    if by == "field":
        if not rest or not rest[0].isdecimal():
            raise ValueError(f"--by field must be followed by the number of the field, not {rest[0] if rest else 'nothing'!r}")
        number = int(rest.pop(0))
        separator = args.separator
    paths = args.files + rest  # "--by word FILE" leaves the file to the option
    if not paths:
        raise ValueError("FILE is missing; - is the standard input")
    bar = None
    if not args.quiet:
        from tqdm import tqdm
        known = all(os.path.isfile(path) for path in paths)
        bar = tqdm(total=sum(map(os.path.getsize, paths)) if known else None, unit="B", unit_scale=True, file=sys.stderr, mininterval=0.5,
                   dynamic_ncols=True)
    with bar or contextlib.nullcontext():
        found = count.count(paths, by=by, field=number, separator=separator, top=args.top, error=args.error,
                            progress=bar.update if bar else None)
    rows = list(zip(found.names, found.lower.tolist(), found.upper.tolist()))
    if args.json:
        print(json.dumps({"by": by, "total": found.total, "error": found.error, "top": [
            {"name": name, "estimate": (low + high + 1) // 2, "lower": low, "upper": high} for name, low, high in rows]}))
        return
    wide = max([8] + [len(str(high)) for _, _, high in rows])
    print(f"{'estimate':>{wide}}  {'lower':>{wide}}  {'upper':>{wide}}  {by}")
    for name, low, high in rows:
        print(f"{(low + high + 1) // 2:{wide}}  {low:{wide}}  {high:{wide}}  {name}")
    if not args.quiet:
        print(f"{found.total:,} {by}s, " + (f"bounds are {found.error:,} apart at most" if found.error else "all counts are exact"),
              file=sys.stderr)


def _demo(args):
    from . import demo
    demo.run(query=args.query, threads=_threads(args), quiet=args.quiet)


def _threads(args):
    if args.threads:
        return args.threads
    import numba
    return numba.get_num_threads()


def _hidden(text):
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not 1 <= len(sizes) <= 2 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"one or two sizes of hidden layers, as 256 or 512,256, not {text!r}")
    return sizes


def _size(text):
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
    number = text.lower().removesuffix("b")
    unit = number[-1:] if number[-1:] in "kmg" else ""
    try:
        size = int(float(number.removesuffix(unit)) * units[unit])
    except ValueError:
        size = 0
    if size < 1:
        raise argparse.ArgumentTypeError(f"a number of bytes, as 500MB or 2G, not {text!r}")
    return size


def _seconds(text):
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a time, as 90, 10m or 2h, not {text!r}")
    return seconds


def _parser():
    parser = argparse.ArgumentParser(prog="sketchxc", description="Extreme classification in log memory.")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    verb = verbs.add_parser("train", help="train a model on a file", description="Train a model on sparse rows or labelled texts.")
    verb.set_defaults(run=_train)
    verb.add_argument("train", metavar="TRAIN", help="rows `l,l f:v f:v` or lines `label,label<TAB>text`")
    verb.add_argument("-o", "--output", metavar="MODEL", required=True, help="model file to write")
    verb.add_argument("--model", choices=("best", "fast", "small", "mach", "linear"),
                      help="best: counted votes re-ranked; fast: votes alone; small: short lists of votes; mach; linear: one-vs-all "
                           "(default: best, mach where its settings are given)")
    verb.add_argument("--buckets", type=int, metavar="B", help="buckets per repetition (default: by the number of labels)")
    verb.add_argument("--repetitions", type=int, metavar="R", help="independent hashes of the labels (default: by the number of labels)")
    verb.add_argument("--lookup", choices=LOOKUPS,
                      help="buckets of labels: hashed; learned: labels move to better ones once; shared: one output, R buckets a label "
                           "(default: hashed)")
    verb.add_argument("--hidden", type=_hidden, metavar="H[,H]", help="hidden layers (default: none)")
    verb.add_argument("--epochs", type=int, metavar="E", help="passes over the data (default: by its size)")
    verb.add_argument("--learning-rate", type=float, metavar="LR", help="at the start; falls to zero (default: by the optimizer)")
    verb.add_argument("--batch-size", type=int, metavar="N", help="rows a step (default: 32, 256 with hidden layers)")
    verb.add_argument("--optimizer", choices=("sgd", "momentum", "adagrad", "adam"), metavar="NAME",
                      help="sgd, momentum, adagrad or adam (default: sgd, adam with hidden layers)")
    verb.add_argument("--characters", choices=("auto", "yes", "no"), default="auto",
                      help="4-grams of characters beside the words of texts (default: auto, where a trial on held-out rows gains by them)")
    verb.add_argument("--seed", type=int, default=0, metavar="S", help="same seed, same model file (default: 0)")
    verb.add_argument("--threads", type=int, metavar="T", help="default: all")
    verb.add_argument("--device", choices=("cpu", "cuda"), default="cpu",
                      help="cuda: mach or linear on a GPU; the model file is for both (default: cpu)")
    verb.add_argument("--memory", type=_size, metavar="BYTES",
                      help="for the model, as 500MB or 4G (default: none; mach and linear: with the optimizer, 2 GiB)")
    verb.add_argument("--time", type=_seconds, metavar="SECONDS", help="for training, by its forecast, as 90 or 10m (default: none)")
    verb.add_argument("--tail", choices=sorted(metrics.PROPENSITY_PRESETS),
                      help="rank by expected propensity-scored gain, with this preset of its constants: rare labels come forward")
    verb.add_argument("--validation", type=float, default=0.0, metavar="FRACTION", help="of the rows, left out and scored (default: 0)")
    verb.add_argument("--checkpoint", type=float, default=60.0, metavar="SECONDS",
                      help="between two states kept in MODEL.checkpoint, from which the same command goes on after a kill (default: 60)")
    verb.add_argument("--format", choices=("auto", "xc", "text"), default="auto", help="of TRAIN (default: a TAB means text)")
    verb.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    verb.add_argument("--quiet", action="store_true", help="no plan, no progress bar")

    verb = verbs.add_parser("predict", help="best labels of every row",
                            description="Write a line `label:score label:score` for every row; scores are calibrated probabilities for "
                                        "models of the kinds best, fast and small.")
    verb.set_defaults(run=_predict)
    verb.add_argument("model_file", metavar="MODEL")
    verb.add_argument("input", metavar="INPUT", help="as for train; texts may stand alone on their lines")
    verb.add_argument("-k", type=int, default=5, help="labels per row (default: 5)")
    verb.add_argument("--threshold", type=float, metavar="P", help="only labels with this probability or more (default: all)")
    verb.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: on a GPU (default: cpu)")
    verb.add_argument("-o", "--output", metavar="FILE", help="default: standard output")

    verb = verbs.add_parser("evaluate", help="metrics on a test file", description="Score a model on rows with known labels.")
    verb.set_defaults(run=_evaluate)
    verb.add_argument("model_file", metavar="MODEL")
    verb.add_argument("test", metavar="TEST")
    verb.add_argument("-k", type=int, default=5, help="largest k (default: 5)")
    verb.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: on a GPU (default: cpu)")
    verb.add_argument("--train", metavar="TRAIN", help="training file, for propensity-scored precision")
    verb.add_argument("--propensity", choices=sorted(metrics.PROPENSITY_PRESETS), default="default", help="preset of its constants A and B")
    verb.add_argument("--json", action="store_true")

    verb = verbs.add_parser("update", help="add rows and labels to a model, or take labels out",
                            description="Change a model of kind best, fast or small in place of training it anew.")
    verb.set_defaults(run=_update)
    verb.add_argument("model_file", metavar="MODEL")
    verb.add_argument("new", metavar="NEW", nargs="?", help="further rows, as for train; labels that the model does not know are new ones")
    verb.add_argument("--erase", metavar="LABELS", help="file with labels that are taken out first, one a line")
    verb.add_argument("--decay", type=float, default=1.0, metavar="F", help="what earlier rows count from now on (default: 1)")
    verb.add_argument("--seed", type=int, default=0, metavar="S")
    verb.add_argument("-o", "--output", metavar="FILE", help="default: MODEL itself")
    verb.add_argument("--quiet", action="store_true")

    verb = verbs.add_parser("info", help="what a model file holds", description="Settings and sizes of a model.")
    verb.set_defaults(run=_info)
    verb.add_argument("model_file", metavar="MODEL")
    verb.add_argument("--json", action="store_true")

    verb = verbs.add_parser("count", help="most frequent words, lines or fields of files",
                            description="Heavy hitters of files of any size in one pass and fixed memory. The true count of what is listed "
                                        "lies between lower and upper; anything more frequent than ERROR times the total is found.")
    verb.set_defaults(run=_count)
    verb.add_argument("files", metavar="FILE", nargs="*", help="UTF-8 text; - for the standard input")
    verb.add_argument("--top", type=int, default=20, metavar="N", help="how many (default: 20)")
    verb.add_argument("--error", type=float, default=1e-4, help="bounds are this share of the total apart at most (default: 1e-4)")
    verb.add_argument("--by", nargs="+", default=["word"], metavar=("word|line|field", "N"),
                      help="word (lower-cased), line, or field N of each line (default: word)")
    verb.add_argument("--separator", metavar="C", help="character between fields (default: runs of blanks and tabs)")
    verb.add_argument("--json", action="store_true")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")

    verb = verbs.add_parser("demo", help="the main job in two minutes", description="Search 30,000 Unicode character names, misspelt.")
    verb.set_defaults(run=_demo)
    verb.add_argument("--query", help="answer one query, as 'gren hart'")
    verb.add_argument("--threads", type=int, metavar="T", help="default: all")
    verb.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


if __name__ == "__main__":
    sys.exit(main())
