"""What every fit of a field says of sums of pixels, and of combinations of the trend's coefficients."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.fitted import Fitted
from sparsegmrf.inference._contrast import read_contrasts
from sparsegmrf.inference._functional import Given, Weights, functionals
from sparsegmrf.inference._linear_estimate import Contrast, LinearEstimate
from sparsegmrf.inference._marginal_means import reference_grid
from sparsegmrf.inference._problem import Problem
from sparsegmrf.typing import BoolArray, FloatArray


class LinearPredictions(Fitted):
    """Linear functionals of a field with its trend, contrasts of coefficients, and marginal means.

    The parameters are taken as known in all of them, and the uncertainty of the trend is in.
    """

    problem: Problem
    coefficients: dict[str, float]

    def functional(self, weights: Any) -> LinearEstimate:
        """Return what the observations say of sums ``sum_p w_p (x_p + trend_p)``: area means, totals, differences.

        As in `predict` the covariance is that of the field, ``w^T P^-1 w``, and of the trend's coefficients,
        ``w^T (X - Z) C (X - Z)^T w`` with what the field makes ``Z`` of the covariates ``X`` and the coefficients'
        covariance ``C``: universal kriging of a block. The parameters are taken as known, and no noise is in it: these
        are sums of what is measured, not of measurements. A solve each; nothing dense is formed.

        Parameters
        ----------
        weights : array_like, (H, W) or (K, H, W), or dict of (H, W)
            One image of weights per functional, dimensionless: ``1/N`` on the ``N`` pixels of a region for its mean.
            An xarray ``DataArray`` is brought to the axes of the image if that was one, too, and must have its
            coordinates; one along its first axis, a ``Dataset`` or a dict names the functionals. Of several images
            ``(H, W)`` and ``(K, H, W)`` are weights for each of them, and ``(K, R, H, W)`` of all together, as for
            differences between images.

        Returns
        -------
        LinearEstimate
            With the covariance of all of them. For ``(H, W)`` the estimate is a float; of several images it is
            ``(R,)``, and ``(R, K)`` for ``(K, H, W)``. NaN where weights see a pixel of which a covariate is not known,
            or at which the model has no value.

        Raises
        ------
        ArgumentError
            If `weights` have another shape, other coordinates, or are not finite.

        References
        ----------
        N. Cressie (1993), Statistics for Spatial Data, section 3.4.5, universal block kriging.

        Examples
        --------
        >>> from sparsegmrf import Matern, fit
        >>> image = Matern(range=8.0).gmrf((32, 32)).sample(rng=1)
        >>> halves = np.zeros((2, 32, 32))
        >>> halves[0, :, :16] = halves[1, :, 16:] = 1.0 / 512.0
        >>> found = fit(Matern(range=8.0), image, noise_variance=0.1, fixed="range").functional(halves)
        >>> found.covariance.shape, bool(abs(found.estimate[0] - image[:, :16].mean()) < 4.0 * found.standard_error[0])
        ((2, 2), True)
        """
        count = len(self.problem.images) if self.problem.is_stack else None
        read, known = Weights.read(weights, self.problem.shape, count, self.problem.labels), self._completed()
        return functionals(read, known._given, count, self._undefined)

    def contrast(self, L: Any) -> Contrast:
        """Return linear combinations of the trend's coefficients with their covariance, and tests of their being zero.

        ``L beta`` with the covariance ``L C L^T``, the parameters of the model taken as known.

        Parameters
        ----------
        L : array_like, (K, p) or (p,), or dict, or list of dict
            Weights of the coefficients in the order of `coefficients`; or by name, as ``{"slope": 1.0}``; several in a
            list, or with names of their own in a dict of dicts.

        Returns
        -------
        Contrast
            Estimates, standard errors, intervals, ``z`` and p values; `Contrast.wald_test` tests all together.

        Raises
        ------
        ArgumentError
            If `L` has another shape, names no coefficient, is not finite or zero throughout, or the trend has no
            coefficients.

        Examples
        --------
        >>> from sparsegmrf import Matern, fit
        >>> image = Matern(range=3.0).gmrf((24, 24)).sample(rng=1)
        >>> result = fit(Matern(range=3.0), image, covariates="linear", noise_variance=0.1, fixed="range")
        >>> slopes = result.contrast([{"row": 1.0}, {"column": 1.0}])
        >>> slopes.names, slopes.wald_test().df
        (('row', 'column'), 2)
        """
        names, weights = read_contrasts(L, list(self.coefficients), "coefficients of the trend")
        estimate, root = self._combined(weights)
        return Contrast(names=names, estimate=estimate, covariance=root @ root.T, _root=root)

    def marginal_means(self, by: str | Sequence[str] = (), *, at: Mapping[str, Any] | None = None) -> LinearEstimate:
        """Return what the trend is at values of its covariates: adjusted means of treatments, predictions of a slope.

        A row for each combination of the levels of the factors in `by` and the values in `at`. Other numbers are at
        their mean over the observed pixels; over the levels of other factors the mean is taken, each counting alike
        whatever its number of pixels. Differences are ``marginal_means(...).pairwise()``.

        Parameters
        ----------
        by : str or sequence of str
            Names of factors. Without `by` and `at` the result is one mean.
        at : dict, optional
            Values, or lists of them, by name of a covariate; labels of a factor.

        Returns
        -------
        LinearEstimate
            In intensity; of counts on the scale of the linear predictor. Neither field nor noise is in it.

        Raises
        ------
        ArgumentError
            If a name is none of a covariate, a factor has no such level, or the level belongs to an intrinsic field,
            of which `contrast` tells differences.

        References
        ----------
        S. Searle, F. Speed, G. Milliken (1980), Population marginal means in the linear model, The American
        Statistician 34.

        Examples
        --------
        >>> from sparsegmrf import Matern, factor, fit
        >>> treatment = np.tile(["A", "B"], (12, 6))
        >>> image = Matern(range=3.0).gmrf((12, 12)).sample(rng=0) + 2.0 * (treatment == "B")
        >>> result = fit(Matern(range=3.0), image, covariates=factor("treatment", treatment), noise_variance=0.1)
        >>> result.marginal_means("treatment").names
        ('treatment=A', 'treatment=B')
        """
        covariates = self.problem.covariates
        names, rows = reference_grid(
            covariates, np.sum([each.observed for each in self.problem.images], axis=0), by, at or {}
        )
        if list(self.coefficients) != list(covariates.names) or self._has_own_level:
            raise ArgumentError(
                f"model must have no level of its own for means of the trend, got {type(self.model).__name__}, whose "
                "field holds it; use contrast for differences, or functional for means of field and trend."
            )
        if not names or not covariates.names:
            raise ArgumentError("covariates must be there for means of the trend, but the fit has none.")
        estimate, root = self._combined(rows)
        return LinearEstimate(names=names, estimate=estimate, covariance=root @ root.T)

    @property
    @abstractmethod
    def _has_own_level(self) -> bool:
        """Whether the field has a null space, in which the level is."""

    @abstractmethod
    def _given(self, number: int) -> Given:
        """Return an image given the observations, with the spread of its trend."""

    @abstractmethod
    def _combined(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return combinations ``(K, p)`` of the coefficients, and a root ``(K, p)`` of their covariance."""

    @property
    def _unknown(self) -> BoolArray:
        """Pixels at which the trend is not known."""
        return self.problem.covariates.unknown_of(self.coefficients)

    @property
    @abstractmethod
    def _undefined(self) -> BoolArray:
        """Pixels at which nothing is predicted."""

    @abstractmethod
    def _whole_trend(self) -> FloatArray:
        """Return the trend with what stands for covariates that are not known, which touches no observed pixel."""

    @abstractmethod
    def _completed(self) -> Self:
        """Return the fit with what stands for covariates that are not known in their place: for computing."""
