"""Observed channels of an image, with gaps and noise of their own."""

import numpy as np

from sparsegmrf._validate import finite, real_array, whole_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._observations import Observations
from sparsegmrf.typing import BoolArray, FloatArray


def channel_observations(
    y: object, mask: object, noise_variance: object, shape: tuple[int, ...], name: str = "y"
) -> Observations:
    """Return checked observations of images ``(H, W, C)``; messages call them `name`.

    A mask is ``(H, W)`` for all channels or ``(H, W, C)``; a noise variance one number, one per channel ``(C,)``, one
    per pixel ``(H, W)``, or one for each value.
    """
    values = real_array(name, y.data if isinstance(y, np.ma.MaskedArray) else y)
    if values.shape != shape:
        raise ArgumentError(f"{name} must have the shape {shape} of the field, channels last, got {values.shape}.")
    observed = ~_missing(values, mask)
    if isinstance(y, np.ma.MaskedArray):
        observed &= ~np.ma.getmaskarray(y)
    if not observed.any():
        raise ArgumentError(f"{name} must have an observed value, but all {observed.size} are missing; check the mask.")
    if not np.isfinite(values[observed]).all():
        i, j, c = (int(index) for index in np.argwhere(observed & ~np.isfinite(values))[0])
        raise ArgumentError(
            f"{name} must be finite where it is observed, got {values[i, j, c]} at pixel {(i, j)}, channel {c}; mask "
            'it by a boolean array that is True where values are missing, or by mask="nan".'
        )
    variance = np.where(observed, _spread(noise_variance, shape), 1.0)
    finite("noise_variance", variance, "mask what says nothing")
    if variance.min() < 0.0:
        raise ArgumentError(
            f"noise_variance must not be negative, got {float(variance.min())}; it is a variance, zero is exact."
        )
    exact = observed & (variance == 0.0)
    noisy = observed & ~exact
    with np.errstate(over="ignore"):
        weight = np.where(noisy, 1.0 / np.where(noisy, variance, 1.0), 0.0)
    finite("1 / noise_variance", weight, "use 0 for exact observations")
    return Observations(np.where(observed, values, 0.0), observed, weight, exact)


def _missing(values: FloatArray, mask: object) -> BoolArray:
    if mask is None:
        return np.zeros(values.shape, dtype=bool)
    if isinstance(mask, str):
        if mask != "nan":
            raise ArgumentError(f'mask must be None, "nan" or boolean, True where missing, got {mask!r}.')
        return np.isnan(values)
    given = whole_array("mask", mask)
    if given.dtype != np.bool_ or given.shape not in (values.shape[:2], values.shape):
        raise ArgumentError(
            f"mask must be boolean with the shape {values.shape[:2]} for all channels or {values.shape}, got dtype "
            f"{given.dtype} and shape {given.shape}."
        )
    return np.array(np.broadcast_to(given if given.ndim == 3 else given[..., np.newaxis], values.shape))


def _spread(noise_variance: object, shape: tuple[int, ...]) -> FloatArray:
    variance = real_array("noise_variance", noise_variance)
    if variance.shape not in ((), shape[2:], shape[:2], shape):
        raise ArgumentError(
            f"noise_variance must be one number, one per channel {shape[2:]}, one per pixel {shape[:2]}, or have the "
            f"shape {shape}, got {variance.shape}."
        )
    return np.broadcast_to(variance[..., np.newaxis] if variance.ndim == 2 else variance, shape)
