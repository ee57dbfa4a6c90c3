"""What each part of the default classifier adds: accuracy on held-out rows of the training file, seconds, bytes and milliseconds a row.

    python benchmarks/bench_ablation.py TRAIN [--share 0.1] [--rows TEXT ...]

Parts are added one after the other in the order of the table; a part that the recipe leaves out on a set of this size is put in all the
same where it fits into memory. Then the recipe with hashed pair weights (`pairs`) in place of the factors, in as many bytes, and on top of
the factors' scores. The last rows keep all parts and store the factors in more bits. `--rows` runs some of them, by texts in their names.
"""
import argparse
import os
import tempfile
import time
import types

import numpy as np
from _timing import machine

from sketchxc import enable_cache, metrics, modelfile, pairs, pipeline, ranker, recipe, rerank, rows, sizing, sparse


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


def on_shortlists(labels, hard):
    """Shortlists to train pairs on: hard labels of each row without its own, then its own, int32 (n, m)."""
    counts = np.diff(labels.indptr)
    row, place = np.repeat(np.arange(counts.size), counts), np.arange(labels.indices.size) - np.repeat(labels.indptr[:-1], counts)
    own = np.full((counts.size, counts.max(initial=0)), -1, np.int32)
    own[row, place] = labels.indices
    keys = np.arange(counts.size)[:, None] * labels.width
    return np.concatenate([np.where(np.isin(keys + hard, row * labels.width + labels.indices), -1, hard), own], 1).astype(np.int32)


def with_pairs(x, labels, chosen, depth, beside, lr):
    """A ranker whose second part are pair weights in the bytes of the factors, and its MB; the caller puts `ranker.rerank` back. With
    `beside` they learn what the factors, trained before, leave over."""
    low, width = rerank, chosen.reps * chosen.dim * (x.width + labels.width) // (4 * depth)

    def init(columns, n_labels, *, dim, reps, seed):
        weights = pairs.init(n_labels, depth=depth, width=width, seed=seed)
        return low.init(columns, n_labels, dim=dim, reps=reps, seed=seed), weights, pairs.slots(weights), []

    def train(both, state, x, labels, hard, order, *, lr, last_lr, **more):
        both[3].append((x, labels, hard, order, lr / chosen.lr, last_lr / chosen.lr))
        return low.train(both[0], state[0], x, labels, hard, order, lr=lr, last_lr=last_lr, **more) if beside else 0.0

    def pack(both):
        factors, weights, squares, waiting = both
        factors = low.pack(factors) if beside else None
        for x, labels, hard, order, first, last in waiting:
            lists = on_shortlists(labels, hard)
            base = np.where(lists >= 0, low.scores(factors, x, lists), 0).astype(np.float32) if beside else None
            pairs.train(weights, squares, x, labels, lists, order, lr=lr * first, last_lr=lr * last, base=base, check=False)
        waiting.clear()
        return factors, weights

    def scores(both, x, shortlist, *, check):
        return pairs.scores(both[1], x, shortlist, low.scores(both[0], x, shortlist) if both[0] else None, check=check)

    ranker.rerank = types.SimpleNamespace(init=init, slots=lambda both: (low.slots(both[0]),), train=train, pack=pack, scores=scores)
    model = ranker.train(x, labels, chosen)
    return model, size(model._replace(factors=model.factors[0])) + model.factors[1].table.nbytes / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", nargs="?", help="training file")
    parser.add_argument("--share", type=float, default=0.1, help="of the rows that is held out for the table (default: 0.1)")
    parser.add_argument("--rows", nargs="*", help="texts in the names of the rows that are run (default: all)")
    parser.add_argument("--pairs-lr", type=float, default=0.5, help="learning rate of the pairs (default: 0.5)")
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
    for name, make in [*((name, lambda parts=parts: plain(x, labels, parts)) for name, parts in variants(chosen)),
                       *((f"the recipe, pairs of depth {depth} {'beside' if beside else 'for'} factors",
                          lambda depth=depth, beside=beside: with_pairs(x, labels, chosen, depth, beside, args.pairs_lr))
                         for depth, beside in ((1, False), (2, False), (1, True)) if chosen.reps),
                       *((f"the recipe, factors in {np.dtype(kind).name}", lambda kind=kind: wider_factors(x, labels, chosen, kind))
                         for kind in (np.float32, np.float16)),
                       ("the recipe (factors in int8)", lambda: plain(x, labels, chosen))]:
        if args.rows and not any(text in name for text in args.rows):
            continue
        start = time.perf_counter()
        try:
            model, megabytes = make()
            line(name, time.perf_counter() - start, megabytes, *score(model, held_x, held_labels))
        finally:
            ranker.rerank = rerank


def plain(x, labels, parts):
    model = ranker.train(x, labels, parts)
    return model, size(model)


def line(name, seconds, megabytes, precisions, milliseconds):
    print(f"| {name} | {' / '.join(f'{p:.2f}' for p in precisions)} | {seconds:.1f} | {megabytes:.1f} | {milliseconds:.3f} |", flush=True)


if __name__ == "__main__":
    main()
