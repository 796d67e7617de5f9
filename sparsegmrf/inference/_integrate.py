"""The posterior of a field's parameters, and of its pixels with the parameters integrated out."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import generator, integer_at_least, one_of
from sparsegmrf.inference._central_composite import central_composite
from sparsegmrf.inference._grid_marginals import grid_marginals
from sparsegmrf.inference._linear_estimate import LinearEstimate
from sparsegmrf.inference._log_posterior import LogPosterior
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._parameter_density import ParameterDensity
from sparsegmrf.inference._posterior_grid import explore_grid
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._split_normals import split_normal_marginals
from sparsegmrf.inference._standardized import Standardized, check_ends, standardized
from sparsegmrf.typing import BoolArray, FloatArray, Seed

STRATEGIES = ("auto", "grid", "ccd")
_FEW = 2
"""Parameters up to which a grid has few points, whatever the image."""
_SMALL = 2**10
"""Pixels up to which it may have a parameter more."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class IntegratedPrediction(Prediction):
    """What observations say of every pixel, and of new measurements, the parameters integrated out.

    As a `Prediction` it has `mean`, `variance`, `predictive_variance` and `samples`, those of the mixtures.

    Attributes
    ----------
    mixture : Mixture
        At every pixel of the field with its trend, a component for each point of the integral: ``(K, H, W)``.
    predictive_mixture : Mixture
        Of a new measurement there.
    """

    mixture: Mixture
    predictive_mixture: Mixture

    def without(self, unknown: BoolArray) -> "IntegratedPrediction":
        """Return the prediction with NaN at some pixels ``(H, W)``."""
        plain = super().without(unknown)
        both = [
            Mixture(each.weights, np.where(unknown, np.nan, each.means), np.where(unknown, np.nan, each.stds))
            for each in (self.mixture, self.predictive_mixture)
        ]
        return replace(
            self,
            mean=plain.mean,
            variance=plain.variance,
            predictive_variance=plain.predictive_variance,
            samples=plain.samples,
            mixture=both[0],
            predictive_mixture=both[1],
        )


@dataclass(frozen=True, eq=False, repr=False)
class IntegratedFit:
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
    def predict(self, *, n_samples: int = 0, rng: Seed = None) -> IntegratedPrediction:
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
        IntegratedPrediction
        """
        n_samples, stream = integer_at_least("n_samples", n_samples, 0), generator(rng)
        counts = stream.multinomial(n_samples, self.weights)
        found = [
            self._posterior.predict(at, int(count), stream) for at, count in zip(self._numbers, counts, strict=True)
        ]
        means, stds = np.array([each.mean for each in found]), np.array([each.std for each in found])
        mixture = Mixture(self.weights, means, stds)
        measured = Mixture(self.weights, means, np.array([each.predictive_std for each in found]))
        draws = np.concatenate([each.samples for each in found])
        return IntegratedPrediction(
            mean=mixture.mean,
            variance=mixture.std**2,
            predictive_variance=measured.std**2,
            samples=draws[stream.permutation(n_samples)],
            relative_error=max(each.relative_error for each in found),
            mixture=mixture,
            predictive_mixture=measured,
        )

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
        found = [self._posterior.fit_at(at).functional(weights) for at in self._numbers]
        estimates = np.array([np.ravel(each.estimate) for each in found])
        mean = self.weights @ estimates
        off, inner = estimates - mean, np.tensordot(self.weights, np.array([each.covariance for each in found]), 1)
        size = np.shape(found[0].estimate)
        return replace(
            found[0],
            estimate=mean.reshape(size) if size else float(mean[0]),
            covariance=inner + (off.T * self.weights) @ off,
        )

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={each.median:.4g}" for name, each in self.densities.items())
        return f"IntegratedFit({self.strategy}, medians {said}, {len(self.weights)} points)"


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
