"""Fits side by side, and which of them have likelihoods of the same data."""

import dataclasses

import numpy as np
import pytest

from sparsegmrf import compare_fits, factor, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.likelihoods import Binomial, Poisson
from sparsegmrf.models import CAR, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.priors import PCSigma

SHAPE = (10, 12)
RNG = np.random.default_rng(0)
IMAGE = Matern(range=4.0).gmrf(SHAPE, mean=5.0).sample(rng=RNG) + 0.3 * RNG.standard_normal(SHAPE)
ROWS = np.mgrid[:10, :12][0].astype(float)
TREATMENT = RNG.choice(np.array(["A", "B", "C"]), SHAPE)
COUNTS = RNG.poisson(np.exp(0.2 * IMAGE))


def fitted(model, image=IMAGE, **options):
    return fit(model, image, **{"noise_variance": 0.1, "fixed": list(model.parameters), **options})


def reason(one, other):
    found = compare_fits(reference=one, other=other)
    assert found.reference == "reference"
    assert found["reference"].reason == ""
    return found["other"].reason


def test_table_has_what_the_fits_have():
    a, b = fit(CAR(), IMAGE), fit(Matern(), IMAGE, covariates="linear")
    found = compare_fits(a, b)
    assert [row.name for row in found.rows] == ["CAR", "Matern"]
    for row, each in zip(found.rows, (a, b), strict=True):
        assert row.fit is each
        assert (row.loglik, row.aic, row.bic) == (each.loglik, each.aic, each.bic)
        assert (row.n_parameters, row.method, row.converged) == (each.n_parameters, "ml", each.converged)
        assert row.is_comparable
    assert [row.aic for row in found.comparable] == sorted([a.aic, b.aic])
    lines = repr(found).splitlines()
    assert lines[1].split() == ["method", "loglik", "k", "AIC", "above", "BIC", "converged"]
    words = {line.split()[0]: line.split() for line in lines[2:4]}
    assert float(words["Matern"][2]) == pytest.approx(b.loglik, abs=1e-4)
    assert float(words["Matern"][5]) == pytest.approx(b.aic - min(a.aic, b.aic), abs=0.01)
    assert words["CAR"][-1] == ("yes" if a.converged else "NO")


def test_fits_of_one_model_are_numbered_and_fills_count_as_their_fits():
    a, b = fitted(Matern(3.0)), fitted(Matern(4.0))
    assert [row.name for row in compare_fits(a, b, fitted(CAR()), last=a).rows] == [
        "Matern 1",
        "Matern 2",
        "CAR",
        "last",
    ]
    filled = fill(IMAGE, model=Matern(3.0), noise_variance=0.1, fixed=["range", "sigma"])
    assert compare_fits(filled).rows[0].fit is filled.fit


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": 1000.0 * IMAGE}, "its image is 1000 times the other's: densities in other units"),
        ({"image": IMAGE + 1.0}, "it has other values"),
        ({"image": IMAGE[:-1]}, "it has other images"),
        ({"image": np.stack([IMAGE, IMAGE])}, "it has other images"),
        ({"mask": ROWS == 3.0}, "it has other observed pixels, 108 against 120"),
        ({"method": "reml"}, "its likelihood is that of method='reml'"),
        ({"image": COUNTS, "noise_variance": None, "likelihood": Poisson()}, "it has other values"),
    ],
)
def test_other_data_are_not_compared(changes, why):
    if "likelihood" in changes:
        changes = {name: value for name, value in changes.items() if name != "noise_variance"}
        other = fit(Matern(), fixed=["range", "sigma"], **changes)
    else:
        other = fitted(Matern(), **changes)
    assert reason(fitted(Matern()), other).startswith(why)


def test_probabilities_of_counts_compare_with_each_other_and_not_with_densities():
    held = {"fixed": ["range", "sigma"]}
    poisson = fit(Matern(), COUNTS, likelihood=Poisson(), **held)
    exposed = fit(Matern(), COUNTS, likelihood=Poisson(2.0), **held)
    binomial = fit(Matern(), COUNTS, likelihood=Binomial(100), **held)
    assert reason(poisson, exposed) == ""
    assert reason(poisson, binomial) == ""
    assert reason(poisson, fitted(Matern(), COUNTS.astype(float))).startswith("probabilities of counts")


