"""Longitudes that go around the globe are offered as a boundary in the summary, and never joined unasked."""

import numpy as np
import pytest

from sparsegmrf import fill, fit
from sparsegmrf.inference import spacing_of
from sparsegmrf.inference._around import goes_around, offer_around
from sparsegmrf.inference._labels import Labels
from sparsegmrf.models import BYM, CAR, Intrinsic, Matern, Sum
from tests.conftest import require

require("xarray")
import xarray  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((5, 12))
LON = np.arange(12) * 30.0


def globe(lon=LON, name="lon", transposed=False, **attributes):
    image = xarray.DataArray(
        np.resize(IMAGE, (5, len(lon))),
        dims=("lat", name),
        coords={"lat": np.linspace(-60.0, 60.0, 5), name: (name, lon, attributes)},
    )
    return image.T if transposed else image


@pytest.mark.parametrize(
    ("image", "dim", "around"),
    [
        (globe(), "lon", True),
        (globe(), "lat", False),
        (globe(LON - 180.0), "lon", True),
        (globe(LON[::-1]), "lon", True),
        (globe((LON + 200.0) % 360.0), "lon", True),
        (globe((LON + 45.0).astype(np.float32), "x", units="degrees_east"), "x", True),
        (globe(name="x", standard_name="longitude"), "x", True),
        (globe(name="x"), "x", False),
        (globe(units="m"), "lon", False),
        (globe(name="lon", standard_name="grid_longitude"), "lon", False),
        (globe(LON / 2.0), "lon", False),
        (globe(np.linspace(0.0, 360.0, 12)), "lon", False),
        (globe(np.append(LON[:-1], 335.0)), "lon", False),
        (globe(np.append(LON[:-1], np.nan)), "lon", False),
        (globe(2.0 * LON), "lon", False),
        (globe([0.0, 180.0]), "lon", False),
        (xarray.DataArray(IMAGE, dims=("lat", "lon")), "lon", False),
    ],
)
def test_only_even_longitudes_that_fill_the_circle_go_around(image, dim, around):
    assert goes_around(image, dim) == around


def test_fit_and_fill_offer_what_joins_the_ends_and_do_not_join_them():
    image = globe()
    image[2, 3:5] = np.nan
    options = {"noise_variance": 0.2, "covariates": "constant"}
    found = fit(Matern(range=3.0), image, fixed=["range", "sigma"], **options)
    line = 'lon goes around 360 degrees, but its ends are not joined; boundary=("neumann", "torus") joins them'
    assert line in found.summary().splitlines()
    assert found.model.boundary == "neumann"
    options["spacing"] = spacing_of(image)
    assert found.loglik == fit(Matern(range=3.0), image.values, fixed=["range", "sigma"], **options).loglik
    assert line in fill(image, model=Matern(range=3.0), fixed=["range", "sigma"], **options).fit.summary()
    joined = fit(Matern(range=3.0, boundary=("neumann", "torus")), image, fixed=["range", "sigma"], **options)
    assert "joins" not in joined.summary()
    assert "joins" not in fit(Matern(range=3.0), image.values, fixed=["range", "sigma"], **options).summary()


@pytest.mark.parametrize(
    ("model", "argument"),
    [
        (CAR(), 'boundary=("dirichlet", "torus")'),
        (Intrinsic(), 'boundary=("neumann", "torus")'),
        (BYM(), 'boundary=("neumann", "torus")'),
        (Sum([Matern(), Intrinsic()]), 'boundary=("neumann", "torus")'),
        (Matern(boundary=("torus", "neumann")), 'boundary="torus"'),
    ],
)
def test_what_is_offered_keeps_the_other_side(model, argument):
    assert argument in offer_around(model, Labels.of(globe()))[0]


def test_rows_may_be_the_longitudes():
    line = offer_around(Matern(), Labels.of(globe(transposed=True)))
    assert line == [
        'lon goes around 360 degrees, but its ends are not joined; boundary=("torus", "neumann") joins them'
    ]
    assert not offer_around(Matern(boundary=("torus", "dirichlet")), Labels.of(globe(transposed=True)))
    assert not offer_around(Matern(), None)
