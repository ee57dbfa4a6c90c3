"""Whole trainings on a device, in Numba's simulator: `fit`, the classifiers, the command line; a device that is lost or too small.

Runs with NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1.
"""
import numpy as np
import pytest
from twins import random_rows as rows
from twins import CLOSE, NEEDS, SIMULATED, small_blocks  # noqa: F401

if not SIMULATED:
    pytest.skip(NEEDS, allow_module_level=True)

from sketchxc import _place, fit, modelfile, optim, sizing, sparse, to_device
from sketchxc._cuda import _target


def planned(rng, **more):
    x, labels = rows(rng, 6), sparse.rows([[0], [1, 2], [0], [3], [2], [1]], 4)
    return sizing.plan(6, 7, 4, reps=2, buckets=3, epochs=2, batch=4, seed=1, **more), x, labels


@pytest.mark.parametrize("more", [{}, {"hidden": (3,)}])
def test_a_training_moves_there_and_back(more):
    plan, x, labels = planned(np.random.default_rng(10), **more)
    kept, models, losses = [], [], []
    for device in fit.DEVICES:
        model = fit.untrained(plan, 7, 4)
        losses.append(fit.fit(model, plan, x, labels, device=device, keep=lambda *found: kept.append((device, found))))
        models.append(model)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for a, b in zip(models[1], models[0]):
        if isinstance(a, np.ndarray):
            np.testing.assert_allclose(a, b, **CLOSE)
    assert [found[0] for device, found in kept if device == "cuda"] == [1, 2]
    assert all(isinstance(array, np.ndarray) for _, found in kept for array in (found[1].weights, found[2].weights.m))


def test_a_lost_device(monkeypatch):
    plan, x, labels = planned(np.random.default_rng(11))
    model = fit.untrained(plan, 7, 4)
    before = model.weights.copy()

    class Lost(Exception):
        __module__ = "numba_cuda.driver"

    def lose(*arguments):
        raise Lost("700")
    monkeypatch.setattr(_target, "launch", lose)
    with pytest.raises(_place.DeviceError, match="training failed on the device .Lost: 700.: see .*checkpoint"):
        fit.fit(model, plan, x, labels, device="cuda")
    np.testing.assert_array_equal(model.weights, before)
    with pytest.raises(ValueError, match="device must be one of cpu, cuda, not 'tpu'"):
        fit.fit(model, plan, x, labels, device="tpu")
    with pytest.raises(ValueError, match="device must be 'cpu' for lookup 'learned'"):
        fit.fit(model, plan._replace(lookup="learned"), x, labels, device="cuda")


def test_a_device_lost_in_the_second_pass(monkeypatch, tmp_path):
    """The checkpoint of the first pass stays whole, and the training goes on from it to what it would have come to."""
    from sketchxc import checkpoint
    pytest.importorskip("safetensors")
    plan, x, labels = planned(np.random.default_rng(13))
    plan, path = plan._replace(batch=6), str(tmp_path / "kept")
    whole, broken = fit.untrained(plan, 7, 4), fit.untrained(plan, 7, 4)
    fit.fit(whole, plan, x, labels, device="cuda")

    class Lost(Exception):
        __module__ = "cuda.bindings"
    launch, keep = _target.launch, checkpoint.keeper(path, "run", 0.0)

    def lose(*arguments):
        raise Lost("the device is gone")

    def kept(done, *states):
        keep(done, *states)
        if done == 1:
            monkeypatch.setattr(_target, "launch", lose)
    with pytest.raises(_place.DeviceError, match="the device is gone.*goes on from the last checkpoint"):
        fit.fit(broken, plan, x, labels, device="cuda", keep=kept)
    monkeypatch.setattr(_target, "launch", launch)
    found = checkpoint.load(path, "run")
    assert found.epochs == 1
    fit.fit(found.model, plan, x, labels, state=found.state, start=1, device="cuda")
    np.testing.assert_array_equal(found.model.weights, whole.weights)
    assert not np.array_equal(broken.weights, whole.weights)


