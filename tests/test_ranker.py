"""The default classifier: order and reach of answers, whole trainings."""
import numba
import numpy as np
import pytest

from sketchxc import mach, metrics, modelfile, ranker, recipe, rerank, sizing, sparse


def test_probabilities_of_any_score():
    """Far scores do not overflow, and -inf, no label, has no chance, whatever the slope."""
    model = ranker.Ranker(*[None] * 5, np.ones(5), np.array([0.5, -1.0]), np.empty(0, np.float32), 5, 0.5)
    scores = np.array([[-np.inf, -1e30, -3, 0, 2, 1e30]], np.float32)
    got = ranker.probabilities(model, scores)
    assert got.dtype == np.float32 and got.shape == scores.shape
    np.testing.assert_allclose(got[0], [0, 0, 1 / (1 + np.exp(2.5)), 1 / (1 + np.exp(1)), 0.5, 1], rtol=1e-6)
    for slope in (0.0, -1.0):
        assert ranker.probabilities(model._replace(calibration=np.array([slope, 1.0])), scores)[0, 0] == 0


@pytest.mark.parametrize("change", [dict(weights=np.ones(2)), dict(calibration=np.ones(3))])
def test_model_files_whose_parts_do_not_fit(change):
    with pytest.raises(ValueError, match="weights and calibration must have 5 and 2 numbers"):
        ranker._validate(ranker.Ranker(*[None] * 5, np.ones(5), np.ones(2), np.empty(0, np.float32), 5, 0.5)._replace(**change))


