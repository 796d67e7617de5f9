"""Every model's fits, predictions and draws are those of its dense law, on every boundary and whatever is observed.

A new model joins the catalogue, and inherits all of this. Of the slow cases every seventh is tried, so that each model
has its share; ``SPARSEGMRF_LAW=all`` in the environment tries them all.
"""

import itertools
import os
import re

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import fill, fit
from tests.inference.law import Law, around, drawn, trend_of, turned
from tests.inference.layouts import LAYOUTS, MARKED, backwards, read_only, strided
from tests.inference.problems import searched
from tests.models.catalogue import COMPOSED, FRACTIONAL, INTRINSIC, PROPER, SHAPE

LAWS = {name: Law(model, SHAPE) for name, model in {**PROPER, **FRACTIONAL, **INTRINSIC, **COMPOSED}.items()}
_RNG = np.random.default_rng(7)
MAP = _RNG.uniform(0.1, 0.6, SHAPE)
NOISE = {"exact": None, "noise": 0.3, "noise map": MAP}
GAPS = _RNG.random(SHAPE) < 0.25
ROW, ONE, LINE = (np.zeros(SHAPE, dtype=bool) for _ in range(3))
ROW[2] = True
ROW[4, 1:3] = True
ONE[:] = LINE[:] = True
ONE[3, 2] = LINE[4] = False
MISSING = {
    "complete": np.zeros(SHAPE, dtype=bool),
    "gaps": GAPS,
    "a row missing": ROW,
    "a row observed": LINE,
    "a pixel observed": ONE,
}
TRENDS = (None, "constant", "linear")


def missing_of(name, missing="gaps"):
    """Pixels that are missing: what has no value is, too."""
    return MISSING[missing] | ~LAWS[name].domain


QUICK = ("CAR degree", "SAR", "SAR rows", "Matern 2", "Matern smooth", "Intrinsic 1", "Intrinsic 2, scaled")
QUICK += ("TensionSpline", "TensionSpline intrinsic, torus", "Matern 0.5", "Sum with a random walk")
"""One or two of each kind: the others are tried in full by the slow checks."""


def case(*values, quick):
    """Values of a case, which is a slow one unless it is quick."""
    return pytest.param(*values, marks=() if quick else pytest.mark.slow)


def tried(cases):
    """Quick cases, and every seventh of the slow ones, or all."""
    cases = list(cases)
    if os.environ.get("SPARSEGMRF_LAW") == "all":
        return cases
    slow = [each for each in cases if each.marks]
    return [each for each in cases if not each.marks] + slow[::7]


def variance_of(noise):
    return 0.0 if NOISE[noise] is None else NOISE[noise]


@pytest.mark.parametrize(
    ("name", "noise", "missing", "trend"),
    tried(
        case(*each, quick=each[2:] == ("gaps", "linear") or (each[0] in QUICK and each[3] == "linear"))
        for each in itertools.product(LAWS, NOISE, MISSING, TRENDS)
    ),
)
def test_density_and_prediction_are_those_of_the_dense_law(name, noise, missing, trend):
    law, gaps = LAWS[name], missing_of(name, missing)
    model, observed, variance = law.model, ~gaps, variance_of(noise)
    options = {"mask": gaps, "noise_variance": NOISE[noise], "covariates": trend, "fixed": list(model.parameters)}
    refusals = law.refusals(observed, NOISE[noise], trend)
    if refusals:
        with pytest.raises(ArgumentError, match="|".join(map(re.escape, refusals))):
            fit(model, np.ones(SHAPE), **options)
        return
    y = drawn(model, SHAPE, trend, variance)
    found = fit(model, np.where(gaps, np.nan, y), **options)
    assert found.loglik == pytest.approx(law.loglik(y, observed, variance, trend), rel=1e-8, abs=1e-8)
    assert found.converged
    if trend is not None:
        restricted = fit(model, y, method="reml", **options)
        expected = law.loglik(y, observed, variance, trend, "reml")
        assert restricted.loglik == pytest.approx(expected, rel=1e-8, abs=1e-8)
        assert found.restricted_loglik == pytest.approx(expected, rel=1e-8, abs=1e-8)
    predicted = found.predict()
    mean, covariance = law.prediction(y, observed, variance, trend)
    expected = np.diagonal(covariance).reshape(SHAPE)
    rounding = 1e-12 * np.diagonal(law.covariance).max()
    assert_allclose(
        predicted.mean.ravel(), mean, rtol=0.0, atol=1e-8 * (np.sqrt(np.nanmax(expected)) + np.abs(y).max())
    )
    assert_allclose(predicted.variance, expected, rtol=1e-7, atol=rounding)
    if np.ndim(variance):
        variance = np.where(observed, variance, np.nan)
    assert_allclose(predicted.predictive_variance, expected + variance, rtol=1e-7, atol=rounding)
    if noise == "exact":
        assert_array_equal(predicted.mean[observed], y[observed])
        assert not predicted.std[observed].any()


