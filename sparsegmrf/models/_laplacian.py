"""The operator ``G = -div H grad`` as a stencil: flux between pairs of pixels, none across borders and barriers."""

import numpy as np

from sparsegmrf._edges import along, cut_off, has
from sparsegmrf.lattice import Lattice, at_neighbours
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._coefficients import drop_off_image
from sparsegmrf.typing import BoolArray, Boundary, FloatArray, Offset, Shape


def laplacian(
    shape: Shape, conductances: dict[Offset, FloatArray], boundary: Boundary, barrier: BoolArray | None = None
) -> SymmetricStencil:
    """Return ``(G x)_p = sum_e c_e (x_p - x[p + e])``, the sum over neighbours on both sides.

    The conductance of a pair is the mean of ``rho_e`` at its two pixels, and zero if one of them, or for a pair across
    a corner one of the two pixels that it passes, is in the barrier. A pair that leaves the image has the conductance
    of its pixel and the value zero outside (Dirichlet), or no flux (Neumann), which decides where it leaves both ways.
    """
    offsets = [(0, 0), *conductances]
    if barrier is None and all(rho.ndim == 0 for rho in conductances.values()):
        weights = [-float(rho) for rho in conductances.values()]
        if has(boundary, "neumann"):  # where no two pixels are that far apart nothing flows: no digits are left of it
            steps = [along(offset, boundary, "neumann") for offset in conductances]
            reached = [abs(di) < shape[0] and abs(dj) < shape[1] for di, dj in steps]
            weights = [weight if here else 0.0 for weight, here in zip(weights, reached, strict=True)]
        return SymmetricStencil(offsets, [-2.0 * sum(weights), *weights], shape, boundary=boundary)
    centre = np.zeros(shape)
    planes = []
    for offset, rho in conductances.items():
        faces = _faces(np.broadcast_to(rho, shape), offset, boundary, barrier)
        centre += faces
        centre += at_neighbours(faces, (-offset[0], -offset[1]))  # cut at the border, the faces that wrap are zero
        if has(boundary, "dirichlet"):
            centre += _outflow(np.broadcast_to(rho, shape), offset, boundary, barrier)
        planes.append(-faces)
    return SymmetricStencil(offsets, [centre, *planes], shape, boundary=cut_off(boundary))


def _faces(rho: FloatArray, offset: Offset, boundary: Boundary, barrier: BoolArray | None) -> FloatArray:
    """Return the conductance between ``p`` and ``p + offset`` at ``p``, zero where there is no such pair."""
    faces = np.asarray((rho + at_neighbours(rho, offset)) / 2.0)
    drop_off_image(faces, along(offset, boundary, "dirichlet", "neumann"), Lattice(rho.shape))
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


def _outflow(rho: FloatArray, offset: Offset, boundary: Boundary, barrier: BoolArray | None) -> FloatArray:
    """Return the conductances of pairs that leave the image on either side, and not across one without flux."""
    di, dj = offset
    result = np.zeros(rho.shape)
    for side in ((di, dj), (-di, -dj)):
        lattice = Lattice(rho.shape)
        leaves = lattice.without_neighbour(along(side, boundary, "dirichlet"))
        leaves &= ~lattice.without_neighbour(along(side, boundary, "neumann"))
        result[leaves] += rho[leaves]
    if barrier is not None:
        result[barrier] = 0.0
    return result
