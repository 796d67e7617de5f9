"""Gaps of real rasters filled by the default, by ``model="best"`` and by what users take today.

python -m bench.choosing [--satellite PATH] [--rasters gravel ...] [--gaps hole ...] [--ways default ...] [--out FILE]

Rasters of at most 128 x 128 pixels: those that scikit-image and Matplotlib bring along, and land-surface temperatures
where the path of a ``.npz`` with ``temperature`` is given. Of each some pixels are hidden: 30% one by one, 30% beneath
clouds, or a square of a third of the side. Measurements there are predicted. A prediction without a deviation is a
point: its CRPS is its absolute error. Two ways tie where their CRPS differ by less than a standard error, paired by
squares of 16 pixels. Results are appended to a file of JSON lines, whose rows are not measured again; ``--table``
prints it.
"""

import argparse
import gzip
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy

from sparsegmrf import fill
from sparsegmrf.inference import Mixture
from sparsegmrf.inference._cross_validation import error_of_mean
from sparsegmrf.models import Matern

SIDE = 128
HIDDEN = 0.3
_BLOCK = 16
_LEVEL = 0.95
_RIGHT = (0.92, 0.98)
"""Between which the coverage of 95% intervals is right."""
OURS = ("default", "best")


def of_skimage(name: str) -> np.ndarray:
    """Return the middle of a photograph, grey."""
    from skimage import data
    from skimage.color import rgb2gray

    image = getattr(data, name)()
    return middle(255.0 * rgb2gray(image) if image.ndim == 3 else image.astype(np.float64))


def elevation() -> np.ndarray:
    """Return metres of a ridge in Tennessee."""
    from matplotlib.cbook import get_sample_data

    return middle(np.load(get_sample_data("jacksboro_fault_dem.npz", asfileobj=False))["elevation"].astype(np.float64))


def mri() -> np.ndarray:
    """Return a slice of a head."""
    from matplotlib.cbook import get_sample_data

    with gzip.open(get_sample_data("s1045.ima.gz", asfileobj=False)) as file:
        return middle(np.frombuffer(file.read(), np.uint16).reshape(256, 256).astype(np.float64))


