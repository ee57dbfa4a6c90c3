"""Heads: naive twins, gradients by central differences, what each model can learn, both precisions, bad input."""
import numpy as np
import pytest
from conftest import AS_PYTHON
from hypothesis import given
from hypothesis import strategies as st
from naive import heads as naive

from sketchxc import dense, embed, hashing, heads, optim

PLAIN = pytest.mark.skipif(AS_PYTHON, reason="NumPy code, slow only where tables are trained")
RNG = np.random.default_rng(0)
SCORES = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=6).map(lambda pairs: np.array(pairs).T)


def normal(*shape):
    return RNG.standard_normal(shape)


def leaves(x):
    """Arrays of a nest of tuples."""
    return [x] if isinstance(x, np.ndarray) else [leaf for part in x if not isinstance(part, str) for leaf in leaves(part)]


def check(f, grads, *arguments):
    """Central differences of the inner product of f with fixed slopes, at every number of every argument, to 1e-6."""
    slopes = np.random.default_rng(1).standard_normal(np.shape(f(*arguments)))
    found = leaves(grads(slopes, *arguments))
    assert [a.shape for a in found] == [a.shape for a in leaves(arguments)]
    for argument, gradient in zip(leaves(arguments), found):
        for place in np.ndindex(argument.shape):
            kept, sides = argument[place], []
            for move in (1e-5, -1e-5):
                argument[place] = kept + move
                sides.append((f(*arguments) * slopes).sum())
            argument[place] = kept
            assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(gradient[place], rel=1e-6, abs=1e-6)


def layer(activation="tanh", **more):
    sizes = {"rank": 2, "machines": 2, "compressed": 1, "hidden": [6], **more}
    made = heads.wukong_init(4, 3, **sizes, seed=1, dtype=np.float64)
    return made._replace(net=made.net._replace(biases=tuple(normal(b.size) for b in made.net.biases), activation=activation))


CASES = {
    "linear": (normal(5, 3), normal(3), normal(1)),
    "factors": (normal(5, 3), normal(5, 3), normal(5), normal(5), normal(1)),
    "fm": (normal(4, 3, 2), normal(4, 3), normal(1)),
    "wukong": (normal(3, 4, 3), layer()),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients(name):
    check(getattr(heads, name), getattr(heads, name + "_grads"), *CASES[name])


@pytest.mark.parametrize("norm, more", [("none", {"hidden": []}), ("layer", {"hidden": [5, 4]}), ("batch", {"compressed": 0}),
                                        ("none", {"rank": 1, "machines": 1, "compressed": 3})])
def test_gradients_of_wukong_layers(norm, more):
    own = layer("mish", **more)
    sizes = [own.net.weights[0].shape[0], *(w.shape[1] for w in own.net.weights)]
    net = dense.mlp_init(sizes, activation="mish", norm=norm, seed=4, dtype=np.float64)
    check(heads.wukong, heads.wukong_grads, normal(3, 4, 3), own._replace(net=net))


@pytest.mark.parametrize("loss", [heads.log_loss, heads.squared_loss, heads.bpr_loss, heads.triplet_loss])
@given(st.integers(0, 99))
def test_gradients_of_losses(loss, seed):
    first, second = np.random.default_rng(seed).random((2, 5)) * 2 - 1
    second = abs(second) if loss is heads.log_loss else second  # chances
    first[0] -= first[0] - second[0] + 0.2 if abs(first[0] - second[0] + 0.2) < 1e-4 else 0  # off the hinge's kink
    _, *slopes = loss(first, second)
    for k, slope in enumerate(slopes):
        for i in range(5):
            moved = np.stack([first, second])
            moved[k, i] += 1e-6
            above = loss(*moved)[0]
            moved[k, i] -= 2e-6
            assert (above - loss(*moved)[0]) / 2e-6 == pytest.approx(slope[i], abs=1e-6)


# ---- naive twins

@given(SCORES)
def test_losses_match_the_naive_twin(pair):
    a, b = pair.tolist()
    clicks = (pair[1] > 0).astype(int)
    assert heads.log_loss(pair[0], clicks)[0] == pytest.approx(naive.log_loss(a, clicks.tolist()), rel=1e-9, abs=1e-12)
    assert heads.squared_loss(*pair)[0] == pytest.approx(naive.squared_loss(a, b))
    assert heads.bpr_loss(*pair)[0] == pytest.approx(naive.bpr_loss(a, b), rel=1e-9, abs=1e-12)
    assert heads.triplet_loss(*pair, margin=0.5)[0] == pytest.approx(naive.triplet_loss(a, b, 0.5))


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1)), min_size=1, max_size=12))
def test_auc_counts_pairs(pairs):
    wanted, other = ([z for z, c in pairs if c == kind] for kind in (1, 0))
    found = heads.auc(*np.array(pairs, float).T)
    if wanted and other:
        assert found == sum((a > b) + (a == b) / 2 for a in wanted for b in other) / (len(wanted) * len(other))
    else:
        assert np.isnan(found)


