"""Optimizers: every rule with decay and soft threshold on rows of a table, missed steps, schedules, clipped gradients, bad input."""
import numpy as np
import pytest
from conftest import AS_PYTHON
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import arrays, problem, same, trained
from naive import optim as naive

from sketchxc import modelfile, optim, schedules, shallow, sparse
from sketchxc.lookup import hashed

MORE = {"nesterov": optim.momentum(0.2, b1=0.8, nesterov=True), "rmsprop": optim.rmsprop(0.05, b2=0.8, eps=1e-3),
        "rmsprop_corrected": optim.rmsprop(0.05, b2=0.8, eps=1e-3, corrected=True),
        "adam_hat": optim.adam(0.05, b1=0.85, b2=0.95, eps=1e-3, hat=True), "adam": optim.adam(0.05, b1=0.85, b2=0.95, eps=1e-3),
        "sgd": optim.sgd(0.3), "momentum": optim.momentum(0.2, b1=0.8), "adagrad": optim.adagrad(0.1, eps=1e-3)}
FEW = settings(max_examples=5 if AS_PYTHON else 12)  # for each rule
PENALTIES = st.sampled_from([(0.0, 0.0), (0.5, 0.0), (0.0, 0.25), (0.125, 0.0625)])
EVERY = pytest.mark.parametrize("name", sorted(MORE))  # a few examples of one strategy for all would leave rules out


@st.composite
def runs(draw):
    """(penalties, table, steps), a step being (rows, gradients)."""
    penalties = draw(PENALTIES)
    n, d, seed = draw(st.integers(1, 6)), draw(st.sampled_from([1, 3, 17])), draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    steps = [np.flatnonzero(rng.random(n) < 0.5) for _ in range(draw(st.integers(1, 7)))]
    table = rng.normal(size=(n, d)).astype(np.float32)
    steps = [(rows, rng.normal(size=(rows.size, d)).astype(np.float32)) for rows in steps]
    return dict(zip(("decay", "l1"), penalties)), table, steps


@EVERY
@FEW
@given(runs())
def test_steps_on_rows_match_the_naive_twin(name, case):
    penalties, table, steps = case
    opt = MORE[name]._replace(**penalties)
    own, state = table.copy(), optim.slots(opt, table.shape)
    wanted = [[(float(w), 0.0, 0.0) for w in row] for row in table]
    for t, (rows, grads) in enumerate(steps):
        optim.step(opt, state, own, rows, grads)
        for row, slopes in zip(rows, grads.tolist()):
            wanted[row] = [naive.step(name, opt[1:], t + 1, w, g, m, v) for (w, m, v), g in zip(wanted[row], slopes)]
    np.testing.assert_allclose(own, [[w for w, _, _ in row] for row in wanted], rtol=1e-4, atol=1e-5)
    for moment, place in ((state.m, 1), (state.v, 2)):
        if moment.shape[1]:
            np.testing.assert_allclose(moment, [[number[place] for number in row] for row in wanted], rtol=1e-4, atol=1e-5)
    assert state.steps[0] == len(steps)


def test_soft_threshold_makes_exact_zeros():
    opt = optim.sgd(0.5, l1=1.0)
    table = np.array([[0.25, -0.25, 2.0, -2.0, np.nan]], np.float32)
    optim.step(opt, optim.slots(opt, table.shape), table, None, np.zeros((1, 5)))
    assert table[0, :4].tolist() == [0.0, 0.0, 1.5, -1.5] and np.isnan(table[0, 4])


def test_adamw_is_adam_with_decay():
    assert optim.adamw(0.1) == optim.adam(0.1, decay=0.01) == optim.by_name("adamw", 0.1)
    assert optim.by_name("nesterov", 0.5) == optim.momentum(0.5, nesterov=True) and optim.by_name("rmsprop", 0.5) == optim.rmsprop(0.5)
    assert {opt.rule for opt in MORE.values()} == set(optim.RULES.values())
    assert all(optim.RULES[name] == opt.rule for name, opt in MORE.items())


# ---- missed steps


