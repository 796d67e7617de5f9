"""Where ``fill`` writes: one file for each image in a directory, or one file with all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sparsegmrf._files import PathLike, directory_of_outputs
from sparsegmrf.cli._options import Writing
from sparsegmrf.cli._rasters import Loaded, check_directory, map_suffix
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._risk import DRAW
from sparsegmrf.io import Picture, Raster, write, write_several
from sparsegmrf.io._write import check_several, placed_as, storage_of, writer_for

_OF_ONE = (".tif", ".tiff", ".nc", ".nc4", ".cdf", ".zarr", ".fits", ".fit", ".fts", ".nii", ".npz")
"""Suffixes of a file that holds several images."""
CALLED: Mapping[str, str] = {"tiled": "cog"}
"""Options by the arguments of `sparsegmrf.io.write` that they become."""


@dataclass(frozen=True)
class Storage(Writing):
    """How images are stored."""

    cog: Annotated[bool, typer.Option("--cog", help="Write GeoTIFF in tiles with overviews: cloud-optimized.")] = False
    packed: Annotated[
        bool, typer.Option("--packed", help="Write integers with scale and offset, those of the file if it has any.")
    ] = False

    @property
    def given(self) -> dict[str, Any]:
        """What `sparsegmrf.io.write` takes."""
        return {"tiled": True if self.cog else None, "packed": self.packed}

    @property
    def asked(self) -> dict[str, Any]:
        """What the writer of a raster takes of it, which knows its own words only."""
        return {name: value for name, value in self.given.items() if value}


@dataclass(frozen=True)
class FillStorage(Storage):
    """How the images of ``fill`` are stored."""

    format: Annotated[
        str | None, typer.Option(help="Suffix of the images, such as nc or tif. Default: that of the image.")
    ] = None


@dataclass(frozen=True)
class Destination:
    """What is written of an image.

    Attributes
    ----------
    out : Path
        A directory; or a file, by its suffix, that is to hold all images.
    stem : str
        Name of the image without its suffix.
    raster : Raster
        The image.
    storage : FillStorage
        How images are stored.
    """

    out: Path
    stem: str
    raster: Raster
    storage: FillStorage

    @property
    def is_file(self) -> bool:
        """Whether all images go to one file."""
        return is_one_file(self.out)

    @property
    def folder(self) -> Path:
        """Directory of all files."""
        return self.out.parent if self.is_file else self.out

    @property
    def first(self) -> str:
        """What the names of files begin with."""
        return self.out.stem if self.is_file else self.stem

    @property
    def suffix(self) -> str:
        """Suffix of images."""
        if self.is_file:
            return self.out.suffix
        if self.storage.format is not None:
            return f".{self.storage.format.lstrip('.')}"
        return suffix_of(self.raster)

    @property
    def stack_suffix(self) -> str:
        """Suffix of a file with draws."""
        if self.suffix == suffix_of(self.raster) or not (self.is_file or self.storage.format):
            return self.raster.stack_suffix
        return self.suffix

    def image(self, field: str) -> str:
        """Return the name of the file of an image."""
        return f"{self.first}-{field.replace('_', '-')}{self.suffix}"

    def names(self, fields: Mapping[str, str], samples: int) -> list[str]:
        """Return the names of all files."""
        images = [self.out.name] if self.is_file else [self.image(field) for field in fields]
        draws = [f"{self.first}-samples{self.stack_suffix}"] if samples else []
        return [*images, *draws, f"{self.first}-fit.json", f"{self.first}-fill.png"]

    def check(self, fields: Mapping[str, str], samples: int, inputs: list[PathLike | None]) -> None:
        """Refuse what cannot be written, before a long computation."""
        if self.is_file and self.storage.format is not None:
            raise ArgumentError(
                f"format must be left out where out is a file, got {self.storage.format} and {self.out}."
            )
        directory_of_outputs(self.folder)
        self.storage.check_in_directory([self.folder / name for name in self.names(fields, samples)], inputs)
        self.check_formats(fields, samples)

    def check_formats(self, fields: Mapping[str, str], samples: int) -> None:
        """Refuse formats that do not hold the images, or not as they are asked for."""
        if self.is_file:
            check_several(self.out, self.raster, "out", **self.storage.given, called=CALLED)
        else:
            path = self.folder / self.image("filled")
            writer_for(path, self.raster, "format" if self.storage.format else "out")
            check_storage(path, self.raster, self.storage)
        if samples:
            path = self.folder / f"x{self.stack_suffix}"
            writer_for(path, self.raster, "out")
            check_storage(path, self.raster, self.storage)

    def write(
        self, folder: Path, images: Mapping[str, Any], fields: Mapping[str, str], draws: Any, loaded: Loaded
    ) -> None:
        """Write images and draws to a folder."""
        inside = {field: loaded.inside(image) for field, image in images.items()}
        if self.is_file:
            write_several(folder / self.out.name, inside, like=self.raster, **self.storage.given)
        else:
            for field, image in inside.items():
                path = folder / self.image(field)
                write(path, image, like=self.raster, name=fields[field], **self.storage.given)
        if draws is not None:
            path = folder / f"{self.first}-samples{self.stack_suffix}"
            name = "draw" if is_of_intensity(fields) else DRAW
            write(path, loaded.inside(draws), like=self.raster, name=name, **self.storage.given)


def suffix_of(raster: Raster) -> str:
    """Return the suffix of images made of a raster."""
    return raster.suffix if isinstance(raster, Picture) else map_suffix(raster)


def check_out(out: Path) -> None:
    """Refuse what can be neither a directory nor a file of all images, before anything is read."""
    if not is_one_file(out):
        check_directory(out, _OF_ONE)


def is_one_file(out: Path) -> bool:
    """Return whether a path is that of a file, by its suffix, that is to hold all images."""
    return out.suffix.lower() in _OF_ONE and (out.suffix.lower() == ".zarr" or not out.is_dir())


def check_storage(path: Path, raster: Raster, storage: Storage) -> None:
    """Refuse a way of storing that a format has not."""
    storage_of(path, placed_as(path, raster), **storage.given, called=CALLED)


def is_of_intensity(fields: Mapping[str, str]) -> bool:
    """Return whether images with these names are of intensities, and not of counts and their risk."""
    return "predictive_mean" not in fields
