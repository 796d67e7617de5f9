"""Partial correlations along one offset of a precision."""

import numpy as np

from sparsegmrf._edges import wraps
from sparsegmrf.errors import ArgumentError
from sparsegmrf.lattice import at_neighbours
from sparsegmrf.stencil._offsets import as_offsets, raster_sign
from sparsegmrf.stencil.symmetric import SymmetricStencil
from sparsegmrf.typing import FloatArray, Offset


def partial_correlation(Q: SymmetricStencil, offset: Offset) -> FloatArray:
    """Return ``-Q[p, q] / sqrt(Q[p, p] Q[q, q])``, ``q = p + offset``, as a plane, and 1 for a pixel with itself."""
    given = as_offsets([offset], "offset")
    earlier = bool(raster_sign(given)[0] < 0)
    di, dj = (-given if earlier else given)[0].tolist()
    block = () if Q.channels == 1 else (Q.channels, Q.channels)
    result = np.zeros((*Q.shape, *block))
    found = np.flatnonzero((Q.offsets == (di, dj)).all(axis=1))
    if not len(found):
        return result
    around = zip(wraps(Q.boundary), Q.reach, Q.shape, strict=True)
    if any(wrapped and 2 * reach >= side for wrapped, reach, side in around):
        raise ArgumentError(
            f"offset {offset!r} means several neighbours at once on a {Q.shape[0]} x {Q.shape[1]} torus, which is no "
            f"wider than twice the stencil's reach {Q.reach}; take the correlation from tocsr()."
        )
    scale = 1.0 / np.sqrt(Q.diagonal())
    beyond = at_neighbours(scale, (di, dj))  # off the image Q[p, q] is zero, whatever stands here
    if Q.channels > 1:
        scale, beyond = scale[..., :, np.newaxis], beyond[..., np.newaxis, :]
    result -= Q.plane(int(found[0])) * scale * beyond
    if (di, dj) == (0, 0):
        diagonal = np.arange(Q.channels)
        result[(..., diagonal, diagonal) if Q.channels > 1 else ...] = 1.0
    if earlier:  # the value of the pair belongs to its other pixel
        result = at_neighbours(np.swapaxes(result, -1, -2) if Q.channels > 1 else result, (-di, -dj))
    return np.ascontiguousarray(result) + 0.0
