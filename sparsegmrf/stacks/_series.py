"""Models of whole series that are no product of space and time: functions that fill plain arrays."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._images import Images
from sparsegmrf.stacks._modes import ModesFill, fill_modes
from sparsegmrf.stacks._read import Stack
from sparsegmrf.stacks._series_fit import SeriesFit
from sparsegmrf.typing import FloatArray


class FilledSeries(Protocol):
    """What a model of a series returns: images of the dates given, in their order, and then of those asked for.

    Attributes
    ----------
    mean, variance, noise_variance : ndarray, (T + A, H, W)
        Of the surface, and of the noise of a measurement, in intensity and its square.
    samples : ndarray, (k, T + A, H, W)
        Draws of the surface.
    parameters : mapping or named tuple
        Estimates.
    """

    @property
    def mean(self) -> FloatArray: ...

    @property
    def variance(self) -> FloatArray: ...

    @property
    def noise_variance(self) -> FloatArray: ...

    @property
    def samples(self) -> FloatArray: ...

    @property
    def parameters(self) -> Any: ...


class SeriesModel(Protocol):
    """A function that fills a series: values ``(T, H, W)`` with NaN where missing, days ``(T,)``, days asked for."""

    def __call__(
        self, values: FloatArray, days: FloatArray, at: FloatArray, *, n_samples: int, rng: np.random.Generator
    ) -> FilledSeries: ...


MODES = "modes"
_LONG, _SEEN = 60, 0.2
"""Images with a share of their pixels seen from which on modes are learnt unless something else is asked for."""


def is_long(stack: Stack) -> bool:
    """Return whether a stack has images enough to learn modes from."""
    return images_seen(stack) >= _LONG


def images_seen(stack: Stack) -> int:
    """Return the number of images of which a share of the pixels is seen."""
    return int((np.isfinite(stack.values).mean(axis=(1, 2)) >= _SEEN).sum())


def series_model(model: Any) -> SeriesModel | None:
    """Return the function that a model of a series is; None of a model of a field.

    Raises
    ------
    ArgumentError
        If it is a name of none.
    """
    if isinstance(model, str):
        if model == MODES:
            return fill_modes
        raise ArgumentError(
            f'model must be a Model such as Matern(), "{MODES}", "best", or a function that fills a series, got '
            f"{model!r}."
        )
    if callable(model) and not isinstance(model, type) and not hasattr(model, "parameters"):
        own: SeriesModel = model
        return own
    return None


def fill_series(
    own: SeriesModel, stack: Stack, at: FloatArray, count: int, rng: np.random.Generator
) -> tuple[Images, SeriesFit]:
    """Return what a model of a series says of a stack.

    Raises
    ------
    ArgumentError
        If its images have another shape.
    """
    values = stack.values if own is fill_modes else stack.values.copy()  # a function of the user's may write into it
    found = own(values, stack.days.copy(), at.copy(), n_samples=count, rng=rng)
    shape = (len(stack.days) + len(at), *stack.shape)
    given = {"mean": found.mean, "variance": found.variance, "noise_variance": found.noise_variance}
    wrong = {name: np.shape(each) for name, each in given.items() if np.shape(each) != shape}
    if np.shape(found.samples) != (count, *shape):
        wrong["samples"] = np.shape(found.samples)
    if wrong:
        name, got = next(iter(wrong.items()))
        raise ArgumentError(
            f"model must return {name} for {shape[0]} dates of {shape[1]} x {shape[2]} pixels, got shape {got}."
        )
    parameters = found.parameters
    named = dict(parameters) if isinstance(parameters, Mapping) else parameters._asdict()
    called = getattr(own, "__name__", type(own).__name__)
    learnt = found.learnt if isinstance(found, ModesFill) else None
    fit = SeriesFit(named, int(np.count_nonzero(~np.isnan(stack.values))), called, stack.days, learnt)
    copy = None if own is fill_modes else True  # a function of the user's may keep what it returns
    return Images(*(np.array(each, dtype=np.float64, copy=copy) for each in (*given.values(), found.samples))), fit
