"""Optimizers with sketched moments: naive twins, the dense rules where no rows meet, bounds, resuming, files, bad input."""
import numpy as np
import pytest
from conftest import AS_PYTHON
from hypothesis import given, settings
from hypothesis import strategies as st
from naive import sketch as naive_sketch
from naive import sketchoptim as naive
from test_rules import MORE

from sketchxc import hashing, modelfile, optim, rowsketch, sketchoptim
from sketchxc.sketchoptim import KINDS

STATEFUL = sorted(set(MORE) - {"sgd"})
SECOND = sorted(set(STATEFUL) - {"momentum", "nesterov"})
FEW = settings(max_examples=10 if AS_PYTHON else 50)
EACH = settings(max_examples=4 if AS_PYTHON else 8)  # for each rule and kind: a few examples of one strategy for all would leave some out
QUARTERS = np.arange(-8, 9) / 4  # with squares that are exact, and none so small that roots lose digits


def quarters(rng, shape):
    return rng.choice(QUARTERS, shape).astype(np.float32)


def drawn(seed, n, d, count, share=0.6):
    """Steps: (rows, gradients)."""
    rng = np.random.default_rng(seed)
    chosen = [np.flatnonzero(rng.random(n) < share) for _ in range(count)]
    return [(rows, quarters(rng, (rows.size, d))) for rows in chosen]


def run(opt, state, table, steps):
    for rows, grads in steps:
        sketchoptim.step(opt, state, table, rows, grads)
    return table


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("kind", KINDS)
@EACH
@given(st.sampled_from([1, 3, 5]), st.integers(1, 4), st.booleans(), st.integers(0, 99), st.sampled_from([1, 2, 17]), st.integers(2, 6),
       st.integers(2, 6), st.booleans())
def test_steps_match_the_naive_twin(name, kind, depth, width, exact, seed, d, n, count, penalties):
    opt = MORE[name]._replace(decay=0.125 * penalties, l1=0.0625 * penalties)
    state = sketchoptim.sketched_slots(opt, (n, d), width=width, depth=depth, seed=seed, kind=kind, exact_m=exact)
    start = quarters(np.random.default_rng(seed), (n, d))
    seeds = state.seeds.tolist()
    has_m, has_v = name not in ("adagrad", "rmsprop", "rmsprop_corrected"), name in SECOND
    m = None if not has_m else {i: [0.0] * d for i in range(n)} if exact else naive.empty(depth, width, d)
    v = naive.empty(depth, width, d) if has_v else None
    wanted, table = start.tolist(), start.copy()
    for t, (rows, grads) in enumerate(drawn(seed, n, d, count), 1):
        sketchoptim.step(opt, state, table, rows, grads)
        naive.step(kind, name, opt[1:], t, wanted, rows.tolist(), grads.tolist(), m, v, seeds)
    np.testing.assert_allclose(table, wanted, rtol=1e-3, atol=1e-3)
    if has_m:
        np.testing.assert_allclose(state.m, [m[i] for i in range(n)] if exact else m, rtol=1e-3, atol=1e-4)
    if has_v:
        np.testing.assert_allclose(state.v, v, rtol=1e-3, atol=1e-4)
    assert state.steps[0] == count


@pytest.mark.parametrize("name", SECOND)
@EACH
@given(st.integers(0, 99), st.sampled_from([1, 2, 17]), st.integers(1, 6), st.integers(2, 6))
def test_rank_one_steps_match_the_naive_twin(name, seed, d, n, count):
    opt = MORE[name]
    state, start = sketchoptim.rank_one_slots(opt, (n, d)), quarters(np.random.default_rng(seed), (n, d))
    m = [[0.0] * d for _ in range(n)] if "adam" in name else None
    row_sums, column_sums, wanted, table = [0.0] * n, [0.0] * d, start.tolist(), start.copy()
    for t, (rows, grads) in enumerate(drawn(seed, n, d, count), 1):
        sketchoptim.step(opt, state, table, rows, grads)
        naive.rank_one(name, opt[1:], t, wanted, rows.tolist(), grads.tolist(), m, row_sums, column_sums)
    for found, number in ((table, wanted), (state.rows, row_sums), (state.columns, column_sums), *([(state.m, m)] if m else [])):
        np.testing.assert_allclose(found, number, rtol=1e-3, atol=1e-3)
    assert state.m.shape == (n, d if m else 0) and state.steps[0] == count
    assert state.rows.sum() == pytest.approx(state.columns.sum(), rel=1e-4, abs=1e-6) and (state.columns >= 0).all()


