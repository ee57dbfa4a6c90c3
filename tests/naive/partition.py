"""Learned buckets with lists: the specification."""
from naive import decode


def affinities(logits, rows_of, how, softmax=False):
    """totals[label][bucket] of one repetition: sum over the label's rows of what `how` makes of the logits of a row."""
    values = [decode.transformed(row, how, softmax) for row in logits]
    return [[sum(values[i][b] for i in rows) for b in range(len(logits[0]))] for rows in rows_of]


def best(totals, choices):
    """The best buckets of every label, ties to the smaller bucket."""
    return [sorted(range(len(own)), key=lambda b: (-own[b], b))[:choices] for own in totals]


def assign(before, best, counts, buckets, load):
    """Buckets of the labels in one repetition by the power of k choices; `before` keeps labels without rows."""
    loads, out = [0] * buckets, list(before)
    for label, count in enumerate(counts):
        if count == 0 and load == "labels":
            loads[before[label]] += 1
    for label in sorted(range(len(counts)), key=lambda label: (-counts[label], label)):
        if counts[label]:
            out[label] = min(best[label], key=lambda b: (loads[b], best[label].index(b)))
            loads[out[label]] += 1 if load == "labels" else counts[label]
    return out
