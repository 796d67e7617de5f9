"""Images of the covariates of a trend."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf._validate import finite, one_of, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._observations import Observations
from sparsegmrf.typing import BoolArray, FloatArray, Shape

_ROUNDING = 1e-12
_NOTHING_TO_ESTIMATE = "hold every parameter by fixed= and give noise_variance=, or use condition"


@dataclass(frozen=True, eq=False)
class Covariates:
    """Names of covariates, and their images ``(K, H, W)``."""

    names: tuple[str, ...]
    images: FloatArray

    @classmethod
    def of(cls, covariates: object, shape: Shape) -> "Covariates":
        """Return the covariates that an argument stands for."""
        height, width = shape
        if covariates is None:
            return cls((), np.zeros((0, height, width)))
        if isinstance(covariates, str):
            one_of("covariates", covariates, ("constant", "linear"))
            rows, columns = np.mgrid[:height, :width].astype(float)
            images = [np.ones(shape), rows - (height - 1) / 2.0, columns - (width - 1) / 2.0]
            # An image one pixel high has no slope by rows.
            kept = [0] + [k for k in (1, 2) if covariates == "linear" and shape[k - 1] > 1]
            return cls(tuple(("constant", "row", "column")[k] for k in kept), np.array([images[k] for k in kept]))
        array = finite("covariates", np.array(real_array("covariates", covariates), order="C"))
        if array.ndim != 3 or array.shape[1:] != shape:
            raise ArgumentError(
                f"covariates must have shape (K, {height}, {width}), got {array.shape}; put one covariate into a list."
            )
        return cls(tuple(f"covariate {k}" for k in range(len(array))), array)


def check_seen(columns: FloatArray, observed: BoolArray) -> None:
    """Refuse covariates ``(K, H, W)`` that vanish on the observed pixels."""
    for k, column in enumerate(columns[:, observed]):
        if not column.any():
            raise ArgumentError(
                f"covariates must not vanish on the observed pixels, got zeros in the one at position {k}, whose "
                "coefficient nothing tells; leave it out."
            )


def check_varies(images: Sequence[Observations]) -> None:
    """Refuse images without variation: nothing says how a field varies."""
    values = np.concatenate([each.values[each.observed] for each in images])
    if np.ptp(values) == 0.0:
        raise ArgumentError(
            f"image must vary over its observed pixels, got {len(values)} of them with the value {values[0]:g}; a "
            f"constant says nothing about the parameters of a field: {_NOTHING_TO_ESTIMATE}."
        )


def check_leaves_something(count: int, images: Sequence[Observations], deviations: Sequence[Observations]) -> None:
    """Refuse images that `count` covariates, and the null space, explain up to rounding.

    `deviations` are what these leave of them.
    """
    values = np.concatenate([each.values[each.observed] for each in images])
    left = max(float(np.abs(each.values[each.observed]).max()) for each in deviations)
    spread = max(float(np.ptp(values)), float(np.finfo(float).tiny))
    if left <= _ROUNDING * spread:
        raise ArgumentError(
            "image must vary beyond its covariates, but these explain it up to rounding and leave nothing for the "
            f"field: {count} covariates, {len(values)} observed pixels; {_NOTHING_TO_ESTIMATE}."
        )
