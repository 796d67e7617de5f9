"""Figures: a fitted image beside its innovations and a draw, and the Cholesky experiment."""

import os
from pathlib import Path

import numpy as np
import scipy.signal
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from sparsegmrf._files import replacing
from sparsegmrf._validate import integer_at_least, one_of, real_array
from sparsegmrf.autoregression import Experiment, Limit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import ArrayLike, FloatArray

FIGURE_SUFFIXES = (".png", ".pdf", ".svg")
_MISSING = "#e6b422"  # amber: in neither colour map
_GREY = colormaps["gray"].with_extremes(bad=_MISSING)
_DIVERGING = colormaps["RdBu_r"].with_extremes(bad=_MISSING)
_DISPLAYED = 2048


def fit_figure(
    image: ArrayLike, innovations: ArrayLike, draw: ArrayLike | None, *, title: str = "", unit: str = "intensity"
) -> Figure:
    """Draw an image, its innovations, their spectrum, and a draw of the fitted model on the same grey scale.

    Innovations of a model that fits are white: no structure is left in them, and their spectrum is flat, 0 dB.

    Parameters
    ----------
    image : (H, W) array_like
        The image fitted; NaN where missing.
    innovations : (H, W) array_like
        ``A (x - mu)``, in standard deviations; NaN where a missing pixel is involved.
    draw : (H, W) array_like or None
        A draw of the fitted model; None where it has none because its recursion is not stable.
    title : str
        Title of the figure.
    unit : str
        What the grey scale measures.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`.
    """
    pixels, white = _plane("image", image), _plane("innovations", innovations)
    low, high = (float(value) for value in np.nanpercentile(pixels, [0.5, 99.5]))
    grey = Normalize(low, high if high > low else low + 1.0)
    figure = Figure(figsize=(8.4, 7.6), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11)
    axes = figure.subplots(2, 2)
    _picture(axes[0, 0], pixels, "(a) image", _GREY, grey, unit)
    _picture(
        axes[0, 1], white, "(b) innovations", _DIVERGING, Normalize(-4.0, 4.0), "standard deviations", extend="both"
    )
    _spectrum(axes[1, 0], white)
    if draw is None:
        axes[1, 1].set_title("(d) no draw: the recursion is not stable", fontsize=10)
        axes[1, 1].set_axis_off()
    else:
        drawn = _plane("draw", draw)
        _picture(axes[1, 1], drawn, "(d) draw of the model, same grey scale", _GREY, grey, unit, extend="both")
    return figure


def experiment_figure(result: Experiment) -> Figure:
    """Draw the panels of the Cholesky experiment: factor, precision, covariance, draw, and the limit on ``k``.

    The matrices are shown for the first few image rows, where single entries can be told apart.

    Parameters
    ----------
    result : Experiment
        What `sparsegmrf.autoregression.experiment` returned.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`.
    """
    side = result.shape[1]
    shown = min(side**2, max(4 * side, 36))
    part = "" if shown == side**2 else f", first {shown} of {side**2} pixels"
    product = "L L^{\\top}" if result.convention == "LLt" else "L^{\\top} L"
    draw = "L^{-\\top} e" if result.convention == "LLt" else "L^{-1} e"
    figure = Figure(figsize=(12.6, 7.2), layout="constrained")
    figure.suptitle(
        f"Field of ${side} \\times {side}$ pixels with $Q = {product}$; right and lower neighbour $k = {result.k:g}$"
    )
    grid = figure.add_gridspec(2, 3, width_ratios=[1.0, 1.0, 1.15])
    axes = [figure.add_subplot(grid[place]) for place in np.ndindex(2, 2)]
    matrices = (
        (axes[0], result.cholesky, "(a) Cholesky factor $L$", ""),
        (axes[1], result.precision, "(b) precision $Q$", "1 / intensity²"),
        (axes[2], result.covariance, "(c) covariance $Q^{-1}$", "intensity²"),
    )
    for ax, matrix, name, unit in matrices:
        _picture(ax, matrix[:shown, :shown], name + part, _DIVERGING, _around_zero(matrix[:shown, :shown]), unit)
        ax.set_xlabel("pixel $q = iW + j$")
        ax.set_ylabel("pixel $p$")
    _picture(axes[3], result.sample, f"(d) sample $x = {draw}$", _DIVERGING, _around_zero(result.sample), "intensity")
    _limit(figure.add_subplot(grid[:, 2]), result)
    return figure


