"""Seeded precisions of the benches: what is factorized, at any size."""

import numpy as np
import scipy.sparse as sp

from sparsegmrf import SymmetricStencil

FIVE_POINT = [(0, 0), (0, 1), (1, 0)]
KAPPA2 = 0.1


def five_point(side, seed=0):
    """``kappa^2 + G`` with its own conductance on every edge: a per-pixel five-point stencil, no two pixels alike."""
    centre, right, below = _conductances(side, seed)
    return SymmetricStencil(FIVE_POINT, [centre, -right, -below], (side, side))


def thirteen_point(side, seed=0):
    """``(kappa^2 + G)^2`` with its own conductance on every edge: a per-pixel 13-point stencil."""
    root = five_point(side, seed).tocsr()
    return SymmetricStencil.from_csr(root @ root, (side, side), reach=2)


def homogeneous(side, seed=0):
    """``kappa^2 + G`` cut off at the border, one coefficient per offset; `seed` scales it."""
    return SymmetricStencil(FIVE_POINT, [(1.0 + seed) * c for c in (4.0 + KAPPA2, -1.0, -1.0)], (side, side))


PROBLEMS = {"five-point": five_point, "13-point": thirteen_point, "homogeneous": homogeneous}


def right_hand_sides(side, count):
    """Return `count` white images."""
    return np.random.default_rng(count).standard_normal((count, side, side))


def lower_columns(stencil):
    """Return the matrix by columns, as CHOLMOD reads it (its lower triangle)."""
    Q = stencil.tocsr()
    return sp.csc_matrix((Q.data, Q.indices, Q.indptr), shape=Q.shape)


def upper_rows(stencil):
    """Return the upper triangle by rows, as PARDISO reads it for a symmetric matrix."""
    upper = sp.triu(stencil.tocsr(), format="csr")
    upper.sort_indices()
    return upper


def _conductances(side, seed):
    rng = np.random.default_rng(seed)
    right, below = rng.uniform(0.5, 1.5, (2, side, side))
    right[:, -1] = 0.0
    below[-1] = 0.0
    centre = KAPPA2 + right + below
    centre[:, 1:] += right[:, :-1]
    centre[1:] += below[:-1]
    return centre, right, below
