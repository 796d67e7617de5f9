"""What tiles say of a raster, and how far it can be from the truth."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.inference import FitResult
from sparsegmrf.large._geometry import Tile
from sparsegmrf.models import Model
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class TiledResult:
    """A filled raster, with bounds on what was not computed exactly.

    Attributes
    ----------
    mean : ndarray, (H, W)
        Expectation of the field with its trend given the observations, in intensity; NaN where the model has no value.
    std_lower, std_upper : ndarray, (H, W)
        Bounds between which its standard deviation lies for certain, that of the estimated trend included; infinite
        from above where a tile does not hold enough observations, or the model has no natural cuts.
    std : ndarray, (H, W)
        A standard deviation between the two: that of the mean of the two variances, whose errors are of opposite sign;
        the lower one where there is no other.
    mean_error : float
        Most by which the mean of any pixel differs from the exact one, in exact standard deviations of that pixel.
        Infinite where a natural cut is singular.
    samples : ndarray, (k, H, W)
        Draws of the field with its trend given the observations.
    sample_error : float
        As `mean_error`, of the draws against those that exact solutions make of the same normals.
    loglik_interval : (float, float) or None
        Bounds of the log-density of the observations in nats, where they were asked for.
    model : Model
        The field, with the parameters used.
    noise_variance : float or None
        Of the observations; None where it differs between pixels.
    coefficients, coefficient_errors : dict of float
        Of the trend, in intensity and intensity per pixel from the middle; generalized least squares.
    n_observed : int
        Number of observed pixels.
    tiles : tuple of Tile
        As they were at the end; their windows may overlap.
    widths : ndarray, (tiles,)
        Largest relative difference of the bounds of the field's standard deviation in each tile.
    tolerance : float
        What was asked of these.
    passes : int
        Passes over the tiles for the mean.
    fit : FitResult or None
        The fit to tiles spread over the raster that gave parameters, if they were not known.
    """

    mean: FloatArray
    std: FloatArray
    std_lower: FloatArray
    std_upper: FloatArray
    mean_error: float
    samples: FloatArray
    sample_error: float
    loglik_interval: tuple[float, float] | None
    model: Model
    noise_variance: float | None
    coefficients: dict[str, float]
    coefficient_errors: dict[str, float]
    n_observed: int
    tiles: tuple[Tile, ...]
    widths: FloatArray
    tolerance: float
    passes: int
    fit: FitResult | None

    @property
    def flagged(self) -> tuple[Tile, ...]:
        """Tiles whose bounds are wider than was asked for, and could not be made narrower within the memory."""
        return tuple(tile for tile, width in zip(self.tiles, self.widths, strict=True) if not width <= self.tolerance)

    @property
    def largest_width(self) -> float:
        """The largest relative difference of the bounds of a standard deviation; infinite without an upper one."""
        return float(np.max(self.widths))

    def __repr__(self) -> str:
        height, width = self.mean.shape
        return (
            f"TiledResult(shape=({height}, {width}), {len(self.tiles)} tiles, bounds within {self.largest_width:.2g}, "
            f"mean within {self.mean_error:.2g} standard deviations)"
        )
