"""Hash families: plain-Python twin, published guarantees over many seeds, bad input."""
import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from naive import families as naive
from scipy.stats import binom
from strategies import SEEDS

from sketchxc import families, hashing

P = 2**61 - 1
KEYS = st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, P - 1, P, P + 1, 2 * P, 8 * P, 8 * P + 7, 2**61, 2**63, 2**64 - 1]),
                max_size=8)
SETS = {
    "sequential": np.arange(64), "stride 2^8": np.arange(64) << 8, "stride 2^16": np.arange(64) << 16, "stride 2^32": np.arange(64) << 32,
    "stride 2^40": np.arange(64) << 40, "stride 2^48": np.arange(64) << 48, "multiples of the width": np.arange(64) * 128,
    "multiples of 1000": np.arange(64) * 1000, "multiples of 2^31 - 1": np.arange(64) * (2**31 - 1),
    "daily time stamps": 1_700_000_000 + 86_400 * np.arange(64), "around zero": np.arange(-32, 32),
}


def unsigned(keys):
    return np.array(keys, np.uint64)


@given(KEYS, SEEDS, st.integers(2, 5), st.integers(1, 2**31 - 1))
@example([8 * P + 7, 7, 2**64 - 1], 3, 4, 1000)
def test_polynomial_twin(keys, seed, independence, width):
    family = families.polynomial(2, independence, seed)
    wanted = naive.polynomial(family.coefficients.tolist(), keys)
    assert family.coefficients.shape == (2, independence + 1) and (family.coefficients < P).all()
    assert families.hashes(family, unsigned(keys)).tolist() == wanted
    assert families.buckets(family, unsigned(keys), width).tolist() == [[naive.bucket(v, 61, width) for v in row] for row in wanted]
    assert families.signs(family, unsigned(keys)).tolist() == [[naive.sign(v) for v in row] for row in wanted]


@given(st.lists(st.integers(0, P - 1), min_size=6, max_size=6), KEYS)
@example([P - 1] * 6, [P - 1, 2**64 - 1, 0])
def test_polynomial_of_any_coefficients(numbers, keys):
    coefficients = np.array(numbers, np.uint64).reshape(2, 3)
    assert families.hashes(families.Polynomial(coefficients), unsigned(keys)).tolist() == naive.polynomial(coefficients.tolist(), keys)


@given(KEYS, SEEDS, st.integers(1, 2**31 - 1))
def test_multiply_shift_twin(keys, seed, width):
    family = families.multiply_shift(3, seed)
    wanted = naive.multiply_shift(family.factors.tolist(), keys)
    assert (family.factors % 2 == 1).all()
    assert families.hashes(family, unsigned(keys)).tolist() == wanted
    assert families.buckets(family, unsigned(keys), width).tolist() == [[naive.bucket(v, 64, width) for v in row] for row in wanted]


@given(KEYS, SEEDS, st.integers(1, 2**31 - 1))
def test_tabulation_twin(keys, seed, width):
    family = families.tabulation(2, seed)
    wanted = naive.tabulation(family.tables.tolist(), keys)
    assert families.hashes(family, unsigned(keys)).tolist() == wanted
    assert families.buckets(family, unsigned(keys), width).tolist() == [[naive.bucket(v, 64, width) for v in row] for row in wanted]
    assert families.signs(family, unsigned(keys)).tolist() == [[naive.sign(v) for v in row] for row in wanted]


def every(depth=2, seed=5):
    return [families.multiply_shift(depth, seed), families.polynomial(depth, 4, seed), families.tabulation(depth, seed)]


def test_many_keys_and_any_number_of_threads():
    keys = np.arange(40_000 if not numba.config.DISABLE_JIT else 30) * 2**40
    threads = numba.get_num_threads()
    for family, twin in zip(every(), (naive.multiply_shift, naive.polynomial, naive.tabulation)):
        found = families.hashes(family, keys), families.buckets(family, keys, 9)
        assert found[0][:, -3:].tolist() == twin(family[0].tolist(), [int(key) % 2**64 for key in keys[-3:]])
        numba.set_num_threads(1)
        try:
            assert np.array_equal(found[0], families.hashes(family, keys)) and np.array_equal(found[1], families.buckets(family, keys, 9))
        finally:
            numba.set_num_threads(threads)


def test_empty():
    for family in every(0) + every(3):
        assert families.hashes(family, [1, 2]).shape == (family[0].shape[0], 2)
        assert families.buckets(family, [], 7).shape == (family[0].shape[0], 0)


def test_negative_keys_do_not_meet_small_ones():
    family = families.polynomial(4, 2, 1)
    assert (families.hashes(family, [-1, -8])[:, :] != families.hashes(family, [7, 0])).all()  # equal modulo the prime


