"""Probabilities from label scores, with lists and double precision: the specification."""
import math


def separate(score, how):
    """Aggregated score of a label as its own probability."""
    if how == "log":
        return math.exp(score)
    return 1 / (1 + math.exp(-score)) if how == "logit" else min(1.0, max(0.0, score))


def shares(scores, how):
    """Aggregated scores of all labels as probabilities whose sum is 1."""
    parts = [math.exp(score - max(scores)) for score in scores] if how in ("log", "logit") else [max(0.0, score) for score in scores]
    return [part / sum(parts) for part in parts]
