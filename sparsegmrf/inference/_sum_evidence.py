"""Likelihood of several channels that are sums of separable fields: the linear model of coregionalization."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.factors import factorize
from sparsegmrf.factors.coregional import CoregionalFactor, CoregionalForm, GivenSums
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._channel_trend import ChannelGradient, EvidenceOfChannels, squares, traces
from sparsegmrf.inference._condition_channels import unknowns_given
from sparsegmrf.models import Sum
from sparsegmrf.stencil._congruent import congruent
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False)
class SumEvidence(EvidenceOfChannels):
    """What observations ``(H, W, C)`` say of ``sum_r w_r x_r`` with ``x_r ~ N(0, Q_r^-1 (x) S_r)``.

    The fields are unknown, their sum is observed: precisions are those of the sum and all fields but one, see
    `CoregionalForm`.
    """

    model: Sum

    @cached_property
    def form(self) -> CoregionalForm:
        """The precision."""
        form = self.field.given
        assert isinstance(form, CoregionalForm)
        return form

    @cached_property
    def posterior(self) -> GMRF | None:
        """The field of deviations given the observations; None where all values are known."""
        return None if self.data.exact.all() else GMRF(self._given)

    @property
    def logdet_gained(self) -> float:
        """Log-determinant of the precision of the fields less that given the observations."""
        prior = self.field.factor
        assert isinstance(prior, CoregionalFactor)
        return prior.logdet_of_unknowns - self._factor.logdet_of_unknowns

    @property
    def deficiency(self) -> int:
        """None of the fields is intrinsic."""
        return 0

    @property
    def own_precision(self) -> FloatArray:
        """Precision of each value given all others and the fields, ``(H, W, C)``."""
        diagonal = self.form.unknowns.diagonal()
        return np.asarray(diagonal[..., self.form.totals])

    def gradient(self) -> ChannelGradient:
        """Return the exact derivatives, by the selected inverse of the unknowns.

        With ``z_r`` the fields' means and ``C_r`` their covariances given the observations, ``2 dl = tr(Q^-1 dQ) -
        tr(C dQ) - z^T dQ z`` for the precision ``Q_r (x) S_r^-1`` of each.
        """
        form, C = self.form, self.model.channels
        selected = congruent(self._factor.of_unknowns, form.matrix.T)
        z = self._unknowns @ form.matrix.T
        shape = form.unknowns.shape
        spatial, covariances = {}, []
        for r, (label, member) in enumerate(zip(self.model.labels, self.model.members, strict=True)):
            own = slice(r * C, (r + 1) * C)
            inverse = np.linalg.inv(member.covariance)
            derivatives = member.model.derivatives(shape)
            prior = member.model.gmrf(shape).factor.selected_inverse() if derivatives else None
            for name, dQ in derivatives.items():
                lost = squares(dQ, z[..., own]) + traces(dQ, selected, own)
                assert prior is not None
                spatial[f"{name}_{label}"] = 0.5 * (C * dQ.inner(prior) - float((inverse * lost).sum()))
            Q = member.model.stencil(shape)
            lost = squares(Q, z[..., own]) + traces(Q, selected, own)
            by_covariance = 0.5 * (inverse @ lost @ inverse - form.unknowns.lattice.n_pixels * inverse)
            covariances.append((by_covariance + by_covariance.T) / 2.0)
        variance = self._factor.of_unknowns.diagonal()[..., form.totals]
        return ChannelGradient(spatial, tuple(covariances), self.by_noise(variance))

    def deviation_and_score(self, residual: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``E[x]`` given residuals, images with leading axes, and ``S_oo^-1`` times them."""
        data, form = self.data, self.form
        u = unknowns_given(form, data, self._factor, residual)
        z = u[..., form.totals]
        score = data.weight * (residual - z)
        if data.exact.any():
            score = np.where(data.exact, form.times(u)[..., form.totals], score)
        return z, score

    @cached_property
    def _given(self) -> CoregionalForm:
        return self.form.given(self.data.weight, self.data.exact)

    @cached_property
    def _factor(self) -> GivenSums:
        """The factor of the unknowns given the observations."""
        found = self._given.factor(factorize, "auto") if self.posterior is None else self.posterior.factor
        assert isinstance(found, GivenSums)
        return found

    @cached_property
    def _unknowns(self) -> FloatArray:
        """Their mean at the estimated trend, ``(H, W, R C)``."""
        return unknowns_given(self.form, self.data, self._factor, self.residual)
