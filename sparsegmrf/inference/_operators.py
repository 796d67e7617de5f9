"""Observation operators: what a measurement sees of the field, as a small stencil ``B`` with ``y = B x + e``."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _frozen
from sparsegmrf._validate import finite, image_shape, integer_at_least, one_of, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._offsets import raster_sign
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray, Offset, Shape

BORDERS = ("drop", "renormalize")
_CANCELLED = 1e-8
"""Share of ``sum |k|`` below which the weights on the image are taken to cancel."""


class ObservationOperator(ABC):
    """Linear map ``B`` from an image to its measurements, with small reach."""

    @abstractmethod
    def observed_shape(self, shape: Shape) -> Shape:
        """Return the shape of the measurements of an image of `shape`."""

    @abstractmethod
    def apply(self, x: ArrayLike) -> FloatArray:
        """Return ``B x`` of images ``(..., H, W)``."""

    @abstractmethod
    def adjoint(self, y: ArrayLike) -> FloatArray:
        """Return ``B^T y``, images ``(..., H, W)``, of measurements."""

    @abstractmethod
    def information(self, weight: ArrayLike) -> SymmetricStencil:
        """Return ``B^T diag(weight) B`` as a stencil: what measurements of precision `weight` add to a precision.

        Parameters
        ----------
        weight : array_like, of the measurements' shape
            In 1/intensity^2; zero where there is no measurement.
        """

    @abstractmethod
    def tocsr(self, shape: Shape) -> sp.csr_array:
        """Return ``B`` as a sparse array, one row per measurement of an image of `shape`, both in raster order."""


@dataclass(frozen=True, eq=False, init=False)
class PointSpread(ObservationOperator):
    """A point-spread function: ``(B x)_p = sum_d k_d x_{p + d}``, a correlation with a small kernel.

    Entry ``[a + di, b + dj]`` of the kernel is the weight of the pixel ``(di, dj)`` away (as `scipy.ndimage.correlate`
    has it; flip the kernel for a convolution). Nothing wraps around the image.

    Parameters
    ----------
    kernel : array_like, (2a + 1, 2b + 1)
        Weights ``k``, dimensionless; with sum 1 the operator keeps a constant image, away from the border.
    border : {"drop", "renormalize"}
        ``"drop"``: weights that point off the image are left out, as if the field were zero there. ``"renormalize"``:
        the weights left are then scaled so that their sum is that of the kernel.

    Raises
    ------
    ArgumentError
        If `kernel` is not a finite odd-sided array with a non-zero weight.

    Examples
    --------
    >>> PointSpread([[0.25, 0.5, 0.25]]).apply([[4.0, 4.0, 8.0]]).tolist()
    [[3.0, 5.0, 5.0]]
    >>> PointSpread([[0.25, 0.5, 0.25]], border="renormalize").apply([[4.0, 4.0, 4.0]]).tolist()
    [[4.0, 4.0, 4.0]]
    """

    kernel: FloatArray
    border: str

    def __init__(self, kernel: ArrayLike, border: str = "drop") -> None:
        weights = np.array(finite("kernel", real_array("kernel", kernel)))
        if weights.ndim != 2 or not all(side % 2 for side in weights.shape):
            raise ArgumentError(
                f"kernel must be an array with two odd sides, its middle at the pixel, got shape {weights.shape}; pad "
                "it with zeros."
            )
        if not weights.any():
            raise ArgumentError(f"kernel must have a weight that is not zero, got {weights.size} zeros.")
        weights.flags.writeable = False
        _frozen.assign(self, kernel=weights, border=one_of("border", border, BORDERS))

    def observed_shape(self, shape: Shape) -> Shape:
        """Return `shape`: one measurement per pixel."""
        return image_shape(shape)

    def apply(self, x: ArrayLike) -> FloatArray:
        """Return ``B x`` of images ``(..., H, W)``."""
        image, shape = _images("x", x)
        return self._scale(shape) * self._correlate(image, shape)

    def adjoint(self, y: ArrayLike) -> FloatArray:
        """Return ``B^T y``, images ``(..., H, W)``, of measurements of the same shape."""
        measured, shape = _images("y", y)
        scaled = self._scale(shape) * measured
        result = np.zeros(measured.shape)
        for offset, k in self._weights(shape):
            here, there = Lattice(shape).pairs(offset)
            result[(..., *there)] += k * scaled[(..., *here)]
        return result

    def information(self, weight: ArrayLike) -> SymmetricStencil:
        """Return ``B^T diag(weight) B``, which reaches twice as far as the kernel: ``sum_q w_q k_{p-q} k_{p+o-q}``."""
        given, shape = _images("weight", weight)
        scaled = np.asarray(self._scale(shape) ** 2 * given)
        weights = self._weights(shape)
        planes: dict[Offset, FloatArray] = {(0, 0): np.zeros(shape)}
        for first, k in weights:
            for second, m in weights:
                offset = (second[0] - first[0], second[1] - first[1])
                if offset < (0, 0):
                    continue
                # Measurements q that see both q + first and q + second.
                both = [
                    slice(max(0, -d, -e), min(side, side - d, side - e))
                    for d, e, side in zip(first, second, shape, strict=True)
                ]
                if any(part.stop <= part.start for part in both):
                    continue
                moved = tuple(slice(part.start + d, part.stop + d) for part, d in zip(both, first, strict=True))
                plane = planes.setdefault(offset, np.zeros(shape))
                plane[moved] += (k * m) * scaled[tuple(both)]
        return SymmetricStencil(list(planes), list(planes.values()), shape)

    def tocsr(self, shape: Shape) -> sp.csr_array:
        """Return ``B`` as a sparse array ``(H*W, H*W)``."""
        shape = image_shape(shape)
        pixel = np.arange(shape[0] * shape[1]).reshape(shape)
        scale = np.broadcast_to(self._scale(shape), shape)
        parts = []
        for offset, k in self._weights(shape):
            here, there = Lattice(shape).pairs(offset)
            parts.append((k * scale[here].ravel(), pixel[here].ravel(), pixel[there].ravel()))
        return _csr(parts, (pixel.size, pixel.size))

    def _weights(self, shape: Shape) -> list[tuple[Offset, float]]:
        """Return the offsets with a weight that reach some pixel of an image, and the weights."""
        a, b = self.kernel.shape[0] // 2, self.kernel.shape[1] // 2
        found = [(int(i) - a, int(j) - b) for i, j in np.argwhere(self.kernel != 0.0)]
        return [
            ((di, dj), float(self.kernel[a + di, b + dj]))
            for di, dj in found
            if abs(di) < shape[0] and abs(dj) < shape[1]
        ]

    def _correlate(self, image: FloatArray, shape: Shape) -> FloatArray:
        result = np.zeros(image.shape)
        for offset, k in self._weights(shape):
            here, there = Lattice(shape).pairs(offset)
            result[(..., *here)] += k * image[(..., *there)]
        return result

    def _scale(self, shape: Shape) -> FloatArray:
        """Return by what the weights at each pixel are multiplied."""
        if self.border == "drop":
            return np.ones(())
        left = self._correlate(np.ones(shape), shape)
        least = float(np.abs(left).min())
        if least <= _CANCELLED * float(np.abs(self.kernel).sum()):
            pixel = tuple(int(index) for index in np.unravel_index(np.argmin(np.abs(left)), shape))
            raise ArgumentError(
                f"kernel must have weights that do not cancel for border='renormalize', but those on the image sum up "
                f"to {float(left[pixel]):.3g} at pixel {pixel}; use border='drop'."
            )
        return np.asarray(self.kernel.sum() / left)


@dataclass(frozen=True)
class BlockAverage(ObservationOperator):
    """Means of blocks of pixels: a coarse raster ``(H / height, W / width)`` that measures a fine field.

    Parameters
    ----------
    height, width : int
        Sides of a block in pixels. The image must consist of whole blocks.

    Raises
    ------
    ArgumentError
        If a side is not a positive integer.

    Examples
    --------
    >>> BlockAverage(1, 2).apply([[1.0, 3.0, 5.0, 9.0]]).tolist()
    [[2.0, 7.0]]
    """

    height: int
    width: int

    def __post_init__(self) -> None:
        height, width = integer_at_least("height", self.height, 1), integer_at_least("width", self.width, 1)
        _frozen.assign(self, height=height, width=width)

    def observed_shape(self, shape: Shape) -> Shape:
        """Return the shape of the coarse raster.

        Raises
        ------
        ArgumentError
            If the image does not consist of whole blocks.
        """
        rows, columns = image_shape(shape)
        if rows % self.height or columns % self.width:
            raise ArgumentError(
                f"shape must consist of whole blocks of {self.height} x {self.width} pixels, got {rows} x {columns}, "
                f"which leaves {rows % self.height} rows and {columns % self.width} columns over; enlarge the field to "
                f"{rows + -rows % self.height} x {columns + -columns % self.width} and mask what was not measured."
            )
        return (rows // self.height, columns // self.width)

    def apply(self, x: ArrayLike) -> FloatArray:
        """Return ``B x``, coarse images, of images ``(..., H, W)``."""
        image, shape = _images("x", x)
        rows, columns = self.observed_shape(shape)
        blocks = image.reshape(*image.shape[:-2], rows, self.height, columns, self.width)
        return np.asarray(blocks.mean(axis=(-3, -1)))

    def adjoint(self, y: ArrayLike) -> FloatArray:
        """Return ``B^T y``, images ``(..., H, W)``, of coarse images."""
        return self._spread(_images("y", y)[0]) / (self.height * self.width)

    def information(self, weight: ArrayLike) -> SymmetricStencil:
        """Return ``B^T diag(weight) B``, which couples all pixels of a block."""
        fine = self._spread(_images("weight", weight)[0]) / (self.height * self.width) ** 2
        shape = (int(fine.shape[0]), int(fine.shape[1]))
        row, column = np.arange(shape[0])[:, np.newaxis] % self.height, np.arange(shape[1]) % self.width
        di, dj = (index.ravel() for index in np.mgrid[: self.height, 1 - self.width : self.width])
        offsets = np.column_stack([di, dj]).astype(np.int64)
        offsets = offsets[raster_sign(offsets) >= 0]
        planes = []
        for i, j in offsets.tolist():
            within = (row + i < self.height) & (column + j >= 0) & (column + j < self.width)
            planes.append(np.where(within, fine, 0.0))
        return SymmetricStencil(offsets, planes, shape)

    def tocsr(self, shape: Shape) -> sp.csr_array:
        """Return ``B`` as a sparse array, one row per block."""
        rows, columns = self.observed_shape(shape)
        block = self._spread(np.arange(rows * columns).reshape(rows, columns)).ravel().astype(np.int64)
        share = np.full(block.size, 1.0 / (self.height * self.width))
        return _csr([(share, block, np.arange(block.size, dtype=np.int64))], (rows * columns, block.size))

    def _spread(self, coarse: FloatArray | IntArray) -> FloatArray:
        return np.asarray(np.repeat(np.repeat(coarse, self.height, axis=-2), self.width, axis=-1))


def as_operator(operator: object) -> ObservationOperator:
    """Return an operator; an array is the kernel of a `PointSpread`."""
    if isinstance(operator, ObservationOperator):
        return operator
    if isinstance(operator, np.ndarray | list | tuple):
        return PointSpread(operator)
    raise ArgumentError(
        f"operator must be a kernel (array with two odd sides), a PointSpread or a BlockAverage, got "
        f"{type(operator).__name__}."
    )


def _images(name: str, value: ArrayLike) -> tuple[FloatArray, Shape]:
    """Return images ``(..., H, W)`` and the shape of one."""
    array = real_array(name, value)
    if array.ndim < 2:
        raise ArgumentError(f"{name} must have shape (..., H, W), got {array.shape}; an image has rows and columns.")
    return array, image_shape(array.shape[-2:], name)


def _csr(parts: list[tuple[FloatArray, IntArray, IntArray]], shape: tuple[int, int]) -> sp.csr_array:
    """Return the sparse array of values, rows and columns given in parts."""
    values, rows, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    matrix = sp.csr_array((values, (rows, columns)), shape=shape)
    matrix.sort_indices()
    return matrix
