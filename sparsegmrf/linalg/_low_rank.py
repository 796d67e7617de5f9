"""Corrections of low rank to covariances on a stencil."""

import numpy as np

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
    lattice, torus = S.lattice, S.boundary == "torus"
    grid = (*lattice.shape, lattice.channels)
    a, b, known = left.reshape(-1, *grid), right.reshape(-1, *grid), zero.reshape(grid)
    planes = np.empty((len(S.offsets), *grid, lattice.channels))
    for k, (di, dj) in enumerate(S.offsets.tolist()):
        plane = S.plane(k).reshape(planes[k].shape)
        back = (-di, -dj)
        for a_m, b_m in zip(a, b, strict=True):
            plane -= a_m[..., np.newaxis] * np.roll(b_m, back, axis=(0, 1))[..., np.newaxis, :]
        plane[known[..., np.newaxis] | np.roll(known, back, axis=(0, 1))[..., np.newaxis, :]] = 0.0
        if not torus:
            on_image = np.zeros(lattice.shape, dtype=bool)
            on_image[lattice.with_neighbour((di, dj))] = True
            plane[~on_image] = 0.0
        planes[k] = plane
    if lattice.channels == 1:
        planes = planes[..., 0, 0]
    return SymmetricStencil._from_planes(np.array(S.offsets), np.ascontiguousarray(planes), lattice, S.boundary)