def test_auc_of_a_lost_net_is_none():
    """NaN would be sorted behind all numbers, and the area look like one."""
    assert np.isnan(heads.auc(np.array([np.nan, 0.1, 0.2, np.nan]), np.array([1, 0, 1, 0])))


def test_scorers_match_the_naive_twin():
    x, w, b = CASES["fm"]
    np.testing.assert_allclose(heads.fm(x, w, b), naive.fm(x.tolist(), w.tolist(), b[0]))
    *vectors, b = CASES["factors"]
    np.testing.assert_allclose(heads.factors(*vectors, b), naive.factors(*(a.tolist() for a in vectors), b[0]))
    x, w, b = CASES["linear"]
    np.testing.assert_allclose(heads.linear(x, w, b), [naive.dot(row, w) + b[0] for row in x.tolist()])


@pytest.mark.parametrize("activation", ["relu", "tanh", "mish"])
def test_wukong_and_its_net_match_the_naive_twin(activation):
    x, own = CASES["wukong"][0], layer(activation)
    lists = [[a.tolist() for a in arrays] for arrays in own.net[:2]]
    around = own.compress.tolist(), own.residual.tolist()
    wanted = [naive.wukong(row, own.project.tolist(), *lists, activation, *around) for row in x.tolist()]
    np.testing.assert_allclose(heads.wukong(x, own), wanted)


@pytest.mark.parametrize("name", CASES)
def test_results_have_the_dtype_of_the_arguments(name):
    own = heads.wukong_init(4, 3, rank=2, machines=2, compressed=1, hidden=[6], seed=1)
    single = [one.astype(np.float32) if isinstance(one, np.ndarray) else own for one in CASES[name]]
    before = [a.copy() for a in leaves(single)]
    out = getattr(heads, name)(*single)
    grads = getattr(heads, name + "_grads")(np.ones_like(out), *single)
    assert all(a.dtype == np.float32 for a in leaves((out, grads))) and all(np.array_equal(a, b) for a, b in zip(leaves(single), before))
    for loss in (heads.log_loss, heads.squared_loss, heads.bpr_loss, heads.triplet_loss):
        assert all(a.dtype == np.float32 for a in loss(np.ones(3, np.float32), np.array([1.0, 0.0, 1.0]))[1:])


# ---- what they learn

def fit(f, grads, parameters, data, loss, *, rate=0.05, steps=400):
    """Loss after Adam on all parameters at once; f(data, *parameters)."""
    parameters = [np.atleast_2d(p).astype(np.float32) for p in parameters]
    opt = optim.adam(rate)
    states = [optim.slots(opt, p.shape) for p in parameters]
    for _ in range(steps):
        value, slopes = loss(f(data, *parameters))
        for p, state, g in zip(parameters, states, grads(slopes, data, *parameters)):
            embed.step(opt, state, p, None, np.reshape(g, p.shape))
    return value, parameters


@PLAIN
def test_factors_recover_a_planted_matrix_of_low_rank():
    rng = np.random.default_rng(0)
    p, q = rng.standard_normal((2, 30, 3))
    users, items = (a.reshape(-1) for a in np.meshgrid(np.arange(30), np.arange(30), indexing="ij"))
    ratings = (p @ q.T + p[:, :1] + q[:, 1] + 2).reshape(-1)
    seen = rng.random(900) < 0.7

    def score(rows, p, q, a, b, c):
        return heads.factors(p[users[rows]], q[items[rows]], a[0, users[rows]], b[0, items[rows]], c[0])

    def grads(slopes, rows, p, q, a, b, c):
        found = heads.factors_grads(slopes, p[users[rows]], q[items[rows]], a[0, users[rows]], b[0, items[rows]], c[0])
        out = []
        for one, place, own in zip(found, (users, items, users, items), (p, q, a, b)):
            sums = np.zeros((30, one[0].size))
            np.add.at(sums, place[rows], one.reshape(rows.size, -1))
            out.append(sums)
        return [*out, found[4]]

    rows, rest = np.flatnonzero(seen), np.flatnonzero(~seen)
    start = [rng.standard_normal((30, 3)) * 0.3, rng.standard_normal((30, 3)) * 0.3, np.zeros(30), np.zeros(30), np.zeros(1)]
    _, found = fit(score, grads, start, rows, lambda z: heads.squared_loss(z, ratings[rows].astype(np.float32)))
    error = np.sqrt(np.mean((score(rest, *found) - ratings[rest])**2))
    assert error < 0.1 * ratings.std()


