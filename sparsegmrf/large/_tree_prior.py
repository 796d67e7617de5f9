"""The field's own log-determinant and its derivatives where a transform or recursion knows them."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.factors.spectral_density import SpectralDensity
from sparsegmrf.gmrf import GMRF
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Window
from sparsegmrf.typing import FloatArray

_BLOCK = 2**20
"""Frequencies at a time."""


class Prior(NamedTuple):
    """Log-determinant of ``Q``, and the traces of ``Q^-1 dQ`` by parameter."""

    logdet: float
    traces: FloatArray


def closed_prior(cuts: Cuts, field: GMRF, *, derivatives: bool) -> Prior:
    """Return what is known of the precision of a field without a factorization."""
    factor = field.factor
    if not derivatives:
        return Prior(factor.logdet, np.zeros(0))
    names = list(cuts.derivatives(Window(0, min(8, cuts.shape[0]), 0, min(8, cuts.shape[1]))))
    density = cuts.model.spectral_density(cuts.shape) if cuts.model.combination is None else None
    if density is not None and set(names) <= set(density.names):
        return Prior(factor.logdet, _of_frequencies(density, names))
    S = factor.selected_inverse()
    stencils = cuts.derivatives(Window(0, cuts.shape[0], 0, cuts.shape[1]))
    return Prior(factor.logdet, np.array([stencils[name].inner(S) for name in names]))


def _of_frequencies(density: SpectralDensity, names: list[str]) -> FloatArray:
    """Return ``-sum_k dv_k / v_k``, by rows of frequencies; frequency zero of an intrinsic field is left out."""
    total = np.zeros(len(names))
    height, width = density.shape
    step = max(1, _BLOCK // width)
    for row in range(0, height, step):
        variance, by = density.values((slice(row, min(row + step, height)), slice(0, width)))
        known = np.ones(variance.shape, dtype=bool)
        known[0, 0] = row > 0 or not density.is_intrinsic
        total -= [float(np.sum(by[name][known] / variance[known])) for name in names]
    return total
