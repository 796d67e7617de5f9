"""Counts with the parameters of their field integrated out: linear predictors and risks as mixtures."""

from dataclasses import dataclass, fields
from functools import cached_property

from sparsegmrf.inference._integrate import IntegratedFit
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._risk import Risk, mixed_exceedance, mixed_risk
from sparsegmrf.likelihoods import Likelihood
from sparsegmrf.typing import ArrayLike, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class IntegratedCountFit(IntegratedFit):
    """The posterior of the parameters of a field that counts were made of, field and trend integrated out by Laplace.

    As an `IntegratedFit` it has `densities`, `mode`, `log_evidence`, `points`, `weights`, `predict` and `functional`,
    these on the scale of the linear predictor, whose `predictive_mixture` is NaN.
    """

    @classmethod
    def of(cls, found: IntegratedFit) -> "IntegratedCountFit":
        """Return the same with risks."""
        return cls(**{each.name: getattr(found, each.name) for each in fields(found)})

    def relative_risk(self, level: float = 0.95) -> Risk:
        """Return mean, median and interval of the risk at every pixel, as of `CountFitResult.relative_risk`.

        Mean and deviation are those of the mixture of risks, ``sum_k w_k m_k``; quantiles of the linear predictor are
        those of the risk.

        Parameters
        ----------
        level : float
            Probability of the interval, between 0 and 1.

        Returns
        -------
        Risk

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1, or the likelihood has no link.
        """
        return mixed_risk(self._likelihood, self.mixture, level)

    def exceedance(self, threshold: ArrayLike) -> FloatArray:
        """Return the probability at every pixel that the risk is above a threshold, as of `CountFitResult.exceedance`.

        Parameters
        ----------
        threshold : float or array_like, (H, W)
            A rate relative to the exposure, positive, or a probability between 0 and 1.

        Returns
        -------
        ndarray, (H, W)
            Of several images ``(R, H, W)``.

        Raises
        ------
        ArgumentError
            If `threshold` has another shape or can be no risk, or the likelihood has no link.
        """
        return mixed_exceedance(self._likelihood, self.mixture, threshold)

    @cached_property
    def mixture(self) -> Mixture:
        """The linear predictor at every pixel, a component for each point: ``(K, H, W)``."""
        return self.predict().mixture

    @property
    def _likelihood(self) -> Likelihood:
        """The likelihood as it was given."""
        likelihood = self._posterior.problem.likelihood
        assert isinstance(likelihood, Likelihood)
        return likelihood