def alone(n, depth, width):
    """A seed under which no two of n rows meet anywhere."""
    for seed in range(1000):
        seeds = hashing.seeds(depth, seed)
        if all(len({naive_sketch.cells(row, [int(one)], width)[0] for row in range(n)}) == n for one in seeds):
            return seed
    raise AssertionError("no such seed")


@pytest.mark.parametrize("name", STATEFUL)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth, exact, penalty", [(1, False, 0.0), (3, False, 0.0), (5, False, 0.125), (3, True, 0.125)])
def test_without_meeting_rows_a_step_is_that_of_the_dense_state(name, kind, depth, exact, penalty):
    """Bit for bit, weights and moments, for numbers of columns that fill no vector."""
    n, d = (7, 3) if AS_PYTHON else (9, 37)
    opt = MORE[name]._replace(decay=penalty, l1=penalty / 8)
    rng = np.random.default_rng(0)
    start = rng.normal(size=(n, d)).astype(np.float32)
    steps = [(rows, rng.normal(size=grads.shape).astype(np.float32)) for rows, grads in drawn(1, n, d, 6, 0.8)]
    state = sketchoptim.sketched_slots(opt, (n, d), width=64, depth=depth, seed=alone(n, depth, 64), kind=kind, exact_m=exact)
    dense = optim.slots(opt, (n, d))
    assert np.array_equal(run(opt, state, start.copy(), steps), run(opt, dense, start.copy(), steps))
    m, v = dense[:2]
    if m.size:
        assert np.array_equal(state.m if exact else rowsketch.row_estimate(state.m, state.seeds, np.arange(n), signed=True), m)
    if v.size:
        assert np.array_equal(rowsketch.row_estimate(state.v, state.seeds, np.arange(n), signed=False), v)


# ---- bounds


@FEW
@given(st.sampled_from(["rmsprop", "adam"]), st.sampled_from([0.0, 0.5, 0.9, 0.999]), st.sampled_from([1, 3]), st.integers(1, 4),
       st.integers(0, 99), st.integers(1, 25))
def test_second_moments_stay_in_order(name, b2, depth, width, seed, count):
    """S_same >= S_cell >= 0 in every place, and the rule of batches is never negative."""
    opt = MORE[name]._replace(b2=b2)
    steps = drawn(seed, 8, 2, count)
    tables = []
    for kind in KINDS:
        state = sketchoptim.sketched_slots(opt, (8, 2), width=width, depth=depth, seed=seed, kind=kind)
        assert np.isfinite(run(opt, state, np.ones((8, 2), np.float32), steps)).all()
        tables.append(state.v)
    same, cell, batch = tables
    assert (same >= cell - 1e-5 * same.max()).all() and (cell >= 0).all() and (batch >= 0).all()


def test_forty_zero_gradients_in_one_place():
    """Reading all and then adding all would turn 1 into -3."""
    opt = optim.rmsprop(0.1, b2=0.9)
    state = sketchoptim.sketched_slots(opt, (40, 1), width=1, depth=1, kind="batch")
    state.v[...] = 1
    sketchoptim.step(opt, state, np.zeros((40, 1), np.float32), None, np.zeros((40, 1)))
    assert state.v.item() == pytest.approx(0.9)


