"""Public functions on a device, in Numba's simulator: what they give is there, and is what the host gives.

Runs with NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1.
"""
import numpy as np
import pytest
from twins import random_rows as rows
from twins import CLOSE, NEEDS, SIMULATED, small_blocks, there  # noqa: F401

if not SIMULATED:
    pytest.skip(NEEDS, allow_module_level=True)

from sketchxc import decode, embed, lookup, mach, optim, shallow, sparse, to_device, to_host
from sketchxc._cuda import _target


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def test_gather_and_scatter():
    rng = np.random.default_rng(0)
    x, table, grads = rows(rng), normal(rng, 7, 3), normal(rng, 5, 3)
    gone, own = to_device((x, grads)), to_device(table)
    found = sparse.gather(gone[0], own)
    assert there(found)
    np.testing.assert_allclose(to_host(found), sparse.gather(x, table), **CLOSE)
    sparse.scatter(x, grads, table)
    assert sparse.scatter(*gone, own) is None
    np.testing.assert_allclose(to_host(own), table, **CLOSE)


def test_bad_rows_are_found_there():
    x = sparse.rows([[0, 2], [1]])
    table = to_device(np.ones((3, 2), np.float32))
    for field, bad, message in [("indices", [0, 3, 1], "x row 0 holds column 3, which is outside the width 3"),
                                ("values", [1, 1, np.inf], "x row 1, column 1: the value must be finite"),
                                ("indptr", [0, 2, 1], "x.indptr must ascend from 0 to 3"),
                                ("indices", [0, 1], "not 2 columns")]:
        wrong = x._replace(**{field: np.array(bad, getattr(x, field).dtype)})
        with pytest.raises(ValueError, match=message):
            sparse.gather(to_device(wrong), table)
    with pytest.raises(TypeError, match="on the device and x"):
        sparse.gather(x, table)
    with pytest.raises(TypeError, match="on the host"):
        sparse.scatter(to_device(x), np.ones((2, 2), np.float32), table)
    with pytest.raises(ValueError, match="table must have 3 rows, not 4"):
        sparse.gather(to_device(x), to_device(np.ones((4, 2), np.float32)))
    with pytest.raises(TypeError, match="C-contiguous float32"):
        sparse.gather(to_device(x), to_device(np.ones((3, 2))))
    with pytest.raises(TypeError, match="host"):
        sparse.hash_columns(to_device(x), 5, seed=0)


def test_coalesce():
    rng = np.random.default_rng(1)
    ids, grads = rng.integers(0, 4, 9), normal(rng, 9, 2)
    found = sparse.coalesce(*to_device((ids, grads)))
    assert there(*found)
    for a, b in zip(found, sparse.coalesce(ids, grads)):
        np.testing.assert_allclose(to_host(a), b, **CLOSE)
    assert to_host(sparse.coalesce(*to_device((ids[:0], grads[:0])))[1]).shape == (0, 2)
    with pytest.raises(ValueError, match="one row for each of the 8 ids"):
        sparse.coalesce(*to_device((ids[:8], grads)))


@pytest.mark.parametrize("how, weighted, hashed", [("sum", False, False), ("mean", False, False), ("sum", True, False),
                                                   ("sum", True, True), ("mean", False, True)])
def test_bags_with_their_gradients(how, weighted, hashed):
    rng = np.random.default_rng(2)
    table, indptr = normal(rng, 9, 3), np.array([0, 0, 1, 4, 6])
    keys = rng.integers(0, 2**63 if hashed else 9, 6)
    seeds = np.array([3, 2**63], np.uint64) if hashed else None
    weights = (normal(rng, 6, 2) if hashed else normal(rng, 6)) if weighted else None
    arguments = table, keys, indptr, weights
    wanted, seen = embed.bag(*arguments, how=how, seeds=seeds)
    gone = [None if a is None else to_device(a) for a in arguments]
    found, lookups = embed.bag(*gone, how=how, seeds=None if seeds is None else to_device(seeds))
    assert there(found, lookups)
    for a, b in zip((found, *lookups), (wanted, *seen)):
        np.testing.assert_allclose(to_host(a), b, **CLOSE)
    grads = normal(rng, 4, 3)
    distinct, sums = embed.bag_grads(lookups, to_device(grads))
    assert there(distinct, sums)
    for a, b in zip((distinct, sums), embed.bag_grads(seen, grads)):
        np.testing.assert_allclose(to_host(a), b, **CLOSE)
    np.testing.assert_allclose(to_host(embed.weight_grads(lookups, gone[0], to_device(grads))), embed.weight_grads(seen, table, grads),
                               **CLOSE)


