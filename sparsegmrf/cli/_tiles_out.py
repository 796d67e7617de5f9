"""Where ``fill-tiles`` writes: GeoTIFFs in a directory, or one Zarr group."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._address import url_of
from sparsegmrf._files import check_outputs, refuse_overwriting, replacing_in
from sparsegmrf.cli._field import about, files
from sparsegmrf.cli._rasters import check_directory
from sparsegmrf.errors import FileError
from sparsegmrf.geo import RasterWindows, write_windows
from sparsegmrf.geo._windows import Source
from sparsegmrf.geo._zarr import check_ground, write_zarr
from sparsegmrf.large import TiledResult
from sparsegmrf.typing import FloatArray

_IMAGES = {
    "filled": "filled",
    "mean": "mean",
    "std": "standard deviation",
    "std_lower": "lower bound of the standard deviation",
    "std_upper": "upper bound of the standard deviation",
}
"""What is written, and what the bands are called."""
_NOT_OF_RUN = ("scratch",)
"""Options that change nothing of what is computed."""


@dataclass(frozen=True)
class Destination:
    """What is written of a raster.

    Attributes
    ----------
    out : Path
        A directory, or a group whose suffix is ``.zarr``.
    stem : str
        Of the raster's file.
    samples : int
        Number of draws.
    fitted : bool
        Whether there is a fit to write.
    """

    out: Path
    stem: str
    samples: int
    fitted: bool

    @property
    def is_zarr(self) -> bool:
        """Whether it is a Zarr group."""
        return self.out.suffix.lower() == ".zarr"

    @property
    def written(self) -> list[Path]:
        """The files, or the group."""
        if self.is_zarr:
            return [self.out]
        images = [self._name(name) for name in _IMAGES]
        draws = [self._name("samples")] if self.samples else []
        fit = [f"{self.stem}-fit.json"] if self.fitted else []
        return [self.out / name for name in (*images, *draws, *fit, f"{self.stem}-tiles.json")]

    @property
    def journal(self) -> Path:
        """Folder beside it for what is done of an interrupted run."""
        target = self.out.resolve()
        return target.with_name(f"{target.name}.journal" if self.is_zarr else f"{target.name}-{self.stem}.journal")

    def check(self, inputs: list[Any], *, overwrite: bool) -> None:
        """Refuse what cannot be written, before a long computation."""
        if self.is_zarr:
            check_outputs([self.out.with_suffix(".tif")], [])  # its directory
            if self.out.exists():
                raise FileError(f"out must be a Zarr group that does not exist yet, got {self.out}; remove it first.")
        else:
            check_directory(self.out, [".zarr"])
        refuse_overwriting(self.written, inputs, overwrite=overwrite)

    def check_ground(self, raster: RasterWindows) -> None:
        """Refuse a raster whose place a Zarr group cannot say."""
        if self.is_zarr:
            check_ground(raster)

    def write(self, raster: RasterWindows, options: Any, result: TiledResult, fit: str | None) -> None:
        """Write all of it, or nothing."""

        def filled(rows: slice, columns: slice) -> FloatArray:
            values = raster.read(rows, columns)
            return np.where(np.isnan(values), result.mean[rows, columns], values)

        sources = {name: _reader(getattr(result, name)) for name in _IMAGES if name != "filled"} | {"filled": filled}
        draws, said = [_reader(draw) for draw in result.samples], _about(options, result, raster.unit)
        if self.is_zarr:
            text = json.dumps(said | ({"fit": json.loads(fit)} if fit else {}), allow_nan=False)
            write_zarr(self.out, {name: (sources[name], word) for name, word in _IMAGES.items()}, draws, raster, text)
            return
        with replacing_in(self.out) as folder:
            for name, word in _IMAGES.items():
                write_windows(folder / self._name(name), [sources[name]], [word], raster)
            if draws:
                names = [f"draw {k}" for k in range(1, len(draws) + 1)]
                write_windows(folder / self._name("samples"), draws, names, raster)
            if fit is not None:
                (folder / f"{self.stem}-fit.json").write_text(fit, encoding="utf-8")
            (folder / f"{self.stem}-tiles.json").write_text(json.dumps(said, indent=1, allow_nan=False), "utf-8")

    def _name(self, image: str) -> str:
        return f"{self.stem}-{image.replace('_', '-')}.tif"


def run_of(image: Path, raster: RasterWindows, options: Any, channel: int | None) -> dict[str, Any]:
    """Return what a run is: input and options on which anything depends that it computes."""
    given = {each.name: getattr(options, each.name) for each in fields(options) if each.name not in _NOT_OF_RUN}
    ground = repr((raster.shape, str(raster.dtype), raster.unit, raster.georeference, sorted(raster.tags.items())))
    return {
        "sparsegmrf": version("sparsegmrf"),
        "input": {**_file(image), "channel": channel, "metadata": hashlib.blake2b(ground.encode()).hexdigest()[:16]},
        "files": {text: _file(Path(text)) for text in files(options.model, options.noise_variance)},
        "options": given,
    }


def _file(path: Path) -> dict[str, Any]:
    address = url_of(path)
    if address is not None:
        return {"path": address}
    state = path.stat()
    return {"path": str(path.resolve()), "size": state.st_size, "modified": state.st_mtime_ns}


def _reader(image: FloatArray) -> Source:
    return lambda rows, columns: image[rows, columns]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _about(options: Any, result: TiledResult, unit: str) -> dict[str, Any]:
    """Return what was computed and how surely; null where a bound is infinite."""
    return {
        **about(options, None, unit or "intensity"),
        "model": type(result.model).__name__,
        "parameters": result.model.parameters,
        "noise_variance": result.noise_variance,
        "coefficients": result.coefficients,
        "coefficient_errors": result.coefficient_errors,
        "n_observed": result.n_observed,
        "mean_error": _finite(result.mean_error),
        "sample_error": _finite(result.sample_error),
        "loglik_interval": result.loglik_interval,
        "largest_width": _finite(result.largest_width),
        "tolerance": result.tolerance,
        "tiles": [
            {"core": asdict(tile.core), "halo": tile.halo, "width": _finite(width)}
            for tile, width in zip(result.tiles, result.widths, strict=True)
        ],
    }