@pytest.mark.parametrize("b2", [0.0, 0.1])
def test_rounding_leaves_no_second_moment_below_zero(b2):
    """Moments that are forgotten at once, of numbers whose sums are rounded; without a floor a third of them end below zero."""
    opt = optim.rmsprop(0.1, b2=b2)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        kinds = [sketchoptim.sketched_slots(opt, (7, 2), width=1, depth=1, kind=kind) for kind in KINDS]
        for state in (*kinds, sketchoptim.rank_one_slots(opt, (7, 2))):
            table = run(opt, state, np.zeros((7, 2), np.float32), [(None, rng.normal(size=(7, 2)) * scale) for scale in (1, 1, 0)])
            assert np.isfinite(table).all() and all((moment >= 0).all() for moment in state[1:3])


@FEW
@given(st.sampled_from(KINDS), st.sampled_from([1, 3]), st.integers(1, 5), st.integers(0, 99))
def test_adagrad_never_estimates_too_little(kind, depth, width, seed):
    opt, steps = MORE["adagrad"], drawn(seed, 8, 2, 6)
    state = sketchoptim.sketched_slots(opt, (8, 2), width=width, depth=depth, seed=seed, kind=kind)
    run(opt, state, np.ones((8, 2), np.float32), steps)
    exact = np.zeros((8, 2))
    for rows, grads in steps:
        exact[rows] += grads.astype(float)**2
    assert (rowsketch.row_estimate(state.v, state.seeds, np.arange(8), signed=False) >= exact).all()
    backwards = state._replace(v=np.zeros_like(state.v), steps=np.zeros(1, np.int64))
    run(opt, backwards, np.ones((8, 2), np.float32), steps[::-1])
    assert np.array_equal(backwards.v, state.v)  # sums, whose order does not matter


def test_adam_may_estimate_too_little():
    """What the increments of averages allow, and why no bound is stated for them."""
    opt = optim.rmsprop(0.1, b2=0.5)
    state = sketchoptim.sketched_slots(opt, (2, 1), width=1, depth=1)
    table = np.zeros((2, 1), np.float32)
    sketchoptim.step(opt, state, table, [0], np.full((1, 1), 2.0))
    sketchoptim.step(opt, state, table, [1], np.zeros((1, 1)))
    assert state.v.item() == 1.0 < 2.0  # the average of row 0 is still half of 4


def test_columns_do_not_see_each_other():
    opt = MORE["adam"]
    steps = drawn(3, 30, 260, 3)
    for kind in KINDS:
        state, start = sketchoptim.sketched_slots(opt, (30, 260), width=4, kind=kind), np.ones((30, 260), np.float32)
        found = run(opt, state, start.copy(), steps)
        for cut in (slice(0, 70), slice(70, 260)):
            part = state._replace(m=np.zeros((3, 4, cut.stop - cut.start), np.float32), steps=np.zeros(1, np.int64))
            part = part._replace(v=part.m.copy())
            own = run(opt, part, start[:, cut].copy(), [(rows, grads[:, cut]) for rows, grads in steps])
            assert np.array_equal(own, found[:, cut]) and np.array_equal(part.v, state.v[..., cut])


def test_blocks_of_columns_change_nothing(monkeypatch):
    """More rows than are asked for ahead, in one block of columns and in more, the last one not full; and the dense step of as many."""
    d = 18 if AS_PYTHON else 70
    opt, steps = MORE["adam"], drawn(3, 24, d, 2, 1.0)
    found = []
    for blocks in (1, 2, 4):
        monkeypatch.setattr(sketchoptim, "available", lambda: blocks)
        monkeypatch.setattr(sketchoptim, "_LANES", d // blocks)
        state = sketchoptim.sketched_slots(opt, (24, d), width=64, depth=3, seed=alone(24, 3, 1 << 12), kind="same")
        found.append(run(opt, state, np.ones((24, d), np.float32), steps))
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[0], found[2])
    ones = np.ones((24, d), np.float32)
    for exact in (False, True):
        wide = sketchoptim.sketched_slots(opt, (24, d), width=1 << 12, seed=alone(24, 3, 1 << 12), exact_m=exact)
        assert np.array_equal(run(opt, wide, ones.copy(), steps), run(opt, optim.slots(opt, (24, d)), ones.copy(), steps))


