"""Figure of an empirical variogram beside that of a model."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsegmrf._observed import observe
from sparsegmrf._validate import finite_number, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import Variogram, spacing_of, variogram
from sparsegmrf.inference._spacing import SpacingLike
from sparsegmrf.models import Model
from sparsegmrf.models._spacing import differs
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray

_AREA = 60.0
"""Area in square points of the marker of the bin with most pairs."""


def variogram_figure(
    image: ArrayLike,
    model: Model | None = None,
    mask: BoolArray | str | None = "nan",
    *,
    noise_variance: float | ArrayLike = 0.0,
    max_lag: float | None = None,
    directions: ArrayLike | None = None,
    title: str = "",
    unit: str = "",
    spacing: SpacingLike = "coordinates",
) -> Figure:
    """Draw the variogram of an image, and that of a model: semivariances on the left, correlations on the right.

    Empirical semivariances are points, their area the number of pairs; those of the model, averaged over the same
    pairs, a line. Correlations are those of the model's field: the empirical ones are ``1 - (g - noise) / C(0)`` with
    its variance ``C(0)``. An intrinsic model has none, and without a model there is no right side.

    Parameters
    ----------
    image : array_like, (H, W)
        Intensities less the trend, such as ``image - fit.trend``; NaN where missing.
    model : Model, optional
        Such as ``fit.model``.
    mask : "nan", ndarray of bool, (H, W), or None
        True where a pixel is missing, as for `sparsegmrf.inference.variogram`.
    noise_variance : float or array_like, (H, W)
        Of independent noise in intensity^2, such as ``fit.noise_variance``, which the semivariances have besides; of an
        image of variances the mean over the observed pixels.
    max_lag : float, optional
        Longest lag, in pixels or the unit of `spacing`, as for `sparsegmrf.inference.variogram`.
    directions : array_like, (D,), optional
        Angles in radians from increasing columns towards increasing rows, each drawn in a colour of its own; by default
        all directions together.
    title, unit : str
        Title of the figure, and the unit of intensity.
    spacing : "coordinates", (height, width), Spacing or None
        Size of the pixels, in whose unit lags are, as for `sparsegmrf.inference.variogram`; of a plain array by default
        that of the model, if it has one for all pixels.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`.

    Raises
    ------
    ArgumentError
        As `sparsegmrf.inference.variogram`, and if `directions` is no list of angles.

    Examples
    --------
    >>> from sparsegmrf import Matern
    >>> model = Matern(range=6.0)
    >>> len(variogram_figure(model.gmrf((40, 50)).sample(rng=0), model).axes)
    2
    """
    angles = _angles(directions)
    noise = _level_of_noise(noise_variance, image, mask)
    ground = of_model(spacing, model, image)
    found = [variogram(image, mask, max_lag=max_lag, direction=each, spacing=ground) for each in angles]
    compared = _Compared.of(found, angles, model, noise)
    variance = compared.variance
    figure = Figure(figsize=(6.2 if variance is None else 11.4, 4.4), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, 1 if variance is None else 2, squeeze=False)[0]
    _draw_semivariances(axes[0], compared, unit)
    if variance is not None:
        _draw(axes[1], compared, lambda semivariances: 1.0 - (semivariances - noise) / variance)
        axes[1].axhline(0.0, color="0.6", linewidth=0.8)
        axes[1].set_ylabel("correlation", fontsize=9)
    return figure


def variogram_panel(
    ax: Axes,
    image: FloatArray,
    model: Model | None,
    noise_variance: float | FloatArray,
    spacing: SpacingLike,
    unit: str,
) -> None:
    """Draw the variogram of an image that is NaN where missing, and that of a model, all directions together."""
    noise = _level_of_noise(noise_variance, image, "nan")
    found = [variogram(image, spacing=of_model(spacing, model, image))]
    _draw_semivariances(ax, _Compared.of(found, [None], model, noise), unit)


def of_model(spacing: SpacingLike, model: Model | None, image: ArrayLike) -> SpacingLike:
    """Return a size of pixels; of a plain array that of the model if it has one for all pixels."""
    own = getattr(model, "spacing", None)
    if spacing == "coordinates" and own is not None and not differs(own) and spacing_of(image).is_pixels:
        found: SpacingLike = own
        return found
    return spacing


@dataclass(frozen=True, eq=False)
class _Compared:
    """Variograms of an image by direction beside those expected of a model with noise; without one there are none."""

    found: list[Variogram]
    angles: list[float | None]
    named: str
    expected: list[FloatArray]
    noise: float
    variance: float | None

    @classmethod
    def of(cls, found: list[Variogram], angles: list[float | None], model: Model | None, noise: float) -> "_Compared":
        if model is None:
            return cls(found, angles, "", [], noise, None)
        expected = [each.expected(model, noise) for each in found]
        return cls(found, angles, type(model).__name__, expected, noise, _variance(model, found[0]))


def _draw_semivariances(ax: Axes, compared: _Compared, unit: str) -> None:
    noise, variance = compared.noise, compared.variance
    _draw(ax, compared, lambda semivariances: semivariances)
    if noise > 0.0:
        ax.axhline(noise, color="0.6", linewidth=0.8, linestyle=":", label="noise variance")
    if variance is not None:
        ax.axhline(variance + noise, color="0.6", linewidth=0.8, linestyle="--", label="variance, with noise")
    ax.set_ylim(bottom=0.0)
    ax.set_ylabel(f"semivariance{f' ({unit})$^2$' if unit else ''}", fontsize=9)
    ax.legend(fontsize=8, frameon=False)


def _draw(ax: Axes, compared: _Compared, shown: Callable[[FloatArray], FloatArray]) -> None:
    """Draw what is made of semivariances: those of the image as points, those of the model as lines."""
    found = compared.found
    for k, (each, angle) in enumerate(zip(found, compared.angles, strict=True)):
        along = "" if angle is None else f", {math.degrees(angle):.0f}\N{DEGREE SIGN}"
        area = 4.0 + _AREA * each.counts / each.counts.max()
        points = shown(each.semivariances)
        ax.scatter(each.lags, points, s=area, color=f"C{k}", alpha=0.55, linewidth=0.0, label=f"image{along}")
        if compared.expected:
            line = shown(compared.expected[k])
            ax.plot(each.lags, line, color=f"C{k}", linewidth=1.6, label=f"{compared.named}{along}")
    ax.set_xlim(left=0.0)
    length = found[0].spacing.unit
    ax.set_xlabel(f"lag ({length})" if length else "lag", fontsize=9)
    ax.tick_params(labelsize=8)


def _angles(directions: ArrayLike | None) -> list[float | None]:
    if directions is None:
        return [None]
    array = np.atleast_1d(real_array("directions", directions))
    if array.ndim != 1 or not array.size:
        raise ArgumentError(f"directions must be a list of angles in radians, got shape {array.shape}.")
    return [finite_number("directions", each) for each in array]


def _level_of_noise(noise_variance: float | ArrayLike, image: ArrayLike, mask: BoolArray | str | None) -> float:
    """Return the mean noise variance of the observed pixels."""
    array = real_array("noise_variance", noise_variance)
    if array.ndim == 0:
        return float(array)
    if array.shape != np.shape(image):
        raise ArgumentError(
            f"noise_variance must be a number or have the shape {np.shape(image)} of the image, got {array.shape}."
        )
    found = observe(image, mask)
    return float(array.mean() if found.missing is None else array[~found.missing].mean())


def _variance(model: Model, at: Variogram) -> float | None:
    """Return the variance of the field without borders, None if it is intrinsic: ``C(0) = g(h) / (1 - r(h))``."""
    semivariances = np.asarray(model.variogram(at.offsets))
    try:
        correlations = np.asarray(model.correlation(at.offsets))
    except ArgumentError:  # there is a variogram, but no variance
        return None
    return float(semivariances.sum() / (1.0 - correlations).sum())
