"""Density of points in the rows of a count table (RACE), and samples that favour what is rare.

A locality-sensitive hash gives near points the same column more often than far ones. Counting the columns of all points sums, for every
point that is asked for, the probability to share a column over all points: a kernel density estimate in memory that does not grow with the
number of points. Data are thinned in two passes, of which each reads one batch after the other:

>>> import numpy as np
>>> import sketchxc.density as density
>>> rng = np.random.default_rng(0)
>>> x = np.concatenate([rng.normal(0, 1, (900, 8)), rng.normal(9, 1, (100, 8))])  # nine of ten points are of one kind
>>> batches = [x[first:first + 250] for first in range(0, 1000, 250)]
>>> points = density.euclidean(200, 1000, 8, 2.0, seed=0)
>>> for batch in batches:
...     density.add(points, batch)
>>> scores = np.concatenate([density.density_scores(points, batch, added=True) for batch in batches])
>>> chosen = density.inverse_propensity_sample(scores, 100, 0)
>>> int((chosen >= 900).sum()) > 20  # an even sample has 10
True

The products with the random vectors are NumPy's, in float32, which another build of it may round otherwise: a point on the edge between
two columns may be counted in the other one there. All else is the same bits everywhere.
"""
import math
from typing import NamedTuple

import numpy as np

from . import _check, hashing, modelfile
from ._cpu import density as _kernels
from ._threads import one_if

_FEW = 2**15        # products below which one thread is faster than two
_PRODUCTS = 2**22   # products that are held at a time, about
_KINDS = ("euclidean", "manhattan", "angular")


class Density(NamedTuple):
    """counts : int32 or float64 (rows, width).  projections : float32 (rows * values, dims), the random vectors, divided by the bandwidth.
    offsets : float32 (rows * values,), in steps; 0 for "angular".  seeds : uint64 (rows,).  total : float64 (1,), points counted.
    kind : str, "euclidean", "manhattan" or "angular".  bandwidth : float, length of a step; 1 for "angular"."""
    counts: np.ndarray
    projections: np.ndarray
    offsets: np.ndarray
    seeds: np.ndarray
    total: np.ndarray
    kind: str
    bandwidth: float


def euclidean(rows, width, dims, bandwidth, *, seed, values=1, dtype=np.int32):
    """Empty sketch whose kernel falls with the Euclidean distance.

    rows : int, independent hashes; the error falls with its root.  width : int, columns, 2 to 2**31 - 1.  dims : int, numbers in a point.
    bandwidth : float, 1e-20 to 1e20, length of a step; points nearer than that share a column more often than not.
    values : int, 1 to 64, steps that must all be shared; the kernel is taken to that power.  seed : int.
    dtype : int32, up to 2**31 - 1 points, or float64, up to 2**53 points, which can be scaled.
    Returns Density.
    Raises TypeError and ValueError for other arguments, MemoryError where the counts do not fit.
    Source: Datar et al. 2004, "Locality-sensitive hashing scheme based on p-stable distributions" (the hash floor((a.x + b) / bandwidth)
    with normal a and uniform b); Coleman & Shrivastava 2020, "Sub-linear RACE sketches" (the counts).

    >>> import sketchxc.density as density
    >>> points = density.euclidean(100, 1000, 2, 1.0, seed=0)
    >>> density.add(points, [[0, 0], [0, 0], [50, 50]])
    >>> density.density_scores(points, [[0, 0], [50, 50]]).round(2)
    array([0.67, 0.34])
    """
    return _stepped("euclidean", rows, width, dims, bandwidth, seed, values, dtype)


def manhattan(rows, width, dims, bandwidth, *, seed, values=1, dtype=np.int32):
    """Empty sketch whose kernel falls with the Manhattan distance (sum of absolute differences): as `euclidean`, with Cauchy vectors.
    Arguments, Returns, Raises and Source as of `euclidean`.

    >>> import sketchxc.density as density
    >>> density.collision_probability(density.manhattan(100, 1000, 2, 1.0, seed=0), [0, 1, 5]).round(3)
    array([1.   , 0.279, 0.063])
    """
    return _stepped("manhattan", rows, width, dims, bandwidth, seed, values, dtype)