def test_restricted_likelihoods_compare_with_the_same_trend_only():
    one = fitted(Matern(), method="reml")
    slope = fitted(Matern(), covariates=[np.ones(SHAPE), ROWS], method="reml")
    assert reason(one, slope).startswith("restricted likelihoods of other covariates")
    assert reason(one, fitted(CAR(), method="reml")) == ""
    assert reason(slope, fitted(Matern(), covariates={"rows": 1e3 - 2.0 * ROWS}, method="reml")) == ""
    codings = [
        fitted(Matern(), covariates=factor("t", TREATMENT, each), method="reml") for each in ("treatment", "sum")
    ]
    assert reason(*codings) == ""
    assert codings[0].loglik == pytest.approx(codings[1].loglik, abs=1e-8)
    assert reason(codings[0], slope).startswith("restricted likelihoods of other covariates")
    assert reason(fitted(Matern()), fitted(Matern(), covariates="linear")) == ""  # maximum likelihood


def test_fields_of_other_null_spaces_are_not_compared():
    for proper in (Matern(), CAR()):
        assert "null space" in reason(fitted(proper), fitted(Intrinsic()))
    assert "null space" in reason(fitted(Intrinsic(1)), fitted(Intrinsic(2)))
    assert reason(fitted(Intrinsic()), fitted(TensionSpline())) == ""
    assert reason(fitted(Intrinsic()), fitted(Sum([Matern(), Intrinsic()]))) == ""
    assert "null space" in reason(fitted(Matern()), fitted(Sum([Matern(), Intrinsic()])))


def test_what_is_no_maximum_is_not_compared_and_no_reference():
    plain = fit(Matern(), IMAGE)
    mode = fit(Matern(), IMAGE, priors={"sigma": PCSigma(3.0, 0.05)})
    found = compare_fits(mode=mode, plain=plain)
    assert found.reference == "plain"
    assert found["mode"].reason.startswith("a posterior mode with priors on sigma")
    assert np.isnan(found["mode"].aic)
    assert [row.name for row in found.comparable] == ["plain"]
    assert "* mode cannot be compared with plain: a posterior mode" in found.summary()


def test_estimates_of_cross_validation_are_not_compared():
    plain = fit(Matern(), IMAGE)
    by_blocks = dataclasses.replace(plain, problem=dataclasses.replace(plain.problem, method="cv"))
    assert compare_fits(a=plain, b=by_blocks)["b"].reason.startswith("estimates of cross-validation")
    assert compare_fits(b=by_blocks, a=plain).reference == "a"


def test_summary_of_a_restricted_fit_says_what_it_compares_with():
    told = "restricted likelihood: it, AIC and BIC compare fits with the same covariates only"
    assert told in fitted(Matern(), method="reml").summary()
    assert told not in fitted(Matern()).summary()


def test_summary_of_an_intrinsic_field_says_what_it_compares_with():
    told = "likelihood of what the field's null space leaves: it, AIC and BIC compare fields with the same one only"
    counts = fit(Intrinsic(), COUNTS, likelihood=Poisson(), fixed=["tau"])
    assert all(told in each.summary() for each in (fitted(Intrinsic()), fitted(Sum([Matern(), Intrinsic()])), counts))
    assert told not in fitted(Matern()).summary()


def test_what_is_no_fit_is_refused():
    with pytest.raises(ArgumentError, match=r"^fits must have at least one fit"):
        compare_fits()
    with pytest.raises(ArgumentError, match=r"^fits must be results of fit or fill, got Matern for number 0"):
        compare_fits(Matern())
    with pytest.raises(ArgumentError, match=r"got dict for number 0; give a dict as compare_fits\(\*\*fits\)"):
        compare_fits({})
    with pytest.raises(ArgumentError, match=r"^fits must have different names, got 'Matern' twice"):
        compare_fits(fitted(Matern()), Matern=fitted(Matern()))
    with pytest.raises(KeyError, match=r"'CAR' is none of Matern"):
        compare_fits(fitted(Matern()))["CAR"]
