"""The trend of several channels by generalized least squares, and what is predicted of field and trend."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.linalg

from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._channel_members import OfChannels, channels_of, members_of
from sparsegmrf.inference._null_vectors import NullVectors
from sparsegmrf.inference._observations import Observations
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import BoolArray, FloatArray

_COLLINEAR = 1e-10
"""Smallest eigenvalue of the information on the coefficients, in units of its diagonal."""
_ROUNDING = 1e3 * float(np.finfo(np.float64).eps)
"""Information on a coefficient, in units of what its pixels would have each by itself, that is rounding."""
_NOTHING = 1e-11
"""What a null space leaves of a covariate, over all of it, that counts as nothing."""
_LOG_2PI = float(np.log(2.0 * np.pi))


class ChannelGradient(NamedTuple):
    """Derivatives of the log-likelihood: by spatial parameters, ``tr(G dS)`` of each field, and by noise variances."""

    spatial: dict[str, float]
    covariances: tuple[FloatArray, ...]
    noise: FloatArray


@dataclass(frozen=True, eq=False)
class EvidenceOfChannels(ABC):
    """What observations ``(H, W, C)`` say of a field of several channels at given parameters.

    ``y = X B + x + e`` with the same covariates ``X``, images ``(K, H, W)``, in every channel; ``B`` is estimated by
    generalized least squares.
    """

    model: OfChannels
    data: Observations
    covariates: FloatArray

    @property
    @abstractmethod
    def posterior(self) -> GMRF | None:
        """The field of deviations given the observations; None where everything is known."""

    @property
    @abstractmethod
    def logdet_gained(self) -> float:
        """Log-determinant of the precision less that given the observations."""

    @property
    @abstractmethod
    def deficiency(self) -> int:
        """Null vectors of the precision, of which the density knows nothing."""

    @property
    @abstractmethod
    def own_precision(self) -> FloatArray:
        """Precision of each value given all others, ``(H, W, C)``."""

    @abstractmethod
    def deviation_and_score(self, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``E[x]`` given residuals, images with leading axes, and ``S_oo^-1`` times them."""

    @abstractmethod
    def gradient(self) -> ChannelGradient:
        """Return the exact derivatives of the log-likelihood."""

    @cached_property
    def field(self) -> GMRF:
        """The field without trend."""
        shape = self.data.values.shape
        return self.model.gmrf((shape[0], shape[1]))

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
            own = np.where(self.data.exact, self.own_precision, own)
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
    def residual(self) -> FloatArray:
        """Observations less the estimated trend, zero where missing."""
        data = self.data
        return data.values - np.where(data.observed, np.tensordot(self.estimate[0], self._columns, 1), 0.0)

    @cached_property
    def score(self) -> FloatArray:
        """``S_oo^-1`` times the residual."""
        return np.asarray(self._of_values[1] - np.tensordot(self.estimate[0], self._of_columns[1], 1))

    @property
    def loglik(self) -> float:
        """Log-density of the observed values in nats, of contrasts if the field is intrinsic."""
        data = self.data
        logdet = self.logdet_gained + float(np.log(data.weight[data.weight > 0.0]).sum())
        count = data.count - self.deficiency
        return 0.5 * (logdet - float((self.residual * self.score).sum()) - count * _LOG_2PI)

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

    def by_noise(self, variance: FloatArray) -> FloatArray:
        """Return the derivatives by the channels' noise variances, given the field's ``(H, W, C)``."""
        w = self.data.weight
        squares = self.score**2 - (w - w * w * variance)
        return np.asarray(0.5 * np.where(w > 0.0, squares, 0.0).sum(axis=(0, 1)))

    @property
    def _columns(self) -> FloatArray:
        """The covariates of each channel as images ``(K C, H, W, C)``."""
        channels = channels_of(self.model)
        images = self.covariates[:, np.newaxis, :, :, np.newaxis] * np.eye(channels)[:, np.newaxis, np.newaxis, :]
        return np.asarray(images.reshape(len(self.covariates) * channels, *self.data.values.shape))

    @cached_property
    def _of_columns(self) -> tuple[FloatArray, FloatArray]:
        return self.deviation_and_score(np.where(self.data.observed, self._columns, 0.0))

    @cached_property
    def _of_values(self) -> tuple[FloatArray, FloatArray]:
        return self.deviation_and_score(self.data.values)


def squares(Q: SymmetricStencil, images: FloatArray) -> FloatArray:
    """Return ``Z^T Q Z`` of the channels of an image ``(H, W, C)``."""
    planes = np.ascontiguousarray(np.moveaxis(images, -1, 0))
    return np.asarray(np.einsum("aij,bij->ab", planes, Q @ planes))


def traces(Q: SymmetricStencil, covariances: SymmetricStencil, channels: slice | None = None) -> FloatArray:
    """Return ``sum_pq Q[p, q] C[(q, a), (p, b)]`` for channels a and b, symmetric; of some of the channels."""
    place = {tuple(offset): k for k, offset in enumerate(covariances.offsets.tolist())}
    own = slice(None) if channels is None else channels
    count = len(range(covariances.channels)[own])
    total = np.zeros((count, count))
    for k, offset in enumerate(Q.offsets.tolist()):
        term = np.einsum("ij,ijab->ab", Q.plane(k), covariances.plane(place[tuple(offset)])[..., own, own])
        total += term if offset == [0, 0] else term + term.T
    return total


def held_by(model: OfChannels, images: FloatArray) -> BoolArray:
    """Return which covariates ``(K, H, W)`` a spatial model holds itself: those in its null space."""
    spatial = members_of(model)[0].model.gmrf((images.shape[1], images.shape[2]))
    if not len(images) or not spatial.null_vectors.shape[1]:
        return np.zeros(len(images), dtype=bool)
    left = NullVectors.of(spatial, np.ones(images.shape[1:], dtype=bool), None).remainder(images)
    return np.asarray(np.linalg.norm(left, axis=(1, 2)) <= _NOTHING * np.linalg.norm(images, axis=(1, 2)))
