"""Images on dask: moments are summed chunk by chunk, maps are lazy and have the chunks of the image."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sparsegmrf import _libraries, _threads
from sparsegmrf._axes import is_labelled
from sparsegmrf._cf import OF_RANGE, OF_STORED_VALUES
from sparsegmrf.errors import ArgumentError
from sparsegmrf.pixels._labels import Labels, channel_axis_of, marked_in
from sparsegmrf.pixels._layout import axis_of, check_channels, fitted_axis, is_nan, refuse_ambiguous, restored
from sparsegmrf.typing import BoolArray, FloatArray

Maps = Callable[[Any, Any], Sequence[FloatArray]]
"""Pixels (..., C) and a mask to as many maps (...,)."""
_SAY = (*OF_STORED_VALUES, *OF_RANGE, "dtype", "original_shape")
"""Attributes and entries of the encoding that say what is missing."""


def is_lazy(image: Any) -> bool:
    """Return whether an image is a dask array, or a DataArray on one."""
    data = image.data if is_labelled(image) else image
    return hasattr(data, "__dask_graph__") and hasattr(data, "blocks")


@dataclass(frozen=True, eq=False)
class Chunks:
    """A multi-channel image on dask; all channels of a pixel are in one chunk.

    Attributes
    ----------
    moved : dask array, (..., C)
        The image with its channel axis last.
    axis : int or None
        Where the channel axis was, from 0; None for a one-channel image without one.
    missing : dask array of bool, (...,), or None
        Pixels left out.
    nan : bool
        Whether those with a NaN are left out, too.
    labels : Labels or None
        Those of the pixels.
    """

    moved: Any
    axis: int | None
    missing: Any
    nan: bool
    labels: Labels | None

    @classmethod
    def of(cls, image: Any, channel_axis: object, mask: object = None, *, stated: bool = False) -> "Chunks":
        """Return the image; its layout is checked, its values are not read.

        Raises
        ------
        ImageLayoutError
            If the channel axis is not there or ambiguous.
        ArgumentError
            If it holds no real numbers, or the mask is none of its pixels.
        """
        array = image.data if is_labelled(image) else image
        if array.dtype.kind not in "uif":
            raise ArgumentError(f"image must hold real numbers, got dtype {array.dtype}; convert it by image.astype.")
        wanted = channel_axis_of(image, channel_axis, "image")
        if wanted is None:
            axis, moved = None, array[..., np.newaxis]
        else:
            axis = axis_of(wanted, array.ndim, "image")
            if not stated:
                refuse_ambiguous(array.shape, wanted, "image")
            moved = np.moveaxis(array, axis, -1)
        moved = moved.rechunk({moved.ndim - 1: -1})
        labels = Labels.of(image, axis)
        nan = is_nan(mask)
        given = None if mask is None or nan else _mask(mask, moved, labels)
        marked = None if labels is None else _marked(image, moved)
        missing = given if marked is None else marked if given is None else given | marked
        return cls(moved, axis, missing, nan, labels)

    @property
    def channels(self) -> int:
        """Channels per pixel."""
        return int(self.moved.shape[-1])

    def tiles(self) -> Iterator[np.ma.MaskedArray[Any, Any]]:
        """Compute the chunks one after the other: pixels (..., C), masked where they are left out."""
        blocks = self.moved.blocks
        for index in np.ndindex(self.moved.numblocks[:-1]):
            tile = np.asarray(blocks[(*index, 0)])
            missing = _left_out(tile, None if self.missing is None else self.missing.blocks[index], self.nan)
            yield np.ma.masked_array(tile, np.broadcast_to(missing[..., np.newaxis], tile.shape))

    def maps(self, function: Maps, count: int) -> list[Any]:
        """Return as many lazy maps (...,), by a function of pixels (..., C) and what is missing of them."""
        others = [] if self.missing is None else [self.missing[..., np.newaxis]]
        found = self.moved.map_blocks(
            partial(_maps_of_chunk, function, self.nan),
            *others,
            dtype=np.float64,
            chunks=(*self.moved.chunks[:-1], (count,)),
            meta=np.empty((0,) * self.moved.ndim),
        )
        return [found[..., k] for k in range(count)]

    def restored(self, plane: Any, name: str, meaning: str) -> FloatArray:
        """Give a map (...,) the labels of the image, or the channel axis of the input with length 1."""
        return restored(plane, self.axis, self.labels, name, meaning)


def fitted_chunks(
    image: Any, channel_axis: object, mask: object, channels: int, layout: tuple[int | None, int]
) -> Chunks:
    """Return an image read in the layout of a fit, or another one that is stated, with as many channels."""
    chunks = Chunks.of(image, fitted_axis(image, channel_axis, layout), mask, stated=True)
    check_channels(chunks.channels, chunks.axis, chunks.moved.shape, channels)
    return chunks


def _maps_of_chunk(function: Maps, nan: bool, tile: Any, missing: Any = None) -> FloatArray:
    mask = _left_out(tile, None if missing is None else missing[..., 0], nan)
    found: list[FloatArray] = []
    # Chunks are in threads of dask's already.
    _threads.as_task(lambda: found.append(np.stack(list(function(tile, mask)), axis=-1)))
    return found[0]


def _left_out(tile: Any, missing: Any, nan: bool) -> BoolArray:
    """Return which pixels of a chunk (..., C) are left out: by a mask (...,), and for a NaN if that is asked for."""
    found = np.zeros(tile.shape[:-1], dtype=np.bool_) if missing is None else np.asarray(missing)
    return np.asarray(found | np.isnan(tile).any(axis=-1)) if nan and tile.dtype.kind == "f" else found


def _mask(mask: Any, moved: Any, labels: Labels | None) -> Any:
    given = mask if labels is None else labels.in_order("mask", mask)
    given = _libraries.library("dask.array").asarray(given)
    if given.dtype != np.bool_:
        raise ArgumentError(f"mask must be boolean, True where pixels are missing, got dtype {given.dtype}.")
    if given.shape != moved.shape[:-1]:
        raise ArgumentError(f"mask must have the shape {moved.shape[:-1]} of the pixels, got {given.shape}.")
    return given.rechunk(moved.chunks[:-1])


@dataclass(frozen=True, eq=False)
class _Block:
    """Values of a chunk, and what stands in the attributes and the encoding of the whole."""

    values: Any
    attrs: Mapping[str, Any]
    encoding: Mapping[str, Any]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self.values, dtype=dtype)


def _marked(image: Any, moved: Any) -> Any:
    """Return where attributes call pixels missing, lazily; None where there are no such attributes."""
    attrs, encoding = ({key: said[key] for key in _SAY if key in said} for said in (image.attrs, image.encoding))
    if not attrs and not encoding:
        return None
    run = partial(_marked_in_chunk, attrs, encoding)
    run(np.empty((0, 1), moved.dtype))  # refuses values that are not decoded
    chunks, meta = (*moved.chunks[:-1], (1,)), np.empty((0,) * moved.ndim, dtype=np.bool_)
    return moved.map_blocks(run, dtype=np.bool_, chunks=chunks, meta=meta)[..., 0]


def _marked_in_chunk(attrs: Mapping[str, Any], encoding: Mapping[str, Any], tile: Any) -> Any:
    return marked_in(_Block(tile, attrs, encoding), tile).any(axis=-1, keepdims=True)
