"""One-vs-all: a linear classifier with a column of weights for every label. It is MACH with one repetition and the identity lookup."""
from . import lookup, mach

bucket_scores = mach.bucket_scores
slots = mach.slots
top_k = mach.top_k
train = mach.train


def init(n_features, n_labels, *, loss="logistic"):
    """Untrained one-vs-all model, to be trained and read by the functions of `mach`.

    n_features, n_labels : int.  loss : "logistic" for any number of labels a row, "softmax" (multinomial) for one.
    Returns Mach with weights float32 (n_features, n_labels)."""
    return mach.init(n_features, lookup.identity(n_labels), loss=loss)
