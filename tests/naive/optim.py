"""Update rules of one number, as the papers write them: the specification."""
import math


def moments(rule, constants, g, m, v):
    """The two moments after a step with gradient g; constants are (lr, b1, b2, eps, decay, l1)."""
    _, b1, b2, *_ = constants
    if rule in ("momentum", "nesterov"):
        return b1 * m + g, v
    if rule == "adagrad":
        return m, v + g * g
    if rule in ("adam", "adam_hat"):
        return b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    if rule in ("rmsprop", "rmsprop_corrected"):
        return m, b2 * v + (1 - b2) * g * g
    return m, v


def move(rule, constants, t, w, g, m, v):
    """Number w after step t (counted from 1) with gradient g, which has made the moments m and v."""
    lr, b1, b2, eps, decay, l1 = constants
    w -= lr * decay * w
    if rule == "momentum":
        w -= lr * m
    elif rule == "nesterov":
        w -= lr * (g + b1 * m)
    elif rule == "adagrad":
        w -= lr * g / (math.sqrt(v) + eps)
    elif rule == "adam":
        w -= lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps)
    elif rule == "adam_hat":
        w -= lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (math.sqrt(v) + eps)
    elif rule in ("rmsprop", "rmsprop_corrected"):
        w -= lr * g / (math.sqrt(v if rule == "rmsprop" else v / (1 - b2**t)) + eps)
    else:
        w -= lr * g
    return math.copysign(max(abs(w) - lr * l1, 0.0), w)


def step(rule, constants, t, w, g, m, v):
    """Number w and its moments after step t (counted from 1) with gradient g."""
    m, v = moments(rule, constants, g, m, v)
    return move(rule, constants, t, w, g, m, v), m, v


def rates(kind, lr, steps, last=0.0, hold=1):
    """Rate of every step."""
    if kind == "constant":
        return [lr] * steps
    if kind == "linear":
        return [lr + (last - lr) * i / steps for i in range(steps)]
    if kind == "cosine":
        return [last + (lr - last) * (1 + math.cos(math.pi * i / steps)) / 2 for i in range(steps)]
    return [lr if t <= hold else lr * math.sqrt(hold / t) for t in range(1, steps + 1)]
