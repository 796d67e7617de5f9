"""What is said of a filled image: means, deviations, quantiles, draws and functionals."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsegmrf._libraries import plotting
from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._comparison import ModelComparison
from sparsegmrf.inference._fit_result import FitResult
from sparsegmrf.inference._integrate import IntegratedFit
from sparsegmrf.inference._labels import Labels
from sparsegmrf.inference._linear_estimate import LinearEstimate
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.typing import ArrayLike, Figure, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class FillResult:
    """The filled image and how sure it is; the images are of the kind given: arrays, or xarray's DataArrays.

    Attributes
    ----------
    mean : ndarray, (H, W)
        Expectation of the field with its trend at every pixel, in intensity: gaps filled, noise removed. NaN, as
        everything else, where the model has no value (its mask or barrier) or a covariate is not known.
    std : ndarray, (H, W)
        Its standard deviation, that of the estimated trend included as in `FitResult.predict` and `functional`, in
        intensity. The field of ``fit.posterior()`` takes the trend as known, and its deviations are smaller.
    predictive_std : ndarray, (H, W)
        Standard deviation of a new measurement, ``sqrt(std^2 + noise variance)``. Of a noise variance given pixel by
        pixel it needs that of missing pixels, and is NaN there.
    samples : ndarray, (k, H, W)
        Draws of the field with its trend given the observations.
    filled : ndarray, (H, W)
        The image itself where it is observed, `mean` in the gaps.
    fit : FitResult
        The fit behind it; of a mixture that of the largest weight.
    relative_error : float
        Bound on the error of the squares of `std` and `predictive_std`, relative to themselves, where factors are kept
        in single precision; zero in double.
    comparison : ModelComparison or None
        With ``model="best"``: the fields compared, how each predicts what is held out, and its weight.
    integrated : IntegratedFit or None
        With ``parameters="integrate"``: the posterior of the parameters.
    mixture, predictive_mixture : Mixture or None
        Where parameters are integrated out, or more than one field has a weight: the distributions of the field with
        its trend and of a new measurement at every pixel, plain arrays, of which `mean` and the deviations are the
        moments.
    """

    mean: FloatArray
    std: FloatArray
    predictive_std: FloatArray
    samples: FloatArray
    filled: FloatArray
    fit: FitResult
    comparison: ModelComparison | None = None
    relative_error: float = 0.0
    integrated: IntegratedFit | None = None
    mixture: Mixture | None = None
    predictive_mixture: Mixture | None = None

    def quantile(self, probability: ArrayLike, *, predictive: bool = False) -> FloatArray:
        """Return quantiles of the field with its trend at every pixel, or of new measurements.

        ``mean + z std`` with the quantile ``z`` of the standard normal law, and of a mixture where its distribution
        reaches the probability.

        Parameters
        ----------
        probability : float or array_like, (Q,)
            Between 0 and 1.
        predictive : bool
            Whether of a new measurement, the noise included.

        Returns
        -------
        ndarray, (H, W) or (Q, H, W)
            In intensity, of the kind of the image; several under labels along a first dimension ``quantile``.

        Raises
        ------
        ArgumentError
            If a probability is not between 0 and 1, or they are an array of more than one dimension.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsegmrf import fill
        >>> image = np.random.default_rng(0).normal(size=(16, 20)).cumsum(0).cumsum(1)
        >>> image[5:8, 6:10] = np.nan
        >>> low, high = fill(image).quantile([0.05, 0.95])
        >>> bool((low < high)[5:8, 6:10].all())
        True
        """
        wanted = finite("probability", real_array("probability", probability))
        if wanted.ndim > 1 or not ((wanted > 0.0) & (wanted < 1.0)).all():
            raise ArgumentError(f"probability must be numbers (Q,) between 0 and 1, got {probability!r}.")
        law = self._law(predictive)
        found = np.stack([law(each) for each in np.atleast_1d(wanted).tolist()])
        labels = self.fit.problem.labels
        if labels is None:
            return found if wanted.ndim else found[0]
        labelled: FloatArray = labels.quantiles(found, wanted) if wanted.ndim else labels.values(found[0])
        return labelled

    def _law(self, predictive: bool) -> Callable[[float], FloatArray]:
        """Return the quantile function of the field, or of a new measurement, at every pixel."""
        from scipy.special import ndtri

        mixture = self.predictive_mixture if predictive else self.mixture
        if mixture is not None:
            return mixture.quantile
        mean, std = np.asarray(self.mean), np.asarray(self.predictive_std if predictive else self.std)
        return lambda probability: np.asarray(mean + float(ndtri(probability)) * std)

    def functional(self, weights: Any) -> LinearEstimate:
        """Return area means, totals or differences with their joint covariance, the trend's uncertainty included.

        See `FitResult.functional`. A single pixel of weight one has the deviation `std`; variances of means need the
        covariances between pixels, which `std` has not.

        Parameters
        ----------
        weights : array_like, (H, W) or (K, H, W), or dict of (H, W)
            One image of weights per functional; DataArrays are brought to the axes of the image if it was one.

        Returns
        -------
        LinearEstimate

        Raises
        ------
        ArgumentError
            If `weights` have another shape, other coordinates, or are not finite.
        """
        return (self.integrated or self.comparison or self.fit).functional(weights)

    def plot(self, *, title: str | None = None, unit: str | None = None) -> Figure:
        """Draw the image, the mean given the observations, its standard deviation, and a draw.

        The axes of a labelled image are its coordinates, where these are evenly spaced numbers.

        Parameters
        ----------
        title : str, optional
            Of the figure; by default model and estimates.
        unit : str, optional
            Of intensity; by default the ``units`` of a labelled image.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`. The draw is the first of
            `samples`; where none was asked for, one is made of the fit with the seed 0, which takes a factorization,
            and where the result is a mixture none is drawn.

        Raises
        ------
        MissingLibraryError
            If matplotlib is not installed.
        """
        drawn, data = plotting(), self.fit.problem.observations[0]
        image = np.where(data.observed, data.values, np.nan)
        draws = self.samples
        if not len(draws) and self.mixture is None:
            draws = self.fit.predict(n_samples=1, rng=0).samples
        figure: Figure = drawn.posterior_figure(
            image,
            self.mean,
            self.std,
            draws[0] if len(draws) else None,
            title=self.fit.title if title is None else title,
            unit=self.fit._unit(unit),
            like=self.mean,
        )
        return figure

    def __repr__(self) -> str:
        gaps = int(np.count_nonzero(np.isfinite(np.asarray(self.mean)))) - self.fit.n_observed
        return f"FillResult(shape={self.mean.shape}, {gaps} pixels filled, {self.fit!r})"


def labelled(result: FillResult, labels: Labels) -> FillResult:
    """Return a result whose images carry the labels of the image filled."""
    return replace(
        result,
        mean=labels.values(result.mean),
        std=labels.deviation(result.std, "std", "standard deviation"),
        predictive_std=labels.deviation(
            result.predictive_std, "predictive_std", "standard deviation of a new measurement"
        ),
        samples=labels.draws(result.samples),
        filled=labels.values(result.filled),
    )
