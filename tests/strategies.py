"""Hypothesis strategies that several test modules share."""
import numpy as np
from hypothesis import strategies as st

SEEDS = st.integers(-(2**63), 2**64 - 1)
SINGLES = st.floats(-1e3, 1e3, width=32)


@st.composite
def pairs(draw, max_rows=8, max_width=12, distinct=True, values=SINGLES):
    """(list of rows, each a list of (column, value) in any order; width). Rows and even the matrix may be empty."""
    width = draw(st.integers(1, max_width))
    entry = st.tuples(st.integers(0, width - 1), values)
    row = st.lists(entry, max_size=max_width, unique_by=(lambda e: e[0]) if distinct else None)
    return draw(st.lists(row, max_size=max_rows)), width


@st.composite
def labels_and_ranking(draw, max_rows=6, max_labels=9, min_rows=1):
    """(list of label lists, ranking int32 (n, k) with -1 for none, number of labels): distinct labels, in any order."""
    n_labels = draw(st.integers(1, max_labels))
    n, k = draw(st.integers(min_rows, max_rows)), draw(st.integers(1, 6))
    some = st.lists(st.integers(0, n_labels - 1), unique=True)
    labels = draw(st.lists(some, min_size=n, max_size=n))
    ranked = np.full((n, k), -1, np.int32)
    for i in range(n):
        line = draw(st.lists(st.integers(0, n_labels - 1), unique=True, max_size=k))
        places = sorted(draw(st.permutations(range(k)))[:len(line)])  # none may come before a label
        ranked[i, places] = line
    return labels, ranked, n_labels
