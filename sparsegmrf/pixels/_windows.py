"""Distances from the pixels of a window: sliding sums in bands of rows, and single windows summed directly."""

import numpy as np
import scipy.linalg

from sparsegmrf import _threads
from sparsegmrf._validate import integer_at_least, read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.kernels import pixel_windows
from sparsegmrf.pixels._covariance import Shrinkage, checked_shrinkage, cholesky_of, covariance_of
from sparsegmrf.pixels._layout import Pixels
from sparsegmrf.pixels._moments import Moments, moments_of_block, moments_of_image
from sparsegmrf.typing import FloatArray

_ROWS = 64
_OAS = -1.0


def window_distance_map(image: Pixels, window: object, shrinkage: Shrinkage) -> FloatArray:
    """Return the distance of every pixel from the outer window less the inner one."""
    inner, outer = _sides(window)
    rule = checked_shrinkage(shrinkage)
    if rule == "ledoit-wolf":
        raise ArgumentError("shrinkage must be a number or 'oas' with a window, got 'ledoit-wolf'; take 'oas'.")
    if len(image.sites) < 2 or min(image.sites[-2:]) < outer:
        raise ArgumentError(f"window must fit on the image {image.sites}, got an outer side of {outer}; narrow it.")
    moments = moments_of_image(image)  # refuses what is not finite
    unit = _unit(moments)
    out = np.empty(image.sites)
    for index in np.ndindex(image.sites[:-2]):
        missing = None if image.missing is None else image.missing[index]
        plane = Pixels(image.moved[index], image.axis, missing, image.name)
        _fill(plane, moments.mean, unit, inner, outer, rule, out[index])
    return out


def _unit(moments: Moments) -> float:
    """Return a power of two near the intensities' deviation: distances do not know of it, squares of squares do."""
    variance = float(np.trace(moments.scatter)) / max(moments.weight, 1.0)
    return float(np.ldexp(1.0, np.frexp(np.sqrt(variance))[1])) if 0.0 < variance < np.inf else 1.0


def _fill(
    image: Pixels, pivot: FloatArray, unit: float, inner: int, outer: int, rule: Shrinkage, out: FloatArray
) -> None:
    height, width = image.sites
    channels = image.channels
    terms = 1 + channels + channels * (channels + 1) // 2

    def band(first: int, last: int) -> None:
        top = min(max(first - outer // 2, 0), height - outer)
        bottom = min(max(last - 1 - outer // 2, 0), height - outer) + outer
        x = (image.block(top * width, bottom * width) - pivot[:, np.newaxis]) / unit
        usable = image.usable(top * width, bottom * width)
        seen = np.ones((bottom - top, width))
        if usable is not None:
            x[:, ~usable] = 0.0
            seen = usable.reshape(seen.shape).astype(np.float64)
        pixel_windows.window_distances(
            first,
            last,
            top,
            height,
            (inner, inner),
            (outer, outer),
            _OAS if isinstance(rule, str) else rule,
            read_only(x.reshape(channels, bottom - top, width)),
            read_only(seen),
            out[first:last],
            np.empty((2, terms, width)),
            np.empty((2, terms, width)),
            np.empty((channels, channels)),
            np.empty(channels),
        )

    _threads.run_over(band, height, _ROWS)
    for i, j in np.argwhere(out == -1.0).tolist():
        out[i, j] = _direct(image, unit, i, j, inner, outer, rule)


def _direct(image: Pixels, unit: float, i: int, j: int, inner: int, outer: int, rule: Shrinkage) -> float:
    """Return the distance of one pixel by two passes over its window, which loses no digits."""
    (top, left), (hole_top, hole_left) = (_corner(image, i, j, side) for side in (outer, inner))
    inside = np.ones((outer, outer), dtype=np.bool_)
    inside[hole_top - top : hole_top - top + inner, hole_left - left : hole_left - left + inner] = False
    if image.missing is not None:
        inside &= ~image.missing[top : top + outer, left : left + outer]
    values = image.moved[top : top + outer, left : left + outer][inside].astype(np.float64).T
    n = values.shape[1]
    if n < 2:
        raise ArgumentError(f"window must hold at least 2 observed pixels, got {n} around pixel {(i, j)}; widen it.")
    pivot = values[:, 0].copy()
    moments = moments_of_block(np.ascontiguousarray((values - pivot[:, np.newaxis]) / unit))
    covariance, _ = covariance_of(moments, rule, 1.0)
    factor = cholesky_of(
        covariance, f"its {n} background pixels are too few or too alike: widen the window, or pass shrinkage", (i, j)
    )
    gap = (image.moved[i, j].astype(np.float64) - pivot) / unit - moments.mean
    white = scipy.linalg.solve_triangular(factor, gap, lower=True)
    return float(white @ white)


def _corner(image: Pixels, i: int, j: int, side: int) -> tuple[int, int]:
    height, width = image.sites
    return min(max(i - side // 2, 0), height - side), min(max(j - side // 2, 0), width - side)


def _sides(window: object) -> tuple[int, int]:
    if not isinstance(window, tuple | list) or len(window) != 2:
        raise ArgumentError(f"window must be (inner, outer), two odd sides in pixels, got {window!r}.")
    inner, outer = (integer_at_least("window", side, 1) for side in window)
    if inner % 2 == 0 or outer % 2 == 0 or inner >= outer:
        raise ArgumentError(f"window must be two odd sides with inner < outer, got {window!r}; try (3, 15).")
    return inner, outer
