"""Anomaly and target maps of multi-channel images: Reed-Xiaoli, matched filter, adaptive coherence."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.linalg

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.pixels._background import background_of, background_of_chunks
from sparsegmrf.pixels._covariance import Shrinkage
from sparsegmrf.pixels._layout import Pixels, pixels
from sparsegmrf.pixels._lazy import Chunks, is_lazy
from sparsegmrf.pixels._maps import distance_map, projection_map
from sparsegmrf.pixels._windows import window_distance_map
from sparsegmrf.pixels.dense_gaussian import DenseGaussian
from sparsegmrf.pixels.gaussian import PixelGaussian
from sparsegmrf.pixels.spatial import TargetMaps, spatial_matched_filter
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray

_RX = ("rx_score", "Reed-Xiaoli score")
_TARGET = (
    ("amplitude", "amplitude of the target"),
    ("standard_error", "standard error of the amplitude of the target"),
    ("signal_to_noise", "signal-to-noise ratio of the target"),
)
_COHERENCE = (*_TARGET, ("score", "adaptive coherence estimate"))
"""What maps are called, and what they are."""


@dataclass(frozen=True, eq=False)
class CoherenceMaps(TargetMaps):
    """Maps of `ace`: those of a matched filter whose noise level is estimated at every pixel, and the score.

    Attributes
    ----------
    score : ndarray
        Squared cosine between pixel and target in whitened channels, from 0 to 1: ``t^2 / (t^2 + C - 1)`` with ``t``
        the signal-to-noise ratio.
    """

    score: FloatArray


def rx(
    image: object,
    *,
    window: tuple[int, int] | None = None,
    background: object = None,
    shrinkage: Shrinkage = 0.0,
    channel_axis: int | str | None = -1,
    mask: object = None,
) -> FloatArray:
    """Return the Reed-Xiaoli anomaly score: the squared Mahalanobis distance of every pixel from its background.

    ``(x_p - m)^T S^-1 (x_p - m)``, with ``S`` divided by ``n - 1``. With Gaussian channels and a background of many
    pixels it is chi-square with ``C`` degrees of freedom.

    Parameters
    ----------
    image : array_like, (H, W, C) or the channels elsewhere
        Intensities, finite.
    window : (int, int), optional
        Odd sides ``(inner, outer)`` in pixels of squares around each pixel: the background is the outer one less the
        inner one, both moved inwards at borders. None takes the same background for all pixels.
    background : PixelGaussian, DenseGaussian or image, optional
        Background for all pixels, or an image to estimate it from; by default the image itself.
    shrinkage : float or {"ledoit-wolf", "oas"}
        As for `PixelGaussian`; ``"ledoit-wolf"`` not with a window.
    channel_axis : int, str or None
        Axis of the channels, or its name; None for a grey image. By default the dimension of an xarray ``DataArray``
        that is called band, channel or wavelength, of an array the last axis.
    mask : ndarray of bool or "nan", optional
        True where pixels are left out; they get NaN.

    Returns
    -------
    ndarray or DataArray
        The input's shape with 1 in place of ``C``; without a channel axis the input's shape. A ``DataArray`` keeps
        dimensions and coordinates of its pixels and loses the dimension of channels. Of a dask array, or a
        ``DataArray`` on one, the background is estimated here, chunk by chunk, and the score is lazy, with the chunks
        of the image; with a window it is computed as a whole.

    Raises
    ------
    ArgumentError
        If the window is not two odd sides with ``inner < outer`` on the image.
    ImageLayoutError
        If the channel axis is not there or ambiguous.
    SingularCovarianceError
        If some combination of channels does not vary; names it, and with a window the pixel.

    References
    ----------
    Reed & Yu, Adaptive multiple-band CFAR detection of an optical pattern with unknown spectral distribution, IEEE
    Trans. ASSP 38 (1990), eq. 24 without its finite-sample factor.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(40, 50, 3))
    >>> image[10, 20] += 9.0
    >>> score = rx(image)
    >>> [int(index) for index in np.unravel_index(score.argmax(), score.shape)[:2]]
    [10, 20]
    """
    if window is None and is_lazy(image):
        chunks = Chunks.of(image, channel_axis, mask)
        law = background_of_chunks(chunks, background, shrinkage, channel_axis)
        (score,) = chunks.maps(partial(_rx_of_chunk, law), 1)
        return chunks.restored(score, *_RX)
    observed = pixels(image, channel_axis, mask)
    if window is not None:
        if background is not None:
            raise ArgumentError("background must be left out with a window, whose pixels are the background; drop one.")
        return observed.restored(window_distance_map(observed, window, shrinkage), *_RX)
    mean, factor = background_of(observed, background, shrinkage, channel_axis)
    return observed.restored(distance_map(observed, mean, factor), *_RX)


def matched_filter(
    image: object,
    target: ArrayLike,
    gmrf: GMRF | None = None,
    *,
    background: object = None,
    shrinkage: Shrinkage = 0.0,
    additive: bool = False,
    channel_axis: int | str | None = -1,
    mask: object = None,
) -> TargetMaps:
    """Return how much of a target each pixel holds, by generalized least squares against the background.

    Channels: ``x_p = m + a_p s + e``, ``e ~ N(0, S)``, gives ``a_p = s^T S^-1 (x_p - m) / (s^T S^-1 s)`` with standard
    error ``(s^T S^-1 s)^(-1/2)``. With a field, one channel and spatially correlated noise: the target is a small image
    ``t`` placed on every pixel ``p``, ``a_p = t_p^T Q (x - mu) / (t_p^T Q t_p)``; what falls off the image does not
    exist. Of missing pixels neither do their parts of the template, and ``Q`` is replaced by the precision of the
    observed pixels, ``Q_oo - Q_om Q_mm^-1 Q_mo``.

    Parameters
    ----------
    image : array_like, (H, W, C) or the channels elsewhere; (H, W) with a field
        Intensities, finite.
    target : array_like, (C,); (h, w) with a field
        Channels of a pixel filled by the target, ``s = target - m``; or the template, whose pixel ``(h//2, w//2)`` is
        put on ``p``.
    gmrf : GMRF, optional
        Field of the image without targets.
    background, shrinkage, channel_axis
        As for `rx`; not with a field.
    mask : ndarray of bool or "nan", optional
        True where pixels are missing; of a numpy masked array its own mask counts too. A template of which a pixel is
        observed has an amplitude also where its centre is missing; one of which none is has NaN and an infinite
        standard error. Time and memory grow with the largest connected gap: one solve per pixel of its rim.
    additive : bool
        Whether the target adds to the background, ``s = target``, instead of replacing it.

    Returns
    -------
    TargetMaps
        Amplitude (1 where the pixel is the target), standard error, and their ratio; shapes as for `rx`, labelled and
        lazy as there, but arrays with a field.

    Raises
    ------
    ArgumentError
        If the target has another shape, or is the background's mean.
    SingularCovarianceError
        As for `rx`.

    References
    ----------
    Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), theorem 4.2.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(40, 50, 3))
    >>> image[10, 20] = [6.0, 0.0, -6.0]
    >>> maps = matched_filter(image, [6.0, 0.0, -6.0])
    >>> round(float(maps.amplitude[10, 20, 0]), 6)
    1.0
    """
    if gmrf is not None:
        if background is not None or shrinkage != 0.0 or additive:
            raise ArgumentError(
                "background, shrinkage and additive must be left out with a field, which says it all; drop them."
            )
        return spatial_matched_filter(image, target, gmrf, mask)
    if is_lazy(image):
        chunks = Chunks.of(image, channel_axis, mask)
        law = background_of_chunks(chunks, background, shrinkage, channel_axis)
        maps = chunks.maps(partial(_filtered_chunk, law, target, additive), len(_TARGET))
        return TargetMaps(*(chunks.restored(plane, *told) for plane, told in zip(maps, _TARGET, strict=True)))
    observed, mean, factor, white = _whitened_target(image, target, background, shrinkage, additive, channel_axis, mask)
    norm = float(np.linalg.norm(white))
    _, ratio = projection_map(observed, mean, factor, white / norm)
    error = np.full(ratio.shape, 1.0 / norm)
    maps = [ratio / norm, error, ratio]
    return TargetMaps(*(observed.restored(plane, *told) for plane, told in zip(maps, _TARGET, strict=True)))


def ace(
    image: object,
    target: ArrayLike,
    *,
    background: object = None,
    shrinkage: Shrinkage = 0.0,
    additive: bool = False,
    channel_axis: int | str | None = -1,
    mask: object = None,
) -> CoherenceMaps:
    """Return the adaptive coherence estimate: a matched filter whose noise level is estimated at every pixel.

    With ``e ~ N(0, v_p S)`` and ``v_p`` unknown the amplitude is that of `matched_filter`, its standard error
    ``(v_p / s^T S^-1 s)^(1/2)`` with ``v_p = (d_p^2 - a_p^2 s^T S^-1 s) / (C - 1)``, and their ratio is Student's ``t``
    with ``C - 1`` degrees of freedom where there is no target. The score is the squared cosine
    ``(s^T S^-1 (x - m))^2 / ((s^T S^-1 s) d_p^2)``.

    Parameters
    ----------
    image, target, background, shrinkage, additive, channel_axis, mask
        As for `matched_filter`; at least two channels.

    Returns
    -------
    CoherenceMaps
        Amplitude, standard error, signal-to-noise ratio and score; shapes and kinds as for `rx`. A pixel that is
        exactly the mean has no direction: its ratio and score are NaN.

    Raises
    ------
    ArgumentError
        As for `matched_filter`, or if there is one channel only.

    References
    ----------
    Kraut, Scharf & Butler, The adaptive coherence estimator: a uniformly most-powerful-invariant adaptive detection
    statistic, IEEE Trans. SP 53 (2005).

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(40, 50, 3))
    >>> image[10, 20] = [60.0, 0.0, -60.0]
    >>> bool(ace(image, [6.0, 0.0, -6.0]).score[10, 20, 0] > 0.98)
    True
    """
    if is_lazy(image):
        chunks = Chunks.of(image, channel_axis, mask)
        law = background_of_chunks(chunks, background, shrinkage, channel_axis)
        maps = chunks.maps(partial(_coherence_of_chunk, law, target, additive), len(_COHERENCE))
        return CoherenceMaps(*(chunks.restored(plane, *told) for plane, told in zip(maps, _COHERENCE, strict=True)))
    observed, mean, factor, white = _whitened_target(image, target, background, shrinkage, additive, channel_axis, mask)
    if observed.channels < 2:
        raise ArgumentError("image must have at least 2 channels to tell noise level from amplitude, got 1.")
    norm = float(np.linalg.norm(white))
    distance, along = projection_map(observed, mean, factor, white / norm)
    # Rounding may leave less than nothing where the pixel lies along the target.
    level = np.sqrt(np.maximum(distance - along * along, 0.0) / (observed.channels - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, score = along / level, along * along / distance
    maps = [along / norm, level / norm, ratio, score]
    return CoherenceMaps(*(observed.restored(plane, *told) for plane, told in zip(maps, _COHERENCE, strict=True)))


def _rx_of_chunk(law: PixelGaussian | DenseGaussian, tile: FloatArray, mask: BoolArray) -> list[FloatArray]:
    return [rx(tile, background=law, channel_axis=tile.ndim - 1, mask=mask)[..., 0]]


def _filtered_chunk(
    law: PixelGaussian | DenseGaussian, target: ArrayLike, additive: bool, tile: FloatArray, mask: BoolArray
) -> list[FloatArray]:
    found = matched_filter(tile, target, background=law, additive=additive, channel_axis=tile.ndim - 1, mask=mask)
    return [plane[..., 0] for plane in (found.amplitude, found.standard_error, found.signal_to_noise)]


def _coherence_of_chunk(
    law: PixelGaussian | DenseGaussian, target: ArrayLike, additive: bool, tile: FloatArray, mask: BoolArray
) -> list[FloatArray]:
    found = ace(tile, target, background=law, additive=additive, channel_axis=tile.ndim - 1, mask=mask)
    maps = (found.amplitude, found.standard_error, found.signal_to_noise, found.score)
    return [plane[..., 0] for plane in maps]


def _whitened_target(
    image: object,
    target: ArrayLike,
    background: object,
    shrinkage: Shrinkage,
    additive: bool,
    channel_axis: int | str | None,
    mask: object,
) -> tuple[Pixels, FloatArray, FloatArray, FloatArray]:
    """Return the image, mean and factor of the background, and ``L^-1 s``."""
    observed = pixels(image, channel_axis, mask)
    wanted = finite("target", real_array("target", target))
    if wanted.shape != (observed.channels,):
        raise ArgumentError(f"target must have shape ({observed.channels},), one per channel, got {wanted.shape}.")
    mean, factor = background_of(observed, background, shrinkage, channel_axis)
    white = scipy.linalg.solve_triangular(factor, wanted if additive else wanted - mean, lower=True)
    if not white.any():
        raise ArgumentError("target must differ from the background's mean (from zero if additive), got no difference.")
    return observed, mean, factor, white
