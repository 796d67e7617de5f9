"""Interactions valid in a joint region, estimated together, against maximum likelihood of densities by hand."""

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_limits

from sparsegmrf.inference import fit
from sparsegmrf.models import CAR, SAR, Matern, Sum
from sparsegmrf.stencil import symbol
from tests.inference.test_dense_maximum import gradient_of, hessian_of, log_density, matern

SHAPE = (20, 25)
EIGHT = [(0, 1), (1, -1), (1, 0), (1, 1)]
PAIR = [(1, 0), (0, 1)]
AHEAD = [(0, 1), (1, 0), (2, 0)]


def path(n, boundary):
    """Neighbours along a line: cut off, a pixel its own neighbour at the ends, or wrapped."""
    A = np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)
    if boundary == "neumann":
        A[0, 0] += 1.0
        A[-1, -1] += 1.0
    return A


class Lattice:
    """Eigenvalues of the neighbours at each offset, and images in the basis of eigenvectors."""

    def __init__(self, offsets, boundary):
        self.boundary = boundary
        if boundary == "torus":
            waves = np.meshgrid(*[2.0 * np.pi * np.arange(n) / n for n in SHAPE], indexing="ij")
            self.eigenvalues = [2.0 * np.cos(di * waves[0] + dj * waves[1]).ravel() for di, dj in offsets]
            return
        sides = [np.linalg.eigh(path(n, boundary)) for n in SHAPE]
        self.vectors = [vectors for _, vectors in sides]
        down, across = sides[0][0][:, np.newaxis], sides[1][0]
        self.eigenvalues = [np.broadcast_to(down if di else across, SHAPE).ravel() for di, dj in offsets]

    def forward(self, image):
        if self.boundary == "torus":
            return np.fft.fft2(image, norm="ortho").ravel()
        return (self.vectors[0].T @ image @ self.vectors[1]).ravel()

    def backward(self, waves):
        """Return the image of real numbers over frequencies, by the symmetric root of a variance."""
        if self.boundary == "torus":
            return np.fft.ifft2(waves.reshape(SHAPE), norm="ortho").real
        return self.vectors[0] @ waves.reshape(SHAPE) @ self.vectors[1].T

    def draw(self, variance, rng):
        """Return a field of this variance over frequencies."""
        return self.backward(np.sqrt(variance) * self.forward(rng.standard_normal(SHAPE)))


class Density:
    """Log-likelihood of an image without gaps and its gradient, by numbers that keep the sum below its bound.

    They are the logarithm of what is left to the bound, all interactions but the first, ``log(tau)``, and unless it is
    given ``log(noise)``; `power` is 1 for a conditional and 2 for a simultaneous autoregression.
    """

    def __init__(self, lattice, power, image, noise, fixed=None):
        self.E, self.power, self.noise = np.array(lattice.eigenvalues), power, noise
        self.top = self.E[:, np.argmax(self.E.sum(axis=0))]
        self.y, self.X = lattice.forward(image), lattice.forward(np.ones(SHAPE))

    def parameters(self, p):
        """Interactions, tau, and the noise variance if it is estimated."""
        k = len(self.E)
        others = p[1:k]
        first = (1.0 - np.exp(p[0]) - self.top[1:] @ others) / self.top[0]
        return np.concatenate([[first], others, np.exp(p[k:])])

    def numbers(self, parameters):
        k = len(self.E)
        return np.concatenate([[np.log(1.0 - self.top @ parameters[:k])], parameters[1:k], np.log(parameters[k:])])

    def slopes(self, p):
        """Derivatives of the parameters (rows) by the numbers."""
        k, values = len(self.E), self.parameters(p)
        J = np.diag(np.concatenate([np.ones(k), values[k:]]))
        J[0, :k] = np.concatenate([[-np.exp(p[0])], -self.top[1:]]) / self.top[0]
        return J

    def __call__(self, p):
        k, values = len(self.E), self.parameters(p)
        noise = values[k + 1] if self.noise == "estimate" else (self.noise or 0.0)
        m = 1.0 - values[:k] @ self.E
        if m.min() <= 0.0:
            return -np.inf, np.zeros(len(p))
        field = 1.0 / (values[k] * m**self.power)
        v = field + noise
        beta = np.sum(self.X.conj() * self.y / v).real / np.sum(np.abs(self.X) ** 2 / v)
        squares = np.abs(self.y - beta * self.X) ** 2
        by_v = -0.5 * (1.0 / v - squares / v**2)
        by = [by_v @ (self.power * E * field / m) for E in self.E] + [-(by_v @ field) / values[k]]
        by += [by_v.sum()] if self.noise == "estimate" else []
        return -0.5 * np.sum(np.log(2.0 * np.pi * v) + squares / v), self.slopes(p).T @ np.array(by)

    def hessian(self, p, h=1e-5):
        rows = [(self(p + h * e)[1] - self(p - h * e)[1]) / (2.0 * h) for e in np.eye(len(p))]
        return 0.5 * (np.array(rows) + np.array(rows).T)

    def maximum(self, start):
        """Numbers of the maximum from parameters nearby, and their covariance."""
        p = scipy.optimize.minimize(
            lambda p: tuple(-each for each in self(p)), self.numbers(np.array(start)), jac=True, method="BFGS"
        ).x
        for _ in range(6):
            p = p - np.linalg.solve(self.hessian(p), self(p)[1])
        assert np.abs(self(p)[1]).max() < 1e-6
        return p, np.linalg.inv(-self.hessian(p))