def test_a_bag_for_every_key():
    table, keys = normal(np.random.default_rng(3), 5, 2), np.array([4, 0, 4])
    np.testing.assert_array_equal(to_host(embed.bag(*to_device((table, keys)))[0]), table[keys])


def test_bad_bags():
    table, keys = to_device((np.ones((3, 2), np.float32), np.array([0, 2])))
    for message, arguments, more in [
            ("row numbers of the table, 0 to 2", (to_device(np.array([0, 3])),), {}),
            ("indptr must ascend from 0 to 2", (keys, to_device(np.array([0, 3]))), {}),
            ("weights must be None for a mean", (keys, None, to_device(np.ones(2, np.float32))), {"how": "mean"}),
            ("weights must have shape", (keys, None, to_device(np.ones(3, np.float32))), {}),
            ("how must be one of", (keys,), {"how": "max"}),
            ("less than 2", (keys,), {"seeds": to_device(np.empty(0, np.uint64))})]:
        with pytest.raises(ValueError, match=message):
            embed.bag(table, *arguments, **more)
    with pytest.raises(TypeError, match="indptr on the host"):
        embed.bag(table, keys, np.array([0, 2]))


@pytest.mark.parametrize("opt", [optim.sgd(0.5), optim.adam(0.1), optim.adamw(0.1, decay=0.1, l1=0.1)])
@pytest.mark.parametrize("make", [optim.slots, optim.lazy_slots])
def test_optimizer_steps(opt, make):
    rng = np.random.default_rng(4)
    table = normal(rng, 5, 2)
    state = make(opt, table.shape)
    gone, own = to_device(state), to_device(table)
    assert isinstance(gone.steps, np.ndarray) and gone.steps is not state.steps
    for wanted in (np.array([1, 3]), np.array([0, 3, 4]), np.array([1, 4])):
        grads = normal(rng, wanted.size, 2)
        optim.step(opt, state, table, wanted, grads)
        optim.step(opt, gone, own, *to_device((wanted, grads)))
    if make is optim.lazy_slots:
        optim.catch_up(opt, state, table)
        optim.catch_up(opt, gone, own)
        np.testing.assert_array_equal(to_host(gone.last), state.last)
    grads = normal(rng, 5, 2)
    optim.step(opt, state, table, None, grads)
    optim.step(opt, gone, own, None, to_device(grads))
    assert gone.steps == state.steps
    for a, b in zip((own, gone.m, gone.v), (table, state.m, state.v)):
        np.testing.assert_allclose(to_host(a), b, **CLOSE)


def test_bad_steps():
    opt, table = optim.sgd(0.5), to_device(np.ones((3, 2), np.float32))
    state, grads = to_device(optim.slots(opt, (3, 2))), to_device(np.ones((2, 2), np.float32))
    for wanted in ([1, 1], [-1, 1], [1, 3]):
        with pytest.raises(ValueError, match="ascend within 0 to 2"):
            optim.step(opt, state, table, to_device(np.array(wanted)), grads)
    with pytest.raises(ValueError, match="grads must have shape"):
        optim.step(opt, state, table, to_device(np.array([1])), grads)
    with pytest.raises(TypeError, match="rows on the host"):
        optim.step(opt, state, table, np.array([0, 1]), grads)
    with pytest.raises(TypeError, match="state.m on the host"):
        optim.step(optim.adam(), optim.slots(optim.adam(), (3, 2)), table, to_device(np.array([0, 1])), grads)


