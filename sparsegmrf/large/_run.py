"""A raster whose model is known: cut into tiles, what that will take, and the work itself."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import integer_at_least, positive_number
from sparsegmrf.inference import FitResult
from sparsegmrf.large._arguments import check_scratch
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._forecast import Forecast
from sparsegmrf.large._geometry import Tile, windows_of
from sparsegmrf.large._images import Allocate, allocator
from sparsegmrf.large._journal import Journal, Made
from sparsegmrf.large._loglik import Interval, check_loglik, is_closed, loglik_interval, part_of
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._result import TiledResult
from sparsegmrf.large._solver import Factors
from sparsegmrf.large._stages import Engine, Here, Progress, Stages
from sparsegmrf.large._tiling import Tiling, work_bytes
from sparsegmrf.large._trend import Trend
from sparsegmrf.large._work import Solved, images_of, solve
from sparsegmrf.models import Model
from sparsegmrf.typing import FloatArray, Seed, Shape

_BLOCK = 1024
"""Side in pixels of the windows in which the raster is read once for the trend."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Options:
    """How a raster is filled, as `fill` says it."""

    n_samples: int = 0
    rng: Seed = None
    loglik: bool = False
    tolerance: float = 0.01
    mean_tolerance: float = 1e-6
    core: int | None = None
    halo: int | None = None
    memory: float | None = None
    upper: bool = True
    scratch: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        integer_at_least("n_samples", self.n_samples, 0)
        positive_number("tolerance", self.tolerance)
        positive_number("mean_tolerance", self.mean_tolerance)
        check_scratch(self.scratch)

    def cuts(self, model: Model, shape: Shape) -> Cuts:
        """Return the cuts of a model, after refusing one that has not what is asked for."""
        found = Cuts.of(model, shape)
        if self.upper:
            found.check_rows()
        if self.loglik:
            check_loglik(found)
        return found


@dataclass(frozen=True, eq=False)
class Run:
    """What is to be done for a raster.

    Attributes
    ----------
    raster : Raster
    cuts : Cuts
        Of the model.
    covariates : str or None
    options : Options
    tiling : Tiling
    journal : Journal
        What is done already.
    level : float
        What is known of the mean.
    """

    raster: Raster
    cuts: Cuts
    model: Model
    covariates: str | None
    options: Options
    tiling: Tiling
    journal: Journal
    level: float = 0.0

    @classmethod
    def of(
        cls,
        raster: Raster,
        model: Model,
        covariates: str | None,
        options: Options,
        *,
        journal: Journal | None = None,
        level: float = 0.0,
    ) -> "Run":
        """Return the run for a raster whose model and noise are known, cut as before if it is taken up."""
        kept, cuts = journal or Journal(), options.cuts(model, raster.shape)
        known = kept.get("tiling")
        if known is None:
            tiling = Tiling.of(
                cuts, raster, options.tolerance, core=options.core, halo=options.halo, memory=options.memory
            )
        else:
            tiling = Tiling.from_table(known[0], raster.shape)
        return cls(raster, cuts, model, covariates, options, tiling, kept, level)

    def forecast(self, workers: int | None = None) -> Forecast:
        """Return what the run will take, here or by workers of one thread each."""
        return Forecast.of(
            self.cuts,
            self.tiling,
            solutions=1 + len(self._asked.names) + self.options.n_samples,
            samples=self.options.n_samples,
            upper=self.options.upper,
            loglik=self.options.loglik,
            workers=workers,
        )

    @property
    def _asked(self) -> Trend:
        return Trend.asked(self.covariates, self.cuts.model, self.raster.shape, self.level)

    @one_blas_thread()
    def result(
        self, *, engine: Engine | None = None, progress: Progress | None = None, fit: FitResult | None = None
    ) -> TiledResult:
        """Return the filled raster; see `sparsegmrf.large.fill`."""
        options, tell = self.options, progress or silent
        posterior, allocate = Posterior(self.cuts, self.raster), allocator(options.scratch)
        windows = _told("reading", list(windows_of(self.raster.shape, _BLOCK)), tell)
        trend = self._asked.with_sums([self._asked.sums(self.raster, window) for window in windows])
        normals = Normals(options.rng)
        self.journal.put("tiling", (self.tiling.table(),))  # the raster can be read as a whole
        stages = Stages(engine or Here(Factors(posterior, _room(self.cuts, self.tiling))), self.journal, tell)
        solved = solve(
            posterior,
            self.tiling,
            trend,
            normals,
            options.n_samples,
            stages,
            tolerance=options.tolerance,
            mean_tolerance=options.mean_tolerance,
            upper=options.upper,
            allocate=allocate,
        )
        interval = _interval(self.cuts, solved, trend, stages) if options.loglik else None
        mean, std, low, high, samples = _images(posterior, solved, trend, normals, options.n_samples, allocate, tell)
        own = solved.coefficients
        return TiledResult(
            mean=mean,
            std=std,
            std_lower=low,
            std_upper=high,
            samples=samples,
            mean_error=own.error,
            sample_error=float(np.max(solved.errors[1 + len(trend.names) :], initial=0.0)) + own.error,
            loglik_interval=interval,
            model=self.model,
            noise_variance=None if callable(self.raster.variance) else self.raster.variance,
            coefficients=trend.coefficients(own.beta),
            coefficient_errors=trend.errors(own.covariance),
            n_observed=trend.n_observed,
            tiles=solved.tiles,
            widths=np.array([each.width for each in solved.brackets]),
            tolerance=options.tolerance,
            passes=solved.passes,
            fit=fit,
        )