FITTED = [name for name, law in LAWS.items() if not law.refusals(~missing_of(name), MAP, "linear")]
STACKED = [name for name in FITTED if LAWS[name].refusals(~missing_of(name), None, None)]
"""Sums, which are never observed without noise."""


def fits(noises, missing=tuple(MISSING), trends=TRENDS):
    """Names of cases with which models are fitted."""
    return tried(
        case(name, noise, gaps, trend, quick=(gaps, trend) == ("gaps", "linear") and all_are_quick)
        for name in FITTED
        for noise, all_are_quick in ((each, each == "estimated" or name in QUICK) for each in noises)
        for gaps in missing
        for trend in trends
        if (noise != "exact" or name not in STACKED)
        and not LAWS[name].refusals(~missing_of(name, gaps), NOISE.get(noise, 0.3), trend)
    )


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize(
    ("name", "noise", "missing", "trend"),
    fits(("exact", "noise map", "estimated"), ("complete", "gaps", "a row missing"), (None, "linear")),
)
def test_gradient_and_information_are_those_of_the_dense_law(name, noise, missing, trend, method):
    law, gaps = LAWS[name], missing_of(name, missing)
    model, variance = law.model, 0.3 if noise == "estimated" else variance_of(noise)
    y = drawn(model, SHAPE, trend, 2.0 * np.mean(variance), seed=1)
    given = "estimate" if noise == "estimated" else NOISE[noise]
    profiled = searched(model, y, gaps, given, trend, method)
    full = profiled.with_scale()
    at = full.start(model, variance if noise == "estimated" else None)
    point = full(at)
    assert point.value == pytest.approx(law.loglik(y, ~gaps, variance, trend, method), rel=1e-8, abs=1e-8)
    J = full.jacobian(at)
    assert J.shape == 2 * (len(model.parameters) + (noise == "estimated"),)
    slopes, sizes, information = law.slopes(y, ~gaps, variance, trend, method, noise == "estimated")
    smooth = np.array([key != "shear" or value != 0.0 for key, value in model.parameters.items()] + [True])[: len(J)]
    # The derivative by a shear of zero is that of one side.
    rounding = 1e-7 * (sizes @ np.abs(J))
    assert_allclose((point.gradient - slopes @ J)[smooth] / rounding[smooth], 0.0, atol=1.0)
    expected = J.T @ information @ J
    within = 1e-6 * np.sqrt(np.outer(np.diagonal(expected), np.diagonal(expected)))
    apart = np.abs(point.information - expected) <= within
    assert apart[np.ix_(smooth, smooth)].all()
    # With the scale profiled the others have the slopes that they have at the best scale.
    at = profiled.start(model, variance if noise == "estimated" else None)
    best = profiled.solution(at)
    whole = full(full.start(best[0], best[1] if noise == "estimated" else None))
    own = [full.names.index(key) for key in profiled.names]
    assert profiled(at).value == pytest.approx(whole.value, rel=1e-10, abs=1e-10)
    assert_allclose(profiled(at).gradient, whole.gradient[own], rtol=1e-7, atol=1e-7 * len(y))


