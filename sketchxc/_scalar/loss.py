"""Losses of one score: the exponential in float32 that every target computes alike, and the logistic loss built on it."""
import numpy as np

from .._jit import scalar


@scalar
def exp32(x):
    """exp(x) in float32 to 2 units in the last place; 0 at -87 and below, the value at 88 above, NaN for NaN.

    Written out (range reduction and a polynomial, after Cephes) because a call of the C library keeps LLVM from using vector registers.
    Adding 1.5 * 2**23 rounds to the nearest integer and leaves that integer in the low bits, ready for the exponent field.
    """
    x = np.float32(88.0) if x > np.float32(88.0) else x
    y = np.float32(-87.0) if x < np.float32(-87.0) else x
    shifted = y * np.float32(1.44269504) + np.float32(12582912.0)
    n = shifted - np.float32(12582912.0)
    y = y - n * np.float32(0.693359375)
    y = y + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * y + np.float32(1.3981999507e-3)
    p = p * y + np.float32(8.3334519073e-3)
    p = p * y + np.float32(4.1665795894e-2)
    p = p * y + np.float32(1.6666665459e-1)
    p = p * y + np.float32(5.0000001201e-1)
    p = p * y * y + y + np.float32(1.0)
    power = np.int32((np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32(0.0) if x <= np.float32(-87.0) else p * power


@scalar
def log32(x):
    """Natural logarithm of a normal positive float32, to 2 units in the last place (after Cephes)."""
    bits = np.float32(x).view(np.int32)
    n = np.int32(np.int32(bits - np.int32(0x3F3504F3)) >> np.int32(23))  # exponent that leaves a fraction in [sqrt(1/2), sqrt(2))
    y = np.int32(bits - np.int32(n << np.int32(23))).view(np.float32) - np.float32(1.0)
    p = np.float32(7.0376836292e-2)
    p = p * y + np.float32(-1.1514610310e-1)
    p = p * y + np.float32(1.1676998740e-1)
    p = p * y + np.float32(-1.2420140846e-1)
    p = p * y + np.float32(1.4249322787e-1)
    p = p * y + np.float32(-1.6668057665e-1)
    p = p * y + np.float32(2.0000714765e-1)
    p = p * y + np.float32(-2.4999993993e-1)
    p = p * y + np.float32(3.3333331174e-1)
    z = y * y
    e = np.float32(n)
    tail = p * y * z + np.float32(-2.12194440e-4) * e - np.float32(0.5) * z
    return y + tail + np.float32(0.693359375) * e


@scalar
def sigmoid(z):
    """1 / (1 + exp(-z)) without overflow."""
    u = exp32(-abs(z))
    s = np.float32(1.0) / (np.float32(1.0) + u)
    return s if z >= np.float32(0.0) else u * s
