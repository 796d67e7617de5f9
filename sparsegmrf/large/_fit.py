"""Parameters of a raster from tiles spread over it."""

import math

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import FitResult, fit
from sparsegmrf.large._geometry import Window
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._trend import Trend
from sparsegmrf.models import Model
from sparsegmrf.typing import Shape

_SIDE, _MOST = 128, 24
"""Side of a tile in pixels, and how many are taken."""


def fit_on_tiles(raster: Raster, model: Model, covariates: object, *, estimated: bool) -> FitResult:
    """Return the fit of a model to tiles spread over a raster as independent images of one field.

    Of the cells into which the raster is cut as many tiles as are taken, each in the middle of its cell; those with
    less than half of their pixels observed are left out. Of the trend what least squares say of these tiles is taken
    off; a level of each tile, or of all, is fitted as the model has it.

    Raises
    ------
    ArgumentError
        If the model has maps, so that tiles differ, or no tile has half of its pixels observed.
    """
    side = min(_SIDE, *raster.shape)
    if model.cropped(slice(0, raster.shape[0]), slice(0, raster.shape[1])) is not model:
        raise ArgumentError(
            "model must be the same everywhere to be fitted to tiles, got one with maps; give a fitted model and "
            "noise_variance=."
        )
    windows = _spread(raster.shape, side)
    seen = [(window, raster.seen(window)) for window in windows]
    kept = [(window, each) for window, each in seen if 2 * each.observed.sum() >= window.n_pixels]
    if not kept:
        best = max(each.observed.mean() for _, each in seen)
        raise ArgumentError(
            f"image must have tiles of {side} pixels with half of them observed to be fitted, got at most {best:.0%}; "
            "give a fitted model and noise_variance=."
        )
    trend = Trend.of(covariates, model, raster, [window for window, _ in kept])
    stack = np.array([np.where(each.observed, each.values - trend.removed(window), np.nan) for window, each in kept])
    if estimated:
        return fit(model, stack, covariates=_level(covariates))
    variance = np.array([1.0 / np.where(each.observed, each.weight, 1.0) for _, each in kept])
    same = np.ptp(variance[~np.isnan(stack)]) == 0.0
    noise = float(variance[~np.isnan(stack)][0]) if same else variance
    return fit(model, stack, noise_variance=noise, covariates=_level(covariates))


def _spread(shape: Shape, side: int) -> list[Window]:
    """Return square windows that do not overlap, each in the middle of a cell of the raster, at most `_MOST`."""
    spacing = max(side, math.ceil(math.sqrt(shape[0] * shape[1] / _MOST)))
    tops, lefts = (
        [(length * (2 * k + 1) // count - side) // 2 for k in range(count)]
        for length, count in ((length, max(1, length // spacing)) for length in shape)
    )
    return [Window(top, top + side, left, left + side) for top in tops for left in lefts]


def _level(covariates: object) -> str | None:
    return None if covariates is None else "constant"
