"""Fits of drawn images of every kind: none raises, and what has no standard error is named."""

import numpy as np
import pytest

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import CAR, SAR, Intrinsic, Matern, Sum, TensionSpline

pytestmark = pytest.mark.slow

MODELS = {
    "spline": TensionSpline(),
    "proper spline": TensionSpline(proper=1e-3),
    "intrinsic": Intrinsic(),
    "intrinsic, order 2": Intrinsic(2),
    "matern": Matern(),
    "matern, nu 1/2": Matern(nu=0.5),
    "matern, nu 2": Matern(nu=2.0),
    "turned": Matern(anisotropy=(1.5, 0.3), diffusion="smooth"),
    "car": CAR(),
    "car of two": CAR((0.1, 0.1)),
    "car, degree": CAR(form="degree"),
    "sar": SAR(),
    "sar of two": SAR((0.1, 0.1)),
    "sar, standardized": SAR(row_standardized=True),
    "sum": Sum([Matern(range=3.0), Matern(range=12.0)]),
    "intrinsic sum": Sum([Intrinsic(), Matern(range=3.0)]),
}
KINDS = (
    *("white", "walk", "plane", "step", "hardly varies", "integers"),
    *("spike", "wave", "level", "unit", "strip", "few"),
)


def drawn(kind, rng):
    """Return an image of a kind with gaps."""
    height, width = int(rng.integers(4, 20)), int(rng.integers(4, 20))
    if kind in ("strip", "few"):
        height, width = (1, int(rng.integers(5, 60))) if kind == "strip" else (5, 5)
    white = rng.normal(size=(height, width))
    rows, columns = np.mgrid[:height, :width]
    image = {
        "walk": lambda: white.cumsum(0).cumsum(1) / 5.0 + 0.1 * rng.normal(size=white.shape),
        "strip": lambda: white.cumsum(1) + 0.1 * rng.normal(size=white.shape),
        "plane": lambda: 0.3 * rows - 0.7 * columns + 1e-3 * white,
        "step": lambda: 5.0 * (columns > width / 2) + 1e-2 * white,
        "hardly varies": lambda: 7.0 + 1e-8 * white,
        "integers": lambda: np.round(2.0 * white),
        "spike": lambda: 0.01 * white + 1e3 * ((rows == height // 2) & (columns == width // 2)),
        "wave": lambda: np.sin(rows / 4.0) * np.cos(columns / 5.0),
        "level": lambda: white + 10.0 ** rng.integers(3, 10),
        "unit": lambda: white * 10.0 ** rng.integers(-100, 100),
    }.get(kind, lambda: white)()
    if kind == "few":
        image.flat[rng.permutation(25)[:12]] = np.nan
        return image
    return np.where(rng.random(image.shape) < rng.choice([0.0, 0.1, 0.3, 0.5]), np.nan, image)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_fit_and_fill_end_with_what_is_true(kind, name):
    rng = np.random.default_rng([KINDS.index(kind), list(MODELS).index(name)])
    image = drawn(kind, rng)
    variance = float(np.nanvar(image)) or 1.0
    noise = [None, "estimate", 0.1 * variance][rng.integers("sum" in name, 3)]
    covariates = rng.choice(["constant", "linear", None])
    try:
        if rng.random() < 0.5:
            found = fit(MODELS[name], image, mask="nan", noise_variance=noise, covariates=covariates, method="reml")
        else:
            filled = fill(image, model=MODELS[name], noise_variance=noise, covariates=covariates, n_samples=1, rng=0)
            found = filled.fit
            assert np.isfinite(filled.mean).all()
            assert (filled.std >= 0.0).all()
            assert np.isfinite(filled.samples).all()
    except ArgumentError as error:
        # Of the user's own arguments: too few pixels, covariates that they do not tell apart, noise that is nothing.
        if str(error).startswith(("image must have", "image must vary", "covariates must be linearly independent")):
            return
        if (kind, name) == ("hardly varies", "sum") and "rounding makes singular" in str(error):
            return
        raise
    assert np.isfinite(found.loglik)
    nameless = {key for key, value in found.standard_errors.items() if np.isnan(value)}
    assert nameless == set(found.undetermined)
    assert all(key in found.reason for key in nameless)
    assert not (found.converged and nameless)