@pytest.mark.parametrize(("name", "noise", "missing", "trend"), fits(("exact", "noise"), ("gaps",), ("linear",)))
def test_draws_and_fillings_have_the_moments_of_the_dense_law(name, noise, missing, trend):
    law, gaps, count = LAWS[name], missing_of(name, missing), 3000
    model, variance = law.model, variance_of(noise)
    y = drawn(model, SHAPE, trend, variance, seed=2)
    options = {"mask": gaps, "noise_variance": NOISE[noise], "covariates": trend, "fixed": list(model.parameters)}
    mean, covariance = law.prediction(y, ~gaps, variance, trend)
    looks = np.vstack([np.eye(y.size), np.random.default_rng(0).standard_normal((20, y.size))])
    looks[:, ~law.domain.ravel()] = 0.0
    mean, covariance = np.nan_to_num(mean), np.nan_to_num(covariance)
    if noise == "exact":
        looks[:, ~gaps.ravel()] = 0.0
    looks = looks[looks.any(axis=1)]
    spread = np.einsum("ki,ij,kj->k", looks, covariance, looks)
    for seed in (1, 2):
        found = fill(y, model=model, n_samples=count, rng=seed, **options)
        predicted = fit(model, y, **options).predict(n_samples=count, rng=seed)
        # fill goes on with the factor of the fit's last evaluation, which has its own rounding.
        for what in ("mean", "std", "predictive_std", "samples"):
            assert_allclose(getattr(found, what), getattr(predicted, what), rtol=1e-12, atol=1e-11)
        assert_array_equal(found.filled, np.where(gaps, found.mean, y))
        if noise == "exact":
            assert (found.samples[:, ~gaps] == y[~gaps]).all()
        assert (np.isnan(found.samples) == ~law.domain).all()
        seen = (np.nan_to_num(found.samples).reshape(count, -1) - mean) @ looks.T
        # 62 normal means and chi-squared sums in some 300 cases: a false alarm in any has a probability below 1e-6.
        assert np.abs(seen.mean(axis=0) * np.sqrt(count / spread)).max() < 6.8
        sums = np.sum(seen**2, axis=0) / spread
        low, high = scipy.stats.chi2.ppf([1e-11, 1.0 - 1e-11], count)
        assert low < sums.min()
        assert sums.max() < high


@pytest.mark.parametrize("name", FITTED)
def test_what_is_left_out_is_predicted_from_the_others(name):
    law, model, gaps = LAWS[name], LAWS[name].model, missing_of(name)
    y = drawn(model, SHAPE, "linear", 0.3, seed=3)
    held = np.roll(GAPS, 2, axis=1) & ~gaps
    result = fit(model, y, mask=gaps, noise_variance=0.3, covariates="linear", fixed=list(model.parameters))
    found = result.predict(held)
    mean, covariance = law.prediction(y, ~gaps & ~held, 0.3, "linear")
    assert_allclose(found.mean.ravel(), mean, rtol=0.0, atol=1e-8 * (np.nanmax(found.std) + np.abs(y).max()))
    assert_allclose(found.variance.ravel(), np.diagonal(covariance), rtol=1e-7)


TURNS = {"rows": np.flipud, "columns": np.fliplr, "transposed": np.transpose}
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
ADDED = {"level": 1e9 + 0.0 * ROWS, "plane": 1e9 + 1e5 * ROWS - 3e4 * COLUMNS}


@pytest.mark.parametrize(
    ("name", "turn"), tried(case(name, turn, quick=name in QUICK) for name in FITTED for turn in TURNS)
)
def test_turned_images_have_the_turned_law(name, turn):
    model, turn, gaps = LAWS[name].model, TURNS[turn], missing_of(name)
    y, other = drawn(model, SHAPE, "linear", MAP, seed=4), turned(model, turn)
    options = {"covariates": "linear", "method": "reml", "fixed": list(model.parameters)}
    plain = fit(model, y, mask=gaps, noise_variance=MAP, **options)
    options["fixed"] = list(other.parameters)
    found = fit(other, turn(y), mask=turn(gaps), noise_variance=turn(MAP), **options)
    assert found.loglik == pytest.approx(plain.loglik, rel=1e-9, abs=1e-9)
    before, after = plain.predict(), found.predict()
    assert_allclose(after.mean, turn(before.mean), rtol=0.0, atol=1e-8 * (np.abs(y).max() + np.nanmax(before.std)))
    assert_allclose(after.variance, turn(before.variance), rtol=1e-8)


