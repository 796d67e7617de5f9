"""Memory of fits and fillings is told before they start, and what cannot fit is refused there."""

import gc
import weakref

import numpy as np
import pytest

from sparsegmrf import Channels, Matern, Sum, TensionSpline, _memory, condition, fill, fit, plan
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.factors.dissection import _numeric
from sparsegmrf.inference import _plan, spacing_of
from sparsegmrf.inference._memo import Memo, Workspace
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._problem import Problem
from sparsegmrf.likelihoods import Poisson
from tests.conftest import require

SHAPE = (96, 80)


def image(shape=SHAPE, missing=0.3):
    rng = np.random.default_rng(1)
    y = Matern(range=6.0).gmrf(shape).sample(rng=2) + 0.3 * rng.standard_normal(shape)
    y[rng.random(shape) < missing] = np.nan
    return y


@pytest.mark.parametrize("model", [TensionSpline(), Matern(), Matern(nu=0.5), Matern(anisotropy=(0.5, 0.3))])
def test_the_factor_planned_is_that_of_the_field_given_the_observations(model):
    y = image()
    problem = Problem.read(model, y)
    objective = problem.objective
    found = objective.evaluate(objective.origin, Workspace()).evidence.solved
    planned = plan(y, model).factor
    assert found.regression.posteriors[0].nbytes == pytest.approx(planned.factor_bytes, rel=0.05)


def test_gaps_and_maps_of_noise_call_for_a_factor_and_complete_images_for_none():
    complete, gappy = image(missing=0.0), image()
    assert plan(complete, Matern()).method == plan(SHAPE, Matern(), mask=None).method == "transform"
    assert plan(complete, Matern()).factor is None
    assert plan(gappy, Matern()) == plan(SHAPE, Matern())
    assert plan(SHAPE, Matern(), mask=np.isnan(gappy)) == plan(gappy, Matern())
    assert plan(SHAPE, Matern(), mask=np.zeros(SHAPE, dtype=bool)).method == "transform"
    assert plan(complete, Matern(), noise_variance=np.ones(SHAPE)).method == "dissection"
    assert plan(complete, Matern()).fill_bytes < plan(gappy, Matern()).fill_bytes / 4


def test_draws_and_stacked_fields_take_their_part():
    assert plan(SHAPE, Matern(), n_samples=500).fill_bytes > plan(SHAPE, Matern()).fill_bytes
    assert plan(SHAPE, Matern(), n_samples=500).fit_bytes == plan(SHAPE, Matern()).fit_bytes
    assert plan(SHAPE, Sum((Matern(), Matern(range=3.0)))).factor.nonzeros > 3 * plan(SHAPE, Matern()).factor.nonzeros


def test_a_stencil_is_planned_as_one_factorization():
    stencil = Matern().stencil((32, 32))
    assert plan((64, 64), stencil) == _plan.plan_factor((64, 64), stencil)


def test_a_plan_of_a_problem_is_readable():
    assert str(plan((256, 256), Matern())).startswith("256 x 256 pixels by dissection: fit 0.177 GB")
    text = str(plan((1000, 1000), Matern(), mask=None))
    assert text == "1000 x 1000 pixels by transform: fit 0.112 GB, roughly 1 s; fill 0.272 GB, roughly 2 s"


def test_plan_names_a_wrong_argument():
    with pytest.raises(ArgumentError, match=r"^stencil must be a SymmetricStencil, got list"):
        plan(SHAPE, [])
    with pytest.raises(ArgumentError, match=r"^model must be a model of a field.*got the class Matern"):
        plan(SHAPE, Matern)
    with pytest.raises(ArgumentError, match=r"^stencil must be a model of one field.*plan its spatial model"):
        plan(SHAPE, Channels(Matern(), np.eye(2)))
    with pytest.raises(ArgumentError, match=r"^mask must be a boolean image of shape \(96, 80\), got float64"):
        plan(SHAPE, Matern(), mask=np.zeros(SHAPE))
    with pytest.raises(ArgumentError, match=r"^n_samples must be"):
        plan(SHAPE, Matern(), n_samples=-1)


