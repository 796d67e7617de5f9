"""Separable autoregressions of the first order: the field of trials in rows and columns."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._validate import finite_number, one_of, positive_number
from sparsegmrf.factors.autoregressive import (
    AutoregressiveForm,
    Side,
    neighbours_of,
    precision_of_side,
    product_of_sides,
    slope_of_side,
    whitening_of_side,
)
from sparsegmrf.gmrf import GMRF
from sparsegmrf.models._ends import end_of_scale
from sparsegmrf.models._model import POSITIVE, Bounds, Model
from sparsegmrf.models._scale import multiplied
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.rows import Rows
from sparsegmrf.typing import ArrayLike, Shape

STATIONARY, TORUS = "stationary", "torus"
_INSIDE: Bounds = (-1.0, 1.0)


@dataclass(frozen=True, eq=False)
class AR1xAR1(Model):
    """Separable autoregression of rows and columns, ASReml's ``ar1(row):ar1(column)``, as of plots of a field trial.

    ``cov(x_ij, x_kl) = sigma^2 rho_row^|i - k| rho_column^|j - l|`` for all pixels of an image, those at its border
    too: ``Q = T(rho_row) (x) T(rho_column) / sigma^2`` with the inverse ``T`` of ``rho^|i - j|``, which is tridiagonal.
    What plots have of their own, ASReml's ``units``, is the noise of a fit.

    Parameters
    ----------
    rho_row : float
        Correlation of a pixel with the one in the next row, in (-1, 1).
    rho_column : float
        Correlation of a pixel with the one in the next column, in (-1, 1).
    sigma : float
        Standard deviation in intensity, positive.
    boundary : {"stationary", "torus"}
        ``"stationary"``: the image is a part of the field of the plane, exactly. ``"torus"``: opposite borders are
        neighbours, and the covariance is what goes around.

    Raises
    ------
    ArgumentError
        If a correlation is not finite, `sigma` is not positive and finite, or the boundary is unknown. Correlations
        that are not in (-1, 1) are refused where the model meets a lattice.

    References
    ----------
    R. Martin (1979), A subclass of lattice processes applied to a problem in planar sampling, Biometrika 66. B. Cullis,
    A. Gleeson (1991), Spatial analysis of field experiments: an extension to two dimensions, Biometrics 47. A. Gilmour,
    B. Cullis, A. Verbyla (1997), Accounting for natural and extraneous variation in the analysis of field experiments,
    J. Agric. Biol. Environ. Stat. 2.

    Examples
    --------
    >>> model = AR1xAR1(rho_row=0.5, rho_column=0.8, sigma=2.0)
    >>> model.gmrf((20, 25)).covariance_with((0, 0))[1, :2].round(6).tolist()
    [2.0, 1.6]
    """

    rho_row: float = 0.5
    rho_column: float = 0.5
    sigma: float = 1.0
    boundary: str = STATIONARY

    def __post_init__(self) -> None:
        rho = {name: finite_number(name, getattr(self, name)) for name in ("rho_row", "rho_column")}
        _frozen.assign(self, **rho, sigma=positive_number("sigma", self.sigma))
        one_of("boundary", self.boundary, (STATIONARY, TORUS))

    @property
    def parameters(self) -> dict[str, float]:
        """``rho_row``, ``rho_column`` and ``sigma``."""
        return {"rho_row": self.rho_row, "rho_column": self.rho_column, "sigma": self.sigma}

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits of the correlations, -1 and 1, and of ``sigma``, positive."""
        return {"rho_row": _INSIDE, "rho_column": _INSIDE, "sigma": POSITIVE}

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "sigma":
            return end_of_scale(high)
        lines = "rows" if name == "rho_row" else "columns"
        return f"all {lines} of the field are alike" if high else f"{lines} of the field alternate in sign"

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(sigma=multiplied("sigma", self.sigma, factor))

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        (rows, _), (columns, _) = self._sides(shape)
        return product_of_sides(rows, columns, shape) * (1.0 / self.sigma**2)

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Return the innovations of every pixel given those above and to the left of it, at variance one."""
        if self.boundary == TORUS:
            return super().build_rows(shape)
        (a, before_a), (b, before_b) = (
            whitening_of_side(rho, side) for rho, side in zip((self.rho_row, self.rho_column), shape, strict=True)
        )
        planes = np.array([np.outer(a, b), np.outer(before_a, b), np.outer(a, before_b), np.outer(before_a, before_b)])
        offsets = np.array([(0, 0), (-1, 0), (0, -1), (-1, -1)], dtype=np.int64)
        return [Rows(offsets, planes / self.sigma, "innovation")]

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        (rows, by_row), (columns, by_column) = self._sides(shape)
        precision = 1.0 / self.sigma**2
        return {
            "rho_row": product_of_sides(by_row, columns, shape) * precision,
            "rho_column": product_of_sides(rows, by_column, shape) * precision,
            "sigma": product_of_sides(rows, columns, shape) * (-2.0 * precision / self.sigma),
        }

    def build_gmrf(self, shape: Shape, mean: ArrayLike, method: str) -> GMRF:
        """Return the field: in closed form where the image is a part of the plane and no other method is asked for."""
        if self.boundary == STATIONARY and method in ("auto", "triangular"):
            rho = (self.rho_row, self.rho_column)
            return GMRF(AutoregressiveForm(rho, self.sigma, self._checked(shape)), mean, method)
        return super().build_gmrf(shape, mean, method)

    def _sides(self, shape: Shape) -> list[tuple[Side, Side]]:
        """Return for rows and columns the precision along a side and its derivative."""
        found = []
        for rho, side in zip((self.rho_row, self.rho_column), shape, strict=True):
            neighbours = neighbours_of(side, self.boundary)
            found.append((precision_of_side(rho, neighbours), slope_of_side(rho, neighbours)))
        return found
