"""Cases of bench_cuda.py: embedding bags with Adam, nets and linear MACH, decoding; beside torch where it is installed."""
import functools
import time

import numpy as np
from _cuda_timing import SIMULATED, copy_bandwidth, launches, seconds

from sketchxc import decode, embed, lookup, mach, optim, ranker, recipe, shallow, sizing, sparse, to_device, to_host
from sketchxc._cuda import _target

ROWS, EPOCHS, FEATURES, NONZEROS, LABELS = 490_449, 40, 135_909, 76, 670_091  # Amazon-670K, and the official MACH recipe for it
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def torch():
    """The module, or None where it or its GPU is missing."""
    try:
        import torch as found
    except ImportError:
        return None
    return found if not SIMULATED and found.cuda.is_available() else None


def normal(shape, scale=0.05):
    """Random weights made on the device, because gigabytes of them would take the host a minute."""
    if SIMULATED:
        return to_device((np.random.default_rng(0).normal(size=shape) * scale).astype(np.float32))
    import cupy
    return _target.array(cupy.random.standard_normal(shape, dtype=cupy.float32) * cupy.float32(scale))


def skewed(rng, size, n):
    """Numbers below n, low ones often: what features and labels of texts are like."""
    return np.minimum(n * rng.random(size, np.float32)**3, n - 1).astype(np.int32)


def data(rng, n, width, nonzeros, labels, each=5):
    """Rows with `nonzeros` features (one twice in a row at times, which nothing minds here), and rows of labels."""
    x = sparse.Rows(np.arange(n + 1) * nonzeros, skewed(rng, n * nonzeros, width), rng.random(n * nonzeros, np.float32), width)
    return x, sparse.Rows(np.arange(n + 1) * each, skewed(rng, n * each, labels), np.ones(n * each, np.float32), labels)


def zero_slots(opt, model, kind):
    """Optimizer state on the device, made there."""
    parts = []
    for name in kind._fields:
        moments = [_target.zeros(shape, np.float32) for shape in optim._shapes(opt, getattr(model, name).shape)]
        parts.append(optim.Slots(*moments, np.zeros(1, np.int64)))
    return kind(*parts)


def check_bags(rng, small):
    n_rows, n, each, d = (11, 5, 3, 3) if small else (10_007, 1_013, 31, 65)
    opt, table = optim.adam(0.1), rng.normal(size=(n_rows, d)).astype(np.float32)
    ids, grads = skewed(rng, n * each, n_rows), rng.normal(size=(n, d)).astype(np.float32)
    there, state, own = to_device(table), to_device(optim.slots(opt, table.shape)), optim.slots(opt, table.shape)
    indptr = np.arange(n + 1) * each
    found, lookups = embed.bag(there, *to_device((ids, indptr)))
    np.testing.assert_allclose(to_host(found), table[ids].reshape(n, each, d).sum(1, dtype=np.float64), **CLOSE)
    rows, sums = embed.bag_grads(lookups, to_device(grads))
    wanted = np.zeros((n_rows, d))
    np.add.at(wanted, ids, np.repeat(grads, each, 0).astype(np.float64))
    assert (to_host(rows) == np.unique(ids)).all()
    np.testing.assert_allclose(to_host(sums), wanted[np.unique(ids)], **CLOSE)
    optim.step(opt, state, there, rows, sums)
    optim.step(opt, own, table, np.unique(ids), wanted[np.unique(ids)].astype(np.float32))
    np.testing.assert_allclose(to_host(there), table, **CLOSE)


def measure_bags(small):
    n_rows, d, n, each = (20, 4, 6, 3) if small else (1_000_000, 64, 65_536, 32)
    rng, opt = np.random.default_rng(0), optim.adam(1e-3)
    ids, indptr, grads = rng.integers(0, n_rows, n * each), np.arange(n + 1) * each, rng.normal(size=(n, d)).astype(np.float32)
    table, state, keys, bounds, slopes = to_device((rng.normal(size=(n_rows, d)).astype(np.float32), optim.slots(opt, (n_rows, d)), ids,
                                                    indptr, grads))

    def step():
        _, seen = embed.bag(table, keys, bounds, check=False)
        optim.step(opt, state, table, *embed.bag_grads(seen, slopes))
    took = seconds(step)
    needed = 4 * (7 * d * np.unique(ids).size + 2 * n * d + 2 * ids.size)  # rows and moments in and out, bags and slopes, ids twice
    note = f"{took * 1e3:.2f} ms{torch_bags(ids, indptr, grads, n_rows, d, took)}"
    return needed / took / copy_bandwidth(small), "of copy", note, launches(step)


