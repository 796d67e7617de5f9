"""What is wanted of a file, and how arrays without a format are laid out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError, ImageLayoutError
from sparsegmrf.geo._common import Bands, NoChannelChosenError, is_one
from sparsegmrf.geo._dimensions import Selection

_FEW = 4


@dataclass(frozen=True)
class Request:
    """One channel of a file, its luminance, or several channels."""

    channel: Bands = None
    grey: bool = False
    scale: str = "unit"
    variable: str | None = None
    channel_axis: int | None = None
    select: Selection = field(default_factory=dict)

    def refuse_select(self, name: str) -> None:
        """Raise an `ArgumentError` if positions along further dimensions are wanted of a file that has none."""
        if self.select:
            raise ArgumentError(
                f"select is for NetCDF, Zarr and NIfTI, got {', '.join(self.select)} for {name}; choose by channel."
            )

    def refuse_grey(self, name: str) -> None:
        """Raise an `ArgumentError` if the luminance is wanted of bands that are no colours."""
        if self.grey:
            raise ArgumentError(f"grey is for colour images, got {name}; choose a channel.")

    def refuse_axis(self, name: str) -> None:
        """Raise an `ArgumentError` if an axis is told that the format knows; channels last is what is returned."""
        if self.channel_axis is not None and self.channel_axis not in (-1, 2):
            raise ArgumentError(
                f"channel_axis must be left out for {name}, whose format says where its channels are, got channel_axis "
                f"{self.channel_axis}."
            )

    def refuse_variable(self, name: str) -> None:
        """Raise an `ArgumentError` if a variable is wanted of a file that has none."""
        if self.variable is not None:
            raise ArgumentError(
                f"variable is for NetCDF, Zarr and .npz, and for extensions of FITS, got {self.variable} for {name}; "
                "leave it out."
            )

    def numbers(self, count: int, name: str, shape: tuple[int, ...], plane: bool) -> list[int]:
        """Return the channels that are wanted of `count`; `plane` if the image has no axis of channels."""
        wanted = self.channel
        if not is_one(wanted):
            numbers = list(range(count)) if isinstance(wanted, str) else list(_sequence(wanted))
            bad = [number for number in numbers if integer_at_least("channels", number, 0) >= count]
            if bad or not numbers:
                raise ArgumentError(f"channels must be numbers from 0 to {count - 1} for {name}, got {bad or 'none'}.")
            return numbers
        if plane:
            if wanted is not None:
                raise ArgumentError(f"channel must be left out for {name}, which has one channel only, got {wanted}.")
            return [0]
        if wanted is None:
            raise NoChannelChosenError(
                f"{name} has {count} channels, shape {shape}; choose one with channel (--channel) 0 to {count - 1}, or "
                "grey (--grey) for the luminance."
            )
        number = integer_at_least("channel", wanted, 0)
        if number >= count:
            raise ArgumentError(f"channel must be 0 to {count - 1} for {name}, got {number}.")
        return [number]


def channels_last(array: npt.NDArray[Any], axis: int | None, name: str) -> npt.NDArray[Any]:
    """Return an array with its channels last; without a stated axis, they are taken to be there.

    That is refused where the first axis is the shortest of three and the last one is no handful.
    """
    if array.ndim != 3 or (axis is not None and not -3 <= axis < 3):
        raise ArgumentError(
            f"{name} must be (H, W) or have one axis of channels, got {array.shape}"
            + ("." if axis is None else f" and channel_axis {axis}.")
        )
    if axis is None:
        first, rows, last = array.shape
        if last > _FEW and first < min(rows, last):
            raise ImageLayoutError(
                f"channel_axis is ambiguous for {name} of shape {array.shape}: axis 0 of length {first} looks like "
                f"the channels, not the last one of length {last}; pass channel_axis 0 (--channel-axis 0), or 2 if the "
                "last axis does hold them."
            )
        axis = -1
    return np.moveaxis(array, axis, -1)


def _sequence(wanted: Bands) -> Sequence[int]:
    if not isinstance(wanted, Sequence) or isinstance(wanted, str):
        raise ArgumentError(f'channel must be a number, several, or "all", got {wanted!r}.')
    return wanted
