"""Diagnoses are quiet about right models and numbers, and each figure speaks up about its own fault."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import ndtr

from sparsegmrf import GMRF, Matern, SymmetricStencil, TensionSpline, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.inference import diagnose
from sparsegmrf.inference._diagnose import whiteness
from sparsegmrf.likelihoods import Binomial, Poisson
from sparsegmrf.models import BYM, Sum
from sparsegmrf.scores import leave_one_out
from tests.inference.test_condition import FIVE, MEMBRANE

SHAPE = (40, 44)


@pytest.fixture(scope="module")
def images():
    """A Matern field with noise and gaps."""
    rng = np.random.default_rng(1)
    image = Matern(range=6.0, sigma=2.0).gmrf(SHAPE, mean=3.0).sample(rng=rng) + 0.5 * rng.standard_normal(SHAPE)
    image[8:18, 20:30] = np.nan
    return image


@pytest.fixture(scope="module")
def right(images):
    return fit(Matern(range=6.0), images, mask="nan")


def zs(white):
    lags = [value / error for value, error in white.correlations.values()]
    return np.array([white.mean_z, white.variance_z, white.third_z, white.fourth_z, *lags])


def quiet(found):
    """Every figure within five standard errors: a false alarm in fifty has probability 3e-5; seeds are fixed."""
    for white in (found.innovations, found.noise):
        if white is not None:
            assert np.abs(zs(white)).max() < 5.0
            assert white.p_value > 1e-6
    assert abs(found.variance_ratio_z) < 5.0
    assert found.worst_p_value > 1e-5
    assert found.residual < 1e-11


def test_a_right_model_is_white_and_its_numbers_agree(right):
    found = diagnose(right)
    quiet(found)
    assert found.innovations.count == 40 * 44
    assert found.noise.count == 40 * 44 - 100
    assert diagnose(right) == found


def test_a_filled_image_is_diagnosed_by_its_fit(images):
    result = fill(images, model=TensionSpline(kappa=0.3))
    found = diagnose(result, n_samples=20)
    assert found == diagnose(result.fit, n_samples=20)
    assert found.innovations.count == 40 * 44 - 1  # a level has no innovation
    assert abs(found.variance_ratio_z) < 5.0
    assert found.residual < 1e-11


def test_a_wrong_range_is_not_white(right):
    rough = dataclasses.replace(right, model=right.model.replace(range=2.0))
    found = diagnose(rough)
    assert found.innovations.p_value < 1e-8
    # The numbers of a wrong model are right all the same.
    assert found.residual < 1e-11
    assert abs(found.variance_ratio_z) < 5.0


def test_a_wrong_noise_is_seen_in_its_variance(right):
    found = diagnose(dataclasses.replace(right, noise_variance=0.25 * right.noise_variance))
    assert max(abs(found.noise.variance_z), abs(found.innovations.variance_z)) > 6.0


def test_an_image_observed_exactly_is_its_own_draw():
    truth = Matern(range=6.0).gmrf(SHAPE).sample(rng=3)
    result = fit(Matern(range=6.0), truth, noise_variance=None)
    found = diagnose(result)
    quiet(found)
    assert found.noise is None
    field = GMRF(result.model.stencil(SHAPE), mean=result.trend, method="dissection")
    assert found.innovations.mean_z == pytest.approx(field.whiten(truth).sum() / np.sqrt(truth.size), rel=1e-9)


def test_exact_observations_with_gaps(images):
    truth = np.where(np.isnan(images), np.nan, Matern(range=6.0).gmrf(SHAPE).sample(rng=5))
    found = diagnose(fit(Matern(range=6.0), truth, mask="nan", noise_variance=None))
    quiet(found)
    assert found.noise is None


@pytest.mark.parametrize(
    "field", [GMRF.from_precision(FIVE, mean=2.0), IntrinsicGMRF(MEMBRANE)], ids=["proper", "level"]
)
def test_a_field_alone_has_solve_and_variances(field):
    found = diagnose(field, n_samples=200)
    assert found.innovations is None
    quiet(found)


class Tampered(GMRF):
    """A field whose draws are too small, one of whose variances is wrong, and whose solve is off."""

    fault = ""

    def sample(self, *arguments, **options):
        return super().sample(*arguments, **options) * (0.9 if self.fault == "draws" else 1.0)

    def marginal_variance(self):
        variance = super().marginal_variance()
        variance[2, 3] *= 3.0 if self.fault == "variance" else 1.0
        return variance


def test_faults_in_numbers_are_seen():
    faults = {}
    for fault in ("", "draws", "variance"):
        field = Tampered(SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (20, 20)))
        object.__setattr__(field, "fault", fault)
        faults[fault] = diagnose(field, n_samples=100)
    assert abs(faults[""].variance_ratio_z) < 5.0
    assert faults[""].worst_p_value > 1e-5
    assert faults["draws"].variance_ratio == pytest.approx(0.81, abs=0.03)
    assert faults["draws"].variance_ratio_z < -10.0
    assert faults["variance"].worst_pixel == (2, 3)
    assert faults["variance"].worst_p_value < 1e-6
    # A factor of another matrix does not solve.
    field = GMRF.from_precision(FIVE)
    other = GMRF.from_precision(SymmetricStencil(FIVE.offsets, [4.3001, -1.0, -1.1], (5, 6)))
    field.__dict__["factor"] = other.factor
    assert 1e-6 < diagnose(field).residual < 1e-3


def test_whiteness_follows_its_definitions():
    rng = np.random.default_rng(0)
    e, seen = rng.standard_normal((9, 11)), rng.random((9, 11)) < 0.7
    found = whiteness(e, seen)
    v = e[seen]
    assert found.count == len(v)
    assert found.variance_z == pytest.approx((np.mean(v**2) - 1.0) * np.sqrt(len(v) / 2.0))
    for (di, dj), (value, error) in found.correlations.items():
        pairs = [
            e[i, j] * e[i + di, j + dj]
            for i, j in np.argwhere(seen).tolist()
            if 0 <= i + di < 9 and 0 <= j + dj < 11 and seen[i + di, j + dj]
        ]
        assert_allclose([value, error], [np.mean(pairs), len(pairs) ** -0.5], rtol=1e-12)
    assert len(found.correlations) == 8
    assert found.portmanteau == pytest.approx(sum((r / s) ** 2 for r, s in found.correlations.values()))


def test_the_law_of_the_figures_under_white_numbers():
    rng = np.random.default_rng(1)
    found = [whiteness(rng.standard_normal((30, 30)), np.ones((30, 30), dtype=bool)) for _ in range(400)]
    table = np.array([zs(each) for each in found])
    # Means and variances of 400 figures, within five standard errors of 0 and 1 (fourth moments have heavy tails).
    assert np.abs(table.mean(axis=0)).max() < 5.0 / 20.0
    assert np.abs(table.var(axis=0) - 1.0).max() < 0.6
    assert abs(np.mean([each.p_value < 0.1 for each in found]) - 0.1) < 5.0 * 0.015


def test_lags_beyond_a_small_image_are_left_out():
    found = whiteness(np.ones((1, 2)), np.ones((1, 2), dtype=bool))
    assert list(found.correlations) == [(0, 1)]
    assert np.isnan(whiteness(np.ones((1, 1)), np.ones((1, 1), dtype=bool)).p_value)


def test_summary_has_every_figure(right):
    text = diagnose(right).summary()
    for word in (
        "residual",
        "innovations, 1760",
        "noise, 1660",
        "correlation at (0, 1)",
        "chi-squared",
        "mean ratio",
        "worst",
    ):
        assert word in text


def test_sum_of_fields_is_diagnosed_and_a_wrong_share_is_seen():
    model = Sum([Matern(range=3.0, sigma=1.0), TensionSpline(kappa=0.05, tau=200.0)])
    rng = np.random.default_rng(4)
    image = model.observe(model.gmrf((40, 44)).sample(rng=rng)) + 0.3 * rng.standard_normal((40, 44))
    image[10:20, 12:25] = np.nan
    given = {"mask": "nan", "noise_variance": 0.09}
    found = diagnose(fit(model, image, **given, fixed=list(model.parameters)))
    assert found.residual < 1e-10
    assert found.innovations.p_value > 1e-3
    assert abs(found.innovations.variance_z) < 4.0
    assert found.innovations.count == 2 * image.size - 1, "one level of the spline is pinned"
    assert abs(found.noise.variance_z) < 4.0
    assert found.noise.count == np.isfinite(image).sum()
    assert abs(found.variance_ratio_z) < 4.0
    assert found.worst_p_value > 1e-3
    wrong = model.replace(sigma_0=0.4)
    found = diagnose(fit(wrong, image, **given, fixed=list(model.parameters)))
    assert found.residual < 1e-10
    assert min(found.innovations.p_value, found.noise.p_value) < 1e-6 or found.noise.variance_z > 6.0


COUNTED = Matern(range=6.0, sigma=0.8)


def counts_of(kind, seed=1):
    """Counts of a Matern field about 0.5, with gaps, and what `fit` is told of them."""
    rng = np.random.default_rng(seed)
    eta = COUNTED.gmrf(SHAPE, mean=0.5).sample(rng=rng)
    y = rng.poisson(2.0 * np.exp(eta)) if kind == "poisson" else rng.binomial(5, 1.0 / (1.0 + np.exp(-eta)))
    mask = np.zeros(SHAPE, dtype=bool)
    mask[8:18, 20:30] = True
    return y, {"mask": mask, "likelihood": Poisson(2.0) if kind == "poisson" else Binomial(5)}


@pytest.fixture(scope="module")
def counted():
    y, options = counts_of("poisson")
    return fit(COUNTED, y, **options)


@pytest.mark.parametrize("kind", ["poisson", "binomial"])
def test_a_right_model_of_counts_is_white(kind):
    y, options = counts_of(kind, seed=2)
    found = diagnose(fit(COUNTED, y, **options))
    quiet(found)
    assert found.innovations.count == 40 * 44
    assert found.noise.count == 40 * 44 - 100


def test_the_same_fit_to_counts_has_the_same_diagnosis(counted):
    assert diagnose(counted, n_samples=2) == diagnose(counted, n_samples=2)


def test_an_intrinsic_field_of_counts_has_an_innovation_less(counted):
    y, options = counts_of("poisson")
    found = diagnose(fit(TensionSpline(kappa=0.3), y, **options))
    quiet(found)
    assert found.innovations.count == 40 * 44 - 1


def test_a_wrong_range_and_a_wrong_level_of_counts_are_seen(counted):
    quiet(diagnose(counted))
    rough = diagnose(dataclasses.replace(counted, model=counted.model.replace(range=1.5)))
    assert rough.innovations.p_value < 1e-8
    higher = diagnose(dataclasses.replace(counted, trend=counted.trend + 6.0))
    assert higher.innovations.mean_z < -6.0
    for found in (rough, higher):
        assert found.residual < 1e-11
        assert abs(found.variance_ratio_z) < 5.0


def test_counts_that_scatter_more_than_their_distribution_are_seen():
    y, options = counts_of("poisson")
    rng = np.random.default_rng(3)
    scattered = rng.poisson(y * rng.gamma(0.5, 2.0, SHAPE))
    result = fit(COUNTED, scattered, **options, fixed=["range", "sigma"])
    assert diagnose(result).noise.variance_z > 6.0


def test_figures_of_right_models_of_counts_follow_their_law():
    field, table = COUNTED.gmrf((20, 25), mean=0.0), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        y = rng.poisson(np.exp(field.sample(rng=rng)))
        result = fit(COUNTED, y, likelihood=Poisson(), fixed=["range", "sigma"], covariates=None)
        found = diagnose(result, n_samples=2, rng=rng)
        table.append([*zs(found.innovations)[:4], *zs(found.noise)[:4]])
    # Means and mean squares of 40 figures within 5.5 standard errors; those of draws of the approximation miss by 11.
    assert np.abs(np.mean(table, axis=0)).max() < 5.5 / np.sqrt(40.0)
    assert np.abs(np.mean(np.square(table), axis=0) - 1.0).max() < 5.5 * np.sqrt(2.0 / 40.0)


def test_the_approximation_of_a_field_given_counts_is_a_field_alone(counted):
    found = diagnose(counted.posterior())
    assert found.innovations is None
    assert found.noise is None
    quiet(found)


def test_bad_input_is_named(right):
    with pytest.raises(ArgumentError, match=r"^result must be a FitResult, a FillResult or a GMRF, got ndarray"):
        diagnose(np.zeros((3, 3)))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"^n_samples must be at least 2, got 1"):
        diagnose(right, n_samples=1)


def test_solve_of_masked_sums_is_exact_on_their_domain():
    barrier = np.zeros((16, 20), dtype=bool)
    barrier[:, 9] = True
    image = np.where(barrier, np.nan, np.random.default_rng(0).standard_normal(barrier.shape))
    for model in (Sum([TensionSpline(barrier=barrier), Matern(range=3.0)]), BYM(0.5, 0.9, mask=barrier)):
        found = fit(model, image, fixed=tuple(model.parameters), noise_variance=0.25, covariates=None)
        assert diagnose(found).residual < 1e-12


@pytest.mark.parametrize(
    "model", [Matern(range=4.0), TensionSpline(kappa=0.5), Sum([Matern(range=2.0), Matern(range=6.0, sigma=2.0)])]
)
def test_every_measurement_is_predicted_as_if_it_had_been_missing(model):
    rng = np.random.default_rng(4)
    image = 3.0 + Matern(range=4.0).gmrf((9, 11)).sample(rng=rng) + 0.4 * rng.standard_normal((9, 11))
    image[3:5, 4:7] = np.nan
    result = fit(model, image, covariates="linear", noise_variance=0.16, fixed=list(model.parameters))
    found = diagnose(result, n_samples=2)
    for pixel in ((0, 0), (4, 3), (8, 10)):
        held = np.zeros(image.shape, dtype=bool)
        held[pixel] = True
        without = result.predict(held)
        assert_allclose(found.left_out.mean[pixel], without.mean[pixel], rtol=1e-8)
        variance = without.variance[pixel] + 0.16
        assert_allclose(found.left_out.std[pixel], np.sqrt(variance), rtol=1e-8)
        assert_allclose(found.z[pixel], (image[pixel] - without.mean[pixel]) / np.sqrt(variance), rtol=1e-6)
    np.testing.assert_array_equal(np.isnan(found.z), np.isnan(image))


def test_measurements_without_noise_are_predicted_by_those_around_them():
    image = Matern(range=4.0).gmrf((9, 11)).sample(rng=0)
    image[3, 4] = np.nan
    result = fit(Matern(range=4.0), image, noise_variance=None)
    found = diagnose(result, n_samples=2)
    expected = leave_one_out(result.gmrf(), image, mask=np.isnan(image), noise_variance=0.0)
    assert_allclose(found.left_out.mean, expected.mean)
    assert_allclose(found.left_out.std, expected.std)
    ran = fit(Matern(range=4.0), image)  # to the same, its noise having run to zero
    assert ran.undetermined == ("noise_variance",)
    assert_allclose(diagnose(ran, n_samples=2).left_out.std, expected.std, rtol=1e-2)


def test_residuals_of_a_right_model_are_uniform_and_those_of_a_wrong_one_are_not(images, right):
    found = diagnose(right, n_samples=2)
    seen = np.isfinite(images)
    z = found.z[seen]
    assert abs(z.mean()) < 5.0 / np.sqrt(z.size)  # correlated, but not enough for more; the seed is fixed
    assert found.pit_histogram().outside <= 2
    assert_allclose(found.pit[seen], ndtr(z))
    model = right.model.replace(sigma=0.5 * right.model.sigma)
    narrow = diagnose(dataclasses.replace(right, model=model), n_samples=2)
    assert narrow.pit_histogram().outside > 8


def test_residuals_of_counts_are_those_given_one_draw():
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0 * np.exp(Matern(range=4.0, sigma=0.5).gmrf((12, 14)).sample(rng=rng))).astype(float)
    counts[2:4, 3:6] = np.nan
    found = diagnose(fit(Matern(range=4.0, sigma=0.5), counts, likelihood=Poisson(5.0)), n_samples=2)
    assert found.left_out is None
    np.testing.assert_array_equal(np.isnan(found.z), np.isnan(counts))
    assert whiteness(np.nan_to_num(found.z), np.isfinite(found.z)) == found.noise


def test_a_field_alone_has_no_residuals():
    found = diagnose(Matern(range=4.0).gmrf((8, 8)), n_samples=2)
    assert found.z is None
    with pytest.raises(ArgumentError, match="predicted by others, got none"):
        found.pit_histogram()