def angular(rows, dims, values, *, seed, width=None, dtype=np.int32):
    """Empty sketch whose kernel falls with the angle between two points: (1 - angle / pi)**values.

    rows, dims, seed, dtype : as in `euclidean`.  values : int, random planes of a row, 1 to 64; the sides of a point give its column.
    width : int, columns, 2 to 2**31 - 1; None for one for every pattern of sides, 2**values, with values up to 24.
    Returns Density.
    Raises TypeError and ValueError for other arguments, MemoryError where the counts do not fit.
    Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms" (the hash); Coleman & Shrivastava 2020.

    >>> import sketchxc.density as density
    >>> points = density.angular(100, 2, 4, seed=0)
    >>> density.add(points, [[1, 0], [2, 0], [-1, 0]])
    >>> density.density_scores(points, [[5, 0]]).round(2)
    array([0.67])
    """
    values = _check.integer(values, "values", 1, 24 if width is None else 64)
    made = _empty("angular", rows, 2**values if width is None else width, dims, 1.0, seed, values, dtype)
    made.projections[...] = np.random.default_rng(int(_check.seed(seed))).standard_normal(made.projections.shape, np.float32)
    return made


def add(state, x):
    """Count points, in place; their order and the split into calls change nothing.

    state : Density.  x : numbers (n, dims), for example a memory-mapped file; a block at a time becomes float32.
    Raises TypeError if `x` does not hold numbers, ValueError for other shapes and numbers that are not finite in float32, OverflowError
    beyond the number of points that the dtype holds. Nothing is counted then.
    """
    _known(state)
    x = _points(state, x)
    if state.total[0] + x.shape[0] > _most(state):
        raise OverflowError(f"x must keep the total at {_most(state)} or below, not add {x.shape[0]} to {state.total[0]:.0f}")
    for _, block in _blocks(state, x):
        _finite(block)
    for _, block in _blocks(state, x):
        products = _products(state, block)
        with one_if(products.size < _FEW):
            _kernels.add(state.counts, products, state.offsets, state.seeds, _way(state))
    state.total[0] += x.shape[0]


def density_scores(state, x, *, added=False):
    """Estimated density at points: the mean over all counted points of the probability to share a column, from 0 to 1.

    The mean over the rows of the count of a point's column, over the total; what hashing to `width` columns adds on average is taken away,
    so that the mean over seeds is exact: (width * mean - total) / (width - 1). That may leave numbers just below 0 where it is empty.
    state : Density.  x : numbers (n, dims), as in `add`.
    added : bool, whether the points were counted: estimates below 1 / total, what a point adds to its own density, are then raised to it.
    Returns float64 (n,); 0 for a sketch without points.
    Raises as `add` does, but for OverflowError.
    Source: Coleman & Shrivastava 2020, theorem 1.

    >>> import sketchxc.density as density
    >>> points = density.euclidean(1000, 50, 1, 2.0, seed=1)
    >>> density.add(points, [[0.0], [1.0]])
    >>> density.density_scores(points, [[0.0]]).round(1), ((1 + density.collision_probability(points, [1.0])) / 2).round(1)
    (array([0.8]), array([0.8]))
    """
    _known(state)
    x = _points(state, x)
    out = np.empty(x.shape[0])
    for first, block in _blocks(state, x):
        products = _products(state, _finite(block))
        with one_if(products.size < _FEW):
            _kernels.sums(state.counts, products, state.offsets, state.seeds, _way(state), out[first:first + block.shape[0]])
    (rows, width), total = state.counts.shape, float(state.total[0])
    if total == 0:
        return np.zeros_like(out)
    out /= rows
    if _way(state) != _kernels.DIRECT:
        out = (width * out - total) / (width - 1)
    out /= total
    return np.maximum(out, 1 / total) if added else out


def merge(a, b):
    """Sketch of the points of both: the counts are added.

    a, b : Density of the same arguments and seed; they stay as they are.
    Returns a new Density, which shares the random vectors with `a`.
    Raises TypeError for what is no Density, ValueError for two that do not fit together, OverflowError as `add` does.

    >>> import sketchxc.density as density
    >>> a, b = density.angular(10, 2, 4, seed=0), density.angular(10, 2, 4, seed=0)
    >>> density.add(a, [[1, 0]]); density.add(b, [[1, 0]])
    >>> density.density_scores(density.merge(a, b), [[1, 0]])
    array([1.])
    """
    _known(a, "a")
    _known(b, "b")
    same = (a.kind, a.bandwidth, a.counts.shape, a.counts.dtype) == (b.kind, b.bandwidth, b.counts.shape, b.counts.dtype)
    if not (same and all(map(np.array_equal, a[1:4], b[1:4]))):
        raise ValueError("a and b must be made with the same arguments and seed")
    total = a.total + b.total
    if total[0] > _most(a):
        raise OverflowError(f"a and b must hold {_most(a)} points or fewer together, not {total[0]:.0f}")
    return a._replace(counts=a.counts + b.counts, total=total)


