"""Covariance descriptors of image regions, and distances between them."""

from functools import partial

import numpy as np
import numpy.typing as npt

from sparsegmrf import _threads
from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.pixels._covariance import cholesky_of
from sparsegmrf.pixels._layout import pixels
from sparsegmrf.pixels._moments import moments_of_image
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray


class RegionMoments:
    """Integral images of first and second moments: the covariance of any rectangle from four entries of each.

    Parameters
    ----------
    features : array_like, (H, W, F) or the features elsewhere
        Feature images (intensities, gradients, coordinates, ...), finite.
    channel_axis : int
        Axis of the features.

    Raises
    ------
    ArgumentError
        If there are not two image axes, or a value is NaN or infinite.

    Notes
    -----
    Takes ``F (F + 3) / 2`` float64 planes. Sums run over the whole image: a region of ``m`` of ``n`` pixels keeps about
    ``16 - log10(n / m)`` digits of its covariance relative to the image's.

    References
    ----------
    Tuzel, Porikli & Meer, Region covariance: a fast descriptor for detection and classification, ECCV (2006).

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(40, 50, 2))
    >>> found = RegionMoments(features).covariance([(5, 10, 15, 30)])
    >>> np.allclose(found[0], np.cov(features[5:15, 10:30].reshape(-1, 2).T))
    True
    """

    def __init__(self, features: ArrayLike, *, channel_axis: int = -1) -> None:
        observed = pixels(features, channel_axis, name="image_features")
        if len(observed.sites) != 2:
            raise ArgumentError(f"image_features must have two image axes, got {len(observed.sites)}; pass one image.")
        self._pivot = moments_of_image(observed).mean  # refuses what is not finite
        self._shape = observed.sites
        count, (height, width) = observed.channels, observed.sites
        rows, columns = np.tril_indices(count)
        self._rows, self._columns = rows, columns
        self._sums = np.zeros((count + len(rows), height + 1, width + 1))
        centred = [np.asarray(observed.moved[..., c], dtype=np.float64) - self._pivot[c] for c in range(count)]

        def accumulate(k: int) -> None:
            inside = self._sums[k, 1:, 1:]
            if k < count:
                inside[...] = centred[k]
            else:
                np.multiply(centred[rows[k - count]], centred[columns[k - count]], out=inside)
            np.cumsum(inside, axis=0, out=inside)
            np.cumsum(inside, axis=1, out=inside)

        _threads.run([partial(accumulate, k) for k in range(len(self._sums))])

    def mean(self, regions: ArrayLike) -> FloatArray:
        """Return the mean of the features of every region, ``(R, F)``; `regions` as for `covariance`."""
        boxes = self._boxes(regions, 1)
        sums, n = self._inside(boxes)
        return sums[: len(self._pivot)].T / n[:, np.newaxis] + self._pivot

    def covariance(self, regions: ArrayLike, ddof: int = 1) -> FloatArray:
        """Return the covariance of the features of every region.

        Parameters
        ----------
        regions : array_like of int, (R, 4)
            ``(top, left, bottom, right)`` in pixels, the last two excluded.
        ddof : int
            Sums are divided by the number of pixels less this.

        Returns
        -------
        ndarray, (R, F, F)

        Raises
        ------
        ArgumentError
            If a region is not on the image or has no more than `ddof` pixels.
        """
        boxes = self._boxes(regions, int(ddof) + 1)
        sums, n = self._inside(boxes)
        count = len(self._pivot)
        means = sums[:count] / n
        lower = (sums[count:] - n * means[self._rows] * means[self._columns]) / (n - ddof)
        result = np.empty((len(boxes), count, count))
        result[:, self._rows, self._columns] = lower.T
        result[:, self._columns, self._rows] = lower.T
        return result

    def _inside(self, boxes: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the sums over every box, ``(planes, R)``, and its number of pixels."""
        top, left, bottom, right = boxes.T
        sums = self._sums
        total = sums[:, bottom, right] - sums[:, top, right] - sums[:, bottom, left] + sums[:, top, left]
        return total, ((bottom - top) * (right - left)).astype(np.float64)

    def _boxes(self, regions: ArrayLike, least: int) -> IntArray:
        boxes = np.asarray(regions)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iu":
            raise ArgumentError(
                f"regions must be integers of shape (R, 4), top, left, bottom, right, got {boxes.dtype} {boxes.shape}."
            )
        boxes = boxes.astype(np.int64)
        top, left, bottom, right = boxes.T
        sizes = np.maximum(bottom - top, 0) * np.maximum(right - left, 0)
        bad = (top < 0) | (left < 0) | (bottom > self._shape[0]) | (right > self._shape[1]) | (sizes < least)
        if bad.any():
            k = int(np.argmax(bad))
            raise ArgumentError(
                f"regions must lie on the image {self._shape} and have at least {least} pixels, got "
                f"{tuple(boxes[k].tolist())} as region {k}."
            )
        return boxes


def region_covariance(
    image_features: ArrayLike, regions: ArrayLike, *, channel_axis: int = -1, ddof: int = 1
) -> FloatArray:
    """Return the covariance descriptors of rectangles, each in constant time from integral images.

    Parameters
    ----------
    image_features : array_like, (H, W, F) or the features elsewhere
        Feature images, finite.
    regions : array_like of int, (R, 4)
        ``(top, left, bottom, right)`` in pixels, the last two excluded.
    channel_axis : int
        Axis of the features.
    ddof : int
        Sums are divided by the number of pixels less this.

    Returns
    -------
    ndarray, (R, F, F)

    Raises
    ------
    ArgumentError
        As for `RegionMoments`, which keeps the integral images for further regions.

    Examples
    --------
    >>> features = np.random.default_rng(0).normal(size=(40, 50, 3))
    >>> region_covariance(features, [(0, 0, 10, 10), (5, 5, 40, 50)]).shape
    (2, 3, 3)
    """
    return RegionMoments(image_features, channel_axis=channel_axis).covariance(regions, ddof)


def affine_invariant_distance(one: ArrayLike, other: ArrayLike) -> FloatArray | float:
    """Return ``(sum_i log^2 l_i)^(1/2)`` over the generalized eigenvalues of ``A v = l B v``.

    It is unchanged when the features are mixed by any invertible matrix.

    Parameters
    ----------
    one, other : array_like, (..., F, F)
        Covariances, symmetric positive definite; leading axes broadcast.

    Returns
    -------
    float or ndarray, (...)

    Raises
    ------
    SingularCovarianceError
        If one of them is singular; names the direction.

    References
    ----------
    Foerstner & Moonen, A metric for covariance matrices (1999).

    Examples
    --------
    >>> float(round(affine_invariant_distance(np.eye(2), np.diag([np.e, 1.0])), 12))
    1.0
    """
    A, B = _pair(one, other)
    L = _factors(B)
    _factors(A)
    half = np.linalg.solve(L, A)
    whitened = np.linalg.solve(L, np.swapaxes(half, -1, -2))
    logs = np.log(np.linalg.eigvalsh(0.5 * (whitened + np.swapaxes(whitened, -1, -2))))
    return _number(np.sqrt((logs * logs).sum(axis=-1)))


def log_euclidean_distance(one: ArrayLike, other: ArrayLike) -> FloatArray | float:
    """Return ``|log A - log B|_F``, with the logarithms of matrices.

    Parameters
    ----------
    one, other : array_like, (..., F, F)
        Covariances, symmetric positive definite; leading axes broadcast.

    Returns
    -------
    float or ndarray, (...)

    Raises
    ------
    SingularCovarianceError
        If one of them is singular; names the direction.

    References
    ----------
    Arsigny, Fillard, Pennec & Ayache, Log-Euclidean metrics for fast and simple calculus on diffusion tensors, Magn.
    Reson. Med. 56 (2006).

    Examples
    --------
    >>> float(round(log_euclidean_distance(np.eye(2), np.diag([np.e, 1.0])), 12))
    1.0
    """
    A, B = _pair(one, other)
    gap = _logarithm(A) - _logarithm(B)
    return _number(np.sqrt((gap * gap).sum(axis=(-2, -1))))


def _pair(one: ArrayLike, other: ArrayLike) -> tuple[FloatArray, FloatArray]:
    matrices = [finite(name, real_array(name, value)) for name, value in (("one", one), ("other", other))]
    for name, matrix in zip(("one", "other"), matrices, strict=True):
        if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.size:
            raise ArgumentError(f"{name} must have shape (..., F, F), got {matrix.shape}.")
        if np.abs(matrix - np.swapaxes(matrix, -1, -2)).max() > 1e-10 * np.abs(matrix).max():
            raise ArgumentError(f"{name} must be symmetric; average it with its transpose.")
    if matrices[0].shape[-1] != matrices[1].shape[-1]:
        raise ArgumentError(f"other must have as many features as one, {matrices[0].shape}, got {matrices[1].shape}.")
    return matrices[0], matrices[1]


def _factors(matrices: FloatArray) -> FloatArray:
    flat = matrices.reshape(-1, *matrices.shape[-2:])
    return np.stack([cholesky_of(matrix, "leave out a feature or take a larger region") for matrix in flat]).reshape(
        matrices.shape
    )


def _logarithm(matrices: FloatArray) -> FloatArray:
    _factors(matrices)
    values, vectors = np.linalg.eigh(matrices)
    if (values <= 0.0).any():
        raise ArgumentError("one and other must be positive definite in their units; rescale tiny features.")
    return np.asarray((vectors * np.log(values)[..., np.newaxis, :]) @ np.swapaxes(vectors, -1, -2))


def _number(values: npt.NDArray[np.float64]) -> FloatArray | float:
    return values if values.ndim else float(values)
