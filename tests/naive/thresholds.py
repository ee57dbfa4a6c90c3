"""Thresholds of largest F1 in plain Python: the specification. Entries are (score, hit)."""
import math


def threshold(entries, truths):
    """Largest score at which the entries with it or more have the largest F1; infinity if none is a hit."""
    best, found = 0.0, math.inf
    for bar in sorted({score for score, _ in entries}, reverse=True):
        taken = [hit for score, hit in entries if score >= bar]
        f1 = 2 * sum(taken) / (len(taken) + truths)
        if f1 > best:
            best, found = f1, bar
    return found
