"""Fits and fillings of images of several channels."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sparsegmrf._libraries import plotting
from sparsegmrf._validate import generator, integer_at_least, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.choose import check_digits
from sparsegmrf.fitted import akaike, schwarz
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._bands import Bands
from sparsegmrf.inference._channel_data import channel_observations
from sparsegmrf.inference._channel_evidence import ChannelEvidence
from sparsegmrf.inference._channel_members import (
    OfChannels,
    channels_of,
    covariance_names,
    described,
    members_of,
    with_covariances,
)
from sparsegmrf.inference._channel_search import ChannelObjective, ChannelSearch
from sparsegmrf.inference._channel_trend import EvidenceOfChannels, held_by
from sparsegmrf.inference._covariates import Covariates
from sparsegmrf.inference._ground import placed, told, units_of
from sparsegmrf.inference._labels import names_along
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._spacing import Spacing, SpacingLike
from sparsegmrf.lattice import Lattice
from sparsegmrf.likelihoods import Gaussian, Likelihood
from sparsegmrf.models import Channels, Sum
from sparsegmrf.typing import Figure, FloatArray, IntArray, Seed, Shape

_DRAWN = 6
"""Channels in a figure, unless it is said which."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ChannelsFit:
    """What `fit` returns of `Channels`: estimates, and the field given the observations.

    Attributes
    ----------
    model : Channels or Sum
        At the estimates: `Channels.covariance` is that of the channels, `Channels.model` the spatial model; of a sum
        `Sum.models` are those of its fields.
    noise_variance : float or ndarray, (C,) or as given
        Estimated of each channel, or given; 0 without noise.
    coefficients, coefficient_errors : ndarray, (K, C)
        Of each covariate in each channel, by generalized least squares, and their standard errors.
    loglik : float
        Log-density of the observed values in nats; of an intrinsic spatial model, of the contrasts that do not see its
        null space.
    n_observed : int
        Observed values, all channels together.
    n_parameters : int
        Estimated parameters, coefficients included.
    converged : bool
        Whether the search ended at a maximum.
    reason : str
        Why it ended.
    evaluations : int
        Of the likelihood.
    """

    model: Channels | Sum
    noise_variance: float | FloatArray
    coefficients: FloatArray
    coefficient_errors: FloatArray
    loglik: float
    n_observed: int
    n_parameters: int
    converged: bool
    reason: str
    evaluations: int
    _spacing: Spacing = field(repr=False)
    _covariates: Covariates = field(repr=False)
    _objective: ChannelObjective = field(repr=False)
    _search: ChannelSearch = field(repr=False)

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the covariates, in the order of the coefficients."""
        return self._covariates.names

    @property
    def observed_of_channels(self) -> IntArray:
        """Observed values of each channel, ``(C,)``."""
        return np.asarray(self._evidence.data.observed.sum(axis=(0, 1)), dtype=np.int64)

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters of the spatial model, or of all of a sum."""
        return self.model.parameters

    @cached_property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of the spatial parameters that were searched, by the observed information."""
        names = self._objective.coordinates.names
        if not names:
            return {}
        spatial = self._search.at[: len(names)]
        covariance = self._spread[: len(names), : len(names)]
        J = self._objective.coordinates.jacobian(spatial)
        return dict(zip(names, np.sqrt(np.diagonal(J @ covariance @ J.T)).tolist(), strict=True))

    @cached_property
    def covariance_errors(self) -> dict[str, FloatArray]:
        """Standard errors of the entries of the covariances ``(C, C)``, by the observed information; NaN of one held.

        They are called ``covariance``, and of a sum ``covariance_label``.
        """
        objective, at = self._objective.searching_all(self._search.at, self.model)
        found = objective.covariance_errors(at, self._spread)
        return dict(zip(covariance_names(self.model), found, strict=True))

    @cached_property
    def _spread(self) -> FloatArray:
        """The covariance of all working parameters, by the observed information."""
        objective, at = self._objective.searching_all(self._search.at, self.model)
        return objective.covariance_of(at)

    @property
    def units(self) -> dict[str, str]:
        """Units of the parameters that have a length in theirs."""
        return units_of(self.model, self._spacing)

    @property
    def trend(self) -> FloatArray:
        """The estimated trend, ``(H, W, C)``."""
        return np.asarray(np.einsum("khw,kc->hwc", self._evidence.covariates, self.coefficients))

    @property
    def aic(self) -> float:
        """Akaike's criterion ``2 k - 2 loglik``."""
        return akaike(self.loglik, self.n_parameters)

    @property
    def bic(self) -> float:
        """Schwarz's criterion ``k log n_observed - 2 loglik``."""
        return schwarz(self.loglik, self.n_parameters, self.n_observed)

    def gmrf(self, shape: Shape | None = None) -> GMRF:
        """Return the field at the estimates, with the trend on the shape fitted, without it on another."""
        own = self._evidence.field.shape
        if shape is None or tuple(shape) == own:
            return self._evidence.field.with_mean(self.trend)
        return self.model.gmrf(shape)

    def posterior(self) -> GMRF:
        """Return the field given the observations, parameters and trend taken as known.

        Raises
        ------
        ArgumentError
            If every value is observed exactly.
        """
        evidence = self._evidence
        if evidence.posterior is None:
            raise ArgumentError("every value is observed exactly; the field given these is the image itself.")
        mean = np.where(evidence.data.exact, evidence.data.values, self.trend + evidence.deviation)
        return evidence.posterior.with_mean(mean)

    def predict(self, *, n_samples: int = 0, rng: Seed = None) -> Prediction:
        """Return field and trend given the observations, images ``(H, W, C)``, with the trend's uncertainty.

        Where a covariate is not known everything is NaN.

        Parameters
        ----------
        n_samples : int
            Number of draws.
        rng : int, Generator or None
            Their seed.
        """
        count, stream, data = integer_at_least("n_samples", n_samples, 0), generator(rng), self._evidence.data
        mean, variance = self._evidence.mean_and_variance()
        noise = np.asarray(self.noise_variance)
        everywhere = noise if noise.ndim < 2 else np.where(data.observed, data.noise_variance, np.nan)
        found = Prediction(mean, variance, variance + everywhere, self._evidence.draws(count, stream))
        unknown = self._covariates.unknown_of(self.covariates)
        return found.without(unknown[..., np.newaxis]) if unknown.any() else found

    def summary(self) -> str:
        """Return the estimates and the fit's figures as text."""
        lines = [f"{described(self.model)}, {self.n_observed} observed values", ""]
        units = self.units
        lines += [f"{name:>16}{value:14.6g}  {units.get(name, '')}".rstrip() for name, value in self.parameters.items()]
        lines += told(self.model, self._spacing)
        for name, member in zip(covariance_names(self.model), members_of(self.model), strict=True):
            lines += ["", f"{name} of the channels"]
            lines += ["".join(f"{value:14.6g}" for value in row) for row in member.covariance]
        if np.ndim(self.noise_variance) < 2:
            lines += ["", f"noise variance {np.array2string(np.asarray(self.noise_variance), precision=6)}"]
        for name, row in zip(self.covariates, self.coefficients, strict=True):
            lines.append(f"{name:>16}" + "".join(f"{value:14.6g}" for value in row))
        lines += ["", f"log-likelihood {self.loglik:.4f} nats, AIC {self.aic:.2f}, BIC {self.bic:.2f}; {self.reason}"]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"ChannelsFit({self.model!r}, loglik={self.loglik:.6g}, converged={self.converged})"

    @property
    def _evidence(self) -> EvidenceOfChannels:
        return self._search.evidence