# The model to start from, its offsets, the power, and the truth with tau.
CASES = {
    "CAR": (CAR((0.1, 0.1)), PAIR, 1, (0.31, 0.185, 1.5)),
    "CAR near the edge": (CAR((0.1, 0.1)), PAIR, 1, (0.4, 0.1025, 1.5)),
    "CAR against its sign": (CAR((0.1, 0.1)), PAIR, 1, (0.42, -0.075, 1.5)),
    "SAR": (SAR((0.1, 0.1)), PAIR, 2, (0.26, 0.19, 1.0)),
    "SAR near the edge": (SAR((0.1, 0.1)), PAIR, 2, (0.3, 0.197, 1.0)),
    "CAR, no flux": (CAR((0.1, 0.1), boundary="neumann"), PAIR, 1, (0.31, 0.18, 1.5)),
    "SAR, no flux": (SAR((0.1, 0.1), boundary="neumann"), PAIR, 2, (0.26, 0.19, 1.0)),
}
WRAPPED = {
    "CAR, torus": (CAR((0.1, 0.1), boundary="torus"), PAIR, 1, (0.31, 0.18, 1.5)),
    "SAR, torus": (SAR((0.1, 0.1), boundary="torus"), PAIR, 2, (0.26, 0.19, 1.0)),
    "CAR 8, torus": (CAR((0.05,) * 4, neighbourhood=8, boundary="torus"), EIGHT, 1, (0.2, 0.05, 0.15, 0.09, 1.5)),
    "SAR 8, torus": (SAR((0.05,) * 4, neighbourhood=8, boundary="torus"), EIGHT, 2, (0.15, 0.05, 0.12, 0.06, 1.0)),
}
VARIANCE = 0.3


def problem(case, noise, seed=2):
    """Density and image of a draw, and the truth."""
    model, offsets, power, truth = case
    lattice, rng = Lattice(offsets, model.boundary), np.random.default_rng(seed)
    m = 1.0 - np.array(truth[:-1]) @ np.array(lattice.eigenvalues)
    image = 3.0 + lattice.draw(1.0 / (truth[-1] * m**power), rng)
    image += np.sqrt(0.0 if noise is None else VARIANCE) * rng.standard_normal(SHAPE)
    return Density(lattice, power, image, noise), image, [*truth, *([VARIANCE] if noise == "estimate" else [])]


