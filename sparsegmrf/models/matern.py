"""Matern fields by their stochastic partial differential equation."""

import math
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal, Self

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._edges import has
from sparsegmrf._validate import finite, integer_at_least, one_of, positive_number, real_array
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors._transforms import basis_of
from sparsegmrf.factors.independent import IndependentForm, stacked
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.spectral_density import SpectralDensity, Values
from sparsegmrf.factors.total import TotalForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.models._ends import end_of_anisotropy, end_of_scale
from sparsegmrf.models._lattice_variance import derivative_along, derivative_by_kappa2, lattice_variance
from sparsegmrf.models._matern_terms import Terms, precision_scale
from sparsegmrf.models._model import POSITIVE, REAL, Bounds, Model, frozen_map
from sparsegmrf.models._operator import Operator, anisotropy_of, as_field, check_map
from sparsegmrf.models._rows import (
    powers_of_shifted,
    rows_of_diffusion,
    rows_of_polynomial,
    rows_of_shifted,
    scaled_rows,
)
from sparsegmrf.models._scale import multiplied
from sparsegmrf.models._spacing import PixelSize, mean_side, scheme_for
from sparsegmrf.models._window import cut
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import power, power_derivative, rescaled, weighted
from sparsegmrf.stencil.rows import Rows, dominant_rows, rows_of_power
from sparsegmrf.typing import ArrayLike, BoolArray, Boundary, FloatArray, Shape

_LARGEST_FREE = 4.0
"""Up to which smoothness is estimated."""
_START = 0.5
_NEARBY = 8.0
"""Lag in pixels at which fields that are to look alike nearby vary alike."""
_LONGER = (math.exp(2.0), math.exp(4.0))
_MOST_TERMS = 4
_END_OF_SMOOTHNESS = {
    True: "the field is smoother than any that is estimated; give nu",
    False: "the covariance falls with the logarithm of the distance; Intrinsic() is such a field without a range",
}


