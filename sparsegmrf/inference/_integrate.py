"""The posterior of a field's parameters, and of its pixels with the parameters integrated out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._libraries import plotting
from sparsegmrf._saved import Saved, kind_of, loaded
from sparsegmrf._validate import generator, integer_at_least, one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._central_composite import central_composite
from sparsegmrf.inference._grid_marginals import grid_marginals
from sparsegmrf.inference._ground import units_of
from sparsegmrf.inference._linear_estimate import LinearEstimate
from sparsegmrf.inference._log_posterior import LogPosterior
from sparsegmrf.inference._mixed_prediction import MixedPrediction, mixed_estimate, mixed_prediction
from sparsegmrf.inference._parameter_density import ParameterDensity
from sparsegmrf.inference._posterior_grid import explore_grid
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._saved_integral import SavedIntegral
from sparsegmrf.inference._split_normals import split_normal_marginals
from sparsegmrf.inference._standardized import Standardized, check_ends, standardized
from sparsegmrf.typing import Figure, FloatArray, Seed

STRATEGIES = ("auto", "grid", "ccd")
_FEW = 2
"""Parameters up to which a grid has few points, whatever the image."""
_SMALL = 2**10
"""Pixels up to which it may have a parameter more."""


@dataclass(frozen=True, eq=False, repr=False)
class IntegratedFit(Saved):
    """The posterior of the parameters of a field, the coefficients of its trend integrated out.

    Attributes
    ----------
    densities : dict of ParameterDensity
        By parameter; ``noise_variance`` among them if it was estimated.
    mode : dict of float
        Where the density of the working parameters is largest.
    log_evidence : float
        Logarithm of the marginal likelihood in nats, the restricted likelihood integrated over the priors; comparable
        between fields with the same trend, as the restricted likelihood is, and only where every parameter has a prior.
    strategy : str
        ``"grid"`` or ``"ccd"``.
    without_prior : tuple of str
        Parameters whose working numbers have a flat density.
    points : dict of ndarray, (n,)
        Parameters at the points over which pixels are integrated.
    weights : ndarray, (n,)
        Of these points, of sum one.
    evaluations : int
        Likelihoods evaluated, the search for the mode included.
    """

    densities: dict[str, ParameterDensity]
    mode: dict[str, float]
    log_evidence: float
    strategy: str
    without_prior: tuple[str, ...]
    points: dict[str, FloatArray]
    weights: FloatArray
    evaluations: int
    _numbers: FloatArray
    _posterior: LogPosterior

    @one_blas_thread()
    def predict(self, *, n_samples: int = 0, rng: Seed = None) -> MixedPrediction:
        """Return what the observations say of every pixel, the parameters integrated out.

        At a point of the integral a pixel is normal as in `FitResult.predict`, the trend estimated there; the result is
        their mixture. A factorization and a selected inverse for each point.

        Parameters
        ----------
        n_samples : int
            Number of draws: of a point by its weight, then of the field there.
        rng : int, Generator or None
            Seed of the draws.

        Returns
        -------
        MixedPrediction
        """
        count, stream = integer_at_least("n_samples", n_samples, 0), generator(rng)

        def at_point(k: int, draws: int) -> Prediction:
            return self._posterior.predict(self._numbers[k], draws, stream)

        return mixed_prediction(self.weights, at_point, count, stream)

    def functional(self, weights: Any) -> LinearEstimate:
        """Return area means, totals or differences with their joint covariance, the parameters integrated out.

        ``sum_k w_k (C_k + (f_k - f)(f_k - f)^T)`` with the estimates ``f_k`` and covariances ``C_k`` at the points.

        Parameters
        ----------
        weights : array_like, (H, W) or (K, H, W), or dict of (H, W)
            As for `FitResult.functional`.

        Returns
        -------
        LinearEstimate

        Raises
        ------
        ArgumentError
            If `weights` have another shape, other coordinates, or are not finite.
        """
        return mixed_estimate(self.weights, [self._posterior.fit_at(at).functional(weights) for at in self._numbers])

    def plot(self, *, title: str | None = None, unit: str | None = None) -> Figure:
        """Draw the density of every parameter with its median and its interval of 95%, and its prior.

        Parameters
        ----------
        title : str, optional
            Of the figure; by default the model.
        unit : str, optional
            Of intensity; by default the ``units`` of a labelled image.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`. `FitResult.plot` takes `densities`
            for the panels of the likelihood.

        Raises
        ------
        MissingLibraryError
            If matplotlib is not installed.
        """
        drawn, problem = plotting(), self._posterior.problem
        labels: Any = problem.labels
        own = "" if labels is None else str(labels.image.attrs.get("units", ""))
        figure: Figure = drawn.densities_figure(
            self.densities,
            problem.priors,
            model=problem.model,
            lengths=units_of(problem.model, problem.spacing),
            title=type(problem.model).__name__ if title is None else title,
            unit=own if unit is None else unit,
        )
        return figure

    def saved(self) -> SavedIntegral:
        """Return what is kept in a file: everything but the images and what is made of them.

        Raises
        ------
        ArgumentError
            If the model is none of the package's kind.
        """
        problem = self._posterior.problem
        own = {name: value for name, value in self.mode.items() if name in problem.model.parameters}
        model: Any = problem.model.replace(**own)
        if not isinstance(model, Saved):
            raise ArgumentError(
                f"model must derive from sparsegmrf.models.Model to be saved, got {type(model).__name__}; save its "
                "parameters yourself."
            )
        return SavedIntegral(
            kind=kind_of(type(self)),
            model=model,
            likelihood=problem.likelihood.name,
            shape=problem.shape,
            n_observed=problem.n_observed,
            densities=self.densities,
            mode=self.mode,
            log_evidence=float(self.log_evidence),
            strategy=self.strategy,
            without_prior=self.without_prior,
            points=self.points,
            weights=self.weights,
            evaluations=self.evaluations,
            units=units_of(problem.model, problem.spacing),
        )

    @classmethod
    def from_json(cls, text: str) -> SavedIntegral:  # type: ignore[override]
        """Return what `to_json` has written: a `SavedIntegral`, which has no images.

        Parameters
        ----------
        text : str
            As `to_json` writes it.

        Raises
        ------
        ArgumentError
            If the text is no such object, or that of another kind.

        Examples
        --------
        >>> from sparsegmrf import fit
        >>> from sparsegmrf.models import Intrinsic
        >>> found = fit(Intrinsic(), np.random.default_rng(0).normal(size=(8, 8)), noise_variance=0.1).integrate()
        >>> again = type(found).from_json(found.to_json())
        >>> again.densities["tau"].interval() == found.densities["tau"].interval()
        True
        """
        found = loaded(text, cls)
        if not isinstance(found, SavedIntegral) or found.kind != kind_of(cls):
            raise ArgumentError(f"text must hold an {cls.__name__}, got kind {found._saved_kind()!r}.")
        return found

    def _saved_fields(self) -> Mapping[str, object]:
        return self.saved()._saved_fields()

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> Saved:
        return SavedIntegral._from_saved({**given, "kind_of_integral": kind_of(cls)})

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={each.median:.4g}" for name, each in self.densities.items())
        return f"{type(self).__name__}({self.strategy}, medians {said}, {len(self.weights)} points)"


def integrate(posterior: LogPosterior, n_pixels: int, strategy: Literal["auto", "grid", "ccd"]) -> IntegratedFit:
    """Integrate over the posterior of parameters; see `FitResult.integrate`."""
    one_of("strategy", strategy, STRATEGIES)
    count, axes = len(posterior.names), standardized(posterior)
    few = _FEW + (n_pixels <= _SMALL)
    if strategy == "grid" or (strategy == "auto" and count <= few):
        strategy, grid = "grid", explore_grid(posterior, axes)
        densities, log_evidence = grid_marginals(posterior, grid), grid.log_integral
        points, weights = grid.every_other()
    else:
        strategy = "ccd"
        check_ends(posterior, axes)
        densities = split_normal_marginals(posterior, axes)
        points, weights, log_evidence = _at_design(posterior, axes)
    numbers = axes.numbers(points)
    values = np.array([posterior.values_at(at) for at in numbers])
    return IntegratedFit(
        densities=densities,
        mode=dict(zip(posterior.names, posterior.values_at(axes.mode), strict=True)),
        log_evidence=log_evidence,
        strategy=strategy,
        without_prior=tuple(posterior.without_prior),
        points=dict(zip(posterior.names, values.T, strict=True)),
        weights=weights,
        evaluations=posterior.evaluations,
        _numbers=numbers,
        _posterior=posterior,
    )


def _at_design(posterior: LogPosterior, axes: Standardized) -> tuple[FloatArray, FloatArray, float]:
    """Return points of a central composite design in coordinates, their weights, and the logarithm of the integral.

    Points are stretched by the scales of the sides they are on, the density they stand for by the ratio of these to
    their mean.
    """
    t, shares = central_composite(len(axes.mode))
    mean = 0.5 * (axes.below + axes.above)
    scales = np.where(t < 0.0, axes.below, np.where(t > 0.0, axes.above, mean))
    logs = np.array([posterior.value(at) for at in axes.numbers(t * scales)]) - axes.top
    masses = shares * np.prod(scales / mean, axis=1) * np.exp(logs + 0.5 * np.sum(t * t, axis=1))
    whole = 0.5 * len(axes.mode) * float(np.log(2.0 * np.pi)) + axes.log_volume + float(np.log(mean).sum())
    return t * scales, masses / masses.sum(), axes.top + whole + float(np.log(masses.sum()))
