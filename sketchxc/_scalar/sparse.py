"""Faults of sparse rows."""
import math

import numpy as np

from .._jit import scalar


@scalar
def faults(indptr, indices, values, width, first, last):
    """First fault and shape of the rows from `first` to below `last`: code (0 none, 1 value, 2 column), row, place, flags (1 not
    ascending, 2 a column twice in a row, side by side, 4 a stored zero)."""
    code, row, place, unsorted, twice, zero = 0, 0, 0, 0, 0, 0
    for i in range(first, last):
        for j in range(indptr[i], indptr[i + 1]):
            value = values[j]
            if code == 0:
                if indices[j] < 0 or indices[j] >= width:
                    code, row, place = 2, i, j
                elif math.isnan(value) or math.isinf(value):
                    code, row, place = 1, i, j
            if value == np.float32(0.0):
                zero = 4
            if j > indptr[i]:
                if indices[j] < indices[j - 1]:
                    unsorted = 1
                elif indices[j] == indices[j - 1]:
                    twice = 2
    return code, row, place, unsorted + twice + zero
