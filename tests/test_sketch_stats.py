"""Guarantees of the sketches as statistics: one key and many seeds, exact binomial thresholds, standard errors from theory."""
import math

import numpy as np
import pytest

from sketchxc import hashing, sketch

pytestmark = [pytest.mark.slow, pytest.mark.compiled, pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")]
SEEDS = range(1500)
RARE = 1e-9
KEY_SETS = {"sequential": np.arange(200), "strides of 2**40": np.arange(200) << 40, "strides of 2**48": np.arange(200) << 48,
            "multiples of 2**31 - 1": np.arange(200) * (2**31 - 1), "multiples of the width": np.arange(200) * 64,
            "days in seconds": 1_600_000_000 + 86_400 * np.arange(200)}


def zipf(n, top):
    return np.maximum(1, top // np.arange(1, n + 1))


def too_often(violations, trials, chance):
    """Whether so many violations of a bound that fails with `chance` are rarer than 1e-9."""
    stats = pytest.importorskip("scipy.stats")
    return stats.binom.sf(violations - 1, trials, chance) < RARE


def stream(make, seed, depth, width, keys, counts, dtype=np.int64):
    s = make(depth, width, seed=seed, dtype=dtype)
    sketch.add(s, keys, counts)
    return s


@pytest.mark.parametrize("name", KEY_SETS)
def test_count_min_epsilon_delta(name):
    keys, counts = KEY_SETS[name], zipf(200, 500)
    error, failure = 0.08, 0.1
    depth, width = math.ceil(math.log(1 / failure)), math.ceil(math.e / error)
    over, below = 0, 0
    for seed in SEEDS:
        s = stream(sketch.count_min, seed, depth, width, keys, counts)
        found = sketch.estimate(s, keys[150:151])[0] - counts[150]
        assert found >= 0
        over += found > error * counts.sum()
        below += sketch.bounds(s, keys[150:151], failure)[0][0] > counts[150]
    assert not too_often(over, len(SEEDS), failure) and not too_often(below, len(SEEDS), failure)


@pytest.mark.parametrize("failure", [0.3, 0.02])
def test_datasketches_lower_bounds_are_not_above_the_truth(failure):
    keys, counts = np.arange(400), zipf(400, 300)
    asked = 399
    violations, useful = 0, 0
    for seed in SEEDS:
        s = stream(sketch.count_min, seed, 3, 50, keys, counts)
        lower, upper = sketch.bounds(s, [0, asked], failure)
        assert upper[1] >= counts[asked]
        violations += lower[1] > counts[asked]
        useful += lower[0] > 0
    assert not too_often(violations, len(SEEDS), failure) and (failure < 0.3 or useful > 0)


def test_count_min_row_mean_and_count_mean_min():
    keys, counts, width = np.arange(200), zipf(200, 500), 40
    f, total = counts[20], counts.sum()
    rows, unbiased = [], []
    for seed in SEEDS:
        s = stream(sketch.count_min, seed, 1, width, keys, counts)
        rows.append(sketch.estimate(s, [20])[0])
        unbiased.append(rows[-1] - (total - rows[-1]) / (width - 1))
    squares = float((counts.astype(float)**2).sum() - f**2)
    deviation = math.sqrt(squares * (1 / width) * (1 - 1 / width) / len(SEEDS))
    assert abs(np.mean(rows) - f - (total - f) / width) <= 6 * deviation
    assert abs(np.mean(unbiased) - f) <= 6 * math.sqrt(squares / (width - 1) / len(SEEDS))


def test_conservative_updates_are_closer():
    rng = np.random.default_rng(0)
    keys = rng.permutation(np.repeat(np.arange(200), zipf(200, 60)))
    truth = np.bincount(keys)
    plain = conservative = 0
    for seed in range(50):
        for flag in (False, True):
            s = sketch.count_min(3, 40, seed=seed)
            sketch.add(s, keys, conservative=flag)
            error = (sketch.estimate(s, np.arange(200)) - truth).sum()
            plain, conservative = plain + error * (not flag), conservative + error * flag
    assert conservative < 0.8 * plain


@pytest.mark.parametrize("name", KEY_SETS)
def test_count_sketch_row_is_unbiased_with_the_variance_of_theory(name):
    keys, counts, width = KEY_SETS[name], zipf(200, 300) * np.where(np.arange(200) % 3, 1, -1), 64
    found = np.array([sketch.estimate(stream(sketch.count_sketch, seed, 1, width, keys, counts), keys[50:51])[0] for seed in SEEDS], float)
    variance = ((counts.astype(float)**2).sum() - counts[50]**2) / width
    assert abs(found.mean() - counts[50]) <= 6 * math.sqrt(variance / len(SEEDS))
    # The fourth moment of the error gives the standard error of the variance.
    errors = (found - counts[50])**2
    assert abs(errors.mean() - variance) <= 6 * errors.std() / math.sqrt(len(SEEDS))


@pytest.mark.parametrize("depth", [1, 3, 5, 7])
def test_count_sketch_l2_bound(depth):
    stats = pytest.importorskip("scipy.stats")
    keys, counts, width = np.arange(300), zipf(300, 200), 48
    bound = math.sqrt(3 / width) * math.sqrt((counts.astype(float)**2).sum())
    violations = sum(abs(sketch.estimate(stream(sketch.count_sketch, seed, depth, width, keys, counts), [299])[0] - counts[299]) > bound
                     for seed in SEEDS)
    assert not too_often(violations, len(SEEDS), stats.binom.sf((depth - 1) // 2, depth, 1 / 3))


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
@pytest.mark.parametrize("depth, width, failure", [(5, 500, 0.2), (3, 300, 0.4), (7, 1000, 0.05), (1, 100, 0.3)])
def test_count_sketch_bounds_hold(depth, width, failure, dtype):
    keys, counts = np.arange(300), zipf(300, 200) * np.where(np.arange(300) % 2, 1, -1)
    violations = useful = 0
    for seed in SEEDS:
        s = stream(sketch.count_sketch, seed, depth, width, keys, counts, dtype)
        lower, upper = sketch.bounds(s, [250], failure)
        violations += not lower[0] <= counts[250] <= upper[0]
        useful += upper[0] - lower[0] < s.total[0]
    assert not too_often(violations, len(SEEDS), failure)
    assert useful == len(SEEDS)


def test_inner_products():
    keys, a, b = np.arange(150), zipf(150, 100), zipf(150, 100)[::-1].copy()
    truth, failure, width = int(a @ b), math.exp(-2), 60
    over, signed = 0, []
    for seed in SEEDS:
        found = sketch.inner(stream(sketch.count_min, seed, 2, width, keys, a), stream(sketch.count_min, seed, 2, width, keys, b))
        assert found >= truth
        over += found > truth + math.e / width * a.sum() * b.sum()
        pair = [stream(sketch.count_sketch, seed, 1, width, keys, counts) for counts in (a, b)]
        signed.append(sketch.inner(*pair))
    assert not too_often(over, len(SEEDS), failure)
    assert abs(np.mean(signed) - truth) <= 6 * np.std(signed) / math.sqrt(len(SEEDS))


@pytest.mark.parametrize("name", KEY_SETS)
def test_pyprobables_and_ristretto_rows_are_independent(name):
    """Pairs of keys meet in a row with chance 1 / width, and in two rows with its square: over seeds, one pair each."""
    keys, width, trials = KEY_SETS[name], 16, 40_000
    rng = np.random.default_rng(3)
    once = both = 0
    for seed in range(trials // 200):
        places = hashing.buckets(keys, hashing.seeds(2, seed), width)
        order = rng.permutation(200)
        first, second = order, np.roll(order, 1)
        meet = places[:, first] == places[:, second]
        once += int(meet[0].sum())
        both += int(meet.all(0).sum())
    assert not too_often(once, trials, 1 / width) and not too_often(both, trials, 1 / width**2)
    assert not too_often(trials - both, trials, 1 - 1 / width**2)


@pytest.mark.parametrize("name", KEY_SETS)
def test_scikit_learn_signs_do_not_depend_on_cells(name):
    keys, width = KEY_SETS[name], 8
    agree = trials = 0
    for seed in range(300):
        row = hashing.seeds(1, seed)
        places, signs = hashing.buckets(keys[:2], row, width)[0], hashing.signs(keys[:2], row)[0]
        agree += int((places[0] < width // 2) == (signs[0] > 0))
        trials += 1
    assert not too_often(agree, trials, 0.5) and not too_often(trials - agree, trials, 0.5)


def test_spark_no_key_set_fills_one_cell():
    for keys in KEY_SETS.values():
        s = stream(sketch.count_min, 0, 4, 1024, keys, np.ones(200, np.int64))
        assert s.table.max() <= 6  # 200 keys in 1,024 cells: 7 in one have probability below 1e-5 in all four rows together


def test_pandas_id_0_moves_with_the_seed():
    assert len({tuple(np.argmax(stream(sketch.count_min, seed, 2, 1000, [0], [1]).table, 1)) for seed in range(100)}) > 95
