"""Which axis of an array holds the channels, and reading it in blocks of pixels whatever that axis is."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._validate import boolean_mask
from sparsegmrf.errors import ArgumentError, ImageLayoutError
from sparsegmrf.typing import BoolArray, FloatArray

BLOCK = 2**14
_FEW = 4


@dataclass(frozen=True, eq=False)
class Pixels:
    """A multi-channel image of any real dtype seen as pixels in raster order, never copied or converted as a whole.

    Attributes
    ----------
    moved : ndarray, (..., C)
        View of the image with the channel axis last.
    axis : int or None
        Where the channel axis was, from 0; None for a one-channel image without one.
    missing : ndarray of bool, (...,), or None
        Pixels left out.
    name : str
        What messages call the array.
    """

    moved: npt.NDArray[Any]
    axis: int | None
    missing: BoolArray | None
    name: str = "image"

    @property
    def channels(self) -> int:
        """Channels per pixel."""
        return int(self.moved.shape[-1])

    @property
    def sites(self) -> tuple[int, ...]:
        """Shape without the channels."""
        return self.moved.shape[:-1]

    @property
    def size(self) -> int:
        """Number of pixels, missing ones included."""
        return prod(self.sites)

    def block(self, first: int, last: int) -> FloatArray:
        """Return channels times pixels ``first <= p < last`` as contiguous float64, missing ones included."""
        out = np.empty((self.channels, last - first))
        filled = 0
        for index in _pieces(self.sites, first, last):
            piece = self.moved[index]
            count = prod(piece.shape[:-1])
            target = out[:, filled : filled + count].reshape(self.channels, *piece.shape[:-1])
            with np.errstate(invalid="ignore"):  # a NaN that signals
                np.copyto(target, np.moveaxis(piece, -1, 0))
            filled += count
        return out

    def pivot(self) -> FloatArray:
        """Return the first observed pixel (C,), from which all others are measured; zeros if none is."""
        first = 0 if self.missing is None else int(np.argmin(self.missing.reshape(-1)))
        values = self.block(first, first + 1)[:, 0]
        return np.where(np.isfinite(values), values, 0.0)

    def usable(self, first: int, last: int) -> BoolArray | None:
        """Return which pixels ``first <= p < last`` are not missing; None if all are there."""
        if self.missing is None:
            return None
        here: BoolArray = ~self.missing.reshape(-1)[first:last]
        return None if here.all() else here

    def restored(self, plane: FloatArray) -> FloatArray:
        """Give an image ``(...,)`` of one number per pixel the channel axis of the input, with length 1."""
        return plane if self.axis is None else np.expand_dims(plane, self.axis)

    def refuse_infinite(self, first: int, block: FloatArray) -> None:
        """Raise for the first observed pixel of a block that is not finite."""
        bad = ~np.isfinite(block).all(axis=0)
        usable = self.usable(first, first + block.shape[1])
        if usable is not None:
            bad &= usable
        if not bad.any():
            raise ArgumentError(
                f"{self.name} values must have squares that double precision can sum; divide the image by its largest "
                "absolute value."
            )
        flat = first + int(np.flatnonzero(bad)[0])
        where = tuple(int(index) for index in np.unravel_index(flat, self.sites))
        raise ArgumentError(
            f'{self.name} must be finite, got a NaN or infinite (inf) value at pixel {where}; pass mask="nan" or a '
            "boolean mask that is True where pixels are missing."
        )


def pixels(
    image: object, channel_axis: object, mask: object = None, *, name: str = "image", stated: bool = False
) -> Pixels:
    """Return the checked image.

    `channel_axis` counts from either end; None says that there are no channels. -1 is refused where the image looks as
    if its channels came first, unless the layout is `stated`. `mask` is None, ``"nan"`` or True where missing.
    """
    array = numbers(name, image)
    if channel_axis is None:
        axis, moved = None, array[..., np.newaxis]
    else:
        axis = axis_of(channel_axis, array.ndim, name)
        if not stated:
            _refuse_ambiguous(array.shape, channel_axis, name)
        moved = np.moveaxis(array, axis, -1)
    if moved.ndim < 2 or not moved.size:
        raise ImageLayoutError(
            f"{name} must have at least one pixel and one channel, got shape {array.shape}: 0 sample(s) or "
            f"0 feature(s) (shape={array.shape}) while a minimum of 1 is required. Reshape your data."
        )
    missing = _missing(image, moved, axis, mask, name)
    return Pixels(moved, axis, missing, name)


def axis_of(channel_axis: object, dimensions: int, name: str) -> int:
    """Return the channel axis counted from 0."""
    try:
        axis = operator.index(channel_axis)  # type: ignore[arg-type]
    except TypeError:
        raise ImageLayoutError(f"channel_axis must be an integer or None, got {channel_axis!r}.") from None
    if dimensions < 2:
        raise ImageLayoutError(
            f"{name} must have an axis of channels and one or more of pixels, got {dimensions} axes. Reshape your "
            "data: (n, 1) if it is one channel, (1, n) if it is one pixel."
        )
    if not -dimensions <= axis < dimensions:
        raise ImageLayoutError(
            f"channel_axis must be an axis of {name}, which has {dimensions}, got {axis}; take one from 0 to "
            f"{dimensions - 1}."
        )
    return axis % dimensions


def numbers(name: str, value: object) -> npt.NDArray[Any]:
    """Return an array of real numbers of whatever dtype it has (a view where it is one already)."""
    if hasattr(value, "toarray"):
        raise ArgumentError(f"{name} must be a dense array, got a sparse one ({type(value).__name__}); use toarray().")
    try:
        array = np.asarray(value.data if isinstance(value, np.ma.MaskedArray) else value)
    except ValueError as error:
        raise ArgumentError(f"{name} must be a rectangular array of real numbers: {error}.") from None
    if array.dtype.kind == "c":
        raise ArgumentError(f"{name} must hold real numbers. Complex data not supported; take its real part.")
    if array.dtype.kind == "O" and array.ndim == 2:  # tables of mixed columns come so
        array = array.astype(np.float64)
    if array.dtype.kind not in "uif" or array.dtype.itemsize > 8:
        raise ArgumentError(
            f"{name} must hold real numbers, got dtype {array.dtype}; convert it first, e.g. {name}.astype(float)."
        )
    return array


def fitted_pixels(
    image: object, channel_axis: int | str | None, mask: object, channels: int, layout: tuple[int | None, int]
) -> Pixels:
    """Return an image read in the layout of a fit, or another one that is stated, with as many channels."""
    axis, dimensions = layout
    array = numbers("image", image)
    if channel_axis != "same":
        observed = pixels(image, channel_axis, mask, stated=True)
    else:
        if axis is not None and axis >= 0 and array.ndim != dimensions:
            raise ImageLayoutError(
                f"channel_axis is ambiguous: the fit had it at {axis} of {dimensions} axes, image has {array.ndim}; "
                "pass channel_axis."
            )
        observed = pixels(image, axis, mask, stated=True)
    if observed.channels != channels:
        fitting = [k for k, side in enumerate(array.shape) if side == channels]
        hint = f"pass channel_axis={fitting[0]}" if fitting else "take an image with as many channels as the fit had"
        given = "without a channel axis" if observed.axis is None else f"on axis {observed.axis}"
        raise ImageLayoutError(
            f"image must have {channels} channels like the fit, got {observed.channels} {given} of shape "
            f"{array.shape}; {hint}."
        )
    return observed


def _missing(image: object, moved: npt.NDArray[Any], axis: int | None, mask: object, name: str) -> BoolArray | None:
    sites = moved.shape[:-1]
    missing: BoolArray | None = None
    if isinstance(mask, str):
        if mask != "nan":
            raise ArgumentError(f'mask must be None, "nan" or a boolean image, True where missing, got {mask!r}.')
        missing = np.zeros(sites, dtype=np.bool_)
        for channel in range(moved.shape[-1]):
            np.logical_or(missing, np.isnan(moved[..., channel]), out=missing)
    elif mask is not None:
        given = np.asarray(mask)
        if axis is not None and given.ndim == len(sites) + 1 and given.shape[axis] == 1:
            given = np.squeeze(given, axis)
        missing = boolean_mask("mask", given, sites)
    if isinstance(image, np.ma.MaskedArray):
        inner = np.ma.getmaskarray(image)
        missing = np.zeros(sites, dtype=np.bool_) if missing is None else missing
        missing = np.logical_or(missing, inner if axis is None else inner.any(axis=axis), dtype=np.bool_)
    if missing is None or not missing.any():
        return None
    return np.ascontiguousarray(missing)


def _refuse_ambiguous(shape: tuple[int, ...], channel_axis: object, name: str) -> None:
    """Refuse the last axis by default where it is long and the axis of channel-first images is a handful."""
    if channel_axis != -1 or len(shape) < 3 or shape[-1] <= _FEW or shape[-3] > _FEW:
        return
    first, last = len(shape) - 3, len(shape) - 1
    raise ImageLayoutError(
        f"channel_axis is ambiguous for {name} of shape {shape}: axis {first} of length {shape[first]} looks like the "
        f"channels, not the last one of length {shape[last]}; pass channel_axis={first}, or channel_axis={last} if the "
        "last axis does hold them."
    )


def _pieces(sites: tuple[int, ...], first: int, last: int) -> Iterator[tuple[slice | int, ...]]:
    """Cut the flat range ``first <= p < last`` into boxes of an array of shape `sites`, in raster order."""
    if len(sites) == 1:
        yield (slice(first, last),)
        return
    inner = prod(sites[1:])
    row, end = divmod(first, inner)[0], -(-last // inner)
    while row < end:
        low, high = max(first - row * inner, 0), min(last - row * inner, inner)
        if low == 0 and high == inner:
            whole = max(last // inner, row + 1)
            yield (slice(row, whole),)
            row = whole
            continue
        for rest in _pieces(sites[1:], low, high):
            yield (row, *rest)
        row += 1