def check(result, density, p, covariance):
    """Check estimates, errors and likelihood of a fit."""
    assert result.converged, result.reason
    assert_allclose(list(result.parameters.values()), density.parameters(p), rtol=1e-6)
    assert result.loglik == pytest.approx(density(p)[0], abs=1e-8)
    J = density.slopes(p)
    errors = np.sqrt(np.diagonal(J @ covariance @ J.T))
    assert_allclose(list(result.standard_errors.values()), errors, rtol=1e-3)


@pytest.mark.parametrize("noise", ["estimate", VARIANCE, None])
@pytest.mark.parametrize("name", CASES)
def test_estimates_are_those_of_maximum_likelihood_by_hand(name, noise):
    density, image, truth = problem(CASES[name], noise)
    check(fit(CASES[name][0], image, noise_variance=noise, tolerance=1e-8), density, *density.maximum(truth))


@pytest.mark.parametrize("name", WRAPPED)
def test_estimates_on_a_torus_are_those_of_maximum_likelihood_by_hand(name):
    density, image, truth = problem(WRAPPED[name], None)
    check(fit(WRAPPED[name][0], image, noise_variance=None, tolerance=1e-8), density, *density.maximum(truth))


@pytest.mark.parametrize("name", ["CAR", "CAR near the edge", "SAR near the edge", "CAR, no flux"])
@pytest.mark.parametrize("start", [(0.0, 0.0), (0.01, 0.48), (0.48, 0.01), (-0.3, 0.1), (-0.2, -0.25), (0.249, 0.249)])
def test_all_starts_lead_to_one_maximum(name, start):
    density, image, truth = problem(CASES[name], "estimate")
    p, covariance = density.maximum(truth)
    check(fit(CASES[name][0].replace(rho=start), image, tolerance=1e-8), density, p, covariance)


@pytest.mark.parametrize("fixed", ["rho_vertical", "rho_horizontal", ["rho_vertical", "tau"], "tau"])
@pytest.mark.parametrize("name", ["CAR", "SAR"])
def test_with_some_held_the_others_are_the_maximum_given_these(name, fixed):
    model, _, _, truth = CASES[name]
    density, image, _ = problem(CASES[name], "estimate")
    held = [fixed] if isinstance(fixed, str) else fixed
    values = dict(zip(["rho_vertical", "rho_horizontal", "tau", "noise_variance"], [*truth, VARIANCE], strict=True))
    result = fit(model.replace(**{key: values[key] for key in held}), image, fixed=held, tolerance=1e-8)
    assert result.converged, result.reason
    assert set(result.parameters) == set(values) - set(held)
    at = density.numbers(np.array([result.parameters.get(key, value) for key, value in values.items()]))
    assert result.loglik == pytest.approx(density(at)[0], abs=1e-8)
    # The gradient by the free parameters vanishes, in standard errors.
    J = density.slopes(at)
    by_parameters = np.linalg.solve(J.T, density(at)[1])
    for slope, key in zip(by_parameters, values, strict=True):
        if key in result.parameters:
            assert abs(slope) * result.standard_errors[key] < 1e-5, key


def test_estimates_with_gaps_and_a_trend_are_those_of_the_dense_density():
    _, image, _ = problem(CASES["CAR"], "estimate")
    missing = np.random.default_rng(8).random(SHAPE) < 0.15
    missing[5:10, 8:14] = True
    result = fit(CAR((0.1, 0.1)), image, mask=missing, covariates="linear", tolerance=1e-8)
    assert result.converged, result.reason
    down, across = (np.kron(*pair) for pair in ((path(20, None), np.eye(25)), (np.eye(20), path(25, None))))

    def dense(parameters):
        vertical, horizontal, tau, noise = parameters
        C = np.linalg.inv(tau * (np.eye(500) - vertical * down - horizontal * across))
        return log_density(C, noise, image, missing)

    at = np.array(list(result.parameters.values()))
    errors = np.array(list(result.standard_errors.values()))
    with threadpool_limits(1, user_api="blas"):
        assert result.loglik == pytest.approx(dense(at), abs=1e-8)

        def in_errors(z):  # a twentieth of an error, which stays within the region
            return dense(at + 0.05 * errors * z)

        slopes, curvatures = gradient_of(in_errors, np.zeros(4)), hessian_of(in_errors, np.zeros(4), 1e-1)
    assert np.abs(slopes / 0.05).max() < 1e-5
    information = -curvatures / 0.05**2
    assert_allclose(np.sqrt(np.diagonal(np.linalg.inv(information))), 1.0, rtol=2e-2)


