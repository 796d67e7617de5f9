"""The no-flux rule: what a neighbour across a side without flux would have weighed is added to the centre."""

import numpy as np

from sparsegmrf._edges import along
from sparsegmrf.errors import StencilError
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil._coefficients import Pool, block_shape, symmetric_blocks
from sparsegmrf.typing import Boundary, FloatArray, IntArray


def check_neumann(pool: Pool, names: list[str], lattice: Lattice) -> None:
    """Refuse neighbour coefficients that are per pixel or not symmetric; `names` are those of the user's arguments."""
    for k in range(1, len(names)):
        if pool.step[k]:
            raise StencilError(
                f"{names[k]} must be shared by all pixels with boundary='neumann', got a plane; add what is missing at "
                "the border to the centre plane yourself and pass boundary='dirichlet'."
            )
        if lattice.channels > 1:
            symmetric_blocks(f"{names[k]}, with boundary='neumann',", pool.coefficient(k, lattice))


def neumann_centre(pool: Pool, offsets: IntArray, lattice: Lattice, boundary: Boundary) -> FloatArray:
    """Return the centre plane plus the coefficient of every neighbour that no flux reaches, earlier or later."""
    centre = np.array(np.broadcast_to(pool.coefficient(0, lattice), (*lattice.shape, *block_shape(lattice))))
    for k in range(1, len(offsets)):
        coefficient = pool.coefficient(k, lattice)
        di, dj = offsets[k].tolist()
        for offset in ((di, dj), (-di, -dj)):
            centre[lattice.without_neighbour(along(offset, boundary, "neumann"))] += (coefficient + coefficient.T) / 2.0
    return centre
