"""Counts with gaps filled: risks at every pixel, and the counts that were to be expected where none is known."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsegmrf._libraries import plotting
from sparsegmrf.inference._count_fit_result import CountFitResult
from sparsegmrf.inference._integrated_counts import IntegratedCountFit
from sparsegmrf.inference._labels import Labels
from sparsegmrf.inference._linear_estimate import LinearEstimate
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._risk import DRAW, Risk, mixed_exceedance, mixed_moments, mixed_risk
from sparsegmrf.likelihoods import Binomial
from sparsegmrf.typing import ArrayLike, Figure, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class CountFillResult:
    """Risks at every pixel and how sure they are; the images are of the kind given: arrays, or xarray's DataArrays.

    Attributes
    ----------
    mean, std : ndarray, (H, W)
        Expectation and standard deviation of the rate relative to the exposure, or of the probability, at every pixel,
        the uncertainty of the estimated trend included.
    predictive_mean, predictive_std : ndarray, (H, W)
        Expectation and standard deviation of a new count with the exposure, or the trials, of the pixel; NaN where
        these are not known. A new count without exposure is zero.
    samples : ndarray, (k, H, W)
        Draws of the rate, or of the probability, given the counts.
    filled : ndarray, (H, W)
        The counts where they are observed, `predictive_mean` in the gaps.
    fit : CountFitResult
        The fit behind it.
    integrated : IntegratedCountFit or None
        With ``parameters="integrate"``: the posterior of the parameters.
    mixture : Mixture or None
        With it: the distribution of the linear predictor at every pixel, plain arrays, of which everything here is.
    """

    mean: FloatArray
    std: FloatArray
    predictive_mean: FloatArray
    predictive_std: FloatArray
    samples: FloatArray
    filled: FloatArray
    fit: CountFitResult
    integrated: IntegratedCountFit | None = None
    mixture: Mixture | None = None

    def relative_risk(self, level: float = 0.95) -> Risk:
        """Return mean, median and interval of the risk at every pixel; see `CountFitResult.relative_risk`.

        Parameters
        ----------
        level : float
            Probability of the interval, between 0 and 1.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1.
        """
        labels, likelihood = self.fit.problem.labels, self.fit._given_likelihood
        found = self.fit.relative_risk(level) if self.mixture is None else mixed_risk(likelihood, self.mixture, level)
        if labels is None:
            return found
        return replace(
            found,
            mean=labels.deviation(found.mean, "mean", "mean of the risk"),
            std=labels.deviation(found.std, "std", "standard deviation of the risk"),
            median=labels.deviation(found.median, "median", "median of the risk"),
            lower=labels.deviation(found.lower, "lower", f"lower end of the interval of {level:g} of the risk"),
            upper=labels.deviation(found.upper, "upper", f"upper end of the interval of {level:g} of the risk"),
        )

    def exceedance(self, threshold: ArrayLike) -> FloatArray:
        """Return the probability at every pixel that the risk is above a threshold; see `CountFitResult.exceedance`.

        Parameters
        ----------
        threshold : float or array_like, (H, W)
            A rate relative to the exposure, or a probability.

        Raises
        ------
        ArgumentError
            If `threshold` has another shape or can be no risk.
        """
        labels, likelihood = self.fit.problem.labels, self.fit._given_likelihood
        found = (
            self.fit.exceedance(threshold)
            if self.mixture is None
            else mixed_exceedance(likelihood, self.mixture, threshold)
        )
        name = "probability of a risk above the threshold"
        return found if labels is None else labels.deviation(found, "exceedance", name)

    def functional(self, weights: Any) -> LinearEstimate:
        """Return sums of the linear predictor with their joint covariance; see `CountFitResult.functional`.

        Parameters
        ----------
        weights : array_like, (H, W) or (K, H, W), or dict of (H, W)
            One image of weights per functional; DataArrays are brought to the axes of the image if it was one.

        Raises
        ------
        ArgumentError
            If `weights` have another shape, other coordinates, or are not finite.
        """
        return (self.integrated or self.fit).functional(weights)

    def plot(self, *, title: str | None = None) -> Figure:
        """Draw the counts, the mean of the risk, its standard deviation, and a draw of it.

        The axes of a labelled image are its coordinates, where these are evenly spaced numbers.

        Parameters
        ----------
        title : str, optional
            Of the figure; by default model and estimates.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`. The draw is the first of
            `samples`; where none was asked for, one is made of the fit with the seed 0.

        Raises
        ------
        MissingLibraryError
            If matplotlib is not installed.
        """
        drawn, counts, likelihood = plotting(), self.fit.problem.counts[0], self.fit._given_likelihood
        draws = self.samples
        if not len(draws):
            draws = likelihood.inverse_link((self.integrated or self.fit).predict(n_samples=1, rng=0).samples)
        figure: Figure = drawn.risk_figure(
            np.where(counts.observed, counts.values, np.nan),
            self.mean,
            self.std,
            draws[0],
            title=self.fit.title if title is None else title,
            risk="probability" if isinstance(likelihood, Binomial) else "relative risk",
            like=self.mean,
        )
        return figure

    def __repr__(self) -> str:
        gaps = int(np.count_nonzero(np.isfinite(np.asarray(self.mean)))) - self.fit.n_observed
        return f"CountFillResult(shape={self.mean.shape}, {gaps} pixels filled, {self.fit!r})"


def count_fill(
    fit: CountFitResult, count: int, stream: np.random.Generator, integrated: IntegratedCountFit | None = None
) -> CountFillResult:
    """Return the filled counts of a fit to one image, with `count` draws; parameters known, or integrated out."""
    likelihood, counts, mixture = fit._given_likelihood, fit.problem.counts[0], None
    if integrated is None:
        found: Prediction = fit.predict(n_samples=count, rng=stream)
        mean, variance = likelihood.risk_moments(found.mean, found.variance)
        new_mean, new_variance = likelihood.new_moments(found.mean, found.variance)
    else:
        found = mixed = integrated.predict(n_samples=count, rng=stream)
        mixture = mixed.mixture
        mean, variance = mixed_moments(mixture, likelihood.risk_moments)
        new_mean, new_variance = mixed_moments(mixture, likelihood.new_moments)
    plain = CountFillResult(
        mean=mean,
        std=np.sqrt(variance),
        predictive_mean=new_mean,
        predictive_std=np.sqrt(new_variance),
        samples=likelihood.inverse_link(found.samples),
        filled=np.where(counts.observed, counts.values, new_mean),
        fit=fit,
        integrated=integrated,
        mixture=mixture,
    )
    labels = fit.problem.labels
    return plain if labels is None else _labelled(plain, labels)


def _labelled(result: CountFillResult, labels: Labels) -> CountFillResult:
    """Return a result whose images carry the labels of the image filled."""
    return replace(
        result,
        mean=labels.deviation(result.mean, "mean", "mean of the risk"),
        std=labels.deviation(result.std, "std", "standard deviation of the risk"),
        predictive_mean=labels.deviation(result.predictive_mean, "predictive_mean", "mean of a new count"),
        predictive_std=labels.deviation(result.predictive_std, "predictive_std", "standard deviation of a new count"),
        samples=Labels(labels.draws(result.samples)).deviation(result.samples, "draw", DRAW),
        filled=labels.values(result.filled),
    )
