"""Click prediction: AUC against bytes for every kind of embedding, on a synthetic Zipf log or on the check-ins of Gowalla.

The synthetic log: F features with vocabularies of stated sizes; value v of a feature comes with probability proportional to
1 / (v + 1)**1.05, independently of the others. Every value has an effect w ~ N(0, 0.8**2) and a vector u ~ N(0, 0.4**2) of 4 numbers,
and a row with values v_1 ... v_F is clicked with probability sigmoid(-1 + sum_f w_f[v_f] + sum_{f<g} <u_f[v_f], u_g[v_g]>). All is
drawn from the printed seed. There are about 116 training rows for each value, as in the usual logs of ratings: with 30 most values are so
rare that a row of their own is worth little more than hashed ones.

Gowalla: a row is a user and a place, clicked if the user was there. Every check-in gets a non-click of the same user, with the place of a
random check-in of anybody at which the user never was as far as is known: in train.txt, and for the test rows in test.txt as well. So
users and places come as often with clicks as without, and only what a user has to do with a place tells them apart: it takes --products
and several passes.

The model: the vectors of all features, side by side (with --products also the sum of the products of all pairs of them), go through one
hidden layer; one pass over the log in order of its rows (or --passes), Adagrad on the table rows of a batch, Adam on the net. Each kind
and budget has its own rate, the best of --rates when a third of the training rows trains and the next ninth is scored. A budget is a
share of the bytes of the table without collisions, whose size has no budget.

    separate       one hashed table for each feature, rows in proportion to its vocabulary
    shared         one hashed table for all features (Unified Embedding), two lookups of half the width for each value
    multi-hash     one hashed table for all features, the sum of two lookups
    qr             quotient and remainder tables for each feature, multiplied
    collisionless  a row for every value that the training rows hold
    dhe            no table: a net computes the vector from hashes of the value; up to a quarter of the bytes, because it is slow

Milliseconds are those of 1,000 rows on one thread: to look up their vectors (rows of tables are known beforehand, and the net of dhe
computes every distinct value of a batch once), and to train on them, with the layers above.
"""
import argparse
import lzma
import pathlib
import time
from typing import NamedTuple

import numba
import numpy as np
from threadpoolctl import threadpool_limits

from sketchxc import dense, embed, hashing, heads, optim

SIZES = (10, 100, 500, 1000, 2000, 5000)  # vocabularies of the synthetic log
KINDS = ("separate", "shared", "multi-hash", "qr", "collisionless", "dhe")
CODES, HIDDEN, BATCH = 512, 64, 1000
PAIR = np.array([2**32, 1])  # user and place in one number


class Log(NamedTuple):
    """values int64 (n, F), clicks float32 (n,), names of the features; the first n_train rows are for training."""
    values: np.ndarray
    clicks: np.ndarray
    names: list
    n_train: int


def synthetic(n_train, n_test, seed, sizes=SIZES):
    """The log of the head of this file, and the AUC of the probabilities themselves on its test rows."""
    rng = np.random.default_rng(seed)
    values, score, total, squares = [], np.full(n_train + n_test, -1.0), 0.0, 0.0
    for size in sizes:
        chances = 1.0 / np.arange(1, size + 1)**1.05
        values.append(rng.choice(size, n_train + n_test, p=chances / chances.sum()))
        score += rng.normal(0, 0.8, size)[values[-1]]
        vectors = rng.normal(0, 0.4, (size, 4))[values[-1]]
        total, squares = total + vectors, squares + (vectors**2).sum(1)
    score += ((total**2).sum(1) - squares) / 2
    clicks = (rng.random(score.size) < 1 / (1 + np.exp(-score))).astype(np.float32)
    log = Log(np.stack(values, 1), clicks, [f"feature {f}" for f in range(len(sizes))], n_train)
    return log, heads.auc(score[n_train:], clicks[n_train:])


