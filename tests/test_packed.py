"""Packed linear MACH: rounding and scores against the naive twin, files, bad input."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import packed as naive

from sketchxc import lookup, mach, modelfile, packed, sparse


def trained(features=9, reps=2, buckets=5, seed=0):
    """A model with random weights, of which one feature has none."""
    model = mach.init(features, lookup.hashed(30, reps=reps, buckets=buckets, seed=seed))
    rng = np.random.default_rng(seed)
    model.weights[...] = rng.normal(size=model.weights.shape) * rng.exponential(size=(features, 1))
    model.weights[features // 2] = 0
    model.biases[...] = rng.normal(size=model.biases.shape)
    return model


@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**32))
def test_weights_are_off_by_at_most_half_a_step(features, reps, buckets, seed):
    model = trained(features, reps, buckets, seed)
    small = packed.pack(model)
    assert small.weights.dtype == np.int8 and small.weights.shape == model.weights.shape and small.scales.shape == (features,)
    near = small.weights * small.scales[:, None].astype(np.float64)
    assert (np.abs(near - model.weights) <= 0.5001 * small.scales[:, None] + 1e-30).all()
    assert not small.weights[features // 2].any() and small.scales[features // 2] == 0
    for row, numbers, scale in zip(model.weights.tolist(), small.weights.tolist(), small.scales.tolist()):
        wanted, step = naive.pack_row(row)
        assert scale == pytest.approx(step, rel=1e-6)
        assert all(abs(a - b) <= (abs(abs(w) / (step or 1) % 1 - 0.5) < 1e-3) for a, b, w in zip(numbers, wanted, row))


@given(st.integers(0, 2**32), st.lists(st.lists(st.tuples(st.integers(0, 8), st.floats(-4, 4, width=32)), max_size=6,
                                                unique_by=lambda pair: pair[0]), max_size=6))
def test_scores_are_those_of_the_rounded_weights(seed, lines):
    small = packed.pack(trained(seed=seed))
    lines = [sorted(line) for line in lines]
    indptr = np.cumsum([0] + [len(line) for line in lines])
    x = sparse.Rows(indptr, np.array([f for line in lines for f, _ in line], np.int32),
                    np.array([v for line in lines for _, v in line], np.float32), 9)
    got = packed.bucket_scores(small, x)
    assert got.dtype == np.float32 and got.shape == (2, len(lines), 5)
    for i, line in enumerate(lines):
        wanted = naive.bucket_scores(small.weights.tolist(), small.scales.tolist(), small.biases.tolist(), line)
        np.testing.assert_allclose(got[:, i].ravel(), wanted, rtol=1e-4, atol=1e-4)


def test_scores_are_near_those_of_the_model():
    model = trained(features=40, reps=3, buckets=20)
    x = sparse.normalize(sparse.rows([[1, 2, 30], [5], [], list(range(40))], 40))
    exact, near = mach.bucket_scores(model, x), packed.bucket_scores(packed.pack(model), x)
    assert np.abs(exact - near).max() <= 0.51 * packed.pack(model).scales.max() * 40**0.5 and (exact != near).any()


def test_files_and_bad_input(tmp_path):
    small = packed.pack(trained())
    modelfile.save(tmp_path / "model", small)
    again = modelfile.load(tmp_path / "model")
    assert all(np.array_equal(getattr(small, name), getattr(again, name)) for name in ("weights", "scales", "biases"))
    with pytest.raises(ValueError, match="x must have 9 columns as in training, not 10"):
        packed.bucket_scores(small, sparse.rows([[0]], 10))
    with pytest.raises(ValueError, match="columns as they are"):
        packed.pack(mach.init(9, lookup.hashed(30, reps=2, buckets=5), width=4))
    for wrong in (small._replace(scales=small.scales[:-1]), small._replace(biases=small.biases[:-1])):
        with pytest.raises(ValueError, match="weights and biases must have shapes"):
            packed._validate(wrong)
    with pytest.raises(ValueError, match="loss"):
        packed._validate(small._replace(loss=2))
