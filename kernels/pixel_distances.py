"""Squared Mahalanobis distances of the pixels of one block, by forward substitution with the Cholesky factor."""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

CHUNK = 512


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def distances(x: Floats, mean: Floats, L: Floats, distance: Floats, white: Floats) -> None:
    """``distance = |y|^2`` with ``L y = x - mean`` for every column of the block `x` (C, m).

    Workspace: `white` (C, CHUNK).
    """
    channels, m = x.shape
    for start in range(0, m, CHUNK):
        k = min(CHUNK, m - start)
        total = distance[start : start + k]
        for j in range(k):
            total[j] = 0.0
        for c in range(channels):
            row = x[c, start : start + k]
            y = white[c]
            centre = mean[c]
            for j in range(k):
                y[j] = row[j] - centre
            for b in range(c):
                earlier = white[b]
                weight = L[c, b]
                for j in range(k):
                    y[j] -= weight * earlier[j]
            scale = 1.0 / L[c, c]
            for j in range(k):
                y[j] *= scale
                total[j] += y[j] * y[j]


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def projections(
    x: Floats, mean: Floats, L: Floats, direction: Floats, distance: Floats, projection: Floats, white: Floats
) -> None:
    """``distance = |y|^2`` and ``projection = direction . y`` with ``L y = x - mean``, as for `distances`."""
    channels, m = x.shape
    for start in range(0, m, CHUNK):
        k = min(CHUNK, m - start)
        total = distance[start : start + k]
        along = projection[start : start + k]
        for j in range(k):
            total[j] = 0.0
            along[j] = 0.0
        for c in range(channels):
            row = x[c, start : start + k]
            y = white[c]
            centre = mean[c]
            for j in range(k):
                y[j] = row[j] - centre
            for b in range(c):
                earlier = white[b]
                weight = L[c, b]
                for j in range(k):
                    y[j] -= weight * earlier[j]
            scale = 1.0 / L[c, c]
            share = direction[c]
            for j in range(k):
                y[j] *= scale
                total[j] += y[j] * y[j]
                along[j] += share * y[j]
