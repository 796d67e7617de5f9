"""What both fits to an ensemble return, beside what each is tested for by itself."""

import numpy as np
import pytest

from sparsegmrf.ensembles import CholeskyField, SymmetricField
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fitted import Fitted
from tests.ensembles.test_ensemble_regression import ensemble

FITS = {
    "Cholesky": lambda images, **options: CholeskyField.fit(images, 1, **{"shrinkage": None, **options}),
    "symmetric": lambda images, **options: SymmetricField.fit(images, offsets=[(0, 1), (1, 0)], **options),
}


@pytest.fixture(params=FITS)
def fit(request):
    return FITS[request.param]


def test_criteria_are_those_of_the_number_of_images(fit):
    result = fit(ensemble((4, 5), 40))
    assert isinstance(result, Fitted)
    assert result.n_observed == 40
    assert result.aic == 2 * result.n_parameters - 2 * result.loglik
    assert result.bic == result.n_parameters * np.log(40) - 2 * result.loglik


def test_likelihood_is_that_of_the_field_it_returns(fit):
    images = ensemble((4, 5), 40)
    result = fit(images)
    assert result.loglik == pytest.approx(result.gmrf().logpdf(images).sum(), rel=1e-9)


def test_given_mean_is_no_parameter(fit):
    images = ensemble((4, 5), 40)
    assert fit(images).n_parameters - fit(images, mean=0.0).n_parameters == 20


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_criteria_of_a_shrunk_fit_are_refused(fit, criterion):
    result = fit(ensemble((4, 5), 40), shrinkage=0.25)
    with pytest.raises(ArgumentError, match=rf"{criterion} compares maxima.*shrunk by 0\.25; fit with"):
        getattr(result, criterion)


def test_field_is_refused_on_another_shape_than_the_mean_has(fit):
    result = fit(ensemble((4, 5), 40))
    assert result.gmrf((4, 5)).shape == (4, 5)
    with pytest.raises(ArgumentError, match=r"shape must be that of the images, \(4, 5\).*got \(5, 4\); model\.gmrf"):
        result.gmrf((5, 4))
