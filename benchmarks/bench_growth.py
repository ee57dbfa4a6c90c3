"""P@1 of nets trained dense, pruned once, and pruned and grown in turn, at equal multiply-adds of training; and of pruned nets under drift.

The set, unless a file is named: rows of NONZEROS distinct columns out of COLUMNS, each 1 / sqrt(NONZEROS). A teacher of TEACHERS ReLU units
with normal weights from the columns, and a normal vector of every class, gives normalised scores; the class is that of the largest score
plus 0.3 times normal noise. All is drawn from the printed seed. Every run sees the same passes in the same order, with Adam whose rate
falls in a straight line to zero; a pass with a share of the units costs about that share.

    dense            all passes with all units (more multiply-adds than the others)
    dense, short     all units, as many passes as the others' multiply-adds allow
    static           after WARM passes pruned once by magnitude, to the share at which the multiply-adds are equal
    static, gates    the same, by scores of gates that learned in the dense passes
    alternating      pruned to SHARE and grown again in turn, all units in the last passes

Under drift the vectors of the classes turn slowly into others; every pass is over new rows, P@1 is that of the next pass before it is
learnt, with the same number of units: "static" keeps those of the first WARM passes, "adaptive" learns dense with gates and is cut for use.
"""
import argparse

import numpy as np
from _timing import machine

from sketchxc import files, growth, lookup, metrics, optim, shallow, sparse

COLUMNS, NONZEROS, TEACHERS, CLASSES = 1000, 12, 32, 200
SHARE, WARM = 0.5, 2