def gowalla(folder, seed):
    """The log of check-ins of the head of this file, from train.txt and test.txt or the same .xz, a line a user and its places."""
    rng, parts, known = np.random.default_rng(seed), [], np.empty(0, np.int64)
    for name in ("train.txt", "test.txt"):
        path = pathlib.Path(folder, name)
        with path.open() if path.exists() else lzma.open(f"{path}.xz", "rt") as file:
            lines = [np.array(line.split(), np.int64) for line in file]
        pairs = np.array([(line[0], item) for line in lines for item in line[1:]])
        known, other = np.append(known, pairs @ PAIR), pairs.copy()
        wrong = np.ones(len(pairs), bool)
        while wrong.any():
            other[wrong, 1] = rng.choice(pairs[:, 1], wrong.sum())
            wrong = np.isin(other @ PAIR, known)
        order = rng.permutation(2 * len(pairs))
        parts.append((np.concatenate([pairs, other])[order], (order < len(pairs)).astype(np.float32)))
    (seen, clicks), (test, test_clicks) = parts
    return Log(np.concatenate([seen, test]), np.concatenate([clicks, test_clicks]), ["user", "place"], len(seen))


class Kind(NamedTuple):
    """Table rows that every value looks up, ids int32 (n, F, k), and how its k vectors join: "concat", "sum" or "product"."""
    ids: np.ndarray
    n_rows: int
    width: int
    join: str


