"""Update rules of one number, as the papers write them: the specification."""
import math


def step(rule, constants, t, w, g, m, v):
    """Number w and its moments after step t (counted from 1) with gradient g; constants are (lr, b1, b2, eps, decay, l1)."""
    lr, b1, b2, eps, decay, l1 = constants
    w -= lr * decay * w
    if rule in ("momentum", "nesterov"):
        m = b1 * m + g
        w -= lr * (m if rule == "momentum" else g + b1 * m)
    elif rule == "adagrad":
        v = v + g * g
        w -= lr * g / (math.sqrt(v) + eps)
    elif rule in ("adam", "adam_hat"):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        if rule == "adam":
            w -= lr * (m / (1 - b1**t)) / (math.sqrt(v / (1 - b2**t)) + eps)
        else:
            w -= lr * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (math.sqrt(v) + eps)
    elif rule in ("rmsprop", "rmsprop_corrected"):
        v = b2 * v + (1 - b2) * g * g
        w -= lr * g / (math.sqrt(v if rule == "rmsprop" else v / (1 - b2**t)) + eps)
    else:
        w -= lr * g
    return math.copysign(max(abs(w) - lr * l1, 0.0), w), m, v


def rates(kind, lr, steps, last=0.0, hold=1):
    """Rate of every step."""
    if kind == "constant":
        return [lr] * steps
    if kind == "linear":
        return [lr + (last - lr) * i / steps for i in range(steps)]
    if kind == "cosine":
        return [last + (lr - last) * (1 + math.cos(math.pi * i / steps)) / 2 for i in range(steps)]
    return [lr if t <= hold else lr * math.sqrt(hold / t) for t in range(1, steps + 1)]
