"""Update rules of one number, as the papers write them: the specification."""
import math


def step(rule, constants, t, w, g, m, v):
    """Number w and its moments after step t (counted from 1) with gradient g; constants are (lr, b1, b2, eps)."""
    lr, b1, b2, eps = constants
    if rule == "momentum":
        m = b1 * m + g
        return w - lr * m, m, v
    if rule == "adagrad":
        v = v + g * g
        return w - lr * g / (math.sqrt(v) + eps), m, v
    if rule == "adam":
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        return w - lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps), m, v
    return w - lr * g, m, v