@pytest.fixture
def nothing_is_built(monkeypatch):
    """Let nothing be left of the memory, and the objective fail if it is made."""

    def made(*_):
        raise AssertionError("the objective was built")

    monkeypatch.setattr(_memory, "available_bytes", lambda: 10**6)
    monkeypatch.setattr(Objective, "of", made)


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize("model", [Matern(), Matern(nu=0.5), TensionSpline()])
def test_what_cannot_fit_is_refused_before_the_objective_is_built(model):
    start = r"^the factor of a field given some of 96 x 80 pixels would need about .* GB, and 0\.001 GB are available; "
    for run in (lambda y: fit(model, y), lambda y: fill(y, model=model)):
        with pytest.raises(TooLargeError, match=start + r"take a window or tiles .*transforms fit and fill.*predicts"):
            run(image())


@pytest.mark.usefixtures("nothing_is_built")
def test_counts_are_refused_as_early():
    with pytest.raises(TooLargeError, match=r"^the factor of a field given some of 96 x 80 pixels"):
        fit(Matern(), np.ones(SHAPE), likelihood=Poisson())


@pytest.mark.usefixtures("nothing_is_built")
def test_complete_and_exact_images_reach_the_objective():
    for y, noise in ((image(missing=0.0), "estimate"), (image(missing=0.0), 0.1), (image(), None), (image(), 0.0)):
        with pytest.raises(AssertionError, match="objective was built"):
            fit(Matern(), y, noise_variance=noise)


def test_what_fits_is_fitted_where_little_more_than_the_plan_is_left(monkeypatch):
    y = image((64, 48))
    expected = fit(Matern(), y, fixed=("range",)).loglik
    left = plan(y, Matern()).fit_bytes
    monkeypatch.setattr(_memory, "available_bytes", lambda: left)
    assert fit(Matern(), y, fixed=("range",)).loglik == expected


def test_smaller_lattices_bound_a_factor_from_below_and_what_is_between_is_planned_whole(monkeypatch):
    shape, stencil = (1400, 900), _plan._posterior_stencil(Matern(), (1400, 900), alike=False)
    whole = plan(shape, stencil).peak_bytes
    for left, refused in ((whole // 3, True), (whole - 1, True), (whole, False)):
        monkeypatch.setattr(_memory, "available_bytes", lambda left=left: left)
        if refused:
            with pytest.raises(TooLargeError):
                _plan.refuse_factor(shape, stencil, "the factor")
        else:
            _plan.refuse_factor(shape, stencil, "the factor")


def test_condition_refuses_gaps_that_do_not_fit_and_takes_complete_images(monkeypatch):
    field, y = Matern().gmrf(SHAPE), image()
    monkeypatch.setattr(_memory, "available_bytes", lambda: 10**6)
    with pytest.raises(TooLargeError, match=r"^the factor of a field given some of 96 x 80 pixels"):
        condition(field, y, mask="nan", noise_variance=0.1)
    assert condition(field, np.nan_to_num(y), noise_variance=0.1).method == "spectral"


def test_a_search_holds_one_factor_at_a_time(monkeypatch):
    """What was evaluated before, and the analysis that is kept, hold no factor while the next one is made."""
    alive, most = weakref.WeakSet(), []
    plain = _numeric.factorize

    def counted(*arguments, **options):
        gc.collect()
        most.append(len(alive))
        made = plain(*arguments, **options)
        alive.add(made)
        return made

    monkeypatch.setattr(_numeric, "factorize", counted)
    memo = Memo(Problem.read(Matern(), image()).objective)
    for step in (0.0, 0.1, 0.2):
        memo(memo.objective.origin + step)
    memo.value(memo.objective.origin + 0.3)
    assert len(most) == 4
    assert max(most) == 0
    assert np.isfinite(memo.solution(memo.objective.origin + 0.2).evidence.left).all()
    assert memo.evaluations == 4


def test_plan_of_a_labelled_image_is_that_of_its_pixels_on_the_ground():
    xarray = require("xarray")
    values = xarray.DataArray(
        np.zeros((20, 24)), {"lat": np.linspace(70.0, 51.0, 20), "lon": np.arange(24.0)}, ("lat", "lon")
    )
    spacing = spacing_of(values)
    assert plan(values, Matern()) == plan(values, Matern(spacing=(spacing.height, spacing.width)))
    assert plan(values, Matern()) != plan(values.to_numpy(), Matern())
