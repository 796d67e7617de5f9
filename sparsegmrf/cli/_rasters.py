"""Rasters as the commands read and write them: what is made of a file is written in the format of that file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.io import IMAGE_SUFFIXES, Raster, read, read_mask, write_image
from sparsegmrf.typing import BoolArray, FloatArray

Image = Annotated[Path, typer.Argument(help="Image: GeoTIFF, NetCDF, FITS, PNG, TIFF, .npy, .npz.")]
Channel = Annotated[
    int | None, typer.Option(help="Channel, band, page, or position along a leading dimension such as time, from 0.")
]
Axis = Annotated[int | None, typer.Option(help="Axis of the channels of a .npy file: -1, or 0 for channels first.")]
Grey = Annotated[bool, typer.Option("--grey", help="Take the luminance of a colour image.")]
Raw = Annotated[
    bool, typer.Option("--raw", help="Keep 8- and 16-bit counts of pictures instead of dividing by 255 or 65535.")
]
Variable = Annotated[str | None, typer.Option(help="Variable of a NetCDF or .npz file, or extension of a FITS file.")]
Mask = Annotated[
    str | None,
    typer.Option(help="Image that is not zero where pixels are missing, besides no data; or nan: NaN is missing."),
]

NAN = "nan"
"""What ``--mask`` may say instead of a file."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A raster, and where a mask says that it is missing besides."""

    raster: Raster
    masked: BoolArray | None

    @property
    def pixels(self) -> FloatArray:
        """Intensities, (H, W) or (H, W, C)."""
        return np.asarray(self.raster.image, dtype=np.float64)

    @property
    def unit(self) -> str:
        """Unit of the intensities."""
        return self.raster.unit or "intensity"

    @property
    def missing(self) -> BoolArray | None:
        """Where pixels are missing, or None: nowhere."""
        missing = self.raster.missing if self.masked is None else self.raster.missing | self.masked
        return missing if missing.any() else None


def load(
    image: Path,
    mask: str | None,
    *,
    channel: Any = None,
    axis: int | None = None,
    grey: bool = False,
    raw: bool = False,
    variable: str | None = None,
) -> Loaded:
    """Read an image and its mask."""
    raster = read(
        image, channel=channel, grey=grey, scale="none" if raw else "unit", variable=variable, channel_axis=axis
    )
    if mask is None:
        return Loaded(raster, None)
    if mask == NAN:
        missing = np.isnan(np.asarray(raster.image, dtype=np.float64))
        return Loaded(raster, missing if missing.ndim == 2 else np.asarray(missing.any(axis=2)))
    return Loaded(raster, read_mask(mask, like=raster))


def map_suffix(raster: Raster) -> str:
    """Return the suffix of maps made of a raster."""
    return raster.suffixes[0] if raster.suffixes else ".tif"


def check_map(name: str, path: Path | None, raster: Raster) -> None:
    """Raise an `ArgumentError` if a map cannot be written to such a file without losing its place on the ground."""
    if path is None:
        return
    suffix = path.suffix.lower()
    if not raster.suffixes:
        one_of("suffix of path", suffix, IMAGE_SUFFIXES)
    elif suffix not in (*raster.suffixes, ".npy", ".png"):
        raise ArgumentError(
            f"{name} must end in {', '.join(raster.suffixes)}, .npy or .png for a map of this image, got {path}; in "
            "another format it would lose its place."
        )


def write_map(path: Path, values: FloatArray, raster: Raster, name: str, unit: str) -> tuple[float, float] | None:
    """Write a map with every digit, on the ground of the image if it has one; return the stretch of a PNG."""
    if path.suffix.lower() in raster.suffixes:
        raster.write(path, values, name, unit=unit, exact=True)
        return None
    return write_image(path, values)
