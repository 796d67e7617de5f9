"""Sets of offsets."""

import numpy as np
from numpy.testing import assert_array_equal

from sparsegmrf.stencil._offsets import distinct_offsets


def test_distinct_offsets_are_those_of_numpy():
    rng = np.random.default_rng(0)
    for count in (1, 2, 60):
        offsets = rng.integers(-3, 4, (count, 2))
        expected, which = np.unique(offsets, axis=0, return_inverse=True)
        found = distinct_offsets(offsets)
        assert_array_equal(found[0], expected)
        assert_array_equal(found[1], which.ravel())
