"""Tension splines: fields without a range, membranes at large distances and thin plates at small ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._edges import as_argument, has
from sparsegmrf._validate import finite_number, integer_at_least, positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._transforms import basis_of
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.spectral_density import SpectralDensity, Values
from sparsegmrf.gmrf import GMRF
from sparsegmrf.intrinsic_gmrf import IntrinsicGMRF
from sparsegmrf.models._ends import CONSTANT, UNBOUND, VANISHES, end_of_anisotropy
from sparsegmrf.models._model import POSITIVE, REAL, Bounds, Model
from sparsegmrf.models._operator import Operator, anisotropy_of, as_field
from sparsegmrf.models._rows import powers_of_shifted, rows_of_diffusion, rows_of_polynomial, scaled_rows
from sparsegmrf.models._scale import multiplied
from sparsegmrf.models._spacing import PixelSize, mean_side, scheme_for
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import power_derivative, product
from sparsegmrf.stencil.rows import Rows
from sparsegmrf.typing import ArrayLike, BoolArray, Boundary, FloatArray, Shape

SMOOTHEST = 3
"""Largest smoothness."""


@dataclass(frozen=True, eq=False)
class TensionSpline(Model):
    """Tension-spline field ``Q = tau (eps + G)(kappa^2 + G)^nu``, ``G = -div H grad`` on the pixels.

    Its spectral density is proportional to ``1 / ((eps + g)(kappa^2 + g)^nu)``: a membrane (random walk) at distances
    beyond ``1/kappa``, below them a thin plate, or with `nu` above 1 a smoother spline. Without ``eps`` it has no level
    of its own: constants are in the null space, and nothing reverts to a mean within large gaps.

    With a `spacing` this is the same energy on the ground, which with ``nu = 1`` is ``tau int ((div H grad x)^2 +
    kappa^2 grad x . H grad x)``: ``Q = tau A^1/2 (eps + G)(kappa^2 + G)^nu A^1/2`` with the pixels' areas ``A`` and
    ``G`` as for `Matern`.

    Parameters
    ----------
    kappa : float
        Inverse of the distance at which it changes from plate to membrane, in one over the unit of `spacing`, in
        1/pixel without one; positive.
    tau : float
        Precision, positive, in length^(2 nu)/intensity^2 with the unit of `spacing` or pixels for the length.
    anisotropy : (ratio, angle), optional
        As for `Matern`: two numbers, with the parameters ``stretch`` and ``shear``, or maps.
    proper : float
        ``eps`` in the unit of ``kappa^2``. 0 for the intrinsic field; a tiny positive number gives a proper one whose
        level varies by about ``1 / (4 pi tau kappa^2) log(kappa^2 / eps)``. It is no parameter of a fit.
    boundary : {"neumann", "dirichlet", "torus"} or (str, str)
        No flux, zero outside (then it is proper), or wrapped.
    barrier : array_like of bool, (H, W), optional
        True where the field must not pass, as for `Matern`; the intrinsic field is held at the mean there,
        and has one free level on each part of the image that is left.
    diffusion : {"monotone", "smooth"}
        How a single anisotropy is put on the grid: by conductances that are never negative, whose offsets grow with the
        ratio and whose likelihood has kinks in stretch and shear; or by nine points, smooth in stretch and shear, for
        fits and for ratios up to 4 or so.
    spacing : (height, width), optional
        Height and width of a pixel in a unit of length, numbers, (H,) or (H, W), as for `Matern`.
    nu : {1, 2, 3}
        Smoothness at distances below ``1/kappa``, where differences are those of a `Matern` field of this `nu`. It is
        no parameter of a fit.

    Raises
    ------
    ArgumentError
        If `kappa` or `tau` is not positive, `proper` is negative, `nu` is none of 1, 2 and 3, or a map has another
        shape than the lattice.

    References
    ----------
    H. Wendelberger (1981), thin plate splines in tension; L. Mitas, H. Mitasova (1988), General variational approach to
    the interpolation problem, Computers & Mathematics with Applications 16.

    Examples
    --------
    >>> TensionSpline(kappa=0.3, proper=1e-4).gmrf((64, 64)).sample(rng=0).shape
    (64, 64)
    >>> TensionSpline(kappa=0.3).gmrf((64, 64)).rank_deficiency
    1
    """

    kappa: float = 0.2
    tau: float = 1.0
    anisotropy: tuple[float, float] | None = None
    proper: float = 0.0
    boundary: Boundary = "neumann"
    barrier: BoolArray | None = None
    diffusion: str = "monotone"
    spacing: PixelSize | None = None
    nu: int = 1
    _operator: Operator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _frozen.assign(self, kappa=positive_number("kappa", self.kappa), tau=positive_number("tau", self.tau))
        proper = finite_number("proper", self.proper)
        if proper < 0.0:
            raise ArgumentError(f"proper must not be negative, got {proper}; 0 is the intrinsic field.")
        _frozen.assign(self, nu=integer_at_least("nu", self.nu, 1))
        if self.nu > SMOOTHEST:
            raise ArgumentError(f"nu must be 1, 2 or 3, got {self.nu}.")
        anisotropy = as_field(self.anisotropy)
        operator = Operator(anisotropy, self.boundary, self.barrier, self.diffusion, self.spacing)
        _frozen.assign(self, proper=proper, anisotropy=anisotropy, spacing=operator.spacing, _operator=operator)
        _frozen.assign(self, barrier=operator.barrier, boundary=operator.boundary)

    @property
    def parameters(self) -> dict[str, float]:
        """``kappa`` and ``tau``, and ``stretch`` and ``shear`` of a single anisotropy."""
        return {"kappa": self.kappa, "tau": self.tau, **self._operator.parameters}

    @property
    def is_intrinsic(self) -> bool:
        """Whether constants are in the null space of the precision."""
        return self.proper == 0.0 and not has(self.boundary, "dirichlet")

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits: ``kappa`` and ``tau`` are positive, ``stretch`` and ``shear`` real; on any lattice."""
        return {name: POSITIVE if name in ("kappa", "tau") else REAL for name in self.parameters}

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "kappa":
            return self._end_of_kappa(high)
        if name != "tau":
            return end_of_anisotropy(name, high)
        if not high:
            return UNBOUND
        return CONSTANT if self.is_intrinsic else VANISHES

    def _end_of_kappa(self, high: bool) -> str:
        mask = "" if self.barrier is None else "mask=barrier"
        if high:
            if self.anisotropy is not None:
                return "the field is a random walk with the same anisotropy"
            if self.spacing is not None:
                return "the field is a random walk with the same spacing"
            if self.is_intrinsic:
                rest = ", ".join(filter(None, (mask, as_argument(self.boundary, "neumann"))))
                return f"the field is a random walk; Intrinsic({rest}) is this model"
            held = "the field is a random walk that is held to its mean"
            rho = f"{1.0 / (4.0 + self.proper):.10g}"
            return held if mask else f"{held}; CAR({rho}, {as_argument(self.boundary, '')}) is this model"
        if self.proper > 0.0 and self.nu > 1:
            return f"kappa^2 is zero, and proper holds the field: its precision is that of G^{self.nu} (proper + G)"
        if self.proper > 0.0:
            swapped = f"replace(kappa={math.sqrt(self.proper):.10g}, proper=0.0)"
            return f"kappa^2 and proper have changed places; {swapped} is this model"
        if self.nu > 1:
            return f"the field is a spline without tension, whose precision is that of G^{self.nu + 1}"
        if all(each is None for each in (self.anisotropy, self.barrier, self.spacing)) and self.boundary == "neumann":
            return "the field is a thin plate; Intrinsic(order=2) is close to this model"
        return "the field is a thin plate"

    def lengths(self) -> dict[str, int]:
        """Return that ``kappa`` is one over a length, and ``tau`` a power of it per square of intensity."""
        return {"kappa": -1, "tau": 2 * self.nu}

    def spaced(self, spacing: tuple[ArrayLike, ArrayLike]) -> Self:
        """Return the model on pixels of a size."""
        if self.spacing is not None:
            return self
        found = self.replace(spacing=spacing, diffusion=scheme_for(spacing, self.diffusion))
        side = mean_side(found.spacing)
        return found.replace(
            kappa=self.kappa / side, tau=self.tau * side ** (2 * self.nu), proper=self.proper / side**2
        )

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(tau=multiplied("tau", self.tau, factor, -2))

    def cropped(self, rows: slice, columns: slice) -> Self:
        """Return the model on a window of its lattice."""
        super().cropped(rows, columns)
        changes = self._operator.cropped(rows, columns)
        return self.replace(**changes) if changes else self

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        return self._operator.weighed(
            self.tau * _polynomial(self._operator.stencil(shape), self._coefficients(self.nu))
        )

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Return the rows of the powers of ``G`` in the precision, whose coefficients are not negative."""
        G, root = self._operator.stencil(shape), rows_of_diffusion(self._operator, shape)
        coefficients = self._coefficients(self.nu)
        powers = {exponent: self.tau * coefficients[exponent] for exponent in reversed(range(len(coefficients)))}
        found = rows_of_polynomial(G, root, powers)
        return scaled_rows(found, np.sqrt(self._operator.area))

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        G = self._operator.stencil(shape)
        rate, coefficients = 2.0 * self.nu * self.kappa * self.tau, self._coefficients(self.nu)
        found = {
            "kappa": self._operator.weighed(rate * _polynomial(G, self._coefficients(self.nu - 1))),
            "tau": self.build_stencil(shape) * (1.0 / self.tau),
        }
        for name, E in self._operator.derivatives(shape).items():
            found[name] = self._operator.weighed(self.tau * _polynomial_derivative(G, E, coefficients))
        return found

    def _coefficients(self, nu: int) -> list[float]:
        """Return those of ``(eps + g)(kappa^2 + g)^nu`` by powers of ``g`` from 0, none of which is negative."""
        shifted = powers_of_shifted(self.kappa**2, nu)
        return [self.proper * shifted.get(j, 0.0) + shifted.get(j - 1, 0.0) for j in range(nu + 2)]

    def build_spectral(self, shape: Shape) -> SpectralForm | None:
        """Return the precision by its eigenvalues, or None."""
        if not self._operator.is_spectral:
            return None
        operator = self._operator
        return SpectralForm.of_symbol(
            basis_of(self.boundary),
            shape,
            lambda rows, columns: self._eigenvalues(rows, columns)[0],
            operator.offsets(self.nu + 1),
            partial(self.build_stencil, shape),
        )

    def build_spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variances by frequency with their derivatives, or None."""
        if not self._operator.is_spectral:
            return None
        names = ("kappa", "tau", *self._operator.spectral_parameters)
        return SpectralDensity.of_symbol(
            basis_of(self.boundary), shape, names, self._eigenvalues, is_intrinsic=self.is_intrinsic
        )

    def _eigenvalues(self, rows: FloatArray, columns: FloatArray) -> Values:
        """Return the eigenvalues ``tau A (eps + g) k^nu`` with ``k = kappa^2 + g``, and their derivatives."""
        g, kappa2, eps = self._operator.eigenvalues(rows, columns), self.kappa**2, self.proper
        area, k = float(self._operator.area), kappa2 + g
        tau, lower = self.tau * area, math.prod([k] * (self.nu - 1))
        found = {
            "kappa": 2.0 * self.nu * self.kappa * tau * ((eps + g) * lower),
            "tau": area * ((eps + g) * (lower * k)),
        }
        for name, moved in self._operator.derivative_eigenvalues(rows, columns).items():
            found[name] = tau * (k + self.nu * (eps + g)) * (lower * moved)
        return self.tau * found["tau"], found

    def build_gmrf(self, shape: Shape, mean: ArrayLike, method: str) -> GMRF:
        """Return the field with the model's own boundary."""
        if not self.is_intrinsic:
            return super().build_gmrf(shape, mean, method)
        domain = None if self.barrier is None else ~self.barrier
        return IntrinsicGMRF(self._given(shape, method), "constants", mean, method, domain=domain)

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the fields that hold the parameters."""
        return anisotropy_of(parameters)


def _polynomial(G: SymmetricStencil, coefficients: Sequence[float]) -> SymmetricStencil:
    """Return ``sum_j c_j G^j`` of degree one or more, the highest power first."""
    powers = [G]
    for _ in range(2, len(coefficients)):
        powers.append(product(G, powers[-1], commute=True))
    found = powers[-1] * coefficients[-1]
    for c, lower in zip(reversed(coefficients[1:-1]), reversed(powers[:-1]), strict=True):
        found = found + lower * c
    return found.plus_diagonal(coefficients[0]) if coefficients[0] > 0.0 else found


def _polynomial_derivative(G: SymmetricStencil, E: SymmetricStencil, coefficients: Sequence[float]) -> SymmetricStencil:
    """Return the derivative of `_polynomial` when ``G`` moves in the direction ``E``."""
    found = E * coefficients[1]
    for exponent in range(2, len(coefficients)):
        found = power_derivative(G, E, exponent) * coefficients[exponent] + found
    return found
