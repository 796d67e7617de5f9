"""The likelihood of a stack: fields, coefficients and trend, with its gradient and average information."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sparsegmrf.models import Model
from sparsegmrf.stacks._chain import Chain, Tridiagonal
from sparsegmrf.stacks._factor import Covariances, StackFactor
from sparsegmrf.stacks._observed import StackData
from sparsegmrf.stacks._precision import StackPrecision, on_images
from sparsegmrf.stacks._separable import Separable
from sparsegmrf.stacks._sweep import SweepFactor
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, Shape

Make = Callable[[StackPrecision], StackFactor]


@dataclass(frozen=True)
class StackModel:
    """What a stack is made of: ``y = X beta + sum_k B_k c_k + fields + noise``.

    Attributes
    ----------
    fields : tuple of Separable
        A spatial model of each, in intensity, and days over which its correlation falls to 1/e.
    coefficients : Model
        Of the coefficients of the seasonal mean, but for their scale.
    deviations : tuple of float
        By what that is multiplied: one for the level and one per harmonic, as long as `groups` counts.
    noise_variance : float
        In intensity^2.
    """

    fields: tuple[Separable, ...]
    coefficients: Model
    deviations: tuple[float, ...]
    noise_variance: float

    @property
    def moving(self) -> list[tuple[int, Separable]]:
        """Fields that change in time, with their place among all."""
        return [(i, each) for i, each in enumerate(self.fields) if not each.is_static]

    @property
    def static(self) -> list[tuple[int, Separable]]:
        """Fields that all dates have, with their place among all."""
        return [(i, each) for i, each in enumerate(self.fields) if each.is_static]


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
    def chains(self) -> list[Chain]:
        """Correlations in time of the fields that change in it."""
        return [Chain(self.data.gaps, each.scale_in_time) for _, each in self.model.moving]

    @property
    def precision(self) -> StackPrecision:
        """Of the unknowns given the observations."""
        return self.factor.precision

    @cached_property
    def held(self) -> FloatArray:
        """What the unknowns' mean makes ``P^-1 A^T W X`` of the trend's covariates, ``(p, R U + K, n)``."""
        X = self.data.covariates
        return self.factor.solve(self._right(X)) if len(X) else np.zeros((0, *self._shape_of_unknowns))

    @cached_property
    def left(self) -> FloatArray:
        """Covariates less what fields and coefficients make of them, ``(p, U, n)``."""
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
        """Their mean ``(R U + K, n)``."""
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
        return self.factor.covariances(self.in_time)

    @property
    def in_time(self) -> list[list[Tridiagonal]]:
        """Matrices over dates by which covariances of each field are summed: its precision, and the derivative."""
        chains = zip(self.chains, self.model.moving, strict=True)
        return [[chain.precision, *([chain.derivative] if each.remembers else [])] for chain, (_, each) in chains]

    def gradient(self) -> dict[str, float]:
        """Return derivatives: by the fields' parameters, ``log ell``, and those of coefficients and noise.

        They are named as in `StackModel`: ``fields.0.range``, ``log ell.0``, ``coefficients.range``,
        ``log deviations.0``, ``log noise_variance``.
        """
        return self.slopes(self.covariances)

    def slopes(self, given: Covariances | None) -> dict[str, float]:
        """Return the gradient if these are the covariances given the observations; None are those without these.

        It is linear in them, so that it may be averaged over squares of draws.
        """
        found = self._by_fields(given) | self._by_static(given) | self._by_coefficients(given)
        square = float(np.sum(self.precision.weight * self.noise**2)) + self.data.within / self.model.noise_variance
        spread = 0.0 if given is None else float(np.sum(self.precision.weight * given.variance))
        found["log noise_variance"] = 0.5 * (square + spread - self.data.count)
        return found

    def zero(self) -> Covariances:
        """Return the covariances of what is known exactly."""
        own = zip(self.precision.Q, self.model.moving, strict=True)
        return Covariances(
            [[Q * 0.0] * (1 + part.remembers) for Q, (_, part) in own],
            [Q * 0.0 for Q in self.precision.coefficients],
            np.zeros_like(self.data.weight),
        )

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
            variance[u, on] = (factor.covariances().variance[u])[on] + 1.0 / weight[u, on]
        return difference, variance

    def _moved(self) -> dict[str, FloatArray]:
        """Return by name ``dS S^-1 r``, images ``(U, n)``, but for one sign."""
        (fields, coefficients), shape = self.precision.apart(self.unknowns), self.data.shape
        K, found = self.data.basis.shape[1], {}
        for f, chain, (i, part) in zip(fields, self.chains, self.model.moving, strict=True):
            for name, moved in _solved_derivatives(part.model, f, shape).items():
                found[f"fields.{i}.{name}"] = moved
            if part.remembers:
                found[f"log ell.{i}"] = chain.solve(chain.derivative @ f)
        for c, (i, part) in zip(coefficients[K:], self.model.static, strict=True):
            for name, moved in _solved_derivatives(part.model, c[np.newaxis], shape).items():
                found[f"fields.{i}.{name}"] = np.broadcast_to(moved, fields.shape[1:])
        if K:
            for name, moved in _solved_derivatives(self.model.coefficients, coefficients[:K], shape).items():
                found[f"coefficients.{name}"] = self.data.basis @ moved
        for group, members in enumerate(self.data.groups):
            found[f"log deviations.{group}"] = -2.0 * self.data.basis[:, list(members)] @ coefficients[list(members)]
        found["log noise_variance"] = -self.noise
        return found

    def _by_fields(self, given: Covariances | None) -> dict[str, float]:
        """Return the derivatives by the parameters of fields that change in time."""
        U, n, shape, found = self.data.n_dates, self.data.n_pixels, self.data.shape, {}
        fields = self.precision.apart(self.unknowns)[0]
        parts = zip(fields, self.chains, self.precision.Q, self.model.moving, strict=True)
        for r, (f, chain, Q, (i, part)) in enumerate(parts):
            in_time = np.asarray(chain.precision @ f)
            Z = None if given is None else given.of_fields[r]
            own = None if Z is None else part.model.gmrf(shape).factor.selected_inverse()
            for name, dQ in part.model.derivatives(shape).items():
                square = float(np.sum(in_time * on_images(dQ, f)))
                gained = 0.0 if Z is None or own is None else U * dQ.inner(own) - dQ.inner(Z[0])
                found[f"fields.{i}.{name}"] = 0.5 * (gained - square)
            if part.remembers:
                square = float(np.sum(f * on_images(Q, chain.derivative @ f)))
                gained = 0.0 if Z is None else n * chain.logdet_derivative - Q.inner(Z[1])
                found[f"log ell.{i}"] = 0.5 * (gained - square)
        return found

    def _by_static(self, given: Covariances | None) -> dict[str, float]:
        """Return the derivatives by the parameters of fields that all dates have."""
        K, shape, found = self.data.basis.shape[1], self.data.shape, {}
        unknown = self.precision.apart(self.unknowns)[1][K:]
        for number, (c, (i, part)) in enumerate(zip(unknown, self.model.static, strict=True)):
            own = None if given is None else part.model.gmrf(shape).factor.selected_inverse()
            for name, dQ in part.model.derivatives(shape).items():
                square = float(c @ on_images(dQ, c))
                Z = None if given is None else given.of_coefficients[K + number]
                gained = 0.0 if Z is None or own is None else dQ.inner(own) - dQ.inner(Z)
                found[f"fields.{i}.{name}"] = 0.5 * (gained - square)
        return found

    def _by_coefficients(self, given: Covariances | None) -> dict[str, float]:
        """Return the derivatives by what the seasons' maps have in common, and by their deviations."""
        n, shape, K = self.data.n_pixels, self.data.shape, self.data.basis.shape[1]
        if not K:
            return {}
        x = self.precision.apart(self.unknowns)[1][:K]
        model, scales = self.model.coefficients, self.data.by_coefficient(self.model.deviations)
        Z = None if given is None else given.of_coefficients[:K]
        own = None if Z is None else model.gmrf(shape).factor.selected_inverse()
        found = {}
        for name, dQ in model.derivatives(shape).items():
            total = 0.0
            for k, (c, scale) in enumerate(zip(x, scales, strict=True)):
                total -= float(c @ on_images(dQ, c)) / scale**2
                total += 0.0 if Z is None or own is None else dQ.inner(own) - dQ.inner(Z[k]) / scale**2
            found[f"coefficients.{name}"] = 0.5 * total
        for group, members in enumerate(self.data.groups):
            total = 0.0
            for k in members:
                Q = self.precision.coefficients[k]
                total += float(x[k] @ on_images(Q, x[k])) + (0.0 if Z is None else Q.inner(Z[k]) - n)
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
        found = sum(float(part.model.gmrf(shape).factor.logdet) for _, part in self.model.static)
        for chain, (_, part) in zip(self.chains, self.model.moving, strict=True):
            found += U * part.model.gmrf(shape).factor.logdet + n * chain.logdet
        if self.data.groups:
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
    coefficients: list[SymmetricStencil] = []
    if data.groups:
        Q = model.coefficients.stencil(shape)
        coefficients = [Q * scale**-2 for scale in data.by_coefficient(model.deviations)]
    static = [part.model.stencil(shape) for _, part in model.static]
    return StackPrecision(
        tuple(Chain(data.gaps, part.scale_in_time).precision for _, part in model.moving),
        tuple(part.model.stencil(shape) for _, part in model.moving),
        (*coefficients, *static),
        np.hstack([data.basis, np.ones((data.n_dates, len(static)))]),
        data.weight / model.noise_variance,
    )


def _solved_derivatives(model: Model, x: FloatArray, shape: Shape) -> dict[str, FloatArray]:
    """Return by parameter ``Q^-1 dQ x`` of images ``(k, n)``."""
    factor = model.gmrf(shape).factor
    return {
        name: factor.solve(on_images(dQ, x).reshape(len(x), *shape)).reshape(x.shape)
        for name, dQ in model.derivatives(shape).items()
    }


def named(values: Mapping[str, float], names: list[str]) -> FloatArray:
    """Return values in the order of names."""
    return np.array([values[name] for name in names])


def named_information(known: tuple[list[str], FloatArray], names: list[str]) -> FloatArray:
    """Return rows and columns of an information in the order of names."""
    order = [known[0].index(name) for name in names]
    return known[1][np.ix_(order, order)]
