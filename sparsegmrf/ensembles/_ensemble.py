"""An ensemble of images: its mean and its sample covariances between near pixels."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._validate import finite, integer_at_least, read_only, real_array
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.kernels import ensemble_regression
from sparsegmrf.stencil._offsets import as_offsets, later_offsets, raster_order, raster_sign
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray, Offset, Offsets, Shape

_BLOCK = 2**20
"""Values of the ensemble that a task turns and reads at a time."""
_ROUNDING = 1e-14
"""Standard deviation over the size of the values below which a pixel counts as constant."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Images ``(N, H, W)`` and their mean ``(H, W)``, which was estimated from them or given."""

    images: FloatArray
    mean: FloatArray
    estimated: bool

    @property
    def count(self) -> int:
        """Number of images ``N``."""
        return len(self.images)

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def degrees(self) -> int:
        """Rank of a sample covariance of many pixels: the number of images, less one for the estimated mean."""
        return self.count - self.estimated

    def blocks(self, reach: int) -> list[tuple[int, int]]:
        """Return the blocks of rows that tasks take; they never depend on the number of threads."""
        rows = _BLOCK // (self.count * self.shape[1])
        return _threads.ranges(self.shape[0], max(1, reach, rows))

    def turned(self, first: int, last: int) -> FloatArray:
        """Return rows ``first <= i < last`` as ``x[row, column, image]``, centred."""
        rows = slice(first, min(last, self.shape[0]))
        return read_only(np.ascontiguousarray((self.images[:, rows] - self.mean[rows]).transpose(1, 2, 0)))

    def covariances(self, offsets: IntArray) -> FloatArray:
        """Return the means of ``x_p x_q``, ``q = p + o_k``, as planes; zero off the image. Offsets have ``di >= 0``."""
        offsets = read_only(offsets)
        planes = np.empty((len(offsets), *self.shape))
        reach = int(offsets[:, 0].max(initial=0))

        def fill(first: int, last: int) -> None:
            x = self.turned(first, last + reach)
            ensemble_regression.fill_covariances(first, last, self.shape[0], offsets, x, planes)

        _threads.run([partial(fill, *block) for block in self.blocks(reach)])
        return planes

    def check_varies(self, variance: FloatArray, remedy: str) -> None:
        """Refuse pixels whose variance is rounding error.

        Raises
        ------
        ArgumentError
            With the first such pixel and their number.
        """
        constant = variance <= (_ROUNDING * np.abs(self.mean)) ** 2
        if constant.any():
            i, j = (int(index) for index in np.argwhere(constant)[0])
            raise ArgumentError(
                f"images must vary at every pixel, got {int(constant.sum())} constant ones, the first {(i, j)} with "
                f"the value {self.images[0, i, j]:g}; {remedy}."
            )


@dataclass(frozen=True, eq=False)
class LocalPattern:
    """Points around a pixel, the centre last, and where the covariance of each two of them is found.

    Attributes
    ----------
    points : ndarray, (K + 1, 2)
        Neighbours in raster order, then ``(0, 0)``.
    differences : ndarray, (D, 2)
        ``(0, 0)`` and the later differences of two points: the planes that are needed.
    pair : ndarray, (K + 1, K + 1, 3)
        Plane, and the pixel at which it is read, relative to the centre.
    """

    points: IntArray
    differences: IntArray
    pair: IntArray

    @classmethod
    def of(cls, neighbours: IntArray) -> "LocalPattern":
        """Return the pattern of a pixel and its neighbours."""
        points = np.vstack([neighbours, np.zeros((1, 2), dtype=np.int64)])
        apart = (points[np.newaxis] - points[:, np.newaxis]).reshape(-1, 2)
        unique = np.unique(apart, axis=0)
        differences = unique[raster_sign(unique) >= 0]
        place = {tuple(difference): k for k, difference in enumerate(differences.tolist())}
        pair = np.empty((len(points), len(points), 3), dtype=np.int64)
        for a, here in enumerate(points.tolist()):
            for b, there in enumerate(points.tolist()):
                apart_ab = (there[0] - here[0], there[1] - here[1])
                later = apart_ab in place
                plane = place[apart_ab if later else (-apart_ab[0], -apart_ab[1])]
                pair[a, b] = (plane, *(here if later else there))
        return cls(read_only(points), read_only(differences), read_only(pair))


def as_ensemble(images: ArrayLike, mean: object) -> Ensemble:
    """Return images with their mean, checked; NaN where a pixel is missing.

    Raises
    ------
    ArgumentError
        If the images are not an ``(N, H, W)`` array with a pixel, enough images and no infinite value, or the mean is
        no image.
    """
    array = real_array("images", images)
    if array.ndim != 3 or 0 in array.shape:
        raise ArgumentError(
            f"images must have shape (N, H, W), an ensemble of single-channel images, got {array.shape}; "
            "fit each channel of colour images by itself."
        )
    seen = np.where(np.isnan(array), 0.0, array)
    finite("images", seen, "infinite values cannot be fitted: NaN stands for a missing pixel")
    largest = float(np.abs(seen).max())
    if not largest < 1e150:
        raise ArgumentError(f"images must have squares that are finite, got values up to {largest:g}; rescale them.")
    if isinstance(mean, str):
        if mean != "estimate":
            raise ArgumentError(f'mean must be "estimate", a number or an image, got {mean!r}.')
        if len(array) < 2:
            raise ArgumentError('images must be at least 2 with mean="estimate", got 1; pass mean=, or more images.')
        return Ensemble(array, read_only(array.mean(axis=0)), True)
    given = finite("mean", real_array("mean", mean))
    if given.shape not in ((), array.shape[1:]):
        raise ArgumentError(f"mean must be a number or an image of shape {array.shape[1:]}, got {given.shape}.")
    return Ensemble(array, read_only(np.broadcast_to(given, array.shape[1:]).copy()), False)


def later_neighbours(radius: object, offsets: Offsets | None) -> IntArray:
    """Return the later offsets of a ``(2r + 1) x (2r + 1)`` window, or the given ones, in raster order.

    Raises
    ------
    ArgumentError
        If the radius is not an integer of at least 0.
    StencilError
        If a given offset is not later in raster order.
    """
    if offsets is None:
        return as_offsets(later_offsets(integer_at_least("radius", radius, 0)))
    given = as_offsets(offsets)
    wrong = given[raster_sign(given) <= 0]
    if len(wrong):
        raise StencilError(
            f"offsets must be later than the pixel in raster order (di > 0, or di = 0 and dj > 0), got "
            f"{tuple(wrong[0].tolist())}; each stands for its mirror image too."
        )
    return given[raster_order(given)]


def as_pairs(offsets: IntArray) -> tuple[Offset, ...]:
    """Return offsets as a tuple of pairs."""
    return tuple((int(di), int(dj)) for di, dj in offsets)


def count_pairs(offsets: IntArray, shape: Shape) -> int:
    """Return how many pixels have a neighbour on the image, summed over offsets."""
    height, width = shape
    return int(sum(max(0, height - abs(int(di))) * max(0, width - abs(int(dj))) for di, dj in offsets))
