"""One decimal number: from digits and exponent to the nearest float32, and back to the fewest digits."""
import math

import numpy as np

from .._jit import scalar

POWERS = np.array([float(f"1e{k}") for k in range(81)])


@scalar
def scaled(mantissa, exponent, whole):
    """`mantissa * 10**exponent` (mantissa at most 10**18) rounded to double and then to float32, and whether that is certain.

    `whole` says that no digit was cut off the mantissa. Up to 2**53 and 10**22 both operands are exact, so one operation rounds once.
    Otherwise the double is off by less than 2**-51 of itself, which matters only where the float32 changes within 2**-50.
    """
    if mantissa == 0:
        return np.float32(0.0), True
    if exponent < -80 or exponent > 80:
        return np.float32(0.0), False
    number = float(mantissa) / POWERS[-exponent] if exponent < 0 else float(mantissa) * POWERS[exponent]
    if whole and mantissa <= 9007199254740992 and -22 <= exponent <= 22:
        return np.float32(number), True
    if number > 3.402823567e38:  # float32 overflows a little above
        return np.float32(0.0), False
    low = np.float32(number - number * 2.0**-50)
    return low, low == np.float32(number + number * 2.0**-50)


@scalar
def shortest(value):
    """Fewest decimal digits that read back as the float32 `value` > 0: `(digits, exponent)` with value near digits * 10**exponent.

    A decimal of at most 6 digits survives the way through a normal float32, so the value rounded to 6 digits is the shortest one with
    zeros at its end, or 7 to 9 digits are needed. Subnormal numbers hold less and start at one digit.
    """
    number = float(value)
    top = math.floor(math.log10(number))
    places = 5 if number >= 1.2e-38 else 0
    while True:
        shift = places - top
        digits = np.int64(math.floor((number * POWERS[shift] if shift >= 0 else number / POWERS[-shift]) + 0.5))
        found, certain = scaled(digits, -shift, True)
        if (certain and found == value) or places == 9:
            break
        places += 1
    exponent = -shift
    while digits % 10 == 0:
        digits //= 10
        exponent += 1
    return digits, exponent