def steps_of(law):
    """A large level of its own on each connected part."""
    return 1e9 * scipy.ndimage.label(law.domain)[0]


@pytest.mark.parametrize(
    ("name", "trend", "noise"),
    tried(
        case(*each, quick=each[0] in QUICK or each[1:] == ("constant", "noise"))
        for each in itertools.product(FITTED, TRENDS, ("exact", "noise"))
    ),
)
def test_what_field_or_trend_hold_is_added_in_vain(name, trend, noise):
    law, variance, gaps = LAWS[name], variance_of(noise), missing_of(name)
    if law.refusals(~gaps, NOISE[noise], trend):
        return
    inside = law.domain.ravel()
    model, held = law.model, np.hstack([law.free, trend_of(trend, SHAPE)])[inside]
    y = drawn(model, SHAPE, trend, variance, seed=5)
    options = {"mask": gaps, "noise_variance": NOISE[noise], "covariates": trend, "fixed": list(model.parameters)}
    plain = fit(model, y, **options)
    before = plain.predict(n_samples=1, rng=1)
    for added in (*ADDED.values(), steps_of(law)):
        rest = added.ravel()[inside] - held @ np.linalg.lstsq(held, added.ravel()[inside], rcond=None)[0]
        if np.abs(rest).max() > 1e-6 * np.abs(added).max():
            continue
        found = fit(model, y + added, **options)
        assert found.loglik == pytest.approx(plain.loglik, rel=1e-8, abs=1e-6)
        after = found.predict(n_samples=1, rng=1)
        assert_allclose(after.mean - added, before.mean, rtol=0.0, atol=2e-6)
        assert_allclose(after.variance, before.variance, rtol=1e-8)
        assert_allclose(after.samples - added, before.samples, rtol=0.0, atol=5e-6)


@pytest.mark.parametrize(
    ("name", "unit"),
    tried(
        case(name, unit, quick=name in QUICK and unit in (1e-100, 1e100))
        for name in FITTED
        for unit in (1e-100, 1e-7, 1e5, 1e100)
    ),
)
def test_law_in_another_unit_is_the_law_in_that_unit(name, unit):
    law = LAWS[name]
    model, other = law.model, law.model.scaled(unit)
    y = drawn(model, SHAPE, "linear", 0.3, seed=6)
    options = {"mask": missing_of(name), "covariates": "linear", "fixed": list(model.parameters)}
    for noise in (0.3, MAP) if name in STACKED else (0.3, MAP, None):
        for method in ("ml", "reml"):
            plain = fit(model, y, noise_variance=noise, method=method, **options)
            given = None if noise is None else noise * unit * unit
            found = fit(other, unit * y, noise_variance=given, method=method, **options)
            held = law.free.shape[1] + law.covariates("linear").shape[1] * (method == "reml")
            moved = (found.n_observed - held) * np.log(unit)
            assert found.loglik + moved == pytest.approx(plain.loglik, rel=1e-9, abs=1e-9 * max(1.0, abs(moved)))
        before, after = plain.predict(n_samples=1, rng=1), found.predict(n_samples=1, rng=1)
        assert_allclose(after.mean / unit, before.mean, rtol=0.0, atol=1e-9 * (np.abs(y).max() + np.nanmax(before.std)))
        assert_allclose(after.std / unit, before.std, rtol=1e-9)
        assert_allclose(after.samples / unit, before.samples, rtol=0.0, atol=1e-8 * np.nanmax(np.abs(before.samples)))


