"""Results in the order and under the labels of the stack, whatever has computed them."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf.stacks._labels import StackLabels
from sparsegmrf.stacks._read import Stack
from sparsegmrf.stacks._result import StackAt, StackResult
from sparsegmrf.typing import BoolArray, FloatArray


class Images(NamedTuple):
    """What is said of the images given, in their order, and then of the dates asked for, in intensity.

    Attributes
    ----------
    mean, variance : ndarray, (T + A, H, W)
    noise_variance : ndarray, (T + A, H, W) or what is broadcast to it
    draws : ndarray, (k, T + A, H, W)
    """

    mean: FloatArray
    variance: FloatArray
    noise_variance: FloatArray
    draws: FloatArray


def result_of(
    stack: Stack, images: Images, fit: Any, at: Any, bad: BoolArray, bounds: tuple[float, float], seam: float
) -> StackResult:
    """Return the result of a stack; `bad` are observations that do not count, `bounds` clip means and draws."""
    T, labels = len(stack.days), stack.labels
    clipped = images
    if bounds != (-np.inf, np.inf):
        clipped = images._replace(mean=np.clip(images.mean, *bounds), draws=np.clip(images.draws, *bounds))
    first = Images(clipped.mean[:T], clipped.variance[:T], clipped.noise_variance[:T], clipped.draws[:, :T])
    rest = Images(clipped.mean[T:], clipped.variance[T:], clipped.noise_variance[T:], clipped.draws[:, T:])
    observed = ~(np.isnan(stack.values) | bad)
    filled = stack.values.copy()
    np.copyto(filled, first.mean, where=~observed)
    asked = None
    if at is not None:
        dates = stack.calendar.dates(at, "at")
        asked = StackAt(dates, *_labelled(rest, None if labels is None else labels.at(dates)))
    mean, std, predictive, draws = _labelled(first, labels)
    return StackResult(
        mean,
        std,
        predictive,
        filled if labels is None else labels.values(filled),
        draws,
        bad if labels is None else labels.mask(bad, "outliers"),
        observed if labels is None else labels.mask(observed, "observed"),
        fit if labels is None else replace(fit, _like=labels.stack[0].copy()),
        asked,
        seam,
        stack.dates,
    )


def _labelled(images: Images, labels: StackLabels | None) -> tuple[Any, Any, Any, Any]:
    """Return mean, both deviations and draws."""
    std, predictive = np.sqrt(images.variance), np.sqrt(images.variance + images.noise_variance)
    if labels is None:
        return images.mean, std, predictive, images.draws
    return (
        labels.values(images.mean),
        labels.deviation(std, "std", "standard deviation"),
        labels.deviation(predictive, "predictive_std", "standard deviation of a new measurement"),
        labels.draws(images.draws),
    )
