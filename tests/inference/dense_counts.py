"""Dense oracles of counts: likelihoods from scipy.stats, the mode by dense Newton, integrals by Gauss-Legendre."""

import numpy as np
from scipy import stats
from scipy.special import expit

from tests.inference import dense


def log_likelihood(kind, y, size, eta):
    """Log-probability of each count."""
    if kind == "poisson":
        return stats.poisson.logpmf(y, size * np.exp(eta))
    return stats.binom.logpmf(y, size, expit(eta))


def weights(kind, size, eta):
    """Means and variances of the counts, which are minus the second derivatives by eta."""
    if kind == "poisson":
        return size * np.exp(eta), size * np.exp(eta)
    return size * expit(eta), size * expit(eta) * (1.0 - expit(eta))


def mode(Q, mean, kind, y, size, observed):
    """Mode of the posterior and the precision there."""
    u, P = mode_of_sum(Q, np.eye(len(mean)), mean, kind, y, size, observed)
    return mean + u, P


def mode_of_sum(Q, A, mean, kind, y, size, observed):
    """Mode of unknowns ``u`` with ``eta = mean + A u`` and the precision there, by Newton steps halved while they lose.

    The steps start where the counts would have the sum by themselves.
    """
    o = observed

    def joint(u):
        value = log_likelihood(kind, y[o], size[o], (mean + A @ u)[o]).sum() - 0.5 * u @ Q @ u
        return value if np.isfinite(value) else -np.inf

    def slope_and_curvature(u):
        slope, curved = np.zeros(len(mean)), np.zeros(len(mean))
        expected, curved[o] = weights(kind, size[o], (mean + A @ u)[o])
        slope[o] = y[o] - expected
        return A.T @ slope - Q @ u, Q + A.T @ np.diag(curved) @ A

    eta = np.where(o, np.log((y + 0.5) / (size if kind == "poisson" else size - y + 0.5)), 0.0)
    u = np.linalg.pinv(A) @ (eta - mean)
    for _ in range(100):
        slope, P = slope_and_curvature(u)
        step = np.linalg.solve(P, slope)
        if np.abs(step).max() < 1e-12 * (1.0 + np.abs(mean + A @ u).max()):
            return u, P
        while np.abs(step).max() > 1e-6 and joint(u + step) < joint(u):
            step = step / 2.0
        u = u + step
    raise AssertionError("the oracle has not converged")


def log_marginal(Q, mean, kind, y, size, observed):
    """``log p(y|x*) + log p(x*) - log q(x*)`` by densities; of a singular ``Q`` the generalized one."""
    return log_marginal_of_sum(Q, np.eye(len(mean)), mean, kind, y, size, observed)


def log_marginal_of_sum(Q, A, mean, kind, y, size, observed):
    """The same of unknowns with ``eta = mean + A u``."""
    u, P = mode_of_sum(Q, A, mean, kind, y, size, observed)
    value = log_likelihood(kind, y[observed], size[observed], (mean + A @ u)[observed]).sum()
    eigenvalues = np.linalg.eigvalsh(Q)
    positive = eigenvalues[eigenvalues > 1e-9 * eigenvalues[-1]]
    value += 0.5 * (np.log(positive / (2.0 * np.pi)).sum() - u @ Q @ u)
    return value - dense.log_density(np.zeros(len(u)), np.linalg.inv(P))


def integral(Q, mean, kind, y, size):
    """Exact ``log p(y)`` of one or two pixels by Gauss-Legendre over twelve standard deviations around the mode."""
    eta, P = mode(Q, mean, kind, y, size, np.ones(len(y), dtype=bool))
    spread = 12.0 * np.sqrt(np.diagonal(np.linalg.inv(P)))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    axes = np.meshgrid(*[nodes] * len(y), indexing="ij")
    x = eta + np.stack(axes, axis=-1).reshape(-1, len(y)) * spread
    volume = np.prod(np.meshgrid(*[weights] * len(y), indexing="ij"), axis=0).ravel() * spread.prod()
    r = x - mean
    prior = -0.5 * np.einsum("ki,ij,kj->k", r, Q, r) + 0.5 * np.linalg.slogdet(Q / (2.0 * np.pi))[1]
    return np.log(volume @ np.exp(prior + log_likelihood(kind, y, size, x).sum(axis=1)))
