"""Unknowns taken out of a matrix: their rows and columns are those of a diagonal, by default the identity."""

import numpy as np

from sparsegmrf.lattice import at_neighbours
from sparsegmrf.stencil._coefficients import block_shape
from sparsegmrf.stencil.symmetric import SymmetricStencil
from sparsegmrf.typing import BoolArray, FloatArray


def decoupled(Q: SymmetricStencil, unknowns: BoolArray, number: float | FloatArray = 1.0) -> SymmetricStencil:
    """Return `Q` with the rows and columns of some unknowns, ``(H, W)`` or ``(H, W, C)``, replaced by the identity.

    Or by the identity times a number, or one for each of the ``C`` unknowns of a pixel. The pattern and the
    log-determinant of what is left stay as they are.
    """
    planes = np.empty((len(Q.offsets), *Q.shape, *block_shape(Q.lattice)))
    for k, (di, dj) in enumerate(Q.offsets.tolist()):
        # Q[p, p + o] = 0 where p or p + o is taken out; on a torus the neighbour is the wrapped one.
        neighbour = at_neighbours(unknowns, (di, dj))
        rows, columns = (unknowns, neighbour) if Q.channels == 1 else (unknowns[..., None], neighbour[..., None, :])
        planes[k] = np.where(rows | columns, 0.0, Q.plane(k))
    if Q.channels == 1:
        planes[0][unknowns] = number
    else:
        channel = np.arange(Q.channels)
        planes[0][..., channel, channel] = np.where(unknowns, number, planes[0][..., channel, channel])
    return Q._with_planes(planes)
