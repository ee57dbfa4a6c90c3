"""Measures of rankings in plain Python: `ranked` and `labels` are lists of lists of label numbers, -1 in a ranking is no label."""
import math


def mean(values):
    return sum(values) / len(values) if values else math.nan


def hits(line, labels, k):
    return [label in labels for label in line[:k]]


def precision_at(ranked, labels, k):
    return mean([sum(hits(line, true, k)) / k for line, true in zip(ranked, labels)])


def capped_precision_at(ranked, labels, k):
    return mean([sum(hits(line, true, k)) / min(k, len(true)) for line, true in zip(ranked, labels) if true])


def recall_at(ranked, labels, k):
    return mean([sum(hits(line, true, k)) / len(true) for line, true in zip(ranked, labels) if true])


def gain(worths):
    return sum(worth / math.log2(place + 2) for place, worth in enumerate(worths))


def ndcg_at(ranked, labels, k):
    return mean([gain(hits(line, true, k)) / gain([1] * min(k, len(true))) for line, true in zip(ranked, labels) if true])


def reciprocal_rank_at(ranked, labels, k):
    return mean([max([hit / (place + 1) for place, hit in enumerate(hits(line, true, k))]) for line, true in zip(ranked, labels) if true])


def coverage_at(ranked, labels, k):
    found = {label for line, true in zip(ranked, labels) for label in line[:k] if label in true}
    occurring = {label for true in labels for label in true}
    return len(found) / len(occurring) if occurring else math.nan


def propensities(label_counts, n, a, b):
    c = (math.log(n) - 1) * (b + 1) ** a
    return [1 / (1 + c * (count + b) ** -a) for count in label_counts]


def worths(line, true, k, propensity):
    return [1 / propensity[label] if label in true else 0.0 for label in line[:k]]


def best(true, propensity):
    return sorted(true, key=lambda label: propensity[label])


def scored_precision_at(ranked, labels, k, propensity):
    whole = sum(sum(worths(best(true, propensity), true, k, propensity)) for true in labels)
    return sum(sum(worths(line, true, k, propensity)) for line, true in zip(ranked, labels)) / whole if whole else math.nan


def scored_ndcg_at(ranked, labels, k, propensity):
    part = whole = 0.0
    for line, true in zip(ranked, labels):
        if true:
            ideal = gain([1] * min(k, len(true)))
            part += gain(worths(line, true, k, propensity)) / ideal
            whole += gain(worths(best(true, propensity), true, k, propensity)) / ideal
    return part / whole if whole else math.nan