FAMILIES = {
    "mix64": (1, lambda seed, keys, width: hashing.buckets(keys, hashing.seeds(1, seed), width)[0]),
    "multiply-shift": (2, lambda seed, keys, width: families.buckets(families.multiply_shift(1, seed), keys, width)[0]),
    "polynomial 2": (1, lambda seed, keys, width: families.buckets(families.polynomial(1, 2, seed), keys, width)[0]),
    "polynomial 4": (1, lambda seed, keys, width: families.buckets(families.polynomial(1, 4, seed), keys, width)[0]),
    "tabulation": (1, lambda seed, keys, width: families.buckets(families.tabulation(1, seed), keys, width)[0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("structure", SETS)
def test_collision_probability(name, structure):
    """Two keys share one of 128 buckets with probability factor / 128 at most; one pair per seed."""
    factor, function = FAMILIES[name]
    keys, width, trials, hits = SETS[structure], 128, 3000, 0
    for seed in range(trials):
        pair = keys[[seed % 64, (seed + 1 + seed // 64 % 63) % 64]]
        first, second = function(seed, pair, width)
        hits += int(first == second)
    assert binom.sf(hits - 1, trials, factor / width) > 1e-9, hits
    if factor == 1:
        assert binom.cdf(hits, trials, 1 / width) > 1e-9, hits


@pytest.mark.slow
@pytest.mark.parametrize("family, k", [
    (lambda seed: families.polynomial(1, 4, seed), 4), (lambda seed: families.tabulation(1, seed), 3),
    (lambda seed: families.polynomial(1, 2, seed), 2)], ids=["polynomial 4", "tabulation", "polynomial 2"])
def test_signs_of_k_keys_are_independent(family, k):
    """The product of the signs of k keys is 1 for half of the seeds, whatever the keys."""
    trials = 4000
    for keys in ([0, 1, 2, 3], [0, 2**8, 2**40, 2**40 + 2**8], [5, 1000, 10**6, 10**12]):
        ones = sum(int(families.signs(family(seed), keys[:k])[0].astype(int).prod() == 1) for seed in range(trials))
        assert 2 * min(binom.sf(ones - 1, trials, 0.5), binom.cdf(ones, trials, 0.5)) > 1e-9, (keys, ones)


@pytest.mark.slow
def test_four_keys_break_what_is_only_three_wise_independent():
    """The test above can fail: the signs of the corners of a rectangle always multiply to 1 under tabulation."""
    for seed in range(50):
        assert families.signs(families.tabulation(1, seed), [0, 1, 256, 257])[0].prod() == 1


@pytest.mark.slow
def test_rows_collide_as_often_together_as_independent_ones():
    """pyprobables (3.4 to 6.1 times too often) and ristretto (rows that are one row shifted)."""
    keys, width, trials = np.arange(2), 16, 20_000
    for make in (families.multiply_shift, lambda depth, seed: families.polynomial(depth, 2, seed)):
        factor = 4 if make is families.multiply_shift else 1
        both = 0
        for seed in range(trials // 10):
            found = families.buckets(make(20, seed), keys, width)
            same = found[:, 0] == found[:, 1]
            both += int((same[::2] & same[1::2]).sum())
        assert binom.sf(both - 1, trials, factor / width**2) > 1e-9, both


@pytest.mark.parametrize("call, error, message", [
    (lambda: families.polynomial(1, 1, 0), ValueError, "independence must be between 2 and 16, not 1"),
    (lambda: families.polynomial(-1, 2, 0), ValueError, "depth must be at least 0"),
    (lambda: families.tabulation(1, 0.5), TypeError, "seed must be an integer"),
    (lambda: families.hashes(families.tabulation(1, 0), [0.5]), TypeError, "keys must hold integers"),
    (lambda: families.hashes(families.tabulation(1, 0), [[1]]), ValueError, "keys must have 1 axis"),
    (lambda: families.hashes(None, [1]), TypeError, "family must be MultiplyShift, Polynomial or Tabulation, not NoneType"),
    (lambda: families.signs(families.multiply_shift(1, 0), [1]), TypeError, "for signs, not MultiplyShift"),
    (lambda: families.buckets(families.tabulation(1, 0), [1], 0), ValueError, "width must be between 1"),
    (lambda: families.hashes(families.Polynomial(np.array([[P, 0]], np.uint64)), [1]), ValueError, r"numbers below 2\*\*61 - 1"),
    (lambda: families.hashes(families.Polynomial(np.array([[1]], np.uint64)), [1]), ValueError, "two or more numbers"),
    (lambda: families.hashes(families.Tabulation(np.zeros((1, 8, 255), np.uint64)), [1]), ValueError, r"shape \(depth, 8, 256\)"),
    (lambda: families.hashes(families.MultiplyShift(np.array([0.5])), [1]), TypeError, "family.factors must hold unsigned integers"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
