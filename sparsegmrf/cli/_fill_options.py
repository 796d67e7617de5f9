"""Options of ``fill``, and the images of its results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import typer

from sparsegmrf.cli._field import FieldOptions
from sparsegmrf.cli._models import names as model_names
from sparsegmrf.cli._rasters import Loaded
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import CountFillResult, FillResult
from sparsegmrf.inference import Progress as FitProgress
from sparsegmrf.inference import fill as fill_gaps
from sparsegmrf.typing import FloatArray

IMAGES: Mapping[str, str] = {
    "filled": "filled",
    "mean": "mean",
    "std": "standard deviation",
    "predictive_std": "standard deviation of a new measurement",
}
"""Fields of a `FillResult` that are written, and what their bands are called."""
OF_COUNTS: Mapping[str, str] = {
    "filled": "filled",
    "mean": "mean of the risk",
    "std": "standard deviation of the risk",
    "lower": "lower end of the 95% interval of the risk",
    "upper": "upper end of the 95% interval of the risk",
    "predictive_mean": "mean of a new count",
    "predictive_std": "standard deviation of a new count",
}
"""The same of a `CountFillResult` and its `relative_risk`."""


@dataclass(frozen=True)
class FillOptions(FieldOptions):
    """How gaps are filled, as the command line has it."""

    model: Annotated[str, typer.Option(help=f"{model_names()}, or a .json file: the field that is fitted.")] = (
        "tension-spline"
    )
    covariates: Annotated[Literal["constant", "linear", "none"], typer.Option(help="Trend.")] = "linear"
    exceedance: Annotated[
        float | None,
        typer.Option(help="Risk of counts: write the probability of every pixel that its own is above it."),
    ] = None
    samples: Annotated[int, typer.Option(help="Number of draws given the observed pixels.")] = 0
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0
    parameters: Annotated[
        Literal["plug-in", "integrate"],
        typer.Option(help="Estimates taken as known, or integrated out with weak priors."),
    ] = "plug-in"
    separately: Annotated[
        bool,
        typer.Option("--separately", help="Fill each of several channels by itself instead of all of them together."),
    ] = False

    @property
    def images(self) -> Mapping[str, str]:
        """Fields of the result that are written."""
        if self.likelihood == "gaussian":
            return IMAGES
        more = {} if self.exceedance is None else {"exceedance": f"probability of a risk above {self.exceedance:g}"}
        return {**OF_COUNTS, **more}

    def check_exceedance(self) -> None:
        """Refuse a threshold that is none of a risk, before anything is fitted."""
        limit = self.exceedance
        if limit is None:
            return
        if self.likelihood == "gaussian":
            raise ArgumentError(
                f"exceedance must be left out with likelihood gaussian, which has no risk, got {limit:g}."
            )
        highest = np.inf if self.likelihood == "poisson" else 1.0
        if not 0.0 < limit < highest:
            raise ArgumentError(
                f"exceedance must be {'positive' if highest > 1.0 else 'between 0 and 1'} with likelihood "
                f"{self.likelihood}, got {limit:g}."
            )

    def fill(
        self, image: Loaded, tell: Callable[[FitProgress], None], channel: int | None = None
    ) -> FillResult | CountFillResult:
        """Fill the gaps of an image, or of a channel of it by its place, and tell how far that is."""
        start, arguments, plane = self.start(), self.arguments(image), image.raster.image
        if channel is not None:
            plane, arguments["mask"] = plane[..., channel], arguments["mask"][..., channel]
        return fill_gaps(
            plane,
            model=start,
            n_samples=self.samples,
            rng=self.seed,
            likelihood=self.counts(image),
            progress=tell,
            parameters=self.parameters,
            **arguments,
        )


def image_of(result: FillResult | CountFillResult, field: str, threshold: float | None) -> FloatArray:
    """Return an image of a result by its name."""
    source: object = result
    if isinstance(result, CountFillResult):
        if field == "exceedance" and threshold is not None:
            return result.exceedance(threshold)
        source = result.relative_risk() if field in ("lower", "upper") else result
    image: FloatArray = getattr(source, field)
    return image
