"""The likelihood of a stack: field, coefficients and trend, with its gradient and average information."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sparsegmrf.models import Model
from sparsegmrf.stacks._chain import Chain
from sparsegmrf.stacks._factor import Covariances, StackFactor
from sparsegmrf.stacks._observed import StackData
from sparsegmrf.stacks._precision import StackPrecision, on_images
from sparsegmrf.stacks._sweep import SweepFactor
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

Make = Callable[[StackPrecision], StackFactor]


@dataclass(frozen=True)
class StackModel:
    """What a stack is made of: ``y = X beta + sum_k B_k c_k + field + noise``.

    Attributes
    ----------
    field : Model
        Of an image at one date, in intensity.
    ell : float
        Days over which the field's correlation falls to 1/e.
    coefficients : Model
        Of the coefficients of the seasonal mean, but for their scale.
    deviations : tuple of float
        By what that is multiplied: one for the level and one per harmonic, as long as `groups` counts.
    noise_variance : float
        In intensity^2.
    """

    field: Model
    ell: float
    coefficients: Model
    deviations: tuple[float, ...]
    noise_variance: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """A stack's log-likelihood at one model, with everything that one factorization says.

    ``-2 l = N log 2 pi + logdet P - logdet P_0 + N log s - sum log lambda + |r - A x|^2_W + x^T P_0 x``, ``P_0`` being
    the precision of the unknowns, ``P`` the one given the observations, ``r = y - X beta`` with generalized
    least-squares coefficients, and ``x`` the unknowns' mean. Terms that the trend enters are sums of squares: nothing
    cancels.

    Attributes
    ----------
    model : StackModel
    data : StackData
    factor : StackFactor
        Of ``P``.
    shared : (ndarray, ndarray) or None
        The trend's coefficients and their covariance where they are estimated from more than these observations.
    """

    model: StackModel
    data: StackData
    factor: StackFactor
    shared: tuple[FloatArray, FloatArray] | None = None

    @classmethod
    def of(
        cls, model: StackModel, data: StackData, make: Make, shared: tuple[FloatArray, FloatArray] | None = None
    ) -> "Evidence":
        """Factorize the unknowns of a stack given its observations."""
        return cls(model, data, make(precision_of(model, data)), shared)

    @cached_property
    def chain(self) -> Chain:
        """The field's correlation in time."""
        return Chain(self.data.gaps, self.model.ell)

    @property
    def precision(self) -> StackPrecision:
        """Of the unknowns given the observations."""
        return self.factor.precision

    @cached_property
    def held(self) -> FloatArray:
        """What the unknowns' mean makes ``P^-1 A^T W X`` of the trend's covariates, ``(p, U + K, n)``."""
        X = self.data.covariates
        return self.factor.solve(self._right(X)) if len(X) else np.zeros((0, *self._shape_of_unknowns))

    @cached_property
    def left(self) -> FloatArray:
        """Covariates less what field and coefficients make of them, ``(p, U, n)``."""
        return np.asarray(self.data.covariates - self.precision.observe(self.held))

    @cached_property
    def of_beta(self) -> tuple[FloatArray, FloatArray]:
        """Coefficients of the trend, and their covariance."""
        return solved([self]) if self.shared is None else self.shared

    @property
    def of_trend(self) -> tuple[FloatArray, FloatArray]:
        """Normal equations of the trend's coefficients: ``X^T S^-1 X`` and ``X^T S^-1 y``."""
        W = self.precision.weight
        gram = np.einsum("iup,up,jup->ij", self.data.covariates, W, self.left)
        return (gram + gram.T) / 2.0, np.einsum("iup,up,up->i", self.left, W, self.data.values)

    @cached_property
    def residual(self) -> FloatArray:
        """Observations less their trend, zero where missing."""
        return np.where(self.data.weight > 0.0, self.data.values - self.trend, 0.0)

    @property
    def trend(self) -> FloatArray:
        """``X beta``, ``(U, n)``."""
        return np.asarray(np.einsum("i,iup->up", self.of_beta[0], self.data.covariates))

    @cached_property
    def unknowns(self) -> FloatArray:
        """Their mean ``(U + K, n)``."""
        return np.asarray(self.factor.solve(self._right(self.residual[np.newaxis]))[0])

    @cached_property
    def noise(self) -> FloatArray:
        """Observations less everything else, zero where missing."""
        return np.where(self.data.weight > 0.0, self.residual - self.precision.observe(self.unknowns), 0.0)

    @cached_property
    def loglik(self) -> float:
        """Log-density of the observations in nats."""
        N, s = self.data.count, self.model.noise_variance
        twice = N * np.log(2.0 * np.pi * s) - self.data.log_weights + self.data.within / s
        return -0.5 * float(twice + self.factor.logdet - self._prior_logdet + self.square)

    @property
    def square(self) -> float:
        """``r^T S^-1 r`` of the observations of every date, several of one date being their mean."""
        return float(np.sum(self.precision.weight * self.noise**2) + np.sum(self.unknowns * self._pulled))

    @cached_property
    def covariances(self) -> Covariances:
        """Those which the gradient needs."""
        return self.factor.covariances([self.precision.J, self.chain.derivative])

    def gradient(self) -> dict[str, float]:
        """Return derivatives: by the field's parameters, ``log ell``, and those of coefficients and noise.

        They are named as in `StackModel`: ``field.range``, ``log ell``, ``coefficients.range``, ``log deviations.0``,
        ``log noise_variance``.
        """
        U, n, x, s = self.data.n_dates, self.data.n_pixels, self.unknowns, self.model.noise_variance
        Z, J, dJ, Q = self.covariances, self.precision.J, self.chain.derivative, self.precision.Q
        fields, found = x[:U], {}
        of_space = np.asarray(J @ fields)
        own = self.model.field.gmrf(self.data.shape).factor.selected_inverse()
        for name, dQ in self.model.field.derivatives(self.data.shape).items():
            square = float(np.sum(of_space * on_images(dQ, fields)))
            found[f"field.{name}"] = 0.5 * (U * dQ.inner(own) - dQ.inner(Z.of_field[0]) - square)
        square = float(np.sum(fields * on_images(Q, dJ @ fields)))
        found["log ell"] = 0.5 * (n * self.chain.logdet_derivative - Q.inner(Z.of_field[1]) - square)
        found |= self._by_coefficients()
        spread = float(np.sum(self.precision.weight * Z.variance))
        square = float(np.sum(self.precision.weight * self.noise**2)) + self.data.within / s
        found["log noise_variance"] = 0.5 * (square + spread - self.data.count)
        return found

    def information(self) -> tuple[list[str], FloatArray]:
        """Return the average information about the numbers of `gradient`, and their names.

        ``I_ij = g_i^T M g_j / 2`` with ``g_i = dS_i S^-1 r`` for a covariance ``S`` of the observations, and ``M``
        their precision without the trend (Gilmour, Thompson, Cullis, Biometrics 51, 1995).
        """
        moved = self._moved()
        names = list(moved)
        g = np.where(self.data.weight > 0.0, np.array([moved[name] for name in names]), 0.0)
        W, X = self.precision.weight, self.data.covariates
        left = g - self.precision.observe(self.factor.solve(self._right(g)))
        M = np.einsum("iup,up,jup->ij", g, W, left)
        if len(X):
            by_trend = np.einsum("iup,up,jup->ij", g, W, self.left)
            M = M - by_trend @ self.of_beta[1] @ by_trend.T
        M[-1, -1] += self.data.within / self.model.noise_variance  # the noise is the last
        return names, (M + M.T) / 4.0

    def without_own_date(self, make: Make) -> tuple[FloatArray, FloatArray]:
        """Return observations less their prediction by all other dates, and the variance of that, ``(U, n)``.

        The trend's coefficients are taken as known. With ``D`` the covariance of what is observed at a date given all,
        ``M = W - W D W`` is the precision of these observations given the others, and the difference ``M^-1 W e`` of
        the residuals ``e``. Zero and infinite where there is no observation.
        """
        difference, variance = np.zeros_like(self.noise), np.full(self.noise.shape, np.inf)
        weight = self.precision.weight
        if isinstance(self.factor, SweepFactor):
            for u, D in self.factor.of_dates():
                on = weight[u] > 0.0
                w = weight[u, on]
                M = np.linalg.inv(np.diag(w) - w[:, np.newaxis] * D[np.ix_(on, on)] * w)
                difference[u, on], variance[u, on] = M @ (w * self.noise[u, on]), np.diagonal(M)
            return difference, variance
        for u in range(self.data.n_dates):
            on, rest = weight[u] > 0.0, np.array(weight)
            rest[u] = 0.0
            factor = make(replace(self.precision, weight=rest))
            x = factor.solve(self.precision.spread(rest * self.residual)[np.newaxis])[0]
            difference[u, on] = (self.residual[u] - self.precision.observe(x)[u])[on]
            variance[u, on] = (factor.covariances([]).variance[u])[on] + 1.0 / weight[u, on]
        return difference, variance

    def _moved(self) -> dict[str, FloatArray]:
        """Return by name ``dS S^-1 r``, images ``(U, n)``, but for one sign."""
        U, x, shape = self.data.n_dates, self.unknowns, self.data.shape
        B, K = self.precision.basis, len(self.precision.coefficients)
        fields, found = x[:U], {}
        factor = self.model.field.gmrf(shape).factor
        for name, dQ in self.model.field.derivatives(shape).items():
            found[f"field.{name}"] = factor.solve(on_images(dQ, fields).reshape(U, *shape)).reshape(U, -1)
        found["log ell"] = self.chain.solve(self.chain.derivative @ fields)
        if K:
            solve = self.model.coefficients.gmrf(shape).factor.solve
            for name, dQ in self.model.coefficients.derivatives(shape).items():
                solved = solve(on_images(dQ, x[U:]).reshape(K, *shape)).reshape(K, -1)
                found[f"coefficients.{name}"] = B @ solved
        for group, members in enumerate(self.data.groups):
            found[f"log deviations.{group}"] = -2.0 * B[:, list(members)] @ x[U:][list(members)]
        found["log noise_variance"] = -self.noise
        return found

    def _by_coefficients(self) -> dict[str, float]:
        n, shape, x = self.data.n_pixels, self.data.shape, self.unknowns[self.data.n_dates :]
        if not len(x):
            return {}
        Z, model = self.covariances.of_coefficients, self.model.coefficients
        scales = self.data.by_coefficient(self.model.deviations)
        own = model.gmrf(shape).factor.selected_inverse()
        found = {}
        for name, dQ in model.derivatives(shape).items():
            total = len(x) * dQ.inner(own)
            for Zk, c, scale in zip(Z, x, scales, strict=True):
                total -= (dQ.inner(Zk) + float(c @ on_images(dQ, c))) / scale**2
            found[f"coefficients.{name}"] = 0.5 * total
        for group, members in enumerate(self.data.groups):
            total = 0.0
            for k in members:
                Q = self.precision.coefficients[k]
                total += Q.inner(Z[k]) + float(x[k] @ on_images(Q, x[k])) - n
            found[f"log deviations.{group}"] = total
        return found

    @cached_property
    def _pulled(self) -> FloatArray:
        """``P_0 x``."""
        return self.precision.prior_times(self.unknowns)

    @property
    def _prior_logdet(self) -> float:
        """``log det P_0``."""
        U, n, shape = self.data.n_dates, self.data.n_pixels, self.data.shape
        found = U * self.model.field.gmrf(shape).factor.logdet + n * self.chain.logdet
        if len(self.precision.coefficients):
            of_c = self.model.coefficients.gmrf(shape).factor.logdet
            scales = self.data.by_coefficient(self.model.deviations)
            found += sum(of_c - 2.0 * n * float(np.log(scale)) for scale in scales)
        return found

    @property
    def _shape_of_unknowns(self) -> tuple[int, int]:
        return self.precision.n_unknowns, self.precision.n_pixels

    def _right(self, y: FloatArray) -> FloatArray:
        """Return ``A^T W y``."""
        return self.precision.spread(self.precision.weight * y)


