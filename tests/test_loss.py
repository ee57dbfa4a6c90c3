"""Scalar losses: float32 exponential, logarithm and sigmoid against double precision, over their ranges and at the ends."""
import math

import numba
import numpy as np
import pytest

from sketchxc._jit import VECTOR
from sketchxc._scalar.loss import exp32, log32, sigmoid

N = 3_000 if numba.config.DISABLE_JIT else 1_000_000


def looped(function, options):
    @numba.njit(error_model="numpy", **options)
    def loop(x, out):
        for i in range(x.size):
            out[i] = function(x[i])

    def apply(x):
        x = np.asarray(x, np.float32)
        out = np.empty(x.size, np.float32)
        loop(x, out)
        return out
    return apply


def units(found, wanted):
    """Largest distance in units in the last place of the float32 nearest to `wanted` (float64)."""
    return (np.abs(found.astype(np.float64) - wanted) / np.spacing(np.abs(wanted).astype(np.float32))).max()


@pytest.fixture(params=[{}, {"fastmath": VECTOR}], ids=["plain", "vector"])
def apply(request):
    """A scalar as compiled in plain loops, and in vector loops with fused multiply-add."""
    return lambda function, x: looped(function, request.param)(x)


def test_exponential(apply):
    rng = np.random.default_rng(0)
    for x in (np.linspace(-86.99, 88, N), rng.uniform(-1, 1, N), rng.normal(0, 1e-4, N)):
        x = x.astype(np.float32)
        assert units(apply(exp32, x), np.exp(x.astype(np.float64))) < 2


def test_exponential_at_the_ends(apply):
    top = math.exp(88)
    x = [0, -0.0, 88, 88.5, 1e30, np.inf, -87, -87.5, -1e30, -np.inf, 1e-30, -1e-45]
    wanted = [1, 1, top, top, top, top, 0, 0, 0, 0, 1, 1]
    np.testing.assert_allclose(apply(exp32, x), wanted, rtol=2.4e-7, atol=0)
    assert (apply(exp32, x)[[0, 1, 6, 7, 8, 9, 10, 11]] == [1, 1, 0, 0, 0, 0, 1, 1]).all()
    assert apply(exp32, [np.nextafter(np.float32(-87), np.float32(0))])[0] > 0


def test_logarithm(apply):
    rng = np.random.default_rng(1)
    tiny, huge = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    for x in (np.exp(rng.uniform(math.log(tiny), math.log(huge), N)), rng.uniform(0.5, 2, N), 1 + rng.normal(0, 1e-4, N),
              rng.uniform(1, 2, N), 2.0**np.arange(-126, 128), [tiny, huge, math.sqrt(0.5), math.sqrt(2)]):
        x = np.asarray(x).astype(np.float32).clip(tiny, huge)
        x = x[x != 1]
        assert units(apply(log32, x), np.log(x.astype(np.float64))) < 2
    assert apply(log32, [1])[0] == 0


def test_sigmoid(apply):
    rng = np.random.default_rng(2)
    for z in (np.linspace(-86.99, 100, N), rng.normal(0, 1, N), rng.normal(0, 1e-3, N)):
        z = z.astype(np.float32)
        assert units(apply(sigmoid, z), 1 / (1 + np.exp(-z.astype(np.float64)))) < 3  # the exponential, one sum, one quotient, one product


def test_sigmoid_at_the_ends(apply):
    found = apply(sigmoid, [0, -0.0, 20, 1e30, np.inf, -88, -1e30, -np.inf])
    assert found.tolist() == [0.5, 0.5, 1, 1, 1, 0, 0, 0]
    z = np.linspace(-90, 90, N).astype(np.float32)
    found = apply(sigmoid, z)
    assert ((0 <= found) & (found <= 1)).all()
    np.testing.assert_allclose(found + apply(sigmoid, -z), 1, rtol=0, atol=1.2e-7)


@pytest.mark.parametrize("function, x, wanted", [(exp32, 1.0, math.e), (log32, 10.0, math.log(10)), (sigmoid, -1.0, 1 / (1 + math.e)),
                                                 (sigmoid, 1.0, math.e / (1 + math.e))])
def test_one_number(function, x, wanted):
    assert function(np.float32(x)) == pytest.approx(wanted, rel=2.4e-7)