def test_a_step_without_rows_is_counted():
    opt = MORE["adam"]
    sketched = [sketchoptim.sketched_slots(opt, (3, 2), width=4, kind=kind) for kind in KINDS]
    for state in (*sketched, sketchoptim.rank_one_slots(opt, (3, 2))):
        table = np.ones((3, 2), np.float32)
        sketchoptim.step(opt, state, table, [], np.zeros((0, 2)))
        assert (table == 1).all() and state.steps[0] == 1 and not state.m.any()


def test_cleaning():
    opt = MORE["adam"]
    table, grads = np.ones((2, 3), np.float32), np.ones((2, 3))
    plain, cleaned = (sketchoptim.sketched_slots(opt, (2, 3), width=8, factor=0.25, period=period) for period in (0, 2))
    for number in range(1, 5):
        for state in (plain, cleaned):
            sketchoptim.step(opt, state, table, None, grads)
        if number == 2:
            assert np.array_equal(cleaned.v, plain.v * np.float32(0.25)) and np.array_equal(cleaned.m, plain.m)
            plain.v[...] = cleaned.v
        if number == 3:
            assert np.array_equal(cleaned.v, plain.v)


# ---- resuming, memory, files, bad input


@pytest.mark.parametrize("make", [
    *(lambda opt, shape, kind=kind: sketchoptim.sketched_slots(opt, shape, width=3, kind=kind, factor=0.5, period=3) for kind in KINDS),
    lambda opt, shape: sketchoptim.sketched_slots(opt, shape, share=0.5, exact_m=True), sketchoptim.rank_one_slots, optim.slots,
], ids=[*KINDS, "exact_m", "rank_one", "dense"])
def test_a_run_goes_on_from_a_file(make, tmp_path):
    opt, steps = MORE["adam"], drawn(5, 9, 3, 6)
    whole = make(opt, (9, 3))
    table = run(opt, whole, np.ones((9, 3), np.float32), steps)
    state = make(opt, (9, 3))
    half = run(opt, state, np.ones((9, 3), np.float32), steps[:4])
    modelfile.save(tmp_path / "state", state)
    state = modelfile.load(tmp_path / "state", expected=type(whole), verify=True)
    assert np.array_equal(run(opt, state, half, steps[4:]), table)
    assert all(np.array_equal(a, b) for a, b in zip(state, whole))


def test_leading_indices_have_sketches_of_their_own():
    state = sketchoptim.sketched_slots(optim.adam(), (4, 9, 2), width=3, seed=1)
    assert state.seeds.shape == (4, 3) and np.unique(state.seeds).size == 12
    assert np.array_equal(state.seeds[0], sketchoptim.sketched_slots(optim.adam(), (9, 2), width=3, seed=1).seeds)


def test_bytes():
    opt = optim.adam()
    assert sketchoptim.sketched_slots(opt, (100, 2), share=0.29, depth=1).v.shape == (1, 29, 2)  # 0.29 * 100 is below 29
    sizes = [sketchoptim.state_bytes(state) for state in (
        optim.slots(opt, (600, 5)), sketchoptim.sketched_slots(opt, (600, 5), share=0.2),
        sketchoptim.sketched_slots(opt, (600, 5), share=0.2, exact_m=True), sketchoptim.rank_one_slots(opt, (600, 5)),
        sketchoptim.sketched_slots(optim.adagrad(), (2, 600, 5), width=7, depth=5))]
    assert sizes == [24008, 2 * 2400 + 32, 12000 + 2400 + 32, 12000 + 2420 + 8, 2 * 5 * (7 * 5 * 4 + 8) + 8]
    assert sketchoptim.state_bytes((1, 2.0, optim.slots(opt, (600, 5)))) == 24008


