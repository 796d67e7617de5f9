"""Densities of working parameters in closed form, as what integrates them asks for them."""

import numpy as np

from sparsegmrf._interval import Interval

REAL = Interval(-np.inf, np.inf)


class Synthetic:
    """A log-density given as a function, with derivatives by differences."""

    joint = frozenset()

    def __init__(self, log_density, mode, intervals=None, without_prior=()):
        self._log_density, self.mode, self.evaluations = log_density, np.array(mode, dtype=float), 0
        self.names = [f"p{k}" for k in range(len(self.mode))]
        self._intervals = [REAL] * len(self.mode) if intervals is None else intervals
        self.without_prior = list(without_prior)

    def value(self, at):
        self.evaluations += 1
        return float(self._log_density(at))

    def gradient_and_information(self, at, step=1e-4):
        sides = step * np.eye(len(at))
        f = self._log_density
        gradient = np.array([f(at + e) - f(at - e) for e in sides]) / (2.0 * step)
        H = [[f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b) for a in sides] for b in sides]
        return self.value(at), gradient, -np.array(H) / (4.0 * step**2)

    def information(self):
        return self.gradient_and_information(self.mode)[2]

    def values_at(self, at):
        return [each.inward(float(u)) for each, u in zip(self._intervals, at, strict=True)]

    def jacobian(self, at):
        values = self.values_at(at)
        return np.diag([each.slope(value) for each, value in zip(self._intervals, values, strict=True)])

    def intervals(self, at):
        return self._intervals


def normal(covariance):
    """A normal density of mode zero that integrates to one."""
    precision = np.linalg.inv(covariance)
    constant = 0.5 * np.linalg.slogdet(precision / (2.0 * np.pi))[1]
    return Synthetic(lambda u: constant - 0.5 * u @ precision @ u, np.zeros(len(covariance)))


def gamma(shapes):
    """Logarithms of independent gamma variables of these shapes, all turned by a rotation; integrates to one."""
    from scipy.special import gammaln

    shapes = np.array(shapes, dtype=float)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((len(shapes), len(shapes))))[0]
    constant = -gammaln(shapes).sum()

    def log_density(u):
        v = turn.T @ u
        return constant + shapes @ v - np.exp(v).sum()

    return Synthetic(log_density, turn @ np.log(shapes))
