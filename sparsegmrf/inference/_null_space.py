"""Whether observations fix the null space of a field."""

import numpy as np
import scipy.sparse as sp

from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._operators import ObservationOperator
from sparsegmrf.inference._parts import by_part
from sparsegmrf.typing import BoolArray

_IDENTIFIED = 1e-10
"""Smallest eigenvalue of ``V_o^T V_o`` at which the observed pixels are taken to fix the null space ``V``."""


def check_null_space_observed(gmrf: GMRF, observed: BoolArray, B: ObservationOperator | None = None) -> None:
    """Refuse observations under which a direction of the null space stays unknown."""
    V = gmrf.null_vectors
    if B is not None and V.shape[1]:
        matrix = B.tocsr(gmrf.shape)
        V = (matrix / float(abs(matrix).sum(axis=1).max())) @ V
    check_null_vectors_observed(V, observed)


def check_null_vectors_observed(V: sp.csr_array, observed: BoolArray) -> None:
    """Refuse observations under which one of some null vectors, columns ``(n, r)`` by pixel, stays unknown."""
    if not V.shape[1]:
        return
    images, parts, rank = by_part(V)
    pixels = np.flatnonzero(observed)
    gram = parts.at(pixels).products(images[:, pixels], images[:, pixels])
    gram += np.eye(len(images)) * (np.arange(len(images)) >= rank[:, np.newaxis, np.newaxis])
    if np.linalg.eigvalsh(gram).min() < _IDENTIFIED:
        raise ArgumentError(
            f"mask must leave enough observed pixels to fix the {V.shape[1]} null vectors of the field (its "
            f"level on every connected part), but {int(np.count_nonzero(observed))} observed pixels do not; use a "
            "proper field, or leave out the parts without observations."
        )


def needed_pixels(V: sp.csr_array, observed: BoolArray) -> BoolArray:
    """Return the observed pixels ``(H, W)`` without which the others leave a null vector unknown.

    The only one on a connected part is one of them, of planes one that all others stand in line without: a pixel whose
    leverage in the null vectors is 1.
    """
    images, parts, rank = by_part(V)
    pixels = np.flatnonzero(observed)
    basis, _ = parts.at(pixels).orthonormal(images[:, pixels], rank)
    needed = np.zeros(observed.shape, dtype=bool)
    needed.ravel()[pixels] = np.einsum("dm,dm->m", basis, basis) > 1.0 - _IDENTIFIED
    return needed
