"""The Gaussian against which pixels are anomalous: given, fitted to another image, or to the image itself."""

from sparsegmrf.errors import ArgumentError, ImageLayoutError
from sparsegmrf.pixels._covariance import Shrinkage, checked_shrinkage, cholesky_of, covariance_of
from sparsegmrf.pixels._layout import Pixels, pixels
from sparsegmrf.pixels._moments import moments_of_image
from sparsegmrf.pixels.dense_gaussian import DenseGaussian
from sparsegmrf.pixels.gaussian import REMEDY, PixelGaussian
from sparsegmrf.typing import FloatArray


def background_of(
    observed: Pixels, background: object, shrinkage: Shrinkage, channel_axis: int | None
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
        factor = cholesky_of(covariance_of(moments, checked_shrinkage(shrinkage), 1.0)[0], REMEDY)
        return _fitting(observed, moments.mean, factor)
    if checked_shrinkage(shrinkage) != 0.0:
        raise ArgumentError(f"shrinkage must be left out with a fitted background, got {shrinkage!r}; fit with it.")
    return _fitting(observed, mean, factor)


def _fitting(observed: Pixels, mean: FloatArray, factor: FloatArray) -> tuple[FloatArray, FloatArray]:
    if len(mean) != observed.channels:
        raise ImageLayoutError(
            f"background must have the {observed.channels} channels of image, got {len(mean)}; check channel_axis."
        )
    return mean, factor
