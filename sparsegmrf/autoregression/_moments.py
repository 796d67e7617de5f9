"""One streaming pass over an image: sums of lagged products, in fixed blocks of rows summed in fixed order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._observed import Observed
from sparsegmrf._validate import read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.kernels import lagged_products
from sparsegmrf.typing import FloatArray, IntArray, Offset, Shape


@dataclass(frozen=True, eq=False)
class LaggedMoments:
    """Sums over ``n`` equations of ``z = (x_p, x[p + o_1], ..., x[p + o_K])``.

    Attributes
    ----------
    n : int
        Number of equations: pixels whose whole neighbourhood is on the image and observed.
    pivot : float
        First guess of the mean, in intensity.
    mean : ndarray, (K + 1,)
        Means of ``z - pivot``.
    scatter : ndarray, (K + 1, K + 1)
        ``sum (z - mean)(z - mean)^T``, in intensity^2.
    """

    n: int
    pivot: float
    mean: FloatArray
    scatter: FloatArray

    def take(self, neighbours: Sequence[int]) -> "LaggedMoments":
        """Return the moments of the pixel and some of its neighbours, on the same equations."""
        index = np.array([0, *(k + 1 for k in neighbours)])
        return LaggedMoments(self.n, self.pivot, self.mean[index], self.scatter[np.ix_(index, index)])


@dataclass(frozen=True, eq=False)
class Autocovariances:
    """Mean of the observed pixels less the pivot, and biased autocovariances at earlier or zero lags, intensity^2."""

    mean: float
    at: dict[Offset, float]

    def __call__(self, lag: IntArray) -> float:
        """Return the autocovariance at a lag of either sign."""
        di, dj = int(lag[0]), int(lag[1])
        return self.at[(di, dj) if (di, dj) <= (0, 0) else (-di, -dj)]


def moments(observed: Observed, offsets: IntArray) -> LaggedMoments:
    """Return the moments of a pixel and its neighbours."""
    pivot = observed.first_guess()
    total, _ = _pass(observed, offsets, np.empty((0, 2), dtype=np.int64), pivot)
    return _centred(total, pivot)


def moments_and_autocovariances(observed: Observed, offsets: IntArray) -> tuple[LaggedMoments, Autocovariances]:
    """Return the moments, and the autocovariances at all offsets and their differences."""
    points = np.vstack([[[0, 0]], offsets])
    lags = np.unique((points[:, np.newaxis] - points[np.newaxis]).reshape(-1, 2), axis=0)
    lags = lags[: len(lags) // 2 + 1]  # symmetric and sorted: the earlier half, the zero lag last
    pivot = observed.first_guess()
    total, sums = _pass(observed, offsets, lags, pivot)
    return _centred(total, pivot), _autocovariances(lags, sums, observed.shape)


def _pass(observed: Observed, offsets: IntArray, lags: IntArray, pivot: float) -> tuple[FloatArray, FloatArray]:
    """Return ``sum z z^T`` of ``z = (1, x_p - pivot, x[p + o_1] - pivot, ...)`` and, per lag, the sums over pairs."""
    height, width = observed.shape
    points = read_only(np.vstack([[[0, 0]], offsets]).astype(np.int64))
    lags = read_only(lags)
    above = -int(min(points[:, 0].min(), lags[:, 0].min(initial=0)))
    blocks = _threads.ranges(height, max(above, _threads.rows_per_task(width)))
    products = np.zeros((len(blocks), len(points) + 1, len(points) + 1))
    pairs = np.zeros((len(blocks), 4, len(lags)))

    def block(index: int) -> None:
        first, last = blocks[index]
        top = max(0, first - above)
        x, missing = observed.block(top, last, pivot)
        masked = missing.size > 0
        window, usable = np.empty((len(points), lagged_products.CHUNK)), np.empty(lagged_products.CHUNK)
        lagged_products.add_moments(first - top, points, masked, x, missing, products[index], window, usable)
        if len(lags):
            seen = (~missing).astype(np.float64) if masked else np.ones(x.shape)
            lagged_products.add_pairs(first - top, lags, x, read_only(seen), pairs[index])

    _threads.run([partial(block, index) for index in range(len(blocks))])
    total = products.sum(axis=0)
    if not np.isfinite(total).all():
        raise ArgumentError(
            f"image values must have squares that double precision can sum, got a mean row of {pivot:.3g}; divide the "
            "image by its largest absolute value."
        )
    return total, pairs.sum(axis=0)


def _centred(total: FloatArray, pivot: float) -> LaggedMoments:
    """``sum (z - m)(z - m)^T = sum z z^T - n m m^T``, with `z` relative to the pivot."""
    n = int(total[0, 0])
    mean = total[1:, 0] / max(n, 1)
    lower = total[1:, 1:]
    products = np.tril(lower) + np.tril(lower, -1).T
    return LaggedMoments(n, pivot, mean, products - n * np.outer(mean, mean))


def _autocovariances(lags: IntArray, sums: FloatArray, shape: Shape) -> Autocovariances:
    """``c(d) = (1 - |d_i|/H)(1 - |d_j|/W) mean (x_p - m)(x_{p+d} - m)`` over observed pairs; biased as with ``1/n``."""
    products, here, there, count = sums
    mean = here[-1] / max(count[-1], 1.0)
    with_pairs = np.maximum(count, 1.0)
    overlap = np.prod(1.0 - np.abs(lags) / np.array(shape), axis=1)
    covariances = np.maximum(overlap, 0.0) * (products - mean * (here + there) + count * mean**2) / with_pairs
    table = {(di, dj): float(value) for (di, dj), value in zip(lags.tolist(), covariances, strict=True)}
    return Autocovariances(float(mean), table)
