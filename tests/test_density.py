"""Density sketches: columns and scores against the naive twin, merges, scaling, files, samples, bad input."""
import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import density as naive
from strategies import SEEDS

from sketchxc import density, modelfile

KINDS = ["euclidean", "manhattan", "angular", "direct"]
POINTS = st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), max_size=6)


def build(kind, rows=4, dims=3, values=2, width=5, seed=0, dtype=np.int32, bandwidth=2.0):
    if kind == "direct":
        return density.angular(rows, dims, values, seed=seed, dtype=dtype)
    if kind == "angular":
        return density.angular(rows, dims, values, seed=seed, width=width, dtype=dtype)
    make = density.euclidean if kind == "euclidean" else density.manhattan
    return make(rows, width, dims, bandwidth, seed=seed, values=values, dtype=dtype)


def exact(state, seed=0):
    """The state with vectors for which all products of small whole numbers are exact."""
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, 8, state.offsets.shape) / 8 * (state.kind != "angular")
    return state._replace(projections=(rng.integers(-8, 9, state.projections.shape) / 4).astype(np.float32),
                          offsets=offsets.astype(np.float32))


def matrix(points):
    return np.array(points, np.float32).reshape(-1, 3)


def same(a, b):
    assert type(a) is type(b) and a[5:] == b[5:]
    assert all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a[:5], b[:5]))


@given(st.sampled_from(KINDS), POINTS, POINTS, st.integers(1, 3), st.sampled_from([2, 5, 8]), SEEDS)
def test_counts_and_scores_are_those_of_the_naive_twin(kind, points, queries, values, width, seed):
    state = exact(build(kind, values=values, width=width, seed=seed), values)
    width = state.counts.shape[1]
    vectors = state.projections.tolist(), state.offsets.tolist(), state.seeds.tolist(), state.kind, width
    places = naive.columns(points, *vectors)
    density.add(state, matrix(points))
    wanted = [[sum(point[d] == c for point in places) for c in range(width)] for d in range(4)]
    assert state.counts.tolist() == wanted and state.total.tolist() == [len(points)]
    hashed = kind != "direct" and (kind, width) != ("angular", 2**values)
    found = density.density_scores(state, matrix(queries))
    if not points:
        assert found.tolist() == [0] * len(queries)
        return
    wanted = [naive.score(query, places, width, hashed) for query in naive.columns(queries, *vectors)]
    assert found == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    own = density.density_scores(state, matrix(points), added=True)
    assert (own >= 1 / len(points)).all() and (own == np.maximum(density.density_scores(state, matrix(points)), 1 / len(points))).all()


@given(st.sampled_from(KINDS), POINTS, st.lists(st.integers(0, 6), max_size=3), st.randoms(use_true_random=False))
def test_order_and_split_change_nothing(kind, points, cuts, random):
    whole, parts = exact(build(kind)), exact(build(kind))
    density.add(whole, matrix(points))
    shuffled = random.sample(points, len(points))
    bounds = [0] + sorted(min(cut, len(points)) for cut in cuts) + [len(points)]
    for first, last in zip(bounds, bounds[1:]):
        density.add(parts, np.array(shuffled[first:last], np.int16).reshape(-1, 3))
    same(whole, parts)


@given(st.sampled_from(KINDS), POINTS, POINTS)
def test_merge_is_the_sketch_of_both(kind, one, other):
    a, b, both = exact(build(kind)), exact(build(kind)), exact(build(kind))
    density.add(a, matrix(one))
    density.add(b, matrix(other))
    density.add(both, matrix(one + other))
    before = a.counts.copy()
    same(density.merge(a, b), both)
    assert np.array_equal(a.counts, before)


def test_a_large_call_is_cut_into_blocks(monkeypatch):
    monkeypatch.setattr(density, "_PRODUCTS", 1)  # 16 points at a time
    x = np.random.default_rng(0).integers(-9, 9, (37, 3))
    whole, parts = exact(build("euclidean")), exact(build("euclidean"))
    density.add(whole, x)
    monkeypatch.undo()
    density.add(parts, x)
    same(whole, parts)
    assert np.array_equal(density.density_scores(whole, x[::-1])[::-1], density.density_scores(whole, x))


