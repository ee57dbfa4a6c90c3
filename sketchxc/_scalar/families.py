"""Hash functions of one 64-bit key whose collision probabilities are proved: multiply-shift, polynomials modulo 2**61 - 1, tabulation."""
import numpy as np

from .._jit import scalar


@scalar
def reduced61(value):
    """A number below 2**64 as the same residue modulo 2**61 - 1, from 0 to 2**61 - 2."""
    value = (value & np.uint64(0x1FFFFFFFFFFFFFFF)) + (value >> np.uint64(61))
    return value - np.uint64(0x1FFFFFFFFFFFFFFF) if value >= np.uint64(0x1FFFFFFFFFFFFFFF) else value


@scalar
def product61(a, b):
    """Product of two residues modulo 2**61 - 1, from 32-bit halves: 2**64 is 8 there, and 2**61 is 1."""
    a_high, a_low = a >> np.uint64(32), a & np.uint64(0xFFFFFFFF)
    b_high, b_low = b >> np.uint64(32), b & np.uint64(0xFFFFFFFF)
    middle = a_high * b_low + a_low * b_high
    low = a_low * b_low
    return reduced61(a_high * b_high * np.uint64(8) + (middle >> np.uint64(29)) + ((middle & np.uint64(0x1FFFFFFF)) << np.uint64(32))
                     + (low & np.uint64(0x1FFFFFFFFFFFFFFF)) + (low >> np.uint64(61)))


@scalar
def quotient61(key, residue):
    """Quotient 0 to 8 of a key by 2**61 - 1, given its residue; without a division."""
    # key - residue = q * 2**61 - q with q below 9, so that the next multiple of 2**61 is q * 2**61.
    whole = key - residue
    return (whole >> np.uint64(61)) + (np.uint64(1) if whole & np.uint64(0x1FFFFFFFFFFFFFFF) else np.uint64(0))


@scalar
def multiplied(key, factor):
    """Multiply-shift before its shift: the high bits of the product with an odd factor."""
    return key * factor


@scalar
def widened(value, shift, width):
    """Number in [0, width) from the 32 highest bits of a hash of 64 - shift bits; width below 2**31."""
    return np.int64((((value << shift) >> np.uint64(32)) * np.uint64(width)) >> np.uint64(32))
