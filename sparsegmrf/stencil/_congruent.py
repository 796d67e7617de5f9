"""Change of the unknowns of every pixel by one matrix."""

import numpy as np

from sparsegmrf._edges import cut_off
from sparsegmrf.stencil.symmetric import SymmetricStencil
from sparsegmrf.typing import FloatArray


def congruent(Q: SymmetricStencil, M: FloatArray) -> SymmetricStencil:
    """Return ``M^T Q M`` with the ``C x C`` matrix `M` at every pixel: the precision of ``u`` where ``x_p = M u_p``."""
    if Q.channels == 1:
        return Q * float(M[0, 0] ** 2)
    planes = [np.matmul(M.T, np.matmul(Q.plane(k), M)) for k in range(len(Q.offsets))]
    return SymmetricStencil(Q.offsets, planes, Q.shape, channels=Q.channels, boundary=cut_off(Q.boundary))
