"""P@1 of nets trained dense, pruned once, and pruned and grown in turn, at equal multiply-adds of training; and of pruned nets under drift.

The set, unless a file is named: rows of NONZEROS distinct columns out of COLUMNS, each 1 / sqrt(NONZEROS). A teacher of TEACHERS ReLU units
with normal weights from the columns, and a normal vector of every class, gives normalised scores; the class is that of the largest score
plus 0.3 times normal noise. All is drawn from the printed seed. Every run sees the same passes in the same order, with Adam whose rate
falls in a straight line to zero; a pass with a share of the units costs about that share. A method has settings, each is trained once, and
the one with the best mean P@1 on validation rows over all seeds is reported with its P@1 on test rows.

    dense            all passes with all units (more multiply-adds than the others)
    dense, short     all units, as many passes as the others' multiply-adds allow
    static           after some passes pruned once by magnitude, to the share at which the multiply-adds are equal
    static, gates    the same after WARM passes, by scores of gates that learned in the dense passes
    alternating      pruned to SHARE and grown again in turn, all units in the last passes; units come back as they were, without moments
    alternating, 0   the same, but what leaves units that come back is zero

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


def settings(passes, units, rate):
    """{(method, setting): (share of the units in each pass, learning rates between passes)}, all but "dense" of equal multiply-adds."""
    budget = growth.alternating(passes, SHARE).sum()
    shares = {("dense", "all passes"): np.ones(passes), ("dense, short", "fewer passes"): np.ones(max(1, int(budget)))}
    for warm in (0, 1, 2, 4):
        share = max((budget - warm) / (passes - warm), 1 / units)
        shares["static", f"after {warm} passes"] = np.where(np.arange(passes) < warm, 1, share)
    for period in (1, 2, 3):
        turns = growth.alternating(passes, SHARE, period=period)
        if turns.sum() == budget:
            shares["alternating", f"period {period}"] = shares["alternating, 0", f"period {period}"] = turns
    found = {}
    for (method, setting), own in shares.items():
        found[method, f"{setting}, rate by work"] = own, growth.falling(own, rate)
        if len(set(own)) > 1:
            found[method, f"{setting}, rate by passes"] = own, growth.falling(np.ones(own.size), rate)
    return found


def runs(data, tests, units, passes, rate, batch, seed):
    """{(method, setting): (P@1 on validation rows, on test rows, multiply-adds relative to all passes dense, share of units in use)}."""
    (x, labels), n = data, data[0].indptr.size - 1
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for _ in range(passes)]
    opt, found = optim.adam(rate), {}
    for (method, setting), (own, lrs) in settings(passes, units, rate).items():
        model = untrained(x, labels, units, seed)
        model = growth.fit(model, opt, shallow.slots(opt, model), x, labels, orders[:own.size], own, lrs=lrs, back=method == "alternating",
                           batch=batch)[0]
        found[method, setting] = *(precision(model, *rows) for rows in tests), own.sum() / passes, model.embed.shape[2] / units
    static = max((growth.alternating(passes, SHARE).sum() - WARM) / (passes - WARM), 1 / units)
    model = untrained(x, labels, units, seed)
    state, gates = shallow.slots(opt, model), growth.gates(model, rate=1.0, nonzeros=x.indices.size / n)
    for p, order in enumerate(orders):
        if p == WARM:
            kept = growth.best(growth.Units(*gates[:2]), max(1, round(static * units)))
            model, state, gates = growth.compact(model, kept), growth.compact_slots(state, kept), None
        first, last = (max(rate * (1 - q / passes), 1e-9) for q in (p, p + 1))
        shallow.train(model, opt._replace(lr=first), state, x, labels, order, batch=batch, last_lr=last, gates=gates)
    work = (WARM + static * (passes - WARM)) / passes
    found["static, gates", f"after {WARM} passes"] = (*(precision(model, *rows) for rows in tests), work,
                                                      model.embed.shape[2] / units)
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
    parser.add_argument("--rows", type=int, default=16_000, help="training rows of the synthetic set, as many for validation and for test")
    parser.add_argument("--rate", type=float, default=0.003)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--no-drift", action="store_true", help="leave out the nets under drift")
    args = parser.parse_args()
    if args.smoke:
        args.units, args.passes, args.rows, args.seeds = 16, 6, 600, 1
    print(machine())
    found, drifted = {}, {}
    for seed in range(args.first, args.first + args.seeds):
        if args.train:
            x, labels = files.read_xc(args.train)
            test = files.read_xc(args.test, features=x.width, labels=labels.width)
            cuts = np.split(np.random.default_rng(seed).permutation(x.indptr.size - 1), [(x.indptr.size - 1) * 4 // 5])
        else:
            x, labels = synthetic(3 * args.rows, seed)
            *cuts, last = np.split(np.arange(3 * args.rows), 3)
            test = [sparse.take(part, last) for part in (x, labels)]
            for name, value in {} if args.no_drift else drift(args.rows // 4, args.units, args.passes, args.rate, args.batch, seed).items():
                drifted.setdefault(name, []).append(value)
        data, validation = ([sparse.take(part, rows) for part in (x, labels)] for rows in cuts)
        for name, values in runs(data, (validation, test), args.units, args.passes, args.rate, args.batch, seed).items():
            found.setdefault(name, []).append(values)
    print(f"{args.units} units, {args.passes} passes, {args.seeds} seeds from {args.first}")
    print(f"{'training':<16} {'multiply-adds':>13} {'units in use':>12} {'validation':>10} {'P@1':>6} {'+-':>5}  chosen of its settings")
    for method in dict.fromkeys(method for method, _ in found):
        tried = {setting: np.array(values).T for (own, setting), values in found.items() if own == method}
        setting = max(tried, key=lambda one: tried[one][0].mean())
        valid, score, cost, share = tried[setting]
        print(f"{method:<16} {cost.mean():>13.1%} {share.mean():>12.1%} {valid.mean():>10.2f} {score.mean():>6.2f} {score.std():>5.2f}  "
              f"{setting} of {len(tried)}; seeds {' '.join(f'{one:.2f}' for one in score)}")
    for name, values in drifted.items():
        print(f"drift, {name:<9} {'':>13} {1 if name == 'dense' else SHARE:>12.1%} {np.mean(values):>6.2f} {np.std(values):>5.2f}")


if __name__ == "__main__":
    main()
