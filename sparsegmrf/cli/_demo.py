"""The command ``demo``: gaps and noise are put on a real elevation model, and taken off again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import matplotlib.cbook
import numpy as np
import scipy.interpolate
import scipy.ndimage
import typer

from sparsegmrf._files import replacing_in
from sparsegmrf.cli._fill import write_results
from sparsegmrf.cli._fill_options import FillOptions
from sparsegmrf.cli._fill_out import Destination, FillStorage
from sparsegmrf.cli._options import Writing, with_groups
from sparsegmrf.cli._rasters import Loaded, check_directory, figure_path
from sparsegmrf.cli._report import Progress, show_filled, show_table, show_written
from sparsegmrf.inference import CountFillResult, FillResult
from sparsegmrf.io import Picture, write
from sparsegmrf.plot import truth_figure, write_figure
from sparsegmrf.scores import coverage, crps
from sparsegmrf.typing import BoolArray, FloatArray, Shape

ROWS, COLUMNS = slice(100, 300), slice(60, 300)
"""Part of the elevation model that is used: a mountain range, a fault and a plain."""
NOISE = 5.0
"""Standard deviation in metres of the noise put on it, about that of elevations by radar."""
_CLOUD = 5.0
_CLOUDED = 0.2
_SWATH = 6


@dataclass(frozen=True, eq=False)
class Scene:
    """An elevation model in metres, and its noisy measurement with gaps, NaN there."""

    truth: FloatArray
    measured: FloatArray

    @property
    def gaps(self) -> BoolArray:
        """Where nothing is measured."""
        return np.isnan(self.measured)

    def scores(self, result: FillResult | CountFillResult) -> dict[str, str]:
        """Return how well the gaps were filled."""
        y, mean, std = self.truth[self.gaps], result.mean[self.gaps], result.std[self.gaps]
        rmse = float(np.sqrt(np.mean((y - mean) ** 2)))
        return {
            "pixels in the gaps": f"{y.size} of {self.truth.size}",
            "standard deviation of their elevation": f"{y.std():.1f} m",
            "RMSE": f"{rmse:.1f} m",
            "RMSE of SciPy's cubic interpolation": f"{self.interpolation_error():.1f} m",
            "CRPS": f"{crps(y, mean, std).mean():.1f} m",
            "95% intervals cover": f"{coverage(y, mean, std):.1%}",
        }

    def interpolation_error(self) -> float:
        """Return the RMSE in the gaps of cubic interpolation of the measurements, outside their hull of the nearest."""
        gaps = self.gaps
        known, wanted, values = np.argwhere(~gaps), np.argwhere(gaps), self.measured[~gaps]
        cubic, nearest = (scipy.interpolate.griddata(known, values, wanted, method) for method in ("cubic", "nearest"))
        error = np.where(np.isnan(cubic), nearest, cubic) - self.truth[gaps]
        return float(np.sqrt(np.mean(error**2)))


def scene(seed: int) -> Scene:
    """Return the elevation model that ships with matplotlib, measured with noise and gaps."""
    file: Any = matplotlib.cbook.get_sample_data("jacksboro_fault_dem.npz")
    with file:
        truth = file["elevation"][ROWS, COLUMNS].astype(np.float64)
    stream = np.random.default_rng(seed)
    gaps = clouds(truth.shape, stream) | swath(truth.shape)
    return Scene(truth, np.where(gaps, np.nan, truth + NOISE * stream.standard_normal(truth.shape)))


def clouds(shape: Shape, stream: np.random.Generator) -> BoolArray:
    """Return blobs that cover a fifth of the pixels."""
    height = scipy.ndimage.gaussian_filter(stream.standard_normal(shape), _CLOUD)
    return np.asarray(height > np.quantile(height, 1.0 - _CLOUDED))


def swath(shape: Shape) -> BoolArray:
    """Return a slanted band that no orbit has covered."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(np.abs(columns - 0.45 * shape[1] + 0.25 * (rows - 0.5 * shape[0])) < _SWATH)


@with_groups
def demo(
    writing: Writing,
    out: Annotated[Path, typer.Option(help="Directory of the images and the fit.")] = Path("sparsegmrf-demo"),
    figure: Annotated[Path, typer.Option(help="Figure: .png, .pdf or .svg.")] = Path("sparsegmrf-demo.png"),
    seed: Annotated[int, typer.Option(help="Seed of gaps, noise and draw.")] = 0,
) -> None:
    """Try it: fill gaps cut into a real elevation model.

    Prints how well the truth is met, and needs no file.
    """
    check_directory(out)
    writing.check([figure_path(figure, out, "demo")], [])
    options = FillOptions(model="matern2", samples=1, seed=seed)
    with Progress(3) as step:
        step("cutting gaps into the elevation model of matplotlib")
        found = scene(seed)
        raster = Picture(found.measured, found.gaps, unit="m")
        target = Destination(out, "elevation", raster, FillStorage(overwrite=writing.overwrite))
        names = ("elevation.tif", *target.names(options.images, options.samples))
        written = [out / name for name in names]
        writing.check_in_directory(written, [])
        step("fitting and filling")
        loaded = Loaded(raster, None)
        result = options.fill(loaded, step.tell)
        step("writing")
        drawn = truth_figure(
            found.truth,
            found.measured,
            result.mean,
            result.std,
            result.samples[0],
            title="Elevation, Jacksboro fault, Tennessee: gaps filled by a Gaussian Markov random field",
            unit="elevation (m)",
        )
        with replacing_in(out) as staging:
            write(staging / "elevation.tif", found.measured)
            write_results(staging, target, options, result, loaded)
            write_figure(figure, drawn)
    show_filled("elevation.tif", result, "m")
    show_table({"in the gaps, against the truth": "", **found.scores(result)})
    show_written([figure, *(path for path in written if path.suffix != ".png")])
