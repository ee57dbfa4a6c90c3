"""Sparse rows (CSR as three arrays), lookups in a table of vectors and their transpose, feature hashing of columns."""
from itertools import chain
from typing import NamedTuple

import numpy as np

from . import _check, _place, _there, _threads, hashing
from ._cpu import sparse as _kernels

_LIMIT = 2**31 - 1
_SERIAL = 1 << 15  # multiply-adds below which a second thread costs more than it saves


class Rows(NamedTuple):
    """Sparse matrix in CSR form: row i holds `values[indptr[i]:indptr[i+1]]` at the columns `indices[...]`.

    indptr : int64 (n + 1,).  indices : int32 (nnz,).  values : float32 (nnz,).  width : int, number of columns.
    """
    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    width: int


def rows(x, width=None, *, check=True, name="x", device=False):
    """Sparse rows of a matrix or of lists of labels, columns ascending and distinct within a row.

    x : scipy sparse matrix of any format (repeated entries are summed, stored zeros dropped), dense array (n, width) of numbers (zeros
        dropped), list with one list of column numbers per row (values 1), or Rows (stored zeros kept; arrays shared where nothing changes).
    width : number of columns; None takes the columns of x, for lists the largest number + 1.
    check : look at every entry. With False the entries of Rows and of scipy matrices are trusted, and Rows come back as they are.
    name : how error messages call x.  device : whether Rows may be on a device, where ascending columns are trusted.  Returns Rows.
    Raises TypeError for other types, ValueError for NaN and infinity (also after conversion to float32), columns outside the width, row
    starts that do not ascend, and a column twice in one row of Rows or lists.
    Example:
        >>> rows([[7, 3], [], [1]])
        Rows(indptr=array([0, 2, 2, 3]), indices=array([3, 7, 1], dtype=int32), values=array([1., 1., 1.], dtype=float32), width=8)
    """
    width = width if width is None else _check.integer(width, "width", 0, _LIMIT)
    if device and isinstance(x, Rows) and _place.on_device(x.indices):
        return _there.rows(x if width is None else x._replace(width=width), name, check)
    if isinstance(x, Rows):
        indptr, indices, values, own = x
    elif hasattr(x, "tocsr"):
        indptr, indices, values, own = _from_scipy(x, name)
    elif isinstance(x, np.ndarray):
        return _from_dense(x, width, check, name)
    elif isinstance(x, (list, tuple)):
        indptr, indices, values, own = _from_lists(x, width, name)
    else:
        raise TypeError(f"{name} must be a scipy sparse matrix, a NumPy array, Rows or a list of label lists, not {type(x).__name__}")
    found = _arrays(Rows(indptr, indices, values, own if width is None else width), name, check, scan=False)
    if isinstance(x, Rows) and not check:
        return found
    sums, flags = hasattr(x, "tocsr"), _scan(found, name, check)
    if flags & 3 or (sums and flags & 4):
        found, twice = _merge(found.indptr, found.indices.copy(), found.values.copy(), found.width, keep_zeros=not sums)
        if not sums and (twice >= 0).any():
            row = int(np.argmax(twice >= 0))
            raise ValueError(f"{name} row {row} holds column {twice[row]} twice")
        if check and sums:
            _scan(found, name)  # the sum of two finite values may be infinite
    return found


def to_scipy(x):
    """The rows as a scipy CSR array that shares their arrays.  x : Rows.  Returns scipy.sparse.csr_array, float32 (n, width)."""
    from scipy.sparse import csr_array  # here, so that importing the package stays light
    x = _arrays(x, check=False)
    return csr_array((x.values, x.indices, x.indptr), shape=(x.indptr.size - 1, x.width))


def take(x, order, *, check=True):
    """The rows with the given numbers, in that order; a number may come more than once.

    x : Rows.  order : integers (m,) in [0, n).  check : look at the numbers.  Returns Rows (m rows).
    Example:
        >>> take(rows([[0], [1, 2], []]), [1, 1]).indices
        array([1, 2, 1, 2], dtype=int32)
    """
    x = _arrays(x, check=False)
    order = _check.array(order, "order", np.int64, 1)
    n = x.indptr.size - 1
    if check and order.size and (order.min() < 0 or order.max() >= n):
        raise ValueError(f"order must hold numbers of the {n} rows of x, not {order[(order < 0) | (order >= n)][0]}")
    starts, lengths = x.indptr[order], x.indptr[order + 1] - x.indptr[order]
    if check and order.size and (lengths.min() < 0 or starts.min() < 0 or (starts + lengths).max() > x.indices.size):
        raise ValueError("x.indptr must not descend")
    return _copy(x, order, lengths)


