"""One channel or all channels of a file, as plain arrays."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf._files import PathLike
from sparsegmrf.io._picture import Picture
from sparsegmrf.io._read import read
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False)
class ImageFile:
    """One channel of an image file and what was done to read it.

    Attributes
    ----------
    pixels : (H, W) ndarray
        Intensities, float64; NaN where a float image has NaN or the file has no data.
    divisor : float
        What the stored counts were divided by: 255 or 65535 for 8- and 16-bit images with ``scale="unit"``, else 1.
    channel : str
        ``"only"``, ``"grey (luminance)"`` or the number of the channel taken.
    """

    pixels: FloatArray
    divisor: float
    channel: str


def read_image(
    path: PathLike,
    *,
    channel: int | None = None,
    grey: bool = False,
    channel_axis: int | None = None,
    scale: str = "unit",
) -> ImageFile:
    """Read one channel of an image as an array; `read` keeps what places it on the ground.

    Parameters
    ----------
    path : path
        The file, of any format that `read` knows.
    channel : int, optional
        Channel to take from a colour or multi-band image, from 0.
    grey : bool
        Take the luminance ``0.2125 R + 0.7154 G + 0.0721 B`` of a colour image. Refused if pixels are half transparent.
    channel_axis : int, optional
        Axis that holds the channels of a ``.npy`` file; needed where the first axis is the shortest.
    scale : {"unit", "none"}
        With ``"unit"`` unsigned 8- and 16-bit counts of pictures that are placed nowhere are divided by 255 and 65535;
        everything else is in the unit of the file.

    Returns
    -------
    ImageFile
        Pixels ``(H, W)`` and what was done to get them.

    Raises
    ------
    FileError
        If the file is missing or is no image.
    ArgumentError
        If the image has several channels and neither `channel` nor `grey` says which to take, or not that one.

    Examples
    --------
    >>> import tempfile
    >>> from sparsegmrf.io import write
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(folder + "/ramp.tif", np.arange(6.0).reshape(2, 3))
    ...     read_image(folder + "/ramp.tif").pixels.tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    source = read(path, channel=channel, grey=grey, scale=scale, channel_axis=channel_axis)
    divisor, taken = 1.0, "only" if channel is None else str(channel)
    if isinstance(source, Picture):
        divisor, taken = source.divisor, source.channel
    return ImageFile(np.asarray(source.image, dtype=np.float64), divisor, taken)


def read_channels(path: PathLike, *, channel_axis: int | None = None, scale: str = "unit") -> FloatArray:
    """Read all channels of an image as an array.

    Parameters
    ----------
    path : path
        The file, as for `read_image`.
    channel_axis : int, optional
        As for `read_image`.
    scale : {"unit", "none"}
        As for `read_image`.

    Returns
    -------
    ndarray, (H, W, C)
        Intensities, channels last; one channel for an image without such an axis. Transparency is no channel.

    Raises
    ------
    FileError
        If the file is missing or is no image.
    ArgumentError
        If there are more axes than three, or no such axis.
    """
    source = read(path, channel="all", scale=scale, channel_axis=channel_axis)
    return np.asarray(source.image, dtype=np.float64)
