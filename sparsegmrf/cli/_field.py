"""What ``fit`` and ``fill`` have in common: options of field, noise and trend, and what files say of them."""

from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sparsegmrf.cli._models import chosen_model, names
from sparsegmrf.cli._rasters import Loaded, ReadingOne
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.inference import ModelComparison
from sparsegmrf.inference._ground import has_spacing
from sparsegmrf.inference._spacing import SpacingLike
from sparsegmrf.io._mask import read_alongside
from sparsegmrf.likelihoods import Binomial, Likelihood, Poisson
from sparsegmrf.models import Model
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True)
class FieldOptions:
    """Options that say what is fitted to an image."""

    model: Annotated[str, typer.Option(help=f"{names()}, or a .json file: the field that is fitted.")] = "matern"
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE: a parameter to start from, or a field of the model; repeatable."),
    ] = None
    boundary: Annotated[
        str | None,
        typer.Option(help="neumann, dirichlet or torus; or ROWS,COLUMNS: neumann,torus goes around the globe."),
    ] = None
    fixed: Annotated[list[str] | None, typer.Option(help="Parameter that is held where it is; repeatable.")] = None
    noise_variance: Annotated[
        str, typer.Option(help="Variance of the noise (unit squared), a file of variances, estimate, or none.")
    ] = "estimate"
    covariates: Annotated[Literal["constant", "linear", "none"], typer.Option(help="Trend.")] = "constant"
    likelihood: Annotated[
        Literal["gaussian", "poisson", "binomial"], typer.Option(help="What the image holds: intensities, or counts.")
    ] = "gaussian"
    exposure: Annotated[str | None, typer.Option(help="Exposure of Poisson counts: a number or a file.")] = None
    spacing: Annotated[
        str,
        typer.Option(
            help="HEIGHT,WIDTH of a pixel, in whose unit lengths are; none: pixels. Default: by the file's ground."
        ),
    ] = "coordinates"
    trials: Annotated[str | None, typer.Option(help="Trials of binomial counts: a number or a file.")] = None
    precision: Annotated[
        Literal["double", "single"], typer.Option(help="In which factors are kept: single takes half the memory.")
    ] = "double"

    def start(self) -> Model | Literal["best"]:
        """Return the model at the parameters to start from, or ``"best"``."""
        rule = () if self.boundary is None else (f"boundary={self.boundary}",)
        return chosen_model(self.model, (*(self.settings or ()), *rule))

    def arguments(self, image: Loaded) -> dict[str, Any]:
        """Return what `sparsegmrf.fit` and `sparsegmrf.fill` take alike."""
        known: object = self.noise_variance
        if known == "none":
            known = None
        elif known != "estimate":
            known = quantity("noise-variance", self.noise_variance, image, ", estimate, none")
        return {
            "mask": image.gaps,
            "noise_variance": known,
            "covariates": None if self.covariates == "none" else self.covariates,
            "fixed": self.fixed or (),
            "spacing": self.ground(image),
            "precision": self.precision,
        }

    def ground(self, image: Loaded) -> SpacingLike:
        """Return the size of the pixels: that of the file, or as given."""
        if self.spacing == "none":
            return None
        if self.spacing == "coordinates" and has_spacing(self.start()):
            return "coordinates"  # the model keeps its own
        if self.spacing == "coordinates":
            found: SpacingLike = getattr(image.raster, "spacing", "coordinates")
            return found
        try:
            height, width = (float(part) for part in self.spacing.split(","))
        except ValueError:
            raise ArgumentError(
                f"spacing must be HEIGHT,WIDTH such as 30,30, or none, or coordinates, got {self.spacing}."
            ) from None
        return height, width

    def counts(self, image: Loaded) -> Likelihood | None:
        """Return the likelihood of counts; None: the image holds intensities."""
        given = {"exposure": self.exposure, "trials": self.trials}
        own = {"gaussian": None, "poisson": "exposure", "binomial": "trials"}[self.likelihood]
        for name, text in given.items():
            if text is not None and name != own:
                raise ArgumentError(f"{name} must be left out with likelihood {self.likelihood}, got {text}.")
        if own is None:
            return None
        text = given[own]
        size = None if text is None else quantity(own, text, image)
        return Poisson(size) if self.likelihood == "poisson" else Binomial(size)

    def reading(self, given: ReadingOne) -> ReadingOne:
        """Return how the image is read: counts of pictures as they are stored, as all else is."""
        return replace(given, raw=True)

    @property
    def numbers(self) -> tuple[str | None, ...]:
        """What may name a file beside the image."""
        return self.noise_variance, self.exposure, self.trials


def quantity(name: str, text: str, image: Loaded, others: str = "") -> float | FloatArray:
    """Return a number, or the values of a file on the pixels of an image; messages name `others` that it may be."""
    try:
        return float(text)
    except ValueError:
        if not Path(text).is_file():
            raise FileError(
                f"{name} must be a number{others} or an existing image file, got {text}, which is none."
            ) from None
    return read_alongside(name, text, image.raster)


def files(*texts: str | None) -> list[str]:
    """Return those texts that name files, which no output may overwrite."""
    return [text for text in texts if text is not None and Path(text).is_file()]


def about(options: Any, comparison: ModelComparison | None, unit: str) -> dict[str, object]:
    """Return what a file says of how it was made, by the dataclass of a command's options."""
    return {
        "sparsegmrf": version("sparsegmrf"),
        "unit": unit,
        "options": {each.name: getattr(options, each.name) for each in fields(options)},
        "comparison": None if comparison is None else _compared(comparison),
    }


def _compared(comparison: ModelComparison) -> dict[str, object]:
    """Return the fields that were compared, and the mixture."""
    return {
        "chosen": comparison.chosen.name,
        "verdict": comparison.verdict,
        "mixture": asdict(comparison.scores),
        "held_out": {"blocks": comparison.blocks, "pixels": comparison.pixels},
        "candidates": {
            each.name: {
                "weight": each.weight,
                "loglik": each.loglik,
                **asdict(each.scores),
                "parameters": each.fit.parameters,
            }
            for each in comparison.candidates
        },
        "left_out": dict(comparison.left_out),
    }
