"""From moments to a covariance that has a Cholesky factor: shrinkage, and what is wrong where there is none."""

from typing import Literal

import numpy as np
import scipy.linalg

from sparsegmrf._validate import finite_number
from sparsegmrf.errors import ArgumentError, SingularCovarianceError
from sparsegmrf.pixels._moments import LEAST_SQUARE, Moments
from sparsegmrf.typing import FloatArray

Shrinkage = float | Literal["ledoit-wolf", "oas"]

SINGULAR = 1e-13
_NAMED = 6


def checked_shrinkage(value: object) -> Shrinkage:
    """Return a number in [0, 1] or the name of a rule."""
    if value == "ledoit-wolf":
        return "ledoit-wolf"
    if value == "oas":
        return "oas"
    if isinstance(value, str):
        raise ArgumentError(f"shrinkage must be a number in [0, 1], 'ledoit-wolf' or 'oas', got {value!r}.")
    number = finite_number("shrinkage", value)
    if not 0.0 <= number <= 1.0:
        raise ArgumentError(f"shrinkage must lie in [0, 1], got {number}; 0 keeps the covariance as it is.")
    return number


def covariance_of(moments: Moments, shrinkage: Shrinkage, ddof: float) -> tuple[FloatArray, float]:
    """Return ``(1 - a) S + a (tr S / C) I`` and ``a``, with ``S = scatter / (weight - ddof)``."""
    freedom = moments.weight - ddof
    if freedom <= 0.0:
        raise ArgumentError(
            f"image must have more than ddof = {ddof:g} pixels, got n_samples = {moments.weight:g}; take a larger "
            "image or ddof=0."
        )
    S = moments.scatter / freedom
    if not np.isfinite(S).all():
        raise ArgumentError(
            "image values must have squares that double precision can sum; divide the image by its largest "
            "absolute value."
        )
    amount = _amount(moments, shrinkage)
    return (1.0 - amount) * S + amount * (np.trace(S) / len(S)) * np.eye(len(S)) if amount else S, amount


def cholesky_of(covariance: FloatArray, remedy: str, pixel: tuple[int, int] | None = None) -> FloatArray:
    """Return lower triangular ``L`` with ``S = L L^T``; a direction without variance is refused and named."""
    deviations = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    constant = np.flatnonzero(deviations == 0.0)
    if len(constant):
        direction = np.zeros(len(covariance))
        direction[constant[0]] = 1.0
        raise _singular(direction, 0.0, remedy, pixel)
    correlation = covariance / np.outer(deviations, deviations)
    values, vectors = np.linalg.eigh(correlation)
    if values[0] <= SINGULAR * len(values) * values[-1]:
        raise _singular(vectors[:, 0], max(float(values[0] / values[-1]), 0.0), remedy, pixel)
    # The factor of the correlation, scaled: channels in very different units lose no digits.
    return np.ascontiguousarray(deviations[:, np.newaxis] * scipy.linalg.cholesky(correlation, lower=True))


def remedy_of(count: float, channels: int, otherwise: str, few: str = "pass shrinkage, or take a larger image") -> str:
    """Return what to do about a singular covariance: of no more pixels than channels, leaving some out is no remedy."""
    if count > channels:
        return otherwise
    return f"n_samples = {count:g} pixels are too few for {channels} channels: {few}"


def _amount(moments: Moments, shrinkage: Shrinkage) -> float:
    """Return how much to shrink by the rule, from the maximum-likelihood covariance."""
    if not isinstance(shrinkage, str):
        return shrinkage
    n, S = moments.weight, moments.scatter / moments.weight
    # In units in which the trace is 1: squares of S, fourth powers of intensities, would overflow or vanish before S.
    channels, total = len(S), float(np.trace(S))
    S = S / total if total > 0.0 else S
    trace, square = float(np.trace(S)), float((S * S).sum())
    spread = square - trace**2 / channels
    if spread <= 0.0:
        return 1.0
    if shrinkage == "ledoit-wolf":  # Ledoit & Wolf 2004, eq. 14: squared error of S over its distance from the target
        if not LEAST_SQUARE <= moments.fourth / n < np.inf:
            raise ArgumentError(
                "image values must have fourth powers that double precision can sum, for shrinkage='ledoit-wolf', "
                f"got {moments.fourth / n:.3g} in the mean; divide the image by its standard deviation, or take 'oas'."
            )
        return min(max(moments.fourth / n / total / total - square, 0.0) / n / spread, 1.0)
    # Chen, Wiesel, Eldar & Hero 2010, eq. 23, with the 1/C corrections left out as scikit-learn does.
    mean_square = square / channels**2
    target = (trace / channels) ** 2
    return min((mean_square + target) / ((n + 1.0) * (mean_square - target / channels)), 1.0)


def _singular(
    direction: FloatArray, ratio: float, remedy: str, pixel: tuple[int, int] | None
) -> SingularCovarianceError:
    order = np.argsort(-np.abs(direction).round(9), kind="stable")
    direction = direction * (1.0 if direction[order[0]] > 0.0 else -1.0)
    named = [k for k in order[:_NAMED] if abs(direction[k]) > 1e-6]
    terms = " ".join(f"{direction[k]:+.4g} channel {k}" for k in named).removeprefix("+")
    more = " ..." if np.count_nonzero(np.abs(direction) > 1e-6) > len(named) else ""
    where = "" if pixel is None else f" around pixel {pixel}"
    return SingularCovarianceError(
        f"the covariance of the channels{where} is singular: {terms}{more} (each in its standard deviations) has "
        f"{ratio:.1e} of the largest variance; {remedy}.",
        direction,
        ratio,
        pixel,
    )
