"""Corrections of low rank to covariances on a stencil."""

import numpy as np

from sparsegmrf.lattice import at_neighbours
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import BoolArray, FloatArray


def minus_products(S: SymmetricStencil, left: FloatArray, right: FloatArray, zero: BoolArray) -> SymmetricStencil:
    """Return ``S - sum_m a_m b_m^T`` on the offsets of ``S``, with some rows and columns exactly zero.

    Parameters
    ----------
    S : SymmetricStencil
        Covariances in intensity^2.
    left, right : ndarray, (m, n)
        ``a`` and ``b``, whose sum of products is symmetric.
    zero : ndarray of bool, (n,)
        Unknowns without variance.
    """
    lattice = S.lattice
    grid = (*lattice.shape, lattice.channels)
    a, b, known = left.reshape(-1, *grid), right.reshape(-1, *grid), zero.reshape(grid)
    planes = np.empty((len(S.offsets), *grid, lattice.channels))
    for k, (di, dj) in enumerate(S.offsets.tolist()):
        plane = S.plane(k).reshape(planes[k].shape)
        for a_m, b_m in zip(a, b, strict=True):
            plane -= a_m[..., np.newaxis] * at_neighbours(b_m, (di, dj))[..., np.newaxis, :]
        plane[known[..., np.newaxis] | at_neighbours(known, (di, dj))[..., np.newaxis, :]] = 0.0
        S._drop_off_image(plane, k)
        planes[k] = plane
    return S._with_planes(planes)
