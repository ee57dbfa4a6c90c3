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
    found = example.main(["--train", "6000", "--test", "2000", "--seeds", "1", "--budgets", "0.1", "--rates", "0.1"])
    assert set(found) == {(kind, 1.0 if kind == "collisionless" else 0.1) for kind in example.KINDS}
    assert all(run.auc > 0.55 and run.look_up > 0 and run.train > 0 for (run,) in found.values())
    assert "budget 0.1: separate < shared in" in capsys.readouterr().out
    small = found["dhe", 0.1][0].bytes / found["collisionless", 1.0][0].bytes
    assert 0.08 < small <= 0.1


def test_budget_of_a_net():
    log, _ = example.synthetic(2000, 200, 0, sizes=(5, 50, 500))
    for budget in (5_000, 40_000):
        assert budget - 4 * (example.CODES + 17) < example.DeepHash(log, budget, 16, 0.1, 0).bytes <= budget


def test_rates_are_chosen_on_training_rows(monkeypatch):
    log, seen = example.Log(np.arange(1200).reshape(-1, 1), np.arange(1200), ["x"], 900), []

    def run(trial, kind, budget, rate, seed):
        seen.append((trial.n_train, trial.values.max(), trial.clicks.size))
        return example.Result({0.1: 0.6, 0.2: 0.8, 0.4: 0.7}[rate], 0, 0, 0, rate)
    monkeypatch.setattr(example, "run", run)
    assert example.best_rate(log, "shared", 1.0, [0.1, 0.2, 0.4], 0) == 0.2 and seen == [(300, 399, 400)] * 3


def test_head_gives_slopes_of_products():
    rng = np.random.default_rng(0)
    x, slopes = rng.normal(size=(3, 8)), rng.normal(size=3)
    for products in (False, True):
        def loss(x):
            return float(example.Head(4, 2, products, 0).forward(x) @ slopes)
        head = example.Head(4, 2, products, 0)
        assert head.mlp.weights[0].shape[0] == 8 + 2 * products
        head.forward(x.astype(np.float32))
        back = head.learn(slopes.astype(np.float32))
        for i, j in ((0, 0), (1, 3), (2, 7)):
            move = np.zeros_like(x)
            move[i, j] = 1e-6
            assert abs((loss(x + move) - loss(x - move)) / 2e-6 - back[i, j]) < 1e-4


@pytest.mark.compiled
@pytest.mark.skipif(AS_PYTHON, reason="training")
def test_check_ins(tmp_path):
    rng, been = np.random.default_rng(0), []
    for name, many in (("train.txt", 8), ("test.txt", 4)):
        places = [rng.permutation(15)[:many] + 15 * (user % 2) for user in range(60)]
        (tmp_path / name).write_text("\n".join(" ".join(map(str, [user, *own])) for user, own in enumerate(places)))
        been.append({(user, place) for user, own in enumerate(places) for place in own})
    log = example.gowalla(tmp_path, 0)
    assert log.n_train == 960 and log.values.shape == (1440, 2) and log.clicks.sum() == 720
    for first, last, known in ((0, 960, been[0]), (960, 1440, been[0] | been[1])):
        rows, clicks = [tuple(row) for row in log.values[first:last].tolist()], log.clicks[first:last]
        assert not known & {row for row, click in zip(rows, clicks) if not click}
        users = [np.bincount(log.values[first:last, 0][clicks == click], minlength=60).tolist() for click in (0, 1)]
        assert users[0] == users[1]
    arguments = ["--gowalla", str(tmp_path), "--seeds", "1", "--kinds", "shared", "--budgets", "1", "--products", "--passes", "30"]
    (run,) = example.main(arguments)["shared", 1.0]
    assert run.auc > 0.6 and run.rate in (0.1, 0.2, 0.4)