@PLAIN
def test_wukong_fits_a_product_of_two_ids_that_a_linear_head_cannot():
    """Four ids of each of two features; the click is whether both are of one kind: no sum of functions of one feature tells it."""
    ids = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2)
    clicks = (ids[:, 0] % 2 == ids[:, 1] % 2).astype(np.float32)
    table = embed.init(8, 4, seed=0)
    x = table[ids + [0, 4]]
    layer = heads.wukong_init(2, 4, rank=2, machines=2, compressed=1, hidden=[16], seed=0)
    last = np.zeros(12, np.float32)
    out = {}
    for name in ("linear", "wukong"):
        parameters = [x[:1] * 0] if name == "linear" else leaves(layer)

        def build(flat):
            flat = [f.reshape(p.shape) for f, p in zip(flat, parameters)]
            return heads.Wukong(flat[0], dense.MLP(tuple(flat[1:3]), tuple(flat[3:5]), "relu"), flat[5], flat[6])

        def score(_, w, b, *flat):
            hidden = x if name == "linear" else heads.wukong(x, build(flat))
            return heads.linear(hidden.reshape(16, -1), w[0], b[0])

        def grads(slopes, _, w, b, *flat):
            hidden = x if name == "linear" else heads.wukong(x, build(flat))
            dx, dw, db = heads.linear_grads(slopes, hidden.reshape(16, -1), w[0], b[0])
            return [dw, db] + ([] if name == "linear" else leaves(heads.wukong_grads(dx.reshape(hidden.shape), x, build(flat))[1]))

        start = [last[:8] if name == "linear" else last, np.zeros(1)] + ([] if name == "linear" else parameters)
        out[name], _ = fit(score, grads, [s.reshape(1, -1) for s in start], None, lambda z: heads.log_loss(z, clicks), steps=500)
    assert out["wukong"] < 0.02 and out["linear"] > 0.6


@PLAIN
def test_pairwise_ranking_orders_what_users_prefer():
    """Wanted items are those of a planted order for each half of the users; ranking learns it from pairs, without a rating."""
    rng = np.random.default_rng(3)
    score = rng.standard_normal((2, 20))[np.arange(30) % 2]
    users, a, b = rng.integers(0, 30, 2000), *rng.integers(0, 20, (2, 2000))
    wanted, other = (np.where(score[users, a] > score[users, b], x, y) for x, y in ((a, b), (b, a)))

    def grads(slopes, _, p, q):
        dp, dq = np.zeros_like(p), np.zeros_like(q)
        for items, own in zip((wanted, other), slopes):
            by_user, by_item, *_ = heads.factors_grads(own, p[users], q[items], *zeros)
            np.add.at(dp, users, by_user)
            np.add.at(dq, items, by_item)
        return dp, dq

    zeros = np.zeros(2000), np.zeros(2000), np.zeros(1)
    both = [lambda p, q, items=items: heads.factors(p[users], q[items], *zeros) for items in (wanted, other)]
    start = [rng.standard_normal((n, 4)) * 0.3 for n in (30, 20)]
    last, (p, q) = fit(lambda _, p, q: [f(p, q) for f in both], grads, start, None,
                       lambda pair: (lambda loss, *slopes: (loss, slopes))(*heads.bpr_loss(*pair)), steps=200)
    right = [heads.auc((p @ q.T)[u].astype(float), score[u] > np.median(score[u])) for u in range(30)]
    assert last < 0.2 < np.log(2) and np.mean(right) > 0.95


def test_wukong_to_begin_with():
    """Variances that keep sums of their size, hidden layers as asked for, and no numbers that two parts share."""
    own = heads.wukong_init(300, 4, rank=40, machines=5, compressed=7, hidden=[9, 8], seed=2)
    for part, shape in ((own.project, (300, 40)), (own.compress, (7, 300)), (own.residual, (12, 300))):
        assert part.shape == shape and part.dtype == np.float32 and part.var() * 300 == pytest.approx(1, abs=0.1)
    assert [w.shape for w in own.net.weights] == [(12000, 9), (9, 8), (8, 20)]
    parts = [part.reshape(-1)[:2000] for part in (own.project, own.compress, own.residual, own.net.weights[0])]
    assert all(abs(np.corrcoef(a, b)[0, 1]) < 0.15 for i, a in enumerate(parts) for b in parts[:i])
    assert heads.wukong(np.ones((2, 4, 3)), layer(compressed=0)).shape == (2, 2, 3)


def test_identity_projection_gives_all_inner_products():
    """With Y = I the factorisation machine of a Wukong layer holds the dot interaction of DLRM."""
    x = CASES["wukong"][0]
    pairs = heads._mixed(x, layer(rank=4)._replace(project=np.eye(4)))[2]
    np.testing.assert_allclose(pairs, x @ x.transpose(0, 2, 1))