ADAM = optim.adam()
SHAPE = (4, 2)
TABLE = np.ones(SHAPE, np.float32)


def stepped(opt=ADAM, state=None, table=TABLE, rows=None, grads=TABLE, **fields):
    state = sketchoptim.sketched_slots(ADAM, SHAPE, width=2) if state is None else state
    sketchoptim.step(opt, state._replace(**fields) if fields else state, table, rows, grads)


@pytest.mark.parametrize("make, error, message", [
    (lambda: sketchoptim.sketched_slots(ADAM, SHAPE, width=2, depth=2), ValueError, "depth must be 1, 3 or 5, not 2"),
    (lambda: sketchoptim.sketched_slots(ADAM, (4,), width=2), ValueError, r"shape must be \(..., n, d\), not \(4,\)"),
    (lambda: sketchoptim.rank_one_slots(ADAM, (4,)), ValueError, r"shape must be \(..., n, d\), not \(4,\)"),
    (lambda: sketchoptim.sketched_slots(ADAM, SHAPE), ValueError, "one of width and share must be given"),
    (lambda: sketchoptim.sketched_slots(ADAM, SHAPE, width=2, share=0.2), ValueError, "one of width and share must be given"),
    (lambda: sketchoptim.sketched_slots(ADAM, SHAPE, share=0), ValueError, "share must be above 0, not 0"),
    (lambda: sketchoptim.sketched_slots(ADAM, SHAPE, width=0), ValueError, "width must be between 1 and"),
    (lambda: sketchoptim.sketched_slots(ADAM, SHAPE, width=2, kind="fast"), ValueError, "kind must be one of same, cell, batch"),
    (lambda: sketchoptim.sketched_slots(ADAM, SHAPE, width=2, factor=1.5), ValueError, "factor must be at least 0 and at most 1"),
    (lambda: sketchoptim.sketched_slots(ADAM, SHAPE, width=2, period=-1), ValueError, "period must be at least 0"),
    (lambda: sketchoptim.sketched_slots(optim.sgd(), SHAPE, width=2), ValueError, "opt must be a rule with a state, not sgd"),
    (lambda: sketchoptim.rank_one_slots(optim.momentum(), SHAPE), ValueError, "opt must be a rule with a second moment"),
    (lambda: stepped(kind=3), ValueError, "state must have a depth of 1, 3 or 5"),
    (lambda: stepped(seeds=np.zeros(2, np.uint64)), ValueError, "state must have a depth of 1, 3 or 5, a width and a kind, not 2"),
    (lambda: stepped(seeds=np.zeros((), np.uint64)), ValueError, "state must have a depth"),
    (lambda: stepped(v=np.zeros((3, 0, 2), np.float32)), ValueError, "state must have a depth of 1, 3 or 5, a width and a kind, not 3, 0"),
    (lambda: stepped(v=np.zeros(3, np.float32)), ValueError, "state must have a depth"),
    (lambda: stepped(m=np.zeros((1, 2, 2), np.float32)), ValueError, "state.m must have shape"),
    (lambda: stepped(optim.adagrad()), ValueError, r"state.m must have shape \(3, 2, 0\)"),
    (lambda: stepped(table=TABLE[:, :1].copy(), grads=TABLE[:, :1]), ValueError, "state.m must have shape"),
    (lambda: stepped(state=sketchoptim.rank_one_slots(ADAM, (3, 2))), ValueError, r"state.m must have shape \(4, 2\), not \(3, 2\)"),
    (lambda: stepped(rows=[1, 0], grads=TABLE[:2]), ValueError, "rows must be distinct and ascend"),
    (lambda: stepped(state=()), TypeError, "state must be Slots or LazySlots"),
])
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
    assert (TABLE == 1).all()
