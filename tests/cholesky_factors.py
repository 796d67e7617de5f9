"""Per-pixel Cholesky factors and their dense matrix, entry by entry."""

import numpy as np

from sparsegmrf.factors.cholesky_operations import radius_of
from sparsegmrf.stencil._offsets import later_offsets


def random_factors(factors, channels, radius, shape, dtype=np.float64, coupled=True, seed=0):
    """Contractive factors with NaN wherever a weight points off the image."""
    rng = np.random.default_rng(seed)
    offsets = later_offsets(radius)
    diagonal = rng.uniform(1.0, 2.0, (factors, channels, *shape))
    weights = rng.uniform(-0.9, 0.9, (factors, channels, len(offsets), *shape)) / len(offsets)
    for k, (di, dj) in enumerate(offsets):
        i, j = np.ogrid[: shape[0], : shape[1]]
        outside = (i + di >= shape[0]) | (j + dj < 0) | (j + dj >= shape[1])
        weights[:, :, k, outside] = np.nan
    pairs = channels * (channels - 1) // 2 if coupled else 0
    cross = rng.uniform(-1.0, 1.0, (factors, pairs, *shape))
    return tuple(array.astype(dtype) for array in (diagonal, weights, cross))


def dense(diagonal, weights, cross):
    """``L`` of one factor in float64, pixel-major, channel fastest, by loops."""
    channels, height, width = diagonal.shape
    offsets = [
        (di, dj)
        for di in range(radius_of(weights.shape[1]) + 1)
        for dj in range(-radius_of(weights.shape[1]), radius_of(weights.shape[1]) + 1)
        if di > 0 or dj > 0
    ]
    L = np.zeros((height, width, channels, height, width, channels))
    for i in range(height):
        for j in range(width):
            for c in range(channels):
                L[i, j, c, i, j, c] = diagonal[c, i, j]
                for k, (di, dj) in enumerate(offsets):
                    if i + di < height and 0 <= j + dj < width:
                        L[i + di, j + dj, c, i, j, c] = weights[c, k, i, j]
            if len(cross):
                for pair, (c, e) in enumerate(zip(*np.triu_indices(channels, 1), strict=True)):
                    L[i, j, e, i, j, c] = cross[pair, i, j]
    return L.reshape(height * width * channels, -1)


def flat(images):
    """``(N, C, H, W)`` as float64 rows, pixel-major, channel fastest."""
    return np.moveaxis(images.astype(np.float64), 1, -1).reshape(len(images), -1)