@EVERY
@FEW
@given(runs(), st.booleans())
def test_missed_steps_are_the_steps_of_dense_arrays(name, case, between):
    """Bit for bit: gradients of zero for all other rows, against rows that catch up when they come again, and at the end."""
    penalties, table, steps = case
    opt = MORE[name]._replace(**penalties)
    dense, own = table.copy(), table.copy()
    states = optim.slots(opt, table.shape), optim.lazy_slots(opt, table.shape)
    for rows, grads in steps:
        whole = np.zeros_like(table)
        whole[rows] = grads
        if between:
            optim.catch_up(opt, states[1], own, rows)
            assert np.array_equal(own[rows], dense[rows])
        optim.step(opt, states[0], dense, None, whole)
        optim.step(opt, states[1], own, rows, grads)
        assert np.array_equal(own[rows], dense[rows])
    optim.catch_up(opt, states[1], own)
    same([own, *states[1][:2], states[1].steps], [dense, *states[0]])
    optim.catch_up(opt, states[1], own)
    assert np.array_equal(own, dense)


@pytest.mark.parametrize("b2", [0.5, 0.9])
def test_hundreds_of_missed_steps_bit_for_bit(b2):
    """Moments that live as long as their bias corrections, in a weight near zero, where the last of them is seen."""
    opt, count = optim.adam(0.5, b2=b2, eps=1e-3), 150
    tables = np.zeros((2, 1, 3), np.float32)
    states = optim.slots(opt, (1, 3)), optim.lazy_slots(opt, (1, 3))
    for state, table in zip(states, tables):
        optim.step(opt, state, table, [0], np.ones((1, 3)))
    for _ in range(count):
        optim.step(opt, states[0], tables[0], None, np.zeros((1, 3)))
    states[1].steps[0] += count
    optim.catch_up(opt, states[1], tables[1])
    same([tables[1], *states[1][:2]], [tables[0], *states[0][:2]])


@EVERY
def test_steps_taken_at_once_only_let_moments_decay(name):
    opt, start = MORE[name], np.ones((1, 3), np.float32)
    state, table = optim.lazy_slots(opt, (1, 3), most=0), start.copy()
    optim.step(opt, state, table, [0], np.ones((1, 3)))
    before = table.copy(), state.m.copy(), state.v.copy()
    state.steps[0] += 5
    optim.catch_up(opt, state, table)
    assert np.array_equal(table, before[0])
    np.testing.assert_allclose(state.m, before[1] * opt.b1**5, rtol=1e-5)
    np.testing.assert_allclose(state.v, before[2] * (1 if name == "adagrad" else opt.b2**5), rtol=1e-5)


@EVERY
def test_many_missed_steps_at_once(name):
    """After some hundred steps the moments are spent, and only decays are left, which need no loop."""
    opt = MORE[name]._replace(decay=0.01, l1=1e-3)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2, 3)).astype(np.float32)
    count, most = (300, 150) if AS_PYTHON else (1500, 400)
    found = []
    for limit in (None, most):
        own, state = table.copy(), optim.lazy_slots(opt, table.shape, most=limit)
        optim.step(opt, state, own, [0], np.ones((1, 3)))
        state.steps[0] += count
        optim.catch_up(opt, state, own)
        assert state.last.tolist() == [count + 1] * 2
        found.append([own, state.m, state.v])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-3)
        assert a.size == 0 or not np.array_equal(a, np.zeros_like(a)) or np.array_equal(b, a)


@EVERY
def test_missed_steps_go_on_from_a_file(name, tmp_path):
    opt, rng = MORE[name]._replace(decay=0.25, l1=0.0625), np.random.default_rng(2)
    steps = [np.flatnonzero(rng.random(9) < 0.3) for _ in range(8)]
    steps = [(rows, rng.normal(size=(rows.size, 3))) for rows in steps]
    found = []
    for cut in (8, 5):
        state, table = optim.lazy_slots(opt, (9, 3), most=2), np.ones((9, 3), np.float32)
        for rows, grads in steps[:cut]:
            optim.step(opt, state, table, rows, grads)
        modelfile.save(tmp_path / f"state{cut}", state)
        state = modelfile.load(tmp_path / f"state{cut}", expected=optim.LazySlots, verify=True)
        for rows, grads in steps[cut:]:
            optim.step(opt, state, table, rows, grads)
        optim.catch_up(opt, state, table)
        found.append([table, *state])
    same(found[0][:-1], found[1][:-1])
    assert found[0][-1] == found[1][-1] == 2


def test_only_missed_steps_let_adam_follow_the_dense_rule():
    opt, rng = optim.adam(0.05), np.random.default_rng(1)
    tables = [np.ones((4, 2), np.float32) for _ in range(3)]
    states = optim.slots(opt, (4, 2)), optim.lazy_slots(opt, (4, 2)), optim.slots(opt, (4, 2))
    for _ in range(20):
        rows = np.sort(rng.choice(4, 2, replace=False))
        grads = rng.normal(size=(2, 2))
        whole = np.zeros((4, 2))
        whole[rows] = grads
        optim.step(opt, states[0], tables[0], None, whole)
        for table, state in zip(tables[1:], states[1:]):
            optim.step(opt, state, table, rows, grads)
    optim.catch_up(opt, states[1], tables[1])
    assert np.array_equal(tables[0], tables[1]) and np.abs(tables[0] - tables[2]).max() > 0.01


