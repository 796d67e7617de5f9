"""Dense oracles of counts: likelihoods from scipy.stats, the mode by a dense optimizer, integrals by Gauss-Legendre."""

import numpy as np
from scipy import optimize, stats
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
    """Mode of the posterior by a trust region, polished by Newton; flat arrays."""
    o = observed

    def negative(eta):
        value = 0.5 * (eta - mean) @ Q @ (eta - mean)
        return value - log_likelihood(kind, y[o], size[o], eta[o]).sum()

    def gradient(eta):
        slope = Q @ (eta - mean)
        slope[o] -= y[o] - weights(kind, size[o], eta[o])[0]
        return slope

    def hessian(eta):
        curved = np.zeros(len(eta))
        curved[o] = weights(kind, size[o], eta[o])[1]
        return Q + np.diag(curved)

    eta = optimize.minimize(negative, mean, jac=gradient, hess=hessian, method="trust-exact").x
    for _ in range(20):
        eta = eta - np.linalg.solve(hessian(eta), gradient(eta))
    return eta, hessian(eta)


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
