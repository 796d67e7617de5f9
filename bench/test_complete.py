"""Fits and fillings of complete images, by transforms and by a factorization of the posterior precision.

``pytest bench/test_complete.py -k 256 --benchmark-json=out.json``; at 1024 x 1024 the factorizations take minutes.

What is seen of a complete image is independent by frequency where a transform diagonalizes the field: a likelihood with
its gradient is a sum over frequencies. The other member does what an image with one gap would need: its model does not
tell the variances by frequency, and in the filling one pixel has a noise that is larger by a millionth of a millionth.
Both must agree.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pytest

from sparsegmrf import Matern, fill, fit

SIDES = pytest.mark.parametrize("side", [256, 1024])
MEMBERS = pytest.mark.parametrize("member", ["sparsegmrf", "a factorization"])
TRUTH = Matern(range=12.0, sigma=2.0)
NOISE = 0.25


@dataclass(frozen=True, eq=False)
class ByFactors(Matern):
    """A Matern field that does not tell its variances by frequency."""

    def build_spectral_density(self, shape):
        """Return None."""
        return


@functools.cache
def observed(side, noise):
    """Return an image, with noise or without."""
    rng = np.random.default_rng(0)
    field = TRUTH.gmrf((side, side), mean=5.0).sample(rng=rng)
    return field + np.sqrt(NOISE) * rng.standard_normal(field.shape) if noise else field


def fitted(model, side, noise):
    """Return estimates and standard errors."""
    found = fit(model, observed(side, noise), noise_variance="estimate" if noise else None)
    assert found.converged, found.reason
    return found.parameters, found.standard_errors


@functools.cache
def ours(side, noise):
    return fitted(Matern(), side, noise)


def fits_agree(found, side, noise):
    """Hold estimates and errors against those by transforms."""
    parameters, errors = ours(side, noise)
    for name, error in errors.items():
        assert abs(found[0][name] - parameters[name]) < 1e-3 * error, name
        assert found[1][name] == pytest.approx(error, rel=1e-3), name


@SIDES
@pytest.mark.parametrize("noise", [True, False], ids=["noise", "exact"])
@MEMBERS
def test_fit_with_standard_errors(timed, side, noise, member):
    model, rounds = (Matern(), 5) if member == "sparsegmrf" else (ByFactors(), 1)
    name = f"fit of a complete Matern image {'with' if noise else 'without'} noise, {side} x {side}"
    check = functools.partial(fits_agree, side=side, noise=noise)
    timed(name, member, lambda: fitted(model, side, noise), check=check, rounds=rounds)


@SIDES
@MEMBERS
def test_fill(timed, side, member):
    image, noise = observed(side, True), np.full((side, side), NOISE)
    expected = filled(image, noise)
    if member != "sparsegmrf":
        noise[side // 2, side // 2] *= 1.0 + 1e-12

    def check(found):
        for name in ("mean", "std"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6)

    rounds = 5 if member == "sparsegmrf" else 1
    timed(
        f"means and errors of a complete Matern image, {side} x {side}",
        member,
        lambda: filled(image, noise),
        check=check,
        rounds=rounds,
    )


def filled(image, noise):
    """Return the field given an image with known noise, the parameters held."""
    return fill(image, model=TRUTH, noise_variance=noise, fixed=list(TRUTH.parameters))
