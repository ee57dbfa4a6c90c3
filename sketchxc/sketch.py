"""Count-min and count-sketch: counts of a stream of keys in a table of fixed size, with bounds that hold.

A count-min estimate is never below the true count, a count-sketch estimate is right in the mean and takes negative counts. The true count
of a key is the sum of all counts that were added for it. Integer tables are exact sums: the same bits for any order, any split into batches
and any number of threads. In float32 tables every addition rounds to 24 bits, and what is said of bounds holds up to that rounding.

All functions but `bounds` also take sketches and keys that are on a device (`to_device`).
"""
import math

import numpy as np

from . import _chances, _check, _place, _threads, hashing
from ._cpu import sketch as _kernels
from ._sketches import DEEPEST, LIMITS, WIDEST, CountMin, CountSketch, alike, few, fields, narrow, odd, sum_of, total_type
from ._sketches import counts as _counts
from ._sketches import keys as _keys

_FEW = 2**15  # keys below which one thread is faster than two
_ARRAY, _INT64 = np.ndarray, np.dtype(np.int64)


def count_min(depth, width, *, seed, dtype=np.int64):
    """Empty count-min sketch.

    depth : int, rows, 1 to 255.  width : int, cells per row, 1 to 2**31 - 1.  seed : int.  dtype : int64, int32 or float32, of the table.
    Returns CountMin.
    Raises TypeError and ValueError for other arguments, MemoryError where the table does not fit.
    Source: Cormode & Muthukrishnan 2005, "An improved data stream summary".
    Example:
        >>> words = count_min(3, 1000, seed=0)
        >>> add(words, [7, 7, 8])
        >>> estimate(words, [7, 8, 9])
        array([2, 1, 0])
    """
    return CountMin(*_empty(_check.integer(depth, "depth", 1, DEEPEST), width, seed, dtype))


def count_sketch(depth, width, *, seed, dtype=np.int64):
    """Empty count-sketch.

    depth : int, rows, odd, 1 to 255.  width : int, cells per row, 1 to 2**31 - 1.  seed : int.
    dtype : int64, int32 or float32, of the table.
    Returns CountSketch.
    Raises TypeError and ValueError for other arguments, MemoryError where the table does not fit.
    Source: Charikar, Chen & Farach-Colton 2002, "Finding frequent items in data streams".
    Example:
        >>> changes = count_sketch(3, 1000, seed=0)
        >>> add(changes, [7, 7, 8], [5, -2, -4])
        >>> estimate(changes, [7, 8, 9])
        array([ 3, -4,  0])
    """
    return CountSketch(*_empty(odd(_check.integer(depth, "depth", 1, DEEPEST)), width, seed, dtype))


