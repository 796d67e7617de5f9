"""Images of the covariates of a trend."""

import numpy as np

from sparsegmrf._validate import finite, one_of, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._observations import Observations
from sparsegmrf.typing import FloatArray, Shape

_ROUNDING = 1e-12
_NOTHING_TO_ESTIMATE = "hold every parameter by fixed= and give noise=, or use condition"


def covariate_images(covariates: object, shape: Shape) -> tuple[tuple[str, ...], FloatArray]:
    """Return the names of the covariates and their images ``(K, H, W)``."""
    height, width = shape
    if covariates is None:
        return (), np.zeros((0, height, width))
    if isinstance(covariates, str):
        one_of("covariates", covariates, ("constant", "linear"))
        rows, columns = np.mgrid[:height, :width].astype(float)
        images = [np.ones(shape), rows - (height - 1) / 2.0, columns - (width - 1) / 2.0]
        # An image one pixel high has no slope by rows.
        kept = [0] + [k for k in (1, 2) if covariates == "linear" and shape[k - 1] > 1]
        return tuple(("constant", "row", "column")[k] for k in kept), np.array([images[k] for k in kept])
    array = finite("covariates", real_array("covariates", covariates))
    if array.ndim != 3 or array.shape[1:] != shape:
        raise ArgumentError(
            f"covariates must have shape (K, {height}, {width}), got {array.shape}; put one covariate into a list."
        )
    return tuple(f"covariate {k}" for k in range(len(array))), array


def check_seen(columns: FloatArray, data: Observations) -> None:
    """Refuse covariates ``(K, H, W)`` that vanish on the observed pixels."""
    for k, column in enumerate(columns[:, data.observed]):
        if not column.any():
            raise ArgumentError(
                f"covariates must not vanish on the observed pixels, got zeros in the one at position {k}, whose "
                "coefficient nothing tells; leave it out."
            )


def check_varies(data: Observations) -> None:
    """Refuse an image without variation: nothing says how a field varies."""
    values = data.values[data.observed]
    if np.ptp(values) == 0.0:
        raise ArgumentError(
            f"image must vary over its observed pixels, got {len(values)} of them with the value {values[0]:g}; a "
            f"constant says nothing about the parameters of a field: {_NOTHING_TO_ESTIMATE}."
        )


def check_leaves_something(count: int, data: Observations, deviations: FloatArray) -> None:
    """Refuse an image that `count` covariates, and the null space, explain up to rounding.

    `deviations` are what these leave of it, ``(H, W)``.
    """
    values = data.values[data.observed]
    spread = max(float(np.ptp(values)), float(np.finfo(float).tiny))
    if float(np.abs(deviations[data.observed]).max()) <= _ROUNDING * spread:
        raise ArgumentError(
            "image must vary beyond its covariates, but these explain it up to rounding and leave nothing for the "
            f"field: {count} covariates, {data.count} observed pixels; {_NOTHING_TO_ESTIMATE}."
        )