def test_sum_of_a_pair_and_a_matern_field_is_the_maximum_of_its_density():
    lattice, rng = Lattice(PAIR, "neumann"), np.random.default_rng(4)
    down, across = lattice.eigenvalues
    truth = {"rho_vertical_fine": 0.3, "rho_horizontal_fine": -0.1, "tau_fine": 1.0, "range_coarse": 9.0}
    truth |= {"sigma_coarse": 2.0}
    noise = 0.2

    def variance(vertical, horizontal, tau, range_, sigma):
        smooth = matern(4.0 - down - across, range_, sigma)
        return 1.0 / (tau * (1.0 - vertical * down - horizontal * across)) + 1.0 / smooth

    image = lattice.draw(variance(*truth.values()) + noise, rng)
    model = Sum([CAR((0.1, 0.1), boundary="neumann"), Matern(range=5.0)], ["fine", "coarse"])
    result = fit(model, image, noise_variance=noise, tolerance=1e-7)
    assert result.converged, result.reason
    y, X = lattice.forward(image), lattice.forward(np.ones(SHAPE))

    def dense(values):
        v = variance(*values) + noise
        rest = y - np.sum(X * y / v) / np.sum(X * X / v) * X
        return -0.5 * np.sum(np.log(2.0 * np.pi * v) + rest**2 / v)

    assert list(result.parameters) == list(truth)
    at, errors = (np.array(list(each.values())) for each in (result.parameters, result.standard_errors))
    assert result.loglik == pytest.approx(dense(at), abs=1e-7)
    slopes = gradient_of(lambda z: dense(at + errors * z), np.zeros(5))
    assert np.abs(slopes).max() < 1e-5
    assert dense(at) > dense(np.array(list(truth.values())))
    again = fit(
        model.replace(rho_vertical_fine=0.0, rho_horizontal_fine=0.3), image, noise_variance=noise, tolerance=1e-7
    )
    assert_allclose(list(again.parameters.values()), at, rtol=1e-4)


@pytest.mark.parametrize("model", [CAR((0.1, 0.1)), SAR((0.1, 0.1)), CAR((0.1, 0.1), boundary="neumann")])
@pytest.mark.parametrize("seed", range(3))
def test_images_without_structure_end_in_a_report(model, seed):
    for shape in ((9, 10), (1, 20), (3, 3)):
        result = fit(model, np.random.default_rng(seed).normal(size=shape))
        assert np.isfinite(result.loglik)
        assert {name for name, error in result.standard_errors.items() if np.isnan(error)} == set(result.undetermined)


@pytest.mark.parametrize("model", [CAR((0.05,) * 3, neighbourhood=AHEAD), SAR((0.05,) * 3, neighbourhood=AHEAD)])
def test_a_point_of_a_search_costs_one_least_symbol(model):
    image = np.random.default_rng(0).standard_normal((10, 12))
    before = symbol._lowest.cache_info().misses
    result = fit(model, image)
    of_start = 40  # intervals, and the box around what is possible
    assert symbol._lowest.cache_info().misses - before <= result.evaluations + of_start


def test_interactions_without_errors_are_those_named_where_only_their_mixture_runs_to_an_end():
    rng = np.random.default_rng(459335)
    image = rng.normal(size=(20, 13)).cumsum(0).cumsum(1) / 3.0
    image += 0.1 * rng.normal(size=image.shape)
    model = CAR((0.1, 0.1), boundary="torus")
    result = fit(model, image, noise_variance=0.3, covariates="linear", method="reml")
    nameless = {name for name, error in result.standard_errors.items() if np.isnan(error)}
    assert nameless == {"rho_vertical", "rho_horizontal"}
    assert set(result.undetermined) == nameless
    assert all(name in result.reason for name in nameless)
    assert not result.converged
