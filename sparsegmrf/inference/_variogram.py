"""Empirical variograms of images with gaps: sums over all pairs of pixels at a lag by fast transforms."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.fft

from sparsegmrf import _threads
from sparsegmrf._observed import Observed, observe
from sparsegmrf._validate import finite_number, positive_number, read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._spacing import Spacing, SpacingLike, read_spacing
from sparsegmrf.inference._spacing import pixels as one_pixel
from sparsegmrf.models import Model
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray

_DIGITS = 1e-9
"""Relative error above which a sum is taken pair by pair."""
_ROUNDING = 1e-15
_LARGEST_EXPONENT = 500


@dataclass(frozen=True, eq=False)
class Variogram:
    """Semivariances by lag, as `variogram` returns them.

    Attributes
    ----------
    lags : ndarray, (K,)
        Mean length of the lags in a bin, each as often as it has pairs; in the unit of `spacing`.
    semivariances : ndarray, (K,)
        Half the mean squared difference of the pairs in the bin, in intensity^2.
    counts : ndarray of int, (K,)
        Pairs in the bin, each once.
    offsets : ndarray of int, (M, 2)
        ``(di, dj)`` in pixels of every lag, later in raster order.
    bins : ndarray of int, (M,)
        Bin of every lag.
    pairs : ndarray of int, (M,)
        Pairs of observed pixels at every lag.
    spacing : Spacing
        Size of the pixels and its unit: pixels of plain arrays.
    """

    lags: FloatArray
    semivariances: FloatArray
    counts: IntArray
    offsets: IntArray
    bins: IntArray
    pairs: IntArray
    spacing: Spacing = field(default_factory=one_pixel)

    def expected(self, model: Model, noise_variance: float = 0.0) -> FloatArray:
        """Return the semivariances ``(K,)`` that a field without borders, with noise, has on average in the bins.

        Those of `Model.variogram` at the very lags of the pairs, from pixel to pixel, and the noise variance: of binned
        lags the mean semivariance is not that of the mean lag.

        Parameters
        ----------
        model : Model
            Such as ``fit.model``.
        noise_variance : float
            Of independent noise, in intensity^2: the nugget.

        Raises
        ------
        ArgumentError, StencilError, TooLargeError
            As `Model.variogram`, and if the noise variance is negative.
        """
        if not isinstance(model, Model):
            raise ArgumentError(f"model must be a Model such as fit.model, got {type(model).__name__}.")
        noise = finite_number("noise_variance", noise_variance)
        if noise < 0.0:
            raise ArgumentError(f"noise_variance must not be negative, got {noise}.")
        values = np.asarray(model.variogram(self.offsets))
        return np.bincount(self.bins, self.pairs * values, len(self.lags)) / self.counts + noise


def variogram(
    image: ArrayLike,
    mask: BoolArray | str | None = "nan",
    *,
    max_lag: float | None = None,
    width: float | None = None,
    direction: float | None = None,
    tolerance: float = math.pi / 8.0,
    spacing: SpacingLike = "coordinates",
) -> Variogram:
    """Return the empirical variogram of an image: half the mean squared difference of two pixels, by their lag.

    ``g(h) = sum (x_p - x_q)^2 / (2 N(h))`` over all ``N(h)`` pairs of observed pixels whose lag ``|p - q|`` is in a bin
    (Matheron's estimator). All pairs count, by transforms of the image and its mask padded by the largest lag; where
    these would leave fewer than nine digits (close pixels of a smooth image) the pairs are summed one by one. Level and
    unit of the image do not matter.

    Of an image with a trend this is the variogram of both: pass ``image - fit.trend``.

    Parameters
    ----------
    image : array_like, (H, W)
        Intensities. Of a numpy masked array the mask counts as `mask`.
    mask : "nan", ndarray of bool, (H, W), or None
        **True where a pixel is missing**; ``"nan"``: where the image is NaN. None: nowhere.
    max_lag : float, optional
        Longest lag, in pixels or the unit of `spacing`, at least one pixel; by default half the longer side. Longer
        ones have few pairs, all of them across the middle of the image.
    width : float, optional
        Width of the bins in the unit of lags, positive; by default the shorter side of a pixel: bin ``k`` holds the
        lags within half of it of ``k width``, ``k = 1, 2, ...``. Lags shorter than half of it are in none. Bins without
        pairs are left out.
    direction : float, optional
        Only lags along this direction, either way: its angle in radians from increasing columns towards increasing
        rows, on the ground as that of an anisotropy. By default all of them.
    tolerance : float
        Largest angle in radians between a lag and the direction, at least 0.
    spacing : "coordinates", (height, width), Spacing or None
        Size of the pixels, in whose unit lags are: by default that of the coordinates of a ``DataArray``, and one pixel
        of plain arrays, with None, and where pixels differ in size, as between meridians (the result's ``spacing.note``
        says so).

    Returns
    -------
    Variogram

    Raises
    ------
    ArgumentError
        If a spacing is given that is a map, the image is not two-dimensional, an observed pixel is infinite or NaN, no
        pair of observed pixels is left, or an argument is out of range.

    References
    ----------
    G. Matheron (1963), Principles of geostatistics, Economic Geology 58. D. Marcotte (1996), Fast variogram computation
    with FFT, Computers & Geosciences 22.

    Examples
    --------
    >>> found = variogram([[0.0, 1.0, float("nan")], [2.0, 4.0, 1.0]], max_lag=1)
    >>> found.semivariances.tolist(), found.counts.tolist()  # (1 + 4 + 9 + 4 + 9) / 2 / 5
    ([2.7], [5])
    """
    observed = observe(image, mask)
    ground = _single(read_spacing(spacing, image, observed.shape), given=not isinstance(spacing, str))
    sides = np.array([*ground], dtype=np.float64)
    shortest = float(sides.min())
    longest = float(max(sides * observed.shape)) / 2.0 if max_lag is None else finite_number("max_lag", max_lag)
    longest = max(longest, shortest) if max_lag is None else longest
    if longest < shortest:
        least = "" if shortest == 1.0 else f", {shortest:g} {ground.unit}".rstrip()
        raise ArgumentError(f"max_lag must be at least 1 pixel{least}, got {longest}.")
    step = shortest if width is None else positive_number("width", width)
    offsets, bins = _lags(observed, longest, step, sides)
    if direction is not None:
        along = _along(offsets * sides, finite_number("direction", direction), finite_number("tolerance", tolerance))
        offsets, bins = offsets[along], bins[along]
    values, present, exponent = _scaled(observed)
    sums, pairs = _sums(values, present, offsets)
    kept = pairs > 0
    if not kept.any():
        raise ArgumentError(
            f"image must have two observed pixels at a lag of at most {longest:g} {ground.unit or 'units'} in the bins "
            "and the direction asked for, got none; raise max_lag or tolerance."
        )
    offsets, sums, pairs = offsets[kept], sums[kept], pairs[kept]
    bins = np.unique(bins[kept], return_inverse=True)[1]
    counts = np.bincount(bins, pairs).astype(np.int64)
    lengths = np.bincount(bins, pairs * np.hypot(*(offsets * sides).T))
    semivariances = np.ldexp(np.bincount(bins, sums) / (2.0 * counts), 2 * exponent)
    found: tuple[Any, ...] = (lengths / counts, semivariances, counts, offsets, bins, pairs)
    return Variogram(*(read_only(each) for each in found), *[ground])


def _single(ground: Spacing, given: bool) -> Spacing:
    """Return a size that all pixels have; where they have none in common, pixels, with the reason."""
    if not ground.is_map:
        return ground
    if given:
        raise ArgumentError(
            f"spacing must be two numbers for lags that are the same everywhere, got a map, {ground}; take the middle "
            "of the image, or None for pixels."
        )
    return one_pixel(f"pixels differ in size: {ground}")


def _lags(observed: Observed, longest: float, width: float, sides: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the lags later in raster order that are in some bin, and their bins."""
    most = np.minimum(np.array(observed.shape) - 1, np.floor(longest / sides)).astype(int)
    height, columns = most.tolist()
    di, dj = np.mgrid[0 : height + 1, -columns : columns + 1]
    length = np.hypot(sides[0] * di, sides[1] * dj)
    number = np.floor(length / width + 0.5)
    kept = ((di > 0) | (dj > 0)) & (length <= longest) & (number >= 1.0)
    return np.stack([di[kept], dj[kept]], axis=1), number[kept].astype(np.int64)


def _along(steps: FloatArray, direction: float, tolerance: float) -> BoolArray:
    """Return which lags are within an angle of a direction, either way."""
    if tolerance < 0.0:
        raise ArgumentError(f"tolerance must not be negative, got {tolerance}.")
    angle = np.arctan2(steps[:, 0], steps[:, 1]) - direction
    off = np.abs((angle + np.pi / 2.0) % np.pi - np.pi / 2.0)
    return np.asarray(off <= tolerance + 1e-9)


def _scaled(observed: Observed) -> tuple[FloatArray, BoolArray, int]:
    """Return deviations from the mean over a power of two, zero where missing, what is observed, and the exponent.

    Twice: of a level that is large the second mean is what rounding has left of the first.
    """
    present = np.ones(observed.shape, dtype=bool) if observed.missing is None else ~observed.missing
    values, _ = observed.block(0, observed.shape[0], observed.first_guess())
    size = float(np.abs(values).max(initial=0.0))
    exponent = math.frexp(size)[1] if size > 0.0 else 0
    if abs(exponent) > _LARGEST_EXPONENT:
        raise ArgumentError(
            f"image must have differences whose squares are numbers, got differences up to {size:g}; take another unit "
            "of intensity."
        )
    values = np.ldexp(values, -exponent)
    count = max(1, int(np.count_nonzero(present)))
    return np.where(present, values - values.sum() / count, 0.0), present, exponent


def _sums(values: FloatArray, present: BoolArray, offsets: IntArray) -> tuple[FloatArray, IntArray]:
    """Return sums of squared differences and numbers of pairs by lag.

    ``sum m_p m_q (x_p - x_q)^2`` is ``(x^2 * m) + (m * x^2) - 2 (x * x)`` in correlations at the lag.
    """
    if not len(offsets):
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    reach = np.abs(offsets).max(axis=0)
    padded = (np.array(values.shape) + reach).tolist()
    shape = tuple(scipy.fft.next_fast_len(side, real=True) for side in padded)
    workers = _threads.get_num_threads()

    def transform(image: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
        return np.asarray(scipy.fft.rfft2(image, shape, workers=workers))

    def at_lags(spectrum: FloatArray) -> FloatArray:
        image = scipy.fft.irfft2(spectrum, shape, workers=workers)
        return np.asarray(image[offsets[:, 0], offsets[:, 1]])

    of_mask, of_squares = transform(present.astype(np.float64)), transform(values * values)
    pairs = np.rint(at_lags(of_mask.real**2 + of_mask.imag**2)).astype(np.int64)
    of_values = transform(values)
    products = of_squares.real * of_mask.real + of_squares.imag * of_mask.imag
    sums = 2.0 * at_lags(products - of_values.real**2 - of_values.imag**2)
    # Rounding is that of the whole image's squares.
    error = _ROUNDING * math.log2(values.size + 1.0) * float((values * values).sum())
    for k in np.flatnonzero((pairs > 0) & (sums * _DIGITS <= error)).tolist():
        sums[k] = _pair_by_pair(values, present, *offsets[k].tolist())
    return sums, pairs


def _pair_by_pair(values: FloatArray, present: BoolArray, di: int, dj: int) -> float:
    height, width = values.shape
    here = slice(0, height - di), slice(max(0, -dj), width - max(0, dj))
    there = slice(di, height), slice(max(0, dj), width + min(0, dj))
    differences = (values[there] - values[here])[present[here] & present[there]]
    return float(differences @ differences)
