"""Exact likelihoods of a Matern field seen with noise and gaps, and its whole fit, against factorizations.

``pytest bench/test_inference.py -k 512 --benchmark-json=out.json``; three tenths of the pixels and a block are missing.

A likelihood is that of `fit` with everything held; beside it stand one factorization of the same posterior precision,
analysed before, and the likelihood that a user of CHOLMOD writes: level and scale in closed form, the prior's
determinant by a transform, one analysis for all factors.

The fit stands beside that likelihood in SciPy's BFGS. CHOLMOD has no selected inverse, and Takahashi's recursion on its
factor takes several times as long as the factorization (``selected_inverse`` of `bench.test_dissection`), so its user
lets BFGS take differences, two likelihoods more per step, until steps are as short as ours. Both fits must agree to a
fiftieth of a standard error.
"""

import functools

import numpy as np
import pytest
import scipy.optimize

from bench.peers import libraries
from sparsegmrf import Matern, condition, fit
from sparsegmrf.factors import CholmodFactor, DissectionFactor

SIDES = pytest.mark.parametrize("side", [256, 512])
TRUTH = Matern(range=20.0, sigma=2.0)
START = Matern(range=10.0)
NOISE = 0.25
TOLERANCE = 1e-3
SLOPE = 0.02
"""Derivative in nats by a logarithm whose standard error is 0.01 to 0.04, at which steps are as short as ours."""
AGREEMENT = 0.02


@functools.cache
def observed(side):
    """Return an image with noise, and the mask of its gaps."""
    rng = np.random.default_rng(0)
    field = TRUTH.gmrf((side, side), mean=5.0).sample(rng=rng)
    mask = rng.random(field.shape) < 0.3
    mask[side // 5 : side // 3, 2 * side // 5 : 3 * side // 5] = True
    return field + np.sqrt(NOISE) * rng.standard_normal(field.shape), mask


class ByCholmod:
    """The likelihood of a Matern field with noise, its level and scale at their best, by CHOLMOD's factors."""

    def __init__(self, image, mask):
        self.seen = ~mask
        self.images = np.where(self.seen, np.stack([np.ones(image.shape), image]), 0.0)
        self.factor = None

    def loglik(self, reach, ratio):
        """Return log-likelihood in nats and scale in intensity^2 at a range and at a noise in units of the scale."""
        model, weight = Matern(range=reach), self.seen / ratio
        posterior = model.stencil(self.seen.shape).plus_diagonal(weight)
        self.factor = CholmodFactor(posterior) if self.factor is None else self.factor.refactorize(posterior)
        # Sigma^-1 = W - W P^-1 W on the observed pixels, for the level's image of ones and the observed image.
        whitened = weight * self.images - weight * self.factor.solve(weight * self.images)
        (ones, cross), (_, square) = np.tensordot(self.images, whitened, ([1, 2], [1, 2]))
        count = np.count_nonzero(self.seen)
        scale = (square - cross**2 / ones) / count
        logdet = self.factor.logdet - model.gmrf(self.seen.shape).logdet + count * np.log(ratio)
        return -0.5 * (count * (np.log(2.0 * np.pi * scale) + 1.0) + logdet), scale

    def fit(self):
        """Return range, sigma and noise variance at the maximum."""
        found = scipy.optimize.minimize(
            lambda at: -self.loglik(*np.exp(at))[0],
            np.log([START.parameters["range"], 0.1]),
            method="BFGS",
            options={"eps": 1e-5, "gtol": SLOPE},
        )
        assert found.success, found.message
        reach, ratio = np.exp(found.x)
        scale = self.loglik(reach, ratio)[1]
        return {"range": reach, "sigma": np.sqrt(scale), "noise_variance": ratio * scale}


@SIDES
@pytest.mark.parametrize("member", ["sparsegmrf", "one factorization", "CHOLMOD"])
def test_likelihood(timed, side, member):
    image, mask = observed(side)
    recorded = {}
    if member == "sparsegmrf":
        call = lambda: likelihood(image, mask)  # noqa: E731
        check = lambda found: likelihoods_agree(found, image, mask)  # noqa: E731
    elif member == "one factorization":
        posterior = given_level(image, mask, 0.0).precision
        analysed = DissectionFactor(posterior)
        call, check = lambda: analysed.refactorize(posterior), None
    else:
        by_cholmod, expected = cholmod(image, mask), likelihood(image, mask)
        ratio = NOISE / TRUTH.parameters["sigma"] ** 2
        call = lambda: by_cholmod.loglik(TRUTH.parameters["range"], ratio)[0]  # noqa: E731
        check = lambda found: at_least_and_near(found, expected)  # noqa: E731
        recorded = libraries()
    timed(f"log-likelihood of Matern with noise and gaps, {side} x {side}", member, call, check=check, **recorded)


@SIDES
@pytest.mark.parametrize("member", ["sparsegmrf", "CHOLMOD in SciPy's BFGS"])
def test_fit(timed, side, member):
    image, mask = observed(side)
    expected = ours(image, mask)
    if member == "sparsegmrf":
        call, check, rounds, recorded = lambda: ours(image, mask).parameters, None, 3, {}
    else:
        call, rounds, recorded = cholmod(image, mask).fit, 1, libraries()
        check = lambda found: fits_agree(found, expected)  # noqa: E731
    timed(f"fit of Matern with noise, {side} x {side}", member, call, check=check, rounds=rounds, **recorded)


def ours(image, mask):
    """Return the fit of the package, which must have converged."""
    found = fit(START, image, mask=mask, tolerance=TOLERANCE)
    assert found.converged, found.reason
    return found


def likelihood(image, mask):
    """Return the log-likelihood at the truth, the level at its best."""
    return fit(TRUTH, image, mask=mask, noise_variance=NOISE, fixed=list(TRUTH.parameters)).loglik


def likelihoods_agree(found, image, mask):
    """Hold a log-likelihood against the densities of one field ``x``: ``p(x) p(y | x) / p(x | y)``."""
    level = fit(TRUTH, image, mask=mask, noise_variance=NOISE, fixed=list(TRUTH.parameters)).coefficients["constant"]
    posterior = given_level(image, mask, level)
    x, residual = posterior.mean, (image - posterior.mean)[~mask]
    of_residuals = -0.5 * (np.sum(residual**2) / NOISE + residual.size * np.log(2.0 * np.pi * NOISE))
    expected = TRUTH.gmrf(image.shape, mean=level).logpdf(x) + of_residuals - posterior.logpdf(x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def given_level(image, mask, level):
    """Return the field at the truth given the observed pixels."""
    return condition(TRUTH.gmrf(image.shape, mean=level), image, mask=mask, noise_variance=NOISE)


def cholmod(image, mask):
    """Return the likelihood by CHOLMOD; the bench is skipped without it."""
    pytest.importorskip("sksparse.cholmod", reason="scikit-sparse is not installed")
    return ByCholmod(image, mask)


def at_least_and_near(found, expected):
    """Hold a log-likelihood at the best scale against that at the true one: larger, by a chi-square of one degree."""
    assert -1e-6 < found - expected < 15.0


def fits_agree(found, expected):
    """Hold estimates against those of the package."""
    for name, error in expected.standard_errors.items():
        assert abs(found[name] - expected.parameters[name]) < AGREEMENT * error, name
