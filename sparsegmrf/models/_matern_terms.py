"""A Matern field of fractional smoothness as a sum of a few Markov fields."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._transforms import basis_of
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.spectral_density import SpectralDensity, Values
from sparsegmrf.models._operator import Operator
from sparsegmrf.models._rational import Numbers, Rule, largest_frequency, rule, variance_of_term
from sparsegmrf.models._rows import powers_of_shifted, rows_of_polynomial, scaled_rows
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import diagonal_stencil, power, power_derivative, product, rescaled, weighted
from sparsegmrf.stencil.rows import Rows
from sparsegmrf.typing import FloatArray, Shape

_TINY = 1e-20
_LARGEST_PRECISION = 1e290
_LARGEST = 1e4
"""The largest ``m`` that counts where the range is a map: whatever its values are, a window has the same law."""


class _Moved(NamedTuple):
    """Derivatives by one parameter: of ``kappa^2``, of conductances, poles and weights."""

    kappa2: float
    conductances: FloatArray
    poles: FloatArray
    weights: FloatArray


@dataclass(frozen=True, eq=False)
class Terms:
    """The fields ``x_i`` whose sum is a Matern field: ``Q_i = T_i D (M^(n+1) + p_i M^n) D T_i``.

    ``M = K / kappa^2``, ``D = kappa^(n+1)`` and ``T_i^2 = v / (r_i sigma^2)`` with poles ``p_i`` and weights ``r_i`` of
    a rule for ``m^-alpha`` and the variance ``v = sum_i r_i f_i`` of ``sum_i r_i K^-n (K + kappa^2 p_i)^-1`` on the
    lattice without borders. With maps ``M = kappa^-1 K kappa^-1``, and poles and weights are for ``m`` up to 1e4, and
    so they are on pixels of several sizes.

    Attributes
    ----------
    kappa2, sigma : ndarray, () or (H, W)
        ``8 nu / range^2`` and the standard deviation.
    nu : float
        Smoothness, no whole number.
    count : int
        How many fields.
    operator : Operator
        ``G``.
    """

    kappa2: FloatArray
    sigma: FloatArray
    nu: float
    count: int
    operator: Operator

    @cached_property
    def rule(self) -> Rule:
        """Poles and weights."""
        return rule(self.nu + 1.0, self.count, self._end)

    @property
    def exponent(self) -> int:
        """``n + 1``, the reach of the stencils."""
        return int(np.floor(self.nu)) + 2

    def stencils(self, shape: Shape) -> list[SymmetricStencil]:
        """Return the precisions."""
        powers = self._powers(self.operator.stencil(shape))
        return [self._of_powers(term, powers) for term in range(self.count)]

    def rows(self, G: SymmetricStencil, root: Sequence[Rows]) -> list[Rows]:
        """Return rows of the stacked precisions, given those of ``G``: a channel for each field.

        By powers of ``g = M - 1``: ``(1 + g)^n (1 + g + p)``.
        """
        over_kappa = np.asarray(self.kappa2**-0.5)
        g = rescaled(G, over_kappa) if over_kappa.ndim else G * float(over_kappa**2)
        own, found, n = scaled_rows(root, over_kappa), [], self.exponent - 1
        lower, higher = powers_of_shifted(1.0, n), powers_of_shifted(1.0, n + 1)
        for term, pole in enumerate(self.rule.poles.tolist()):
            each = rows_of_polynomial(g, own, {j: pole * lower.get(j, 0.0) + c for j, c in higher.items()})
            scale = np.sqrt(np.asarray(self._t2(term) * self.kappa2**self.exponent))
            found += [rows.in_channel(term) for rows in scaled_rows(each, scale)]
        return found

    def spectral(self, shape: Shape) -> list[SpectralForm] | None:
        """Return the precisions by their eigenvalues, or None."""
        if not self.operator.is_spectral or self.kappa2.ndim or self.sigma.ndim:
            return None
        offsets, basis = self.operator.offsets(self.exponent), basis_of(self.operator.boundary)
        return [
            SpectralForm.of_symbol(basis, shape, self._symbol(term), offsets, partial(self._stencil, term, shape))
            for term in range(self.count)
        ]

    def spectral_density(self, shape: Shape, parameters: Mapping[str, float]) -> SpectralDensity:
        """Return the variances of the sum by frequency, ``sum_i r_i m^-n / (m + p_i)`` times a factor."""
        moving = self._moving(parameters)
        off = {"stretch", "shear"} - {*self.operator.spectral_parameters}  # not diagonal in the basis
        known = {*moving} - off
        kappa2, n = float(self.kappa2), self.exponent - 1
        scale = 1.0 / (float(precision_scale(self._variance, self.sigma)) * kappa2**self.exponent)
        logs = {name: float(self._log_slope(each)) for name, each in moving.items()}
        terms = list(zip(self.rule.poles.tolist(), self.rule.weights.tolist(), strict=True))

        def variances(rows: FloatArray, columns: FloatArray) -> Values:
            g = self.operator.eigenvalues(rows, columns) / kappa2
            m = 1.0 + g
            lower = scale / math.prod([m] * n)
            parts = [lower / (m + pole) for pole, _ in terms]
            total = sum((weight * part for (_, weight), part in zip(terms, parts, strict=True)), np.zeros(m.shape))
            of_poles = [weight * part / (m + pole) for (pole, weight), part in zip(terms, parts, strict=True)]
            by_m = -sum(of_poles, n * total / m)
            of_m = {name: each / kappa2 for name, each in self.operator.derivative_eigenvalues(rows, columns).items()}
            found = {"sigma": (2.0 / float(self.sigma)) * total}
            for name in moving:
                if name not in known:
                    continue
                each = moving[name]
                found[name] = by_m * of_m.get(name, g * (-each.kappa2 / kappa2)) - logs[name] * total
                for i, (part, of_pole) in enumerate(zip(parts, of_poles, strict=True)):
                    found[name] += float(each.weights[i]) * part - float(each.poles[i]) * of_pole
            return total, found

        names = tuple(name for name in parameters if name == "sigma" or name in known)
        return SpectralDensity.of_variances(basis_of(self.operator.boundary), shape, names, variances)

    def derivatives(self, shape: Shape, parameters: Mapping[str, float]) -> dict[str, list[SymmetricStencil]]:
        """Return the derivatives by parameter, one per field."""
        G = self.operator.stencil(shape)
        directions = self.operator.derivatives(shape)
        moving = self._moving(parameters)
        powers = self._powers(G)
        found = {name: self._derivatives(powers, G, each, directions.get(name)) for name, each in moving.items()}
        if "sigma" in parameters:
            by_sigma = -2.0 / float(self.sigma)
            found["sigma"] = [self._of_powers(term, powers) * by_sigma for term in range(self.count)]
        return found

    def _moving(self, parameters: Mapping[str, float]) -> dict[str, _Moved]:
        """Return what moves by each parameter but `sigma`."""
        none, still, found = np.zeros(self.count), np.zeros(4), {}
        if "range" in parameters:
            slope = -2.0 * float(self.kappa2) / parameters["range"]
            found["range"] = _Moved(slope, still, *self._by_kappa2(slope))
        if "nu" in parameters:
            slope = float(self.kappa2) / self.nu
            poles, weights = self._by_kappa2(slope)
            found["nu"] = _Moved(slope, still, self.rule.by_alpha[0] + poles, self.rule.by_alpha[1] + weights)
        each = self.operator.diffusion
        for name, direction in (("stretch", each.weights_by_stretch), ("shear", each.weights_by_shear)):
            if name in parameters:
                found[name] = _Moved(0.0, direction, none, none)
        return found

    def covariance_error(self) -> float:
        """Return the largest error of a covariance over the variance, against ``m^-alpha`` on the same lattice.

        Lags are along rows, columns and both diagonals. Spectral densities are integrated by Gauss and Legendre's rule
        with ``x = kappa sinh u`` in both frequencies, over a quarter of them and its mirror.
        """
        kappa = float(np.sqrt(self.kappa2 * self.operator.area))  # in 1/pixel
        u_end = np.arcsinh(np.pi / kappa)
        nodes, weights = _legendre()
        u = 0.5 * (nodes + 1.0) * u_end
        x, share = kappa * np.sinh(u), weights * np.cosh(u)
        lags = np.unique(np.concatenate([np.arange(16), np.geomspace(16, 16 + 8 / kappa, 48).astype(np.int64)]))
        waves = np.cos(np.outer(lags, x)) * share, np.sin(np.outer(lags, x)) * share
        both = np.zeros((2, 2, len(x), len(x)))
        for sign in (0, 1):
            m = 1.0 + self.operator.eigenvalues(x[:, np.newaxis], (1 - 2 * sign) * x) / float(self.kappa2)
            own = sum(r / (m + p) for p, r in zip(self.rule.poles, self.rule.weights, strict=True))
            both[sign] = m ** -(self.nu + 1.0), m ** -(self.exponent - 1.0) * own
        errors = []
        for density in both.transpose(1, 0, 2, 3):
            even, odd = density.sum(axis=0), density[0] - density[1]
            rows, columns = waves[0] @ even @ share, share @ even @ waves[0].T
            straight = np.einsum("li,ij,lj->l", waves[0], even, waves[0])
            crossed = np.einsum("li,ij,lj->l", waves[1], odd, waves[1])
            found = np.array([rows, columns, straight - crossed, straight + crossed])
            errors.append(found / found[0, 0])
        return float(np.abs(errors[0] - errors[1]).max())

    def _by_kappa2(self, slope: float) -> tuple[FloatArray, FloatArray]:
        """Return how poles and weights move with ``kappa^2``, which does with a `slope`: by the largest frequency."""
        if self._has_maps:
            return np.zeros(self.count), np.zeros(self.count)
        kappa2, in_pixels = float(self.kappa2), float(self.kappa2 * self.operator.area)
        factor = slope / kappa2 * -8.0 / in_pixels / largest_frequency(in_pixels)
        return factor * self.rule.by_end[0], factor * self.rule.by_end[1]

    @property
    def _end(self) -> float:
        return float(np.log(_LARGEST if self._has_maps else largest_frequency(float(self.kappa2 * self.operator.area))))

    @property
    def _has_maps(self) -> bool:
        """Whether frequencies differ from pixel to pixel."""
        return bool(self.kappa2.ndim or self.operator.area.ndim)

    @cached_property
    def _variance(self) -> FloatArray:
        """``v``, a number or a map."""
        return self._variance_at(self.kappa2, self.operator.diffusion.weights, self.rule.poles, self.rule.weights)

    def _variance_at(self, kappa2: Numbers, conductances: Numbers, poles: Numbers, weights: Numbers) -> Numbers:
        n = self.exponent - 1
        terms = [r * variance_of_term(kappa2, conductances, p, n) for p, r in zip(poles, weights, strict=True)]
        return np.asarray(sum(terms))

    def _log_slope(self, moved: _Moved) -> FloatArray:
        """Return the derivative of the logarithm of ``v kappa^(2 n + 2)``, a number or a map."""
        own = self._slope_of_variance(moved) / self._variance
        return np.asarray(own + self.exponent * moved.kappa2 / float(self.kappa2))

    def _slope_of_variance(self, moved: _Moved) -> FloatArray:
        """Return the derivative of ``v`` by a complex step, as it is analytic in all: no digits cancel."""
        h = 1j * _TINY
        at = (self.kappa2, self.operator.diffusion.weights, self.rule.poles, self.rule.weights)
        by = (moved.kappa2, moved.conductances, moved.poles, moved.weights)
        stepped = [value + h * np.asarray(step) for value, step in zip(at, by, strict=True)]
        v = self._variance_at(stepped[0], stepped[1], stepped[2], stepped[3])
        return np.asarray(v.imag / _TINY)

    def _t2(self, term: int) -> FloatArray:
        """Return ``T_i^2``."""
        return precision_scale(self._variance / self.rule.weights[term], self.sigma)

    def _symbol(self, term: int) -> Callable[[FloatArray, FloatArray], FloatArray]:
        scale = float(self._t2(term)) * float(self.kappa2) ** self.exponent
        pole, kappa2, n = float(self.rule.poles[term]), float(self.kappa2), self.exponent - 1

        def symbol(rows: FloatArray, columns: FloatArray) -> FloatArray:
            m = 1.0 + self.operator.eigenvalues(rows, columns) / kappa2
            return np.asarray(scale * m**n * (m + pole))

        return symbol

    def _stencil(self, term: int, shape: Shape) -> SymmetricStencil:
        return self._of_powers(term, self._powers(self.operator.stencil(shape)))

    def _powers(self, G: SymmetricStencil) -> list[SymmetricStencil]:
        """Return ``M^(n-1)``, ``M^n`` and ``M^(n+1)``, of which every precision is made."""
        M, n = self._relative(G.plus_diagonal(self.kappa2)), self.exponent - 1
        below = diagonal_stencil(1.0, M) if n == 1 else power(M, n - 1)
        lower = M if n == 1 else product(below, M, commute=True)
        return [below, lower, product(lower, M, commute=True)]

    def _of_powers(self, term: int, powers: list[SymmetricStencil]) -> SymmetricStencil:
        """Return ``Q_i``."""
        pole = float(self.rule.poles[term])
        return self._by_range(SymmetricStencil._combination([pole, 1.0], powers[1:]), self._t2(term))

    def _derivatives(
        self, powers: list[SymmetricStencil], G: SymmetricStencil, moved: _Moved, E: SymmetricStencil | None
    ) -> list[SymmetricStencil]:
        """Return the derivatives of all precisions, ``G`` moving in the direction `E`; of a single range.

        Of the logarithm of the factor before the polynomial, of ``M = 1 + G / kappa^2``, and of the pole. Where
        ``kappa^2`` moves, ``M`` does along ``1 - M``, with which it commutes.
        """
        kappa2, n, along = float(self.kappa2), self.exponent - 1, []
        log_slope, s = self._log_slope(moved), moved.kappa2 / float(self.kappa2)
        if E is not None:
            M, step = self._relative(G.plus_diagonal(self.kappa2)), E * (1.0 / kappa2)
            along = [power_derivative(M, step, n), power_derivative(M, step, n + 1)]
        found, own = [], 0.0 if log_slope.ndim else float(log_slope)
        for term, pole in enumerate(self.rule.poles.tolist()):
            outer = own - float(moved.weights[term] / self.rule.weights[term])
            of_lower = outer * pole + float(moved.poles[term]) + s * (n + 1.0 - n * pole)
            numbers = [s * n * pole, of_lower, outer - s * (n + 1.0), *([pole, 1.0] if along else [])]
            each = self._by_range(SymmetricStencil._combination(numbers, [*powers, *along]), self._t2(term))
            found.append(each + weighted(self._of_powers(term, powers), log_slope) if log_slope.ndim else each)
        return found

    def _relative(self, K: SymmetricStencil) -> SymmetricStencil:
        """Return ``M = diag(1/kappa) K diag(1/kappa)``."""
        if self.kappa2.ndim:
            return rescaled(K, np.asarray(self.kappa2**-0.5))
        return K * (1.0 / float(self.kappa2))

    def _by_range(self, P: SymmetricStencil, t2: FloatArray) -> SymmetricStencil:
        """Return ``T D P D T``."""
        scale = np.asarray(t2 * self.kappa2**self.exponent)
        return rescaled(P, np.sqrt(scale)) if scale.ndim else P * float(scale)


def precision_scale(variance: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return ``variance / sigma^2``, which must be a number whose sums and products are numbers.

    Raises
    ------
    ArgumentError
        If it is not.
    """
    with np.errstate(all="ignore"):  # what is no number is seen below
        t2 = np.asarray(variance / sigma / sigma)
    if not ((t2 > 1.0 / _LARGEST_PRECISION) & (t2 < _LARGEST_PRECISION)).all():  # NaN is neither
        raise ArgumentError(
            f"sigma must make a precision between {1.0 / _LARGEST_PRECISION:g} and {_LARGEST_PRECISION:g}, whose "
            f"sums and products are numbers, got {float(np.min(sigma)):g} to {float(np.max(sigma)):g}; "
            "take another unit of intensity."
        )
    return t2


@cache
def _legendre() -> tuple[FloatArray, FloatArray]:
    """Return the nodes and weights of the Gauss-Legendre rule of order 400, which take longer than an import may."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    return nodes, weights
