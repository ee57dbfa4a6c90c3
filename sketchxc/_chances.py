"""How far the estimates of a sketch are off, and how often: numbers in, numbers out.

Rows are taken as independent, and two keys as sharing a cell with probability 1 / width; the hash has 32 bits, so widths that do not divide
2**32 add 2**-32 to that.
"""
import math

_UP = 1 + 1e-9  # rounds a distance up, past the rounding of these formulas


def half_fail(depth, chance):
    """Probability that more than half of an odd number of rows fail where each fails with `chance`."""
    return sum(math.comb(depth, k) * chance**k * (1 - chance)**(depth - k) for k in range((depth + 1) // 2, depth + 1))


def row_chance(depth, failure):
    """The largest chance of failure of a row, up to 1/2, with which more than half of the rows fail with probability `failure`."""
    low, high = 0.0, 0.5
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if half_fail(depth, middle) <= failure else (low, middle)
    return low


def reach_of_min(total, depth, width, failure):
    """How far the smallest cell may be above the true count: Markov's inequality in each row, all of which must fail."""
    return min(total, total * (1 / width + 2.0**-32) / failure**(1 / depth) * _UP)


def reach_of_median(squares, total, depth, width, failure):
    """How far the median of the rows may be off: Chebyshev's inequality in each row, more than half of which must fail.

    `squares` is the median of the rows' sums of squared cells, which estimates the sum of the squared true counts, itself only up to a
    factor that half of `failure` pays for; where the width is too small for that, the square of the total bounds it.
    """
    meeting, chance = 1 / width + 2.0**-32, row_chance(depth, failure / 2)
    spread = math.sqrt(2 * meeting / chance)
    squares = min(total * total, squares / (1 - spread)) if spread < 1 else total * total
    return math.sqrt(squares * meeting / chance) * _UP
