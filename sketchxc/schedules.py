"""Learning-rate schedules: functions that give the rates of a run as an array, one for each step, for `rates` of the trainers."""
import numpy as np

from . import _check


def constant(lr, steps):
    """The same rate in all steps.  lr : float.  steps : int.  Returns float64 (steps,)."""
    lr, steps = _rates(lr, steps)
    return np.full(steps, lr)


def linear(lr, steps, last=0.0):
    """Rates from lr in a straight line, which reaches `last` when all steps are done.  Returns float64 (steps,).

    Example:
        >>> linear(0.4, 4)
        array([0.4, 0.3, 0.2, 0.1])
    """
    lr, steps = _rates(lr, steps)
    return lr + (_check.real(last, "last", 0) - lr) * np.arange(steps) / max(1, steps)


def cosine(lr, steps, last=0.0):
    """Rates from lr along half a cosine wave, which reaches `last` when all steps are done.  Returns float64 (steps,).

    Source: Loshchilov & Hutter 2017 (SGDR), equation 5, without restarts.
    Example:
        >>> cosine(0.4, 4).round(3)
        array([0.4  , 0.341, 0.2  , 0.059])
    """
    lr, steps = _rates(lr, steps)
    return last + (lr - _check.real(last, "last", 0)) * 0.5 * (1.0 + np.cos(np.pi * np.arange(steps) / max(1, steps)))


def inverse_sqrt(lr, steps, hold=1):
    """The rate lr for `hold` steps, then lr * sqrt(hold / t) in step t (counted from 1).  Returns float64 (steps,).

    With `warm_up(rates, hold)` these are the rates of the source.
    Source: Vaswani et al. 2017, equation 3.
    Example:
        >>> inverse_sqrt(1.0, 5)
        array([1.        , 0.70710678, 0.57735027, 0.5       , 0.4472136 ])
    """
    lr, steps = _rates(lr, steps)
    hold = _check.integer(hold, "hold", 1)
    return lr * np.sqrt(hold / np.maximum(np.arange(1, steps + 1), hold))


def warm_up(rates, steps):
    """Rates of which the first ones rise in a straight line: rate i, counted from 1, times i / steps as long as that is below 1.

    rates : floats (k,).  steps : int.  Returns float64 (k,).
    Source: Goyal et al. 2017, section 2.2.
    Example:
        >>> warm_up(constant(0.4, 6), 4)
        array([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    """
    rates = _check.array(rates, "rates", np.float64, 1, kinds="iuf")
    return rates * np.minimum(1.0, np.arange(1, rates.size + 1) / _check.integer(steps, "steps", 1))


def _rates(lr, steps):
    return _check.real(lr, "lr", 0), _check.integer(steps, "steps", 0)
