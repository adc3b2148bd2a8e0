"""ln(1 + x) of many numbers at once is the one that the C library has, to the precision of float32."""

import numpy as np

from models.kernels.logarithm import log1p_in_place


def test_it_is_the_logarithm_over_all_that_features_hold() -> None:
    values = np.concatenate([[0.0], np.logspace(-12, 12, 100_001), np.arange(1, 5000)]).astype(np.float32)
    found = values.copy()
    log1p_in_place(found)
    np.testing.assert_allclose(found, np.log1p(values.astype(np.float64)), rtol=2.5e-7, atol=1e-13)
