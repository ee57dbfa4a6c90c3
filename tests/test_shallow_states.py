"""Nets whose first layer is trained with moments in sketches or of rank one: the dense training where no rows meet, resuming, bad input."""
import numpy as np
import pytest
from machs import rows_of, same
from shallows import arrays, copied, problem
from test_rules import MORE
from test_sketchoptim import alone

from sketchxc import hashing, modelfile, optim, shallow, sketchoptim

ADAM = MORE["adam"]
MAKES = {"same": lambda opt, shape: sketchoptim.sketched_slots(opt, shape, width=3, factor=0.5, period=2),
         "batch": lambda opt, shape: sketchoptim.sketched_slots(opt, shape, width=3, kind="batch", exact_m=True),
         "rank_one": sketchoptim.rank_one_slots}


def run(model, opt, embed, x, y, order, state=None, **more):
    """The model, trained in place, and its state."""
    state = shallow.slots(opt, model) if state is None else state
    state = state if embed is None else state._replace(embed=embed)
    shallow.train(model, opt, state, x, rows_of(y), order, batch=2, threads=1, **more)
    return model, state


@pytest.mark.parametrize("kind", sketchoptim.KINDS)
@pytest.mark.parametrize("name, width, hidden", [("adam", None, (6,)), ("momentum", 4, (5, 3))])
def test_without_meeting_rows_the_training_is_that_of_dense_moments(kind, name, width, hidden):
    model, x, y, rng = problem(3, hidden=hidden, width=width)
    opt, order = MORE[name]._replace(decay=0.01, l1=1e-4), rng.permutation(9)
    dense, _ = run(copied(model), opt, None, x, y, order)
    embed = sketchoptim.sketched_slots(opt, model.embed.shape, width=64, kind=kind)
    seeds = np.array([hashing.seeds(3, alone(model.embed.shape[1], 3, 64))] * model.lookup.reps)
    own, state = run(copied(model), opt, embed._replace(seeds=seeds), x, y, order)
    same(arrays(own), arrays(dense))
    assert state.embed.steps[0] == state.weights.steps[0] == 5 and not np.array_equal(own.embed, model.embed)


@pytest.mark.parametrize("name", MAKES)
def test_training_goes_on_from_a_file(name, tmp_path):
    model, x, y, rng = problem(4)
    order = rng.permutation(8)
    whole, state = run(copied(model), ADAM, MAKES[name](ADAM, model.embed.shape), x, y, order)
    half, cut = run(copied(model), ADAM, MAKES[name](ADAM, model.embed.shape), x, y, order[:4])
    modelfile.save(tmp_path / "state", cut)
    found = modelfile.load(tmp_path / "state", expected=shallow.ShallowSlots)
    run(half, ADAM, None, x, y, order[4:], state=found)
    same(arrays(half), arrays(whole))
    assert all(np.array_equal(a, b) for a, b in zip(found.embed, state.embed))


def test_cleaning_counts_the_batches_of_all_passes():
    """In every repetition; one pass, and a pass for each batch."""
    model, x, y, rng = problem(4)
    order, shape = rng.permutation(8), model.embed.shape
    cleaned = [sketchoptim.sketched_slots(ADAM, shape, width=3, factor=0.5, period=3) for _ in range(2)]
    whole, state = run(copied(model), ADAM, cleaned[0], x, y, order)
    parts, again = copied(model), shallow.slots(ADAM, model)
    for i in range(0, 8, 2):
        run(parts, ADAM, cleaned[1], x, y, order[i:i + 2], state=again)
    same(arrays(whole), arrays(parts))
    assert np.array_equal(*(own.v for own in cleaned)) and state.embed.steps[0] == 4
    plain, once = (sketchoptim.sketched_slots(ADAM, shape, width=3, factor=0.5, period=period) for period in (0, 1))
    for embed in (plain, once):
        run(copied(model), ADAM, embed, x, y, order[:2])
    assert plain.v.any() and np.array_equal(once.v, plain.v * np.float32(0.5)) and np.array_equal(once.m, plain.m)


def test_steps_are_those_of_the_rows_with_gradients():
    """One net and one batch against the step on a table, on the gradients that plain descent shows."""
    model, x, y, _ = problem(5, reps=1)
    opt = optim.sgd(1.0)
    plain, _ = run(copied(model), opt, None, x, y, np.arange(2))
    grads = model.embed[0] - plain.embed[0]
    rows = np.flatnonzero(grads.any(axis=1))
    for name, make in MAKES.items():
        own, _ = run(copied(model), ADAM, make(ADAM, model.embed.shape), x, y, np.arange(2))
        table, state = model.embed[0].copy(), make(ADAM, model.embed.shape)
        fields = [field for field in ("m", "v", "seeds", "rows", "columns") if hasattr(state, field)]
        state = state._replace(**{field: getattr(state, field)[0] for field in fields})
        sketchoptim.step(ADAM, state, table, rows, grads[rows])
        np.testing.assert_allclose(own.embed[0], table, rtol=1e-3, atol=1e-3, err_msg=name)


def test_bad_input():
    model, x, y, _ = problem(6)
    for embed, message in ((sketchoptim.sketched_slots(ADAM, (2, 7, 6), width=3), "state.embed.m must have shape"),
                           (sketchoptim.rank_one_slots(ADAM, (3, 8, 6)), "state.embed.m must have shape"),
                           (optim.slots(ADAM, (3, 7, 5)), "state.embed.m must have shape")):
        with pytest.raises(ValueError, match=message):
            run(model, ADAM, embed, x, y, [0])
    with pytest.raises(ValueError, match="state.embed.columns must have shape"):
        run(model, ADAM, sketchoptim.rank_one_slots(ADAM, model.embed.shape)._replace(columns=np.zeros((3, 5), np.float32)), x, y, [0])


def test_only_the_table_has_small_states():
    model, x, y, _ = problem(6)
    state = shallow.slots(ADAM, model)
    lazy = state._replace(embed=optim.lazy_slots(ADAM, model.embed.shape[1:]))
    sketched = state._replace(weights=sketchoptim.sketched_slots(ADAM, model.weights.shape, width=3))
    for given, message in ((lazy, "embed must be Slots, not LazySlots"), (sketched, "weights must be Slots, not SketchedSlots")):
        with pytest.raises(TypeError, match=f"state.{message}"):
            shallow.train(model, ADAM, given, x, rows_of(y), [0])