def silent(stage: str, done: int, total: int) -> None:
    """Tell nobody how far the work is."""


def _told(stage: str, items: Iterable[_T], progress: Callable[[str, int, int], object]) -> Iterator[_T]:
    """Yield items, and tell how many are done."""
    every = list(items)
    for done, item in enumerate(every):
        progress(stage, done, len(every))
        yield item
    progress(stage, len(every), len(every))


def _room(cuts: Cuts, tiling: Tiling) -> int:
    """Return the bytes that factors may take that are kept, beside the work on a tile."""
    largest = max(work_bytes(cuts, tile.window.shape) for tile in tiling.tiles)
    return tiling.memory if len(tiling.tiles) == 1 else max(0, tiling.memory - largest)


def _interval(cuts: Cuts, solved: Solved, trend: Trend, stages: Stages) -> Interval:
    """Return bounds of the log-likelihood."""
    closed = is_closed(cuts)
    made = stages.each("likelihood", likelihood_task, solved.tiles, lambda tile: (trend, closed))
    parts = {tile.number: part for tile, (part,) in made}
    own = solved.coefficients
    return loglik_interval(cuts, [parts[number] for number in sorted(parts)], own.explained, own.error)


def likelihood_task(factors: Factors, tile: Tile, trend: Trend, closed: bool) -> Made:
    """Return what a tile adds to the bounds of the log-likelihood."""
    return (part_of(factors.posterior, tile, trend, closed=closed),)


def _images(
    posterior: Posterior,
    solved: Solved,
    trend: Trend,
    normals: Normals,
    count: int,
    allocate: Allocate,
    progress: Progress,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return mean, deviation, its bounds, and draws."""
    mean, std, low, high = (allocate(posterior.shape) for _ in range(4))
    samples = allocate((count, *posterior.shape))
    for each in _told("images", solved.brackets, progress):
        at = each.tile.core.slices
        solution = solved.solution[(slice(None), *at)]
        found = images_of(posterior, each, solution, solved.coefficients, trend, normals, count)
        mean[at], std[at], low[at], high[at], samples[(slice(None), *at)] = (*found[:4], found[4:])
    return mean, std, low, high, samples