def stack(parts):
    """The rows of several Rows of one width, one after the other.  parts : list of Rows, at least one.  Returns Rows."""
    parts = [_arrays(x, f"parts[{i}]", False) for i, x in enumerate(parts)]
    if len({x.width for x in parts}) != 1:
        raise ValueError(f"parts must be Rows of one width, not {[x.width for x in parts]}")
    starts = np.cumsum([0] + [x.indices.size for x in parts])
    indptr = np.concatenate([np.zeros(1, np.int64)] + [x.indptr[1:] + start for x, start in zip(parts, starts)])
    return Rows(indptr, np.concatenate([x.indices for x in parts]), np.concatenate([x.values for x in parts]), parts[0].width)


def normalize(x, *, check=True):
    """Rows divided by their Euclidean length; rows of zeros stay.  x : Rows.  Returns Rows that share the columns of x.

    Example:
        >>> normalize(rows(np.array([[3.0, 4.0], [0.0, 0.0]]))).values
        array([0.6, 0.8], dtype=float32)
    """
    x = _arrays(x, check=check)
    values = np.empty_like(x.values)
    _kernels.normalize(x.indptr, x.values, values)
    return x._replace(values=values)


def scale_columns(x, weights, *, check=True):
    """Every value times the weight of its column, for example an inverse document frequency.

    x : Rows.  weights : floats (width,), finite.  check : look at the columns of x and the weights.
    Returns Rows that share the columns of x; a weight of zero leaves stored zeros.
    """
    x = _arrays(x, check=check)
    weights = _check.array(weights, "weights", np.float32, 1, kinds="iuf")
    if weights.size != x.width:
        raise ValueError(f"weights must have one number for each of the {x.width} columns, not {weights.size}")
    if check and not np.isfinite(weights).all():
        raise ValueError(f"weights must be finite, not {weights[~np.isfinite(weights)][0]} at {int(np.argmin(np.isfinite(weights)))}")
    return x._replace(values=x.values * weights[x.indices])


def column_counts(x, *, check=True):
    """Number of stored entries of each column, whatever their values.  x : Rows.  Returns int64 (width,).

    Example:
        >>> column_counts(rows([[0, 2], [2]]))
        array([1, 0, 2])
    """
    return np.bincount(_arrays(x, check=check).indices, minlength=x.width).astype(np.int64, copy=False)


def transpose(x, *, check=True):
    """Columns as rows, each with the numbers of its rows ascending.

    x : Rows (n rows, n below 2**31).  check : look at every entry.  Returns Rows (width rows) of width n.
    Example:
        >>> transpose(rows([[0, 2], [2]])).indices
        array([0, 0, 1], dtype=int32)
    """
    x = _arrays(x, check=check)
    indptr = _starts(column_counts(x, check=False))
    indices, values = np.empty_like(x.indices), np.empty_like(x.values)
    _kernels.transpose(x.indptr, x.indices, x.values, indptr[:-1].copy(), indices, values)
    return Rows(indptr, indices, values, _check.integer(x.indptr.size - 1, "the number of rows of x", 0, _LIMIT))


def gather(x, table, *, check=True):
    """Sum of the table rows of each sparse row, times the values: x as a matrix times the table.

    x : Rows (n rows).  table : float32 or float64 (x.width, d).  check : look at the columns of x.
    Returns table.dtype (n, d), on the device if x and table (float32) are.
    Example:
        >>> gather(rows([[0, 2], []]), np.array([[1, 2], [3, 4], [5, 6]], np.float32))
        array([[6., 8.],
               [0., 0.]], dtype=float32)
    """
    x, table = _arrays(x, check=check, device=True), _table(table, x)
    out = _place.empty((x.indptr.size - 1, table.shape[1]), table.dtype, table)  # (n, d)
    _place.kernels(_kernels, x=x.indices, table=table).gather(x.indptr, x.indices, x.values, table, out)
    return out


def scatter(x, grads, table, *, check=True):
    """Add value times gradient to the table row of every entry, in place: the transpose of `gather`, the same bits for any thread count.

    x : Rows (n rows).  grads : floats (n, d).  table : float32 or float64 (x.width, d), C-contiguous.  check : look at the columns of x.
    """
    x, found = _arrays(x, check=check, device=True), _table(table, x)
    kernels = _place.kernels(_kernels, x=x.indices, table=found, grads=grads)
    if kernels is _kernels and (found is not table or not table.flags.writeable):
        raise ValueError("table must be a writable C-contiguous array in native byte order, because it is changed in place")
    grads = _check.array(grads, "grads", found.dtype, 2, kinds="f", device=True)
    if grads.shape != (x.indptr.size - 1, found.shape[1]):
        raise ValueError(f"grads must have shape {(x.indptr.size - 1, found.shape[1])}, not {grads.shape}")
    threads = 1 if x.indices.size * found.shape[1] < _SERIAL else _threads.available()
    kernels.scatter(x.indptr, x.indices, x.values, grads, found, 1 << (threads - 1).bit_length())


