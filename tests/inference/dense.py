"""Dense oracles of inference: conditional moments and densities of multivariate normals, written out."""

import numpy as np


def conditional(mean, covariance, y, observed, noise):
    """Mean and covariance of x given ``y_o = x_o + e``; flat arrays, `noise` the variances of the observed."""
    o = np.flatnonzero(observed)
    C = covariance[np.ix_(o, o)] + np.diag(noise[o])
    gain = np.linalg.solve(C, covariance[o]).T
    return mean + gain @ (y[o] - mean[o]), covariance - gain @ covariance[o]


def log_density(y, C):
    """Log-density of ``N(0, C)``."""
    return -0.5 * (np.linalg.slogdet(C)[1] + y @ np.linalg.solve(C, y) + len(y) * np.log(2.0 * np.pi))


def contrasts(V):
    """Orthonormal columns that are orthogonal to the columns of ``V``."""
    return np.linalg.svd(V)[0][:, V.shape[1] :]


def restricted(y, C, V):
    """Log-density of all contrasts of `y` that do not see the columns of ``V``."""
    K = contrasts(V)
    return log_density(K.T @ y, K.T @ C @ K)


def generalized_least_squares(y, C, X):
    """Coefficients and their covariance."""
    covariance = np.linalg.inv(X.T @ np.linalg.solve(C, X))
    return covariance @ (X.T @ np.linalg.solve(C, y)), covariance


def conditional_on(mean, covariance, y, B, noise):
    """Mean and covariance of x given ``y = B x + e``; `noise` the variances of ``e``, zero for exact sums."""
    S = B @ covariance @ B.T + np.diag(noise)
    gain = np.linalg.solve(S, B @ covariance).T
    return mean + gain @ (y - B @ mean), covariance - gain @ B @ covariance


def point_spread(kernel, shape, renormalize=False):
    """Matrix of a correlation with a kernel; weights that point off the image are dropped, or the others scaled."""
    kernel = np.asarray(kernel)
    (height, width), (a, b) = shape, (side // 2 for side in kernel.shape)
    B = np.zeros((height * width, height * width))
    for i in range(height):
        for j in range(width):
            for di in range(-a, a + 1):
                for dj in range(-b, b + 1):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        B[i * width + j, (i + di) * width + j + dj] = kernel[a + di, b + dj]
    return B * (kernel.sum() / B.sum(axis=1, keepdims=True)) if renormalize else B


def block_average(block, shape):
    """Matrix of the means of blocks of pixels."""
    (bh, bw), (height, width) = block, shape
    B = np.zeros((height // bh * (width // bw), height * width))
    for i in range(height):
        for j in range(width):
            B[i // bh * (width // bw) + j // bw, i * width + j] = 1.0 / (bh * bw)
    return B


def constrained(Q, C):
    """Covariance of x given ``C x = c``, and what its mean gains per unit of ``c - C mu``; ``Q`` may be singular.

    The rows of ``C`` are independent: with ``C^T = V R`` its pseudo-inverse is ``V R^-T``.
    """
    N, n = contrasts(C.T), len(Q)
    covariance = N @ np.linalg.solve(N.T @ Q @ N, N.T)
    V, R = np.linalg.qr(C.T)
    return covariance, (np.eye(n) - covariance @ Q) @ np.linalg.solve(R, V.T).T


def constrained_density(x, mean, Q, C):
    """Log-density of x in orthonormal coordinates of the images with the same ``C x``; `mean` is one of them."""
    N = contrasts(C.T)
    return log_density(N.T @ (x - mean), np.linalg.inv(N.T @ Q @ N))
