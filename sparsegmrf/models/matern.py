"""Matern fields by their stochastic partial differential equation."""

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import numpy as np
from numpy.polynomial.polynomial import polyval

from sparsegmrf import _frozen
from sparsegmrf._validate import finite, positive_number, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.spectral_density import SpectralDensity, Values
from sparsegmrf.models._ends import end_of_anisotropy, end_of_scale
from sparsegmrf.models._fractional import parsimonious, polynomial, polynomial_derivative
from sparsegmrf.models._model import POSITIVE, REAL, Bounds, Model, frozen_map
from sparsegmrf.models._normalization import Normalization
from sparsegmrf.models._operator import BASES, Operator, anisotropy_of, as_field, check_map
from sparsegmrf.models._scale import multiplied
from sparsegmrf.models._window import cut
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import power, power_derivative, rescaled, weighted
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, Shape

_LARGEST_FRACTIONAL = 12.0
_LARGEST_PRECISION = 1e290


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

    Parameters
    ----------
    range : float or array_like, (H, W)
        Distance in pixels at which the correlation has fallen to about 0.14, ``sqrt(8 nu) / kappa``; positive.
    sigma : float or array_like, (H, W)
        Standard deviation in intensity, positive.
    nu : float
        Smoothness, positive; the precision is a stencil of reach ``ceil(nu + 1)``. With 1, 2, 3, ... it is the power
        above. A fractional one, up to 12, stands for the parsimonious polynomial of Lindgren, Rue and Lindstrom in
        ``m = 1 + G / kappa^2``, ``Q = t^2 kappa^(2 alpha) sum_j c_j m^j`` for ``t^2 kappa^(2 alpha) m^alpha``, which
        is what every method takes. It has the standard deviation `sigma`, and another correlation than the Matern
        one: at ranges of 10 to 20 pixels they differ by up to 0.17 for 0.25, 0.05 for 0.5 and 0.03 from 0.75 on.
    anisotropy : (ratio, angle), optional
        Range along a direction over range across it, and the angle of the direction in radians, from increasing columns
        towards increasing rows; numbers or (H, W) maps. `range` is the geometric mean. Two numbers are the parameters
        ``stretch = log(ratio) cos(2 angle)`` and ``shear = log(ratio) sin(2 angle)``; the derivative by a shear of 0 is
        that of one side.
    boundary : {"neumann", "dirichlet", "torus"}
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

    Raises
    ------
    ArgumentError
        If a value is not positive and finite, `nu` is fractional and above 12, a map has another shape than the
        lattice, or the boundary is unknown.

    References
    ----------
    F. Lindgren, H. Rue, J. Lindstrom (2011), An explicit link between Gaussian fields and Gaussian Markov random
    fields, JRSS B 73; their ``tau`` is ``t``, their ``C`` the identity for unit pixels. H. Bakka et al. (2019),
    Non-stationary Gaussian models with physical barriers, Spatial Statistics 29; here the range within barriers has
    gone to zero.

    Examples
    --------
    >>> field = Matern(range=10.0, sigma=2.0).gmrf((128, 128))
    >>> field.method, round(float(field.marginal_variance()[64, 64]) ** 0.5, 6)
    ('spectral', 2.0)
    """

    range: float | FloatArray = 10.0
    sigma: float | FloatArray = 1.0
    nu: float = 1.0
    anisotropy: tuple[ArrayLike, ArrayLike] | None = None
    boundary: str = "neumann"
    barrier: BoolArray | None = None
    diffusion: str = "monotone"
    _operator: Operator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("range", "sigma"):
            value = finite(name, real_array(name, getattr(self, name)))
            check_map(name, value)
            if not (value > 0.0).all():
                raise ArgumentError(f"{name} must be positive, got {float(value.min())}.")
            _frozen.assign(self, **{name: frozen_map(value) if value.ndim else float(value)})
        _frozen.assign(self, nu=positive_number("nu", self.nu))
        if self._is_fractional and self.nu > _LARGEST_FRACTIONAL:
            raise ArgumentError(
                f"nu must be a whole number, or at most {_LARGEST_FRACTIONAL:g} with a fraction, got {self.nu}: the "
                "polynomial that stands for the power loses its digits beyond."
            )
        anisotropy = as_field(self.anisotropy)
        operator = Operator(anisotropy, self.boundary, self.barrier, self.diffusion)
        _frozen.assign(self, anisotropy=anisotropy, _operator=operator, barrier=operator.barrier)

    @property
    def parameters(self) -> dict[str, float]:
        """``range`` and ``sigma`` unless they are maps, ``stretch`` and ``shear`` of a single anisotropy."""
        own = {name: getattr(self, name) for name in ("range", "sigma") if isinstance(getattr(self, name), float)}
        return {**own, **self._operator.parameters}

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits: ``range`` and ``sigma`` are positive, ``stretch`` and ``shear`` real; on any lattice."""
        return {name: POSITIVE if name in ("range", "sigma") else REAL for name in self.parameters}

    @property
    def alpha(self) -> float:
        """Exponent ``nu + 1``."""
        return self.nu + 1.0

    @property
    def kappa2(self) -> FloatArray:
        """``kappa^2 = 8 nu / range^2`` in 1/pixel^2, a number or a map."""
        return np.asarray(8.0 * self.nu / np.asarray(self.range) ** 2)

    def describe_end(self, name: str, high: bool) -> str:
        """Return what the model becomes at an end of a parameter."""
        if name == "sigma":
            return end_of_scale(high)
        if name == "range":
            return self._end_of_range(high)
        return end_of_anisotropy(name, high)

    def _end_of_range(self, high: bool) -> str:
        if not high:
            return "neighbours are independent, and the field cannot be told from noise"
        if self.nu > 1.0:
            return "the field has no range any more; TensionSpline() is a rougher field without one"
        if self.anisotropy is not None or self.barrier is not None or self.boundary != "neumann":
            return "the field has no range any more: it is a thin plate; TensionSpline() is a field without one"
        return (
            "the field has no range any more: it is a thin plate, to which Intrinsic(order=2) is close; "
            "TensionSpline() is a field without one"
        )

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
        return self.replace(**changes) if changes else self

    def build_spectral(self, shape: Shape) -> SpectralForm | None:
        """Return the precision by its eigenvalues, or None."""
        if not self._operator.is_spectral or self.kappa2.ndim or np.ndim(self.sigma):
            return None
        t2 = float(self._t2)
        return SpectralForm.of_symbol(
            BASES[self.boundary],
            shape,
            lambda rows, columns: t2 * self._power_of_eigenvalue(self._operator.eigenvalues(rows, columns)),
            self._operator.offsets(math.ceil(self.alpha)),
            partial(self.build_stencil, shape),
        )

    def build_spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variances by frequency with their derivatives, or None."""
        if not self._operator.is_spectral or self.kappa2.ndim or np.ndim(self.sigma):
            return None
        if self._is_fractional:
            return super().build_spectral_density(shape)
        kappa2, t2, alpha = float(self.kappa2), float(self._t2), round(self.alpha)
        slope = -2.0 * kappa2 / float(self.range)  # of kappa^2 by range
        weights, v = self._operator.diffusion.weights, t2 * float(self.sigma) ** 2
        moving = self._operator.spectral_parameters
        of_variance = {name: self._slope_of_variance(name) / v for name in moving}
        by_kappa2 = float(self._normalization.by_kappa2(self.kappa2, weights)) / v

        def eigenvalues(rows: FloatArray, columns: FloatArray) -> Values:
            """Return ``q = t^2 k^alpha`` with ``k = kappa^2 + g``, and its derivatives."""
            k = kappa2 + self._operator.eigenvalues(rows, columns)
            lower = t2 * math.prod([k] * (alpha - 1))
            q, by_k = lower * k, alpha * lower
            found = {"range": slope * (by_kappa2 * q + by_k), "sigma": (-2.0 / float(self.sigma)) * q}
            for name, moved in self._operator.derivative_eigenvalues(rows, columns).items():
                found[name] = of_variance[name] * q + by_k * moved
            return q, found

        return SpectralDensity.of_symbol(BASES[self.boundary], shape, ("range", "sigma", *moving), eigenvalues)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        self._check_maps(shape)
        return self._scaled(self._power(self._operator.stencil(shape)))

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        self._check_maps(shape)
        G = self._operator.stencil(shape)
        Q = self._scaled(self._power(G))
        found = {}
        if "range" in self.parameters:
            slope = -2.0 * float(self.kappa2) / float(self.range)  # of kappa^2 by range
            log_slope = slope * self._normalization.by_kappa2(self.kappa2, self._operator.diffusion.weights)
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
    def _normalization(self) -> Normalization:
        return Normalization(self.alpha)

    def _power_of_eigenvalue(self, g: FloatArray) -> FloatArray:
        """Return the eigenvalues of `_power` from those of ``G``."""
        if not self._is_fractional:
            return np.asarray((self.kappa2 + g) ** self.alpha)
        return np.asarray(self.kappa2**self.alpha * polyval(1.0 + g / self.kappa2, parsimonious(self.alpha)))

    def _power(self, G: SymmetricStencil) -> SymmetricStencil:
        """Return ``K^alpha``, or for a fractional one the polynomial that stands for it."""
        K = G.plus_diagonal(self.kappa2)
        if not self._is_fractional:
            return power(K, round(self.alpha))
        return self._by_range(polynomial(self._relative(K), parsimonious(self.alpha)), self.alpha / 2.0)

    def _moved(self, G: SymmetricStencil, E: SymmetricStencil) -> SymmetricStencil:
        """Return the derivative of `_power` when ``K`` moves in the direction ``E``."""
        K = G.plus_diagonal(self.kappa2)
        if not self._is_fractional:
            return power_derivative(K, E, round(self.alpha))
        moved = polynomial_derivative(self._relative(K), self._relative(E), parsimonious(self.alpha))
        return self._by_range(moved, self.alpha / 2.0)

    def _power_by_kappa2(self, G: SymmetricStencil) -> SymmetricStencil:
        """Return the derivative of `_power` by a single ``kappa^2``."""
        if not self._is_fractional:  # K commutes with what it moves by, the identity
            exponent = round(self.alpha)
            return power(G.plus_diagonal(self.kappa2), exponent - 1) * exponent
        # kappa^(2 alpha) P(1 + G / kappa^2): the outer power, and the inner one by -G / kappa^4.
        outer = self._power(G) * (self.alpha / float(self.kappa2))
        return outer - (1.0 / float(self.kappa2)) * self._moved(G, G)

    def _relative(self, K: SymmetricStencil) -> SymmetricStencil:
        """Return ``M = diag(1/kappa) K diag(1/kappa)``: a fractional power is ``kappa^alpha P(M) kappa^alpha``."""
        return self._by_range(K, -0.5)

    def _by_range(self, Q: SymmetricStencil, exponent: float) -> SymmetricStencil:
        """Return ``Q`` times ``kappa^(2 exponent)`` on either side."""
        if self.kappa2.ndim:
            return rescaled(Q, np.asarray(self.kappa2**exponent))
        return Q * math.pow(float(self.kappa2), 2.0 * exponent)

    def _scaled(self, Q: SymmetricStencil) -> SymmetricStencil:
        t2 = self._t2
        return rescaled(Q, np.sqrt(t2)) if t2.ndim else Q * float(t2)

    @property
    def _t2(self) -> FloatArray:
        v = self._normalization.variance(self.kappa2, self._operator.diffusion.weights)
        with np.errstate(all="ignore"):  # what is no number is seen below
            t2 = np.asarray(v / np.asarray(self.sigma) / np.asarray(self.sigma))
        if not ((t2 > 1.0 / _LARGEST_PRECISION) & (t2 < _LARGEST_PRECISION)).all():  # NaN is neither
            raise ArgumentError(
                f"sigma must make a precision between {1.0 / _LARGEST_PRECISION:g} and {_LARGEST_PRECISION:g}, whose "
                f"sums and products are numbers, got {float(np.min(self.sigma)):g} to {float(np.max(self.sigma)):g}; "
                "take another unit of intensity."
            )
        return t2

    def _with_log_slope(self, Q: SymmetricStencil, slope: ArrayLike, moved: SymmetricStencil) -> SymmetricStencil:
        """Return ``(D Q + Q D) / 2`` with ``D = dv / v`` of each pixel, plus what moves besides."""
        v = self._normalization.variance(self.kappa2, self._operator.diffusion.weights)
        return weighted(Q, np.asarray(slope) / v) + moved

    def _slope_of_variance(self, name: str) -> float:
        each = self._operator.diffusion
        if self.kappa2.ndim:
            raise ArgumentError(
                "range must be a number for derivatives by stretch and shear, got a map: give anisotropy as maps too."
            )
        direction = each.weights_by_stretch if name == "stretch" else each.weights_by_shear
        return self._normalization.along(self.kappa2, each.weights, direction)

    def _check_maps(self, shape: Shape) -> None:
        self._operator.check_shape(shape)
        for name in ("range", "sigma"):
            given = np.shape(getattr(self, name))
            if given not in ((), shape):
                raise ArgumentError(f"{name} must be a number or have the shape {shape} of the lattice, got {given}.")

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the fields that hold the parameters."""
        return anisotropy_of(parameters)