def middle(image: np.ndarray) -> np.ndarray:
    """Return the middle square of an image."""
    top, left = ((length - SIDE) // 2 for length in image.shape)
    return np.array(image[top : top + SIDE, left : left + SIDE])


def best_observed(image: np.ndarray) -> np.ndarray:
    """Return the square with the most observed pixels."""
    observed = np.isfinite(image).astype(np.float64)
    sums = np.pad(observed.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    counts = sums[SIDE:, SIDE:] - sums[:-SIDE, SIDE:] - sums[SIDE:, :-SIDE] + sums[:-SIDE, :-SIDE]
    top, left = np.unravel_index(int(counts.argmax()), counts.shape)
    return np.array(image[top : top + SIDE, left : left + SIDE])


RASTERS: dict[str, Callable[[], np.ndarray]] = {
    "elevation": elevation,
    "MRI slice": mri,
    **{name: lambda name=name: of_skimage(name) for name in ("gravel", "grass", "moon", "hubble_deep_field")},
}


def hidden(image: np.ndarray, gaps: str) -> np.ndarray:
    """Return where an image is hidden besides its own gaps."""
    rng = np.random.default_rng(1)
    if gaps == "scattered":
        found = rng.random(image.shape) < HIDDEN
    elif gaps == "clouds":
        clouds = Matern(range=SIDE / 6.0).gmrf(image.shape).sample(rng=rng)
        found = clouds > np.quantile(clouds, 1.0 - HIDDEN)
    else:
        found = np.zeros(image.shape, dtype=bool)
        found[SIDE // 3 : 2 * SIDE // 3, SIDE // 3 : 2 * SIDE // 3] = True
    return found & np.isfinite(image)


GAPS = ("scattered", "clouds", "hole")


def by_fill(image: np.ndarray, model: str | None) -> Mixture:
    """Return what `fill` predicts of measurements."""
    found = fill(image, model=model, rng=0)
    mixture = getattr(found, "mixture", None)
    if mixture is None:
        return Mixture([1.0], found.mean[None], found.predictive_std[None])
    return mixture


def biharmonic(image: np.ndarray) -> np.ndarray:
    """Return the surface whose biharmonic operator is zero in the gaps."""
    from skimage.restoration import inpaint_biharmonic

    gaps = np.isnan(image)
    low, high = np.nanmin(image), np.nanmax(image)
    found = inpaint_biharmonic((np.where(gaps, low, image) - low) / (high - low), gaps)
    return found * (high - low) + low


def cubic(image: np.ndarray) -> np.ndarray:
    """Return piecewise cubics on a triangulation; outside it the nearest pixel."""
    gaps, found = np.isnan(image), image.copy()
    for method in ("cubic", "nearest"):
        left = np.isnan(found)
        if left.any():
            found[left] = scipy.interpolate.griddata(np.argwhere(~gaps), image[~gaps], np.argwhere(left), method=method)
    return found


def fillnodata(image: np.ndarray) -> np.ndarray:
    """Return inverse distances along rays, as GDAL has it."""
    from rasterio.fill import fillnodata

    gaps = np.isnan(image)
    return fillnodata(np.where(gaps, 0.0, image).astype(np.float32), mask=~gaps, max_search_distance=float(2 * SIDE))


def vecchia(image: np.ndarray) -> Mixture:
    """Return a Gaussian process of nearest neighbours with a Matern covariance of smoothness 3/2, a linear trend."""
    import gpboost

    gaps = np.isnan(image)
    places, targets = np.argwhere(~gaps).astype(float), np.argwhere(gaps).astype(float)
    model = gpboost.GPModel(
        gp_coords=places, cov_function="matern", cov_fct_shape=1.5, gp_approx="vecchia", likelihood="gaussian"
    )
    design = [np.column_stack([np.ones(len(each)), each / SIDE]) for each in (places, targets)]
    model.fit(y=image[~gaps], X=design[0])
    found = model.predict(gp_coords_pred=targets, X_pred=design[1], predict_var=True, predict_response=True)
    mean, std = image.copy(), np.zeros(image.shape)
    mean[gaps], std[gaps] = found["mu"], np.sqrt(found["var"])
    return Mixture([1.0], mean[None], std[None])


class Way(NamedTuple):
    """How gaps are filled, and the library that it takes."""

    run: Callable[[np.ndarray], "Mixture | np.ndarray"]
    library: str


WAYS = {
    "default": Way(lambda image: by_fill(image, None), "sparsegmrf"),
    "best": Way(lambda image: by_fill(image, "best"), "sparsegmrf"),
    "biharmonic": Way(biharmonic, "skimage"),
    "cubic": Way(cubic, "scipy"),
    "fillnodata": Way(fillnodata, "rasterio"),
    "Vecchia GP": Way(vecchia, "gpboost"),
}


def measure(raster: str, gaps: str, way: str, image: np.ndarray) -> dict:
    """Return the scores of one way with one kind of gaps, CRPS by blocks too."""
    where = hidden(image, gaps)
    start, processor = time.perf_counter(), time.process_time()
    found = WAYS[way].run(np.where(where, np.nan, image))
    seconds, used = time.perf_counter() - start, time.process_time() - processor
    point = not isinstance(found, Mixture)
    law = Mixture([1.0], found[None], np.zeros((1, *image.shape))) if point else found
    score, truth = law.crps(image)[where], image[where]
    tail = (1.0 - _LEVEL) / 2.0
    inside = (law.quantile(tail)[where] <= truth) & (truth <= law.quantile(1.0 - tail)[where])
    rows, columns = np.nonzero(where)
    block = rows // _BLOCK * (SIDE // _BLOCK + 1) + columns // _BLOCK
    return {
        "raster": raster,
        "gaps": gaps,
        "way": way,
        "rmse": float(np.sqrt(np.mean((law.mean[where] - truth) ** 2))),
        "crps": float(score.mean()),
        "coverage": None if point else float(inside.mean()),
        "seconds": seconds,
        "processor_seconds": used,
        "crps_of_blocks": np.bincount(block, score).tolist(),
        "pixels_of_blocks": np.bincount(block).tolist(),
    }


def is_beaten(row: dict, other: dict) -> bool:
    """Return whether another way's CRPS is smaller by more than its paired standard error."""
    above = np.array(row["crps_of_blocks"]) - np.array(other["crps_of_blocks"])
    sizes = np.array(row["pixels_of_blocks"])
    held = sizes > 0
    return bool(above.sum() / sizes.sum() > error_of_mean(above[held], sizes[held]))


def table(rows: list[dict]) -> Iterator[str]:
    """Yield the lines of the table, and what became of the goals."""
    yield "| raster | gaps | " + " | ".join(WAYS) + " |"
    yield "|---" * (len(WAYS) + 2) + "|"
    cells: dict[tuple[str, str], dict[str, dict]] = {}
    for row in rows:
        cells.setdefault((row["raster"], row["gaps"]), {})[row["way"]] = row
    for (raster, gaps), ways in cells.items():
        yield f"| {raster} | {gaps} | " + " | ".join(_cell(ways, name) for name in WAYS) + " |"
    for name in OURS:
        mine = [ways for ways in cells.values() if name in ways]
        peers = [[other for way, other in ways.items() if way not in OURS] for ways in mine]
        held = [
            not any(is_beaten(ways[name], other) for other in others) for ways, others in zip(mine, peers, strict=True)
        ]
        right = [_RIGHT[0] <= ways[name]["coverage"] <= _RIGHT[1] for ways in mine]
        yield f"{name}: wins or ties CRPS in {sum(held)} of {len(held)}, coverage within {_RIGHT} in {sum(right)}"


def _cell(ways: dict[str, dict], name: str) -> str:
    """Return RMSE, CRPS, coverage and seconds of processor."""
    if name not in ways:
        return ""
    row = ways[name]
    share = "" if row["coverage"] is None else f", {row['coverage']:.3f}"
    text = f"{row['rmse']:.3g}, {row['crps']:.3g}{share}; {row['processor_seconds']:.1f} s"
    least = min(ways.values(), key=lambda each: each["crps"])
    return text if is_beaten(row, least) else f"**{text}**"


def main() -> None:
    """Measure what is not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--satellite", type=Path)
    parser.add_argument("--rasters", nargs="+", default=[*RASTERS, "satellite"])
    parser.add_argument("--gaps", nargs="+", choices=GAPS, default=GAPS)
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS))
    parser.add_argument("--out", type=Path, default=Path("choosing.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    rasters = dict(RASTERS)
    if given.satellite:
        rasters["satellite"] = lambda: best_observed(np.load(given.satellite)["temperature"].astype(np.float64))
    rows = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    done = {(row["raster"], row["gaps"], row["way"]) for row in rows}
    for raster in () if given.table else [name for name in given.rasters if name in rasters]:
        image = rasters[raster]()
        for gaps, way in ((gaps, way) for gaps in given.gaps for way in given.ways):
            if (raster, gaps, way) in done or importlib.util.find_spec(WAYS[way].library) is None:
                continue
            row = measure(raster, gaps, way, image)
            rows.append(row)
            with given.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{raster}, {gaps}: {_cell({way: row}, way)} ({way})", flush=True)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
