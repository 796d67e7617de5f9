"""Images with labels: which dimension holds the channels, what is missing, and maps under the labels of the pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf._axes import CHANNELS, in_order, is_labelled, of_channels
from sparsegmrf._cf import missing_of
from sparsegmrf.errors import ImageLayoutError
from sparsegmrf.typing import BoolArray

_OF_THE_GRID = "grid_mapping"


@dataclass(frozen=True, eq=False)
class Labels:
    """Dimensions and coordinates of the pixels of a labelled image.

    Attributes
    ----------
    plane : DataArray
        The image at its first channel, without the dimension of channels.
    """

    plane: Any

    @classmethod
    def of(cls, image: Any, axis: int | None) -> "Labels | None":
        """Return the labels of an image with its channels on an axis; None if it has none."""
        if not is_labelled(image):
            return None
        return cls(image if axis is None else image.isel({image.dims[axis]: 0}, drop=True))

    def in_order(self, name: str, given: Any) -> Any:
        """Return an argument with one number per pixel, its axes in the order of the image if it is labelled itself.

        Raises
        ------
        ArgumentError
            If it lacks a dimension of rows and columns, or has other coordinates.
        """
        return in_order(self.plane, name, given).data if is_labelled(given) else given

    def put(self, values: Any, name: str, meaning: str) -> Any:
        """Return a map (...,) under the labels; of the attributes only the reference to the ground is true of it."""
        return self._named(self.plane.copy(data=values), name, meaning)

    def stacked(self, values: Any, dim: str, name: str, meaning: str) -> Any:
        """Return maps (k, ...) under the labels, along a first dimension `dim`."""
        return self._named(self.plane.expand_dims({dim: values.shape[0]}).copy(data=values), name, meaning)

    def _named(self, found: Any, name: str, meaning: str) -> Any:
        kept = {key: value for key, value in found.attrs.items() if key == _OF_THE_GRID}
        found.attrs = {**kept, "long_name": meaning}
        found.encoding = {key: value for key, value in self.plane.encoding.items() if key == _OF_THE_GRID}
        return found.rename(name)


def channel_axis_of(image: Any, channel_axis: object, name: str) -> object:
    """Return the axis that a labelled image has for channels by its names, where -1 leaves it to be found.

    Raises
    ------
    ImageLayoutError
        If `channel_axis` is no dimension of the image, or -1 and no name or several say where the channels are.
    """
    if hasattr(image, "data_vars"):
        raise ImageLayoutError(
            f"{name} must be one variable, got a data set of {list(image.data_vars)}; join them, as in "
            f'{name}.to_dataarray("band").'
        )
    dims = tuple(image.dims) if is_labelled(image) else ()
    if isinstance(channel_axis, str) and dims:
        if channel_axis not in dims:
            raise ImageLayoutError(f"channel_axis must be a dimension of {name}, one of {dims}, got {channel_axis!r}.")
        return dims.index(channel_axis)
    if channel_axis != -1 or not dims:
        return channel_axis
    found = of_channels(dims)
    if len(found) == 1:
        return found[0]
    if found or len(dims) < 3:
        raise ImageLayoutError(
            f"channel_axis is ambiguous for {name} with the dimensions {dims}: "
            f"{'several of them are' if found else 'none of them is'} called {', '.join(CHANNELS[:-1])} or "
            f"{CHANNELS[-1]}; pass the name of one as channel_axis, or channel_axis=None for an image of one channel."
        )
    return channel_axis


def marked_in(image: Any, values: Any) -> BoolArray:
    """Return which values the attributes of a labelled image call missing though they are numbers.

    Raises
    ------
    ArgumentError
        If it is not decoded yet.
    """
    missing = missing_of(image)
    return missing & ~np.isnan(values) if values.dtype.kind == "f" else missing
