"""The click prediction example: its log, its kinds of embeddings, and a short run that learns."""
import importlib.util
import pathlib

import numpy as np
import pytest
from conftest import AS_PYTHON

SOURCE = pathlib.Path(__file__).parent.parent / "examples" / "click_prediction.py"
spec = importlib.util.spec_from_file_location("click_prediction", SOURCE)
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)


def test_log_is_what_its_seed_says():
    log, best = example.synthetic(3000, 1000, 0, sizes=(5, 50))
    again, _ = example.synthetic(3000, 1000, 0, sizes=(5, 50))
    other, _ = example.synthetic(3000, 1000, 1, sizes=(5, 50))
    assert np.array_equal(log.values, again.values) and not np.array_equal(log.values, other.values)
    counts = np.bincount(log.values[:, 1])
    assert counts[0] > 1.5 * counts[1] > 3 * counts[5] and log.values.max(0).tolist() == [4, 49] and 0.6 < best < 0.95


@pytest.mark.parametrize("kind", ["separate", "shared", "multi-hash", "qr", "collisionless"])
@pytest.mark.parametrize("budget", [1.0, 0.1])
def test_tables_fit_the_budget(kind, budget):
    log, _ = example.synthetic(2000, 200, 0, sizes=(5, 50, 500))
    full = sum(len(set(column.tolist())) + 1 for column in log.values[:2000].T)
    made = example.rows_of(kind, log, budget, 16, 0)
    assert made.ids.shape[:2] == (2200, 3) and 0 <= made.ids.min() <= made.ids.max() < made.n_rows
    limit = full if kind == "collisionless" else budget * full + (40 if kind == "qr" else 3)  # qr of few values needs more than its share
    assert made.n_rows * made.width <= limit * 16
    assert np.prod(made.ids.shape[2:]) * made.width == (16 if made.join == "concat" else 32)
    if kind in ("qr", "collisionless"):  # no two values share all their rows
        for f in range(3):
            values = log.values[:2000, f]
            assert np.unique(made.ids[:2000, f], axis=0).shape[0] == np.unique(values).size
    assert example.divisor(100, 52) == 2 and example.divisor(100, 3) == 10


@pytest.mark.compiled
@pytest.mark.skipif(AS_PYTHON, reason="training")
def test_every_kind_learns(capsys):
    found = example.main(["--train", "6000", "--test", "2000", "--seeds", "1", "--budgets", "0.1", "--rate", "0.1"])
    assert set(found) == {(kind, 0.1) for kind in example.KINDS} and all(score > 0.55 for (score,) in found.values())
    assert "budget 0.1: separate < shared in" in capsys.readouterr().out


@pytest.mark.compiled
@pytest.mark.skipif(AS_PYTHON, reason="training")
def test_check_ins(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train.txt", "test.txt"):
        lines = [" ".join(map(str, [user, *rng.permutation(30)[:8] + 30 * (user % 2)])) for user in range(60)]
        (tmp_path / name).write_text("\n".join(lines))
    log = example.gowalla(tmp_path, 0)
    assert log.n_train == 960 and log.values.shape == (1920, 2) and log.clicks.sum() == 960
    assert len(example.main(["--gowalla", str(tmp_path), "--seeds", "1", "--kinds", "shared", "--budgets", "1"])) == 1
