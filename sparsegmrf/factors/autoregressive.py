"""Separable autoregressions of the first order: their precision, and a factor in which everything is in closed form."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.factors.triangular import TriangularFactor
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.typing import FloatArray, IntArray, Offsets, Shape

OFFSETS = ((0, 0), (0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True, eq=False)
class AutoregressiveForm(Form):
    """Precision ``Q = (R_r (x) R_c)^-1 / sigma^2`` with ``R[i, j] = rho^|i - j|`` along either side of an image.

    Attributes
    ----------
    rho : (float, float)
        Correlations of neighbouring rows and of neighbouring columns, between -1 and 1.
    sigma : float
        Standard deviation in intensity.
    size : (int, int)
        Height and width in pixels.
    wanted : sequence of (int, int)
        The centre and later offsets on which covariances are wanted.
    """

    rho: tuple[float, float]
    sigma: float
    size: Shape
    wanted: Offsets = OFFSETS

    @cached_property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return Lattice(self.size)

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil of nine points."""
        rows, columns = (
            precision_of_side(rho, neighbours_of(side, self.boundary))
            for rho, side in zip(self.rho, self.size, strict=True)
        )
        return product_of_sides(rows, columns, self.size) * (1.0 / self.sigma**2)

    @property
    def whitening(self) -> TriangularStencil:
        """The matrix ``A = A_r (x) A_c / sigma`` of ``Q = A^T A``: innovations by earlier rows and columns."""
        (d_r, w_r), (d_c, w_c) = (whitening_of_side(rho, side) for rho, side in zip(self.rho, self.size, strict=True))
        d_c, w_c = d_c / self.sigma, w_c / self.sigma
        weights = [np.outer(w_r, w_c), np.outer(w_r, d_c), np.outer(d_r, w_c)]
        return TriangularStencil([(-1, -1), (-1, 0), (0, -1)], np.outer(d_r, d_c), weights, self.size)

    @property
    def offsets(self) -> IntArray:
        """Offsets on which covariances are wanted."""
        return np.array(self.wanted, dtype=np.int64).reshape(-1, 2)

    @property
    def boundary(self) -> str:
        """The rule at the border: the stencil is cut off, with planes that know of it."""
        return "dirichlet"

    @property
    def parts(self) -> tuple[()]:
        """None: nothing is factorized."""
        return ()

    def with_offsets(self, offsets: Offsets) -> "AutoregressiveForm":
        """Return the same precision with covariances on other offsets."""
        return replace(self, wanted=offsets)

    def factor(self, factorize: Callable[[Any], Factor], method: Method) -> Factor:
        """Return the factor in closed form, or where another method is asked for that of the stencil."""
        return AutoregressiveFactor(self) if method in ("auto", "triangular") else factorize(self.stencil)

    def method_for(self, choose: Callable[[Any], Method], method: Method) -> Method:
        """Return ``"triangular"``, or the other method asked for."""
        return "triangular" if method == "auto" else method


class AutoregressiveFactor(TriangularFactor):
    """Factor of a separable autoregression: recursions along rows and columns, and covariances by their formula.

    ``logdet Q = -(H - 1) W log(1 - rho_r^2) - H (W - 1) log(1 - rho_c^2) - 2 H W log sigma``.

    Parameters
    ----------
    form : AutoregressiveForm
        The precision.

    Examples
    --------
    >>> factor = AutoregressiveFactor(AutoregressiveForm((0.5, 0.8), 2.0, (3, 4)))
    >>> factor.covariance_with((0, 0))[1, :2].round(6).tolist()
    [2.0, 1.6]
    """

    def __init__(self, form: AutoregressiveForm) -> None:
        super().__init__(form.whitening)
        self._form = form

    @cached_property
    def logdet(self) -> float:
        """Log-determinant of ``Q`` in nats."""
        height, width = self.shape
        rows, columns = (float(np.log1p(-rho) + np.log1p(rho)) for rho in self._form.rho)
        scale = 2.0 * height * width * float(np.log(self._form.sigma))
        return -(height - 1) * width * rows - height * (width - 1) * columns - scale

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances ``sigma^2 rho_r^|di| rho_c^|dj|`` on the offsets that are wanted, as a stencil."""
        offsets = self._form.offsets
        rows, columns = self._form.rho
        values = [self._form.sigma**2 * rows ** abs(di) * columns ** abs(dj) for di, dj in offsets.tolist()]
        return SymmetricStencil(offsets, values, self.shape)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``Q^-1`` as an image, ``sigma^2`` everywhere."""
        return np.full(self.shape, self._form.sigma**2)

    def covariance_with(self, pixel: tuple[int, int], channel: int = 0) -> FloatArray:
        """Return the covariance of every pixel with one pixel as an image, in intensity^2."""
        place = self.lattice.pixel(self.lattice.unknown(pixel, channel))
        powers = [
            rho ** np.abs(np.arange(side) - at) for rho, side, at in zip(self._form.rho, self.shape, place, strict=True)
        ]
        return np.asarray(self._form.sigma**2 * np.outer(*powers))


Side = tuple[FloatArray, float]
"""A tridiagonal matrix along a side: its diagonal, ``(n,)`` or ``()`` where it wraps, and what stands beside it."""


def neighbours_of(side: int, boundary: str) -> FloatArray:
    """Return how many neighbours each place of a side has, ``(n,)``; ``()`` on a torus, where all have two."""
    if boundary == "torus":
        return np.array(2.0)
    count = np.full(side, 2.0)
    count[0] -= 1.0
    count[-1] -= 1.0
    return count


def precision_of_side(rho: float, neighbours: FloatArray) -> Side:
    """Return the inverse of ``R[i, j] = rho^|i - j|``."""
    scale = 1.0 / ((1.0 - rho) * (1.0 + rho))
    return (1.0 + (neighbours - 1.0) * rho**2) * scale, -rho * scale


def slope_of_side(rho: float, neighbours: FloatArray) -> Side:
    """Return the derivative of `precision_of_side` by `rho`."""
    scale = 1.0 / ((1.0 - rho) * (1.0 + rho)) ** 2
    return 2.0 * rho * neighbours * scale, -(1.0 + rho**2) * scale


def product_of_sides(rows: Side, columns: Side, shape: Shape) -> SymmetricStencil:
    """Return ``T_r (x) T_c`` of two tridiagonal matrices as a stencil of nine points, which wraps if they do."""
    (a, beside_a), (b, beside_b) = rows, columns
    corner = beside_a * beside_b
    if not a.ndim:
        values = [float(a * b), float(a * beside_b), corner, float(beside_a * b), corner]
        return SymmetricStencil(OFFSETS, values, shape, boundary="torus")
    along_row, along_column = np.outer(a, np.full(shape[1], beside_b)), np.outer(np.full(shape[0], beside_a), b)
    return SymmetricStencil(OFFSETS, [np.outer(a, b), along_row, corner, along_column, corner], shape)


def whitening_of_side(rho: float, side: int) -> tuple[FloatArray, FloatArray]:
    """Return ``A`` of ``R^-1 = A^T A``: its diagonal, and what stands before it; the first row has variance one."""
    spread = float(np.sqrt((1.0 - rho) * (1.0 + rho)))
    diagonal, before = np.full(side, 1.0 / spread), np.full(side, -rho / spread)
    diagonal[0], before[0] = 1.0, 0.0
    return diagonal, before
