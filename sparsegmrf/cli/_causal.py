"""What the commands of causal autoregressions have in common: options, a fit, innovations."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from sparsegmrf.autoregression import CausalAR, CausalARFit, OrderSelection, select_order
from sparsegmrf.cli._rasters import Loaded
from sparsegmrf.errors import ArgumentError
from sparsegmrf.io import read_model
from sparsegmrf.stencil import TriangularStencil
from sparsegmrf.typing import BoolArray, FloatArray


@dataclass(frozen=True)
class Autoregression:
    """Options that say which causal autoregression is fitted, and how."""

    support: Annotated[Literal["nshp", "qp"], typer.Option(help="Half plane (nshp) or quarter plane (qp).")] = "nshp"
    radius: Annotated[int, typer.Option(help="Reach of the half plane, pixels.")] = 2
    order: Annotated[tuple[int, int], typer.Option(help="Rows and columns the quarter plane reaches.")] = (1, 1)
    method: Annotated[Literal["least_squares", "yule_walker"], typer.Option(help="Estimator.")] = "least_squares"

    def fit(self, loaded: Loaded) -> CausalARFit:
        """Fit the support asked for."""
        return CausalAR.fit(loaded.pixels, self.support, self.order, self.radius, self.method, loaded.missing)


def causal_model(path: Path) -> CausalAR:
    """Return the causal autoregression of a file, or of a fit in one."""
    found = read_model(path)
    if not isinstance(found, CausalAR):
        raise ArgumentError(
            f"model must hold a CausalAR, got {path} with a {type(found).__name__}; see ar fit --model."
        )
    return found


@dataclass(frozen=True)
class Draw:
    """Options of a draw."""

    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0
    burn_in: Annotated[
        int, typer.Option(help="Pixels drawn before the image and thrown away, to forget the border.")
    ] = 64


@dataclass(frozen=True, eq=False)
class Innovations:
    """Innovations in standard deviations, NaN where a missing pixel is involved, and the log-density of the others."""

    image: FloatArray
    log_density: float

    @property
    def known(self) -> FloatArray:
        """Innovations that are known, flat."""
        return self.image[np.isfinite(self.image)]

    def summary(self) -> dict[str, str]:
        """Return what a table shows."""
        known = self.known
        return {
            "innovations": f"{known.size} of {self.image.size} pixels",
            "mean": f"{known.mean():.6g}",
            "variance (1 if white)": f"{known.var():.6g}",
            "log-density per pixel": f"{self.log_density / known.size:.6f} nats",
        }


@dataclass(frozen=True, eq=False)
class Outcome:
    """A fitted image; no draw if the recursion is not stable."""

    fit: CausalARFit
    image: FloatArray
    unit: str
    white: Innovations
    draw: FloatArray | None
    comparison: OrderSelection | None


def fit_model(
    loaded: Loaded, options: Autoregression, drawn: Draw, step: Callable[[str], None], *, compare: bool
) -> Outcome:
    """Fit, whiten and draw."""
    image, missing = loaded.pixels, loaded.missing
    step("fitting")
    comparison = select_order(image, mask=missing) if compare else None
    found = comparison.best if comparison is not None else options.fit(loaded)
    model = found.model
    step("whitening")
    white = innovations(model, image, missing)
    step("drawing a sample")
    shape = (image.shape[0], image.shape[1])
    draw = model.gmrf(shape).sample(rng=drawn.seed, burn_in=drawn.burn_in) if model.is_stable() else None
    shown = image if missing is None else np.where(missing, np.nan, image)
    return Outcome(found, shown, loaded.unit, white, draw, comparison)


def innovations(model: CausalAR, image: FloatArray, missing: BoolArray | None) -> Innovations:
    """Return ``A (x - mu)``, NaN wherever the equation touches a missing pixel."""
    shape = (image.shape[0], image.shape[1])
    field = model.gmrf(shape)
    white = field.whiten(image if missing is None else np.where(missing, model.mean, image))
    if missing is not None:
        ones = TriangularStencil(model.offsets, 1.0, np.ones(len(model.offsets)), shape)
        white[np.asarray(ones.tocsr() @ missing.ravel().astype(np.float64)).reshape(shape) > 0.0] = np.nan
    known = white[np.isfinite(white)]
    if not known.size:
        raise ArgumentError(
            "mask must leave a pixel whose whole neighbourhood is observed, got none; take fewer weights."
        )
    scale = np.log(2.0 * np.pi) + 2.0 * np.log(model.sigma)
    return Innovations(white, float(-0.5 * (known.size * scale + known @ known)))