# ---- schedules


@given(st.sampled_from(["constant", "linear", "cosine", "inverse_sqrt"]), st.floats(0, 10), st.integers(0, 30), st.floats(0, 10),
       st.integers(1, 40), st.integers(1, 40))
def test_schedules_match_the_naive_twin(kind, lr, steps, last, hold, rise):
    more = {"linear": (last,), "cosine": (last,), "inverse_sqrt": (hold,)}.get(kind, ())
    found = getattr(schedules, kind)(lr, steps, *more)
    wanted = naive.rates(kind, lr, steps, last, hold)
    assert found.dtype == np.float64 and found.shape == (steps,)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
    warm = schedules.warm_up(found, rise)
    np.testing.assert_allclose(warm, [rate * min(1, i / rise) for i, rate in enumerate(wanted, 1)], rtol=1e-9, atol=1e-12)


def test_rates_of_steps():
    opt = optim.adamw(0.5, decay=0.25, l1=0.125)
    found = optim.hyper(opt, 3, 2, rates=[0.25, 4])
    assert found[:, 0].tolist() == [0.25, 4] and found[:, 6].tolist() == [0.0625, 1] and found[:, 7].tolist() == [0.03125, 0.5]
    assert np.array_equal(found[:, 1:6], optim.hyper(opt, 3, 2)[:, 1:6])
    table = np.ones((1, 1), np.float32)
    optim.step(optim.sgd(9.0), optim.slots(optim.sgd(), (1, 1)), table, None, np.ones((1, 1)), lr=0.25)
    assert table[0, 0] == 0.75


@pytest.mark.parametrize("rule", ["sgd", "adam"])
def test_training_by_a_schedule(rule, monkeypatch):
    """A straight line as a schedule is `last_lr`, in one chunk and in many; penalties take part."""
    model, x, y, rng = problem(3, n=9)
    opt, order = MORE[rule]._replace(decay=0.01, l1=1e-4), rng.permutation(9)
    wanted = trained(model, opt, x, y, order, batch=2, last_lr=0.01)
    rates = [opt.lr + (0.01 - opt.lr) * i * 2 / 9 for i in range(5)]
    found = trained(model, opt, x, y, order, batch=2, rates=rates)
    same(arrays(*found[:2]), arrays(*wanted[:2]))
    monkeypatch.setattr("sketchxc._batches.CHUNK", 12)
    same(arrays(*trained(model, opt, x, y, order, batch=2, rates=rates)[:2]), arrays(*wanted[:2]))
    plain = trained(model, MORE[rule], x, y, order, batch=2, rates=rates)[0]
    assert not np.array_equal(plain.weights, wanted[0].weights)
    nets = []
    for more in (dict(last_lr=0.01), dict(rates=rates)):
        net = shallow.init(x.width, hashed(12, reps=2, buckets=4), hidden=(3, 2), seed=1)
        shallow.train(net, opt, shallow.slots(opt, net), x, sparse.rows(y, 12), order, batch=2, threads=1, **more)
        nets.append(net)
    same(nets[0][:6], nets[1][:6])


# ---- clipped gradients


@given(st.lists(st.floats(-1e3, 1e3, width=32), max_size=6), st.lists(st.floats(-1e3, 1e3, width=32), max_size=6), st.floats(1e-3, 1e3))
def test_clipping(first, second, limit):
    found = optim.clip_values(np.array(first, np.float32), limit)
    assert found.dtype == np.float32 and found.tolist() == [np.float32(min(max(g, -limit), limit)) for g in first]
    parts, norm = optim.clip_norm([np.array(first), np.array(second)], limit)
    assert norm == pytest.approx(sum(g * g for g in first + second)**0.5)
    factor = min(1.0, limit / norm) if norm > 0 else 1.0
    np.testing.assert_allclose(np.concatenate(parts), np.array(first + second) * factor, rtol=1e-9)
    huge, length = optim.clip_norm(np.full(4, 1e30, np.float32), limit)  # whose squares are no float32 numbers
    assert length == pytest.approx(2e30) and np.allclose(huge, limit / 2)
    alone, _ = optim.clip_norm(np.array(first, np.float32), limit)
    assert alone.dtype == np.float32 and np.sqrt(np.square(alone, dtype=np.float64).sum()) <= limit * (1 + 1e-6)


