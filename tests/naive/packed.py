"""Packed linear MACH in plain Python: the specification."""


def pack_row(row):
    """Numbers of one byte and their scale: 127 steps up to the largest magnitude, halves away from zero."""
    top = max((abs(w) for w in row), default=0.0)
    if top == 0:
        return [0] * len(row), 0.0
    rounded = [int(abs(w) * 127 / top + 0.5) for w in row]
    return [n if w >= 0 else -n for n, w in zip(rounded, row)], top / 127


def bucket_scores(weights, scales, biases, row):
    """Score of every column for a row of (feature, value): bias plus the sum of value * scale * number."""
    return [bias + sum(value * scales[f] * weights[f][j] for f, value in row) for j, bias in enumerate(biases)]
