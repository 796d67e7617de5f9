"""Linear functionals of a field with its trend given the observations, by a solve each."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg

from sparsegmrf._axes import is_labelled
from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._covariances import whitened
from sparsegmrf.inference._labels import Labels, names_along
from sparsegmrf.inference._linear_estimate import LinearEstimate
from sparsegmrf.typing import BoolArray, FloatArray, Shape


class Given(NamedTuple):
    """An image given the observations.

    Attributes
    ----------
    field : GMRF or None
        Of which the covariance is taken; None: every pixel is known.
    combination : ndarray, (C,), or None
        Weights of the fields stacked at a pixel whose sum is the image.
    mean : ndarray, (H, W)
        Expectation of field and trend in intensity, less `level`.
    level : float
        What differences of pixels need not carry.
    spread : ndarray, (p, H, W)
        Images whose products ``sum_k S_k S_k^T`` are the trend's share of the covariance.
    """

    field: GMRF | None
    combination: FloatArray | None
    mean: FloatArray
    level: float
    spread: FloatArray

    def moments(self, weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return estimates ``(K,)``, and factors of the field's and of the trend's covariance, for ``(K, H, W)``.

        The covariance is ``A A^T + S S^T`` with ``A = L^-1 w`` for the factor ``P = L L^T`` of the precision: it is
        positive semi-definite whatever rounding does.
        """
        pixels = ([1, 2], [0, 1])
        estimates = np.tensordot(weights, self.mean, pixels) + self.level * weights.sum(axis=(1, 2))
        of_trend = np.tensordot(weights, self.spread, ([1, 2], [1, 2]))
        if self.field is None:
            return estimates, np.zeros((len(weights), 0)), of_trend
        a = self.combination
        return estimates, whitened(self.field, weights if a is None else weights[..., np.newaxis] * a), of_trend


class Weights(NamedTuple):
    """Names and weights ``(K, H, W)`` of functionals of each image, or ``(K, R, H, W)`` of all images together.

    With `is_single` no axis led.
    """

    names: tuple[str, ...]
    values: FloatArray
    is_single: bool

    @classmethod
    def read(cls, weights: Any, shape: Shape, count: int | None, labels: Labels | None) -> "Weights":
        """Return checked weights for an image, or for `count` images."""
        is_named = isinstance(weights, Mapping) or hasattr(weights, "data_vars")
        parts = [weights[name] for name in weights] if is_named else [weights]
        parts = [labels.in_order("weights", each) if labels and is_labelled(each) else each for each in parts]
        of_all = not is_named and bool(labels and is_labelled(parts[0]) and labels.has_images_of(parts[0]))
        names = tuple(str(name) for name in weights) if is_named else names_along(parts[0])
        plain = [np.asarray(each) if is_labelled(each) else each for each in parts]
        array = finite(
            "weights", real_array("weights", plain if is_named else plain[0]), "use 0 for pixels without a part"
        )
        if not is_named and array.shape == ((count, *shape) if of_all else shape):
            return cls(("functional",), array[np.newaxis], True)
        if not (array.ndim and len(array) and array.shape[1:] in (shape, (count, *shape))):
            one = f"({shape[0]}, {shape[1]})"
            together = "" if count is None else f", or (K, {count}, {one[1:]} of all images together"
            raise ArgumentError(f"weights must have shape {one} or (K, {one[1:]}{together}, got {array.shape}.")
        return cls(names or tuple(f"functional {k}" for k in range(len(array))), array, False)


def functionals(
    weights: Weights, given: Callable[[int], Given], count: int | None, unknown: BoolArray
) -> LinearEstimate:
    """Return the joint estimate of functionals; `given` makes an image given the observations when it is needed.

    `count` is the number of images, None for a single one, which has no axis of its own. Functionals that see a pixel
    of `unknown` trend are NaN.
    """
    names, W, is_single = weights
    if W.ndim == 4:  # of all images together
        seen = [k for k in range(W.shape[1]) if W[:, k].any()]
        parts = [given(k).moments(W[:, k]) for k in seen]
        estimate = sum((each for each, _, _ in parts), np.zeros(len(W)))
        covariance = sum((A @ A.T for _, A, _ in parts), np.zeros((len(W), len(W))))
        of_trend = sum((S for _, _, S in parts), np.zeros((len(W), 1)))
        lost = W[:, :, unknown].any(axis=(1, 2))
    else:
        parts = [given(k).moments(W) for k in range(count or 1)]
        estimate = np.concatenate([each for each, _, _ in parts])
        covariance = scipy.linalg.block_diag(*(A @ A.T for _, A, _ in parts))
        of_trend = np.concatenate([S for _, _, S in parts])
        lost = np.tile(W[:, unknown].any(axis=1), len(parts))
        if count is not None:
            names = tuple(f"{name}, image {k}" for k in range(count) for name in names)
    covariance = covariance + of_trend @ of_trend.T
    estimate[lost], covariance[lost], covariance[:, lost] = np.nan, np.nan, np.nan
    if W.ndim == 3 and count is not None:
        estimate = estimate if is_single else estimate.reshape(count, -1)
        return LinearEstimate(names=names, estimate=estimate, covariance=covariance)
    return LinearEstimate(names=names, estimate=float(estimate[0]) if is_single else estimate, covariance=covariance)
