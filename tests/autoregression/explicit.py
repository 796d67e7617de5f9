"""Explicit designs, dense autocovariances and recursions in plain loops: oracles of the streaming estimators."""

import numpy as np
from scipy.signal import lfilter

HALF_PLANE = {
    1: [(-1, -1), (-1, 0), (-1, 1), (0, -1)],
    2: [(-2, b) for b in range(-2, 3)] + [(-1, b) for b in range(-2, 3)] + [(0, -2), (0, -1)],
}
QUARTER_PLANE = [(-1, -1), (-1, 0), (0, -1)]


def design(image, offsets, missing=None):
    """Neighbours ``(n, K)`` and pixels ``(n,)`` of the equations, pixel by pixel."""
    image = np.asarray(image, dtype=float)
    height, width = image.shape
    rows = []
    for i in range(height):
        for j in range(width):
            places = [(i, j)] + [(i + di, j + dj) for di, dj in offsets]
            if all(
                0 <= a < height and 0 <= b < width and not (missing is not None and missing[a, b]) for a, b in places
            ):
                rows.append([image[place] for place in places])
    table = np.array(rows).reshape(len(rows), len(offsets) + 1)
    return table[:, 1:], table[:, 0]


def autocovariance(image, lag):
    """``1/(HW) sum_p (x_p - m)(x[p + lag] - m)`` over the pairs on the image."""
    height, width = image.shape
    centred = np.asarray(image, dtype=float) - np.mean(image)
    total = 0.0
    for i in range(height):
        for j in range(width):
            a, b = i + lag[0], j + lag[1]
            if 0 <= a < height and 0 <= b < width:
                total += centred[i, j] * centred[a, b]
    return total / image.size


def recursion(offsets, weights, shape, seed, sigma=1.0, mean=0.0, margin=24):
    """A draw of ``x_p = mean + sum_k w_k (x[p + o_k] - mean) + sigma e_p``, its first rows and columns thrown away."""
    reach = int(np.abs(np.array(offsets)).max(initial=0))
    height, width = shape[0] + margin, shape[1] + 2 * margin
    e = sigma * np.random.default_rng(seed).standard_normal((height, width))
    x = np.zeros((height + reach, width + 2 * reach))
    for i in range(height):
        for j in range(width):
            past = sum(w * x[reach + i + di, reach + j + dj] for (di, dj), w in zip(offsets, weights, strict=True))
            x[reach + i, reach + j] = past + e[i, j]
    first_column = reach + margin
    return mean + x[reach + margin :, first_column : first_column + shape[1]]


def impulse_response_norms(offsets, weights, rows=200, right=2000):
    """Euclidean norms of the rows of the impulse response, filtered row after row on a wide image; up to 1e50."""
    offsets, weights = np.array(offsets), np.array(weights)
    reach = int(np.abs(offsets).max())
    left = reach * rows + reach
    width = left + right
    denominator = np.zeros(1 + reach)
    denominator[0] = 1.0
    for (_, dj), weight in zip(offsets[offsets[:, 0] == 0], weights[offsets[:, 0] == 0], strict=True):
        denominator[-dj] -= weight
    padded = np.zeros((rows + reach, width + 2 * reach))
    norms = []
    for i in range(rows):
        forcing = np.zeros(width)
        if i == 0:
            forcing[left] = 1.0
        for (di, dj), weight in zip(offsets, weights, strict=True):
            if di < 0:
                forcing += weight * padded[reach + i + di, reach + dj : reach + dj + width]
        row = lfilter([1.0], denominator, forcing)
        padded[reach + i, reach : reach + width] = row
        if not np.abs(row).max() < 1e50:  # NaN, too: the recursion along the row overflows
            norms.append(1e50)
            break
        norms.append(np.linalg.norm(row))
    return np.array(norms)