def scale(state, factor):
    """Multiply all counts, in place: decay with a factor below 1.

    state : Density with counts of float64.  factor : float, from 0.
    Raises TypeError and ValueError for other arguments, OverflowError where the total would pass 2**53. Nothing is scaled then.

    >>> import sketchxc.density as density
    >>> points = density.angular(10, 2, 4, seed=0, dtype=float)
    >>> density.add(points, [[1, 0]]); density.scale(points, 0.5); density.add(points, [[-1, 0]])
    >>> density.density_scores(points, [[1, 0]]).round(3)
    array([0.333])
    """
    _known(state)
    factor = _check.real(factor, "factor", 0)
    if state.counts.dtype != np.float64:
        raise ValueError("state must have counts of float64, which alone hold fractions")
    if state.total[0] * factor > 2**53:
        raise OverflowError(f"factor must keep the total at {2**53} or below, not {state.total[0]:g} * {factor:g}")
    np.multiply(state.counts, factor, out=state.counts)
    np.multiply(state.total, factor, out=state.total)


def collision_probability(state, distance):
    """The kernel: the probability over the seed that two points at a distance share all values of a row, apart from hashing to columns.

    state : Density.  distance : float or floats from 0, Euclidean or Manhattan; for "angular" the angle in radians, 0 to pi.
    Returns float64 of the same shape. With r = bandwidth / distance, to the power of `values`:
    euclidean erf(r / sqrt(2)) - sqrt(2 / pi) / r * (1 - exp(-r**2 / 2)), manhattan 2 / pi * atan(r) - ln(1 + r**2) / (pi * r),
    angular 1 - distance / pi.
    Raises TypeError for what is no Density, ValueError for distances out of range.
    Source: Datar et al. 2004, section 3.2; Charikar 2002.

    >>> import sketchxc.density as density
    >>> density.collision_probability(density.euclidean(1, 2, 1, 1.0, seed=0), [0, 1, 5]).round(3)
    array([1.   , 0.369, 0.08 ])
    """
    _known(state)
    t = np.asarray(distance, np.float64)
    high = np.pi if state.kind == "angular" else 1e100 * state.bandwidth
    if not ((t >= 0) & (t <= high)).all():
        raise ValueError(f"distance must be between 0 and {high:.3g}")
    values = state.projections.shape[0] // state.counts.shape[0]
    if state.kind == "angular":
        return (1 - t / np.pi)**values
    r = state.bandwidth / np.where(t > 0, t, 1.0)
    with np.errstate(over="ignore"):
        if state.kind == "euclidean":
            found = _erf(r / math.sqrt(2)) + math.sqrt(2 / math.pi) / r * np.expm1(-r * r / 2)
        else:
            found = (2 * np.arctan(r) - 2 * np.log(np.hypot(1, r)) / r) / np.pi
    return np.where(t > 0, np.clip(found, 0, 1), 1.0)**values


def inverse_propensity_sample(scores, n, seed, *, quality=None):
    """Sample without replacement in which rare points are as likely as frequent ones: each draw takes a point that is left with
    probability proportional to quality / score.

    scores : numbers above 0 (m,), for example of `density_scores` with `added`; ones for the quality alone.  n : int, points wanted.
    seed : int.  quality : None, the same for all, or numbers from 0 (m,), for example what a language model says of each text; points of
    quality 0 are never taken. For the n best ones without chance sort the qualities.
    Returns int64 (n,), places in the order drawn: its beginning is the sample of a smaller `n`.
    Raises TypeError and ValueError for other arguments, and for more points wanted than there are with a quality above 0.
    Source: Sachdeva et al. 2024, "How to train data-efficient LLMs", text and theorem A.2: weights are 1 / score (Algorithm 2 prints the
    inverse, score / sum); Efraimidis & Spirakis 2006, "Weighted random sampling with a reservoir" (exact, by sorting exponential draws).

    >>> import sketchxc.density as density
    >>> scores = [0.9] * 9 + [0.1]
    >>> sum(9 in density.inverse_propensity_sample(scores, 1, seed) for seed in range(1000))  # of 1000 / 2
    524
    """
    scores = _check.array(scores, "scores", np.float64, 1, kinds="iuf")
    quality = np.ones(scores.size) if quality is None else _check.array(quality, "quality", np.float64, 1, kinds="iuf")
    if not ((scores > 0) & (scores < np.inf)).all():
        raise ValueError("scores must be finite and above 0, as those of density_scores with added=True")
    if quality.size != scores.size or not ((quality >= 0) & (quality < np.inf)).all():
        raise ValueError(f"quality must hold {scores.size} finite numbers from 0")
    n = _check.integer(n, "n", 0, int((quality > 0).sum()))
    draws = hashing.seeds(scores.size, seed) >> np.uint64(11)
    waits = -np.log((draws + 0.5) * 2.0**-53)  # exponential
    with np.errstate(divide="ignore", over="ignore"):
        return np.lexsort((waits, np.log(waits) + np.log(scores) - np.log(quality)))[:n]