def problem(seed, loss="logistic", probes=1, **more):
    rng = np.random.default_rng(seed)
    own = lookup.shared(9, probes=probes, buckets=5) if probes > 1 else lookup.hashed(9, reps=2, buckets=4, seed=seed)
    model = mach.init(7, own, loss=loss, seed=seed, **more)
    model.weights[...], model.biases[...] = normal(rng, *model.weights.shape), normal(rng, *model.biases.shape)
    labels = [[] if i == 1 else sorted(rng.choice(9, 2, replace=False).tolist()) for i in range(5)]
    return rng, model, rows(rng), sparse.rows(labels, 9)


@pytest.mark.parametrize("loss, more", [("logistic", {}), ("softmax", {"probes": 2}),
                                        ("logistic", {"width": 5})])
def test_linear_mach(loss, more):
    rng, model, x, labels = problem(5, loss, **more)
    opt = optim.adam(0.1)
    state = mach.slots(opt, model)
    gone, moments = to_device((model, state))
    for _ in range(2):
        order = rng.permutation(5)
        wanted = mach.train(model, opt, state, x, labels, order, batch=3, last_lr=0.05)
        assert mach.train(gone, opt, moments, x, labels, order, batch=3, last_lr=0.05) == pytest.approx(wanted, rel=1e-5)
    back = to_host((gone, moments))
    for a, b in zip((back[0].weights, back[0].biases, *back[1].weights, *back[1].biases),
                    (model.weights, model.biases, *state.weights, *state.biases)):
        np.testing.assert_allclose(a, b, **CLOSE)
    found = mach.bucket_scores(gone, x)
    assert there(found)
    np.testing.assert_allclose(to_host(found), mach.bucket_scores(model, x), **CLOSE)
    for top in (None, 2):
        ranked, scores = mach.top_k(gone, x, 3, top=top)
        assert there(ranked, scores)
        for a, b in zip(to_host((ranked, scores)), mach.top_k(model, x, 3, top=top)):
            np.testing.assert_allclose(a, b, **CLOSE)


def test_rows_on_the_device_are_scored_there(monkeypatch):
    _, model, x, labels = problem(6)
    gone, here = to_device((model, x))
    np.testing.assert_allclose(to_host(mach.bucket_scores(gone, here)), mach.bucket_scores(model, x), **CLOSE)
    monkeypatch.setattr(mach, "LEAST_BLOCK", 2)  # blocks of two rows
    for a, b in zip(to_host(mach.top_k(gone, here, 2, memory=1)), mach.top_k(model, x, 2)):
        np.testing.assert_allclose(a, b, **CLOSE)
    with pytest.raises(TypeError, match="x must be on the host for a model that is there"):
        mach.bucket_scores(model, here)
    with pytest.raises(TypeError, match="wm on the host|is on the device and wm"):
        mach.train(gone, optim.adam(0.1), mach.slots(optim.adam(0.1), model), x, labels, [0])


def test_a_device_too_small(monkeypatch):
    _, model, x, labels = problem(7)
    opt = optim.sgd(0.1)
    gone, state = to_device((model, mach.slots(opt, model)))
    monkeypatch.setattr(_target, "free_bytes", lambda: 100)
    with pytest.raises(MemoryError, match="a step must fit the device: it needs [0-9]+ bytes, of which 100 are free"):
        mach.train(gone, opt, state, x, labels, [0, 1])
    with pytest.raises(MemoryError, match="state must fit the device"):
        to_device(model)


@pytest.mark.parametrize("how", ["logit", "unbiased", "median"])
def test_decoding(how):
    rng = np.random.default_rng(8)
    own = lookup.hashed(11, reps=3, buckets=4, seed=1)
    scores, shortlist = normal(rng, 3, 2, 4), rng.integers(-1, 11, (2, 3)).astype(np.int32)
    gone = to_device((own, scores, shortlist))
    for top in (None, 1):
        found = decode.top_k(to_device(scores), gone[0], 3, how=how, top=top)
        assert there(*found)
        for a, b in zip(to_host(found), decode.top_k(scores.copy(), own, 3, how=how, top=top)):
            np.testing.assert_allclose(a, b, **CLOSE)
    found = decode.shortlist_scores(gone[1], gone[0], gone[2], how=how, softmax=True)
    np.testing.assert_allclose(to_host(found), decode.shortlist_scores(scores, own, shortlist, how=how, softmax=True), **CLOSE)