@pytest.mark.parametrize("name", tried(case(name, quick=name in QUICK[::3]) for name in FITTED))
def test_dtype_and_memory_layout_of_what_is_given_do_not_matter(name):
    model, gaps = LAWS[name].model, missing_of(name)
    y = drawn(model, SHAPE, "linear", 0.3, seed=7)
    y = np.round(100.0 * (y - y.min()) / np.ptp(y))
    noise = np.round(64.0 * MAP) / 64.0
    options = {"covariates": "linear", "fixed": list(model.parameters)}
    plain = fit(model, y, mask=gaps, noise_variance=noise, **options)
    expected = plain.predict(n_samples=1, rng=1)

    def check(what, image, mask, noise_variance, **changes):
        found = fit(model, image, mask=mask, noise_variance=noise_variance, **{**options, **changes})
        assert found.loglik == plain.loglik, what
        predicted = found.predict(n_samples=1, rng=1)
        assert_array_equal(predicted.mean, expected.mean, what)
        assert_array_equal(predicted.variance, expected.variance, what)
        assert_array_equal(predicted.samples, expected.samples, what)

    images = {what: layout(y) for what, layout in LAYOUTS.items()}
    images |= {what: marked(y, gaps) for what, marked in MARKED.items()}
    for what, image in images.items():
        before = np.array(image, copy=True).tobytes()
        check(what, image, gaps, noise)
        assert np.array(image, copy=True).tobytes() == before, what
        if what in MARKED and what != "infinity behind the mask":
            check(what, image, "nan", noise)
    for layout in (np.asfortranarray, backwards, strided, read_only):
        check("mask and noise", y, layout(gaps), layout(noise))
    for dtype in ("float32", ">f8", "longdouble"):
        check("noise", y, gaps, noise.astype(dtype))
    columns = trend_of("linear", SHAPE).T.reshape(3, *SHAPE)
    own = fit(model, y, mask=gaps, noise_variance=noise, **{**options, "covariates": columns})
    for given in (columns.astype(">f4"), np.asfortranarray(columns), columns[:, ::-1, ::-1].copy()[:, ::-1, ::-1]):
        found = fit(model, y, mask=gaps, noise_variance=noise, **{**options, "covariates": given})
        assert found.loglik == own.loglik
        assert list(found.coefficients.values()) == list(own.coefficients.values())


def searches():
    """Free fits of models with parameters; of those with many, which take long, one each."""
    for name in FITTED:
        count = len(LAWS[name].model.parameters)
        for noise, method in itertools.product(("exact", "estimated"), ("ml", "reml")):
            if noise == "exact" and name in STACKED:
                continue
            if 0 < count < 5 or (count and (noise, method) == ("estimated", "ml")):
                runs_away = (name, noise, method) == ("Sum with a mask", "exact", "ml")  # one number, the rest go on
                yield case(name, noise, method, quick=name in QUICK or runs_away)


@pytest.mark.parametrize(("name", "noise", "method"), tried(searches()))
def test_no_point_about_a_fit_is_likelier(name, noise, method):
    model, variance = LAWS[name].model, 0.3 if noise == "estimated" else 0.0
    given = "estimate" if noise == "estimated" else None
    y = drawn(model, SHAPE, "linear", variance, seed=8)
    gaps = missing_of(name)
    found = fit(model, y, mask=gaps, noise_variance=given, covariates="linear", method=method)
    at = found.noise_variance if noise == "estimated" else None
    at_end = Law(found.model, SHAPE)
    own = at_end.loglik(y, ~gaps, found.noise_variance, "linear", method)
    # At an end of its interval a precision may be next to singular, and a thousandth of a nat be rounding.
    assert found.loglik == pytest.approx(own, rel=1e-8, abs=1e-8 if found.converged else 1e-3)
    points = [(Law(other, SHAPE), s) for other, s in around(found.model, SHAPE, at)]
    # An anisotropy that opens or closes a strait has other contrasts.
    points = [(other, s) for other, s in points if other.free.shape == at_end.free.shape]
    best = max(other.loglik(y, ~gaps, s, "linear", method) for other, s in points)
    # What runs to an end of its interval is called no maximum, and stops where a hundredth of a nat is left to gain.
    # Neither is what a search ends at for a kink, of which the monotone scheme has many in stretch and shear.
    kinked = "shear" in model.parameters and model.diffusion == "monotone"
    assert best <= found.loglik + (1e-7 if found.converged else 0.25 if kinked else 1e-2)
