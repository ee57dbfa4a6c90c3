"""Cases of the loops of votes."""
import numpy as np

from sketchxc import sparse, votes

from . import Case
from .sparse import csr

# Counting and weighting, on the host; steps of its loops.
PARTS = {"count_feature", "count_lengths", "count", "merge_feature", "merge", "weigh", "trim", "largest", "quantize", "worse", "sink",
         "select"}
SMALL = {"SCRATCH": 400}  # two blocks for all rows


def trained(rng, n_labels=23, even=False):
    """Votes of 11 features; `even` ones have weights of few values, so that scores tie."""
    x, labels = sparse.Rows(*csr(rng, 60, 11), 11), sparse.Rows(*csr(rng, 60, n_labels), n_labels)
    made = votes.votes(votes.count(x, labels), expected=0.0, keep=9)
    if even:
        made = made._replace(weights=np.full_like(made.weights, 64), scales=np.ones_like(made.scales))
    return made


def asked(rng, k, power=0.5, even=False, n=4):
    made, (indptr, indices, values) = trained(rng, even=even), csr(rng, 9, 11)
    values = np.ones_like(values) if even else values
    return (made.starts, made.labels, made.weights, made.scales.astype(np.float32), made.n_labels, power, indptr[:n + 1], indices, values,
            np.full((n, k), -7, np.int32), np.full((n, k), np.nan, np.float32))


def places(rng):
    """Rankings of all of 5 labels, -1 at their end."""
    labels = np.array([rng.permutation(5) for _ in range(9)], np.int32)
    labels[np.arange(5) >= rng.integers(0, 6, 9)[:, None]] = -1
    return labels, np.zeros((9, 5), np.int8)


def completed(labels, marks):
    labels[...], _ = votes.completed(labels, np.zeros(labels.shape, np.float32), 5)
    marks[...] = 1
    for row, own in zip(marks, completed.before):
        row[...] = np.isin(np.arange(5), own)


def completing(rng):
    labels, marks = places(rng)
    completed.before = labels.copy()
    return labels, marks


CASES = [
    *(Case("candidates", lambda rng, k=k, power=power: asked(rng, k, power), rtol=1e-6) for k, power in ((1, 0.5), (3, 1.0), (23, 0.5))),
    *(Case("candidates", lambda rng, k=k: asked(rng, k, even=True)) for k in (2, 7)),
    Case("candidates", lambda rng: asked(rng, 2, n=0)),
    Case("complete_rows", completing, reference=completed),
]
