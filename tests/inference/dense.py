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