def test_bad_shortlist():
    own = lookup.hashed(11, reps=3, buckets=4, seed=1)
    gone = to_device((own, np.zeros((3, 2, 4), np.float32)))
    for bad in (-2, 11):
        with pytest.raises(ValueError, match="labels between -1 and 10"):
            decode.shortlist_scores(gone[1], gone[0], to_device(np.array([[0], [bad]], np.int32)))
    with pytest.raises(TypeError, match="lookup on the host"):
        decode.top_k(gone[1], own, 2)


@pytest.mark.parametrize("hidden, loss, more", [((3,), "logistic", {}), ((3, 4), "softmax", {"activation": "tanh"}),
                                                ((3, 2), "logistic", {"width": 5}), ((3, 4), "logistic", {"norm": "layer"}),
                                                ((3, 4), "logistic", {"norm": "batch", "activation": "mish"}),
                                                ((3,), "softmax", {"norm": "batch", "width": 5})])
def test_nets_with_hidden_layers(hidden, loss, more):
    rng, _, x, labels = problem(9)
    model = shallow.init(7, lookup.hashed(9, reps=2, buckets=4, seed=3), hidden=hidden, loss=loss, seed=1, **more)
    eps = 1e-2 if "norm" in more else 1e-8  # with a norm some slopes are zero but for rounding, of which Adam would make whole steps
    opt, dropout = optim.adam(0.1, eps=eps), 0.0 if loss == "softmax" else 0.3
    state = shallow.slots(opt, model)
    gone, moments = to_device((model, state))
    order = rng.permutation(5)
    wanted = shallow.train(model, opt, state, x, labels, order, batch=3, dropout=dropout)
    assert shallow.train(gone, opt, moments, x, labels, order, batch=3, dropout=dropout) == pytest.approx(wanted, rel=1e-5)
    back = to_host((gone, moments))
    for name in ("embed_stats", "hidden_stats", "steps"):
        np.testing.assert_allclose(getattr(back[0], name), getattr(model, name), err_msg=name, **CLOSE)
    for name in shallow.ShallowSlots._fields:
        np.testing.assert_allclose(getattr(back[0], name), getattr(model, name), err_msg=name, **CLOSE)
        for a, b in zip(getattr(back[1], name), getattr(state, name)):
            np.testing.assert_allclose(a, b, err_msg=name, **CLOSE)
    found = shallow.bucket_scores(gone, x)
    assert there(found)
    np.testing.assert_allclose(to_host(found), shallow.bucket_scores(model, x), **CLOSE)
    np.testing.assert_array_equal(to_host(shallow.top_k(gone, x, 2)[0]), shallow.top_k(model, x, 2)[0])


def test_what_nets_cannot_do_there(monkeypatch):
    _, _, x, labels = problem(9)
    model = shallow.init(7, lookup.hashed(9, reps=2, buckets=4, seed=3), hidden=(3,))
    opt = optim.adam(0.1)
    state = shallow.slots(opt, model)
    gone, moments = to_device((model, state))
    with pytest.raises(TypeError, match="on the device and state.embed on the host"):
        shallow.train(gone, opt, state, x, labels, [0, 1])
    with pytest.raises(TypeError, match="x is on the device and labels on the host"):
        shallow.train(gone, opt, moments, to_device(x), labels, [0, 1])
    with pytest.raises(TypeError, match="gates must be None"):
        shallow._room(gone, moments, 2, object(), None)
    with pytest.raises(TypeError, match="clip must be None on a device"):
        shallow.train(gone, opt, moments, x, labels, [0, 1], clip=1.0)
    monkeypatch.setattr(_target, "free_bytes", lambda: 100)
    with pytest.raises(MemoryError, match="a step must fit the device"):
        shallow.train(gone, opt, moments, x, labels, [0, 1])