def rows_of(kind, log, budget, d, seed):
    """The Kind of that name, with a table of about `budget` of the bytes of the table without collisions."""
    seen = [embed.dictionary(column) for column in log.values[:log.n_train].T]
    places = np.stack([embed.dictionary_ids(column, known) for column, known in zip(log.values.T, seen)], 1)
    sizes = np.array([known.size + 1 for known in seen])  # a place for values that come later
    shares = np.maximum(1, (budget * sizes).astype(int))
    hashed = embed.feature_seeds(log.names, 2, seed)
    if kind == "collisionless":
        return Kind(starts(sizes) + places[..., None], sizes.sum(), d, "concat")
    if kind == "separate":
        ids = [embed.feature_ids(log.values, hashed[0][2 * f:2 * f + 1], [f], share) for f, share in enumerate(shares)]
        return Kind(starts(shares) + np.stack(ids, 1), shares.sum(), d, "concat")
    if kind == "qr":
        divisors = [divisor(size, share) for size, share in zip(sizes, shares)]
        tables = np.array([(-(-size // c), c) for size, c in zip(sizes, divisors)])
        pairs = np.stack([np.stack(embed.quotient_remainder(places[:, f], c), 1) for f, c in enumerate(divisors)], 1)
        return Kind(starts(tables.ravel()).reshape(-1, 2) + pairs, tables.sum(), d, "product")
    wide = 2 if kind == "shared" else 1  # two lookups of half the width, so twice the rows
    ids = embed.feature_ids(log.values, *hashed, int(shares.sum()) * wide).reshape(len(log.values), -1, 2)
    return Kind(ids, int(shares.sum()) * wide, d // wide, "concat" if kind == "shared" else "sum")


def starts(sizes):
    """First row of each of several tables that lie one after the other, int64 (tables, 1)."""
    return (np.cumsum(sizes) - sizes)[:, None]


def divisor(size, rows):
    """Smallest divisor whose quotients and remainders together have at most `rows` rows, or else the one with the fewest rows."""
    c = np.arange(1, size + 1)
    total = -(-size // c) + c
    return int(np.argmax(total <= rows) if (total <= rows).any() else np.argmin(total)) + 1


class Table:
    """Vectors of a batch from a table, and Adagrad on the rows that it looked up."""

    def __init__(self, kind, rate, seed):
        self.kind, self.opt = kind, optim.adagrad(rate)
        self.table = embed.init(kind.n_rows, kind.width, seed=seed, scale=0.1)
        if kind.join == "product":
            self.table += 1.0  # so that no factor begins near zero
        self.state, self.bytes = optim.slots(self.opt, self.table.shape), self.table.nbytes

    def look_up(self, rows):
        """float32 (rows, numbers of all features)."""
        ids = self.kind.ids[rows]
        each = ids.shape[2] if self.kind.join == "sum" else 1
        found, self.seen = embed.bag(self.table, ids.reshape(-1), np.arange(0, ids.size + 1, each), check=False)
        self.found = found.reshape(-1, ids.shape[2], self.kind.width) if self.kind.join == "product" else found
        return (self.found.prod(1) if self.kind.join == "product" else found).reshape(len(ids), -1)

    def learn(self, slopes):
        """One step against the slopes of the vectors of the last batch."""
        if self.kind.join == "product":
            slopes = slopes.reshape(-1, 1, self.kind.width) * self.found[:, ::-1]
        embed.step(self.opt, self.state, self.table, *embed.bag_grads(self.seen, slopes.reshape(-1, self.kind.width)))


class DeepHash:
    """Vectors of a batch from a net over hashes of the values; every distinct value of a batch goes through it once."""

    def __init__(self, log, budget_bytes, d, rate, seed):
        names = hashing.hash_strings(log.names)
        self.keys, self.seeds = hashing.mix(log.values) ^ names, hashing.seeds(CODES, seed)
        units = (budget_bytes / 4 - d) / (CODES + 1 + d)
        self.net = Net(dense.mlp_init([CODES, max(1, int(units)), d], seed=seed), rate)
        self.bytes = sum(p.nbytes for p in self.net.parameters())

    def look_up(self, rows):
        """float32 (rows, numbers of all features)."""
        keys, places = np.unique(self.keys[rows], return_inverse=True)
        found, self.seen = embed.bag(self.net.forward(embed.codes(keys, self.seeds)), places.reshape(-1), check=False)
        return found.reshape(len(rows), -1)

    def learn(self, slopes):
        """One step against the slopes of the vectors of the last batch."""
        self.net.learn(embed.bag_grads(self.seen, slopes.reshape(self.seen.ids.size, -1))[1])


class Net:
    """Dense layers with their optimizer state."""

    def __init__(self, mlp, rate):
        self.mlp, self.opt = mlp, optim.adam(rate)
        self.states = [optim.slots(self.opt, p.shape) for p in self.parameters()]

    def parameters(self):
        """All parameters as matrices that share their memory."""
        return [p.reshape(-1, p.shape[-1]) for p in (*self.mlp.weights, *self.mlp.biases)]

    def forward(self, x):
        """Outputs for a batch."""
        self.x = x
        return dense.mlp(x, self.mlp)

    def learn(self, slopes):
        """One step against the slopes of the last outputs; returns those of the inputs."""
        back, grads = dense.mlp_grads(slopes, self.x, self.mlp)
        for p, state, g in zip(self.parameters(), self.states, (*grads.weights, *grads.biases)):
            embed.step(self.opt, state, p, None, g.reshape(p.shape))
        return back


class Head(Net):
    """Layers above the vectors of all features, side by side, and perhaps the sum of the products of all pairs of them."""

    def __init__(self, features, d, products, seed):
        super().__init__(dense.mlp_init([(features + products) * d, HIDDEN, 1], seed=seed), 1e-3)
        self.shape, self.products = (-1, features, d), products

    def forward(self, x):
        """Scores of a batch."""
        if not self.products:
            return super().forward(x)[:, 0]
        each = x.reshape(self.shape)
        self.rest = each.sum(1, keepdims=True) - each  # what a vector is multiplied with
        return super().forward(np.concatenate([x, (each * self.rest).sum(1) / 2], 1))[:, 0]

    def learn(self, slopes):
        """One step against the slopes of the last scores; returns those of the vectors."""
        back = super().learn(slopes[:, None])
        if not self.products:
            return back
        flat = self.shape[1] * self.shape[2]
        return back[:, :flat] + (back[:, None, flat:] * self.rest).reshape(-1, flat)


class Result(NamedTuple):
    """AUC on the test rows, bytes of the embedding, milliseconds to look up 1,000 rows and to train on them, learning rate."""
    auc: float
    bytes: int
    look_up: float
    train: float
    rate: float


def run(log, kind, budget, rate, seed, passes=1, products=False, d=16):
    """Train on the training rows and score the test rows; returns Result."""
    if kind == "dhe":
        plain = sum(embed.dictionary(column).size + 1 for column in log.values[:log.n_train].T)
        vectors = DeepHash(log, int(4 * d * plain * budget), d, rate / 50, seed)
    else:
        vectors = Table(rows_of(kind, log, budget, d, seed), rate, seed)
    head = Head(len(log.names), d, products, seed)
    begin = time.perf_counter()
    for first in np.tile(np.arange(0, log.n_train, BATCH), passes):
        rows = np.arange(first, min(first + BATCH, log.n_train))
        _, slopes = heads.log_loss(head.forward(vectors.look_up(rows)), log.clicks[rows])
        vectors.learn(head.learn(slopes))
    trained, test = time.perf_counter(), np.arange(log.n_train, len(log.clicks))
    found = [vectors.look_up(rows) for rows in np.array_split(test, -(-test.size // BATCH))]
    end = time.perf_counter()
    scores = np.concatenate([head.forward(x) for x in found])
    return Result(heads.auc(scores, log.clicks[test]), vectors.bytes, 1e6 * (end - trained) / test.size,
                  1e6 * (trained - begin) / log.n_train / passes, rate)


def best_rate(log, kind, budget, rates, seed, **more):
    """The rate with the highest AUC on training rows: a third of them for training, the next ninth to score."""
    third = log.n_train // 3
    trial = Log(log.values[:third + third // 3], log.clicks[:third + third // 3], log.names, third)
    return max(rates, key=lambda rate: run(trial, kind, budget, rate, seed, **more).auc) if len(rates) > 1 else rates[0]


def main(arguments=None):
    """Print the table, then the order of separate, shared and collisionless. Returns {(kind, budget): [Result of each seed]}."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gowalla", metavar="FOLDER", help="folder with train.txt and test.txt, or the same .xz; else the synthetic log")
    parser.add_argument("--train", type=int, default=1_000_000, help="training rows of the synthetic log")
    parser.add_argument("--test", type=int, default=200_000, help="test rows of the synthetic log")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--budgets", nargs="+", type=float, default=[1.0, 0.5, 0.25, 0.1])
    parser.add_argument("--rates", nargs="+", type=float, default=[0.1, 0.2, 0.4], help="learning rates of table rows (for dhe, a 50th)")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--products", action="store_true", help="give the hidden layer the products of the vectors too")
    args = parser.parse_args(arguments)
    budgets = {"collisionless": [1.0], "dhe": [budget for budget in args.budgets if budget <= 0.25]}
    plan = [(kind, budget) for kind in args.kinds for budget in budgets.get(kind, args.budgets)]
    found, more = {}, {"passes": args.passes, "products": args.products}
    for seed in range(args.first, args.first + args.seeds):
        if args.gowalla:
            log = gowalla(args.gowalla, seed)
            print(f"seed {seed}: Gowalla, {len(log.clicks)} rows", flush=True)
        else:
            log, best = synthetic(args.train, args.test, seed)
            print(f"seed {seed}: {len(log.clicks)} rows, {log.clicks.mean():.1%} clicked, AUC of the truth {best:.4f}", flush=True)
        for kind, budget in plan:
            rate = best_rate(log, kind, budget, args.rates, seed, **more)
            found.setdefault((kind, budget), []).append(run(log, kind, budget, rate, seed, **more))
            print(f"{kind:<14} {budget:>6.3g}", "%8.4f %9d %7.3f %7.3f %5.3g" % found[kind, budget][-1], flush=True)
    print(f"\n{'embedding':<14} {'budget':>6} {'kB':>7} {'AUC':>7} {'+-':>7} {'look up':>8} {'train ms':>8}  rates")
    for (kind, budget), runs in found.items():
        scores, size, look_up, train, rates = np.array(runs).T
        print(f"{kind:<14} {budget:>6.3g} {size.mean() / 1e3:>7.0f} {scores.mean():>7.4f} {scores.std():>7.4f} {np.median(look_up):>8.3f} "
              f"{np.median(train):>8.3f} ", *map("{:.3g}".format, rates))
    if {"separate", "shared", "collisionless"} <= set(args.kinds):
        full = np.array([each.auc for each in found["collisionless", 1.0]])
        for budget in args.budgets:
            separate, shared = (np.array([each.auc for each in found[kind, budget]]) for kind in ("separate", "shared"))
            print(f"budget {budget:.3g}: separate < shared in {(separate < shared).sum()} of {args.seeds} seeds, "
                  f"shared < collisionless in {(shared < full).sum()}; shared is {np.mean(shared - separate):+.4f} from separate, "
                  f"{np.mean(full - shared):.4f} below collisionless")
    return found


if __name__ == "__main__":
    numba.set_num_threads(1)  # batches are small: waking a second thread costs more than it saves
    with threadpool_limits(1):
        main()
