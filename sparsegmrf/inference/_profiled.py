"""How the likelihood of a fit falls away from its estimates, by parameter, and a figure of it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._libraries import plotting
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._field_fit import FieldFit
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._profile import LikelihoodProfile, profile_of
from sparsegmrf.typing import Figure, FloatArray


class Profiled(FieldFit):
    """The likelihood about the estimates of a fit."""

    @one_blas_thread()
    def profile(self, names: Sequence[str] | str | None = None) -> dict[str, LikelihoodProfile]:
        """Return how the likelihood falls away from the estimates, parameter by parameter, all others following.

        Of a skew likelihood the interval of the profile holds the true value with a probability nearer to its level
        than `confidence_intervals`, which are those of a parabola. A parameter takes some ten likelihoods.

        Parameters
        ----------
        names : sequence of str, optional
            Parameters; by default all that have a standard error and a range of values of their own, which interactions
            that are valid in a joint region have not.

        Returns
        -------
        dict of LikelihoodProfile

        Raises
        ------
        ArgumentError
            If a name is of no such parameter, or the estimates are those of cross-validation.

        References
        ----------
        S. Wilks (1938), The large-sample distribution of the likelihood ratio, Annals of Mathematical Statistics 9.

        Examples
        --------
        >>> from sparsegmrf import Matern, fit
        >>> image = Matern(range=6.0).gmrf((24, 24)).sample(rng=1)
        >>> low, high = fit(Matern(), image, noise_variance=None).profile("range")["range"].interval()
        >>> low < 6.0 < high
        True
        """
        if self.method == "cv":
            raise ArgumentError(
                "profile is one of a likelihood, but the estimates are those of cross-validation; fit with method='ml'."
            )
        of_model, _, found = self._curvature
        known = [
            name
            for name, variance in zip(of_model.names, np.diagonal(found.covariance), strict=True)
            if name not in of_model.joint and not np.isnan(variance)
        ]
        wanted = known if names is None else [names] if isinstance(names, str) else list(names)
        for name in wanted:
            if name not in known:
                raise ArgumentError(
                    f"names must be among the parameters that have a profile, {', '.join(known) or 'none'}, "
                    f"got {name!r}."
                )
        objective, at, covariance = self._likelihood()
        memo = Memo(objective)
        return {name: profile_of(objective, at, covariance, of_model.names.index(name), memo) for name in wanted}

    def plot(
        self,
        *,
        profile: bool = True,
        densities: Mapping[str, Any] | None = None,
        replicate: int = 0,
        title: str | None = None,
        unit: str | None = None,
    ) -> Figure:
        """Draw the likelihood by parameter, and the variogram of what the trend leaves beside that of the model.

        Of counts this is the variogram of the working responses ``eta + l'/W`` less the trend, of which each has a
        noise variance ``1/W`` of its own: what Laplace's approximation takes for measurements of the field. A
        parameter's relative likelihood is drawn with all others following, and beside it the normal one that
        `standard_errors` and `confidence_intervals` come from: the two differ where these should not be relied on.

        Parameters
        ----------
        profile : bool
            Whether to follow the likelihood (`profile`), which takes some ten likelihoods per parameter; else the
            normal ones alone are drawn. Those of cross-validation have neither.
        densities : mapping, optional
            By parameter what has `values` and a `density`, such as posterior densities to be drawn in the same panels.
        replicate : int
            Of which of several images the variogram is.
        title : str, optional
            Of the figure; by default model and estimates.
        unit : str, optional
            Of intensity; by default the ``units`` of a labelled image.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`.

        Raises
        ------
        ArgumentError
            If there is no such image.
        MissingLibraryError
            If matplotlib is not installed.
        """
        drawn, number = plotting(), self._number(replicate)
        profiles = self.profile() if profile and self.method != "cv" else {}
        said = title if title is not None else self.title
        figure: Figure = drawn.likelihood_figure(
            self, profiles, densities, replicate=number, title=said, unit=self._unit(unit)
        )
        return figure

    @abstractmethod
    def _likelihood(self) -> tuple[Any, FloatArray, FloatArray]:
        """Return the objective of all that was estimated, its working parameters, and their covariance.

        Those of the model come first.
        """

    @abstractmethod
    def less_trend(self, replicate: int = 0) -> tuple[FloatArray, float | FloatArray]:
        """Return what the trend leaves of the measurements, and the variance of their noise.

        Of counts the measurements are the working responses ``eta + l'/W`` about the mode, with the noise variance
        ``1/W``: what Laplace's approximation takes for them.

        Parameters
        ----------
        replicate : int
            Which of several images.

        Returns
        -------
        residuals : ndarray, (H, W)
            NaN where there is no measurement.
        noise_variance : float or ndarray, (H, W)

        Raises
        ------
        ArgumentError
            If there is no such image.
        """

    def _unit(self, given: str | None) -> str:
        """Return the unit of intensity: as given, or that of a labelled image."""
        labels: Any = self.problem.labels
        return given if given is not None else "" if labels is None else str(labels.image.attrs.get("units", ""))
