"""Likelihood of several channels with a trend each, its gradient, and what is predicted of every pixel."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.factors.choose import stencil_of
from sparsegmrf.factors.separable import SeparableFactor, SeparableForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._channel_trend import ChannelGradient, EvidenceOfChannels, squares, traces
from sparsegmrf.inference._condition_channels import deviation_given, given_channels
from sparsegmrf.models import Channels
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False)
class ChannelEvidence(EvidenceOfChannels):
    """What observations ``(H, W, C)`` say of a separable field at given parameters: ``x ~ N(0, Q_s^-1 (x) S)``."""

    model: Channels

    @cached_property
    def posterior(self) -> GMRF | None:
        """The field of deviations given the observations; None where everything is known."""
        return None if self.data.exact.all() else given_channels(self.field, self.data)

    @property
    def logdet_gained(self) -> float:
        """Log-determinant of the precision less that given the observations."""
        return self.field.logdet - (0.0 if self.posterior is None else self.posterior.logdet)

    @property
    def deficiency(self) -> int:
        """Null vectors of the precision, of which the density knows nothing."""
        return self.field.rank_deficiency

    @property
    def own_precision(self) -> FloatArray:
        """Precision of each value given all others, ``(H, W, C)``."""
        return self.field.precision.diagonal()

    @property
    def best_covariance(self) -> FloatArray:
        """The most likely ``S`` at these spatial parameters, of channels observed without noise at the same pixels."""
        count = (self.data.count - self.field.rank_deficiency) // len(self.model.covariance)
        return np.asarray(squares(self._spatial, self.deviation) / count)

    def gradient(self) -> ChannelGradient:
        """Return the exact derivatives, by selected inverses.

        With ``P`` the posterior precision and ``z`` the deviation, ``2 dl = tr(Q^-1 dQ) - tr(P^-1 dQ) - z^T dQ z``.
        """
        model, Q_s = self.model, self._spatial
        shape, channels = Q_s.shape, len(model.covariance)
        factor = self.field.factor
        assert isinstance(factor, SeparableFactor)
        inverse = np.linalg.inv(model.covariance)
        derivatives = model.model.derivatives(shape)
        prior = factor.spatial.selected_inverse() if derivatives else None
        selected = None if self.posterior is None else self.posterior.factor.selected_inverse()
        spatial = {}
        for name, dQ in derivatives.items():
            lost = squares(dQ, self.deviation) + (0.0 if selected is None else traces(dQ, selected))
            assert prior is not None
            spatial[name] = 0.5 * (channels * dQ.inner(prior) - float((inverse * lost).sum()))
        lost = squares(Q_s, self.deviation) + (0.0 if selected is None else traces(Q_s, selected))
        by_covariance = 0.5 * (inverse @ lost @ inverse - factor.spatial.rank * inverse)
        variance = np.zeros(self.data.weight.shape) if selected is None else selected.diagonal()
        return ChannelGradient(spatial, ((by_covariance + by_covariance.T) / 2.0,), self.by_noise(variance))

    def deviation_and_score(self, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``E[x]`` given residuals, images with leading axes, and ``S_oo^-1`` times them."""
        data = self.data
        given = self.posterior
        z = residual if given is None else deviation_given(self.field, data, given.factor, residual)
        score = data.weight * (residual - z)
        if data.exact.any():
            score = np.where(data.exact, self.field.precision @ z, score)
        return z, score

    @cached_property
    def _spatial(self) -> SymmetricStencil:
        form = self.field.given
        assert isinstance(form, SeparableForm)
        return stencil_of(form.spatial, form.spatial.lattice)
