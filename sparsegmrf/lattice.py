"""The pixel grid: row-major flat indices, channels last, and which pixels have a neighbour at an offset."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sparsegmrf import _frozen
from sparsegmrf._validate import image_shape, integer_at_least, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import BoolArray, FloatArray, Offset, Shape

Image = TypeVar("Image", bound=npt.NDArray[Any])


@dataclass(frozen=True)
class Lattice:
    """Rectangular grid of pixels with a fixed number of unknowns per pixel.

    Pixel ``(i, j)`` has flat index ``p = i*W + j``; unknown ``c`` of pixel ``p`` has index ``p*C + c`` (pixel-major,
    channel fastest). A neighbour that falls off the image does not exist: rows do not wrap.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels, both at least 1.
    channels : int
        Unknowns per pixel ``C``, at least 1.

    Raises
    ------
    ArgumentError
        If a side or `channels` is not a positive integer.

    Examples
    --------
    >>> lattice = Lattice((3, 4))
    >>> lattice.flat_index((1, 2)), lattice.pixel(6), lattice.size
    (6, (1, 2), 12)
    """

    shape: Shape
    channels: int = 1

    def __post_init__(self) -> None:
        _frozen.assign(self, shape=image_shape(self.shape), channels=integer_at_least("channels", self.channels, 1))

    @property
    def n_pixels(self) -> int:
        """Number of pixels ``H*W``."""
        return self.shape[0] * self.shape[1]

    @property
    def size(self) -> int:
        """Number of unknowns ``H*W*C``."""
        return self.n_pixels * self.channels

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image: ``(H, W)``, or ``(H, W, C)`` with more than one channel."""
        return self.shape if self.channels == 1 else (*self.shape, self.channels)

    def flat_index(self, pixel: tuple[int, int]) -> int:
        """Return ``i*W + j`` of pixel ``(i, j)``; negative indices are refused, not wrapped."""
        height, width = self.shape
        try:
            row, column = (integer_at_least("pixel", side, 0) for side in pixel)
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"pixel must be (row, column) on the {height} x {width} image, got {pixel!r}."
            ) from error
        if row >= height or column >= width:
            raise ArgumentError(f"pixel must lie on the {height} x {width} image, got ({row}, {column}).")
        return row * width + column

    def unknown(self, pixel: tuple[int, int], channel: int = 0) -> int:
        """Return the index ``p*C + c`` of one unknown."""
        channel = integer_at_least("channel", channel, 0)
        if channel >= self.channels:
            raise ArgumentError(f"channel must be below {self.channels}, the number of channels, got {channel}.")
        return self.flat_index(pixel) * self.channels + channel

    def pixel(self, index: int) -> tuple[int, int]:
        """Return ``(i, j)`` of a flat pixel index."""
        index = integer_at_least("index", index, 0)
        if index >= self.n_pixels:
            raise ArgumentError(f"index must be below {self.n_pixels}, the number of pixels, got {index}.")
        return divmod(index, self.shape[1])

    def with_neighbour(self, offset: Offset) -> tuple[slice, slice]:
        """Return the rows and columns of the pixels ``p`` whose neighbour ``p + offset`` is on the image."""
        rows, columns = (
            slice(max(0, -step), max(max(0, -step), side - max(0, step)))
            for step, side in zip(offset, self.shape, strict=True)
        )
        return rows, columns

    def pairs(self, offset: Offset) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return two windows of one shape: the pixels with a neighbour at `offset` on the image, and these neighbours.

        Examples
        --------
        >>> image = np.arange(6).reshape(2, 3)
        >>> here, there = Lattice((2, 3)).pairs((0, 1))
        >>> (image[there] - image[here]).tolist()
        [[1, 1], [1, 1]]
        """
        di, dj = offset
        return self.with_neighbour((di, dj)), self.with_neighbour((-di, -dj))

    def without_neighbour(self, offset: Offset) -> BoolArray:
        """Return an image that is true at the pixels ``p`` whose neighbour ``p + offset`` is off the image."""
        missing = np.ones(self.shape, dtype=bool)
        missing[self.with_neighbour(offset)] = False
        return missing

    def pixel_major(self, image: object, channel_axis: int = -1) -> FloatArray:
        """Return a multi-channel image with its channel axis moved last: ``(..., H, W, C)``.

        Parameters
        ----------
        image : array_like
            Image or batch with `channels` entries along `channel_axis`.
        channel_axis : int
            Where the channels are; ``-1`` for ``(..., H, W, C)``, ``-3`` (or ``1`` for a batch) for channels first.

        Raises
        ------
        ArgumentError
            If the moved array does not end in ``(H, W, C)``.
        """
        array = real_array("image", image)
        if not -array.ndim <= channel_axis < array.ndim:
            raise ArgumentError(f"channel_axis must be an axis of the {array.ndim}-axis image, got {channel_axis}.")
        moved = np.moveaxis(array, channel_axis, -1)
        expected = (*self.shape, self.channels)
        if moved.shape[-3:] != expected:
            raise ArgumentError(
                f"image must end in {expected} once its channel axis {channel_axis} is moved last, got {moved.shape}; "
                "name the axis that holds the channels."
            )
        return np.ascontiguousarray(moved)


def at_neighbours(image: Image, offset: Offset) -> Image:
    """Return at every pixel ``p`` the value of an image ``(H, W, ...)`` at ``p + offset``, wrapped at the border."""
    moved: Image = np.roll(image, (-offset[0], -offset[1]), axis=(0, 1))
    return moved
