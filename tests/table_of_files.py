"""What files of many kinds say of themselves, and what the commands make of them.

``python -m tests.table_of_files`` puts them through the commands and prints the table of docs/geo.md.
"""

import contextlib
import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from sparsegmrf.autoregression import CausalAR
from sparsegmrf.cli import main
from sparsegmrf.io import read, write_model
from tests.conftest import require
from tests.kinds_of_files import KINDS, Kind, sky

REACH = ((-1, -1), (-1, 0), (-1, 1), (0, -1))
"""Neighbours from which a model predicts that ``ar whiten`` is given."""


def described(path: Path, slice_of_volume: int | None = None) -> dict[str, Any]:
    """What a file says of its pixels by the library of its format: where they are, and unit and metadata."""
    name = path.name
    if name.endswith((".nc", ".zarr")):
        return _of_grid(path)
    if ".fits" in name:
        return _of_fits(path)
    if ".nii" in name:
        nibabel = require("nibabel")
        file = nibabel.load(path)
        affine = np.array(file.affine)
        affine[:3, 3] += affine[:3, 2] * (slice_of_volume or 0)
        return {"affine": np.round(affine, 4).tolist(), "unit": file.header.get_xyzt_units()[0]}
    if name.endswith((".npy", ".npz")):
        return {}
    rasterio = require("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            points, system = file.gcps
            return {
                "size": (file.height, file.width),
                "crs": str(file.crs),
                "transform": tuple(np.round(tuple(file.transform)[:6], 9)),
                "points": [(p.row, p.col, p.x, p.y) for p in points] + ([str(system)] if points else []),
                "rpcs": None if file.rpcs is None else file.rpcs.to_gdal(),
                "unit": file.units[0],
                "point": file.tags().get("AREA_OR_POINT", "Area"),
                "sensor": file.tags().get("SENSOR"),
            }


def _of_grid(path):
    xarray = require("xarray")
    groups = {".nc": ("", "level2/product"), ".zarr": ("",)}[path.suffix]
    for group in groups:
        try:
            options = {"engine": "zarr", "consolidated": False} if path.suffix == ".zarr" else {"engine": "netcdf4"}
            with xarray.open_dataset(path, group=group or None, **options) as data:
                found = [each for each in data.data_vars.values() if each.ndim > 1]
                if found:
                    plane = [dim for dim in found[0].dims if dim in ("lat", "lon", "x", "y")]
                    places = {dim: (data[dim].values.tolist(), dict(data[dim].attrs)) for dim in plane}
                    return {**places, "order": plane, "unit": found[0].attrs.get("units")}
        except OSError:
            continue
    raise AssertionError(f"{path} has no image")


def _of_fits(path):
    with require("astropy.io.fits").open(path) as file:
        unit = next(each for each in file if each.is_image and len(each.shape) == 2)
        kept = {key: unit.header[key] for key in sky()}
        return {**kept, "size": unit.shape}


def kept(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs of two such descriptions."""
    return [name for name in before if before[name] != after.get(name)]


def storage(path: Path) -> str:
    """Type of the stored values."""
    name = path.name
    if name.endswith((".nc", ".zarr")):
        xarray = require("xarray")
        options = {"engine": "zarr", "consolidated": False} if path.suffix == ".zarr" else {"engine": "netcdf4"}
        for group in (None, "level2/product"):
            with xarray.open_dataset(path, group=group, mask_and_scale=False, **options) as data:
                for each in data.data_vars.values():
                    if each.ndim > 1:
                        return str(each.dtype)
    if ".fits" in name:
        with require("astropy.io.fits").open(path, do_not_scale_image_data=True) as file:
            return str(
                next(each for each in file if each.is_image and len(each.shape) == 2).data.dtype.newbyteorder("=")
            )
    if ".nii" in name:
        return str(require("nibabel").load(path).get_data_dtype())
    if name.endswith(".npy"):
        return str(np.load(path).dtype)
    if name.endswith(".npz"):
        with np.load(path) as arrays:
            return str(arrays["z"].dtype)
    rasterio = require("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return str(file.dtypes[0])


def table(folder: Path) -> str:
    """Put every kind through ``fill`` and ``rx`` and say what came back."""
    lines = [
        "| file | missing by | read and written type | written | observed pixels | missing pixels | ground |",
        "|---|---|---|---|---|---|---|",
    ]
    for k, kind in enumerate(KINDS):
        here = folder / str(k)
        here.mkdir()
        os.chdir(here)
        values = kind.make(here / kind.file)
        place = described(here / kind.file, 1 if ".nii" in kind.file else None)
        with contextlib.redirect_stdout(io.StringIO()), without_figures():
            codes = [main(words) for words in commands(kind)]
        filled, score = here / f"out/in-filled{kind.suffix}", here / f"rx{kind.suffix}"
        found, seen = np.asarray(read(filled).image), ~np.isnan(values)
        wrong = int((found[seen] != values[seen]).sum())
        gaps = int((np.isnan(np.asarray(read(score).image)) != ~seen).sum())
        moved = [name for name in kept(place, described(score)) if name not in ("unit", "BUNIT")]  # a score has none
        same = kept(place, described(filled)) + moved
        lines.append(
            f"| {kind.name} | {kind.marks} | {storage(here / kind.file)}, {storage(filled)} | `{kind.suffix}` | "
            f"{'all as they were' if not wrong else f'{wrong} differ'} | {int((~seen).sum())} of {seen.size}"
            f"{'' if not gaps else f', {gaps} wrong'} | {'kept' if not same else ', '.join(same)} |"
            + ("" if not any(codes) else f" exit {codes}")
        )
    return "\n".join(lines)


@contextlib.contextmanager
def without_figures():
    """Let the commands draw nothing."""
    with contextlib.ExitStack() as patched:
        for module, figure in (("_fill", "fill_figure"), ("_pixels", "pixel_figure")):
            patched.enter_context(mock.patch(f"sparsegmrf.cli.{module}.write_figure"))
            patched.enter_context(mock.patch(f"sparsegmrf.cli.{module}.{figure}"))
        yield


def commands(kind: Kind) -> list[list[str]]:
    """The commands that a file is put through, and their model in the present folder."""
    options = list(kind.options)
    several = ["--channels" if word == "--channel" else word for word in options]
    field = ["--model", "matern", "--fixed", "range", "--fixed", "sigma", "--noise-variance", "0.1"]
    if not Path("model.json").exists():
        write_model("model.json", CausalAR([0.2, 0.3, 0.1, 0.3], support=REACH))
    return [
        ["fill", kind.file, "--out", "out", *field, *options],
        ["rx", kind.file, "--values", f"rx{kind.suffix}", *several],
        ["density", kind.file, "--values", f"density{kind.suffix}", *several],
        ["ar", "whiten", kind.file, "--model", "model.json", "--out", f"white{kind.suffix}", *options],
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        print(table(Path(temporary)))