def synthetic(n, seed, turn=0.0):
    """Rows and labels; `turn` is the angle by which the vectors of the classes have drifted. The teacher is that of the seed."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((COLUMNS, TEACHERS))
    old, new = rng.standard_normal((2, TEACHERS, CLASSES))
    rng = np.random.default_rng([seed, n, int(1000 * turn)])
    columns = np.argsort(rng.random((n, COLUMNS)), axis=1)[:, :NONZEROS]
    hidden = np.maximum(weights[columns].sum(1), 0)
    scores = hidden @ (np.cos(turn) * old + np.sin(turn) * new)
    scores = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True) + 0.3 * rng.standard_normal(scores.shape)
    x = np.zeros((n, COLUMNS), np.float32)
    np.put_along_axis(x, columns, np.float32(NONZEROS**-0.5), axis=1)
    return sparse.rows(x), sparse.rows([[int(best)] for best in scores.argmax(1)], CLASSES)


def precision(model, x, labels):
    return 100 * metrics.precision_at(shallow.top_k(model, x, 1)[0], labels, 1)


def untrained(x, labels, units, seed):
    n_labels = labels.width
    return shallow.init(x.width, lookup.identity(n_labels), hidden=(units,), loss="softmax", seed=seed)


def runs(data, test, units, passes, rate, batch, seed):
    """{name: (P@1, multiply-adds of training relative to all passes dense, share of the units in use)}."""
    (x, labels), n = data, data[0].indptr.size - 1
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for _ in range(passes)]
    turns = growth.alternating(passes, SHARE, period=max(1, passes // 6))
    budget = turns.sum()
    static = max((budget - WARM) / (passes - WARM), 1 / units)
    short = max(1, int(budget))
    shares = {"dense": np.ones(passes), "dense, short": np.ones(short), "static": np.where(np.arange(passes) < WARM, 1, static),
              "alternating": turns}
    opt, found = optim.adam(rate), {}
    for name, own in shares.items():
        model = untrained(x, labels, units, seed)
        lrs = rate * (1 - np.arange(own.size + 1) / own.size)
        lrs[:-1] = np.maximum(lrs[:-1], 1e-9)
        model = growth.fit(model, opt, shallow.slots(opt, model), x, labels, orders[:own.size], own, lrs=lrs, batch=batch)[0]
        found[name] = precision(model, *test), own.sum() / passes, model.embed.shape[2] / units
    model = untrained(x, labels, units, seed)
    state, gates = shallow.slots(opt, model), growth.gates(model, rate=1.0, nonzeros=x.indices.size / n)
    for p, order in enumerate(orders):
        if p == WARM:
            kept = growth.best(growth.Units(*gates[:2]), max(1, round(static * units)))
            model, state, gates = growth.compact(model, kept), growth.compact_slots(state, kept), None
        first, last = (max(rate * (1 - q / passes), 1e-9) for q in (p, p + 1))
        shallow.train(model, opt._replace(lr=first), state, x, labels, order, batch=batch, last_lr=last, gates=gates)
    found["static, gates"] = precision(model, *test), (WARM + static * (passes - WARM)) / passes, model.embed.shape[2] / units
    return found


def drift(n, units, passes, rate, batch, seed):
    """{name: mean P@1 of the passes after the first WARM ones}."""
    opt, count = optim.adam(rate), max(1, round(SHARE * units))
    stream = [synthetic(n, seed, np.pi / 2 * p / passes) for p in range(passes)]
    dense = untrained(*stream[0], units, seed)
    plain, gated = (dense._replace(**{name: getattr(dense, name).copy() for name in shallow.ShallowSlots._fields}) for _ in range(2))
    models = {"dense": dense, "static": plain, "adaptive": gated}
    states = {name: shallow.slots(opt, model) for name, model in models.items()}
    gates = growth.gates(gated, rate=1.0, nonzeros=NONZEROS)
    found = {name: [] for name in models}
    for p, (x, labels) in enumerate(stream):
        for name, model in models.items():
            if name == "static" and p == WARM:
                kept = growth.best(growth.magnitudes(model), count)
                model, states[name] = growth.compact(model, kept), growth.compact_slots(states[name], kept)
                models[name] = model
            if p >= WARM:
                used = growth.compact(model, growth.best(growth.Units(*gates[:2]), count)) if name == "adaptive" else model
                found[name].append(precision(used, x, labels))
            shallow.train(model, opt, states[name], x, labels, np.arange(n), batch=batch, gates=gates if name == "adaptive" else None)
    return {name: np.mean(values) for name, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, one seed")
    parser.add_argument("--train", help="training file in the XC format instead of the synthetic set; with --test")
    parser.add_argument("--test", help="test file")
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--passes", type=int, default=12)
    parser.add_argument("--rows", type=int, default=16_000, help="training rows of the synthetic set, as many as test rows")
    parser.add_argument("--rate", type=float, default=0.003)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    if args.smoke:
        args.units, args.passes, args.rows, args.seeds = 16, 6, 600, 1
    print(machine())
    found, drifted = {}, {}
    for seed in range(args.seeds):
        if args.train:
            data = files.read_xc(args.train)
            test = files.read_xc(args.test, features=data[0].width, labels=data[1].width)
        else:
            x, labels = synthetic(2 * args.rows, seed)
            data, test = ([sparse.take(part, rows) for part in (x, labels)]
                          for rows in (np.arange(args.rows), np.arange(args.rows, 2 * args.rows)))
            for name, value in drift(args.rows // 4, args.units, args.passes, args.rate, args.batch, seed).items():
                drifted.setdefault(name, []).append(value)
        for name, values in runs(data, test, args.units, args.passes, args.rate, args.batch, seed).items():
            found.setdefault(name, []).append(values)
    print(f"{args.units} units, {args.passes} passes, {args.seeds} seeds from 0")
    print(f"{'training':<16} {'multiply-adds':>13} {'units in use':>12} {'P@1':>6} {'+-':>5}")
    for name, values in found.items():
        score, cost, share = np.array(values).T
        print(f"{name:<16} {cost.mean():>13.1%} {share.mean():>12.1%} {score.mean():>6.2f} {score.std():>5.2f}")
    for name, values in drifted.items():
        print(f"drift, {name:<9} {'':>13} {1 if name == 'dense' else SHARE:>12.1%} {np.mean(values):>6.2f} {np.std(values):>5.2f}")


if __name__ == "__main__":
    main()
