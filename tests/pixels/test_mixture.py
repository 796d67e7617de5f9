"""Mixtures: the objective never decreases, groups are found, responsibilities are Bayes' rule."""

import numpy as np
import pytest
import scipy.stats

from sparsegmrf.errors import ArgumentError, ConvergenceError, ImageLayoutError, SingularCovarianceError
from sparsegmrf.pixels import PixelGaussian, PixelMixture
from tests.conftest import require


@pytest.fixture(scope="module")
def two_groups():
    rng = np.random.default_rng(0)
    image = rng.multivariate_normal([0.0, 0.0, 0.0], [[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 1.0]], (50, 60))
    image[:, :20] = rng.multivariate_normal([4.0, 3.0, -2.0], 0.5 * np.eye(3), (50, 20))
    return image


@pytest.mark.parametrize("prior", [0.0, 5.0])
def test_the_objective_never_decreases(two_groups, prior):
    model = PixelMixture(3, prior=prior, tolerance=1e-5).fit(two_groups)
    assert len(model.objective_) > 5
    assert np.diff(model.objective_).min() >= 0.0


def test_scikit_learn_starting_from_the_answer_stays_there(two_groups):
    mixture = require("sklearn.mixture")
    model = PixelMixture(2, tolerance=1e-12).fit(two_groups)
    rows = two_groups.reshape(-1, 3)
    theirs = mixture.GaussianMixture(
        2,
        tol=1e-9,
        reg_covar=0.0,
        weights_init=model.weights_,
        means_init=model.means_,
        precisions_init=np.linalg.inv(model.covariances_),
    ).fit(rows)
    np.testing.assert_allclose(model.means_, theirs.means_, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model.covariances_, theirs.covariances_, rtol=1e-3, atol=1e-4)
    assert model.objective_[-1] == pytest.approx(theirs.score(rows), rel=1e-7)


def test_rows_with_other_channels_or_axes_than_the_fit_are_refused(two_groups):
    model = PixelMixture(2).fit(two_groups)
    with pytest.raises(ImageLayoutError, match=r"X must have shape \(n, 3\), got \(50, 60, 3\)"):
        model.score_samples(two_groups)
    with pytest.raises(ImageLayoutError, match="X has 2 features, but PixelMixture is expecting 3"):
        model.score_samples(two_groups[0, :, :2])
    assert model.score(two_groups[0]) == model.score_samples(two_groups[0]).mean()


@pytest.mark.parametrize("prior", [0.0, 5.0])
def test_likelihood_is_the_sum_of_the_densities_and_never_holds_the_prior(two_groups, prior):
    model = PixelMixture(2, prior=prior).fit(two_groups)
    assert model.loglik == pytest.approx(float(model.log_density_image(two_groups).sum()), rel=1e-9)


def test_bic_counts_weights_means_and_covariances_and_finds_the_groups(two_groups):
    fits = [PixelMixture(count).fit(two_groups) for count in (1, 2, 3)]
    assert [fit.n_parameters for fit in fits] == [9, 19, 29]
    assert fits[1].bic == pytest.approx(19 * np.log(3000) - 2 * fits[1].loglik, rel=1e-12)
    assert fits[0].aic == pytest.approx(PixelGaussian().fit(two_groups).aic, rel=1e-9)
    assert min(fits, key=lambda fit: fit.bic) is fits[1]
    assert f"{fits[1].weights_[0]:10.4f}" in fits[1].summary()


def test_responsibilities_and_density_are_bayes_rule(two_groups):
    model = PixelMixture(2).fit(two_groups)
    joint = np.stack(
        [
            w * scipy.stats.multivariate_normal(m, S).pdf(two_groups)
            for w, m, S in zip(model.weights_, model.means_, model.covariances_, strict=True)
        ]
    )
    found = model.responsibility_images(two_groups)
    assert found.shape == (2, 50, 60, 1)
    np.testing.assert_allclose(found[..., 0], joint / joint.sum(0), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.density_image(two_groups)[..., 0], joint.sum(0), rtol=1e-8)
    np.testing.assert_allclose(model.score_samples(two_groups[0]), np.log(joint.sum(0)[0]), rtol=1e-8)
    assert found[1, :, :20].mean() > 0.95
    chw = PixelMixture(2).fit(np.moveaxis(two_groups, -1, 0), channel_axis=0)
    np.testing.assert_array_equal(chw.responsibility_images(np.moveaxis(two_groups, -1, 0))[:, 0], found[..., 0])


def test_one_component_is_the_pixel_gaussian(two_groups):
    mixture, single = PixelMixture(1).fit(two_groups), PixelGaussian().fit(two_groups)
    np.testing.assert_allclose(mixture.covariances_[0], single.covariance, rtol=1e-12)
    np.testing.assert_allclose(mixture.log_density_image(two_groups), single.log_density_image(two_groups), rtol=1e-10)


def test_masked_pixels_do_not_count_and_threads_change_nothing(two_groups, threads):
    spoilt, mask = two_groups.copy(), np.zeros((50, 60), bool)
    mask[:7] = True
    spoilt[:7] = np.nan
    reference = PixelMixture(2, tolerance=1e-12).fit(two_groups[7:])
    threads(3)
    model = PixelMixture(2, tolerance=1e-12).fit(spoilt, mask=mask)
    np.testing.assert_allclose(model.means_, reference.means_, rtol=1e-9)
    images = model.responsibility_images(spoilt, mask=mask)
    assert np.isnan(images[:, :7]).all()
    assert np.isfinite(images[:, 7:]).all()
    threads(1)
    np.testing.assert_array_equal(PixelMixture(2, tolerance=1e-12).fit(spoilt, mask=mask).means_, model.means_)


def test_a_component_that_collapses_is_refused_and_the_prior_holds_it(two_groups):
    image = two_groups.copy()
    image[:10] = 20.0
    with pytest.raises(SingularCovarianceError, match=r"collapses .*prior=1"):
        PixelMixture(3).fit(image)
    model = PixelMixture(3, prior=1.0, tolerance=1e-6).fit(image)
    assert np.abs(model.means_ - 20.0).max(axis=1).min() < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, "n_components must be at least 1"),
        ({"prior": -1.0}, "prior must not be negative"),
        ({"max_steps": 0}, "max_steps"),
        ({"rng": "x"}, "rng must be"),
    ],
)
def test_bad_parameters_are_named(two_groups, options, message):
    with pytest.raises(ArgumentError, match=message):
        PixelMixture(**options).fit(two_groups)


def test_a_fit_without_end_is_given_up(two_groups):
    with pytest.raises(ConvergenceError, match="not converged in 1 steps"):
        PixelMixture(3, max_steps=1).fit(two_groups)
