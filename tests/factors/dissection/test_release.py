"""A factor's memory goes when the factor goes: parameter loops must not wait for the garbage collector."""

import gc
import weakref

import numpy as np
import pytest

from sparsegmrf import SymmetricStencil
from sparsegmrf.factors import DissectionFactor

PER_PIXEL = SymmetricStencil(
    [(0, 0), (0, 1), (1, 0)], [np.linspace(4.1, 5.0, 6400).reshape(80, 80), -1.0, -1.0], (80, 80)
)
SHARED = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (80, 80))


@pytest.mark.parametrize("stencil", [PER_PIXEL, SHARED])
@pytest.mark.parametrize("operation", ["solve", "whiten", "unwhiten", "selected_inverse", "refactorize"])
def test_a_dropped_factor_is_freed_at_once(stencil, operation):
    collecting = gc.isenabled()
    gc.disable()
    try:
        factor = DissectionFactor(stencil)
        arguments = {"selected_inverse": (), "refactorize": (stencil,)}.get(operation, (np.ones((80, 80)),))
        getattr(factor, operation)(*arguments)
        blocks = weakref.ref(factor._blocks)
        del factor
        assert blocks() is None
    finally:
        if collecting:
            gc.enable()