@dataclass(frozen=True, eq=False, repr=False)
class ChannelsFillResult:
    """What `fill` returns of `Channels`; images have the layout of the one given, and its labels.

    Attributes
    ----------
    mean, std, predictive_std : ndarray, (H, W, C) or (C, H, W), or labelled
        Expectation of the field with its trend, its standard deviation with that of the trend, and that of a new
        measurement, in intensity; as of `FillResult`.
    samples : ndarray, (k, H, W, C) or (k, C, H, W), or labelled
        Draws of the field with its trend given the observations.
    filled : ndarray, (H, W, C) or (C, H, W), or labelled
        The image itself where it is observed, `mean` in the gaps.
    fit : ChannelsFit
        The fit behind it, whose own images are ``(H, W, C)``.
    """

    mean: Any
    std: Any
    predictive_std: Any
    samples: Any
    filled: Any
    fit: ChannelsFit
    _axis: int = field(default=-1, repr=False)

    def plot(
        self, channels: Sequence[int] | None = None, *, title: str | None = None, unit: str | None = None
    ) -> Figure:
        """Draw image, mean and standard deviation of channels, a row of the figure for each.

        Parameters
        ----------
        channels : sequence of int, optional
            Which; by default the first six.
        title : str, optional
            Of the figure; by default the model.
        unit : str, optional
            Of intensity; by default the ``units`` of a labelled image.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`.

        Raises
        ------
        ArgumentError
            If there is no such channel.
        MissingLibraryError
            If matplotlib is not installed.
        """
        drawn, data = plotting(), self.fit._evidence.data
        count = data.values.shape[-1]
        wanted = list(range(min(count, _DRAWN))) if channels is None else list(channels)
        for each in wanted:
            if not 0 <= each < count:
                raise ArgumentError(f"channels must lie between 0 and {count - 1}, got {each}.")
        mean, std = (np.moveaxis(np.asarray(each), self._axis, 0)[wanted] for each in (self.mean, self.std))
        first = self.mean.isel({self.mean.dims[self._axis]: 0}) if hasattr(self.mean, "isel") else None
        turned = self.mean.transpose(self.mean.dims[self._axis], ...) if hasattr(self.mean, "isel") else None
        names = names_along(turned) or [str(each) for each in range(count)]
        figure: Figure = drawn.channels_figure(
            np.moveaxis(np.where(data.observed, data.values, np.nan), -1, 0)[wanted],
            mean,
            std,
            names=[names[each] for each in wanted],
            title=described(self.fit.model) if title is None else title,
            unit=str(getattr(self.mean, "attrs", {}).get("units", "")) if unit is None else unit,
            like=first,
        )
        return figure

    def __repr__(self) -> str:
        gaps = int(self.mean.size) - self.fit.n_observed
        return f"ChannelsFillResult(shape={self.mean.shape}, {gaps} values filled, {self.fit!r})"