# ---- files and bad input


def test_files_of_missed_steps(tmp_path):
    opt = optim.adamw(0.1, l1=0.5)
    state = optim.lazy_slots(opt, (4, 3), most=9)
    state.last[:], state.steps[0] = 5, 7
    modelfile.save(tmp_path / "state", state)
    modelfile.save(tmp_path / "opt", opt)
    same(modelfile.load(tmp_path / "state", expected=optim.LazySlots)[:4], state[:4])
    assert modelfile.load(tmp_path / "opt") == opt


ADAM = optim.adam()
TABLE = np.ones((3, 2), np.float32)
ONE = np.ones((1, 2))


@pytest.mark.parametrize("make, error, message", [
    (lambda: optim.step(ADAM._replace(rule=9), optim.slots(ADAM, (3, 2)), TABLE, [0], ONE), ValueError, "opt.rule must be one of 0, .* 9"),
    (lambda: optim.slots(ADAM._replace(rule=-1), (3, 2)), ValueError, "opt.rule must be one of"),
    (lambda: trained(problem(0)[0], ADAM._replace(rule=8), *problem(0)[1:3], [0]), ValueError, "opt.rule must be one of"),
    (lambda: optim.step(ADAM, (), TABLE, [0], ONE), TypeError, "state must be Slots or LazySlots .* not tuple"),
    (lambda: optim.step(ADAM, optim.lazy_slots(ADAM, (3, 2)), TABLE, [0], ONE, lr=0.1), ValueError, "lr must be None with LazySlots"),
    (lambda: optim.step(ADAM, optim.slots(ADAM, (3, 2)), TABLE, [0], ONE, lr=-0.1), ValueError, "lr must be at least 0, not -0.1"),
    (lambda: optim.step(ADAM, optim.slots(ADAM, (3, 2)), TABLE.tolist(), [0], ONE), TypeError, "table must be a float32 array"),
    (lambda: optim.catch_up(ADAM, optim.slots(ADAM, (3, 2)), TABLE), TypeError, "state must be LazySlots, not Slots"),
    (lambda: optim.catch_up(ADAM, optim.lazy_slots(ADAM, (3, 2)), TABLE, [2, 1]), ValueError, "rows must be distinct and ascend"),
    (lambda: optim.lazy_slots(ADAM, (3, 2), most=-1), ValueError, "most must be between 0 and"),
    (lambda: optim.sgd(decay=-1), ValueError, "decay must be at least 0, not -1"),
    (lambda: optim.sgd(l1=float("nan")), ValueError, "l1 must be at least 0, not nan"),
    (lambda: optim.rmsprop(b2=1), ValueError, "b2 must be at least 0 and below 1, not 1"),
    (lambda: optim.hyper(ADAM, 1, 2, rates=[0.1]), ValueError, "rates must be 2 finite numbers of at least 0, one for each step, not 1"),
    (lambda: optim.hyper(ADAM, 1, 1, rates=[np.inf]), ValueError, "rates must be 1 finite numbers"),
    (lambda: schedules.linear(-1, 3), ValueError, "lr must be at least 0, not -1"),
    (lambda: schedules.cosine(1, 3, last=-1), ValueError, "last must be at least 0, not -1"),
    (lambda: schedules.constant(1, 2.5), TypeError, "steps must be an integer, not float"),
    (lambda: schedules.inverse_sqrt(1, 3, hold=0), ValueError, "hold must be at least 1, not 0"),
    (lambda: schedules.warm_up([0.1], 0), ValueError, "steps must be at least 1, not 0"),
    (lambda: optim.lazy_slots(ADAM, (3,)), ValueError, r"shape must be \(n, d\), not \(3,\)"),
    (lambda: optim.catch_up(ADAM, optim.lazy_slots(ADAM, (3, 2))._replace(last=np.zeros(2, np.int64)), TABLE), ValueError,
     r"state.last must have shape \(3,\), not \(2,\)"),
    (lambda: optim.clip_norm(np.array([3, 4]), 1.0), TypeError, "grads must hold floats, not int64"),
    (lambda: optim.clip_values(ONE, 0), ValueError, "limit must be above 0, not 0"),
    (lambda: optim.clip_norm(ONE * np.nan, 1), ValueError, "grads must have a finite length, not nan"),
])
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
    assert (TABLE == 1).all()
