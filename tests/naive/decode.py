"""Label scores from bucket scores, with lists and double precision: the specification."""
import math
import statistics


def transformed(row, how, softmax):
    """Logits of one repetition as what `how` aggregates."""
    if how == "logit":
        return [float(z) for z in row]
    if softmax:
        top = max(row)
        mass = sum(math.exp(z - top) for z in row)
        found = [math.exp(z - top) / mass for z in row]
        logs = [z - top - math.log(mass) for z in row]
    else:
        found = [1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z)) for z in row]
        logs = [min(z, 0.0) - math.log1p(math.exp(-abs(z))) for z in row]
    return logs if how == "log" else found


def label_scores(rows, table, how, softmax=False):
    """Score of every label from the logits of one example, rows[r][bucket], and table[r][label]."""
    rows = [transformed(row, how, softmax) for row in rows]
    reps, buckets = len(rows), len(rows[0])
    out = []
    for label in range(len(table[0])):
        own = [rows[r][table[r][label]] for r in range(reps)]
        if how == "min":
            out.append(min(own))
        elif how == "median":
            out.append(statistics.median(own))
        else:
            mean = sum(own) / reps
            out.append(buckets / (buckets - 1) * (mean - 1 / buckets) if how == "unbiased" and buckets > 1 else mean)
    return out


def candidates(rows, table, top, least, k):
    """Labels of the `top` best buckets (ties: the smaller bucket) of at least `least` repetitions, or of as many as give k labels."""
    best = [sorted(range(len(row)), key=lambda b: (-row[b], b))[:top] for row in rows]
    counts = [sum(table[r][label] in best[r] for r in range(len(rows))) for label in range(len(table[0]))]
    while least > 1 and sum(count >= least for count in counts) < k:
        least -= 1
    return [label for label, count in enumerate(counts) if count >= least]


def ranked(scores, labels, k):
    """The k best of `labels` (ties: the smaller label), filled with -1, and their scores, filled with -inf."""
    order = sorted(labels, key=lambda label: (-scores[label], label))[:k]
    missing = k - len(order)
    return order + [-1] * missing, [scores[label] for label in order] + [-math.inf] * missing
