"""Checkpoints: a training that stops after any pass goes on to the same bytes."""
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_fit import planted, settings

from sketchxc import checkpoint, fit, modelfile, optim, pipeline, ranker, recipe, sparse, write_xc


class Stopped(Exception):
    pass


def stop_after(epochs, path, run):
    """Keep every pass, and fail after so many."""
    keep = checkpoint.keeper(path, run, 0)

    def kept(done, model, state):
        keep(done, model, state)
        if done == epochs:
            raise Stopped
    return kept


def same(one, other):
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other):
            same(a, b)
    else:
        assert one == other


@pytest.mark.compiled
@pytest.mark.parametrize("more", [
    {}, {"optimizer": "adam", "lr": 0.01}, {"kind": "linear", "reps": None, "buckets": None}, {"hidden": (8,)}], ids=str)
@pytest.mark.parametrize("epochs", [1, 2])
def test_training_goes_on_to_the_same_bytes(more, epochs, tmp_path):
    plan, (x, labels) = settings(**{"batch": 8, "epochs": 3, **more}), planted(100, 9)
    whole = fit.untrained(plan, x.width, labels.width)
    loss = fit.fit(whole, plan, x, labels)
    with pytest.raises(Stopped):
        fit.fit(fit.untrained(plan, x.width, labels.width), plan, x, labels, keep=stop_after(epochs, tmp_path / "kept", "a"))
    found = checkpoint.load(tmp_path / "kept", "a")
    assert found.epochs == epochs and found.model.weights.ctypes.data % 64 == 0
    reports = []
    assert fit.fit(found.model, plan, x, labels, state=found.state, start=found.epochs, progress=lambda *one: reports.append(one)) == loss
    same(found.model, whole)
    assert sum(rows for rows, _ in reports) == 300
    assert checkpoint.load(tmp_path / "kept", "b") is None and checkpoint.load(tmp_path / "none", "a") is None


@pytest.mark.compiled
def test_rankers_go_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(ranker, "SMALL_SET", 50)
    x, labels = planted(100, 9)
    x = sparse.normalize(x)
    chosen = recipe.choose(100, x.width, labels.width, nonzeros=x.indices.size)._replace(mach=None, epochs=4)
    whole = ranker.train(x, labels, chosen)
    with pytest.raises(Stopped):
        ranker.train(x, labels, chosen, keep=stop_after(2, tmp_path / "kept", "a"))
    found = checkpoint.load(tmp_path / "kept", "a")
    assert found.epochs == 2
    same(ranker.train(x, labels, chosen, start=found[1:]), whole)


def test_keepers_wait(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    keep = checkpoint.keeper(tmp_path / "kept", "a", 10)
    found = []
    for now[0], epochs in ((9.9, 1), (10.0, 2), (19.9, 3), (20.0, 4)):
        keep(epochs, optim.sgd(0.1), optim.sgd(0.2))
        found.append(checkpoint.load(tmp_path / "kept", "a") and checkpoint.load(tmp_path / "kept", "a").epochs)
    assert found == [None, 2, 2, 4]


def test_another_run_starts_afresh_and_other_files_are_refused(tmp_path):
    one = np.arange(3)
    names = {checkpoint.digest("plan", one), checkpoint.digest("plan 2", one), checkpoint.digest("plan", one.astype(np.int32)),
             checkpoint.digest("plan", one, one), checkpoint.digest("plan", np.arange(1, 4)), checkpoint.digest("plan", one[:, None])}
    assert len(names) == 6 and checkpoint.digest("plan", one[::-1][::-1]) in names
    (tmp_path / "kept").write_bytes(b"text")
    with pytest.raises(ValueError, match="kept"):
        checkpoint.load(tmp_path / "kept", "a")
    modelfile.save(tmp_path / "kept", optim.sgd(0.1))
    with pytest.raises(ValueError, match="Checkpoint"):
        checkpoint.load(tmp_path / "kept", "a")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_killed_commands_go_on_to_the_same_bytes(tmp_path):
    x, labels = planted(4000, 50)
    write_xc(tmp_path / "train.txt", x, labels)
    command = [sys.executable, "-m", "sketchxc.cli", "train", str(tmp_path / "train.txt"), "--model", "mach", "--epochs", "12", "--quiet",
               "--optimizer", "adam", "--repetitions", "8", "--buckets", "32", "--checkpoint", "0", "-o"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    assert not (tmp_path / "whole.checkpoint").exists()
    kills, deadline = 0, time.monotonic() + 300
    while kills < 2:  # twice, after some passes each time
        process = subprocess.Popen([*command, str(tmp_path / "model")])
        before = passes(tmp_path)
        while process.poll() is None and passes(tmp_path) < before + 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL, "the training ended before it was killed"
        assert not (tmp_path / "model").exists()
        kills += 1
    subprocess.run([*command, str(tmp_path / "model")], check=True)
    assert (tmp_path / "model").read_bytes() == (tmp_path / "whole").read_bytes()
    assert not (tmp_path / "model.checkpoint").exists()


def passes(folder):
    """Passes of the checkpoint in a folder, 0 without one."""
    path = folder / "model.checkpoint"
    return modelfile.describe(path)["state"]["fields"]["epochs"] if path.exists() else 0


@pytest.mark.compiled
def test_pipelines_find_their_own_checkpoint(tmp_path):
    x, labels = planted(60, 9)
    options = {"kind": "mach", "reps": 2, "buckets": 4, "epochs": 3, "checkpoints": str(tmp_path / "kept"), "every": 0.0}
    whole, _, _ = pipeline.train(x, labels, **options)
    assert checkpoint.load(tmp_path / "kept", modelfile.load(tmp_path / "kept").run).epochs == 3
    same(pipeline.train(x, labels, **options, threads=7)[0], whole)  # all passes are behind it: nothing is trained
    other = modelfile.load(tmp_path / "kept").run
    pipeline.train(x, labels, **{**options, "seed": 1})
    assert modelfile.load(tmp_path / "kept").run != other