def _stepped(kind, rows, width, dims, bandwidth, seed, values, dtype):
    bandwidth = _check.real(bandwidth, "bandwidth", 1e-20, 1e20)
    made = _empty(kind, rows, width, dims, bandwidth, seed, _check.integer(values, "values", 1, 64), dtype)
    rng = np.random.default_rng(int(_check.seed(seed)))
    for line in made.projections:
        line[:] = (rng.standard_normal(line.size) if kind == "euclidean" else rng.standard_cauchy(line.size)) / bandwidth
    made.offsets[...] = rng.random(made.offsets.size, np.float32)
    return made


def _empty(kind, rows, width, dims, bandwidth, seed, values, dtype):
    dtype = np.dtype(_check.choice(np.dtype(dtype), "dtype", [np.dtype(np.int32), np.dtype(np.float64)]))
    rows, dims = _check.integer(rows, "rows", 1, 2**20), _check.integer(dims, "dims", 1, 2**31 - 1)
    width = _check.integer(width, "width", 2, 2**31 - 1)
    seeds = hashing.seeds(rows, seed)
    return Density(np.zeros((rows, width), dtype), np.empty((rows * values, dims), np.float32), np.zeros(rows * values, np.float32), seeds,
                   np.zeros(1), kind, bandwidth)


def _way(state):
    (rows, width), lines = state.counts.shape, state.offsets.size
    if state.kind != "angular":
        return _kernels.STEPS
    return _kernels.DIRECT if width == 2**(lines // rows) else _kernels.SIDES


def _points(state, x):
    x = np.asarray(x)
    if x.dtype.kind not in "iuf":
        raise TypeError(f"x must hold numbers, not {x.dtype}")
    if x.ndim != 2 or x.shape[1] != state.projections.shape[1]:
        raise ValueError(f"x must have shape (n, {state.projections.shape[1]}), not {x.shape}")
    return x


def _blocks(state, x):
    """(number of the first point, float32 points) of one block after the other."""
    points = max(16, min(8192, _PRODUCTS // state.offsets.size))
    for first in range(0, x.shape[0], points):
        with np.errstate(over="ignore"):  # told by the caller
            yield first, np.ascontiguousarray(x[first:first + points], np.float32)


def _finite(block):
    if not np.isfinite(block).all():
        raise ValueError("x must hold finite numbers (float32)")
    return block


def _products(state, block):
    one = block.shape[0] == 1  # alone it would go to another routine of BLAS, which rounds otherwise
    with np.errstate(over="ignore", invalid="ignore"):  # beyond the last step
        products = np.matmul(state.projections, (np.repeat(block, 2, axis=0) if one else block).T)
    return np.ascontiguousarray(products[:, :block.shape[0]])


def _most(state):
    """Points that the counts can hold."""
    return 2**53 if state.counts.dtype == np.float64 else 2**31 - 1


def _erf(x):
    return np.array([math.erf(value) for value in x.ravel().tolist()]).reshape(x.shape)


def _known(state, name="state"):
    if not isinstance(state, Density):
        raise TypeError(f"{name} must be a Density, not {type(state).__name__}")
    _validate(state)


def _validate(state):
    (rows, width), lines = state.counts.shape, state.offsets.size
    if rows < 1 or width < 2 or not lines or lines % rows or lines // rows > 64 or state.projections.shape[0] != lines:
        raise ValueError(f"counts {state.counts.shape}, projections {state.projections.shape} and offsets ({lines},) must fit together")
    if state.seeds.shape != (rows,) or state.total.shape != (1,) or state.kind not in _KINDS or not state.bandwidth > 0:
        raise ValueError(f"state must have {rows} seeds, one total, a kind of {', '.join(_KINDS)}, and a bandwidth above 0")


modelfile.register(Density, _validate, counts=((np.int32, np.float64), 2), projections=(np.float32, 2), offsets=(np.float32, 1),
                   seeds=(np.uint64, 1), total=(np.float64, 1), kind=str, bandwidth=float)
