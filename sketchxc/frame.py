"""Columns of a pandas DataFrame as hashed sparse rows, or as keys of categories."""
from collections import Counter

import numpy as np

from . import hashing
from .sparse import hash_entries


def frame_rows(frame, columns=None, *, width, seed, numeric=None, signed=True):
    """Hashed rows of a table: a category gives one feature, keyed by column name and value; a number one feature, keyed by column name.

    frame : pandas DataFrame (n rows); the index is ignored, the order of the columns does not matter.
    columns : names of the columns to use, each once; None uses all.
    width : number of cells, 1 to 2**31 - 1.  seed : int.  signed : random signs, see `sparse.hash_columns`.
    numeric : names of the columns that hold numbers, with the number as the value of the feature; None takes those of an integer or
        float type. Every other column holds categories (value 1) of text, numbers or truth values, told apart by their text: 3, 3.0 and
        "3" are one category (pandas turns integers into floats where one is missing), True is "True".
    Missing values and the number 0 give no feature. Cells that collide are summed, sums of zero dropped.
    Returns Rows (n rows) of that width. The features of a column are the same in every frame, whatever its other columns and rows.
    Raises TypeError for other types of frame, names that are not str and columns of other types (dates, lists); ValueError for names that
    are missing or come twice and for infinite numbers.
    Source: Weinberger et al. 2009 (feature hashing).
    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"colour": ["red", None], "age": [30.0, 4.5]})
        >>> frame_rows(frame, width=1000, seed=0, signed=False)[:3]
        (array([0, 2, 3]), array([553, 673, 553], dtype=int32), array([30. ,  1. ,  4.5], dtype=float32))
    """
    import pandas as pd
    names = _used(frame, columns)
    numbers = None if numeric is None else set(_names(numeric, "numeric", frame))
    if numbers is not None and not numbers <= set(names):
        raise ValueError(f"numeric must be among the columns in use, not {min(numbers - set(names))!r}")
    shape = len(frame), len(names)
    keys, values = np.zeros(shape, np.uint64), np.zeros(shape, np.float32)  # a value of 0 is no feature
    for j, name in enumerate(sorted(names)):  # sorted, because the order decides how a sum is rounded
        column = frame[name]
        number = name in numbers if numbers is not None else (pd.api.types.is_integer_dtype(column) or pd.api.types.is_float_dtype(column))
        key = hashing.hash_strings([name])[0]
        if number:
            keys[:, j], values[:, j] = key, _numbers(column, name)
        else:
            keys[:, j], values[:, j] = _categories(column, name, int(key))
    used = values != 0
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.count_nonzero(used, axis=1), dtype=np.int64)])
    return hash_entries(indptr, keys[used], values[used], width, seed=seed, signed=signed)


def frame_keys(frame, columns=None):
    """Key of the category in every cell of a table, by column name and value; for hashed and other embeddings.

    frame, columns : as in `frame_rows`; every column holds categories, told apart by their text, and 0 is the key of a missing one.
    Returns (uint64 (n, F), list of the F column names in their order). A category has the same key in every frame.
    Raises what `frame_rows` raises.
    Example:
        >>> import pandas as pd
        >>> keys, names = frame_keys(pd.DataFrame({"colour": ["red", None], "age": [30, 4]}))
        >>> names, bool(keys[1, 0] == 0), bool((keys[0] != 0).all())
        (['colour', 'age'], True, True)
    """
    names = _used(frame, columns)
    keys = np.empty((len(frame), len(names)), np.uint64)
    for j, (name, key) in enumerate(zip(names, hashing.hash_strings(names))):
        keys[:, j] = _categories(frame[name], name, int(key))[0]
    return keys, names


def _used(frame, columns):
    """Names of the columns in use, all of them for None."""
    import pandas as pd
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a pandas DataFrame, not {type(frame).__name__}")
    return _names(frame.columns if columns is None else columns, "columns", frame)


def _names(names, argument, frame):
    """Column names as a list of str, each once and in the frame once."""
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{argument} must be names (str), not {name!r}")
    named, present = Counter(names), Counter(frame.columns)
    for name in names:
        if named[name] > 1 or present[name] != 1:
            raise ValueError(f"{argument} must name columns of frame, each once: it names {name!r} {named[name]} times, "
                             f"and frame has it {present[name]} times")
    return names


def _numbers(column, name):
    """float32 (n,) with 0 where a value is missing."""
    try:
        if column.dtype.kind in "mMc":  # dates have a number inside that depends on their unit
            raise TypeError
        found = column.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise TypeError(f"frame column {name!r} must hold numbers, not {column.dtype}") from None
    with np.errstate(over="ignore"):
        found = np.where(np.isnan(found), 0.0, found).astype(np.float32)
    if not np.isfinite(found).all():
        row = int(np.argmin(np.isfinite(found)))
        raise ValueError(f"frame column {name!r}, row {row}: the number must be finite in float32, not {column.iloc[row]}")
    return found


def _categories(column, name, key):
    """Key of the category of each row, 0 where it is missing, and whether there is one."""
    import pandas as pd
    if column.dtype == object:  # by text first: 1, True and 1.0 are equal and would share a number
        column = pd.Series([None if _missing(value, pd) else _text(value, name) for value in column], dtype=object)
    codes, found = pd.factorize(column)
    keys = hashing.hash_strings([_text(value, name) for value in found], seed=key)
    return np.append(keys, np.uint64(0))[codes], codes >= 0


def _missing(value, pd):
    return pd.api.types.is_scalar(value) and pd.isna(value)


def _text(value, name):
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    if not isinstance(value, (str, bool, int, float, np.bool_, np.integer, np.floating)):
        raise TypeError(f"frame column {name!r} must hold text, numbers or truth values, not {type(value).__name__}")
    return str(value)
