"""Label lookups in plain Python integers: the specification."""
from fractions import Fraction

from naive import hashing


def label_buckets(n_labels, reps, buckets, seed):
    return hashing.buckets(range(n_labels), hashing.seeds(reps, seed), buckets)


def shared(n_labels, probes, buckets, seed):
    """For every label the first `probes` distinct buckets that the stream of seeds gives."""
    draws = hashing.buckets(range(n_labels), hashing.seeds(60 * buckets, seed), buckets)
    return [list(dict.fromkeys(own))[:probes] for own in zip(*draws)]


def inverse(table, buckets):
    """Per repetition the list of every bucket's labels, ascending."""
    return [[[label for label, own in enumerate(row) if own == b] for b in range(buckets)] for row in table]


def needed_reps(n_labels, buckets, failure):
    """Smallest R >= 1 with buckets**R >= n_labels**2 / failure, in exact arithmetic."""
    reps = 1
    while Fraction(buckets)**reps < Fraction(n_labels)**2 / Fraction(failure):
        reps += 1
    return reps


def has_twins(table):
    """Whether some pair of labels shares all buckets."""
    columns = list(zip(*table))
    return len(set(columns)) < len(columns)
