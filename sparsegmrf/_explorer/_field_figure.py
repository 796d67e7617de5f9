"""Figure of the second tab."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sparsegmrf._explorer._field import DIRECTIONS, LONGEST, FieldView
from sparsegmrf.typing import FloatArray

_IMAGE = colormaps["viridis"]
_SPECTRUM = colormaps["magma"]
_LOWEST = 1e-300


def field_figure(view: FieldView) -> Figure:
    """Draw a field, its measurement, correlations by lag, and the spectrum: of the model left, of the image right.

    A spectrum is the same at opposite frequencies, so that either half has all of it.

    Parameters
    ----------
    view : FieldView
        What is shown.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot.
    """
    figure = Figure(figsize=(9.4, 7.4), layout="constrained")
    axes = figure.subplots(2, 2)
    low, high = (float(value) for value in np.percentile(view.measured, [0.5, 99.5]))
    scale = Normalize(low, high if high > low else low + 1.0)
    _image(axes[0, 0], view.draw, "(a) a draw", scale)
    _image(axes[0, 1], view.measured, f"(b) the draw measured with noise, $\\sigma_e$ = {view.noise:g}", scale)
    _correlation(axes[1, 0], view)
    _spectrum(axes[1, 1], view)
    return figure


def _image(ax: Axes, picture: FloatArray, title: str, scale: Normalize) -> None:
    shown = ax.imshow(picture, cmap=_IMAGE, norm=scale, interpolation="nearest")
    ax.set_title(title, fontsize=10)
    ax.figure.colorbar(shown, ax=ax, extend="both", pad=0.02).set_label("intensity", fontsize=9)


def _correlation(ax: Axes, view: FieldView) -> None:
    for k, direction in enumerate(DIRECTIONS):
        along = view.along(direction)
        ax.plot(along.found.lags, along.of_image, "o", color=f"C{k}", alpha=0.5, markersize=4, label="image (b)")
        ax.plot(along.found.lags, along.of_model, color=f"C{k}", label=f"model, lags along {direction}")
    ax.set_xlim(0.0, LONGEST)
    if view.variance is None:
        ax.set_ylim(bottom=0.0)
        ax.set_title("(c) semivariance of (b): an intrinsic field has no variance", fontsize=10)
        ax.set_ylabel("intensity²", fontsize=9)
    else:
        ax.axhline(0.0, color="0.6", linewidth=0.8)
        ax.set_ylim(top=1.0)
        ax.set_title("(c) correlation of (b)", fontsize=10)
    ax.set_xlabel("lag (pixels)", fontsize=9)
    ax.legend(fontsize=8, frameon=False)


def _spectrum(ax: Axes, view: FieldView) -> None:
    model, image = _decibel(view.spectrum()), _decibel(view.periodogram())
    finite = model[np.isfinite(model)]
    scale = Normalize(float(finite.min()) - 3.0, float(finite.max()) + 1.0)
    half = model[:, : model.shape[1] // 2]
    ax.imshow(half, cmap=_SPECTRUM, norm=scale, extent=(-0.5, 0.0, 0.5, -0.5), interpolation="nearest")
    other = image[:, image.shape[1] // 2 :]
    shown = ax.imshow(other, cmap=_SPECTRUM, norm=scale, extent=(0.0, 0.5, 0.5, -0.5), interpolation="nearest")
    ax.set_xlim(-0.5, 0.5)
    ax.axvline(0.0, color="white", linewidth=0.8)
    ax.set_title("(d) spectrum: left of the model, right of (b)", fontsize=10)
    ax.set_xlabel("column frequency (cycles per pixel)", fontsize=9)
    ax.set_ylabel("row frequency (cycles per pixel)", fontsize=9)
    ax.figure.colorbar(shown, ax=ax, extend="both", pad=0.02).set_label("dB of intensity²", fontsize=9)


def _decibel(power: FloatArray) -> FloatArray:
    return 10.0 * np.log10(np.maximum(power, _LOWEST))