@pytest.mark.parametrize("model, per_step", [({}, 3), ({"hidden": (3,)}, 9), ({"hidden": (3, 2)}, 15)])
def test_launches_of_a_step(monkeypatch, model, per_step):
    """Small batches wait for launches: dense products count as one each."""
    plan, x, labels = planned(np.random.default_rng(14), **model)
    own = to_device(fit.untrained(plan, 7, 4))
    module, opt, counted = fit.trainer(own), optim.adam(), []
    state = to_device(module.slots(opt, fit.untrained(plan, 7, 4)))
    for name in ("launch", "matmul"):
        function = getattr(_target, name)
        monkeypatch.setattr(_target, name, lambda *a, function=function, **more: (counted.append(0), function(*a, **more)))
    runs = []
    for last in (4, 8):  # one step and two
        counted.clear()
        module.train(own, opt, state, x, labels, np.arange(last) % 6, batch=4)
        runs.append(len(counted))
    assert runs[1] - runs[0] == per_step


@pytest.mark.parametrize("many", [False, True])
def test_classifier(many):
    pytest.importorskip("sklearn")
    import pickle
    from sketchxc import MACHClassifier
    rng = np.random.default_rng(12)
    X, y = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 4, 8)
    y = np.eye(4, dtype=int)[y] if many else y
    settings = dict(reps=2, buckets=3, epochs=1, batch_size=4)
    here, gone = MACHClassifier(**settings).fit(X, y), MACHClassifier(device="cuda", **settings).fit(X, y)
    assert isinstance(gone.model_.weights, np.ndarray)
    np.testing.assert_allclose(gone.model_.weights, here.model_.weights, **CLOSE)
    np.testing.assert_array_equal(gone.predict_topk(X[:1], 2)[0], here.predict_topk(X[:1], 2)[0])
    here.partial_fit(X[:4], y[:4])
    gone.partial_fit(X[:4], y[:4])
    np.testing.assert_allclose(gone.model_.weights, here.model_.weights, **CLOSE)
    np.testing.assert_allclose(gone.predict_proba(X[:1]), here.predict_proba(X[:1]), **CLOSE)
    assert not hasattr(pickle.loads(pickle.dumps(gone)), "_moved")


def test_command_line(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    pytest.importorskip("safetensors")
    pytest.importorskip("threadpoolctl")
    from sketchxc import cli
    (tmp_path / "train.txt").write_text("".join(f"{i % 3}\tword{i % 3} and word{i % 2}\n" for i in range(8)))
    train = ["train", str(tmp_path / "train.txt"), "--quiet", "--repetitions", "2", "--buckets", "2", "--epochs", "1", "-o"]
    assert cli.main([*train, str(tmp_path / "cpu.model")]) == cli.main([*train, str(tmp_path / "cuda.model"), "--device", "cuda"]) == 0
    models = [modelfile.load(tmp_path / f"{device}.model").model for device in fit.DEVICES]
    np.testing.assert_allclose(models[1].weights, models[0].weights, **CLOSE)
    predict = ["predict", str(tmp_path / "cpu.model"), str(tmp_path / "train.txt"), "-k", "1"]
    answers = []
    for device in fit.DEVICES:
        capsys.readouterr()
        assert cli.main([*predict, "--device", device]) == 0
        answers.append([line.split(":")[0] for line in capsys.readouterr().out.splitlines()])
    assert answers[0] == answers[1] and len(answers[0]) == 8
    for more, message in ((["--model", "best"], "device 'cuda' goes with kind 'mach' or 'linear'"), ([], "the plan, with its optimizer")):
        monkeypatch.setattr(_target, "free_bytes", lambda: 10)
        extra = train[:3] + more if more else train[:-1]
        assert cli.main([*extra, "--device", "cuda", "-o", str(tmp_path / "x")]) == 1
        assert message in capsys.readouterr().err
    assert cli.main([*predict, "--device", "cuda"]) == 1
    assert "state must fit the device: it needs" in capsys.readouterr().err
    monkeypatch.setattr(_target, "problem", lambda: "no CUDA device was found (why)")
    _place.target.cache_clear()
    assert cli.main([*train, str(tmp_path / "x"), "--device", "cuda"]) == 1
    assert "no CUDA device was found (why)" in capsys.readouterr().err
    _place.target.cache_clear()
    assert not (tmp_path / "x").exists()