@dataclass(frozen=True, eq=False)
class Matern(Model):
    """Matern field: ``(kappa^2 + G)^(alpha/2) x`` is white, ``Q = t^2 (kappa^2 + G)^alpha``, ``alpha = nu + 1``.

    ``G = -div H grad`` on the pixels, ``kappa = sqrt(8 nu) / range``, and ``t^2 = v / sigma^2`` with the variance ``v``
    of ``(kappa^2 + G)^alpha`` on the lattice without borders, computed to rounding: this is the discretization
    correction, ``v`` being ``1 / (4 pi nu kappa^(2 nu))`` for long ranges and 9% more at a range of 5 pixels for
    ``nu = 1``. Far from borders the standard deviation is `sigma` at any range. Maps make it non-stationary:
    ``Q = T K^alpha T`` with ``K = diag(kappa^2) + G``, conductances averaged over the two pixels of a pair, and
    ``T = diag(sqrt(v) / sigma)`` with the ``v`` of each pixel's own range and anisotropy, so that `sigma` is nominal
    where the maps vary within a range.

    With a `spacing` all of this is on the ground: pixels of the area ``A = diag(height width)``, where a gradient along
    rows is a difference over the width, have ``Q = T K^alpha T``, ``K = kappa^2 + A^-1/2 F A^-1/2`` with the fluxes
    ``F`` between pixels: conductances ``height / width`` along rows and ``width / height`` along columns, averaged over
    two pixels, where the anisotropy is none.

    Parameters
    ----------
    range : float or array_like, (H, W)
        Distance at which the correlation has fallen to about 0.14, ``sqrt(8 nu) / kappa``; positive, in the unit of
        `spacing`, in pixels without one.
    sigma : float or array_like, (H, W)
        Standard deviation in intensity, positive.
    nu : float
        Smoothness, positive; 0.5 is the exponential covariance. With 1, 2, 3, ... the precision is the power above, a
        stencil of reach ``nu + 1``. With any other the field is a sum of `terms` independent Markov fields, of reach
        ``floor(nu) + 2``, whose variance per frequency, ``sum_i r_i / (m^n (m + p_i))`` with ``n = floor(alpha)`` and
        ``m = 1 + G / kappa^2``, is nearest to ``m^-alpha`` on what frequencies the lattice has. That is its law
        whatever is done with it, and `covariance_error` says how far it is from the power's. ``"estimate"`` makes it a
        parameter of fits, that start at 0.5 and end below 4.
    anisotropy : (ratio, angle), optional
        Range along a direction over range across it, and the angle of the direction in radians, from increasing columns
        towards increasing rows, on the ground; numbers or (H, W) maps. `range` is the geometric mean. Two numbers are
        the parameters ``stretch = log(ratio) cos(2 angle)`` and ``shear = log(ratio) sin(2 angle)``; the derivative by
        a shear of 0 is that of one side.
    boundary : {"neumann", "dirichlet", "torus"} or (str, str)
        No flux, zero outside, or wrapped. On images larger than the range the variance at a no-flux border is up to
        twice, in corners four times ``sigma^2``. On smaller ones it is more: with ``nu = 1`` about ``1.1 range / w``
        times ``sigma^2`` on a strip ``w`` pixels wide, and ``1.6 range^2 / n`` times on ``n`` pixels that are shorter
        than the range in both directions, 157 times on a single one at a range of 10. `stationary` has the variance
        ``sigma^2`` on any image.
    barrier : array_like of bool, (H, W), optional
        True where the field must not pass (land, missing ground): no flux enters these pixels, nor passes between two
        of them that touch at a corner. Within, pixels are independent of all others. Channels and ponds that are
        narrower than the range have the variance of strips and of small images; dividing `sigma`, as a map, by the
        standard deviations that the field has without makes them those that are wanted.
    diffusion : {"monotone", "smooth"}
        How a single anisotropy is put on the grid: by conductances that are never negative, whose offsets grow with the
        ratio and whose likelihood has kinks in stretch and shear; or by nine points, smooth in stretch and shear, for
        fits and for ratios up to 4 or so.
    terms : int
        Number of fields whose sum has a fractional smoothness, 1 to 4; unknowns per pixel. With 3 covariances are off
        by less than 0.001 ``sigma^2`` for `nu` from 0.75 on, and with any `nu` up to ranges of 20 pixels.
    nu_is_free : bool
        Whether `nu` is a parameter; ``nu="estimate"`` makes it one.
    spacing : (height, width), optional
        Height and width of a pixel in a unit of length: numbers, or arrays with a number for each row (H,) or maps
        (H, W). By default pixels of 1 by 1. The range is then in this unit, directions are those on the ground, and a
        map (`sparsegmrf.inference.spacing_on_sphere` makes that of latitudes) leaves the range one number. Fits of
        labelled images set it by the coordinates.

    Raises
    ------
    ArgumentError
        If a value is not positive and finite, a map has another shape than the lattice, the boundary is unknown, or
        `nu` shall be estimated of a map of ranges.

    References
    ----------
    F. Lindgren, H. Rue, J. Lindstrom (2011), An explicit link between Gaussian fields and Gaussian Markov random
    fields, JRSS B 73; their ``tau`` is ``t``, their ``C`` the identity for unit pixels. H. Bakka et al. (2019),
    Non-stationary Gaussian models with physical barriers, Spatial Statistics 29; here the range within barriers has
    gone to zero. D. Bolin, A. Simas, Z. Xiong (2023), Covariance-based rational approximations of fractional SPDEs for
    computationally efficient Bayesian inference, Journal of Computational and Graphical Statistics 33.

    Examples
    --------
    >>> field = Matern(range=10.0, sigma=2.0).gmrf((128, 128))
    >>> field.method, round(float(field.marginal_variance()[64, 64]) ** 0.5, 6)
    ('spectral', 2.0)
    """

    range: float | FloatArray = 10.0
    sigma: float | FloatArray = 1.0
    nu: float | Literal["estimate"] = 1.0
    anisotropy: tuple[ArrayLike, ArrayLike] | None = None
    boundary: Boundary = "neumann"
    barrier: BoolArray | None = None
    diffusion: str = "monotone"
    terms: int = 3
    nu_is_free: bool = False
    spacing: PixelSize | None = None
    _operator: Operator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("range", "sigma"):
            value = finite(name, real_array(name, getattr(self, name)))
            check_map(name, value)
            if not (value > 0.0).all():
                raise ArgumentError(f"{name} must be positive, got {float(value.min())}.")
            _frozen.assign(self, **{name: frozen_map(value) if value.ndim else float(value)})
        if isinstance(self.nu, str):
            one_of("nu", self.nu, ("estimate",))
            _frozen.assign(self, nu=_START, nu_is_free=True)
        _frozen.assign(self, nu=positive_number("nu", self.nu), terms=integer_at_least("terms", self.terms, 1))
        if self.terms > _MOST_TERMS:
            raise ArgumentError(
                f"terms must be at most {_MOST_TERMS}, got {self.terms}; these leave an error below 0.0005."
            )
        self._check_free()
        anisotropy = as_field(self.anisotropy)
        operator = Operator(anisotropy, self.boundary, self.barrier, self.diffusion, self.spacing)
        _frozen.assign(self, anisotropy=anisotropy, spacing=operator.spacing, _operator=operator)
        _frozen.assign(self, barrier=operator.barrier, boundary=operator.boundary)

    @property
    def parameters(self) -> dict[str, float]:
        """``range`` and ``sigma`` unless they are maps, ``nu`` to be estimated, ``stretch`` and ``shear``."""
        own = {name: getattr(self, name) for name in ("range", "sigma") if isinstance(getattr(self, name), float)}
        if self.nu_is_free:
            own["nu"] = self._nu
        return {**own, **self._operator.parameters}

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits: ``range``, ``sigma`` and ``nu`` are positive; on any lattice."""
        limits = dict.fromkeys(("range", "sigma"), POSITIVE) | {"nu": (0.0, _LARGEST_FREE)}
        return {name: limits.get(name, REAL) for name in self.parameters}

    @property
    def combination(self) -> FloatArray | None:
        """Ones for the fields whose sum has a fractional smoothness; None of a whole-numbered one."""
        return np.ones(self.terms) if self._is_fractional and self.terms > 1 else None

    def covariance_error(self) -> float:
        """Return the largest error of a covariance over ``sigma^2``, against the power on the same lattice.

        Over lags along rows, columns and diagonals, without borders; zero where `nu` is a whole number.

        Raises
        ------
        ArgumentError
            If the range, the anisotropy or the spacing is a map.

        Examples
        --------
        >>> Matern(range=10.0, nu=0.5).covariance_error() < 5e-4
        True
        """
        if not self._is_fractional:
            return 0.0
        if self.kappa2.ndim or self._operator.diffusion.weights.ndim > 1:
            raise ArgumentError(
                "range, anisotropy and spacing must be numbers for an error, got maps; ask for single values."
            )
        return self._terms.covariance_error()

    @property
    def alpha(self) -> float:
        """Exponent ``nu + 1``."""
        return self._nu + 1.0

    @property
    def kappa2(self) -> FloatArray:
        """``kappa^2 = 8 nu / range^2`` in one over the square of the range's unit, a number or a map."""
        return np.asarray(8.0 * self._nu / np.asarray(self.range) ** 2)

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "sigma":
            return end_of_scale(high)
        if name == "range":
            return self._end_of_range(high)
        if name == "nu":
            return _END_OF_SMOOTHNESS[high]
        return end_of_anisotropy(name, high)

    def _end_of_range(self, high: bool) -> str:
        if not high:
            return "neighbours are independent, and the field cannot be told from noise"
        if self._nu < 1.0:
            return "the field has no range any more; TensionSpline() is a smoother field without one"
        if self._nu > 1.0:
            return "the field has no range any more; TensionSpline() is a rougher field without one"
        if (
            any(each is not None for each in (self.anisotropy, self.barrier, self.spacing))
            or self.boundary != "neumann"
        ):
            return "the field has no range any more: it is a thin plate; TensionSpline() is a field without one"
        return (
            "the field has no range any more: it is a thin plate, to which Intrinsic(order=2) is close; "
            "TensionSpline() is a field without one"
        )

    def alike_nearby(self) -> list[Self]:
        """Return fields of longer ranges that vary alike at lags of some pixels, where `nu` is a parameter."""
        if not (self.nu_is_free and {"range", "sigma"} <= set(self.parameters)):
            return []
        own, found = float(self.sigma) * self._growth(float(self.range), self._nu), []
        for nu in sorted({self._nu, min(self._nu, _START)}):
            for reach in (longer * float(self.range) for longer in _LONGER):
                found.append(self.replace(range=reach, nu=nu, sigma=own / self._growth(reach, nu)))
        return found

    def _growth(self, reach: float, nu: float) -> float:
        """Return the deviation of a difference at a nearby lag over `sigma`, but for a factor of about one."""
        return math.pow(min(1.0, _NEARBY * mean_side(self.spacing) / reach), min(1.0, nu))

    def lengths(self) -> dict[str, int]:
        """Return that ``range`` is a length."""
        return {name: 1 for name in self.parameters if name == "range"}

    def spaced(self, spacing: tuple[ArrayLike, ArrayLike]) -> Self:
        """Return the model on pixels of a size."""
        if self.spacing is not None:
            return self
        found = self.replace(spacing=spacing, diffusion=scheme_for(spacing, self.diffusion))
        return found.replace(range=self.range * mean_side(found.spacing))

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(sigma=multiplied("sigma", self.sigma, factor))

    def cropped(self, rows: slice, columns: slice) -> Self:
        """Return the model on a window of its lattice."""
        super().cropped(rows, columns)
        changes = self._operator.cropped(rows, columns)
        for name in ("range", "sigma"):
            if np.ndim(getattr(self, name)):
                changes[name] = cut(getattr(self, name), rows, columns)
        if not changes:
            return self
        found = self.replace(**changes)
        if self.kappa2.ndim and self.alpha == 2.0 and not has(self.boundary, "torus"):
            _frozen.assign(found, _keeps_diagonal=self._keeps_diagonal)
        return found

    def build_spectral(self, shape: Shape) -> SpectralForm | None:
        """Return the precision by its eigenvalues, or None."""
        if self._is_fractional:
            forms = self._terms.spectral(shape)
            return forms[0] if forms is not None and len(forms) == 1 else None
        if not self._operator.is_spectral or self.kappa2.ndim or np.ndim(self.sigma):
            return None
        t2 = float(self._t2)
        return SpectralForm.of_symbol(
            basis_of(self.boundary),
            shape,
            lambda rows, columns: t2 * (self.kappa2 + self._operator.eigenvalues(rows, columns)) ** self.alpha,
            self._operator.offsets(math.ceil(self.alpha)),
            partial(self.build_stencil, shape),
        )

    def build_spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variances by frequency with their derivatives, or None."""
        if not self._operator.is_spectral or self.kappa2.ndim or np.ndim(self.sigma):
            return None
        if self._is_fractional:
            return self._terms.spectral_density(shape, self.parameters)
        kappa2, t2, alpha = float(self.kappa2), float(self._t2), round(self.alpha)
        slope = -2.0 * kappa2 / float(self.range)  # of kappa^2 by range
        weights, v = self._operator.diffusion.weights, t2 * float(self.sigma) ** 2
        moving = self._operator.spectral_parameters
        of_variance = {name: float(self._slope_of_variance(name)) / v for name in moving}
        by_kappa2 = float(derivative_by_kappa2(self.kappa2, weights, self.alpha)) / v

        def eigenvalues(rows: FloatArray, columns: FloatArray) -> Values:
            """Return ``q = t^2 k^alpha`` with ``k = kappa^2 + g``, and its derivatives."""
            k = kappa2 + self._operator.eigenvalues(rows, columns)
            lower = t2 * math.prod([k] * (alpha - 1))
            q, by_k = lower * k, alpha * lower
            found = {"range": slope * (by_kappa2 * q + by_k), "sigma": (-2.0 / float(self.sigma)) * q}
            for name, moved in self._operator.derivative_eigenvalues(rows, columns).items():
                found[name] = of_variance[name] * q + by_k * moved
            return q, found

        return SpectralDensity.of_symbol(basis_of(self.boundary), shape, ("range", "sigma", *moving), eigenvalues)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        self._check_maps(shape)
        if self._is_fractional:
            return stacked(self._terms.stencils(shape))
        return self._scaled(self._power(self._operator.stencil(shape)))

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Return the rows of the powers of ``G`` in ``(kappa^2 + G)^(nu + 1)``, those of ``K`` where kappa is a map.

        A window without the rows that it shares with others keeps those of lower powers, which reach less far.
        """
        self._check_maps(shape)
        G, root = self._operator.stencil(shape), rows_of_diffusion(self._operator, shape)
        if self._is_fractional:
            return self._terms.rows(G, root)
        exponent = round(self.alpha)
        if self.kappa2.ndim and exponent == 2 and self._keeps_diagonal:
            crossed = [each.called(f"crossed, {each.name}") for each in dominant_rows(self._crossed(G))]
            found = [Rows.of_symmetric(G), *crossed]
        elif self.kappa2.ndim:
            found = rows_of_power(G.plus_diagonal(self.kappa2), rows_of_shifted(G, root, self.kappa2), exponent)
        else:
            found = rows_of_polynomial(G, root, powers_of_shifted(float(self.kappa2), exponent))
        return scaled_rows(found, np.sqrt(self._t2))

    @cached_property
    def _keeps_diagonal(self) -> bool:
        """Whether ``D^2 + D G + G D`` with a map ``D = kappa^2`` is a sum of squares of pairs, all over the map.

        It is ``sum 2 g_pq (D_p + D_q) / 2 (x_p - x_q)^2`` over pairs and ``D^2 + G D`` on the diagonal, which is
        positive unless the range changes much within a range. A window goes by the whole.
        """
        shape = (self.kappa2.shape[0], self.kappa2.shape[1])
        try:
            dominant_rows(self._crossed(self._operator.stencil(shape)))
        except StencilError:
            return False
        return True

    def _crossed(self, G: SymmetricStencil) -> SymmetricStencil:
        """Return ``(D + G)^2 - G^2``."""
        return weighted(G * 2.0, self.kappa2).plus_diagonal(self.kappa2**2)

    def build_gmrf(self, shape: Shape, mean: ArrayLike, method: str) -> GMRF:
        """Return the field: that of the sum where the smoothness is fractional."""
        if self.combination is None:
            return super().build_gmrf(shape, mean, method)
        self._check_maps(shape)
        forms = self._terms.spectral(shape) if method in ("auto", "spectral") else None
        members = self._terms.stencils(shape) if forms is None else forms
        return GMRF(TotalForm(IndependentForm(members), self.combination), mean, method)

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        self._check_maps(shape)
        if self._is_fractional:
            terms = self._terms.derivatives(shape, self.parameters)
            return {name: stacked(terms[name]) for name in self.parameters}
        G = self._operator.stencil(shape)
        Q = self._scaled(self._power(G))
        found = {}
        if "range" in self.parameters:
            slope = -2.0 * float(self.kappa2) / float(self.range)  # of kappa^2 by range
            log_slope = slope * derivative_by_kappa2(self.kappa2, self._operator.diffusion.weights, self.alpha)
            moved = self._scaled(self._power_by_kappa2(G)) * slope
            found["range"] = self._with_log_slope(Q, log_slope, moved)
        if "sigma" in self.parameters:
            found["sigma"] = Q * (-2.0 / float(self.sigma))
        for name, E in self._operator.derivatives(shape).items():
            found[name] = self._with_log_slope(Q, self._slope_of_variance(name), self._scaled(self._moved(G, E)))
        return found

    @property
    def _is_fractional(self) -> bool:
        return self.alpha != round(self.alpha)

    @property
    def _nu(self) -> float:
        return float(self.nu)

    @cached_property
    def _terms(self) -> Terms:
        """The fields whose sum has a fractional smoothness."""
        return Terms(self.kappa2, np.asarray(self.sigma), self._nu, self.terms, self._operator)

    def _check_free(self) -> None:
        """Refuse to estimate what has no derivative."""
        if not self.nu_is_free:
            return
        if self._nu >= _LARGEST_FREE:
            raise ArgumentError(f"nu must be below {_LARGEST_FREE:g} to be estimated, got {self._nu:g}; give it.")
        if np.ndim(self.range):
            raise ArgumentError("range must be a number for nu to be estimated, got a map; give nu.")

    def _power(self, G: SymmetricStencil) -> SymmetricStencil:
        """Return ``K^alpha``."""
        return power(G.plus_diagonal(self.kappa2), round(self.alpha))

    def _moved(self, G: SymmetricStencil, E: SymmetricStencil) -> SymmetricStencil:
        """Return the derivative of `_power` when ``K`` moves in the direction ``E``."""
        return power_derivative(G.plus_diagonal(self.kappa2), E, round(self.alpha))

    def _power_by_kappa2(self, G: SymmetricStencil) -> SymmetricStencil:
        """Return the derivative of `_power` by a single ``kappa^2``: ``K`` commutes with the identity."""
        exponent = round(self.alpha)
        return power(G.plus_diagonal(self.kappa2), exponent - 1) * exponent

    def _scaled(self, Q: SymmetricStencil) -> SymmetricStencil:
        t2 = self._t2
        return rescaled(Q, np.sqrt(t2)) if t2.ndim else Q * float(t2)

    @property
    def _t2(self) -> FloatArray:
        v = lattice_variance(self.kappa2, self._operator.diffusion.weights, self.alpha)
        return precision_scale(v, np.asarray(self.sigma))

    def _with_log_slope(self, Q: SymmetricStencil, slope: ArrayLike, moved: SymmetricStencil) -> SymmetricStencil:
        """Return ``(D Q + Q D) / 2`` with ``D = dv / v`` of each pixel, plus what moves besides."""
        v = lattice_variance(self.kappa2, self._operator.diffusion.weights, self.alpha)
        return weighted(Q, np.asarray(slope) / v) + moved

    def _slope_of_variance(self, name: str) -> FloatArray:
        each = self._operator.diffusion
        if self.kappa2.ndim:
            raise ArgumentError(
                "range must be a number for derivatives by stretch and shear, got a map: give anisotropy as maps too."
            )
        direction = each.weights_by_stretch if name == "stretch" else each.weights_by_shear
        return np.asarray(derivative_along(self.kappa2, each.weights, direction, self.alpha))

    def _check_maps(self, shape: Shape) -> None:
        self._operator.check_shape(shape)
        for name in ("range", "sigma"):
            given = np.shape(getattr(self, name))
            if given not in ((), shape):
                raise ArgumentError(f"{name} must be a number or have the shape {shape} of the lattice, got {given}.")

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the fields that hold the parameters."""
        return anisotropy_of(parameters)
