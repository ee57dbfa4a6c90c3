"""Sparse rows (CSR as three arrays), lookups in a table of vectors and their transpose, feature hashing of columns."""
from typing import NamedTuple

import numpy as np

from . import _check


class Rows(NamedTuple):
    """Sparse matrix in CSR form: row i holds `values[indptr[i]:indptr[i+1]]` at the columns `indices[...]`.

    indptr : int64 (n + 1,).  indices : int32 (nnz,).  values : float32 (nnz,).  width : int, number of columns.
    """
    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    width: int