def solved(parts: "Sequence[Evidence]") -> tuple[FloatArray, FloatArray]:
    """Return the trend's coefficients, and their covariance, of stacks that are independent given these."""
    normal = [each.of_trend for each in parts]
    covariance = np.asarray(np.linalg.inv(sum(gram for gram, _ in normal)), dtype=np.float64)
    return covariance @ sum(right for _, right in normal), covariance


def together(parts: "Sequence[Evidence]") -> "list[Evidence]":
    """Return stacks with the coefficients of the trend that they have together."""
    if len(parts) == 1:
        return list(parts)
    shared = solved(parts)
    return [replace(each, shared=shared) for each in parts]


def precision_of(model: StackModel, data: StackData) -> StackPrecision:
    """Return the precision of the unknowns given the observations."""
    shape = data.shape
    coefficients: tuple[SymmetricStencil, ...] = ()
    if data.groups:
        Q = model.coefficients.stencil(shape)
        coefficients = tuple(Q * scale**-2 for scale in data.by_coefficient(model.deviations))
    J = Chain(data.gaps, model.ell).precision
    return StackPrecision(J, model.field.stencil(shape), coefficients, data.basis, data.weight / model.noise_variance)


def named(values: Mapping[str, float], names: list[str]) -> FloatArray:
    """Return values in the order of names."""
    return np.array([values[name] for name in names])
