"""Channels of pixels: colour Gaussians, density images, anomaly maps, statistics of neighbours and regions."""

from sparsegmrf.pixels.dense_gaussian import DenseGaussian
from sparsegmrf.pixels.gaussian import PixelGaussian

__all__ = ["DenseGaussian", "PixelGaussian"]
