"""Fits of labelled images: lengths are in the unit of the ground, and the law is that of the ground."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError, DataWarning
from sparsegmrf.inference import FitResult, Spacing, spacing_of, variogram
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import CAR, Channels, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.plot import variogram_figure
from sparsegmrf.priors import PCRange
from tests.conftest import require

xr = require("xarray")

SHAPE = (24, 20)
WIDE = (1.0, 3.0)
IMAGE = Matern(12.0, spacing=WIDE).gmrf(SHAPE, mean=3.0).sample(rng=3)
LATITUDES, LONGITUDES = np.linspace(70.0, 47.0, 24), np.linspace(2.0, 40.0, 20)


def on(image=IMAGE, height=1.0, width=3.0, unit="m"):
    """An image with projected coordinates, rows from north to south."""
    rows, columns = (np.arange(side) * step for side, step in zip(np.shape(image), (-height, width), strict=True))
    attributes = {"units": unit} if unit else {}
    return xr.DataArray(image, {"y": ("y", rows, attributes), "x": ("x", columns, attributes)}, ("y", "x"))


def on_globe(image=IMAGE, **names):
    found = xr.DataArray(image, {"lat": LATITUDES, "lon": LONGITUDES}, ("lat", "lon"))
    return found.rename(names)


def test_kilometres_are_thousands_of_metres():
    metres, kilometres = (fit(Matern(), on(height=1.0 * k, width=3.0 * k, unit=u)) for k, u in ((1000, "m"), (1, "km")))
    assert metres.loglik == pytest.approx(kilometres.loglik, abs=1e-8)
    assert metres.parameters["range"] == pytest.approx(1000.0 * kilometres.parameters["range"], rel=1e-6)
    assert metres.standard_errors["range"] == pytest.approx(1000.0 * kilometres.standard_errors["range"], rel=1e-4)
    assert metres.parameters["sigma"] == pytest.approx(kilometres.parameters["sigma"], rel=1e-6)
    assert (metres.units, kilometres.units) == ({"range": "m"}, {"range": "km"})


def test_square_pixels_have_the_fit_of_pixels_in_another_unit():
    for model, power in ((Matern(), 1), (TensionSpline(0.5), -1)):
        name = next(iter(model.parameters))
        plain, found = fit(model, IMAGE), fit(model, on(height=30.0, width=30.0))
        assert found.loglik == pytest.approx(plain.loglik, abs=1e-8)
        assert found.parameters[name] == pytest.approx(plain.parameters[name] * 30.0**power, rel=1e-7)
        assert found.evaluations == plain.evaluations
        assert fit(model, on(height=30.0, width=30.0), spacing=None).parameters == plain.parameters


def test_wide_pixels_are_told_from_square_ones():
    found, square = fit(Matern(), on(), noise_variance=None), fit(Matern(), on(), noise_variance=None, spacing=None)
    low, high = found.confidence_intervals(0.999)["range"]
    assert low < 12.0 < high
    assert found.loglik > square.loglik + 20.0
    assert found.model.spacing == WIDE
    given = fit(Matern(), IMAGE, noise_variance=None, spacing=WIDE)
    assert given.parameters == found.parameters
    assert (found.units, given.units, square.units) == ({"range": "m"}, {"range": ""}, {"range": "pixels"})


def test_axes_may_be_swapped():
    plain = fit(Matern(anisotropy=(1.5, 0.3)), on(), fixed=["stretch", "shear"])
    turned = fit(Matern(anisotropy=(1.5, np.pi / 2 - 0.3)), on().transpose("x", "y"), fixed=["stretch", "shear"])
    assert turned.model.spacing == WIDE[::-1]
    assert turned.loglik == pytest.approx(plain.loglik, abs=1e-8)
    assert turned.parameters["range"] == pytest.approx(plain.parameters["range"], rel=1e-7)


def test_latitudes_make_kilometres():
    image = on_globe()
    spacing = spacing_of(image)
    assert spacing.unit == "km"
    assert spacing.height == pytest.approx(111.195, abs=1e-3)
    assert_allclose(spacing.width, 111.195 * 2.0 * np.cos(np.radians(LATITUDES)), rtol=1e-5)
    found = fit(Matern(), image, noise_variance=None)
    own = fit(
        Matern(found.parameters["range"], 1.0, spacing=(spacing.height, spacing.width)), IMAGE, noise_variance=None
    )
    assert found.loglik == pytest.approx(own.loglik, abs=1e-6)
    assert "a pixel is 111.2 x 76.062...151.67 km" in found.summary()
    turned = fit(Matern(), image.transpose("lon", "lat"), noise_variance=None)
    assert turned.loglik == pytest.approx(found.loglik, abs=1e-6)
    assert turned.parameters["range"] == pytest.approx(found.parameters["range"], rel=1e-5)
    south = fit(Matern(), image.isel(lat=slice(None, None, -1)), noise_variance=None)
    assert south.parameters["range"] == pytest.approx(found.parameters["range"], rel=1e-5)
    assert fill(image, fixed=["kappa"], model=TensionSpline(0.4)).fit.units == {
        "kappa": "1/km",
        "tau": "km^2/intensity^2",
    }


LAT = {"standard_name": "latitude", "units": "degrees_north"}
LON = {"standard_name": "longitude", "units": "degrees_east"}


@pytest.mark.parametrize(
    "image",
    [
        on_globe(lat="latitude", lon="longitude"),
        xr.DataArray(IMAGE, {"y": ("y", LATITUDES, LAT), "x": ("x", LONGITUDES, LON)}, ("y", "x")),
        xr.DataArray(
            IMAGE, {"y": LATITUDES, "x": LONGITUDES, "crs": ((), 0, {"crs_wkt": 'GEOGCRS["WGS 84"]'})}, ("y", "x")
        ),
        on_globe().assign_coords(lon=(LONGITUDES + 170.0 + 180.0) % 360.0 - 180.0),
        on_globe().astype(np.float32).assign_coords(lat=LATITUDES.astype(np.float32)),
    ],
)
def test_latitudes_are_known_by_names_attributes_or_mapping(image):
    found, expected = spacing_of(image), spacing_of(on_globe())
    assert found.unit == "km"
    assert found.height == pytest.approx(expected.height, rel=1e-6)
    assert_allclose(found.width, expected.width, rtol=1e-6)


def test_units_are_those_of_the_coordinates_or_the_mapping():
    assert spacing_of(on(unit="metre")).unit == "m"
    assert spacing_of(on(unit="furlong")).unit == "furlong"
    assert spacing_of(on(unit="")).unit == ""
    mapped = on(unit="").assign_coords(spatial_ref=((), 0, {"crs_wkt": 'PROJCRS["x",LENGTHUNIT["metre",1]]'}))
    assert spacing_of(mapped).unit == "m"
    assert str(spacing_of(on())) == "1 x 3 m"


TIMES = np.arange(24).astype("datetime64[D]")


@pytest.mark.parametrize(
    ("image", "note"),
    [
        (IMAGE, ""),
        (xr.DataArray(IMAGE, dims=("y", "x")), ""),
        (on().assign_coords(y=TIMES), "the coordinate y holds times"),
        (on().assign_coords(y=[str(k) for k in range(24)]), "the coordinate y holds no numbers"),
        (on().drop_vars("x"), "x has no coordinate"),
        (on().assign_coords(x=("x", np.arange(20.0), {"units": "s"})), "the coordinates have the units m and s"),
        (on_globe().assign_coords(lat=LATITUDES + 30.0), "the coordinate lat is beyond a pole"),
        (on_globe(lat="day"), "one coordinate only is a latitude or longitude"),
    ],
)
def test_without_even_coordinates_lengths_are_in_pixels_and_the_summary_says_why(image, note):
    assert spacing_of(image).is_pixels
    assert spacing_of(image).note == note
    found = fit(Matern(), image, noise_variance=None)
    assert found.parameters == fit(Matern(), IMAGE, noise_variance=None).parameters
    assert found.units == {"range": "pixels"}
    assert ("in pixels: " in found.summary()) == bool(note)
    assert note in found.summary()


@pytest.mark.parametrize(
    ("image", "note"),
    [
        (on().assign_coords(y=np.arange(24.0) ** 1.5), "the coordinate y is not evenly spaced"),
        (on_globe().assign_coords(lat=LATITUDES**2 / 60), "the coordinate lat is not evenly spaced"),
    ],
)
def test_uneven_coordinates_are_told_and_lengths_are_in_pixels(image, note):
    assert spacing_of(image).is_pixels
    assert spacing_of(image).note == note
    with pytest.warns(DataWarning, match=note):
        found = fit(Matern(), image, noise_variance=None)
    assert found.parameters == fit(Matern(), IMAGE, noise_variance=None).parameters
    assert f"in pixels: {note}" in found.summary()


def test_coordinates_that_do_not_tell_pixels_apart_are_refused():
    image = on().assign_coords(y=np.zeros(24))
    assert spacing_of(image).is_pixels
    with pytest.raises(ArgumentError, match="in order along y"):
        fit(Matern(), image, noise_variance=None)


def test_models_without_lengths_do_not_see_the_spacing():
    for image in (on(), on_globe()):
        for model in (CAR(0.2), Sum([CAR(0.24), CAR(0.1)])):
            held = list(model.parameters)
            found = fit(model, image, noise_variance=0.3, fixed=held)
            assert found.loglik == fit(model, IMAGE, noise_variance=0.3, fixed=held).loglik
            assert found.units == {}
            assert "a pixel is" not in found.summary()
            assert "in pixels" not in found.summary()


def test_a_thin_plate_between_meridians_is_one_of_pixels_and_says_so():
    found = fit(Intrinsic(order=2), on_globe())
    assert found.loglik == pytest.approx(fit(Intrinsic(order=2), IMAGE).loglik, abs=1e-8)
    assert found.units == {"tau": "pixel^2/intensity^2"}
    assert "tau in pixels, as pixels differ in size" in found.summary()
    assert fit(Intrinsic(order=2), on()).units == {"tau": "m^2/intensity^2"}


def test_a_model_keeps_its_spacing_and_another_one_is_a_contradiction():
    model = Matern(500.0, spacing=(10.0, 30.0))
    found = fit(model, on(), noise_variance=None)
    assert found.model.spacing == (10.0, 30.0)
    assert found.units == {"range": ""}
    assert found.parameters["range"] == pytest.approx(
        10.0 * fit(Matern(), on(), noise_variance=None).parameters["range"], rel=1e-4
    )
    again = fit(found.model, on(height=10.0, width=30.0), noise_variance=None)
    assert again.units == {"range": "m"}
    fit(model, IMAGE, noise_variance=None, spacing=(10.0, 30.0), fixed=["range"])
    for given in ((10.0, 31.0), (np.full(24, 10.0), np.full(24, 31.0)), Spacing(1.0, 1.0, "m")):
        with pytest.raises(ArgumentError, match="spacing must be that of the model or be left out, got"):
            fit(model, IMAGE, spacing=given)


def test_what_is_held_and_priors_are_in_the_unit_of_the_ground():
    found = fit(Matern(5.0), on(height=30.0, width=30.0), fixed=["range"])
    assert found.model.range == pytest.approx(150.0, rel=1e-14)
    assert "held: range = 150 m" in found.summary()
    plain = fit(Matern(), IMAGE, priors={"range": PCRange(4.0, 0.05)})
    there = fit(Matern(), on(height=30.0, width=30.0), priors={"range": PCRange(120.0, 0.05)})
    assert there.parameters["range"] == pytest.approx(30.0 * plain.parameters["range"], rel=1e-6)


def test_tables_and_files_say_the_unit():
    found = fit(Matern(), on())
    assert found.table()["unit"] == ["m", "", "", ""]
    assert "<td>m</td>" in found._repr_html_()
    saved = FitResult.from_json(found.to_json())
    assert saved.units == {"range": "m"}
    assert saved.model.spacing == WIDE
    assert saved.summary() == found.summary()


def test_fillings_counts_and_channels_are_on_the_ground():
    holes = on().copy()
    holes[8:12, 5:9] = np.nan
    filled = fill(holes)
    assert filled.fit.model.spacing == WIDE
    assert filled.fit.units["kappa"] == "1/m"
    counts = on(np.random.default_rng(0).poisson(np.exp(0.5 * (IMAGE - 3.0))))
    found = fit(Matern(), counts, likelihood=Poisson())
    assert found.units == {"range": "m"}
    assert found.loglik == pytest.approx(fit(Matern(), counts.values, likelihood=Poisson(), spacing=WIDE).loglik)
    both = xr.concat([on(), on()[:, ::-1].assign_coords(x=on().x)], "band").transpose("y", "x", "band")
    channels = fit(Channels(Matern(), np.eye(2)), both, noise_variance=None)
    assert channels.model.model.spacing == WIDE
    assert channels.units == {"range": "m"}
    assert "a pixel is 1 x 3 m" in channels.summary()


@pytest.mark.parametrize("image", [on(), on_globe()])
def test_the_best_of_several_fields_is_sought_on_the_ground(image):
    holes = image[:15, :14].copy()
    holes[5:8, 4:7] = np.nan
    found = fill(holes, model="best", rng=0)
    for each in found.comparison.candidates:
        models = each.fit.model.models if isinstance(each.fit.model, Sum) else (each.fit.model,)
        assert all(model.spacing is not None for model in models)
        assert all("pixel" not in unit for unit in each.fit.units.values())


def test_lags_of_variograms_are_on_the_ground_and_so_are_those_of_models():
    found, plain = variogram(on(), max_lag=9.0), variogram(IMAGE, max_lag=9.0, spacing=WIDE)
    assert found.spacing.unit == "m"
    assert_allclose(found.semivariances, plain.semivariances)
    lengths = np.hypot(found.offsets[:, 0] * 1.0, found.offsets[:, 1] * 3.0)
    assert lengths.max() <= 9.0
    assert_allclose(found.lags, np.bincount(found.bins, found.pairs * lengths) / found.counts)
    assert found.offsets[:, 0].max() == 9
    assert np.abs(found.offsets[:, 1]).max() == 3
    along = variogram(on(), max_lag=9.0, direction=0.0, tolerance=0.0)
    assert_allclose(along.lags, [3.0, 6.0, 9.0])
    model = Matern(12.0, spacing=WIDE)
    assert_allclose(along.expected(model), model.variogram([(0, 1), (0, 2), (0, 3)]))
    assert variogram_figure(on(), model).axes[0].get_xlabel() == "lag (m)"
    assert variogram_figure(IMAGE, model).axes[0].get_xlabel() == "lag"
    assert variogram_figure(IMAGE).axes[0].get_xlabel() == "lag (pixels)"
    globe = variogram(on_globe())
    assert globe.spacing.is_pixels
    assert globe.spacing.note == "pixels differ in size: 111.2 x 76.062...151.67 km"
    with pytest.raises(ArgumentError, match="spacing must be two numbers for lags"):
        variogram(IMAGE, spacing=spacing_of(on_globe()))
    with pytest.raises(ArgumentError, match=r"max_lag must be at least 1 pixel, 2 m, got 1\.5"):
        variogram(on(height=2.0), max_lag=1.5)


@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        ("degrees", r'spacing must be "coordinates", \(height, width\) or None, got \'degrees\''),
        (30.0, r"spacing must be \(height, width\) of a pixel"),
        ((1.0, 0.0), r"spacing\[1\], the width, must be positive"),
        ((1.0, np.ones(23)), r"spacing\[1\], the width, must be a number, or have the shape \(24,\)"),
    ],
)
def test_spacings_that_are_none_are_refused(spacing, message):
    for ask in (lambda: fit(Matern(), IMAGE, spacing=spacing), lambda: fill(IMAGE, spacing=spacing)):
        with pytest.raises(ArgumentError, match=message):
            ask()


def test_units_are_the_same_however_they_are_written():
    metres = xr.DataArray(
        np.zeros((4, 5)),
        {"y": ("y", np.arange(4.0), {"units": "m"}), "x": ("x", np.arange(5.0), {"units": "metre"})},
        ("y", "x"),
    )
    assert (spacing_of(metres).unit, spacing_of(metres).note) == ("m", "")


def test_summaries_say_where_a_model_is_not_on_the_ground_of_the_coordinates():
    own = fit(Matern(9.0, spacing=(1.0, 2.0)), on(height=10.0, width=20.0), noise_variance=0.1, fixed="sigma")
    assert "a pixel is 1 x 2, the model's own; the coordinates have 10 x 20 m" in own.summary()
    globe = xr.DataArray(IMAGE, {"lat": LATITUDES, "lon": LONGITUDES}, ("lat", "lon"))
    turned = Matern(9.0, anisotropy=(1.5, 0.3), diffusion="smooth")
    found = fit(turned, globe, noise_variance=0.1, fixed=list(turned.parameters))
    assert found.model.diffusion == "monotone"
    assert "diffusion is monotone, as pixels differ in size" in found.summary()


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_sizes_of_which_powers_are_no_numbers_are_refused(size):
    with pytest.raises(ArgumentError, match=r"^spacing\[1\], the width, must be between 1e-30 and 1e\+30, .* got"):
        fit(Matern(), IMAGE, spacing=(1.0, size))
