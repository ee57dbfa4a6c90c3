"""The labels of one step of re-ranking."""
import numpy as np

from .._jit import scalar
from .hashing import bucket, mix64


@scalar
def draw(key, labels, start, positives, shortlist, i, near, far, n_labels, out):
    """Labels of one step: labels[start:start + positives], then `near` draws from shortlist[i] and `far` from all labels.

    Draws that are a label of the row, and empty places of the shortlist, are left out. Returns the number of labels in `out`."""
    count = positives
    for k in range(positives):
        out[k] = labels[start + k]
    for q in range(near + far):
        drawn = mix64(key ^ np.uint64(q))
        label = np.int64(shortlist[i, bucket(drawn, shortlist.shape[1])]) if q < near else bucket(drawn, n_labels)
        fresh = label >= 0
        for k in range(positives):
            fresh = fresh and out[k] != label
        if fresh:
            out[count] = label
            count += 1
    return count
