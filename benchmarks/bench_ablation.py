"""What each part of the default classifier adds: accuracy on held-out rows of the training file, seconds, bytes and milliseconds a row.

    python benchmarks/bench_ablation.py TRAIN [--share 0.1]

Parts are added one after the other in the order of the table; a part that the recipe leaves out on a set of this size is put in all the
same where it fits into memory. The last rows keep all parts and store the factors in more bits.
"""
import argparse
import os
import tempfile
import time

import numpy as np
from _timing import machine

from sketchxc import enable_cache, metrics, modelfile, pipeline, ranker, recipe, rerank, rows, sizing, sparse


def variants(chosen):
    """(name, recipe) of every step, from votes of single features to all parts."""
    step = chosen._replace(top=1, reps=0, mach=None, neighbours=False)
    yield "votes of features", step
    step = step._replace(top=chosen.top)
    yield "+ votes of pairs", step
    step = step._replace(reps=1)
    yield "+ factors, one table", step
    step = step._replace(reps=chosen.reps)
    yield f"+ factors, {chosen.reps} tables", step
    if chosen.mach is not None:
        step = step._replace(mach=chosen.mach)
        yield "+ linear MACH", step
    yield "+ nearest rows", step._replace(neighbours=True)


def score(model, x, labels):
    """P@1, P@3, P@5 in percent and milliseconds a row."""
    ranker.top_k(model, sparse.take(x, np.arange(1)), 5)  # compile before the clock runs
    start = time.perf_counter()
    ranked, _ = ranker.top_k(model, x, min(5, labels.width))
    spent = time.perf_counter() - start
    return [100 * metrics.precision_at(ranked, labels, k) for k in (1, 3, 5) if k <= labels.width], 1000 * spent / max(1, ranked.shape[0])


def size(model):
    with tempfile.TemporaryDirectory() as folder:
        modelfile.save(os.path.join(folder, "model"), model)
        return os.path.getsize(os.path.join(folder, "model")) / 1e6


def wider_factors(x, labels, chosen, kind):
    """A ranker whose factors keep float32 or float16 precision, with the bytes they would take."""
    pack, rerank.pack = rerank.pack, lambda factors: factors._replace(**{
        name: getattr(factors, name).astype(kind).astype(np.float32) for name in ("features", "labels")})
    try:
        model = ranker.train(x, labels, chosen)
    finally:
        rerank.pack = pack
    packed = pack(model.factors)
    numbers = model.factors.features.size + model.factors.labels.size
    return model, size(model._replace(factors=packed)) + numbers * (np.dtype(kind).itemsize - 1) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="?", help="training file")
    parser.add_argument("--share", type=float, default=0.1, help="of the rows that is held out for the table (default: 0.1)")
    parser.add_argument("--smoke", action="store_true", help="a tiny random set: only shows that the script runs")
    args = parser.parse_args()
    if args.smoke:
        rng = np.random.default_rng(0)
        data = rows((rng.random((200, 30)) < 0.2).astype(np.float32))
        labels = rows([[int(label)] for label in rng.integers(0, 9, 200)], 9)
    elif args.train:
        data, labels, _ = pipeline.read(args.train)
    else:
        parser.error("TRAIN is missing")
    enable_cache()
    encoder, x = pipeline.text_encoder(data) if isinstance(data, list) else (None, None)
    x = pipeline.encode(pipeline.row_encoder(data), data) if encoder is None else x
    kept, held = sizing.split(labels.indptr.size - 1, args.share, 11)
    x, held_x, labels, held_labels = sparse.take(x, kept), sparse.take(x, held), sparse.take(labels, kept), sparse.take(labels, held)
    chosen = recipe.choose(len(kept), x.width, labels.width, nonzeros=x.indices.size, label_nonzeros=labels.indices.size)
    print(machine(), f"{len(kept):,} rows to train, {len(held):,} held out")
    print("| parts | P@1 / P@3 / P@5 | train s | model MB | ms a row |\n" + "|---" * 5 + "|")
    ranker.train(x if len(kept) < 1000 else sparse.take(x, np.arange(1000)),  # compile before the clock runs
                 labels if len(kept) < 1000 else sparse.take(labels, np.arange(1000)), chosen._replace(held=100, neighbours=True))
    for name, parts in variants(chosen):
        start = time.perf_counter()
        model = ranker.train(x, labels, parts)
        line(name, time.perf_counter() - start, size(model), *score(model, held_x, held_labels))
    for kind in (np.float32, np.float16):
        start = time.perf_counter()
        model, megabytes = wider_factors(x, labels, chosen, kind)
        line(f"the recipe, factors in {np.dtype(kind).name}", time.perf_counter() - start, megabytes, *score(model, held_x, held_labels))
    start = time.perf_counter()
    model = ranker.train(x, labels, chosen)
    line("the recipe (factors in int8)", time.perf_counter() - start, size(model), *score(model, held_x, held_labels))


def line(name, seconds, megabytes, precisions, milliseconds):
    print(f"| {name} | {' / '.join(f'{p:.2f}' for p in precisions)} | {seconds:.1f} | {megabytes:.1f} | {milliseconds:.3f} |", flush=True)


if __name__ == "__main__":
    main()