def scatter_rows(x, grads, *, check=True):
    """The rows of the table that `scatter` would change, with what it would add to them.

    x : Rows (n rows).  grads : float32 or float64 (n, d).  check : look at the columns of x.
    Returns (int64 (k,) columns that occur in x, ascending; grads.dtype (k, d)).
    Example:
        >>> scatter_rows(rows([[5, 9], [9]]), np.array([[1.0], [2.0]]))
        (array([5, 9]), array([[1.],
               [3.]]))
    """
    x = _arrays(x, check=check)
    grads = _check.array(grads, "grads", np.result_type(np.asarray(grads), np.float32), 2, kinds="f")
    columns, places = np.unique(x.indices, return_inverse=True)
    sums = np.zeros((columns.size, grads.shape[1]), grads.dtype)
    scatter(Rows(x.indptr, places.astype(np.int32), x.values, columns.size), grads, sums, check=False)
    return columns.astype(np.int64), sums


def hash_columns(x, width, *, seed, signed=True, check=True):
    """Rows over hashed columns: column j goes to a cell of its hash, with the sign of the same hash if `signed`.

    x : Rows.  width : number of cells, 1 to 2**31 - 1.  seed : int.  signed : random signs make inner products unbiased; without them
    non-negative values stay non-negative.  check : look at every entry.
    Returns Rows of that width: columns ascending, values of colliding columns summed (in float64, in the order of x), sums of zero dropped.
    Source: Weinberger et al. 2009, section 2.
    Example:
        >>> hash_columns(rows([[0, 1, 2]]), 1000, seed=0).indices
        array([197, 579, 597], dtype=int32)
    """
    return hash_entries(*_arrays(x, check=check)[:3], width, seed=seed, signed=signed)


def hash_entries(indptr, keys, values, width, *, seed, signed=True):
    """Rows of hashed keys, as `hash_columns` makes them.  indptr : int64 (n + 1,).  keys : int32 or uint64 (nnz,).  values : float32."""
    width = _check.integer(width, "width", 1, _LIMIT)
    indices, out = np.empty(keys.size, np.int32), np.empty(keys.size, np.float32)
    key = hashing.seeds(1, seed)[0]  # under two small seeds themselves one function would be the other with keys swapped in pairs
    _kernels.hash_keys(keys, values, key, width, bool(signed), indices, out)
    return _merge(indptr, indices, out, width)[0]


def coalesce(ids, grads):
    """Distinct ids with the sums of their gradients, added in the order in which they appear.

    ids : integers (n,).  grads : float32 or float64 (n, d).  On a device both, and grads float32.
    Returns (int64 (k,) distinct and ascending, grads.dtype (k, d)).
    Example:
        >>> coalesce([7, 2, 7], np.array([[1.0], [2.0], [3.0]], np.float32))
        (array([2, 7]), array([[2.],
               [4.]], dtype=float32))
    """
    if _place.on_device(ids) or _place.on_device(grads):
        return _there.coalesced(ids, grads)
    ids = _check.array(ids, "ids", np.int64, 1)
    grads = _check.array(grads, "grads", np.result_type(np.asarray(grads), np.float32), 2, kinds="f")
    if grads.shape[0] != ids.size:
        raise ValueError(f"grads must have one row for each of the {ids.size} ids, not {grads.shape[0]}")
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if ids.size else np.empty(0, np.int64)
    out = np.empty((starts.size, grads.shape[1]), grads.dtype)  # (k, d)
    _kernels.segment_sums(order, np.append(starts, ids.size), grads, out)
    return ordered[starts], out


