"""Training runs: a planted set is learned, the learning rate falls to zero, same seed same bits, progress, divergence, resumption."""
import numpy as np
import pytest

from sketchxc import fit, linear, lookup, mach, metrics, optim, partition, sizing, sparse

LABELS = 40


def planted(n, seed, most=1):
    """Rows of 1 to `most` labels: each label brings its own two features, and every row has two random ones of 20 more."""
    rng = np.random.default_rng(seed)
    y = [sorted(rng.choice(LABELS, rng.integers(1, most + 1), replace=False).tolist()) for _ in range(n)]
    x = [sorted({2 * label + j for label in own for j in (0, 1)} | {2 * LABELS + int(rng.integers(20)) for _ in range(2)}) for own in y]
    return sparse.rows(x, 2 * LABELS + 20), sparse.rows(y, LABELS)


def settings(**more):
    return sizing.plan(1000, 2 * LABELS + 20, LABELS, **(dict(reps=6, buckets=16, lr=10.0, epochs=4, batch=16) | more))


def trained(plan, x, labels, **more):
    model = fit.untrained(plan, x.width, labels.width)
    return model, fit.fit(model, plan, x, labels, **more)


@pytest.mark.compiled
@pytest.mark.parametrize("more", [
    dict(), dict(kind="linear", reps=None, buckets=None), dict(loss="softmax", lr=4.0), dict(width=60), dict(optimizer="momentum", lr=1.0),
    dict(optimizer="adagrad", lr=0.5), dict(optimizer="adam", lr=0.05), dict(most=3), dict(most=3, kind="linear", reps=None, buckets=None),
    dict(lookup="learned"), dict(lookup="shared", buckets=96),
], ids=str)
def test_a_planted_set_is_learned(more):
    most = more.get("most", 1)
    plan = settings(**{key: value for key, value in more.items() if key != "most"})
    (x, labels), (other, truth) = planted(1000, 1, most), planted(400, 2, most)
    model, loss = trained(plan, x, labels)
    untrained = fit.untrained(plan, x.width, LABELS)
    first = mach.train(untrained, optim.sgd(1e-9), mach.slots(optim.sgd(), untrained), x, labels, np.arange(1000))
    precision = metrics.precision_at(mach.top_k(model, other, 1)[0], truth, 1)
    assert precision > 0.95 and 0 < loss < first / 3


def test_untrained_models_are_those_of_the_plan():
    model = fit.untrained(settings(kind="linear", reps=None, buckets=None, loss="softmax"), 100, LABELS)
    wanted = linear.init(100, LABELS, loss="softmax")
    assert np.array_equal(model.lookup.table, wanted.lookup.table) and model.weights.shape == wanted.weights.shape and model.loss == 1
    assert model.n_features == 100 and not model.weights.any()
    model = fit.untrained(settings(width=60, seed=5), 100, LABELS)
    wanted = mach.init(100, lookup.hashed(LABELS, reps=6, buckets=16, seed=5), width=60, seed=5)
    assert model.weights.shape == (60, 96) and model.loss == 0
    assert np.array_equal(model.lookup.seeds, wanted.lookup.seeds) and np.array_equal(model.feature_seeds, wanted.feature_seeds)


def test_untrained_models_have_the_lookup_of_the_plan():
    shared = fit.untrained(settings(lookup="shared", seed=5), 100, LABELS)
    assert np.array_equal(shared.lookup.table, lookup.shared(LABELS, probes=6, buckets=16, seed=5).table)
    assert shared.weights.shape == (100, 16)
    learned = fit.untrained(settings(lookup="learned", seed=5), 100, LABELS)
    assert np.array_equal(learned.lookup.table, lookup.label_buckets(lookup.hashed(LABELS, reps=6, buckets=16, seed=5)))


def test_learned_buckets_move_once_after_a_quarter_of_the_passes():
    x, labels = planted(30, 3)
    plan = settings(lookup="learned", epochs=4, batch=8)
    tables, first = [], []

    def keep(epoch, model, state):
        tables.append(model.lookup.table.copy())
        if epoch == 1:
            first.append(model.weights.copy())

    model, _ = trained(plan, x, labels, keep=keep)
    hashed = fit.untrained(plan, x.width, LABELS)
    untouched = hashed._replace(weights=first[0])
    trained(settings(epochs=4, batch=8), x, labels, keep=lambda epoch, own, state: epoch == 1 and first.append(own.biases.copy()))
    wanted = partition.repartition(untouched._replace(biases=first[1]), x, labels).table
    assert np.array_equal(tables[0], wanted) and not np.array_equal(wanted, hashed.lookup.table)
    assert all(np.array_equal(tables[0], table) for table in tables[1:]) and np.array_equal(model.lookup.table, wanted)
    model, _ = trained(settings(lookup="learned", epochs=1, batch=8), x, labels)
    assert np.array_equal(model.lookup.table, hashed.lookup.table)