def test_deep_hash_embedding_is_a_table_that_is_computed():
    """Repeated ids give the same vector and gather their gradients before the net sees them."""
    ids = np.array([5, 9, 5, 5])
    net = dense.mlp_init([16, 8, 4], activation="mish", seed=0)
    codes = embed.codes(ids, hashing.seeds(16, 1))
    slopes = np.random.default_rng(0).standard_normal((4, 4), np.float32)
    whole = dense.mlp_grads(slopes, codes, net)[1]
    distinct, places = np.unique(ids, return_inverse=True)
    codes = embed.codes(distinct, hashing.seeds(16, 1))
    out, seen = embed.bag(dense.mlp(codes, net), places)
    assert np.array_equal(out[0], out[2]) and not np.array_equal(out[0], out[1])
    rows, sums = embed.bag_grads(seen, slopes)
    assert rows.tolist() == [0, 1]
    for a, b in zip(leaves(dense.mlp_grads(sums, codes, net)[1]), leaves(whole)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


ONE, TWO = np.ones(1), np.ones((2, 2))


@pytest.mark.parametrize("call, error, message", [
    (lambda: heads.log_loss(np.zeros(2), np.zeros(3)), ValueError, r"scores and clicks must be two float arrays \(n,\) of one length"),
    (lambda: heads.log_loss(np.zeros(2, int), np.zeros(2)), ValueError, r"not int64 \(2,\) and float64 \(2,\)"),
    (lambda: heads.squared_loss(np.zeros(0), np.zeros(0)), ValueError, "scores and targets must be"),
    (lambda: heads.bpr_loss(np.zeros((2, 1)), np.zeros((2, 1))), ValueError, "wanted and other must be two float"),
    (lambda: heads.triplet_loss(np.zeros(1), np.zeros(1), -1), ValueError, "margin must be at least 0, not -1"),
    (lambda: heads.triplet_loss(np.zeros(1), np.zeros(2)), ValueError, r"near and far must be .* not float64 \(1,\) and float64 \(2,\)"),
    (lambda: heads.log_loss(np.zeros(2), np.array([1, -1])), ValueError, "clicks must be between 0 and 1, not -1.0 to 1.0"),
    (lambda: heads.log_loss(np.zeros(2), np.array([np.nan, 1])), ValueError, "clicks must be between 0 and 1, not nan"),
    (lambda: heads.log_loss(np.zeros(1), np.array(["1"])), ValueError, r"not float64 \(1,\) and <U1 \(1,\)"),
    (lambda: heads.linear(TWO, np.ones((2, 1)), ONE), ValueError, r"weights must have shape \(2,\), not \(2, 1\)"),
    (lambda: heads.linear(TWO, np.ones(2), np.ones(2)), ValueError, r"bias must have shape \(1,\), not \(2,\)"),
    (lambda: heads.linear_grads(np.ones((2, 1)), TWO, np.ones(2), ONE), ValueError, r"slopes must have shape \(2,\), not \(2, 1\)"),
    (lambda: heads.factors(TWO, TWO[:1], ONE, ONE, ONE), ValueError, r"items must have shape \(2, 2\), not \(1, 2\)"),
    (lambda: heads.factors(TWO, TWO, np.ones((2, 1)), np.ones(2), ONE), ValueError, r"user_bias must have shape \(2,\), not \(2, 1\)"),
    (lambda: heads.factors(TWO, TWO, np.ones(2), ONE, ONE), ValueError, r"item_bias must have shape \(2,\), not \(1,\)"),
    (lambda: heads.factors(TWO, TWO, np.ones(2), np.ones(2), np.ones(())), ValueError, r"bias must have shape \(1,\), not \(\)"),
    (lambda: heads.factors_grads(ONE, TWO, TWO, ONE, ONE, ONE), ValueError, r"slopes must have shape \(2,\), not \(1,\)"),
    (lambda: heads.fm(np.ones((2, 3, 4)), np.ones((2, 3, 1)), ONE), ValueError, r"weights must have shape \(2, 3\), not \(2, 3, 1\)"),
    (lambda: heads.fm(np.ones((2, 3, 4)), np.ones((2, 3)), TWO), ValueError, r"bias must have shape \(1,\), not \(2, 2\)"),
    (lambda: heads.fm_grads(TWO, np.ones((2, 3, 4)), np.ones((2, 3)), ONE), ValueError, r"slopes must have shape \(2,\), not \(2, 2\)"),
    (lambda: layer(rank=0), ValueError, "rank must be at least 1, not 0"),
    (lambda: layer(machines=0), ValueError, "machines must be at least 1, not 0"),
    (lambda: layer(compressed=-1), ValueError, "compressed must be at least 0, not -1"),
    (lambda: layer(hidden=[0]), ValueError, "hidden must be at least 1, not 0"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