def torch_bags(ids, indptr, grads, n_rows, d, own):
    found = torch()
    if found is None:
        return ""
    bags = found.nn.EmbeddingBag(n_rows, d, mode="sum", sparse=True, device="cuda")
    adam = found.optim.SparseAdam(bags.parameters())
    keys, bounds, slopes = (found.as_tensor(array, device="cuda") for array in (ids, indptr[:-1], grads))
    forward = found.compile(bags)

    def step():
        adam.zero_grad()
        forward(keys, bounds).backward(slopes)
        adam.step()
    return f", torch {seconds(step) / own:.1f} times as long"


def nets(n_features, buckets, reps, hidden, n_labels):
    """Untrained nets on the device."""
    own = to_device(lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=1))
    zeros = [_target.zeros((reps, units), np.float32) for units in (hidden, hidden, buckets)]
    return shallow.Shallow(normal((reps, n_features, hidden)), zeros[0], normal((reps, hidden, hidden)), zeros[1],
                           normal((reps, hidden, buckets)), zeros[2], own, to_device(np.empty(0, np.uint64)), n_features, 0)


def check_nets(rng, small):
    n, width, buckets, hidden = (3, 5, 4, 2) if small else (517, 1_009, 301, 67)
    x, labels = data(rng, n, width, min(7, width), 97)
    x = sparse.rows(sparse.to_scipy(x))
    labels = sparse.rows(sparse.to_scipy(labels))
    model = shallow.init(width, lookup.hashed(97, reps=2, buckets=buckets), hidden=(hidden, hidden + 1))
    opt = optim.adam(1e-2)
    state = shallow.slots(opt, model)
    gone, moments = to_device((model, state))
    order = rng.permutation(n)
    wanted = shallow.train(model, opt, state, x, labels, order, batch=64)
    np.testing.assert_allclose(shallow.train(gone, opt, moments, *to_device((x, labels, order)), batch=64), wanted, rtol=1e-3)
    np.testing.assert_allclose(to_host(gone.weights), model.weights, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(to_host(shallow.bucket_scores(model=gone, x=x)), shallow.bucket_scores(model, x), rtol=1e-2, atol=1e-2)


def measure_nets(small):
    steps, batch, width, hidden, buckets, reps = (1, 2, 6, 2, 4, 2) if small else (200, 1_000, FEATURES, 500, 10_000, 32)
    n_labels = 30 if small else LABELS
    model, opt = nets(width, buckets, reps, hidden, n_labels), optim.adam(1e-3)
    state = zero_slots(opt, model, shallow.ShallowSlots)
    x, labels = data(np.random.default_rng(0), (steps + 5) * batch, width, 4 if small else NONZEROS, n_labels)

    own, order = to_device(((x, labels), np.arange((steps + 5) * batch)))

    def train(first, last):
        shallow.train(model, opt, state, *own, order[first * batch:last * batch], batch=batch, check=False)
    train(0, 5)  # compiles
    start = time.perf_counter()
    train(5, 5 + steps)  # waits for the device at its end
    took = (time.perf_counter() - start) / steps
    minutes = took * EPOCHS * ROWS / 1_000 / 60
    copies = 3 * sum(array.size for array in model[:6])
    note = f"{took * 1e3:.1f} ms a step, weights and moments {4 * copies / 1e9:.1f} GB (bar 20 with batches)"
    note += torch_nets(model, x, labels, batch, took)
    return minutes, "minutes", note, launches(lambda: train(0, 2)) - launches(lambda: train(0, 1))


def torch_nets(model, x, labels, batch, own):
    """The same nets in torch: one wide bag for the first layers, batched products, the loss against bucket targets made beforehand."""
    found = torch()
    if found is None:
        return ""
    reps, width, hidden = model.embed.shape
    buckets = model.weights.shape[2]
    table = found.nn.EmbeddingBag(width, reps * hidden, mode="sum", sparse=True, device="cuda")
    dense = [found.nn.Parameter(0.05 * found.randn(reps, *shape, device="cuda"))
             for shape in ((1, hidden), (hidden, hidden), (1, hidden), (hidden, buckets), (1, buckets))]
    adams = found.optim.SparseAdam(table.parameters()), found.optim.Adam(dense, fused=True)
    ids, bounds, values = (found.as_tensor(array, device="cuda") for array in (
        x.indices[:batch * NONZEROS].astype(np.int64), x.indptr[:batch], x.values[:batch * NONZEROS]))
    hit = lookup.label_buckets(to_host(model.lookup))[:, labels.indices[:labels.indptr[batch]]]
    targets = found.zeros(reps, batch, buckets, device="cuda")
    owners = found.as_tensor(np.repeat(np.arange(batch), np.diff(labels.indptr[:batch + 1])), device="cuda")
    for r in range(reps):
        targets[r, owners, found.as_tensor(hit[r].astype(np.int64), device="cuda")] = 1

    @found.compile
    def loss(first):
        a = found.relu(first.view(batch, reps, hidden).transpose(0, 1) + dense[0])
        b = found.relu(found.baddbmm(dense[2], a, dense[1]))
        scores = found.baddbmm(dense[4], b, dense[3])
        return found.nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="sum") / batch

    def step():
        for adam in adams:
            adam.zero_grad()
        loss(table(ids, bounds, per_sample_weights=values)).backward()
        for adam in adams:
            adam.step()
    return f", torch {seconds(step, rounds=5) / own:.1f} times as long"