@pytest.mark.parametrize("kind", ["best", "fast", "small"])
@pytest.mark.parametrize("rows", [1, 2, 5000, 50_000, 10**7])
def test_forecasts_grow_with_the_data(kind, rows):
    one, twice = (recipe.choose(rows, 3000, labels, nonzeros=10 * rows, kind=kind) for labels in (2000, 4000))
    assert 1 <= one.held <= max(1, rows // 5) and one.held <= 20_000 and 4 <= one.epochs <= 12 and one.shortlist == 100
    assert one.seconds > 0 and twice.one_vs_all_bytes == 2 * one.one_vs_all_bytes and one.model_bytes <= twice.model_bytes
    if one.mach is None and twice.mach is None:
        assert recipe.choose(rows, 3000, 2000, nonzeros=10 * rows, kind=kind, threads=4).seconds == pytest.approx(one.seconds / 4)
    assert recipe.choose(rows, 3000, 7, nonzeros=10 * rows, kind=kind).shortlist == 7


@pytest.mark.parametrize("kind", ["best", "fast", "small"])
def test_settings_name_their_parts_and_costs(kind):
    chosen = recipe.choose(100_000, 50_000, 20_000, nonzeros=10**6, kind=kind, threads=2)
    assert chosen.mach is None and (chosen.reps == 0) == (kind == "fast")
    assert chosen.one_vs_all_bytes == 4 * 50_001 * 20_000 > chosen.model_bytes > 0
    assert 0 < chosen.held < 100_000 and kind in str(chosen) and "held-out rows" in str(chosen)


def test_small_sets_take_a_linear_model_and_their_rows_along():
    assert recipe.choose(1000, 500, 30, nonzeros=10**4).mach.kind == "mach"
    part = recipe.choose(20_000, 20_000, 14_000, nonzeros=400_000).mach
    assert part.reps * part.buckets * 20_000 <= recipe.SMALL_MACH < 2 * part.reps * part.buckets * 20_000
    assert recipe.choose(600_000, 90_000, 30_000, nonzeros=7_000_000).mach is None
    small, large = (recipe.choose(10**6, 500, 30, nonzeros=nonzeros) for nonzeros in (1 << 22, (1 << 22) + 1))
    assert small.neighbours and not large.neighbours and "nearest rows" in str(small)
    assert not recipe.choose(1000, 500, 30, nonzeros=10**4, kind="fast").neighbours
    with pytest.raises(ValueError, match="kind must be one of"):
        recipe.choose(1000, 500, 30, nonzeros=10**4, kind="largest")


@pytest.mark.compiled
def test_large_sets_draw_more_labels_from_longer_lists(monkeypatch):
    small, large = (recipe.choose(rows, 3000, 2000, nonzeros=10**6, kind="small") for rows in (10**5, 10**5 + 1))
    assert (small.near, small.far, large.near, large.far) == (4, 16, 20, 80) and large.seconds > 1.2 * small.seconds
    sizes, plain = [], ranker.votes.candidates

    def asked(made, rows, k, **options):
        sizes.append(k)
        return plain(made, rows, k, **options)

    monkeypatch.setattr(ranker.votes, "candidates", asked)
    x, labels = sparse.rows([[i % 7] for i in range(60)], 7), sparse.rows([[i] for i in range(60)], 60)
    for near in (4, 7, 20):
        chosen = recipe.choose(60, 7, 60, nonzeros=60, kind="small")._replace(near=near, far=1, epochs=0)
        ranker.train(x, labels, chosen)
    assert [size for size in sizes if size not in (5, 60)] == [20, 21]  # 60 labels are all that there are


SIZES = {"rows": 600_000, "features": 90_000, "labels": 30_000, "nonzeros": 7_000_000, "label_nonzeros": 1_500_000}


def test_budgets_choose_the_first_kind_that_fits():
    best, fast, small = (recipe.choose(**SIZES, kind=kind) for kind in ("best", "fast", "small"))
    assert best.reason == "" and small.model_bytes < fast.model_bytes < best.model_bytes and fast.seconds < small.seconds < best.seconds
    assert recipe.choose(**SIZES, memory=best.model_bytes, seconds=best.seconds) == best
    tight = recipe.choose(**SIZES, memory=best.model_bytes - 1)
    assert tight._replace(reason="") == small and "best would take" in tight.reason and tight.reason in str(tight)
    quick = recipe.choose(**SIZES, seconds=fast.seconds)
    assert quick.kind == "fast" and "best would take" in quick.reason and "small would take" in quick.reason
    assert recipe.choose(**SIZES, kind="fast", memory=small.model_bytes).kind == "small"
    assert recipe.choose(**SIZES, kind="small", seconds=fast.seconds).kind == "fast"


def test_budgets_that_no_kind_meets():
    with pytest.raises(ValueError, match="smallest model takes about .* MB, the fastest training about"):
        recipe.choose(**SIZES, memory=1000)
    for wrong in ({"memory": 0}, {"seconds": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            recipe.choose(**SIZES, **wrong)


def planted(rows=600, labels=12, seed=0):
    """Rows in which two of three columns of a label occur, and noise; one or two labels a row."""
    rng = np.random.default_rng(seed)
    lists, truth = [], []
    for _ in range(rows):
        chosen = rng.permutation(labels)[:rng.integers(1, 3)]
        columns = {int(3 * label + c) for label in chosen for c in rng.permutation(3)[:2]} | {int(3 * labels + rng.integers(10))}
        lists.append(sorted(columns))
        truth.append(sorted(int(label) for label in chosen))
    return sparse.normalize(sparse.rows(lists, 3 * labels + 10)), sparse.rows(truth, labels)


compiled = pytest.mark.compiled


@compiled
@pytest.mark.parametrize("kind", ["best", "fast", "small"])
@pytest.mark.parametrize("small_set", [0, 50_000])
def test_planted_labels_are_found_by_every_kind(kind, small_set, monkeypatch):
    monkeypatch.setattr(ranker, "SMALL_SET", small_set)  # both ways to use the held-out rows
    x, labels = planted()
    model = ranker.train(x, labels, recipe.choose(600, x.width, labels.width, nonzeros=x.indices.size, kind=kind))
    test_x, test_labels = planted(200, seed=1)
    ranked, scores = ranker.top_k(model, test_x, 5)
    assert metrics.precision_at(ranked, test_labels, 1) > 0.95
    assert (np.diff(scores, axis=1) <= 0).all()
    chances = ranker.probabilities(model, scores)
    assert (np.diff(chances, axis=1) <= 0).all() and chances.min() >= 0 and chances.max() <= 1
    assert metrics.calibration_error(chances, metrics.hits(ranked, test_labels)) < 0.15


@compiled
def test_same_seed_same_bytes_for_any_number_of_threads_and_another_seed_others(tmp_path):
    x, labels = planted(300)
    before, written = numba.get_num_threads(), []
    try:
        for threads, seed in ((1, 3), (min(2, numba.config.NUMBA_NUM_THREADS), 3), (1, 4)):
            numba.set_num_threads(threads)
            model = ranker.train(x, labels, recipe.choose(300, x.width, labels.width, nonzeros=x.indices.size, seed=seed))
            modelfile.save(tmp_path / "model", model)
            written.append((tmp_path / "model").read_bytes())
    finally:
        numba.set_num_threads(before)
    assert written[0] == written[1] != written[2]
    again = modelfile.load(tmp_path / "model", expected=ranker.Ranker, verify=True)
    for one, other in zip(ranker.top_k(model, x, 3), ranker.top_k(again, x, 3)):
        assert np.array_equal(one, other)


@compiled
def test_all_labels_are_reachable_where_there_are_few():
    x, labels = planted(200)
    model = ranker.train(x, labels, recipe.choose(200, x.width, labels.width, nonzeros=x.indices.size, kind="fast"))
    ranked, _ = ranker.top_k(model, sparse.rows([[], [0]], x.width), labels.width)
    assert sorted(ranked[0].tolist()) == sorted(ranked[1].tolist()) == list(range(labels.width))
    with pytest.raises(ValueError, match="k must be between 1 and 12"):
        ranker.top_k(model, x, 13)


def fitted(rows, truth, width, n_labels, **options):
    x, labels = sparse.normalize(sparse.rows(rows, width)), sparse.rows(truth, n_labels)
    return ranker.train(x, labels, recipe.choose(len(rows), width, n_labels, nonzeros=x.indices.size, **options)), x


def test_answers_are_the_sorted_joined_scores():
    """Votes alone, so that kernels also run as Python; few enough on a shortlist that some places hold no label."""
    model, x = fitted([[i % 5, 5 + i % 3] for i in range(40)], [[i % 5, 5 + i % 3] for i in range(40)], 8, 8, kind="fast")
    assert 0 <= model.among <= 2
    model = model._replace(shortlist=3, among=0.0)
    part = sparse.take(x, np.arange(7))
    shortlist, features = ranker._features(model, part)
    ranked, scores = ranker.top_k(model, part, 3)
    assert ranked.dtype == np.int32 and scores.dtype == np.float32
    for i in range(7):
        joined = [(-np.float32(f @ model.weights), place) for place, f in enumerate(features[i]) if shortlist[i, place] >= 0]
        order = sorted(joined)
        assert ranked[i].tolist() == [shortlist[i, place] for _, place in order] + [-1] * (3 - len(order))
        assert scores[i].tolist() == [-score for score, _ in order] + [-np.inf] * (3 - len(order))
    assert (ranked == -1).any() and (ranker.probabilities(model, scores)[ranked == -1] == 0).all()
    moved_labels, moved = ranker.top_k(model._replace(among=0.5), part, 3)  # a number a row, of its whole shortlist
    own = np.where(ranked >= 0, scores, 0) - np.where(ranked >= 0, moved, 0)
    assert np.array_equal(moved_labels, ranked) and np.allclose(ranker.top_k(model._replace(among=0.5), part, 1)[1], moved[:, :1])
    for i in range(7):
        mass = np.log(np.exp(scores[i][ranked[i] >= 0].astype(np.float64)).sum())
        assert own[i][ranked[i] >= 0] == pytest.approx(mass / 2, rel=1e-4, abs=1e-5)
    longer = ranker.top_k(model, part, 8)[0]
    assert (np.sort(longer, axis=1) == np.arange(8)).all()  # more than the shortlist holds


@compiled
def test_labels_of_the_same_row_are_recalled():
    """One label a row at random: nothing to learn, but rows seen again have the label that they had."""
    rng = np.random.default_rng(5)
    rows = [sorted(rng.choice(40, 3, replace=False).tolist()) for _ in range(300)]
    truth = [[int(label)] for label in rng.integers(0, 9, 300)]
    model, x = fitted(rows, truth, 40, 9)
    assert model.weights[4] == ranker.RECALL
    reached = metrics.precision_at(ranker.top_k(model, x, 1)[0], sparse.rows(truth, 9), 1)
    without = metrics.precision_at(ranker.top_k(model._replace(weights=model.weights * [1, 1, 1, 1, 0]), x, 1)[0], sparse.rows(truth, 9), 1)
    assert reached > without


def test_gains_put_labels_in_the_order_of_probability_times_gain(tmp_path):
    rows, truth = [[0, i % 7 + 1] for i in range(60)], [[0] if i % 3 else [1] for i in range(60)]
    plain, x = fitted(rows, truth, 8, 2, kind="fast")
    tail, _ = fitted(rows, truth, 8, 2, kind="fast", tail=metrics.PROPENSITY_PRESETS["default"])
    assert plain.gains.size == 0
    assert tail.gains == pytest.approx(1 / metrics.propensities([40, 20], 60), rel=1e-6)
    labels, scores = ranker.top_k(plain, x, 2)
    assert (labels[:, 0] == 0).any()
    by_gain, own = ranker.top_k(tail._replace(gains=np.array([1, 1e6], np.float32)), x, 2)
    assert (by_gain == [1, 0]).all()  # the order is another, each label keeps its score
    assert np.array_equal(np.take_along_axis(scores, np.argsort(labels, axis=1), 1), own[:, ::-1])
    with pytest.raises(ValueError, match="gains must hold none or 2 numbers, not 3"):
        modelfile.save(tmp_path / "model", tail._replace(gains=np.ones(3, np.float32)))


def test_answers_do_not_depend_on_blocks_of_rows(monkeypatch):
    model, x = fitted([[i % 5, 5 + i % 3] for i in range(30)], [[i % 5] for i in range(30)], 8, 5, kind="fast")
    whole = ranker.top_k(model, x, 4)
    monkeypatch.setattr(ranker, "BLOCK", 7)
    for one, other in zip(whole, ranker.top_k(model, x, 4)):
        assert np.array_equal(one, other)
    assert ranker.top_k(model, sparse.take(x, np.arange(0)), 4)[0].shape == (0, 4)
    with pytest.raises(ValueError, match="x must have 8 columns, not 9"):
        ranker.top_k(model, x._replace(width=9), 1)


@pytest.mark.parametrize("small_set", [0, 50_000])
@pytest.mark.parametrize("n_labels", [1, 2])
@pytest.mark.parametrize("kind", ["fast", pytest.param("small", marks=compiled), pytest.param("best", marks=compiled)])
def test_one_and_two_labels(kind, n_labels, small_set, monkeypatch):
    monkeypatch.setattr(ranker, "SMALL_SET", small_set)
    model, x = fitted([[i % 2, 2 + i % 3] for i in range(24)], [[i % n_labels] for i in range(24)], 5, n_labels, kind=kind)
    ranked, scores = ranker.top_k(model, x, n_labels)
    assert ranked[:, 0].tolist() == [i % n_labels for i in range(24)] and np.isfinite(scores).all()
    assert (np.sort(ranked, axis=1) == np.arange(n_labels)).all()


@pytest.mark.parametrize("small_set", [0, 50_000])
@pytest.mark.parametrize("kind", ["fast", pytest.param("small", marks=compiled), pytest.param("best", marks=compiled)])
@pytest.mark.parametrize("rows, truth", [
    ([[0, 1]] * 20, [[]] * 20), ([[]] * 20, [[1]] * 20), ([[]] * 20, [[]] * 20), ([[0], []] * 10, [[], [1]] * 10),
    ([[0]], [[1]]), ([[0], [1]], [[0], [1]]),
])
def test_rows_without_features_or_labels(rows, truth, kind, small_set, monkeypatch):
    monkeypatch.setattr(ranker, "SMALL_SET", small_set)
    model, x = fitted(rows, truth, 3, 4, kind=kind)
    ranked, scores = ranker.top_k(model, x, 4)
    assert (np.sort(ranked, axis=1) == np.arange(4)).all() and np.isfinite(scores).all()
    chances = ranker.probabilities(model, scores)
    assert np.isfinite(chances).all() and np.isfinite(model.weights).all() and np.isfinite(model.calibration).all()


@pytest.mark.parametrize("small_set", [0, 50_000])
def test_all_rows_vote_in_the_end(small_set, monkeypatch):
    """Both the refit and the merge: each row has its own column and label, so each that is missing would show."""
    monkeypatch.setattr(ranker, "SMALL_SET", small_set)
    model, x = fitted([[i] for i in range(25)], [[i] for i in range(25)], 25, 25, kind="fast")
    assert model.votes.labels.tolist() == list(range(25))
    assert ranker.top_k(model, x, 1)[0][:, 0].tolist() == list(range(25))


def test_progress_ends_near_one():
    shares, (x, labels) = [], planted(60)
    chosen = recipe.choose(60, x.width, labels.width, nonzeros=x.indices.size, kind="fast")
    ranker.train(x, labels, chosen, progress=lambda share, line: shares.append((share, line)))
    assert all(share > 0 and line for share, line in shares) and 0 < sum(share for share, _ in shares) <= 1 + 1e-9


@compiled
def test_the_last_pass_meets_held_out_rows_thrice_and_the_others_once(monkeypatch):
    x, labels = planted()
    chosen, orders = recipe.choose(600, x.width, labels.width, nonzeros=x.indices.size), {"mach": [], "rerank": []}
    for module, place in ((mach, 5), (rerank, 5)):
        def train(*arguments, own=module.train, name=module.__name__.rpartition(".")[2], place=place, **options):
            orders[name].append(np.array(arguments[place]))
            return own(*arguments, **options)
        monkeypatch.setattr(module, "train", train)
    ranker.train(x, labels, chosen)
    kept, held = sizing.split(600, chosen.held / 600, chosen.seed)
    for seen in orders.values():
        times = np.bincount(seen[-1], minlength=600)
        assert (times[kept] == 1).all() and (times[held] == 3).all() and all(order.size == kept.size for order in seen[:-1])
