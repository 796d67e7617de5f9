"""The operator ``G = -div H grad`` as a stencil: flux between pairs of pixels, none across borders and barriers."""

import numpy as np

from sparsegmrf.lattice import Lattice, at_neighbours
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._coefficients import drop_off_image
from sparsegmrf.typing import BoolArray, FloatArray, Offset, Shape


def laplacian(
    shape: Shape, conductances: dict[Offset, FloatArray], boundary: str, barrier: BoolArray | None = None
) -> SymmetricStencil:
    """Return ``(G x)_p = sum_e c_e (x_p - x[p + e])``, the sum over neighbours on both sides.

    The conductance of a pair is the mean of ``rho_e`` at its two pixels, and zero if one of them, or for a pair across
    a corner one of the two pixels that it passes, is in the barrier. A pair that leaves the image has the conductance
    of its pixel and the value zero outside (Dirichlet), or no flux (Neumann).
    """
    offsets = [(0, 0), *conductances]
    if barrier is None and all(rho.ndim == 0 for rho in conductances.values()):
        weights = [-float(rho) for rho in conductances.values()]
        if boundary == "neumann":  # where no two pixels are that far apart nothing flows: no digits are left of it
            reached = [abs(di) < shape[0] and abs(dj) < shape[1] for di, dj in conductances]
            weights = [weight if here else 0.0 for weight, here in zip(weights, reached, strict=True)]
        return SymmetricStencil(offsets, [-2.0 * sum(weights), *weights], shape, boundary=boundary)
    centre = np.zeros(shape)
    planes = []
    for offset, rho in conductances.items():
        faces = _faces(np.broadcast_to(rho, shape), offset, boundary, barrier)
        centre += faces
        centre += at_neighbours(faces, (-offset[0], -offset[1]))  # cut at the border, the faces that wrap are zero
        if boundary == "dirichlet":
            centre += _outflow(np.broadcast_to(rho, shape), offset, barrier)
        planes.append(-faces)
    return SymmetricStencil(offsets, [centre, *planes], shape, boundary="torus" if boundary == "torus" else "dirichlet")


def _faces(rho: FloatArray, offset: Offset, boundary: str, barrier: BoolArray | None) -> FloatArray:
    """Return the conductance between ``p`` and ``p + offset`` at ``p``, zero where there is no such pair."""
    faces = np.asarray((rho + at_neighbours(rho, offset)) / 2.0)
    if boundary != "torus":
        drop_off_image(faces, offset, Lattice(rho.shape))
    if barrier is not None:
        for step in passed(offset):
            faces[at_neighbours(barrier, step)] = 0.0
    return faces


def passed(offset: Offset) -> list[Offset]:
    """Return the pixels that the straight line from the centre of a pixel to that of another touches, ends included."""
    di, dj = offset
    found = []
    for a in range(min(0, di), max(0, di) + 1):
        for b in range(min(0, dj), max(0, dj) + 1):
            # |cross product| is the distance from the line times its length; a unit square reaches (|di| + |dj|) / 2.
            if 2 * abs(a * dj - b * di) <= abs(di) + abs(dj):
                found.append((a, b))
    return found


def _outflow(rho: FloatArray, offset: Offset, barrier: BoolArray | None) -> FloatArray:
    """Return the conductances of pairs that leave the image on either side."""
    di, dj = offset
    result = np.zeros(rho.shape)
    for side in ((di, dj), (-di, -dj)):
        leaves = Lattice(rho.shape).without_neighbour(side)
        result[leaves] += rho[leaves]
    if barrier is not None:
        result[barrier] = 0.0
    return result
