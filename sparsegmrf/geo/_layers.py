"""What is computed of all channels of a raster, and the names under which it is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray

FILLED = "filled"
"""Name of the image that was read, with its gaps filled, among others of one file."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A number for each value of an image of several channels.

    Attributes
    ----------
    name : str
        One word, such as ``"std"``: what it is called among others of one file.
    meaning : str
        What it is, such as ``"standard deviation"``.
    values : ndarray, (H, W, C) or (K, H, W, C)
        Of one image, or of several such as draws.
    is_image : bool
        Whether the values are of the kind of the channels themselves, and may be shown in their colours.
    is_filled : bool
        Whether it is the image that was read, with its gaps filled; it has the transparency of that one.
    """

    name: str
    meaning: str
    values: FloatArray
    is_image: bool = False
    is_filled: bool = False

    @property
    def planes(self) -> FloatArray:
        """The values with channels first: ``(C, H, W)`` or ``(K, C, H, W)``."""
        return np.moveaxis(self.values, -1, -3)

    def names(self, channels: Sequence[str], alone: bool) -> list[str]:
        """Return what its planes are called, for names of the channels that may be empty.

        In a file of its own the image that is filled has these names themselves.
        """
        if self.values.ndim == 3:
            return [self._named(name, k, alone) for k, name in enumerate(channels, start=1)]
        return [
            f"{self.meaning} {draw} of {name or k}"
            for draw in range(1, len(self.values) + 1)
            for k, name in enumerate(channels, start=1)
        ]

    def _named(self, channel: str, number: int, alone: bool) -> str:
        if not alone:
            return f"{self.name} {channel or number}"
        if not channel:
            return f"{self.meaning} {number}"
        return channel if self.is_filled else f"{self.meaning} of {channel}"


def one_layer(layers: Sequence[Layer], what: str) -> Layer:
    """Return the only layer of a file of a format that holds no more.

    Raises
    ------
    ArgumentError
        If there are several.
    """
    if len(layers) != 1:
        raise ArgumentError(f"images must be one in a file of {what}, got {len(layers)} with several channels each.")
    return layers[0]


def opaque_of(dtype: np.dtype[Any]) -> float:
    """Return the number that stands for no transparency."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def opaque_where_filled(opacity: FloatArray, opaque: float, values: FloatArray) -> FloatArray:
    """Return opacities ``(H, W)`` with pixels opaque that were transparent and have a value in ``(H, W, C)`` now."""
    known = np.isfinite(values).all(axis=-1)
    return np.where(known & (opacity == 0), opaque, opacity)
