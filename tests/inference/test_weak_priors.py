import numpy as np
import pytest

from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._weak_priors import weak_priors_of
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import BYM, CAR, Matern, TensionSpline
from sparsegmrf.priors import LogNormal, Normal, PCRange, PCSigma
from tests.inference.problems import read

IMAGE = np.random.default_rng(0).standard_normal((20, 30)).cumsum(axis=0).cumsum(axis=1)


def priors(model, image=IMAGE, **options):
    return weak_priors_of(read(model, image, **options))


def test_every_parameter_of_known_name_has_a_prior_of_its_kind():
    found = priors(Matern(anisotropy=(1.5, 0.3), diffusion="smooth"))
    kinds = {name: type(each) for name, each in found.items()}
    of_noise = {"noise_variance": LogNormal}
    assert kinds == {"range": PCRange, "sigma": PCSigma, "stretch": Normal, "shear": Normal, **of_noise}
    assert {name: type(each) for name, each in priors(TensionSpline()).items()} == {
        "kappa": LogNormal,
        "tau": LogNormal,
        **of_noise,
    }


def test_what_is_held_or_given_has_none():
    assert set(priors(Matern(), fixed="range", noise=0.1)) == {"sigma"}


def test_other_parameters_have_none():
    assert set(priors(CAR())) == {"tau", "noise_variance"}


def test_counts_have_those_of_what_they_suggest_by_themselves():
    counts = np.random.default_rng(0).poisson(np.exp(1.0 + 0.02 * IMAGE))
    problem = Problem.read(BYM(), counts, "nan", Poisson(2.0), "constant")
    found, eta = weak_priors_of(problem), np.log((counts + 0.5) / 2.0)
    assert set(found) == {"sigma", "phi"}
    assert found["sigma"].s0 == pytest.approx(3.0 * eta.std(), rel=1e-9)
    twice = Problem.read(BYM(), counts, "nan", Poisson(4.0), "constant")
    assert weak_priors_of(twice)["sigma"].s0 == pytest.approx(found["sigma"].s0, rel=1e-9)


def test_priors_follow_the_unit_of_the_image_and_not_its_level():
    own, moved = priors(Matern()), priors(Matern(), 1000.0 * IMAGE + 1e7)
    assert moved["range"] == own["range"]
    assert moved["sigma"].s0 == pytest.approx(1000.0 * own["sigma"].s0, rel=1e-9)
    assert moved["noise_variance"].median == pytest.approx(1e6 * own["noise_variance"].median, rel=1e-9)
    scales = priors(TensionSpline())["tau"].median, priors(TensionSpline(), 1000.0 * IMAGE + 1e7)["tau"].median
    assert scales[1] == pytest.approx(1e-6 * scales[0], rel=1e-6)


def test_the_scale_of_a_spline_is_expected_where_its_variance_is_the_images():
    model = TensionSpline(kappa=0.5)
    found = priors(model, covariates=None)["tau"].median
    variance = model.replace(tau=found).gmrf(IMAGE.shape).marginal_variance().mean()
    level = IMAGE.mean()
    assert variance == pytest.approx(np.mean((IMAGE - level) ** 2), rel=0.05)
