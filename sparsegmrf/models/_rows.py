"""Precisions of models as sums of squares: rows ``A`` with ``Q = A^T A``."""

import math
from collections.abc import Sequence

import numpy as np

from sparsegmrf.models._laplacian import laplacian
from sparsegmrf.models._operator import Operator
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.rows import Rows, check_cut_off, diagonal_rows, dominant_rows, rows_of_power
from sparsegmrf.typing import FloatArray, Offset, Shape

_GRADIENTS: tuple[dict[Offset, float], ...] = (
    {(0, 0): -0.5, (0, 1): 0.5, (1, 0): -0.5, (1, 1): 0.5},
    {(0, 0): -0.5, (0, 1): -0.5, (1, 0): 0.5, (1, 1): 0.5},
    {(0, 0): 0.5, (0, 1): -0.5, (1, 0): -0.5, (1, 1): 0.5},
)
"""Differences of columns, of rows, and the chessboard on the four pixels of a cell."""


def rows_of_diffusion(operator: Operator, shape: Shape) -> list[Rows]:
    """Return rows of ``G = -div H grad``: a difference per pair, or three rows per cell of the smooth scheme."""
    conductances = operator.diffusion.conductances
    if operator.is_homogeneous and any(float(rho) < 0.0 for rho in conductances.values()):
        G = operator.stencil(shape)
        check_cut_off(G)
        found = _rows_of_cells(operator.diffusion.weights, shape)
        if operator.boundary == "neumann":
            return found
        outflow = G.diagonal() - laplacian(shape, conductances, "neumann").diagonal()
        return [*found, diagonal_rows(np.sqrt(outflow)).called("outflow")]
    return scaled_rows(dominant_rows(operator.fluxes(shape)), 1.0 / np.sqrt(operator.area))


def _rows_of_cells(weights: FloatArray, shape: Shape) -> list[Rows]:
    """Return the rows of the nine-point scheme, `smooth_diffusion`: ``[[hx, h], [h, hy]]`` and the chessboard's.

    With ``u`` and ``v`` the differences of columns and rows on a cell and ``c`` the chessboard its energy is
    ``hx (u + h v / hx)^2 + (hy - h^2 / hx) v^2 + (hx + hy - 2 s) c^2``: every side belongs half to each of two cells,
    and at the border has the other half by itself.
    """
    of_rows, of_columns, falling, rising = map(float, weights)
    s, h = falling + rising, falling - rising
    hx, hy = of_columns + s, of_rows + s
    u, v, c = _GRADIENTS
    first = {offset: np.sqrt(hx) * (u[offset] + h / hx * v[offset]) for offset in u}
    second = {offset: np.sqrt(hy - h * h / hx) * value for offset, value in v.items()}
    third = {offset: np.sqrt(of_rows + of_columns) * value for offset, value in c.items()}
    found = [
        Rows.of({k: np.asarray(e) for k, e in each.items()}, shape, f"cell {number}")
        for number, each in enumerate((first, second, third))
    ]
    for offset, conductance in (((0, 1), of_columns), ((1, 0), of_rows)):
        along = 0 if offset == (0, 1) else 1  # the axis across which a side has cells
        cells = np.full(shape[along], 2.0)
        cells[0] -= 1.0
        cells[-1] -= 1.0
        root = np.sqrt(conductance * (1.0 - cells / 2.0))
        image = np.broadcast_to(root[:, np.newaxis] if along == 0 else root, shape)
        found.append(Rows.of({(0, 0): -image, offset: image}, shape, f"side {along}"))
    return found


def rows_of_shifted(G: SymmetricStencil, rows: Sequence[Rows], diagonal: FloatArray) -> list[Rows]:
    """Return rows of ``G + diagonal``, an image or a number that is not negative."""
    return [*rows, diagonal_rows(np.broadcast_to(np.sqrt(diagonal), G.shape)).called("shift")]


def scaled_rows(rows: Sequence[Rows], scale: FloatArray | float) -> list[Rows]:
    """Return ``A diag(scale)``, so that ``Q`` is ``diag(scale) Q diag(scale)``, for an image or a number."""
    return [each.times_columns(np.asarray(scale)) for each in rows]


def rows_of_polynomial(M: SymmetricStencil, root: Sequence[Rows], coefficients: dict[int, float]) -> list[Rows]:
    """Return rows of ``sum_j c_j M^j`` with ``c_j`` that are not negative, given those of ``M``."""
    return [
        each.times_rows(float(np.sqrt(c))).called(f"power {exponent}, {each.name}")
        for exponent, c in coefficients.items()
        if c
        for each in rows_of_power(M, root, exponent)
    ]


def powers_of_shifted(shift: float, exponent: int) -> dict[int, float]:
    """Return the coefficients of ``(shift + g)^exponent`` by powers of ``g``, none of which is negative."""
    return {j: math.comb(exponent, j) * shift ** (exponent - j) for j in range(exponent, -1, -1)}
