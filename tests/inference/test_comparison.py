"""The comparison behind fill(model="best"): its numbers against dense ones and against predictions set by set."""

import contextlib
import io
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import FillResult
from sparsegmrf.inference import _comparison as comparison
from sparsegmrf.inference._comparison import MATERN, SPLINE, SUM, TURNED
from sparsegmrf.models import Matern, Sum, TensionSpline
from sparsegmrf.scores import Blocks, hold_out
from tests.inference.test_fit import design, problem

SHAPE = (32, 36)


def two_scales(seed, shape=SHAPE):
    """An image of a fine field with a grain and a coarse one, noise, and a gap."""
    rng = np.random.default_rng(seed)
    grain = Matern(range=3.0, sigma=0.7, anisotropy=(2.5, -0.6), diffusion="smooth")
    model = Sum([grain, Matern(range=25.0, sigma=2.0)])
    image = 10.0 + model.observe(model.gmrf(shape).sample(rng=rng)) + 0.1 * rng.standard_normal(shape)
    image[10:17, 12:21] = np.nan
    return image


class Compared(NamedTuple):
    result: FillResult
    printed: str
    sets: list[Blocks]


def filled(rng):
    """Fill an image by the best field; keep what is printed and what is held out."""
    sets = []
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        for name in ("gap_copies", "rectangles"):
            patch.setattr(comparison, name, recorded(getattr(comparison, name), sets))
        result = fill(two_scales(0), model="best", rng=rng)
    return Compared(result, out.getvalue(), sets)


def recorded(function, calls):
    def call(*arguments, **options):
        calls.append(function(*arguments, **options))
        return calls[-1]

    return call


@pytest.fixture(scope="module")
def compared():
    return filled(3)


def test_table_names_every_candidate_and_nothing_is_printed(compared, threads):
    table = compared.result.comparison.summary()
    for name in (SPLINE, TURNED, MATERN, SUM):
        assert f"\n{name} " in table
    assert table.count("<- chosen") == 1
    threads(1)
    again = filled(3)
    assert again.result.comparison.summary() == table
    assert (compared.printed, again.printed) == ("", "")


def test_field_of_the_least_aic_among_the_best_predictions_fills_the_gaps(compared):
    result = compared.result
    found = result.comparison
    least = min(found.candidates, key=lambda each: each.crps)
    assert least.excess == 0.0
    near = [each for each in found.candidates if each.crps - least.crps <= each.excess_error]
    assert max(found.candidates, key=lambda each: each.loglik).name == SUM
    assert found.chosen is min(near, key=lambda each: each.aic)
    assert result.fit is found.chosen.fit
    alone = fill(two_scales(0), model=result.fit.model)
    assert alone.fit.loglik == pytest.approx(result.fit.loglik, abs=0.01)
    assert_allclose(alone.mean, result.mean, atol=0.02)


def test_every_fit_is_a_maximum_and_scores_are_those_of_plain_hold_outs(compared):
    image, sets = two_scales(0), compared.sets
    assert len(sets) == 3
    largest = np.bincount(sets[-1].labels.ravel())[1:].max()
    assert largest == 7 * 7, "the largest square that the gap holds"
    for each in compared.result.comparison.candidates:
        assert each.fit.converged
        if each.name == SUM:
            continue
        predicted = [
            hold_out(
                each.fit.model.gmrf(SHAPE), image - each.fit.trend, blocks, mask="nan",
                noise_variance=each.fit.noise_variance,
            )
            for blocks in sets
        ]  # fmt: skip
        held = [blocks.held_out for blocks in sets]
        error = np.concatenate([(p.observed - p.mean)[h] for p, h in zip(predicted, held, strict=True)])
        # The comparison fits the trend without what is held out, and adds its uncertainty.
        assert np.sqrt(np.mean(error**2)) == pytest.approx(each.rmse, rel=0.05)


@pytest.mark.parametrize("covariates", [None, "constant", "linear"])
@pytest.mark.parametrize("model", [TensionSpline(kappa=0.6, tau=0.5), Matern(range=4.0)], ids=["spline", "matern"])
def test_restricted_loglik_is_the_dense_density_of_contrasts(model, covariates):
    image, missing = problem(3, (11, 12))
    result = fit(model, image, mask=missing, covariates=covariates)
    o = ~missing.ravel()
    Q = result.model.stencil(image.shape).tocsr().toarray()
    intrinsic = isinstance(model, TensionSpline)
    X = design("constant" if intrinsic and covariates is None else covariates, image.shape)[o]
    # Orthonormal contrasts of the observed pixels; a flat level is in the covariates.
    K = np.linalg.svd(X, full_matrices=True)[0][:, X.shape[1] :] if X.shape[1] else np.eye(o.sum())
    prior = np.linalg.pinv(Q, hermitian=True, rcond=1e-12) if intrinsic else np.linalg.inv(Q)
    C = K.T @ (prior[np.ix_(o, o)] + result.noise_variance * np.eye(o.sum())) @ K
    y = K.T @ image.ravel()[o]
    expected = -0.5 * (np.linalg.slogdet(2.0 * np.pi * C)[1] + y @ np.linalg.solve(C, y))
    assert result.restricted_loglik == pytest.approx(expected, rel=1e-9)


def test_reml_fit_has_no_smaller_restricted_loglik():
    image, missing = problem(3, (11, 12))
    plain, restricted = (fit(Matern(range=4.0), image, mask=missing, method=method) for method in ("ml", "reml"))
    assert plain.restricted_loglik <= restricted.loglik
    assert plain.restricted_loglik == pytest.approx(restricted.loglik, abs=0.5)


def test_exact_images_are_compared_under_the_sum_too():
    image = two_scales(1, (24, 26))
    found = fill(image, model="best", noise_variance=None, rng=0).comparison
    assert {each.name for each in found.candidates} == {SPLINE, TURNED, MATERN, SUM}
    assert not found.left_out


def test_other_words_are_refused():
    with pytest.raises(ArgumentError, match=r"^model must be one of 'best', got 'good'"):
        fill(two_scales(0), model="good")
    with pytest.raises(ArgumentError, match=r"^fixed must be empty with model=\"best\""):
        fill(two_scales(0), model="best", fixed=["range"])
