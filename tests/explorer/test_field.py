import math

import numpy as np
import pytest

from sparsegmrf._explorer._field import DIRECTIONS, KNOBS, LONGEST, SIDE, FieldView, Knob, model_of
from sparsegmrf._explorer._field_figure import field_figure
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import CAR, Matern, TensionSpline


def at_start(name, **moved):
    return {knob.name: knob.start for knob in KNOBS[name]} | moved


def view(name="Matern", noise=0.5, seed=0, **moved):
    return FieldView.of(model_of(name, at_start(name, **moved)), noise, seed)


def test_model_has_the_values_of_the_knobs():
    model = model_of("Matern", at_start("Matern", range=7.0, sigma=2.0, nu=2.0, ratio=3.0, angle=60.0))
    assert (model.range, model.sigma, model.nu) == (7.0, 2.0, 2.0)
    assert model.anisotropy == pytest.approx((3.0, math.pi / 3.0))
    assert model_of("Matern", at_start("Matern", ratio=1.0)).anisotropy is None
    assert model_of("CAR", {"rho": 0.1, "tau": 3.0}).parameters == {"rho": 0.1, "tau": 3.0}


@pytest.mark.parametrize("name", KNOBS)
@pytest.mark.parametrize("end", ["low", "high"])
def test_every_model_can_be_drawn_at_both_ends_of_every_knob(name, end):
    for knob in KNOBS[name]:
        ends = knob.choices[:: len(knob.choices) - 1] if knob.choices else (knob.low, knob.high)
        model = model_of(name, at_start(name, **{knob.name: ends[end == "high"]}))
        assert np.isfinite(model.gmrf((12, 12)).sample(rng=0)).all()


def test_model_refuses_another_name_and_other_knobs():
    with pytest.raises(ArgumentError, match="name must be one of"):
        model_of("BYM", {})
    with pytest.raises(ArgumentError, match=r"values must be \['rho', 'tau'\] for CAR, got \['rho'\]"):
        model_of("CAR", {"rho": 0.1})


def test_noise_leaves_the_draw_as_it_is_and_the_seed_changes_both():
    quiet, noisy, other = view(noise=0.0), view(noise=2.0), view(noise=2.0, seed=1)
    np.testing.assert_array_equal(quiet.draw, noisy.draw)
    np.testing.assert_array_equal(quiet.measured, quiet.draw)
    # 9216 normals: their standard deviation is within 5.5 of its own, 2 / sqrt(2 n), with a false alarm of 4e-8.
    assert (noisy.measured - noisy.draw).std() == pytest.approx(2.0, abs=5.5 * 2.0 / math.sqrt(2 * SIDE**2))
    assert (other.draw != noisy.draw).all()


def test_correlations_of_the_model_are_those_of_what_is_measured():
    shown = view(noise=0.5, ratio=2.0, angle=0.0)
    field = Matern(range=12.0, anisotropy=(2.0, 0.0))
    for direction, lag in (("columns", (0, 1)), ("rows", (1, 0))):
        along = shown.along(direction)
        lags = np.arange(1, LONGEST + 1)[:, np.newaxis] * lag
        np.testing.assert_array_equal(along.found.offsets, lags)
        np.testing.assert_allclose(along.of_model, field.correlation(lags) / 1.25, atol=1e-7)
    assert shown.variance == pytest.approx(1.0, abs=1e-9)


def test_correlations_of_the_image_are_taken_from_its_pixels():
    shown = view(name="SAR", noise=0.0)
    difference = shown.measured[3:] - shown.measured[:-3]
    expected = 1.0 - 0.5 * np.mean(difference**2) / shown.variance
    assert shown.along("rows").of_image[2] == pytest.approx(expected, rel=1e-9)


def test_intrinsic_field_has_no_variance_and_shows_semivariances():
    shown = view(name="Intrinsic", noise=1.0, tau=4.0)
    assert shown.variance is None
    assert shown.along("columns").of_model[0] == pytest.approx(0.25 / 4.0 + 1.0, rel=1e-6)
    assert shown.spectrum()[SIDE // 2, SIDE // 2] == np.inf
    titles = [ax.get_title() for ax in field_figure(shown).axes]
    assert "(c) semivariance of (b): an intrinsic field has no variance" in titles


def test_no_variogram_is_computed_to_see_that_an_intrinsic_field_has_no_variance(monkeypatch):
    shown = view("TensionSpline", ratio=8.0)
    monkeypatch.setattr(TensionSpline, "variogram", lambda *_: pytest.fail("this takes seconds"))
    assert shown.variance is None


def test_spectrum_is_that_of_the_torus_and_sums_to_the_variance_of_a_pixel():
    shown = view(name="CAR", noise=0.5, rho=0.2, tau=2.0)
    model = CAR(0.2, tau=2.0, boundary="torus")
    variance = model.gmrf((SIDE, SIDE)).marginal_variance()[0, 0] + 0.25
    assert shown.spectrum().mean() == pytest.approx(variance, rel=1e-9)
    assert shown.spectrum()[SIDE // 2, SIDE // 2] == pytest.approx(1.0 / (2.0 * (1.0 - 0.8)) + 0.25, rel=1e-9)


def test_spectra_of_image_and_model_agree_on_average():
    found = [view(name="CAR", noise=0.5, rho=0.2, seed=seed) for seed in range(5)]
    measured = np.mean([each.periodogram() for each in found])
    # 46,080 pixels, correlated with few others: the mean is known to about 1%, 10% is far outside.
    assert measured == pytest.approx(found[0].spectrum().mean(), rel=0.1)


@pytest.mark.parametrize("name", KNOBS)
def test_figure_shows_draw_measurement_correlation_and_spectrum(name):
    shown = view(name=name)
    axes = {ax.get_title()[:3]: ax for ax in field_figure(shown).axes if ax.get_title()}
    assert list(axes) == ["(a)", "(b)", "(c)", "(d)"]
    np.testing.assert_array_equal(axes["(a)"].get_images()[0].get_array(), shown.draw)
    np.testing.assert_array_equal(axes["(b)"].get_images()[0].get_array(), shown.measured)
    model, image = axes["(d)"].get_images()
    assert model.get_clim() == image.get_clim()
    halves = [10.0 * np.log10(each) for each in (shown.spectrum()[:, : SIDE // 2], shown.periodogram()[:, SIDE // 4 :])]
    np.testing.assert_allclose(model.get_array(), halves[0])
    np.testing.assert_allclose(image.get_array(), halves[1])
    assert len(axes["(c)"].get_legend().get_texts()) == 2 * len(DIRECTIONS)


def test_knobs_start_within_their_ends():
    for knob in (knob for knobs in KNOBS.values() for knob in knobs):
        assert isinstance(knob, Knob)
        assert knob.start in knob.choices if knob.choices else knob.low <= knob.start <= knob.high
