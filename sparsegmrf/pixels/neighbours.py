"""Correlations between a pixel and its neighbours, over pairs of observed pixels."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from sparsegmrf import _threads
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.pixels._layout import Pixels, pixels
from sparsegmrf.typing import FloatArray, IntArray, Offset

DIRECTIONS: tuple[Offset, ...] = ((0, 1), (1, -1), (1, 0), (1, 1))


@dataclass(frozen=True, eq=False)
class LagCorrelation:
    """Correlations at all lags up to some reach.

    Attributes
    ----------
    values : ndarray, (2 a + 1, 2 b + 1); with channels (C, C, 2 a + 1, 2 b + 1)
        Correlation of channel ``c`` of pixel ``p`` with channel ``d`` of pixel ``p + lag``; lag ``(0, 0)`` in the
        middle. NaN where there are no two pairs, or no variation.
    pairs : ndarray, (2 a + 1, 2 b + 1)
        Number of pairs of observed pixels.
    reach : (int, int)
        ``(a, b)``.
    """

    values: FloatArray
    pairs: FloatArray
    reach: tuple[int, int]

    def at(self, lag: Offset) -> FloatArray | float:
        """Return the correlation at a lag ``(di, dj)`` in pixels: a float, or ``(C, C)``."""
        (a, b), (di, dj) = self.reach, lag
        if abs(di) > a or abs(dj) > b:
            raise ArgumentError(f"lag must lie within {self.reach}, got {lag}; compute more lags.")
        found = self.values[..., a + di, b + dj]
        return found if found.ndim else float(found)


def lag_correlation(
    image: object, max_lag: int | tuple[int, int], *, channel_axis: int | None = None, mask: object = None
) -> LagCorrelation:
    """Return the correlations of an image with itself at all lags, by one set of Fourier transforms.

    ``r(d)`` is Pearson's correlation over the pairs ``(p, p + d)`` with both pixels on the image and observed, each
    member of the pairs centred by its own mean.

    Parameters
    ----------
    image : array_like, (H, W), or with a channel axis
        Intensities, finite where observed.
    max_lag : int or (int, int)
        Largest lag in pixels, of rows and of columns; less than the image's sides.
    channel_axis : int, optional
        Axis of the channels, for correlations between channels, too.
    mask : ndarray of bool or "nan", optional
        True where pixels are missing.

    Returns
    -------
    LagCorrelation

    Raises
    ------
    ArgumentError
        If a lag leaves the image.

    References
    ----------
    Padfield, Masked object registration in the Fourier domain, IEEE Trans. Image Process. 21 (2012), eq. 10.

    Examples
    --------
    >>> stripes = np.tile([0.0, 1.0], (6, 4))
    >>> lag_correlation(stripes, 2).values.round(6).tolist()[2]
    [1.0, -1.0, 1.0, -1.0, 1.0]
    """
    observed = _planar(pixels(image, channel_axis, mask, stated=True))
    height, width = observed.sites
    steps = tuple(max_lag) if isinstance(max_lag, tuple | list) else (max_lag, max_lag)
    if len(steps) != 2:
        raise ArgumentError(f"max_lag must be one or two integers, got {max_lag!r}.")
    a, b = (integer_at_least("max_lag", step, 0) for step in steps)
    if a >= height or b >= width:
        raise ArgumentError(f"max_lag must be less than the sides {(height, width)} of the image, got {(a, b)}.")
    x, seen = _centred(observed)
    size = [scipy.fft.next_fast_len(height + a, real=True), scipy.fft.next_fast_len(width + b, real=True)]
    workers = _threads.get_num_threads()

    def transform(plane: FloatArray) -> FloatArray:
        return np.asarray(scipy.fft.rfft2(plane, size, workers=workers))

    def sums(left: FloatArray, right: FloatArray) -> FloatArray:
        """``sum_p left(p) right(p + d)`` for all lags ``d``."""
        full = scipy.fft.irfft2(np.conj(left) * right, size, workers=workers)
        return np.asarray(np.roll(full, (a, b), (0, 1))[: 2 * a + 1, : 2 * b + 1])

    ones = transform(seen)
    pairs = np.rint(sums(ones, ones))
    first = [transform(plane) for plane in x]
    second = [transform(plane * plane) for plane in x]
    values = np.empty((len(x), len(x), 2 * a + 1, 2 * b + 1))
    n = np.where(pairs > 1.0, pairs, np.nan)
    here = [_spread(sums(second[c], ones), sums(first[c], ones), n) for c in range(len(x))]
    there = [_spread(sums(ones, second[d]), sums(ones, first[d]), n) for d in range(len(x))]
    for c in range(len(x)):
        for d in range(len(x)):
            product = sums(first[c], first[d]) - here[c][1] * there[d][1] / n
            values[c, d] = product / np.sqrt(here[c][0] * there[d][0])
    return LagCorrelation(values if observed.axis is not None else values[0, 0], pairs, (a, b))


def neighbour_correlation(
    image: object, *, channel_axis: int | None = None, mask: object = None
) -> dict[Offset, float | FloatArray]:
    """Return the correlation with the neighbour in each direction.

    Parameters
    ----------
    image : array_like, (H, W), or with a channel axis
        Intensities, finite where observed.
    channel_axis : int, optional
        Axis of the channels.
    mask : ndarray of bool or "nan", optional
        True where pixels are missing.

    Returns
    -------
    dict
        Offset ``(0, 1)``, ``(1, -1)``, ``(1, 0)`` and ``(1, 1)`` to Pearson's correlation over the pairs of observed
        pixels, a float or one number per channel; opposite directions share it. NaN without two pairs or variation.

    Examples
    --------
    >>> neighbour_correlation(np.tile([0.0, 1.0], (6, 4)))[0, 1]
    -1.0
    """
    observed = _planar(pixels(image, channel_axis, mask, stated=True))
    x, seen = _centred(observed)
    height, width = observed.sites
    result: dict[Offset, float | FloatArray] = {}
    for di, dj in DIRECTIONS:
        low, high = max(0, -dj), min(width, width - dj)
        at_p = np.s_[..., : height - di, low:high]
        at_q = np.s_[..., di:, low + dj : high + dj]
        both = (seen[at_p] * seen[at_q]) > 0.0
        left, right = x[at_p][:, both], x[at_q][:, both]
        found = np.full(len(x), np.nan)
        if left.shape[1] > 1:
            left = left - left.mean(axis=1, keepdims=True)
            right = right - right.mean(axis=1, keepdims=True)
            scale = np.sqrt((left * left).sum(axis=1) * (right * right).sum(axis=1))
            np.divide((left * right).sum(axis=1), scale, out=found, where=scale > 0.0)
        result[di, dj] = float(found[0]) if observed.axis is None else found
    return result


def _planar(observed: Pixels) -> Pixels:
    if len(observed.sites) != 2:
        raise ArgumentError(f"image must have two axes besides the channels, got {len(observed.sites)}; pass one.")
    return observed


def _centred(observed: Pixels) -> tuple[FloatArray, FloatArray]:
    """Return channels less their means, 0 where missing, and 1 where observed, else 0."""
    block, usable = observed.block(0, observed.size), observed.usable(0, observed.size)
    keep = np.ones(observed.size, dtype=np.bool_) if usable is None else usable
    if not np.isfinite(block[:, keep]).all():
        observed.refuse_infinite(0, block)
    if not keep.any():
        raise ArgumentError("image must have an observed pixel, got none; mask less.")
    block[:, ~keep] = 0.0
    block = np.ldexp(block, -_exponents(block))  # correlations do not know of it
    block -= block[:, keep].mean(axis=1, keepdims=True)
    block[:, ~keep] = 0.0
    block = np.ldexp(block, -_exponents(block))
    return block.reshape(observed.channels, *observed.sites), keep.reshape(observed.sites).astype(np.float64)


def _exponents(block: FloatArray) -> IntArray:
    """Return per channel the power of two just above its largest magnitude."""
    largest = np.abs(block).max(axis=1, keepdims=True, initial=0.0)
    return np.asarray(np.frexp(largest)[1], dtype=np.int64)


def _spread(squares: FloatArray, sums: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the sum of squares about the mean, NaN where it is rounding, and the sum."""
    spread = squares - sums * sums / n
    floor = 1e-10 * float(np.nanmax(squares, initial=0.0))
    return np.where(spread > floor, spread, np.nan), sums
