"""Likelihood of several channels with a trend each, its gradient, and what is predicted of every pixel."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.linalg

from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.choose import stencil_of
from sparsegmrf.factors.separable import SeparableFactor, SeparableForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._condition_channels import deviation_given, given_channels
from sparsegmrf.inference._observations import Observations
from sparsegmrf.models import Channels
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

_COLLINEAR = 1e-10
"""Smallest eigenvalue of the information on the coefficients, in units of its diagonal."""
_ROUNDING = 1e3 * float(np.finfo(np.float64).eps)
"""Information on a coefficient, in units of what its pixels would have each by itself, that is rounding."""
_LOG_2PI = float(np.log(2.0 * np.pi))


class ChannelGradient(NamedTuple):
    """Derivatives of the log-likelihood: by spatial parameters, ``tr(G dS)``, and by the channels' noise variances."""

    spatial: dict[str, float]
    covariance: FloatArray
    noise: FloatArray


@dataclass(frozen=True, eq=False)
class ChannelEvidence:
    """What observations ``(H, W, C)`` say of a separable field at given parameters.

    ``y = X B + x + e`` with ``x ~ N(0, Q_s^-1 (x) S)`` and the same covariates ``X``, images ``(K, H, W)``, in every
    channel; ``B`` is estimated by generalized least squares.
    """

    model: Channels
    data: Observations
    covariates: FloatArray

    @cached_property
    def field(self) -> GMRF:
        """The field without trend."""
        shape = self.data.values.shape
        return self.model.gmrf((shape[0], shape[1]))

    @cached_property
    def posterior(self) -> GMRF | None:
        """The field of deviations given the observations; None where everything is known."""
        return None if self.data.exact.all() else given_channels(self.field, self.data)

    @cached_property
    def estimate(self) -> tuple[FloatArray, FloatArray]:
        """``B`` as ``(K C,)``, channels fastest, and its covariance."""
        if not len(self.covariates):
            return np.zeros(0), np.zeros((0, 0))
        columns, scores = self._columns, self._of_columns[1]
        seen = np.where(self.data.observed, columns, 0.0).reshape(len(columns), -1)
        information = seen @ scores.reshape(len(columns), -1).T
        own = self.data.weight
        if self.data.exact.any():
            own = np.where(self.data.exact, self.field.precision.diagonal(), own)
        told = np.diagonal(information) > _ROUNDING * (seen**2 @ own.ravel())
        root = np.sqrt(np.where(told, np.diagonal(information), 1.0))
        if not told.all() or scipy.linalg.eigvalsh(information / np.outer(root, root))[0] < _COLLINEAR:
            raise ArgumentError(
                "covariates must be independent of each other and of the null space of the spatial model where each "
                "channel is observed; leave one out, or with an intrinsic model, which has a level of its own, pass "
                "covariates=None."
            )
        covariance = scipy.linalg.inv((information + information.T) / 2.0)
        return covariance @ (scores.reshape(len(columns), -1) @ self.data.values.ravel()), covariance

    @cached_property
    def deviation(self) -> FloatArray:
        """``E[x]`` given the observations, at the estimated trend."""
        return np.asarray(self._of_values[0] - np.tensordot(self.estimate[0], self._of_columns[0], 1))

    @property
    def loglik(self) -> float:
        """Log-density of the observed values in nats, of contrasts if the field is intrinsic."""
        posterior, data = self.posterior, self.data
        residual = data.values - np.where(data.observed, np.tensordot(self.estimate[0], self._columns, 1), 0.0)
        logdet = self.field.logdet - (0.0 if posterior is None else posterior.logdet)
        logdet += float(np.log(data.weight[data.weight > 0.0]).sum())
        count = data.count - self.field.rank_deficiency
        return 0.5 * (logdet - float((residual * self._score).sum()) - count * _LOG_2PI)

    @property
    def best_covariance(self) -> FloatArray:
        """The most likely ``S`` at these spatial parameters, of channels observed without noise at the same pixels."""
        count = (self.data.count - self.field.rank_deficiency) // len(self.model.covariance)
        return np.asarray(self._squares(self._spatial) / count)

    def gradient(self) -> ChannelGradient:
        """Return the exact derivatives, by selected inverses.

        With ``P`` the posterior precision and ``z`` the deviation, ``2 dl = tr(Q^-1 dQ) - tr(P^-1 dQ) - z^T dQ z``.
        """
        model, data, Q_s = self.model, self.data, self._spatial
        shape, channels = Q_s.shape, len(model.covariance)
        factor = self.field.factor
        assert isinstance(factor, SeparableFactor)
        inverse = np.linalg.inv(model.covariance)
        derivatives = model.model.derivatives(shape)
        prior = factor.spatial.selected_inverse() if derivatives else None
        selected = None if self.posterior is None else self.posterior.factor.selected_inverse()
        spatial = {}
        for name, dQ in derivatives.items():
            lost = self._squares(dQ) + (0.0 if selected is None else _traces(dQ, selected))
            assert prior is not None
            spatial[name] = 0.5 * (channels * dQ.inner(prior) - float((inverse * lost).sum()))
        lost = self._squares(Q_s) + (0.0 if selected is None else _traces(Q_s, selected))
        by_covariance = 0.5 * (inverse @ lost @ inverse - factor.spatial.rank * inverse)
        noisy, w = data.weight > 0.0, data.weight
        variance = np.zeros(w.shape) if selected is None else selected.diagonal()
        squares = self._score**2 - (w - w * w * variance)
        by_noise = 0.5 * np.where(noisy, squares, 0.0).sum(axis=(0, 1))
        return ChannelGradient(spatial, (by_covariance + by_covariance.T) / 2.0, by_noise)

    def mean_and_variance(self) -> tuple[FloatArray, FloatArray]:
        """Return expectation and variance of field and trend at every pixel, that of the coefficients included."""
        data, (beta, covariance) = self.data, self.estimate
        mean = np.tensordot(beta, self._columns, 1) + self.deviation
        variance = np.zeros(mean.shape) if self.posterior is None else self.posterior.marginal_variance()
        left = self._columns - self._of_columns[0]
        variance = variance + np.einsum("khwc,kl,lhwc->hwc", left, covariance, left)
        return np.where(data.exact, data.values, mean), np.where(data.exact, 0.0, variance)

    def draws(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Return draws ``(count, H, W, C)`` of field and trend given the observations."""
        mean = self.mean_and_variance()[0]
        result = np.broadcast_to(mean, (count, *mean.shape)).copy()
        if self.posterior is None:
            return result
        result += self.posterior.sample(count, rng)
        root = np.linalg.cholesky(self.estimate[1])
        moved = rng.standard_normal((count, len(root))) @ root.T
        left = np.where(self.data.exact, 0.0, self._columns - self._of_columns[0])
        return np.asarray(result + np.tensordot(moved, left, 1))

    @cached_property
    def _spatial(self) -> SymmetricStencil:
        form = self.field.given
        assert isinstance(form, SeparableForm)
        return stencil_of(form.spatial, form.spatial.lattice)

    @property
    def _columns(self) -> FloatArray:
        """The covariates of each channel as images ``(K C, H, W, C)``."""
        channels = len(self.model.covariance)
        images = self.covariates[:, np.newaxis, :, :, np.newaxis] * np.eye(channels)[:, np.newaxis, np.newaxis, :]
        return np.asarray(images.reshape(len(self.covariates) * channels, *self.data.values.shape))

    @cached_property
    def _of_columns(self) -> tuple[FloatArray, FloatArray]:
        return self._deviation_and_score(np.where(self.data.observed, self._columns, 0.0))

    @cached_property
    def _of_values(self) -> tuple[FloatArray, FloatArray]:
        return self._deviation_and_score(self.data.values)

    @cached_property
    def _score(self) -> FloatArray:
        return np.asarray(self._of_values[1] - np.tensordot(self.estimate[0], self._of_columns[1], 1))

    def _deviation_and_score(self, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``E[x]`` given residuals, images with leading axes, and ``S_oo^-1`` times them."""
        data = self.data
        given = self.posterior
        z = residual if given is None else deviation_given(self.field, data, given.factor, residual)
        score = data.weight * (residual - z)
        if data.exact.any():
            score = np.where(data.exact, self.field.precision @ z, score)
        return z, score

    def _squares(self, Q: SymmetricStencil) -> FloatArray:
        """Return ``Z^T Q Z`` of the deviations of the channels."""
        planes = np.ascontiguousarray(np.moveaxis(self.deviation, -1, 0))
        return np.asarray(np.einsum("aij,bij->ab", planes, Q @ planes))


def _traces(Q: SymmetricStencil, covariances: SymmetricStencil) -> FloatArray:
    """Return ``sum_pq Q[p, q] C[(q, a), (p, b)]`` for channels a and b, symmetric."""
    place = {tuple(offset): k for k, offset in enumerate(covariances.offsets.tolist())}
    total = np.zeros((covariances.channels, covariances.channels))
    for k, offset in enumerate(Q.offsets.tolist()):
        term = np.einsum("ij,ijab->ab", Q.plane(k), covariances.plane(place[tuple(offset)]))
        total += term if offset == [0, 0] else term + term.T
    return total
