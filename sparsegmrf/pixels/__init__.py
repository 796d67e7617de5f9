"""Channels of pixels: colour Gaussians, density images, anomaly maps, statistics of neighbours and regions."""

from sparsegmrf.pixels.anomaly import CoherenceMaps, ace, matched_filter, rx
from sparsegmrf.pixels.dense_gaussian import DenseGaussian
from sparsegmrf.pixels.descriptors import (
    RegionMoments,
    affine_invariant_distance,
    log_euclidean_distance,
    region_covariance,
)
from sparsegmrf.pixels.gaussian import PixelGaussian
from sparsegmrf.pixels.mixture import PixelMixture
from sparsegmrf.pixels.neighbours import LagCorrelation, lag_correlation, neighbour_correlation
from sparsegmrf.pixels.spatial import TargetMaps, WhitenedResiduals, whitened_residuals

__all__ = [
    "CoherenceMaps",
    "DenseGaussian",
    "LagCorrelation",
    "PixelGaussian",
    "PixelMixture",
    "RegionMoments",
    "TargetMaps",
    "WhitenedResiduals",
    "ace",
    "affine_invariant_distance",
    "lag_correlation",
    "log_euclidean_distance",
    "matched_filter",
    "neighbour_correlation",
    "region_covariance",
    "rx",
    "whitened_residuals",
]