def test_a_run_is_its_passes():
    """Rows in the order of the seeded generator, the learning rate on a line from the plan's to 0."""
    x, labels = planted(30, 3)
    plan = settings(optimizer="adam", lr=0.1, epochs=3, batch=8, seed=4)
    model, loss = trained(plan, x, labels)
    own = fit.untrained(plan, x.width, LABELS)
    state = mach.slots(optim.adam(0.1), own)
    rng = np.random.default_rng(4)
    for epoch in range(3):
        begin, end = 0.1 * (1 - epoch / 3), 0.1 * (1 - (epoch + 1) / 3)
        wanted = mach.train(own, optim.adam(begin), state, x, labels, rng.permutation(30), batch=8, last_lr=max(end, 0.0))
    np.testing.assert_allclose(model.weights, own.weights, rtol=1e-5, atol=1e-6)
    assert loss == pytest.approx(wanted, rel=1e-6)


def test_pieces_change_nothing_but_the_reports(monkeypatch):
    x, labels = planted(60, 5)
    plan = settings(optimizer="adagrad", lr=0.5, epochs=2, batch=8)
    whole, loss = trained(plan, x, labels)
    monkeypatch.setattr(fit, "PIECE", 60)
    reports = []
    model, again = trained(plan, x, labels, progress=lambda *report: reports.append(report))
    np.testing.assert_allclose(model.weights, whole.weights, rtol=1e-4, atol=1e-5)
    assert again == pytest.approx(loss, rel=1e-5)
    assert [rows for rows, _ in reports] == 2 * [16, 16, 16, 12]
    half = len(reports) // 2
    assert sum(rows * part for rows, part in reports[half:]) / 60 == pytest.approx(again)


@pytest.mark.parametrize("n, batch, epochs", [(30, 8, 3), (1, 4, 2), (7, 100, 1)])
def test_progress_counts_every_row(n, batch, epochs):
    reports = []
    trained(settings(batch=batch, epochs=epochs), *planted(n, 6), progress=lambda *report: reports.append(report))
    assert sum(rows for rows, _ in reports) == n * epochs and all(np.isfinite(loss) for _, loss in reports)


def test_same_seed_same_bits():
    x, labels = planted(60, 7)
    models = [trained(settings(optimizer="adam", lr=0.01, epochs=2, seed=seed), x, labels) for seed in (1, 1, 2)]
    assert np.array_equal(models[0][0].weights, models[1][0].weights) and models[0][1] == models[1][1]
    assert not np.array_equal(models[0][0].weights, models[2][0].weights)


def test_a_run_goes_on_with_its_state():
    x, labels = planted(30, 8)
    plan = settings(optimizer="adam", lr=0.01, epochs=1, batch=8)
    model = fit.untrained(plan, x.width, LABELS)
    state = mach.slots(optim.adam(0.01), model)
    fit.fit(model, plan, x, labels, state=state)
    assert state.weights.steps[0] == state.biases.steps[0] == 4
    again, afresh = (model._replace(weights=model.weights.copy(), biases=model.biases.copy()) for _ in range(2))
    fit.fit(again, plan, x, labels, state=state)
    fit.fit(afresh, plan, x, labels)
    assert state.weights.steps[0] == 8 and not np.array_equal(again.weights, afresh.weights)


@pytest.mark.compiled
@pytest.mark.parametrize("loss", mach.LOSSES)
def test_divergence_is_an_error(loss):
    plan, (x, labels) = settings(lr=1e37, epochs=3, batch=4, loss=loss), planted(100, 9)
    large = x._replace(values=x.values * np.float32(100.0))  # slopes are bounded, so only scores can overflow
    with pytest.raises(FloatingPointError, match=r"the loss became (nan|inf|-inf) in epoch [123]: take a lower learning rate than 1e\+37"):
        trained(plan, large, labels)


def test_bad_input():
    x, labels = planted(20, 10)
    plan = settings()
    model = fit.untrained(plan, x.width, LABELS)
    with pytest.raises(ValueError, match="x must have 100 columns as in training, not 101"):
        fit.fit(model, plan, sparse.rows([[1]], 101), labels)
    with pytest.raises(ValueError, match="labels must have as many rows as x, 20, not 1"):
        fit.fit(model, plan, x, [[1]])
    with pytest.raises(ValueError, match="labels row 0 holds column 40"):
        fit.fit(model, plan, x, [[LABELS]] * 20)
    with pytest.raises(ValueError, match="x row 0"):
        fit.fit(model, plan, x._replace(values=np.full_like(x.values, np.nan)), labels)
    with pytest.raises(ValueError, match="optimizer must be one of"):
        fit.fit(model, plan._replace(optimizer="lion"), x, labels)
    with pytest.raises(ValueError, match="device must be 'cpu' for lookup 'learned'"):
        fit.fit(model, plan._replace(lookup="learned"), x, labels, device="cuda")
    assert not model.weights.any()


def test_no_rows():
    plan = settings()
    model, loss = trained(plan, sparse.rows(np.zeros((0, 100), np.float32)), sparse.rows([], LABELS))
    assert loss == 0.0 and not model.weights.any()
