"""Targets and regressors in one-channel images with correlated noise, by generalized least squares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from sparsegmrf._observed import observe
from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError, SingularCovarianceError
from sparsegmrf.factors.missing import MissingFactor
from sparsegmrf.gmrf import GMRF
from sparsegmrf.pixels._gaps import gap_sums
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray


@dataclass(frozen=True, eq=False)
class TargetMaps:
    """Amplitude of a target at every pixel.

    Attributes
    ----------
    amplitude : ndarray
        In units of the target; NaN where nothing of it is observed.
    standard_error : ndarray
        Its standard deviation, in the same units; infinite where nothing of the target is observed.
    signal_to_noise : ndarray
        Their ratio, standard normal where there is no target.
    """

    amplitude: FloatArray
    standard_error: FloatArray
    signal_to_noise: FloatArray


@dataclass(frozen=True, eq=False)
class WhitenedResiduals:
    """Result of `whitened_residuals`.

    Attributes
    ----------
    coefficients, standard_errors : ndarray, (K,)
        Of the regressors.
    covariance : ndarray, (K, K)
        Of the coefficients, ``(X^T Q X)^-1``.
    residual : ndarray, (H, W)
        ``x - mu - X b`` in intensity.
    whitened : ndarray, (H, W)
        ``A (x - mu - X b)``, white with unit variance if the model holds.
    """

    coefficients: FloatArray
    standard_errors: FloatArray
    covariance: FloatArray
    residual: FloatArray
    whitened: FloatArray


def whitened_residuals(image: ArrayLike, gmrf: GMRF, regressors: Sequence[ArrayLike] = ()) -> WhitenedResiduals:
    """Take regressors out of an image by generalized least squares and whiten what is left.

    ``b = (X^T Q X)^-1 X^T Q (x - mu)``, solved as least squares of ``A (x - mu)`` on ``A X``.

    Parameters
    ----------
    image : array_like, (H, W)
        Intensities, finite.
    gmrf : GMRF
        Field of the noise, one channel.
    regressors : sequence of array_like, (H, W)
        Templates, covariates or trends; none leaves ``A (x - mu)``.

    Returns
    -------
    WhitenedResiduals

    Raises
    ------
    ArgumentError
        If a shape differs from the field's, or a value is NaN or infinite.
    SingularCovarianceError
        If the regressors are linearly dependent.

    Examples
    --------
    >>> Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (30, 30))
    >>> field, ramp = GMRF.from_precision(Q), np.mgrid[:30, :30][1] / 30.0
    >>> result = whitened_residuals(field.sample(rng=0) + 5.0 * ramp, field, [ramp])
    >>> bool(abs(result.coefficients[0] - 5.0) < 4.0 * result.standard_errors[0])
    True
    """
    _one_channel(gmrf)
    residual = _image("image", image, gmrf) - gmrf.mean
    columns = [_image(f"regressors[{k}]", column, gmrf) for k, column in enumerate(regressors)]
    white = gmrf.factor.whiten(residual)
    if not columns:
        empty = np.empty(0)
        return WhitenedResiduals(empty, empty, np.empty((0, 0)), residual, white)
    flat = gmrf.factor.whiten(np.stack(columns)).reshape(len(columns), -1)
    left, values, right = scipy.linalg.svd(flat.T, full_matrices=False)
    if values[-1] <= 1e-12 * values[0]:
        raise SingularCovarianceError(
            f"the regressors are linearly dependent: coefficients {right[-1].round(4).tolist()} cancel; leave one out.",
            right[-1],
            float(values[-1] / values[0]) if values[0] > 0.0 else 0.0,
        )
    coefficients = right.T @ ((left.T @ white.reshape(-1)) / values)
    root = right.T / values
    covariance = root @ root.T
    fitted = np.tensordot(coefficients, np.stack(columns), 1)
    remaining = white - (coefficients @ flat).reshape(white.shape)
    return WhitenedResiduals(coefficients, np.sqrt(np.diagonal(covariance)), covariance, residual - fitted, remaining)


def spatial_matched_filter(image: object, template: ArrayLike, gmrf: GMRF, mask: object = None) -> TargetMaps:
    """Return the amplitude of a template at every pixel of an image with the noise of a field.

    With ``t_p`` the template on pixel ``p``, cut at the border: ``t_p^T Q r = sum_a t_a (Q r)[p + a]`` and, over the
    offsets of the stencil, ``t_p^T Q t_p = sum_k sum_a t_a t_{a + o_k} Q[p + a, p + a + o_k]``: correlations with fixed
    patterns. With missing pixels ``r`` is filled with conditional means, and ``Q`` becomes ``S_oo^-1``, which differs
    where the template reaches the neighbourhood of a missing pixel.
    """
    _one_channel(gmrf)
    observed = observe(image, mask)
    if observed.shape != gmrf.shape:
        raise ArgumentError(f"image must have the field's shape {gmrf.shape}, got {observed.shape}.")
    values, missing = observed.block(0, gmrf.shape[0], 0.0)
    if missing.size:
        _check_gaps(gmrf, missing)
    t = finite("target", real_array("target", template))
    if t.ndim != 2 or not t.any() or t.shape[0] > gmrf.shape[0] or t.shape[1] > gmrf.shape[1]:
        raise ArgumentError(
            f"target must be a template (h, w) that is not zero and fits on the image {gmrf.shape}, got {t.shape}."
        )
    Q = gmrf.precision
    if Q.is_wrapped:
        raise ArgumentError("gmrf must not wrap, as its templates would wrap around; take another boundary.")
    norm = _norms(Q, t)
    off = norm <= 1e-12 * norm.max()
    if off.any():
        where = tuple(int(index) for index in np.argwhere(off)[0])
        raise ArgumentError(f"target must not vanish where it lies on the image, got nothing of it at pixel {where}.")
    residual = values - gmrf.mean
    if not missing.size:
        along = _correlated(Q @ residual, t)
    else:
        factor = MissingFactor(Q, missing)
        score = np.where(missing, 0.0, Q @ factor.filled(residual))
        along, near = _correlated(score, t), gap_sums(Q, factor, score, t)
        along[near.at], norm[near.at] = near.along, near.norm
    with np.errstate(divide="ignore", invalid="ignore"):
        error = 1.0 / np.sqrt(norm)
        amplitude = np.where(norm > 0.0, along / norm, np.nan)
    return TargetMaps(amplitude, error, amplitude / error)


def _check_gaps(gmrf: GMRF, missing: BoolArray) -> None:
    """Refuse what leaves nothing, and a field whose precision does not say all."""
    if missing.all():
        raise ArgumentError(f"mask must leave a pixel observed, but all {missing.size} are missing.")
    if not gmrf.lattice.is_complete or gmrf.rank + gmrf.rank_deficiency < gmrf.lattice.n_free:
        raise ArgumentError(
            "gmrf must be a field without known pixels or constraints where image has missing pixels, and have a value "
            "at each of them; start from the field that was conditioned, or take a proper field, such as "
            "Matern(barrier=...), for one with a mask."
        )


def _norms(Q: SymmetricStencil, t: FloatArray) -> FloatArray:
    """Return ``t_p^T Q t_p`` for every pixel."""
    height, width = t.shape
    total = np.zeros(Q.shape)
    for k, (di, dj) in enumerate(Q.offsets.tolist()):
        if di >= height or abs(dj) >= width:
            continue
        products = np.zeros(t.shape)  # t_a t_{a + o_k}
        low, high = max(0, -dj), min(width, width - dj)
        products[: height - di, low:high] = t[: height - di, low:high] * t[di:, low + dj : high + dj]
        total += (1.0 if (di, dj) == (0, 0) else 2.0) * _correlated(Q.plane(k), products)
    return total


def _correlated(plane: FloatArray, t: FloatArray) -> FloatArray:
    """Return ``sum_a t_a plane[p + a]`` with ``a`` counted from the template's centre ``(h//2, w//2)``."""
    from scipy.signal import correlate  # importing scipy.signal takes long

    full = correlate(plane, t, mode="full", method="auto")
    top, left = (side - 1 - side // 2 for side in t.shape)
    return np.ascontiguousarray(full[top : top + plane.shape[0], left : left + plane.shape[1]])


def _one_channel(gmrf: GMRF) -> None:
    if not isinstance(gmrf, GMRF) or gmrf.channels != 1:
        raise ArgumentError("gmrf must be a GMRF with one channel; for several channels pass background.")


def _image(name: str, value: ArrayLike, gmrf: GMRF) -> FloatArray:
    array = finite(name, real_array(name, value), "condition the field on the observed pixels first")
    if array.shape != gmrf.shape:
        raise ArgumentError(f"{name} must have the field's shape {gmrf.shape}, got {array.shape}.")
    return array
