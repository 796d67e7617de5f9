"""Dense oracles: every definition written out with plain loops, without a line of the package."""

import numpy as np


def pixels(shape):
    """Pixels in raster order."""
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]


def block_at(coefficient, pixel, shape, channels):
    """The ``C x C`` block of a coefficient at a pixel: number, block, plane, or plane of blocks."""
    array = np.asarray(coefficient, dtype=float)
    if channels > 1:
        if array.ndim == 0:
            return float(array) * np.eye(channels)
        return array if array.ndim == 2 else array[pixel]
    return np.full((1, 1), array[pixel] if array.shape == tuple(shape) else float(array))


def symmetric_matrix(offsets, coefficients, shape, channels=1, boundary="dirichlet"):
    """``Q[p, p + o_k]`` and its mirror image, entry by entry."""
    height, width = shape
    blocks = np.zeros((height * width, height * width, channels, channels))
    for (di, dj), coefficient in zip(offsets, coefficients, strict=True):
        for i, j in pixels(shape):
            p = i * width + j
            block = block_at(coefficient, (i, j), shape, channels)
            if (di, dj) == (0, 0):
                blocks[p, p] += block
                continue
            found = beyond((i + di, j + dj), shape, boundary)
            if found == "neumann":
                blocks[p, p] += block
            elif found != "dirichlet":
                q = found[0] * width + found[1]
                blocks[p, q] += block
                blocks[q, p] += block.T
            if beyond((i - di, j - dj), shape, boundary) == "neumann":
                blocks[p, p] += block.T
    return from_blocks(blocks)


def beyond(pixel, shape, boundary):
    """A pixel on the image, wrapped where sides meet, or the rule of the side beyond which it is."""
    rules = (boundary, boundary) if isinstance(boundary, str) else boundary
    off = {rule for at, side, rule in zip(pixel, shape, rules, strict=True) if not 0 <= at < side} - {"torus"}
    if off:
        return "neumann" if "neumann" in off else "dirichlet"
    return pixel[0] % shape[0], pixel[1] % shape[1]


def triangular_matrix(offsets, diagonal, weights, shape, channels=1):
    """``A[p, p] = d_p`` and ``A[p, p + o_k] = w_pk``, entry by entry."""
    height, width = shape
    blocks = np.zeros((height * width, height * width, channels, channels))
    for i, j in pixels(shape):
        p = i * width + j
        blocks[p, p] = block_at(diagonal, (i, j), shape, channels)
        for (di, dj), weight in zip(offsets, weights, strict=True):
            if 0 <= i + di < height and 0 <= j + dj < width:
                blocks[p, p + di * width + dj] = block_at(weight, (i, j), shape, channels)
    return from_blocks(blocks)


def from_blocks(blocks):
    """``(n, n, C, C)`` blocks as one matrix, channel fastest."""
    n, _, channels, _ = blocks.shape
    return blocks.transpose(0, 2, 1, 3).reshape(n * channels, n * channels)


def planes(matrix, offsets, shape, channels=1, boundary="dirichlet"):
    """``matrix[p, p + o_k]`` for all pixels, ``(K, H, W, C, C)``; zero where the neighbour is off the image."""
    height, width = shape
    result = np.zeros((len(offsets), height, width, channels, channels))
    for k, (di, dj) in enumerate(offsets):
        for i, j in pixels(shape):
            found = beyond((i + di, j + dj), shape, boundary)
            if not isinstance(found, str):
                p, q = i * width + j, found[0] * width + found[1]
                result[k, i, j] = matrix[p * channels : (p + 1) * channels, q * channels : (q + 1) * channels]
    return result


def logdet(Q):
    """Log-determinant of a positive definite matrix from its eigenvalues."""
    return float(np.log(np.linalg.eigvalsh(Q)).sum())


def covariance(Q):
    """``Q^-1``."""
    return np.linalg.inv(Q)


def pseudo_inverse(Q, deficiency):
    """``Q^+`` of a positive semi-definite matrix with a known number of null vectors, which no cutoff has to find."""
    values, vectors = np.linalg.eigh(Q)
    return (vectors[:, deficiency:] / values[deficiency:]) @ vectors[:, deficiency:].T


def log_density(x, mean, Q):
    """Log-density of ``N(mean, Q^-1)`` at the flat vector `x`."""
    r = np.ravel(x) - np.ravel(mean)
    return 0.5 * (logdet(Q) - len(r) * np.log(2.0 * np.pi) - r @ Q @ r)


def flip_permutation(shape, axis, channels=1):
    """Indices `order` with ``flat(flipped image) = flat(image)[order]``."""
    return np.flip(_numbered(shape, channels), axis).ravel()


def transpose_permutation(shape, channels=1):
    """Indices `order` with ``flat(transposed image) = flat(image)[order]``."""
    return np.swapaxes(_numbered(shape, channels), 0, 1).ravel()


def _numbered(shape, channels):
    return np.arange(shape[0] * shape[1] * channels).reshape(*shape, channels)


def stack_covariance(days, ell, spatial, basis, deviations, of_coefficients):
    """Covariance of season and field at pixels and dates, dates slowest: ``T (x) K + B diag(s^2) B^T (x) K_c``."""
    days, basis = np.asarray(days, dtype=float), np.asarray(basis, dtype=float).reshape(len(days), -1)
    in_time = np.exp(-np.abs(days[:, None] - days[None, :]) / ell)
    season = basis @ np.diag(np.square(deviations)) @ basis.T if basis.size else np.zeros_like(in_time)
    return np.kron(in_time, spatial) + np.kron(season, of_coefficients)


def sum_covariance(days, parts, basis=(), deviations=(), of_coefficients=0.0):
    """Covariance of a season and several fields at pixels and dates, ``(ell, spatial)`` each.

    With ``ell`` 0 a field is each date's own, with infinity all dates have the same.
    """
    days = np.asarray(days, dtype=float)
    apart, n = np.abs(days[:, None] - days[None, :]), len(parts[0][1])
    basis = np.asarray(basis, dtype=float).reshape(len(days), -1)
    total = np.kron(basis @ np.diag(np.square(deviations)) @ basis.T, of_coefficients * np.ones((n, n)))
    for ell, spatial in parts:
        in_time = (apart == 0.0).astype(float) if ell == 0.0 else np.exp(-apart / ell)
        total = total + np.kron(in_time, spatial)
    return total


def gaussian_given(covariance, values, observed, noise, covariates):
    """Generalized least squares and kriging: log-density, mean and covariance at all places, and the coefficients.

    ``noise`` is the variance of each observation, ``covariates`` ``(n, p)`` those at all places; their coefficients'
    uncertainty is in the covariance.
    """
    y, X = values[observed], covariates[observed]
    S = covariance[np.ix_(observed, observed)] + np.diag(np.broadcast_to(noise, len(y)))
    inverse = np.linalg.inv(S)
    of_beta = np.linalg.inv(X.T @ inverse @ X) if X.shape[1] else np.zeros((0, 0))
    beta = of_beta @ (X.T @ inverse @ y)
    r = y - X @ beta
    loglik = -0.5 * (len(y) * np.log(2 * np.pi) + np.linalg.slogdet(S)[1] + r @ inverse @ r)
    gain = covariance[:, observed] @ inverse
    left = covariates - gain @ X
    mean = covariates @ beta + gain @ r
    return loglik, mean, covariance - gain @ covariance[observed] + left @ of_beta @ left.T, beta
