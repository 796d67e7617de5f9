"""Density of observed pixels, the field and the trend integrated or profiled out, with its exact gradient.

``y_o = X_o beta + x_o + e``, ``x ~ N(0, Q^-1)``, ``e ~ N(0, W^-1)``, and ``P = Q + W``. With
``S = W - W P^-1 W`` (the precision of the measurements), ``z = P^-1 W r`` and ``r = y - X beta``:
``2 log p = logdet Q - logdet P + log|W| - r^T S r - m log 2 pi``; exact pixels are taken out of ``P`` instead.

An intrinsic ``Q`` with orthonormal null vectors ``V`` is read as the limit of a flat level: the density is that of the
``m - r`` contrasts of the observations that do not see ``V``, ``+ logdet(V_o^T V_o)``. Columns of ``X`` in the span of
``V`` then say nothing and are left out. Where a lattice falls apart each part has null vectors of its own. Pixels
outside the domain of the field are in ``Q`` and ``P`` alike, and fall out of the density.

The average information (the mean of the observed and the expected one) needs no traces: with ``g_i = dQ_i z`` it is
``g_i^T (Q^-1 - P^-1) g_j / 2``, two solves per parameter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import LostDigitsError
from sparsegmrf.factors import Factor
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.inference._frame import Replicate
from sparsegmrf.inference._observations import Observations, posterior_of_total, posterior_precision
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.inference._trend import Trend
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

_LOG_2PI = float(np.log(2.0 * np.pi))
_STIFF = 1e8
"""Precision of a field's level over that of observations from which on what the field makes of covariates is small."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Log-density of the observations at one parameter value, and the parts of its gradient.

    ``gradient(c)`` and ``loglik(c)`` are those of the precisions ``c Q`` and ``c W`` at the same `beta`.
    """

    base: float
    quadratic: float
    degrees: int
    beta: FloatArray
    beta_covariance: FloatArray
    find_left: Callable[[], FloatArray]
    traces: FloatArray
    squares: FloatArray
    averages: FloatArray
    solved: "Solved | None" = None
    """Where there are derivatives: what they were made of, which is what is asked of a field given the observations."""

    @cached_property
    def left(self) -> FloatArray:
        """What the field leaves of the covariates put in the place of the observations of each image, (R, p, H, W)."""
        return self.find_left()

    @property
    def best_scale(self) -> float:
        """The factor ``c`` on all precisions that maximizes the density, ``degrees / r^T S r``."""
        return self.degrees / self.quadratic

    def loglik(self, scale: float = 1.0) -> float:
        """Return the log-density in nats."""
        return self.base + 0.5 * (self.degrees * float(np.log(scale)) - scale * self.quadratic)

    def gradient(self, scale: float = 1.0) -> FloatArray:
        """Return its derivatives by the directions given, the last by the logarithm of the noise variance."""
        return self.traces - scale * self.squares

    def information(self, scale: float = 1.0) -> FloatArray:
        """Return the average information about the directions and the log noise variance, the trend taken as known."""
        return scale * self.averages

    def profiled_information(self) -> FloatArray:
        """Return the average information at the best scale, what the scale takes of it left out."""
        c = self.best_scale
        squares = c * self.squares
        return self.information(c) - np.outer(squares, squares) * (2.0 / self.degrees)


def evidence(
    Q: PriorPrecision,
    prior: Factor,
    images: Sequence[Replicate],
    trend: Trend,
    factorizer: Refactorizer,
    directions: list[SymmetricStencil] | None = None,
    *,
    restricted: bool = False,
) -> Evidence:
    """Return the density, and with `directions` ``dQ`` its derivatives along them and by the log noise variance.

    ``d log p = [tr(Q^-1 dQ) - tr(P^-1 dQ) - z^T dQ z] / 2`` and, for the noise variance ``s``,
    ``d log p / d log s = -[m - tr(W P^-1) - (r - z)^T W (r - z)] / 2``. With `restricted` (REML) the density is that of
    the contrasts that do not see the trend either. Everything is a sum over the images, which share the coefficients.

    Raises
    ------
    LostDigitsError
        If the field is so much stiffer than the noise that rounding hides what the observations say of its level, or
        the noise so small beside a sum of fields that it hides what tells these apart.
    """
    p = len(trend.columns)
    for image in images:
        Q.check_digits(image.data)
    found = regression(Q, images, factorizer)
    beta, covariance = found.beta, found.covariance
    mix = np.concatenate([[1.0], -beta])
    degrees = sum(each.data.count for each in images) - trend.deficiency - (p if restricted else 0)
    base = len(images) * (prior.logdet + Q.logdet_outside) + trend.log_null - degrees * _LOG_2PI
    if restricted:
        base += trend.log_gram - float(np.linalg.slogdet(found.gram[1:, 1:])[1])
    prior_S = prior.selected_inverse() if directions else None
    quadratic = 0.0
    count = 0 if directions is None else len(directions) + 1
    traces, squares, averages = np.zeros(count), np.zeros(count), np.zeros((count, count))
    variances = []
    for posterior, part, image in zip(found.posteriors, found.parts, images, strict=True):
        data, Z, R = image.data, part.fields, part.residuals
        w, noisy = data.weight, data.weight > 0.0
        z, r = np.tensordot(mix, Z, 1), np.tensordot(mix, R, 1)
        quadratic += float(np.sum(r * r) + np.sum(z * Q.times(z)))
        base += float(np.log(w[noisy]).sum()) - (Q.logdet_outside if posterior is None else posterior.logdet)
        if directions is None:
            continue
        g = np.array([dQ @ z for dQ in directions]).reshape(-1, *z.shape)
        S, of_seen = (None, 0.0) if posterior is None else data.covariances(posterior)
        variances.append(np.broadcast_to(of_seen, w.shape))
        for k, dQ in enumerate(directions):
            assert prior_S is not None
            traces[k] += 0.5 * (dQ.inner(prior_S) - (0.0 if S is None else dQ.inner(S)))
            squares[k] += 0.5 * float(np.sum(z * g[k]))
            if restricted and p:
                traces[k] -= 0.5 * float(np.sum(covariance * _products(Z[1:], dQ @ Z[1:])))
        traces[-1] -= 0.5 * (np.count_nonzero(noisy) - float(np.sum(w * of_seen)))
        squares[-1] -= 0.5 * float(np.sum(r * r))
        if restricted and p:
            traces[-1] += 0.5 * float(np.sum(covariance * _products(R[1:], R[1:])))
        averages += _average_information(g, prior, posterior, data, r / np.sqrt(np.where(noisy, w, 1.0)))
    solved = None if directions is None else Solved(found, variances)
    left = partial(_left_of, found.parts)  # which does not hold the factors
    return Evidence(0.5 * base, quadratic, degrees, beta, covariance, left, traces, squares, averages, solved)


def _left_of(parts: Sequence["Part"]) -> FloatArray:
    """Return what is left of each covariate of each image, ``(R, p, H, W)``."""
    return np.array([part.left for part in parts])


@dataclass(frozen=True, eq=False)
class Part:
    """What one image has in the generalized least squares of the observations on covariates.

    Attributes
    ----------
    fields : ndarray, (1 + p, H, W[, C])
        What the field makes of the observations, and of each covariate in their place.
    left : ndarray, (p, H, W)
        What is left of each covariate.
    residuals : ndarray, (1 + p, H, W)
        Observations and covariates less what the field makes of them, in standard deviations of the noise; zero where
        exact.
    gram : ndarray, (1 + p, 1 + p)
        ``D^T S D`` of observations and covariates ``D``, with the precision ``S`` of the measurements.
    """

    fields: FloatArray
    left: FloatArray
    residuals: FloatArray
    gram: FloatArray


@dataclass(frozen=True, eq=False)
class Regression:
    """Generalized least squares of the observations of all images on covariates.

    Attributes
    ----------
    posteriors : list of Factor or None
        Factors of the images' posterior precisions; None where every pixel of the domain is known.
    parts : list of Part
        What each image has in it.
    """

    posteriors: list[Factor | None]
    parts: list[Part]

    @cached_property
    def gram(self) -> FloatArray:
        """``D^T S D``, summed over the images."""
        return np.asarray(np.sum([each.gram for each in self.parts], axis=0))

    @cached_property
    def covariance(self) -> FloatArray:
        """Covariance of the coefficients, ``(p, p)``."""
        return coefficient_covariance(self.gram[1:, 1:])

    @property
    def beta(self) -> FloatArray:
        """Coefficients, ``(p,)``."""
        return np.asarray(self.covariance @ self.gram[1:, 0])


class Solved(NamedTuple):
    """What an evidence with derivatives has: the regression, and the variance of what is observed, image by image."""

    regression: Regression
    variances: list[FloatArray]


def coefficient_covariance(gram: FloatArray) -> FloatArray:
    """Return the covariance of coefficients of a given precision, ``(p, p)``; refused where rounding leaves none."""
    lengths = np.sqrt(np.maximum(np.diagonal(gram), np.finfo(float).tiny))
    scale = np.outer(lengths, lengths)
    least = float(np.linalg.eigvalsh(gram / scale)[0]) if len(gram) else 1.0
    if not least > 0.0:
        raise LostDigitsError(
            "covariates must have coefficients that the observations tell beside the field, got a precision of "
            f"them with an eigenvalue of {least:.1e} of its diagonal, which is rounding. Give the field less "
            "variance, or leave covariates out."
        )
    return np.asarray(np.linalg.inv(gram / scale) / scale, dtype=np.float64)


def regression(Q: PriorPrecision, images: Sequence[Replicate], factorizer: Refactorizer) -> Regression:
    """Regress the observations of all images on covariates; images observed alike share a factor."""
    posteriors: list[Factor | None] = []
    for k, image in enumerate(images):
        like = next((j for j in range(k) if _alike(images[j].data, image.data)), None)
        if like is not None:
            posteriors.append(posteriors[like])
        elif image.data.combination is not None:  # what is not seen of the unknowns is left even where all is exact
            posteriors.append(factorizer(posterior_of_total(Q.stencil, image.data)))
        elif (image.data.exact if Q.outside is None else image.data.exact | Q.outside).all():
            posteriors.append(None)
        else:
            P, held = posterior_precision(Q.stencil, image.data)
            posteriors.append(factorizer(P if held is None else RestrictedForm(P, P.lattice.restricted(~held))))
    return Regression(posteriors, [_part(Q, *each) for each in zip(posteriors, images, strict=True)])


def _alike(a: Observations, b: Observations) -> bool:
    return bool(np.array_equal(a.weight, b.weight) and np.array_equal(a.exact, b.exact))


def _part(Q: PriorPrecision, posterior: Factor | None, image: Replicate) -> Part:
    """Regress one image on its covariates, given the factor of the posterior precision (None: all exact).

    ``D^T S D = R^T R + Z^T Q Z`` is a sum of two positive semi-definite matrices: no digits cancel. Of a covariate the
    field leaves ``X - Z = P^-1 Q X``, which is small where the field is nearly free to follow it, as a long range is to
    follow a level, and known to its own digits. Where it is far stiffer than all noise, ``Z = P^-1 W X`` is the small
    one.
    """
    data = image.data
    y = np.where(data.observed, data.values, 0.0)
    known = data.lifted(np.where(data.exact, y, 0.0))
    spread = data.lifted(image.columns)
    Q_spread = Q.times(spread)
    z, fields, deviations, stiff = known, spread, np.zeros_like(spread), _is_stiff(Q, data)
    if posterior is not None:
        right = data.spread(data.weight * y)
        if data.exact.any():
            right = right - Q.stencil @ known
        of_columns = data.spread(data.weight * image.columns) if stiff else Q_spread
        right = np.concatenate([right[np.newaxis], of_columns])
        found = posterior.solve(_without_exact(right, data))
        z = known + found[0] if data.exact.any() else found[0]
        fields, deviations = (found[1:], spread - found[1:]) if stiff else (spread - found[1:], found[1:])
    left = np.where(data.exact, 0.0, data.total(deviations))
    Z = np.concatenate([z[np.newaxis], fields])
    QZ = np.concatenate([Q.times(z)[np.newaxis], Q.times(fields) if stiff else Q_spread - Q.times(deviations)])
    rest = np.concatenate([_residual(Q, data, y - data.total(z), QZ[0])[np.newaxis], left])
    R = np.where(data.exact, 0.0, rest) * np.sqrt(data.weight)
    gram = _products(R, R) + _products(QZ, Z)
    gram[0, 1:] = gram[1:, 0]  # by what the precision makes of covariates, which is small and known
    return Part(Z, left, R, (gram + gram.T) / 2.0)


def _residual(Q: PriorPrecision, data: Observations, rest: FloatArray, Qz: FloatArray) -> FloatArray:
    """Return ``y - a^T z``; from ``Q z = a w (y - a^T z)`` where the noise is so small that rounding is more."""
    a = np.ones(1) if data.combination is None else data.combination
    shape = (*data.values.shape, len(a))
    large = data.weight > Q.stencil.diagonal().reshape(shape).max(axis=-1)
    told = Qz.reshape(shape) @ a / float(a @ a)
    return np.divide(told, data.weight, out=rest.copy(), where=large)


def _is_stiff(Q: PriorPrecision, data: Observations) -> bool:
    """Return whether even the level of the field is far more precise than any observation."""
    largest = float(data.weight.max())
    return largest > 0.0 and not data.exact.any() and all((own or 0.0) > _STIFF * largest for own in Q.of_ones)


def _average_information(
    g: FloatArray, prior: Factor, posterior: Factor | None, data: Observations, r: FloatArray
) -> FloatArray:
    """Return ``g_i^T (Q^-1 - P^-1) g_j / 2``; for the noise ``W (r - z)`` stands for ``g``, ``W^-1`` for ``Q^-1``."""
    noise = data.weight * r
    right = _without_exact(np.concatenate([g, data.spread(noise)[np.newaxis]]), data)
    found = -_products(right, np.zeros_like(right) if posterior is None else posterior.solve(right))
    found[-1, -1] += float(np.sum(r * noise))
    if len(g):
        found[:-1, :-1] += _products(g, prior.solve(g))
    return np.asarray((found + found.T) / 4.0)


def _products(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.tensordot(a, b, (range(1, a.ndim), range(1, b.ndim)))


def _without_exact(right: FloatArray, data: Observations) -> FloatArray:
    """Return right-hand sides that are zero at exact pixels; of stacked unknowns their factor leaves these out."""
    return right if data.combination is not None or not data.exact.any() else np.where(data.exact, 0.0, right)
