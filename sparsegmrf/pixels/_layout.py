"""Which axis of an array holds the channels, and reading it in blocks of pixels whatever that axis is."""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._axes import is_labelled, of_channels
from sparsegmrf._validate import boolean_mask, whole_array
from sparsegmrf.errors import ArgumentError, ImageLayoutError
from sparsegmrf.pixels._labels import Labels, channel_axis_of, marked_in
from sparsegmrf.typing import BoolArray, FloatArray

BLOCK = 2**14
_FEW = 4
_MUCH = 2
"""How many times as long as the channels rows and columns are at least, where an image is taken for channels first."""


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
    labels : Labels or None
        Dimensions and coordinates of the pixels, if the image has some.
    """

    moved: npt.NDArray[Any]
    axis: int | None
    missing: BoolArray | None
    name: str = "image"
    labels: Labels | None = None

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

    def restored(self, plane: FloatArray, name: str, meaning: str) -> FloatArray:
        """Give a map ``(...,)`` the labels of the image, or the channel axis of the input with length 1."""
        return restored(plane, self.axis, self.labels, name, meaning)

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

    `channel_axis` counts from either end, or is the name of a dimension; None says that there are no channels. -1 is
    the dimension whose name says so of an image with labels; of others it is refused where the image looks as if its
    channels came first, unless the layout is `stated`. `mask` is None, ``"nan"`` or True where missing; what the
    attributes of a labelled image call missing is left out, too.
    """
    channel_axis = channel_axis_of(image, channel_axis, name)
    array = numbers(name, image)
    if channel_axis is None:
        axis, moved = None, array[..., np.newaxis]
    else:
        axis = axis_of(channel_axis, array.ndim, name)
        if not stated:
            refuse_ambiguous(array.shape, channel_axis, name)
        moved = np.moveaxis(array, axis, -1)
    if moved.ndim < 2 or not moved.size:
        raise ImageLayoutError(
            f"{name} must have at least one pixel and one channel, got shape {array.shape}: 0 sample(s) or "
            f"0 feature(s) (shape={array.shape}) while a minimum of 1 is required. Reshape your data."
        )
    labels = Labels.of(image, axis)
    missing = _missing(image, moved, axis, mask if labels is None else labels.in_order("mask", mask), name)
    return Pixels(moved, axis, missing, name, labels)


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


def refuse_ambiguous(shape: tuple[int, ...], channel_axis: object, name: str) -> None:
    """Refuse the last axis by default where it is long and the axis of channel-first images is short beside both."""
    if channel_axis != -1 or len(shape) < 3 or shape[-1] <= _FEW:
        return
    if shape[-3] > _FEW and _MUCH * shape[-3] > min(shape[-2:]):
        return
    first, last = len(shape) - 3, len(shape) - 1
    raise ImageLayoutError(
        f"channel_axis is ambiguous for {name} of shape {shape}: axis {first} of length {shape[first]} looks like the "
        f"channels, not the last one of length {shape[last]}; pass channel_axis={first}, or channel_axis={last} if the "
        "last axis does hold them."
    )


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
    image: object, channel_axis: object, mask: object, channels: int, layout: tuple[int | None, int]
) -> Pixels:
    """Return an image read in the layout of a fit, or another one that is stated, with as many channels."""
    observed = pixels(image, fitted_axis(image, channel_axis, layout), mask, stated=True)
    check_channels(observed.channels, observed.axis, np.shape(observed.moved), channels)
    return observed


def fitted_axis(image: Any, channel_axis: object, layout: tuple[int | None, int]) -> object:
    """Return the channel axis of an image: what is stated, what its labels say, or that of the fit."""
    if channel_axis != "same":
        return channel_axis
    axis, dimensions = layout
    if axis is not None and is_labelled(image) and of_channels(image.dims):
        return -1
    given = image.ndim if hasattr(image, "ndim") else np.ndim(numbers("image", image))
    if axis is not None and axis >= 0 and given != dimensions:
        raise ImageLayoutError(
            f"channel_axis is ambiguous: the fit had it at {axis} of {dimensions} axes, image has {given}; pass "
            "channel_axis."
        )
    return axis


def check_channels(found: int, axis: int | None, moved: tuple[int, ...], channels: int) -> None:
    """Refuse an image of other channels than the fit's; `moved` is its shape with channels last."""
    if found == channels:
        return
    shape = moved[:-1] if axis is None else (*moved[:-1][:axis], found, *moved[:-1][axis:])
    fitting = [k for k, side in enumerate(shape) if side == channels]
    hint = f"pass channel_axis={fitting[0]}" if fitting else "take an image with as many channels as the fit had"
    given = "without a channel axis" if axis is None else f"on axis {axis}"
    raise ImageLayoutError(
        f"image must have {channels} channels like the fit, got {found} {given} of shape {shape}; {hint}."
    )


def is_nan(mask: object) -> bool:
    """Return whether a mask is ``"nan"``, and refuse any other word."""
    if isinstance(mask, str) and mask != "nan":
        raise ArgumentError(f'mask must be None, "nan" or a boolean image, True where missing, got {mask!r}.')
    return isinstance(mask, str)


def restored(plane: Any, axis: int | None, labels: Labels | None, name: str, meaning: str) -> FloatArray:
    """Give a map ``(...,)`` the labels of an image, or its channel axis with length 1; of dask it stays."""
    if labels is not None:
        plane = labels.put(plane, name, meaning)
    elif axis is not None:
        plane = np.expand_dims(plane, axis)
    found: FloatArray = plane
    return found


def restored_stack(
    planes: Sequence[Any], axis: int | None, labels: Labels | None, dim: str, name: str, meaning: str
) -> FloatArray:
    """Return maps ``(k, ...)``, each as `restored` does; under labels along a first dimension `dim`."""
    if labels is not None:
        found: FloatArray = labels.stacked(np.stack(planes), dim, name, meaning)
        return found
    return np.stack([restored(plane, axis, None, name, meaning) for plane in planes])


def _missing(image: object, moved: npt.NDArray[Any], axis: int | None, mask: object, name: str) -> BoolArray | None:
    sites = moved.shape[:-1]
    missing: BoolArray | None = None
    if is_nan(mask):
        missing = np.zeros(sites, dtype=np.bool_)
        for channel in range(moved.shape[-1]):
            np.logical_or(missing, np.isnan(moved[..., channel]), out=missing)
    elif mask is not None:
        given = whole_array("mask", mask)
        if axis is not None and given.ndim == len(sites) + 1 and given.shape[axis] == 1:
            given = np.squeeze(given, axis)
        missing = boolean_mask("mask", given, sites)
    if is_labelled(image):
        marked = np.moveaxis(marked_in(image, np.asarray(image)), -1 if axis is None else axis, -1)
        if marked.any():
            marked = marked if axis is None else np.asarray(marked.any(axis=-1))
            missing = marked if missing is None else missing | marked
    if isinstance(image, np.ma.MaskedArray):
        inner = np.ma.getmaskarray(image)
        missing = np.zeros(sites, dtype=np.bool_) if missing is None else missing
        missing = np.logical_or(missing, inner if axis is None else inner.any(axis=axis), dtype=np.bool_)
    if missing is None or not missing.any():
        return None
    return np.ascontiguousarray(missing)


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
