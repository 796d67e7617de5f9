"""Degenerate corners of likelihoods: which models are refused, with which number."""

import numpy as np
import pytest

from sparsegmrf.inference._degenerate import degeneracy
from sparsegmrf.models import CAR, Matern, Sum, TensionSpline

WIDE = Matern(range=20.0, sigma=2.0)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Matern(range=0.003), "the range is under a pixel: 0.003 pixels along its shorter axis"),
        (Matern(range=1.5, anisotropy=(4.0, 0.3)), "the range is under a pixel: 0.75 pixels"),
        (Matern(range=25.0, spacing=(30.0, 30.0)), "the range is under a pixel: 0.833 pixels"),
        (Matern(range=np.array([[5.0, 0.5]])), "the range is under a pixel: 0.5 pixels"),
        (TensionSpline(anisotropy=(6.0, 0.0)), "the anisotropy is beyond the reach of the stencil: a ratio of 6"),
        (TensionSpline(anisotropy=(0.1, 0.0)), "the anisotropy is beyond the reach of the stencil: a ratio of 10"),
        (Sum([Matern(range=0.5), WIDE], labels=["fine", "coarse"]), "the range of the fine field is under a pixel"),
        (
            Sum([WIDE, Matern(range=90.0, sigma=1e-3)], labels=["fine", "coarse"]),
            "the variance of the coarse field is nil: its deviation is 0.0005 of all fields together",
        ),
        (Matern(nu=0.01, nu_is_free=True), r"the smoothness has run to an end: nu = 0.01"),
        (Matern(nu=3.9, nu_is_free=True), r"the smoothness has run to an end: nu = 3.9"),
    ],
)
def test_degenerate_model_is_told_with_its_number(model, reason):
    assert degeneracy(model).startswith(reason)


@pytest.mark.parametrize(
    "model",
    [
        WIDE,
        Matern(range=2.0, anisotropy=(3.5, 0.3)),
        Matern(range=60.0, spacing=(30.0, 30.0)),
        Matern(nu=0.01),  # given, not estimated
        TensionSpline(kappa=50.0, anisotropy=(0.3, 1.0)),
        Sum([Matern(range=3.0, sigma=0.1), WIDE]),
        Sum([Matern(range=3.0, sigma=1e-9), TensionSpline()]),  # of deviations that do not compare
        CAR(0.2),
    ],
)
def test_sane_model_is_not(model):
    assert degeneracy(model) is None
