"""Whitening of the observed unknowns of a field: a Cholesky factor in which the missing ones are eliminated first."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sparsegmrf._memory import refuse_if_too_large
from sparsegmrf.factors._ordered_cholesky import OrderedCholesky, dissection_rank
from sparsegmrf.lattice import Lattice
from sparsegmrf.typing import BoolArray, FloatArray, IntArray


def whiten_by_precision(Q: sp.csr_array, lattice: Lattice, reach: int, missing: BoolArray, x: FloatArray) -> FloatArray:
    """Return ``L_oo^T x_o`` for deviations ``(batch, n)``, with ``Q = L L^T`` in an order that has the missing first.

    What is left of ``Q`` when they are eliminated is the precision of the observed ones, ``L_oo L_oo^T = S_oo^-1``.
    `reach` is how many rows or columns apart ``Q`` couples pixels.
    """
    rank = dissection_rank(lattice, reach)
    m = _sorted(missing, rank)
    o = np.flatnonzero(~missing)
    o = o[np.argsort(_raised(rank[o], Q[o][:, m], Q[m][:, m], rank[m]), kind="stable")]
    order = np.concatenate([m, o])
    factor = OrderedCholesky(Q[order][:, order], lattice, order)
    result = np.zeros(x.shape)
    result[:, o] = factor.transposed(x[:, o].T, len(m)).T
    return result


def whiten_by_rows(A: sp.csr_array, lattice: Lattice, reach: int, missing: BoolArray, x: FloatArray) -> FloatArray:
    """Return whitened deviations ``(batch, n)``, those of ``A x`` wherever a row of ``A`` has no missing unknown.

    With the missing filled by their conditional means the other rows ``t`` are ``A x`` with the covariance
    ``C C^T = I - A_tm Q_mm^-1 A_tm^T``, and ``C^-1`` of them is white. ``C`` is the last block of the Cholesky factor
    of ``[[Q_mm, A_tm^T], [A_tm, I]]``.
    """
    rank = dissection_rank(lattice, 2 * reach)
    m = _sorted(missing, rank)
    columns = A[:, m]
    t = np.flatnonzero((np.diff(columns.indptr) > 0) & ~missing)
    t = t[np.argsort(_raised(rank[t], columns[t], columns.T @ columns, rank[m]), kind="stable")]
    result = np.where(missing, 0.0, x) @ A.T
    if not len(t):
        return np.asarray(result)
    coupling = columns[t]
    joint = sp.block_array([[columns.T @ columns, coupling.T], [coupling, sp.eye_array(len(t))]], format="csr")
    factor = OrderedCholesky(joint, lattice, np.concatenate([m, t]))
    solved = factor.solve(np.concatenate([columns.T @ result.T, result[:, t].T]))
    result[:, t] = factor.transposed(solved[len(m) :], len(m)).T
    return np.asarray(result)


def _raised(rank: IntArray, coupling: sp.csr_array, missing: sp.csr_array, rank_missing: IntArray) -> IntArray:
    """Return ranks of observed unknowns at which the strips still separate them once the missing are eliminated.

    That couples all neighbours of a connected part of the missing ones. They join the highest strip that it touches;
    the `coupling` has a row for each of them, `missing` is the precision of the missing ones.
    """
    _, part = connected_components(missing, directed=False)
    highest = np.zeros(int(part.max()) + 1, dtype=np.int64)
    np.maximum.at(highest, part, rank_missing)
    pairs = coupling.tocoo()
    around = np.unique(np.stack([part[pairs.col], pairs.row]), axis=1)
    largest = int(np.bincount(around[0]).max(initial=0))
    refuse_if_too_large(
        16 * largest**2,
        f"whitening {largest} pixels around one connected gap, which all depend on each other,",
        "whiten a window of the image",
    )
    raised = rank.copy()
    np.maximum.at(raised, around[1], highest[around[0]])
    return raised


def _sorted(marked: BoolArray, rank: IntArray) -> IntArray:
    """Return the marked unknowns by rank."""
    unknowns = np.flatnonzero(marked)
    return unknowns[np.argsort(rank[unknowns], kind="stable")]