def size_for(error, failure, *, signed=False):
    """Depth and width that keep the error of an estimate small.

    error : float, between 0 and 1: of a count-min as a part of the sum of all counts, of a count-sketch (`signed`) as a part of the root of
        the sum of the squared true counts.
    failure : float, between 0 and 1, probability that the estimate of a key is further off.  signed : bool, for a count-sketch.
    Returns (depth, width): ceil(ln(1 / failure)) and ceil(e / error) for a count-min; for a count-sketch the smallest odd depth in which
    more than half of the rows fail with probability `failure` at most where each fails with 1/3, and ceil(3 / error**2). Widths are rounded
    up to a multiple of 16, so that rows end with a cache line.
    Raises ValueError for numbers outside these ranges and for sizes that no sketch has.
    Source: Cormode & Muthukrishnan 2005, theorem 1; Charikar, Chen & Farach-Colton 2002 with Chebyshev's inequality.
    Example:
        >>> size_for(0.001, 0.01), size_for(0.05, 0.01, signed=True)
        ((5, 2720), (47, 1200))
    """
    error = _check.real(error, "error", 0, 1, open_low=True, open_high=True)
    failure = _check.real(failure, "failure", 0, 1, open_low=True, open_high=True)
    width = 3 / error / error if signed else math.e / error
    if width > 2**31 - 17:
        raise ValueError(f"error must be larger, {error} needs a width beyond 2**31 - 1")
    depth = 1 if signed else max(1, math.ceil(-math.log(failure)))
    while signed and depth <= DEEPEST and _chances.half_fail(depth, 1 / 3) > failure:
        depth += 2
    if depth > DEEPEST:
        raise ValueError(f"failure must be larger, {failure} needs a depth beyond 255")
    return depth, -(-math.ceil(width) // 16) * 16


def add(sketch, keys, counts=None, *, conservative=False):
    """Add counts of keys, in place.

    keys : integers (n,) of any width and sign; a key is the same in every type that can hold it, negative ones are two's complement.
    counts : (n,), integers, or for float32 tables numbers; None counts each key once. A count-min takes no negative ones: its estimates
        are no upper bounds then; a count-sketch does.
    conservative : bool, for CountMin: raise cells no further than to the key's estimate plus its count, one key after the other in the
        order given, on one thread. Estimates are never above those of plain additions, and never below the true counts; they depend on
        the order. Plain and conservative calls may be mixed. A device takes 2**20 keys at a time: equal keys of these count as one, and
        all their estimates are read before a cell is raised, so that the order within them does not matter.
    Raises TypeError for keys or counts of another type, ValueError for other shapes, NaN, infinity and negative counts, OverflowError where
    the total or a cell would pass the end of its type. Nothing is added then.
    Source: Cormode & Muthukrishnan 2005; Estan & Varghese 2002 (conservative update).
    Example:
        >>> visits = count_min(2, 100, seed=1)
        >>> add(visits, [5, 6, 5], [10, 20, 30], conservative=True)
        >>> estimate(visits, [5, 6]).tolist(), visits.total.tolist()
        ([40, 20], [60])
    """
    table, seeds, total = fields(sketch, True)
    signed = type(sketch) is CountSketch
    if counts is None and not conservative and few(table, keys):  # what follows in fewer steps, which take longer than the cells here
        after = total.item() + keys.size
        if after <= LIMITS[table.dtype] and table.flags.writeable and total.flags.writeable:
            _kernels.add_few(table, seeds, keys, signed)
            total[0] = after
            return
    keys = _keys(keys)
    host = type(table) is type(keys) is _ARRAY and (counts is None or not _place.on_device(counts))
    kernels = _kernels if host else _place.kernels(_kernels, sketch=table, keys=keys, counts=counts)
    if conservative and signed:
        raise ValueError("conservative must be False for a CountSketch: its cells hold other keys with either sign")
    if host and not (table.flags.writeable and total.flags.writeable):
        raise ValueError("sketch must have a table that can be written to, and a total")
    amount = keys.size
    if counts is not None:
        counts, amount = _counts(counts, keys.size, table.dtype, signed)
    if not keys.size:
        return
    before = total.item() if host else sum_of(total)
    after = before + amount
    if after > LIMITS[table.dtype]:
        if after > LIMITS[table.dtype if total.dtype == np.float64 else _INT64]:
            raise OverflowError(f"counts must keep the total below the end of its type, not take it from {before} to {after}")
        if amount + int(kernels.peak(table, seeds, keys)) > LIMITS[table.dtype]:
            wide = _place.copied(table, np.int64)
            _add(kernels, wide, seeds, keys, counts, signed, conservative)
            _place.assign(table, narrow(wide, table.dtype))
            _place.assign(total, after)
            return
    _add(kernels, table, seeds, keys, counts, signed, conservative)
    if host:
        total[0] = after
    else:
        _place.assign(total, after)


def estimate(sketch, keys, how=None):
    """Estimated count of each key.

    keys : integers (n,), as in `add`.
    how : "min" (CountMin, its default): the smallest cell, never below the true count. "mean_min" (CountMin without conservative
        updates): from each row's cell the mean of the row's other cells is taken away; the median of the rows, between 0 and the smallest
        cell; better where many keys are about equally frequent. "median" (CountSketch, its default): each row is right in the mean.
    Returns (n,) of the table's dtype; float64 for "mean_min".
    Raises TypeError if `keys` does not hold integers, ValueError for a `how` that the sketch does not have, for "mean_min" with width 1.
    Source: Cormode & Muthukrishnan 2005; Deng & Rafiei 2007 (mean_min); Charikar, Chen & Farach-Colton 2002.
    Example:
        >>> words = count_min(3, 16, seed=0)
        >>> add(words, range(100))
        >>> add(words, [7] * 20)
        >>> estimate(words, [7]), estimate(words, [7], "mean_min").round(2)
        (array([25]), array([20.8]))
    """
    table, seeds, total = fields(sketch, True)
    signed = type(sketch) is CountSketch
    if how is None and not signed and few(table, keys):
        out = np.empty(keys.size, table.dtype)  # (n,)
        _kernels.low_few(table, seeds, keys, out)
        return out
    if how is not None:
        _check.choice(how, "how", ("median",) if signed else ("min", "mean_min"))
    keys = _keys(keys)
    host = type(table) is type(keys) is _ARRAY
    kernels = _kernels if host else _place.kernels(_kernels, sketch=table, keys=keys)
    if how == "mean_min":
        if table.shape[1] == 1:
            raise ValueError('how must be "min" for a sketch of width 1')
        out = _place.empty(keys.size, np.float64, keys)  # (n,)
        with _threads.one_if(keys.size < _FEW):
            kernels.mean_low(table, seeds, keys, float(sum_of(total)), out)
        return out
    out = np.empty(keys.size, table.dtype) if host else _place.empty(keys.size, table.dtype, keys)  # (n,)
    if host and (keys.size < _FEW or _threads.available() == 1):
        (_kernels.median_part if signed else _kernels.low_part)(table, seeds, keys, 0, keys.size, out)
    else:
        (kernels.median if signed else kernels.low)(table, seeds, keys, out)
    return out


def bounds(sketch, keys, failure):
    """Bounds of the true count of each key.

    Of a count-min the upper bound is the estimate and always holds; the lower one is `total / width / failure**(1 / depth)` below. Of a
    count-sketch both are as far off as Chebyshev's inequality says for half of the rows, from the table's own estimate of the sum of
    squares; half of `failure` goes to that estimate, and the total bounds it where the width is too small. The hash rows are taken as
    independent.
    keys : integers (n,), as in `add`.  failure : float, between 0 and 1, probability over the seed that the bounds of a key do not hold.
    Returns (lower, upper), int64 (n,), or float64 (n,) for float32 tables.
    Raises TypeError if `keys` does not hold integers, ValueError for other failures.
    Source: Cormode & Muthukrishnan 2005, theorem 1, for any failure and width; Charikar, Chen & Farach-Colton 2002; Thorup & Zhang 2012.
    Example:
        >>> words = count_min(5, 300, seed=0)
        >>> add(words, range(100), range(100))
        >>> [part.tolist() for part in bounds(words, [50, 99], 0.01)]
        [[9, 58], [50, 99]]
    """
    failure = _check.real(failure, "failure", 0, 1, open_low=True, open_high=True)
    table, _, total = fields(sketch)
    found = estimate(sketch, keys)
    found = found.astype(np.float64 if table.dtype.kind == "f" else np.int64, copy=False)
    top, shape = total.item(), table.shape
    if type(sketch) is CountMin:
        reach = _chances.reach_of_min(top, *shape, failure)
        return np.maximum(found, _whole(reach, found)) - _whole(reach, found), found
    squares = float(np.median([np.dot(line, line) for line in table.astype(np.float64)]))
    reach = _chances.reach_of_median(squares, float(top), *shape, failure)
    if reach >= top:
        return np.full_like(found, -top), np.full_like(found, top)
    reach = _whole(reach, found)
    return np.maximum(found, reach - top) - reach, np.minimum(found, top - reach) + reach


def inner(a, b):
    """Estimated inner product of the counts of two sketches: the sum over all keys of one's true count times the other's.

    a, b : two CountMin without conservative updates, or two CountSketch, of the same shape and seeds. The count-min estimate is never below
        the truth, and with probability 1 - exp(-depth) at most `e / width` times both totals above it; the count-sketch one is right in
        the mean in each row.
    Returns int, exact for integer tables; float for float32 tables, in float64.
    Raises TypeError for different kinds, ValueError for different shapes, dtypes or seeds.
    Source: Cormode & Muthukrishnan 2005, section 4.2.
    Example:
        >>> a, b = count_min(3, 100, seed=0), count_min(3, 100, seed=0)
        >>> add(a, [1, 2, 3], [1, 2, 3]); add(b, [2, 3, 4], [10, 10, 10])
        >>> inner(a, b)
        50
    """
    alike(a, b, device=True)
    real = a.table.dtype.kind == "f"
    small = real or sum_of(a.total) * sum_of(b.total) < 2**63
    if _place.on_device(a.table):
        if not small:
            raise OverflowError("a and b must have totals whose product is below 2**63 on a device; move them with sketchxc.to_host")
        x, y, zero = _place.target().array(a.table), _place.target().array(b.table), total_type(a.table.dtype).type(0)
        rows = _place.kernels(_kernels, a=x).inner(x, y, zero).tolist()
    elif real:
        rows = [float(np.dot(x, y)) for x, y in zip(a.table.astype(np.float64), b.table.astype(np.float64))]
    elif small:
        rows = [int(np.dot(x.astype(np.int64), y.astype(np.int64))) for x, y in zip(a.table, b.table)]
    else:
        rows = [sum(map(int.__mul__, x.tolist(), y.tolist())) for x, y in zip(a.table, b.table)]
    return min(rows) if type(a) is CountMin else sorted(rows)[len(rows) // 2]


def merge(a, b):
    """Sketch of both streams: the tables are added.

    a, b : two CountMin or two CountSketch of the same shape, dtype and seeds; they stay as they are. The merged sketch is, bit for bit for
        integer tables, the one that got all additions. With conservative updates it is not, but estimates and bounds still hold.
    Returns a new sketch.
    Raises TypeError for different kinds, ValueError for different shapes, dtypes or seeds, OverflowError where a cell or the total would
    pass the end of its type.
    Example:
        >>> a, b = count_min(3, 100, seed=0), count_min(3, 100, seed=0)
        >>> add(a, [1, 2]); add(b, [2])
        >>> estimate(merge(a, b), [1, 2])
        array([1, 2])
    """
    alike(a, b, device=True)
    (x, seeds, first), (y, _, second) = fields(a, device=True), fields(b, device=True)
    total, limit = sum_of(first) + sum_of(second), LIMITS[x.dtype]
    if total > (limit if x.dtype.kind == "f" else 2**63 - 1):
        raise OverflowError(f"a and b must have a total below the end of its type together, not {total}")
    table = _place.copied(x, x.dtype if total <= limit else np.int64)
    if _place.on_device(table):
        _place.kernels(_kernels, a=table).add_table(table.reshape(table.size), y.reshape(y.size))
    else:
        table += y
    table, sums = table if total <= limit else narrow(table, x.dtype), _place.copied(first, first.dtype)
    _place.assign(sums, total)
    return type(a)(table, _place.copied(seeds, np.uint64), sums)


def scale(sketch, factor):
    """Multiply all counts, in place: decay with a factor below 1.

    factor : an int is exact. A float is for float32 tables, and for integer tables of a CountMin, whose cells are then rounded down: the
        estimate stays at or above the true count rounded down at each scaling, and the lower bound below the true count without rounding.
        Not negative for CountMin.
    Raises TypeError for other types, ValueError for NaN, infinity, negative factors of a CountMin, fractions for an integer CountSketch,
    whose signed cells have no such bound, OverflowError where a cell or the total would pass the end of its type. Nothing is scaled then.
    Example:
        >>> words = count_min(3, 100, seed=0)
        >>> add(words, [1, 2], [10, 5]); scale(words, 0.5)
        >>> estimate(words, [1, 2])
        array([5, 2])
    """
    table, _, total = fields(sketch, device=True)
    low = 0 if type(sketch) is CountMin else None
    whole = isinstance(factor, (int, np.integer))
    real = _check.real(factor, "factor", low)
    before, there = sum_of(total), _place.on_device(table)
    kernels = _place.kernels(_kernels, sketch=table)
    flat = table.reshape(table.size)
    if table.dtype.kind == "f":
        if before * abs(real) > LIMITS[table.dtype]:
            raise OverflowError(f"factor must keep the total below the end of its type, not {before} * {factor}")
        if there:
            kernels.multiply(flat, np.float64(real))
        else:
            np.multiply(table, np.float64(real), out=table, casting="same_kind")
        _place.assign(total, before * abs(real))
        return
    if not whole and type(sketch) is CountSketch:
        raise ValueError(f"factor must be an integer for a CountSketch with an integer table, not {factor}")
    factor = int(factor) if whole else real
    above, below = factor.as_integer_ratio()
    after = -(-before * abs(above) // below)  # rounded up, in exact integers
    low, high = kernels.extent(flat, np.int64(0))[:2] if there else (table.min(), table.max())
    largest = max(abs(int(low)), abs(int(high)))
    if after > 2**63 - 1 or largest * abs(above) // below > LIMITS[table.dtype] * (1 if whole else 1 - 1e-9):  # floats round up, too
        raise OverflowError(f"factor must keep the total and the cells below the end of their types, not {factor} for a total of {before}")
    if not there:
        table[...] = table.astype(np.int64) * (factor if largest else 1) if whole else np.floor(table * factor)
    elif largest:
        (kernels.multiply if whole else kernels.multiply_down)(flat, np.int64(factor) if whole else np.float64(factor))
    _place.assign(total, after)


def _empty(depth, width, seed, dtype):
    dtype = np.dtype(_check.choice(np.dtype(dtype), "dtype", list(LIMITS)))
    width = _check.integer(width, "width", 1, WIDEST)
    return np.zeros((depth, width), dtype), hashing.seeds(depth, seed), np.zeros(1, total_type(dtype))


def _add(kernels, table, seeds, keys, counts, signed, conservative):
    (depth, width), n = table.shape, keys.size
    threads = 1 if n < _FEW or kernels is not _kernels else _threads.available()
    if conservative:
        kernels.add_conservative(table, seeds, keys, counts)
    elif threads == 1:
        kernels.add(table, seeds, keys, counts, signed)
    else:
        # Sums of floats depend on their order, so a row of floats is never shared between threads.
        split = table.dtype.kind == "i" and n >= 4 * width
        bounds = [depth * n * t // threads if split else depth * t // threads * n for t in range(threads + 1)]
        spares = np.zeros((threads, width if split else 0), table.dtype)  # (threads, width)
        _kernels.add_split(table, seeds, keys, counts, signed, np.array(bounds), spares)
        for first, last, spare in zip(bounds[:-1], bounds[1:], spares):
            if first % n and first < last:
                table[first // n] += spare


def _whole(reach, found):
    """A distance as a whole number where counts are whole ones: what is further off by less than 1 is not further off."""
    return math.floor(reach) if found.dtype.kind == "i" else reach
