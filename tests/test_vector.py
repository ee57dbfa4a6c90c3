"""Sixteen lanes: every operation against NumPy, at any alignment, compiled and as Python."""
import math
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sketchxc._cpu import vector
from sketchxc._cpu.vector import (
    any_above, fill, fma, load, load_some, smaller, span, store, store_some, total, where_below, where_same,
)
from sketchxc._scalar.optim import root

NUMBERS = st.integers(0, 2**32).map(lambda seed: np.random.default_rng(seed).normal(0, 10, (3, 16)).astype(np.float32))


@numba.njit
def copied(source, at, target, to):
    store(target, to, load(source, at))


@numba.njit
def repeated(number, out):
    store(out, 0, fill(number))


@numba.njit
def fused(a, b, c, out):
    store(out, 0, fma(load(a, 0), load(b, 0), load(c, 0)))


@numba.njit
def least(a, b, out):
    store(out, 0, smaller(load(a, 0), load(b, 0)))


@numba.njit
def reckoned(a, b, number, out):
    """Sum, difference, product, quotient and root, of lanes and of lanes with a number."""
    x, y = load(a, 0), load(b, 0)
    for i, value in enumerate((x + y, x - y, x * y, x / y, root(x), number + x, x - number, number * x, number / x)):
        store(out, 16 * i, value)


@numba.njit
def either(a, number, lanes):
    """Lanes or a number, which becomes lanes."""
    value = load(a, 0) if lanes else number
    store(a, 0, value + value)


@numba.njit
def copied_some(source, at, target, to, count):
    store_some(target, to, count, load_some(source, at, count) + np.float32(1.0))


@numba.njit
def chosen_below(a, b, x, y, out):
    store(out, 0, where_below(load(a, 0), load(b, 0), load(x, 0), load(y, 0)))


@numba.njit
def chosen_same(a, b, x, y, out):
    store(out, 0, where_same(load(a, 0), load(b, 0), load(x, 0), load(y, 0)))


@numba.njit
def above(a, b):
    return any_above(load(a, 0), load(b, 0))


@numba.njit
def summed(a):
    return total(load(a, 0))


@numba.njit
def doubled(numbers, start, size):
    part = span(numbers, start, size)
    for i in range(part.size):
        part[i] *= 2
    return part.size, part[1:].sum()


def out_of(function, *arguments):
    out = np.full(16, np.nan, np.float32)
    function(*arguments, out)
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@given(st.integers(0, 24), st.integers(0, 24))
def test_load_and_store_touch_sixteen_numbers_anywhere(dtype, at, to):
    source, target = np.arange(-20, 20).astype(dtype), np.full(40, 99, np.float32)
    copied(source, at, target, to)
    wanted = np.full(40, 99, np.float32)
    wanted[to:to + 16] = source[at:at + 16]
    assert (target == wanted).all()


@given(st.integers(0, 24), st.integers(0, 24), st.integers(1, 20))
def test_some_numbers_and_no_others(at, to, count):
    source, target = np.arange(40, dtype=np.float32), np.full(44, 99, np.float32)
    copied_some(source, at, target, to, count)
    wanted = np.full(44, 99, np.float32)
    wanted[to:to + min(count, 16)] = source[at:at + min(count, 16)] + 1
    assert (target == wanted).all()


@pytest.mark.compiled
@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_numbers_become_lanes_where_paths_meet():
    row = np.arange(16, dtype=np.float32)
    either(row, np.float32(3), True)
    assert row.tolist() == [2.0 * i for i in range(16)]
    either(row, np.float32(3), False)
    assert (row == 6).all()


def test_a_loaded_value_is_a_copy():
    @numba.njit
    def swapped(row):
        a, b = load(row, 0), load(row, 16)
        store(row, 0, b)
        store(row, 16, a)
    row = np.arange(32, dtype=np.float32)
    swapped(row)
    assert row.tolist() == [*range(16, 32), *range(16)]


@given(NUMBERS)
def test_arithmetic_of_lanes(numbers):
    a, b, c = numbers
    assert (out_of(least, a, b) == np.minimum(a, b)).all()
    assert (out_of(repeated, a[0]) == a[0]).all()
    out = np.empty(9 * 16, np.float32)
    with np.errstate(all="ignore"):
        reckoned(a, b, c[0], out)
        wanted = a + b, a - b, a * b, a / b, np.sqrt(a), c[0] + a, a - c[0], c[0] * a, c[0] / a
    assert np.array_equal(out.reshape(9, 16), wanted, equal_nan=True)
    some = np.where(np.arange(16) % 3 == 0, a, np.where(np.arange(16) % 3 == 1, b, np.nan)).astype(np.float32)  # equal, either way, NaN
    assert (out_of(chosen_below, a, some, b, c) == np.where(a < some, b, c)).all()
    assert (out_of(chosen_same, a, some, b, c) == np.where(a == some, b, c)).all()
    halves = a
    while halves.size > 1:
        halves = halves[:halves.size // 2] + halves[halves.size // 2:]
    assert summed(a) == halves[0]
    assert summed(a) == pytest.approx(math.fsum(a.tolist()), abs=1e-4)


@given(NUMBERS)
def test_fused_product_and_sum_round_once(numbers):
    a, b, c = numbers
    c = np.where(np.arange(16) % 2, c, -a * b).astype(np.float32)  # half of the sums cancel: all that is left is the rounding error
    for x, y, z, found in zip(a, b, c, out_of(fused, a, b, c)):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        assert abs(Fraction(float(found)) - exact) <= Fraction(float(np.spacing(abs(found)))) / 2


def test_any_above_sees_every_lane():
    bar = np.arange(16, dtype=np.float32)
    assert not above(bar, bar)
    assert not above(np.full(16, -np.inf, np.float32), bar)
    assert not above(np.full(16, np.nan, np.float32), bar)
    for lane in range(16):
        row = bar.copy()
        row[lane] += 0.5
        assert above(row, bar)
        assert not above(bar, np.maximum(row, np.inf))


@pytest.mark.compiled
@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
@pytest.mark.parametrize("array", [np.zeros(32), np.zeros((2, 16), np.float32), np.zeros(64, np.float32)[::2]])
def test_other_arrays_are_rejected(array):
    with pytest.raises(numba.TypingError):
        copied(array, 0, np.zeros(16, np.float32), 0)
    with pytest.raises(numba.TypingError):
        copied(np.zeros(16, np.float32), 0, array, 0)


def test_width():
    assert vector.LANES == 16


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@given(st.integers(0, 9), st.integers(0, 9))
def test_a_span_is_a_slice(dtype, start, size):
    numbers = np.arange(20).astype(dtype)
    wanted = numbers.copy()
    wanted[start:start + size] *= 2
    found = doubled(numbers, start, size)
    assert np.array_equal(numbers, wanted) and found == (size, wanted[start + 1:start + max(size, 1)].sum())
