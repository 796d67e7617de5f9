"""The Gaussian against which pixels are anomalous: given, fitted to another image, or to the image itself."""

from sparsegmrf.errors import ArgumentError, ImageLayoutError
from sparsegmrf.pixels._covariance import Shrinkage, checked_shrinkage, cholesky_of, covariance_of, remedy_of
from sparsegmrf.pixels._layout import Pixels, pixels
from sparsegmrf.pixels._lazy import Chunks
from sparsegmrf.pixels._moments import moments_of_image
from sparsegmrf.pixels.dense_gaussian import DenseGaussian
from sparsegmrf.pixels.gaussian import REMEDY, PixelGaussian
from sparsegmrf.typing import FloatArray


def background_of(
    observed: Pixels, background: object, shrinkage: Shrinkage, channel_axis: int | str | None
) -> tuple[FloatArray, FloatArray]:
    """Return mean and Cholesky factor; covariances of images are divided by ``n - 1``."""
    if isinstance(background, PixelGaussian):
        mean, factor = background.mean, background.cholesky
    elif isinstance(background, DenseGaussian):
        mean = background.mean
        factor = cholesky_of(background.covariance(), REMEDY) if background.of_precision else background.factor
    else:
        source = observed if background is None else pixels(background, channel_axis, name="background", stated=True)
        moments = moments_of_image(source)
        if moments.weight == 0.0:
            raise ArgumentError("image must have an observed pixel, got none; mask less.")
        remedy = remedy_of(moments.weight, source.channels, REMEDY)
        factor = cholesky_of(covariance_of(moments, checked_shrinkage(shrinkage), 1.0)[0], remedy)
        return _fitting(observed.channels, moments.mean, factor)
    _refuse_shrinkage(shrinkage)
    return _fitting(observed.channels, mean, factor)


def background_of_chunks(
    chunks: Chunks, background: object, shrinkage: Shrinkage, channel_axis: int | str | None
) -> PixelGaussian | DenseGaussian:
    """Return the Gaussian of an image on dask, whose chunks are computed one after the other if it is its own."""
    if isinstance(background, PixelGaussian | DenseGaussian):
        _refuse_shrinkage(shrinkage)
        law = background
    else:
        law = PixelGaussian(shrinkage=shrinkage, ddof=1.0)
        if background is None:
            law.fit(chunks.tiles(), channel_axis=chunks.moved.ndim - 1)
        else:
            law.fit(background, channel_axis=channel_axis)
    _refuse_other_channels(chunks.channels, law.mean)
    return law


def _refuse_shrinkage(shrinkage: Shrinkage) -> None:
    if checked_shrinkage(shrinkage) != 0.0:
        raise ArgumentError(f"shrinkage must be left out with a fitted background, got {shrinkage!r}; fit with it.")


def _fitting(channels: int, mean: FloatArray, factor: FloatArray) -> tuple[FloatArray, FloatArray]:
    _refuse_other_channels(channels, mean)
    return mean, factor


def _refuse_other_channels(channels: int, mean: FloatArray) -> None:
    if len(mean) != channels:
        raise ImageLayoutError(
            f"background must have the {channels} channels of image, got {len(mean)}; check channel_axis."
        )