def _arrays(x, name="x", check=True, scan=True, device=False):
    """Rows with arrays of the promised types; with `check` safe for every kernel, except that the caller does what `scan` leaves out."""
    if not isinstance(x, Rows):
        raise TypeError(f"{name} must be Rows (see sketchxc.sparse.rows), not {type(x).__name__}")
    if device and _place.on_device(x.indices):
        return _there.rows(x, name, check)
    width = _check.integer(x.width, f"{name}.width", 0, _LIMIT)
    indptr = _check.array(x.indptr, f"{name}.indptr", np.int64, 1)
    with np.errstate(over="ignore"):
        values = _check.array(x.values, f"{name}.values", np.float32, 1, kinds="biuf")
    indices = np.asarray(x.indices)
    if values.size != indices.size or indptr.size == 0 or indptr[0] != 0 or indptr[-1] != values.size:
        raise ValueError(f"{name}.indptr must run from 0 to the number of values, and there must be a column for each of the {values.size} "
                         f"values, not {indices.size} columns and {f'{indptr[0]} to {indptr[-1]}' if indptr.size else 'no row starts'}")
    if check and (indptr[1:] < indptr[:-1]).any():
        raise ValueError(f"{name}.indptr must not descend, as it does after row {int(np.argmax(indptr[1:] < indptr[:-1]))}")
    if check and indices.dtype != np.int32 and indices.dtype.kind in "iu" and ((indices < 0) | (indices >= width)).any():
        place = int(np.argmax((indices < 0) | (indices >= width)))  # int32 would wrap
        raise _outside(name, int(np.searchsorted(indptr, place, "right")) - 1, indices[place], width)
    x = Rows(indptr, _check.array(indices, f"{name}.indices", np.int32, 1), values, width)
    if check and scan:
        _scan(x, name)
    return x


def _scan(x, name, check=True):
    """Raise for the first entry that is not finite or outside the width; returns the flags of `_kernels.scan`."""
    found = np.zeros((min(256, x.indptr.size - 1), 4), np.int64)
    _kernels.scan(x.indptr, x.indices, x.values, x.width, found)
    for code, row, place, _ in found[found[:, 0] > 0][:1] if check else ():
        if code == 2:
            raise _outside(name, row, x.indices[place], x.width)
        raise ValueError(f"{name} row {row}, column {x.indices[place]}: the value must be finite in float32, not {x.values[place]}")
    return int(np.bitwise_or.reduce(found[:, 3]))


def _outside(name, row, column, width):
    return ValueError(f"{name} row {row} holds column {column}, which is outside the width {width}")


def _starts(lengths):
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _copy(x, order, lengths):
    """Row `order[i]` of x, its first `lengths[i]` entries, as row i."""
    indptr = _starts(lengths)
    indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    _kernels.copy_rows(x.indptr, x.indices, x.values, order, indptr, indices, values)
    return Rows(indptr, indices, values, x.width)


def _merge(indptr, indices, values, width, keep_zeros=False):
    """Rows from entries in any order, repeated ones summed; uses up the arrays. Also the first repeated column of each row, or -1."""
    n = indptr.size - 1
    lengths, twice = np.empty(n, np.int64), np.empty(n, np.int64)
    _kernels.arrange(indptr, indices, values, keep_zeros, lengths, twice)
    x = Rows(indptr, indices, values, width)
    return (x if lengths.sum() == indices.size else _copy(x, np.arange(n), lengths)), twice


def _from_scipy(x, name):
    if len(x.shape) != 2:
        raise ValueError(f"{name} must have 2 axes, not shape {x.shape}")
    csr = x.tocsr()  # which may keep spare room behind the last entry
    return csr.indptr, csr.indices[:int(csr.indptr[-1])], csr.data[:int(csr.indptr[-1])], csr.shape[1]


def _from_dense(x, width, check, name):
    with np.errstate(over="ignore"):
        x = _check.array(x, name, np.float32, 2, kinds="biuf")
    lengths = np.empty(x.shape[0], np.int64)
    _kernels.dense_lengths(x, lengths)
    indptr = _starts(lengths)
    indices, values = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    _kernels.dense_entries(x, indptr, indices, values)
    return _arrays(Rows(indptr, indices, values, x.shape[1] if width is None else width), name, check)


def _from_lists(x, width, name):
    try:
        indptr = _starts(np.fromiter((len(row) for row in x), np.int64, len(x)))
        flat = list(chain.from_iterable(x))
    except TypeError:
        raise TypeError(f"{name} must be a list with one list of label numbers per row; one of its items is not a list") from None
    indices = np.asarray(flat) if flat else np.empty(0, np.int64)
    if indices.dtype.kind not in "iu" or indices.ndim != 1:
        raise TypeError(f"{name} must hold lists of integers, not of {indices.dtype} (give a dense matrix as a NumPy array)")
    return indptr, indices, np.ones(indices.size, np.float32), int(indices.max(initial=-1)) + 1 if width is None else width


def _table(table, x):
    if _place.on_device(table):
        return _there.table(table, x.width)
    if not isinstance(table, np.ndarray) or table.dtype not in (np.float32, np.float64):
        raise TypeError(f"table must be a float32 or float64 array, not {getattr(table, 'dtype', type(table).__name__)}")
    if table.ndim != 2 or table.shape[0] != x.width:
        raise ValueError(f"table must have shape ({x.width}, d), one row for each column of x, not {table.shape}")
    return table if table.flags.c_contiguous and table.dtype.isnative else np.ascontiguousarray(table, table.dtype.newbyteorder("="))
