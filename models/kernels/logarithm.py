"""ln(1 + x) of many numbers at once: the C library's takes one at a time, twenty nanoseconds each."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

_ONE = np.float32(1)
_HALF = np.float32(0.5)
_ROOT = np.float32(1.41421356)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_P0, _P1, _P2 = np.float32(7.0376836292e-2), np.float32(-1.1514610310e-1), np.float32(1.1676998740e-1)
_P3, _P4, _P5 = np.float32(-1.2420140846e-1), np.float32(1.4249322787e-1), np.float32(-1.6668057665e-1)
_P6, _P7, _P8 = np.float32(2.0000714765e-1), np.float32(-2.4999993993e-1), np.float32(3.3333331174e-1)


@compiled()
def log1p_in_place(values: NDArray[np.float32]) -> None:
    """Replaces each x of `values` (m,) float32, none below zero, by ln(1 + x), within 2e-7 of it or of its size.

    Cephes's polynomial (Moshier 1989) for the logarithm of 1 + x as it rounds, and the rest of x to the first order.
    """
    bits = np.empty(len(values), np.float32)
    for at in range(len(values)):
        bits[at] = _ONE + values[at]
    exponents = bits.view(np.int32)
    for at in range(len(values)):
        x = values[at]
        rounded = bits[at]
        rest = (x - (rounded - _ONE)) / rounded
        whole = exponents[at]
        exponent = np.float32((whole >> 23) - 127)
        # the mantissa, from 1 to 2 and then from the root of 1/2 to that of 2
        exponents[at] = (whole & 0x007FFFFF) | 0x3F800000
        mantissa = bits[at]
        large = mantissa > _ROOT
        mantissa = mantissa * _HALF if large else mantissa
        exponent = exponent + _ONE if large else exponent
        f = mantissa - _ONE
        square = f * f
        series = _P0
        series = series * f + _P1
        series = series * f + _P2
        series = series * f + _P3
        series = series * f + _P4
        series = series * f + _P5
        series = series * f + _P6
        series = series * f + _P7
        series = series * f + _P8
        found = series * f * square + exponent * _LN2_LOW - _HALF * square
        values[at] = f + found + exponent * _LN2_HIGH + rest