def check_double(precision: str) -> None:
    """Refuse factors in single precision, which fits of several channels have not."""
    if check_digits(precision) == "single":
        raise ArgumentError(
            'precision must be "double" with Channels, got "single"; condition takes it for the field of channels that '
            "were fitted."
        )


def fit_channels(
    model: OfChannels,
    image: Any,
    mask: Any,
    likelihood: Gaussian | Likelihood,
    covariates: object,
    fixed: Sequence[str] | str,
    tolerance: float,
    spacing: SpacingLike,
) -> ChannelsFit:
    """Return the fit of an image ``(H, W, C)`` or ``(C, H, W)`` by maximum likelihood."""
    if not isinstance(likelihood, Gaussian):
        raise ArgumentError(
            f"likelihood must be Gaussian with Channels, got {likelihood.name}; fit one field to counts."
        )
    channels = channels_of(model)
    bands = Bands.of(image, channels)
    model, ground = placed(model, spacing, bands.image)
    mask, likelihood, image = bands.mask(mask), bands.likelihood(likelihood), bands.values
    shape = image.shape
    for member in members_of(model):
        _check_lattice(member.model.gmrf((shape[0], shape[1])).lattice)
    model.gmrf((shape[0], shape[1]))  # what does not go together is told
    noise_variance = likelihood.noise_variance
    estimated = isinstance(noise_variance, str)
    if estimated and noise_variance != "estimate":
        raise ArgumentError(f'noise_variance must be "estimate", variances or None, got {noise_variance!r}.')
    held_noise = 1.0 if estimated else 0.0 if noise_variance is None else noise_variance
    given = real_array("noise_variance", held_noise)
    data = channel_observations(image, mask, given, shape, "image")
    trend = Covariates.of(covariates, (shape[0], shape[1]), np.asarray(data.observed.any(axis=-1)))
    for c in range(channels):
        trend.check_seen(data.observed[..., c])
    trend = trend.without(held_by(model, trend.images))
    held = (fixed,) if isinstance(fixed, str) else tuple(fixed)
    objective = ChannelObjective.of(model, data, trend.images, held, estimated)
    found = objective.maximize(tolerance)
    evidence = found.evidence
    beta, covariance = evidence.estimate
    best = objective.model_at(found.at)
    if isinstance(evidence, ChannelEvidence):
        best = with_covariances(best, [evidence.model.covariance])  # which may be one in closed form
    return ChannelsFit(
        model=best,
        noise_variance=objective.noise_variance(found.at) if estimated else given if given.ndim else float(given),
        coefficients=beta.reshape(-1, channels),
        coefficient_errors=np.sqrt(np.diagonal(covariance)).reshape(-1, channels),
        loglik=evidence.loglik,
        n_observed=data.count,
        n_parameters=len(objective.coordinates.names) + objective.n_entries + channels * estimated + len(beta),
        converged=found.converged,
        reason=found.reason,
        evaluations=found.evaluations,
        _spacing=ground,
        _covariates=trend,
        _objective=objective,
        _search=found,
    )


def _check_lattice(lattice: Lattice) -> None:
    """Refuse a spatial model that has no value at some pixels."""
    if not lattice.is_complete:
        raise ArgumentError(
            "model must have a value at every pixel with Channels, got a spatial model with "
            f"{lattice.size - lattice.n_free} pixels outside its domain (a mask or a barrier); fit its channels one by "
            "one, or take a proper field, such as Matern(barrier=...)."
        )


def fill_channels(
    model: OfChannels,
    image: Any,
    mask: Any,
    likelihood: Gaussian | Likelihood,
    covariates: object,
    fixed: Sequence[str] | str,
    n_samples: int,
    rng: np.random.Generator,
    tolerance: float,
    spacing: SpacingLike,
) -> ChannelsFillResult:
    """Return the filled image, its channels where they were."""
    result = fit_channels(model, image, mask, likelihood, covariates, fixed, tolerance, spacing)
    bands = Bands.of(image, channels_of(model))
    found, data = result.predict(n_samples=n_samples, rng=rng), result._evidence.data
    return ChannelsFillResult(
        mean=bands.labelled(found.mean),
        std=bands.labelled(found.std, "std", "standard deviation"),
        predictive_std=bands.labelled(
            found.predictive_std, "predictive_std", "standard deviation of a new measurement"
        ),
        samples=bands.draws(found.samples),
        filled=bands.labelled(np.where(data.observed, data.values, found.mean)),
        fit=result,
        _axis=bands.axis,
    )
