"""Density sketches in the mean: collisions of each hash, densities, and shares of samples, by exact binomial bounds at 1e-9."""
import itertools

import numpy as np
import pytest
from scipy.stats import binom

from sketchxc import density

ROWS, WIDTH = 20_000, 50


def likely(count, trials, chance):
    return binom.cdf(count, trials, chance) > 1e-9 and binom.sf(count - 1, trials, chance) > 1e-9


def build(kind, values, seed, rows=ROWS, dims=5):
    if kind == "angular":
        return density.angular(rows, dims, values, seed=seed, width=WIDTH)
    if kind == "direct":
        return density.angular(rows, dims, values, seed=seed)
    return (density.euclidean if kind == "euclidean" else density.manhattan)(rows, WIDTH, dims, 3.0, seed=seed, values=values)


def pair(kind, distance):
    """Two points at a distance, with every coordinate different."""
    x, rng = np.array([1.0, -2.0, 0.5, 3.0, 1.5]), np.random.default_rng(5)
    way = rng.normal(size=5)
    if kind in ("angular", "direct"):
        way -= x * (x @ way) / (x @ x)
        return np.stack([x, 2 * (np.cos(distance) * x + np.sin(distance) * way * np.sqrt((x @ x) / (way @ way)))])
    return np.stack([x, x + distance * way / np.linalg.norm(way, 2 if kind == "euclidean" else 1)])


def shares(kind, state, distance):
    """Probability to share a column: the kernel, or else the chance of hashing."""
    kernel = float(density.collision_probability(state, distance))
    return kernel if kind == "direct" else kernel + (1 - kernel) / WIDTH


@pytest.mark.slow
@pytest.mark.parametrize("kind, distances", [("euclidean", (0.5, 3, 9)), ("manhattan", (0.5, 3, 9)), ("angular", (0.2, 1, 2.5)),
                                             ("direct", (0.2, 1, 2.5))])
@pytest.mark.parametrize("values", [1, 3])
def test_columns_are_shared_as_often_as_the_kernel_says(kind, distances, values):
    for seed, distance in enumerate(distances):
        state = build(kind, values, seed)
        density.add(state, pair(kind, distance))
        assert likely(int((state.counts == 2).sum()), ROWS, shares(kind, state, distance))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["euclidean", "manhattan", "angular", "direct"])
def test_scores_are_right_in_the_mean(kind):
    """Each row's count over the number of points, made a coin by a uniform draw, is 1 with the mean density as its probability."""
    rng = np.random.default_rng(7)
    x, query, heads, seeds = rng.normal(size=(30, 5)), np.array([[0.5, -0.5, 0.2, 1.0, 0.0]]), 0, 4
    for seed in range(seeds):
        state = build(kind, 2, seed)
        density.add(state, query)
        own = np.argmax(state.counts, axis=1)
        state.counts[...], state.total[...] = 0, 0
        density.add(state, x)
        counts = state.counts[np.arange(ROWS), own]
        heads += int((rng.random(ROWS) * 30 < counts).sum())
        raw = counts.mean()
        wanted = raw if kind == "direct" else (WIDTH * raw - 30) / (WIDTH - 1)
        assert density.density_scores(state, query)[0] == pytest.approx(wanted / 30)
    if kind in ("angular", "direct"):
        distances = np.arccos((x @ query[0]) / np.linalg.norm(x, axis=1) / np.linalg.norm(query))
    else:
        distances = np.linalg.norm(x - query, 2 if kind == "euclidean" else 1, axis=1)
    assert likely(heads, seeds * ROWS, np.mean([shares(kind, state, distance) for distance in distances]))


@pytest.mark.slow
@pytest.mark.parametrize("quality", [None, [1, 2, 0.5, 4]])
def test_algorithm_2_takes_rare_points_not_frequent_ones(quality):
    """All orders of two draws without replacement, whose chances are known."""
    scores, trials, found = [0.7, 0.2, 0.08, 0.02], 20_000, {}
    for seed in range(trials):
        drawn = tuple(density.inverse_propensity_sample(scores, 2, seed, quality=quality).tolist())
        found[drawn] = found.get(drawn, 0) + 1
    rates = np.array(quality or [1, 1, 1, 1]) / scores
    for i, j in itertools.permutations(range(4), 2):
        chance = rates[i] / rates.sum() * rates[j] / (rates.sum() - rates[i])
        assert likely(found.get((i, j), 0), trials, chance)


def test_samples_of_a_mixture_are_more_even_than_the_mixture():
    """Equal points of four kinds: their densities are their shares, and draws one at a time are uniform over the kinds."""
    kinds = np.repeat(np.arange(4), [70, 20, 8, 2])
    x = np.eye(4)[kinds] * 100
    state = density.euclidean(50, 1000, 4, 1.0, seed=0)
    density.add(state, x)
    scores = density.density_scores(state, x, added=True)
    assert scores == pytest.approx(np.array([0.7, 0.2, 0.08, 0.02])[kinds], abs=0.05)
    drawn = np.concatenate([density.inverse_propensity_sample(scores, 10, seed) for seed in range(50)])
    share = np.bincount(kinds[drawn], minlength=4) / drawn.size
    assert 0.15 < share[0] < 0.5 and share[3] > 0.1