def test_scaled_counts_are_the_mean_of_their_weights():
    state, only = exact(build("euclidean", dtype=np.float64)), exact(build("euclidean", dtype=np.float64))
    density.add(state, [[1, 2, 3], [4, 5, 6]])
    before = density.density_scores(state, [[1, 2, 3]])
    density.scale(state, 0.25)
    assert density.density_scores(state, [[1, 2, 3]]) == before and state.total[0] == 0.5
    density.add(state, [[-9, 9, 0]])
    density.add(only, [[-9, 9, 0]])
    wanted = (0.5 * before + density.density_scores(only, [[1, 2, 3]])) / 1.5
    assert density.density_scores(state, [[1, 2, 3]]) == pytest.approx(wanted)
    density.scale(state, 0)
    assert not state.counts.any() and density.density_scores(state, [[1, 2, 3]]) == 0


def test_any_kind_of_number_and_products_beyond_all_steps():
    for kind in KINDS[:3]:
        state = build(kind, bandwidth=1e-20)
        big = np.array([[3e38, 1e38, -3e38], [0, 0, 0]])
        density.add(state, big)
        for x in (big, big.astype(np.float32), big.tolist()):
            assert (density.density_scores(state, x) <= 1).all()
    state = exact(build("euclidean"))
    density.add(state, np.array([[1, 2, 3]], np.uint8))
    assert density.density_scores(state, np.array([[1, 2, 3]], np.float16)) == 1
    density.add(state, np.empty((0, 3)))
    assert state.total[0] == 1 and density.density_scores(state, np.empty((0, 3))).shape == (0,)


def test_lsh_density_sampling_divides_by_the_bandwidth():
    x = np.random.default_rng(1).integers(-99, 99, (40, 3))
    for kind in ("euclidean", "manhattan"):
        one, four = build(kind, bandwidth=3.0), build(kind, bandwidth=12.0)
        density.add(one, x)
        density.add(four, 4 * x)
        assert np.array_equal(one.counts, four.counts) and len(np.unique(one.counts)) > 2


def test_seeds_give_other_sketches():
    for kind in KINDS:
        one, again, other = build(kind), build(kind), build(kind, seed=-1)
        same(one, again)
        assert not np.array_equal(one.projections, other.projections) and not np.array_equal(one.seeds, other.seeds)
        assert np.unique(one.projections).size == one.projections.size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("distance", [0.01, 0.4, 1.0, 3.0])
def test_collision_probabilities_are_the_integrals_of_their_definitions(kind, distance):
    state = build(kind, bandwidth=1.5, values=3)
    wanted = naive.collision(state.kind, distance, state.bandwidth)**3
    assert density.collision_probability(state, distance) == pytest.approx(wanted, abs=1e-6)
    assert density.collision_probability(state, [[0.0, distance]]).shape == (1, 2)
    assert density.collision_probability(state, 0) == 1


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=8), SEEDS, st.data())
def test_sample_is_that_of_the_naive_twin(rows, seed, data):
    scores, quality = [score for score, _ in rows], [quality for _, quality in rows]
    n = data.draw(st.integers(0, sum(q > 0 for q in quality)))
    found = density.inverse_propensity_sample(scores, n, seed, quality=quality)
    assert found.tolist() == naive.sample(scores, quality, n, seed % 2**64) and found.dtype == np.int64
    every = density.inverse_propensity_sample(scores, len(rows), seed)
    assert every.tolist() == naive.sample(scores, [1] * len(rows), len(rows), seed % 2**64)


