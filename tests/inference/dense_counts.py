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
    """Mode of the posterior and the precision there, by dense Newton steps that are halved while they lose."""
    o = observed

    def joint(eta):
        value = log_likelihood(kind, y[o], size[o], eta[o]).sum() - 0.5 * (eta - mean) @ Q @ (eta - mean)
        return value if np.isfinite(value) else -np.inf

    def slope_and_curvature(eta):
        slope, curved = -Q @ (eta - mean), np.zeros(len(eta))
        expected, curved[o] = weights(kind, size[o], eta[o])
        slope[o] += y[o] - expected
        return slope, Q + np.diag(curved)

    eta = np.where(o, np.log((y + 0.5) / (size if kind == "poisson" else size - y + 0.5)), 0.0)
    for _ in range(100):
        slope, P = slope_and_curvature(eta)
        step = np.linalg.solve(P, slope)
        if np.abs(step).max() < 1e-12 * (1.0 + np.abs(eta).max()):
            return eta, P
        while np.abs(step).max() > 1e-6 and joint(eta + step) < joint(eta):
            step = step / 2.0
        eta = eta + step
    raise AssertionError("the oracle has not converged")


def log_marginal(Q, mean, kind, y, size, observed):
    """``log p(y|x*) + log p(x*) - log q(x*)`` by densities; of a singular ``Q`` the generalized one."""
    eta, P = mode(Q, mean, kind, y, size, observed)
    value = log_likelihood(kind, y[observed], size[observed], eta[observed]).sum()
    eigenvalues = np.linalg.eigvalsh(Q)
    positive = eigenvalues[eigenvalues > 1e-9 * eigenvalues[-1]]
    value += 0.5 * (np.log(positive / (2.0 * np.pi)).sum() - (eta - mean) @ Q @ (eta - mean))
    return value - dense.log_density(np.zeros(len(eta)), np.linalg.inv(P))


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
