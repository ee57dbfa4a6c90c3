"""Optimizers: rules against the papers' formulas, constants of the steps, state, files, bad input."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import optim as naive

from sketchxc import modelfile, optim
from sketchxc._scalar.optim import stepped

OPTIMIZERS = {"sgd": optim.sgd(0.3), "momentum": optim.momentum(0.2, b1=0.8), "adagrad": optim.adagrad(0.1, eps=1e-3),
              "adam": optim.adam(0.05, b1=0.85, b2=0.95, eps=1e-3)}
SLOPES = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=8)


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(SLOPES)
def test_steps_are_those_of_the_formulas(name, slopes):
    opt = OPTIMIZERS[name]
    hypers = optim.hyper(opt, 1, len(slopes))
    own, wanted = [np.float32(0.5), np.float32(0.0), np.float32(0.0)], (0.5, 0.0, 0.0)
    for t, g in enumerate(slopes):
        own = [np.float32(a) for a in stepped(opt.rule, hypers[t], np.float32(g), *own)]
        wanted = naive.step(name, opt[1:], t + 1, *wanted[:1], g, *wanted[1:])
        np.testing.assert_allclose(own, wanted, rtol=1e-5, atol=2e-6)


@given(st.floats(1e-6, 1e3), st.floats(0, 0.999), st.floats(0, 0.9999), st.integers(1, 10**6), st.integers(0, 20))
def test_constants_of_steps(lr, b1, b2, first, count):
    found = optim.hyper(optim.adam(lr, b1=b1, b2=b2, eps=1e-6), first, count)
    wanted = [(lr, 1 - b1, 1 - b2, 1e-6, 1 / (1 - b1**t), 1 / (1 - b2**t), 0, 0) for t in range(first, first + count)]
    assert found.dtype == np.float32 and found.shape == (count, 8)
    np.testing.assert_allclose(found, np.array(wanted).reshape(count, 8), rtol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_constants_do_not_depend_on_where_a_run_is_cut(name):
    whole = optim.hyper(OPTIMIZERS[name], 1, 50)
    assert np.array_equal(np.concatenate([optim.hyper(OPTIMIZERS[name], 1, 17), optim.hyper(OPTIMIZERS[name], 18, 33)]), whole)
    assert np.isfinite(whole).all()


def test_learning_rate_falls_in_a_straight_line():
    found = optim.hyper(optim.sgd(0.8), 5, 4, 0.2, 0.25, 0.1)
    np.testing.assert_allclose(found[:, 0], [0.8 - 0.6 * share for share in (0.25, 0.35, 0.45, 0.55)], rtol=1e-6)
    assert np.array_equal(found[:, 1:], optim.hyper(optim.sgd(0.8), 5, 4)[:, 1:])


@pytest.mark.parametrize("name, m, v", [("sgd", 0, 0), ("momentum", 3, 0), ("adagrad", 0, 3), ("adam", 3, 3)])
def test_state_holds_only_the_moments_of_the_rule(name, m, v):
    state = optim.slots(OPTIMIZERS[name], (4, 3))
    assert state.m.shape == (4, m) and state.v.shape == (4, v) and state.m.dtype == state.v.dtype == np.float32
    assert state.steps.tolist() == [0] and state.steps.dtype == np.int64 and not state.m.any() and not state.v.any()
    assert optim.slots(OPTIMIZERS[name], (3,)).m.shape == (m,)


def test_names_and_usual_constants():
    assert optim.by_name("sgd", 2) == optim.sgd(2.0) == (0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert optim.by_name("momentum", 0.5) == optim.momentum(0.5) == (1, 0.5, 0.9, 0.0, 0.0, 0.0, 0.0)
    assert optim.by_name("adagrad", 0.5) == optim.adagrad(0.5) == (2, 0.5, 0.0, 0.0, 1e-10, 0.0, 0.0)
    assert optim.by_name("adam", 1e-3) == optim.adam() == (3, 1e-3, 0.9, 0.999, 1e-8, 0.0, 0.0)
    assert sorted(optim.RULES.values()) == list(range(8))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_files_give_back_optimizers_and_state(name, tmp_path):
    opt = OPTIMIZERS[name]
    state = optim.slots(opt, (4, 3))
    state.m[...], state.v[...], state.steps[0] = 1.5, 2.5, 7
    modelfile.save(tmp_path / "slots", state)
    modelfile.save(tmp_path / "opt", opt)
    found = modelfile.load(tmp_path / "slots", expected=optim.Slots, verify=True)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype and a.shape == b.shape for a, b in zip(found, state))
    assert modelfile.load(tmp_path / "opt", expected=optim.Optimizer) == opt


@pytest.mark.parametrize("make, error, message", [
    (lambda: optim.sgd(0), ValueError, "lr must be above 0, not 0"),
    (lambda: optim.sgd("fast"), TypeError, "lr must be a number, not str"),
    (lambda: optim.momentum(-1.0), ValueError, "lr must be above 0, not -1"),
    (lambda: optim.momentum(0.1, b1=1.0), ValueError, "b1 must be at least 0 and below 1, not 1"),
    (lambda: optim.momentum(0.1, b1=-0.1), ValueError, "b1 must be at least 0 and below 1, not -0.1"),
    (lambda: optim.adagrad(float("nan")), ValueError, "lr must be above 0, not nan"),
    (lambda: optim.adagrad(0.1, eps=-1e-9), ValueError, "eps must be at least 0, not -1e-09"),
    (lambda: optim.adam(float("inf")), ValueError, "lr must be above 0, not inf"),
    (lambda: optim.adam(b1=1.5), ValueError, "b1 must be at least 0 and below 1, not 1.5"),
    (lambda: optim.adam(b2=1), ValueError, "b2 must be at least 0 and below 1, not 1"),
    (lambda: optim.adam(eps=-1), ValueError, "eps must be at least 0, not -1"),
    (lambda: optim.by_name("lion", 0.1), ValueError, "optimizer must be one of sgd, momentum, adagrad, adam, .*, not 'lion'"),
    (lambda: optim.by_name("adam", 0.0), ValueError, "lr must be above 0, not 0"),
])
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