def test_scores_of_any_size_can_be_sampled():
    assert density.inverse_propensity_sample([1e300, 1e-300], 2, 0, quality=[1e-300, 1e300]).tolist() == [1, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_files(kind, tmp_path):
    state = build(kind, dtype=np.float64)
    density.add(state, [[1, 2, 3]])
    modelfile.save(tmp_path / "d", state)
    found = modelfile.load(tmp_path / "d", expected=density.Density, verify=True)
    same(found, state)
    density.add(found, [[1, 2, 3]])
    assert density.density_scores(found, [[1, 2, 3]]) == density.density_scores(state, [[1, 2, 3]])
    with pytest.raises(ValueError, match="counts .* must fit together"):
        modelfile.save(tmp_path / "d", state._replace(offsets=state.offsets[1:]))
    with pytest.raises(ValueError, match="counts must be an array of int32 or float64"):
        modelfile.save(tmp_path / "d", state._replace(counts=state.counts.astype(np.int64)))


@functools.cache
def real():
    return build("euclidean", dtype=np.float64)


def full():
    return build("direct")._replace(total=np.array([2.0**31 - 1]))


@pytest.mark.parametrize("call, error, message", [
    (lambda: density.euclidean(0, 5, 3, 1.0, seed=0), ValueError, "rows must be between 1 and"),
    (lambda: density.euclidean(1, 1, 3, 1.0, seed=0), ValueError, "width must be between 2 and"),
    (lambda: density.manhattan(1, 5, 3, 0, seed=0), ValueError, "bandwidth must be at least 1e-20"),
    (lambda: density.euclidean(1, 5, 3, np.nan, seed=0), ValueError, "bandwidth must be"),
    (lambda: density.euclidean(1, 5, 3, 1.0, seed=0, values=65), ValueError, "values must be between 1 and 64"),
    (lambda: density.euclidean(1, 5, 3, 1.0, seed=0.5), TypeError, "seed must be an integer"),
    (lambda: density.euclidean(1, 5, 3, 1.0, seed=0, dtype=np.int64), ValueError, "dtype must be one of int32, float64"),
    (lambda: density.angular(1, 3, 25, seed=0), ValueError, "values must be between 1 and 24"),
    (lambda: density.angular(1, 0, 2, seed=0), ValueError, "dims must be between 1 and"),
    (lambda: density.add(real(), [[1, 2]]), ValueError, r"x must have shape \(n, 3\), not \(1, 2\)"),
    (lambda: density.add(real(), [1, 2, 3]), ValueError, r"x must have shape \(n, 3\), not \(3,\)"),
    (lambda: density.add(real(), [["a", "b", "c"]]), TypeError, "x must hold numbers, not <U1"),
    (lambda: density.add(real(), [[1, 2, np.nan]]), ValueError, "x must hold finite numbers"),
    (lambda: density.density_scores(real(), [[1, 2, 1e39]]), ValueError, "x must hold finite numbers"),
    (lambda: density.add(full(), [[1, 2, 3]]), OverflowError, "x must keep the total at 2147483647"),
    (lambda: density.add(None, [[1, 2, 3]]), TypeError, "state must be a Density, not NoneType"),
    (lambda: density.add(real()._replace(seeds=real().seeds[1:]), [[1, 2, 3]]), ValueError, "state must have 4 seeds"),
    (lambda: density.merge(real(), 1), TypeError, "b must be a Density, not int"),
    (lambda: density.merge(real(), build("euclidean", seed=1, dtype=np.float64)), ValueError, "a and b must be made with the same"),
    (lambda: density.merge(real(), build("manhattan", dtype=np.float64)), ValueError, "a and b must be made with the same"),
    (lambda: density.merge(full(), full()), OverflowError, "a and b must hold 2147483647 points or fewer"),
    (lambda: density.scale(full(), 2), ValueError, "state must have counts of float64"),
    (lambda: density.scale(real(), -1), ValueError, "factor must be at least 0"),
    (lambda: density.scale(real()._replace(total=np.ones(1)), 1e300), OverflowError, "factor must keep the total"),
    (lambda: density.collision_probability(full(), 4), ValueError, "distance must be between 0 and 3.14"),
    (lambda: density.collision_probability(real(), np.inf), ValueError, "distance must be between"),
    (lambda: density.inverse_propensity_sample([0.5, 0], 1, 0), ValueError, "scores must be finite and above 0"),
    (lambda: density.inverse_propensity_sample([0.5, np.nan], 1, 0), ValueError, "scores must be finite"),
    (lambda: density.inverse_propensity_sample([0.5, 1], 3, 0), ValueError, "n must be between 0 and 2, not 3"),
    (lambda: density.inverse_propensity_sample([0.5, 1], 1, 0, quality=[1]), ValueError, "quality must hold 2 finite numbers"),
    (lambda: density.inverse_propensity_sample([0.5, 1], 1, 0, quality=[1, -1]), ValueError, "quality must hold 2 finite numbers"),
    (lambda: density.inverse_propensity_sample([0.5, 1], 2, 0, quality=[1, 0]), ValueError, "n must be between 0 and 1"),
])
def test_bad_input(call, error, message):
    before = real().counts.copy()
    with pytest.raises(error, match=message):
        call()
    assert np.array_equal(real().counts, before)
