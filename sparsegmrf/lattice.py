"""The pixel grid: row-major flat indices, channels last, and which pixels have a neighbour at an offset."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sparsegmrf import _frozen
from sparsegmrf._validate import boolean_mask, image_shape, integer_at_least, read_only, real_array, whole_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray, Offset, Offsets, Shape

_EVERYWHERE: BoolArray = np.array(True)
Image = TypeVar("Image", bound=npt.NDArray[Any])


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Lattice:
    """Rectangular grid of pixels with a fixed number of unknowns per pixel, all of them free or only those of a domain.

    Pixel ``(i, j)`` has flat index ``p = i*W + j``; unknown ``c`` of pixel ``p`` has index ``p*C + c`` (pixel-major,
    channel fastest). A neighbour that falls off the image does not exist: rows do not wrap. Unknowns outside the domain
    (land, what a mask leaves out, pixels whose value is known) keep their place in images and vectors.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels, both at least 1.
    channels : int
        Unknowns per pixel ``C``, at least 1.
    domain : array_like of bool, (H, W) or (H, W, C), optional
        True where an unknown is free; by default everywhere. Copied; as an attribute an image of `image_shape`,
        read-only.

    Raises
    ------
    ArgumentError
        If a side or `channels` is not a positive integer, or `domain` is not boolean or has another shape.

    Examples
    --------
    >>> lattice = Lattice((3, 4))
    >>> lattice.flat_index((1, 2)), lattice.pixel(6), lattice.size
    (6, (1, 2), 12)
    >>> Lattice((1, 3), domain=[[True, False, True]]).n_free
    2
    """

    shape: Shape
    channels: int
    domain: BoolArray
    n_free: int
    """Number of unknowns in the domain."""

    def __init__(self, shape: Shape, channels: int = 1, domain: ArrayLike | None = None) -> None:
        _frozen.assign(self, shape=image_shape(shape), channels=integer_at_least("channels", channels, 1))
        free = _EVERYWHERE if domain is None else self._image_of("domain", domain)
        n_free = self.size if domain is None else int(np.count_nonzero(free))
        # What is complete is held as one number.
        held = np.broadcast_to(_EVERYWHERE, self.image_shape) if n_free == self.size else read_only(np.array(free))
        _frozen.assign(self, domain=held, n_free=n_free)

    @property
    def n_pixels(self) -> int:
        """Number of pixels ``H*W``."""
        return self.shape[0] * self.shape[1]

    @property
    def size(self) -> int:
        """Number of unknowns ``H*W*C``, in the domain or not."""
        return self.n_pixels * self.channels

    @property
    def is_complete(self) -> bool:
        """Whether all unknowns are in the domain."""
        return self.n_free == self.size

    @property
    def outside(self) -> BoolArray:
        """Which unknowns are not in the domain, ``(n,)``."""
        return ~self.domain.reshape(-1)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one image: ``(H, W)``, or ``(H, W, C)`` with more than one channel."""
        return self.shape if self.channels == 1 else (*self.shape, self.channels)

    def restricted(self, mask: ArrayLike) -> "Lattice":
        """Return the lattice of the unknowns in the domain at which `mask`, ``(H, W)`` or ``(H, W, C)``, is true.

        Raises
        ------
        ArgumentError
            If `mask` is not boolean or has another shape.
        """
        return Lattice(self.shape, self.channels, self.domain & self._image_of("mask", mask))

    def with_channels(self, channels: int) -> "Lattice":
        """Return the lattice of one unknown per pixel with `channels` unknowns at each of its pixels."""
        return Lattice(self.shape, channels, None if self.is_complete else self.domain)

    def parts(self, offsets: Offsets = ((0, 1), (1, 0))) -> IntArray:
        """Return the connected parts of the domain: neighbours at `offsets` are on one part.

        Parameters
        ----------
        offsets : sequence of (int, int)
            ``(di, dj)`` in pixels.

        Returns
        -------
        ndarray of int, (H, W)
            Number of the part, from 0; -1 at pixels without an unknown in the domain.

        Examples
        --------
        >>> Lattice((1, 4), domain=[[True, False, True, True]]).parts().tolist()
        [[0, -1, 1, 1]]
        """
        steps = [(int(di), int(dj)) for di, dj in np.asarray(offsets).reshape(-1, 2)]
        if self.is_complete and {(0, 1), (1, 0)} <= set(steps):
            return np.zeros(self.shape, dtype=np.int64)
        inside = np.asarray(self.domain.reshape(*self.shape, self.channels).any(axis=-1))
        number = np.arange(self.n_pixels).reshape(self.shape)
        coupled = [np.zeros((2, 0), dtype=np.int64)]
        for here, there in map(self.pairs, steps):
            both = inside[here] & inside[there]
            coupled.append(np.array([number[here][both], number[there][both]]))
        rows, columns = np.concatenate(coupled, axis=1)
        graph = sp.coo_array((np.ones(len(rows)), (rows, columns)), shape=(self.n_pixels, self.n_pixels))
        labels = np.full(self.shape, -1, dtype=np.int64)
        found = connected_components(graph, directed=False)[1].reshape(self.shape)
        labels[inside] = np.unique(found[inside], return_inverse=True)[1]
        return labels

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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Lattice):
            return NotImplemented
        return self._key() == other._key() and np.array_equal(self.domain, other.domain)

    def __hash__(self) -> int:
        return hash((*self._key(), b"" if self.is_complete else self.domain.tobytes()))

    def __reduce__(self) -> tuple[object, ...]:
        return Lattice, (self.shape, self.channels, None if self.is_complete else self.domain)

    def __repr__(self) -> str:
        free = "" if self.is_complete else f", {self.n_free} of {self.size} unknowns"
        return f"Lattice(shape={self.shape}, channels={self.channels}{free})"

    def _key(self) -> tuple[Shape, int, int]:
        return self.shape, self.channels, self.n_free

    def _image_of(self, name: str, mask: ArrayLike) -> BoolArray:
        """Return a mask of pixels or of unknowns as one of unknowns."""
        array = whole_array(name, mask)
        if array.shape == self.shape and self.channels > 1:
            array = np.broadcast_to(array[..., np.newaxis], self.image_shape)
        return boolean_mask(name, array, self.image_shape)


def at_neighbours(image: Image, offset: Offset) -> Image:
    """Return at every pixel ``p`` the value of an image ``(H, W, ...)`` at ``p + offset``, wrapped at the border."""
    moved: Image = np.roll(image, (-offset[0], -offset[1]), axis=(0, 1))
    return moved
