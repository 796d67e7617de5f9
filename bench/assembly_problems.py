"""Five-point precisions and the ways to build their CSR matrix with SciPy alone."""

import numpy as np
import scipy.sparse as sp

from sparsegmrf import SymmetricStencil

CENTRE, NEIGHBOUR = 4.1, -1.0
OFFSETS = [(0, 0), (0, 1), (1, 0)]


def homogeneous(side):
    """One coefficient per offset."""
    return SymmetricStencil(OFFSETS, [CENTRE, NEIGHBOUR, NEIGHBOUR], (side, side))


def per_pixel(side):
    """A plane per offset."""
    rng = np.random.default_rng(0)
    return SymmetricStencil(OFFSETS, list(rng.uniform(1.0, 2.0, (3, side, side))), (side, side))


def diagonals(side):
    """Diagonals of the homogeneous matrix: those beside the main one are zero where a row of the image ends."""
    n = side * side
    beside = np.full(n - 1, NEIGHBOUR)
    beside[side - 1 :: side] = 0.0
    below = np.full(n - side, NEIGHBOUR)
    return [np.full(n, CENTRE), beside, beside, below, below]


def from_diagonals(values, side):
    """Build by diagonals, as `scipy.sparse` users do; its conversion drops the zeros where a row of the image ends."""
    return sp.diags_array(values, offsets=[0, 1, -1, side, -side]).tocsr()


def planes(stencil):
    """Centre, right and lower coefficients."""
    return [stencil.plane(k) for k in range(3)]


def triplets(centre, right, below):
    """Values, rows and columns of a per-pixel five-point matrix, with int32 indices."""
    p = np.arange(centre.size, dtype=np.int32).reshape(centre.shape)
    side, lower = right[:, :-1], below[:-1]
    pairs = [(p, p), (p[:, :-1], p[:, 1:]), (p[:, 1:], p[:, :-1]), (p[:-1], p[1:]), (p[1:], p[:-1])]
    values = np.concatenate([v.ravel() for v in (centre, side, side, lower, lower)])
    rows, columns = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in (0, 1))
    return values, rows, columns


def from_triplets(values, rows, columns):
    """Convert triplets."""
    n = int(rows[-1]) + 1
    return sp.coo_array((values, (rows, columns)), shape=(n, n)).tocsr()


def nbytes(matrix):
    """Bytes of the arrays of a CSR matrix."""
    return matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
