"""The second tab: a draw of a model, its correlation and its spectrum, with noise."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import Variogram, variogram
from sparsegmrf.models import CAR, SAR, Intrinsic, Matern, Model, TensionSpline
from sparsegmrf.plot import averaged_periodogram
from sparsegmrf.typing import FloatArray

SIDE = 96
"""Side in pixels of the image that is drawn."""
LONGEST = 40
"""Longest lag in pixels of the correlations."""
DIRECTIONS = {"columns": (0, 1), "rows": (1, 0)}
"""Steps of one pixel in the directions in which lags are counted, by what increases along them."""


@dataclass(frozen=True)
class Knob:
    """A parameter that is moved: where it starts, its ends, its step or steps by factors; or the values that it has."""

    name: str
    start: float
    low: float = 0.0
    high: float = 1.0
    step: float = 0.1
    by_factors: bool = False
    choices: tuple[float, ...] = ()


_ANISOTROPY = (Knob("ratio", 1.0, 1.0, 8.0), Knob("angle", 30.0, 0.0, 180.0, 5.0))
_TAU = Knob("tau", 1.0, 0.1, 10.0, by_factors=True)
_RHO = Knob("rho", 0.24, -0.249, 0.249, 0.001)
KNOBS: Mapping[str, tuple[Knob, ...]] = {
    "Matern": (
        Knob("range", 12.0, 2.0, 40.0, by_factors=True),
        Knob("sigma", 1.0, 0.1, 10.0, by_factors=True),
        Knob("nu", 1.0, choices=(0.5, 1.0, 1.5, 2.0, 3.0)),
        *_ANISOTROPY,
    ),
    "TensionSpline": (Knob("kappa", 0.2, 0.02, 1.0, by_factors=True), _TAU, *_ANISOTROPY),
    "CAR": (_RHO, _TAU),
    "SAR": (_RHO, _TAU),
    "Intrinsic": (_TAU,),
}
"""Models that are shown, and what of them is moved."""
NOISE = Knob("noise", 0.3, 0.0, 3.0)
_REMEMBERED = 100
"""Positions of the knobs whose models are kept."""
_CLASSES: Mapping[str, Callable[..., Model]] = {
    model.__name__: model for model in (Matern, TensionSpline, CAR, SAR, Intrinsic)
}


def model_of(name: str, values: Mapping[str, float]) -> Model:
    """Return a model by its name and the positions of its knobs.

    Parameters
    ----------
    name : str
        One of `KNOBS`.
    values : mapping
        Numbers by the names of the knobs; ``angle`` in degrees. A ratio of 1 is no anisotropy.

    Raises
    ------
    ArgumentError
        If the name is another one, or a knob is missing or too many.
    """
    one_of("name", name, tuple(KNOBS))
    wanted = {knob.name for knob in KNOBS[name]}
    if set(values) != wanted:
        raise ArgumentError(f"values must be {sorted(wanted)} for {name}, got {sorted(values)}; give each of them.")
    return _model(name, tuple(sorted(values.items())))


@lru_cache(maxsize=_REMEMBERED)
def _model(name: str, items: tuple[tuple[str, float], ...]) -> Model:
    """Return the same model for the same positions, by which its semivariances are found again."""
    arguments: dict[str, Any] = dict(items)
    ratio, angle = arguments.pop("ratio", 1.0), arguments.pop("angle", 0.0)
    if ratio > 1.0:
        arguments["anisotropy"] = (ratio, math.radians(angle))
    return _CLASSES[name](**arguments)


@lru_cache(maxsize=_REMEMBERED)
def _semivariances(model: Model) -> Mapping[str, FloatArray]:
    """Return those of a model by direction and lag, of which long ranges take seconds."""
    lags = np.arange(1, LONGEST + 1)[:, np.newaxis]
    found = np.asarray(model.variogram([lags * step for step in DIRECTIONS.values()]))
    return dict(zip(DIRECTIONS, found, strict=True))


@dataclass(frozen=True, eq=False)
class FieldView:
    """One draw of a model and its measurement with noise, by which correlation and spectrum of both are compared.

    Attributes
    ----------
    model : Model
        The model.
    noise : float
        Standard deviation of independent noise, in intensity.
    draw, measured : ndarray, (SIDE, SIDE)
        A draw, and the same with noise.
    """

    model: Model
    noise: float
    draw: FloatArray
    measured: FloatArray

    @classmethod
    def of(cls, model: Model, noise: float, seed: int) -> "FieldView":
        """Draw the field and its noise; another noise leaves the draw as it is."""
        of_field, of_noise = np.random.default_rng(seed).spawn(2)
        draw = model.gmrf((SIDE, SIDE)).sample(rng=of_field)
        return cls(model, noise, draw, draw + noise * of_noise.standard_normal(draw.shape))

    @cached_property
    def variance(self) -> float | None:
        """Variance of a pixel without borders, ``C(0) = g(h) / (1 - r(h))``; None of an intrinsic field."""
        if self.model.gmrf((SIDE, SIDE)).rank_deficiency:
            return None
        lags = [(0, 1), (1, 0)]
        semivariances = np.asarray(self.model.variogram(lags))
        return float(semivariances.sum() / (1.0 - np.asarray(self.model.correlation(lags))).sum())

    def along(self, direction: str) -> "Along":
        """Return what the measured image and the model say of two pixels, by their lag in a direction."""
        angle = math.atan2(*DIRECTIONS[direction])
        found = variogram(self.measured, max_lag=LONGEST, direction=angle, tolerance=1e-9)
        expected = _semivariances(self.model)[direction] + self.noise**2
        return Along(found, self._shown(found.semivariances), self._shown(expected))

    def _shown(self, semivariances: FloatArray) -> FloatArray:
        """Return correlations of what is measured, ``1 - g / (C(0) + noise^2)``, semivariances if there is none."""
        return semivariances if self.variance is None else 1.0 - semivariances / (self.variance + self.noise**2)

    def spectrum(self) -> FloatArray:
        """Return the spectral density ``(SIDE, SIDE)`` of what is measured, without borders, zero in the middle.

        Variance by frequency, in intensity^2: its mean is the variance of a pixel. Infinite at zero of an intrinsic
        field.
        """
        density = self.model.replace(boundary="torus").spectral_density((SIDE, SIDE))
        assert density is not None  # all models here are homogeneous: a torus makes them diagonal
        whole = slice(0, SIDE)
        return np.asarray(np.fft.fftshift(density.values((whole, whole))[0]) + self.noise**2)

    def periodogram(self) -> FloatArray:
        """Return what the measured image has by frequency, averaged over blocks, zero in the middle."""
        return averaged_periodogram(self.measured - self.measured.mean(), SIDE // 2)


@dataclass(frozen=True, eq=False)
class Along:
    """Correlations of an image and of a model by lag in one direction; semivariances if the model is intrinsic."""

    found: Variogram
    of_image: FloatArray
    of_model: FloatArray