def check_linear(rng, small):
    n, width, buckets = (3, 5, 4) if small else (517, 1_009, 301)
    x, labels = (sparse.rows(sparse.to_scipy(own)) for own in data(rng, n, width, min(7, width), 97))
    for loss in mach.LOSSES:
        model, opt = mach.init(width, lookup.hashed(97, reps=2, buckets=buckets), loss=loss), optim.adagrad(0.1)
        state = mach.slots(opt, model)
        gone, moments = to_device((model, state))
        wanted = mach.train(model, opt, state, x, labels, np.arange(n), batch=64)
        np.testing.assert_allclose(mach.train(gone, opt, moments, *to_device((x, labels, np.arange(n))), batch=64), wanted, rtol=1e-3)
        np.testing.assert_allclose(to_host(gone.weights), model.weights, rtol=1e-2, atol=1e-3)


def measure_linear(small):
    steps, batch, width, columns, reps = (1, 2, 6, 8, 2) if small else (50, 1_000, FEATURES, 16_384, 16)
    n_labels, opt = 30 if small else LABELS, optim.sgd(0.1)
    hashes = to_device(lookup.hashed(n_labels, reps=reps, buckets=columns // reps, seed=1))
    model = mach.Mach(normal((width, columns)), _target.zeros(columns, np.float32), hashes, to_device(np.empty(0, np.uint64)), width, 0)
    state = zero_slots(opt, model, mach.MachSlots)
    x, labels = data(np.random.default_rng(0), (steps + 5) * batch, width, 4 if small else NONZEROS, n_labels)

    own, order = to_device(((x, labels), np.arange((steps + 5) * batch)))

    def train(first, last):
        mach.train(model, opt, state, *own, order[first * batch:last * batch], batch=batch, check=False)
    train(0, 5)
    start = time.perf_counter()
    train(5, 5 + steps)
    took = time.perf_counter() - start
    distinct = sum(np.unique(x.indices[x.indptr[t * batch]:x.indptr[(t + 1) * batch]]).size for t in range(5, 5 + steps))
    needed = 4 * columns * (3 * distinct + 4 * steps * batch)  # weights in for the scores, in and out for the step; slopes out, in, out, in
    note = f"{took / steps * 1e3:.1f} ms a step of {batch} rows, {columns:,} columns"
    return needed / took / copy_bandwidth(small), "of copy", note, launches(lambda: train(0, 2)) - launches(lambda: train(0, 1))


def check_decoding(rng, small):
    n_labels, buckets, n = (23, 5, 3) if small else (10_007, 211, 131)
    own = lookup.hashed(n_labels, reps=5, buckets=buckets, seed=2)
    scores = (np.round(rng.normal(size=(5, n, buckets)) * 8) / 8).astype(np.float32)  # exact sums, so that ties are ties
    gone = to_device(own)
    for more in ({}, {"top": 3}):
        found = to_host(decode.top_k(to_device(scores), gone, 5, **more))
        wanted = decode.top_k(scores.copy(), own, 5, **more)
        assert (found[0] == wanted[0]).all()
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-6)


def measure_decoding(small):
    n_labels, buckets, n, reps, rows = (23, 5, 3, 2, 3) if small else (LABELS, 10_000, 4_096, 32, 153_025)
    own = to_device(lookup.hashed(n_labels, reps=reps, buckets=buckets, seed=2))
    scores, tables = normal((reps, n, buckets), 1.0), decode.decoding_tables(own)
    took = seconds(lambda: decode.top_k(scores, own, 5, tables=tables), rounds=3, warm=1)
    return took * rows / n, "s", f"{n:,} rows in {took * 1e3:.0f} ms, {n * n_labels * reps / took / 1e9:,.0f} G scores/s"


def planted(rng, n, width, n_labels):
    """Rows of length 1 that tell their label by the first of their features."""
    own = skewed(rng, n, n_labels)
    x = sparse.to_scipy(data(rng, n, width, min(20, width // 2), n_labels)[0]).tolil()
    x[np.arange(n), own % width] = 2.0
    return sparse.normalize(sparse.rows(x.tocsr())), sparse.Rows(np.arange(n + 1), own, np.ones(n, np.float32), n_labels)


@functools.cache
def classifier(small):
    """A trained default classifier and rows for it."""
    n, width, n_labels = (40, 12, 7) if small else (8_000, 5_000, 2_000)
    x, labels = planted(np.random.default_rng(0), n, width, n_labels)
    chosen = recipe.choose(n, width, n_labels, nonzeros=x.indices.size, kind="best", seed=0)
    chosen = chosen._replace(mach=sizing.plan(n, width, n_labels, reps=4, buckets=max(2, n_labels // 8), epochs=1, seed=1), epochs=1)
    return ranker.train(x, labels, chosen), x


def check_prediction(rng, small):
    """Nearly all best labels, and all scores: pow and log may differ in their last bit, and a tie turns on it."""
    model, x = classifier(small)
    x = sparse.take(x, rng.integers(0, x.indptr.size - 1, 3 if small else 2_000))
    (wanted, scores), (found, own) = ranker.top_k(model, x, 5), to_host(ranker.top_k(to_device(model), x, 5))
    assert (found == wanted).mean() > 0.99
    np.testing.assert_allclose(own, scores, rtol=1e-3, atol=1e-3)


def measure_prediction(small):
    model, x = classifier(small)
    gone, n = to_device(model), 3 if small else 65_536
    rows = to_device(sparse.take(x, np.arange(n) % (x.indptr.size - 1)))
    took = seconds(lambda: ranker.top_k(gone, rows, 5), rounds=3, warm=1)
    return n / took / 1e6, "M rows/s", f"{n:,} rows that are there; crosses, votes, factors, packed MACH, nearest rows"


CASES = [
    ("embedding bag with Adam", check_bags, measure_bags, (">=", 0.7, "70 % of copy bandwidth, 2 x torch")),
    ("official MACH recipe", check_nets, measure_nets, ("<=", 5, "5 minutes, 2 x torch")),
    ("linear MACH", check_linear, measure_linear, (">=", 0.7, "70 % of copy bandwidth")),
    ("exact decoding, 153,025 rows", check_decoding, measure_decoding, ("<=", 10, "10 s")),
    ("default classifier, prediction", check_prediction, measure_prediction, None),
]