def averaged_periodogram(image: ArrayLike, block: int = 64) -> FloatArray:
    """Estimate a power spectrum by averaging periodograms of half-overlapping windowed blocks.

    ``S(u) = sum over blocks |FFT(w m x)(u)|^2 / sum over blocks |w m|^2`` with a Hann window ``w`` and a mask ``m``, 0
    at missing pixels and else 1: white pixels of unit variance have ``S = 1`` whatever is missing.

    Parameters
    ----------
    image : (H, W) array_like
        Zero-mean field; NaN where missing.
    block : int
        Side of the blocks in pixels; a side longer than the image's is cut to it.

    Returns
    -------
    ndarray
        ``(min(block, H), min(block, W))``, in intensity^2, zero frequency in the middle (``fftshift``).

    Raises
    ------
    ArgumentError
        If no pixel is observed.

    References
    ----------
    Welch, The use of fast Fourier transform for the estimation of power spectra, IEEE Trans. AU 15 (1967).

    Examples
    --------
    >>> white = np.random.default_rng(0).standard_normal((256, 256))
    >>> bool(abs(averaged_periodogram(white).mean() - 1.0) < 0.05)
    True
    """
    field = _plane("image", image)
    observed = np.isfinite(field)
    if not observed.any():
        raise ArgumentError(f"image must have an observed pixel for its spectrum, got none of {field.size}; mask less.")
    height, width = (min(integer_at_least("block", block, 1), side) for side in field.shape)
    window = np.outer(*(scipy.signal.windows.hann(side + 2)[1:-1] for side in (height, width)))
    power, weight = np.zeros((height, width)), 0.0
    blocks = np.lib.stride_tricks.sliding_window_view(np.where(observed, field, 0.0), (height, width))
    masks = np.lib.stride_tricks.sliding_window_view(observed, (height, width))
    step = (slice(None, None, max(1, height // 2)), slice(None, None, max(1, width // 2)))
    for row, seen in zip(blocks[step], masks[step], strict=True):
        power += (np.abs(np.fft.fft2(row * window)) ** 2).sum(axis=0)
        weight += float(((seen * window) ** 2).sum())
    if weight == 0.0:
        raise ArgumentError("image must have an observed pixel in a whole block, got none; take a smaller block.")
    return np.fft.fftshift(power / weight)


def write_figure(path: str | os.PathLike[str], figure: Figure, dpi: int = 200) -> None:
    """Write a figure as PNG, PDF or SVG, whole or not at all.

    Parameters
    ----------
    path : path
        Ends in ``.png``, ``.pdf`` or ``.svg``.
    figure : matplotlib.figure.Figure
        The figure.
    dpi : int
        Dots per inch of a PNG.

    Raises
    ------
    ArgumentError
        If the suffix is another one.
    FileError
        If the directory does not exist.
    """
    suffix = one_of("suffix of path", Path(path).suffix.lower(), FIGURE_SUFFIXES)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=suffix[1:], dpi=integer_at_least("dpi", dpi, 1))


def _plane(name: str, value: ArrayLike) -> FloatArray:
    array = real_array(name, value)
    if array.ndim != 2 or not array.size:
        raise ArgumentError(f"{name} must have shape (H, W), got {array.shape}; plot one image at a time.")
    return array


def _picture(
    ax: Axes, picture: FloatArray, title: str, colours: Colormap, norm: Normalize, unit: str, extend: str = "neither"
) -> None:
    shown, notes = show_picture(ax, picture, colours, norm)
    if np.isnan(picture).any():
        notes.append("amber: missing")
    ax.set_title(", ".join([title, *notes]), fontsize=10)
    ax.tick_params(labelsize=8)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(8, integer=True))
    _colour_bar(ax, shown, unit, extend)


def show_picture(
    ax: Axes,
    picture: FloatArray,
    colours: Colormap,
    norm: Normalize,
    extent: tuple[float, float, float, float] | None = None,
) -> tuple[AxesImage, list[str]]:
    """Draw an image with its pixels at whole numbers, or between the edges of an extent.

    Of a large one only some pixels are drawn, which the notes for its title say.
    """
    height, width = picture.shape
    step = max(1, -(-max(height, width) // _DISPLAYED))
    shown = ax.imshow(
        picture[::step, ::step],
        cmap=colours,
        norm=norm,
        interpolation="nearest",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5) if extent is None else extent,
        aspect="equal" if extent is None and max(height, width) < 8 * min(height, width) else "auto",
    )
    return shown, [f"every {step}. pixel"] if step > 1 else []


def _spectrum(ax: Axes, innovations: FloatArray) -> None:
    decibel = 10.0 * np.log10(np.maximum(averaged_periodogram(innovations), np.finfo(np.float64).tiny))
    bound = max(3.0, float(np.percentile(np.abs(decibel), 99.0)))
    shown = ax.imshow(
        decibel,
        cmap=_DIVERGING,
        norm=Normalize(-bound, bound),
        interpolation="nearest",
        extent=(-0.5, 0.5, 0.5, -0.5),
        aspect="equal",
    )
    ax.set_title("(c) spectrum of the innovations (white: 0 dB)", fontsize=10)
    ax.set_xlabel("column frequency (cycles per pixel)", fontsize=9)
    ax.set_ylabel("row frequency (cycles per pixel)", fontsize=9)
    ax.tick_params(labelsize=8)
    _colour_bar(ax, shown, "dB", "both")


def _limit(ax: Axes, result: Experiment) -> None:
    curve, side = result.limit, result.shape[0]
    unbounded = Limit.unbounded(np.linspace(0.0, 0.499, 200))
    ax.semilogy(curve.k, curve.condition, color="C3", label=f"condition number of $Q$, ${side} \\times {side}$")
    ax.semilogy(curve.k, curve.variance, color="C0", label=f"largest marginal variance, ${side} \\times {side}$")
    ax.semilogy(
        unbounded.k, unbounded.condition, color="C3", linestyle="--", linewidth=1, label="condition, no borders"
    )
    ax.semilogy(unbounded.k, unbounded.variance, color="C0", linestyle="--", linewidth=1, label="variance, no borders")
    ax.semilogy([abs(result.k)] * 2, [result.condition, result.largest_variance], "ko", markersize=5)
    ax.axvline(0.5, color="0.4", linewidth=1)
    ax.annotate(
        "$|k| = 1/2$", (0.5, 0.0), xycoords=("data", "axes fraction"), xytext=(4, 5), textcoords="offset points"
    )
    digits = 1.0 / float(np.finfo(np.float64).eps)
    if curve.condition.max() > digits:
        ax.axhline(digits, color="0.6", linewidth=1, linestyle=":")
        ax.annotate(
            "$1/\\varepsilon$: no digit left", (0.02, digits), xytext=(0, -11), textcoords="offset points", fontsize=8
        )
    ax.set_xlim(0.0, 1.0)
    ax.set_xlabel("$|k|$")
    ax.set_title(f"(e) limit on $k$; dots at $k = {result.k:g}$", fontsize=10)
    ax.grid(True, which="major", color="0.9")
    ax.legend(fontsize=8, loc="upper left")


def _around_zero(values: FloatArray) -> Normalize:
    bound = float(np.abs(values).max())
    return CenteredNorm(0.0, bound if bound > 0.0 else 1.0)


def _colour_bar(ax: Axes, shown: AxesImage, unit: str, extend: str) -> None:
    bar = ax.figure.colorbar(shown, ax=ax, extend=extend, shrink=0.9, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(unit, fontsize=9)
