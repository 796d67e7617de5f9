"""Fits and fillings of bands that are sums of fields: what is found, said and refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, Channels, Intrinsic, Matern, Sum, condition, fill, fit
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.inference import ChannelsFillResult, ChannelsFit
from sparsegmrf.inference._channel_data import channel_observations
from sparsegmrf.inference._channel_members import with_covariances
from sparsegmrf.inference._channel_search import ChannelObjective
from sparsegmrf.likelihoods import Poisson
from tests.inference.channel_law import FINE, OTHER, SHAPE, TWO, ChannelLaw
from tests.inference.test_channel_law import image_of, missing_of

TRUTH = Sum([Channels(Matern(10.0), TWO), Channels(Matern(2.5), OTHER)], labels=["coarse", "fine"])
START = Sum([Channels(Matern(8.0), np.eye(2)), Channels(Matern(2.0), np.eye(2))], labels=["coarse", "fine"])


def drawn(model, shape, noise, seed=0):
    rng = np.random.default_rng(seed)
    y = model.gmrf(shape, [5.0, -1.0]).sample(rng=rng)
    return y + np.sqrt(noise) * rng.standard_normal(y.shape)


def test_gradient_of_working_parameters_is_that_of_differences():
    data = channel_observations(image_of(ChannelLaw(TRUTH)), missing_of("differ", 2), 1.0, (*SHAPE, 2))
    objective = ChannelObjective.of(START, data, np.ones((1, *SHAPE)), [], True)
    assert objective.coordinates.names == ("range_coarse", "range_fine")  # covariances have the scales
    at = objective.start + np.random.default_rng(0).normal(size=10) * 0.3
    gradient, step = objective.gradient(at, objective.evidence(at)), 1e-5
    for k, unit in enumerate(np.eye(10)):
        slope = (objective.evidence(at + step * unit).loglik - objective.evidence(at - step * unit).loglik) / (2 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_parameters_of_a_simulated_sum_are_found_within_their_errors():
    truth = Sum([Channels(Matern(6.0), 3.0 * TWO), Channels(CAR(0.1), OTHER)], labels=["coarse", "fine"])
    start = Sum([Channels(Matern(4.0), np.eye(2)), Channels(CAR(0.05), np.eye(2))], labels=["coarse", "fine"])
    y, known = drawn(truth, (16, 16), 0.05, seed=1), {"noise_variance": 0.05}
    y[3:8, 4:12, 0] = y[12:15, 10:14] = np.nan
    found = fit(start, y, **known)
    assert isinstance(found, ChannelsFit)
    assert found.converged, found.reason
    assert set(found.standard_errors) == {"range_coarse", "rho_fine"}
    for name, value in (("range_coarse", 6.0), ("rho_fine", 0.1)):
        assert abs(found.parameters[name] - value) < 4.5 * found.standard_errors[name]
    for label, member in zip(truth.labels, truth.members, strict=True):
        estimate = found.model.members[truth.labels.index(label)].covariance
        away = np.abs(estimate - member.covariance) / found.covariance_errors[f"covariance_{label}"]
        assert away.max() < 4.5
    assert found.n_parameters == 2 + 6 + 2
    at_truth = fit(truth, y, **known, fixed=[*truth.parameters, "covariance_coarse", "covariance_fine"])
    assert 0.0 < found.loglik - at_truth.loglik < 20.0
    alone = fit(Channels(Matern(3.0), np.eye(2)), y, **known)
    assert found.loglik > alone.loglik + 8.0  # one covariance for both scales will not do
    text = found.summary()
    for said in ("Channels of Matern + Channels of CAR", "covariance_coarse of the channels", "rho_fine"):
        assert said in text
    assert found.gmrf().mean.shape == (16, 16, 2)


def test_a_covariance_at_an_edge_is_said_to_be_singular():
    """Of a field that both bands have in full only their common part is found, and the search ends there."""
    common = Matern(5.0).gmrf((12, 12)).sample(rng=3)
    own = np.sqrt([0.5, 0.4]) * np.random.default_rng(2).standard_normal((12, 12, 2))
    y = common[..., np.newaxis] * [1.0, 0.8] + own
    model = Sum([Channels(Matern(5.0), np.eye(2)), Channels(CAR(0.01), np.eye(2))], labels=["common", "own"])
    held = ["range_common", "rho_own", "covariance_own"]
    at = with_covariances(model, [None, np.diag([0.5, 0.4])])
    found = fit(at, y, noise_variance=1e-3, fixed=held, covariates=None)
    assert found.converged, found.reason
    assert found.reason.endswith("covariance_common ran to a singular one")
    S = found.model.members[0].covariance
    assert S[0, 1] / np.sqrt(S[0, 0] * S[1, 1]) > 0.999
    assert np.isfinite(found.covariance_errors["covariance_common"]).all()


@pytest.mark.parametrize("noise", ["estimate", None])
def test_a_sum_of_one_is_that_field(noise):
    y = drawn(TRUTH, (9, 10), 0.1)
    y[3:6, 2:7] = np.nan
    member = Channels(Matern(4.0), np.eye(2))
    found, plain = fit(Sum([member], labels=["a"]), y, noise_variance=noise), fit(member, y, noise_variance=noise)
    assert found.loglik == plain.loglik
    assert found.parameters["range_a"] == plain.parameters["range"]
    assert_allclose(found.model.models[0].covariance, plain.model.covariance)
    assert found.standard_errors["range_a"] == plain.standard_errors["range"]
    assert_allclose(found.covariance_errors["covariance_a"], plain.covariance_errors["covariance"])
    assert_allclose(Sum([member]).gmrf((4, 5)).marginal_variance(), member.gmrf((4, 5)).marginal_variance())


def test_a_field_cut_in_two_parts_is_the_field():
    y, whole = image_of(ChannelLaw(FINE)), Channels(Matern(4.0, 1.5), TWO)
    parts = Sum([Channels(Matern(4.0, 1.5), 0.3 * TWO), Channels(Matern(4.0, 1.5), 0.7 * TWO)])
    options = {"noise_variance": 0.2, "mask": missing_of("differ", 2)}
    held = ["range_0", "range_1", "sigma_0", "sigma_1", "covariance_0", "covariance_1"]
    one, two = fit(whole, y, fixed=["range", "sigma", "covariance"], **options), fit(parts, y, fixed=held, **options)
    assert two.loglik == pytest.approx(one.loglik, rel=1e-10)
    assert_allclose(two.coefficients, one.coefficients, rtol=1e-9)
    found, expected = (condition(each.gmrf(SHAPE), y, **options) for each in (parts, whole))
    assert_allclose(found.mean, expected.mean, rtol=1e-8, atol=1e-10)
    assert_allclose(found.marginal_variance(), expected.marginal_variance(), rtol=1e-9)


def test_a_band_with_a_gap_borrows_what_is_common_at_each_scale():
    """The coarse field is common to both bands, the fine one each band's own."""
    model = Sum([Channels(Matern(12.0), [[1.0, 0.99], [0.99, 1.0]]), Channels(Matern(2.0), 0.1 * np.eye(2))])
    y = drawn(model, (24, 24), 0.0, seed=3)
    hidden = y.copy()
    hidden[6:18, 6:18, 0] = np.nan
    held = [*model.parameters, "covariance_0", "covariance_1"]
    found = fill(hidden, model=model, noise_variance=1e-4, fixed=held, covariates="constant")
    assert isinstance(found, ChannelsFillResult)
    one = Sum([Matern(12.0), Matern(2.0, np.sqrt(0.1))])
    alone = fill(hidden[..., 0], model=one, noise_variance=1e-4, fixed=list(one.parameters), covariates="constant")
    gap = np.isnan(hidden[..., 0])
    assert found.std[..., 0][gap].mean() < 0.7 * alone.std[gap].mean()
    assert np.abs((found.mean - y)[..., 0][gap] / found.std[..., 0][gap]).max() < 5.0
    assert_allclose(found.filled[~np.isnan(hidden)], hidden[~np.isnan(hidden)])


def test_errors_of_a_covariance_are_those_of_its_law():
    """Without noise and at known spatial parameters it is Wishart's: ``var S_ab = (S_aa S_bb + S_ab^2) / n``."""
    y = drawn(Channels(CAR(0.2), TWO), (30, 30), 0.0)
    found = fit(Channels(CAR(0.2), np.eye(2)), y, noise_variance=None, fixed=["rho", "tau"], covariates=None)
    S = found.model.covariance
    expected = np.sqrt((np.multiply.outer(np.diagonal(S), np.diagonal(S)) + S**2) / 900)
    assert_allclose(found.covariance_errors["covariance"], expected, rtol=1e-5)
    held = fit(Channels(CAR(0.2), S), y, noise_variance=None, fixed=["rho", "tau", "covariance"])
    assert np.isnan(held.covariance_errors["covariance"]).all()


def test_errors_of_a_covariance_in_a_sum_are_those_of_the_dense_likelihood():
    y, held = drawn(TRUTH, SHAPE, 0.1), [*TRUTH.parameters, "covariance_coarse"]
    found = fit(TRUTH, y, noise_variance=0.05, fixed=held, covariates=None, tolerance=1e-4)
    assert found.converged, found.reason
    best, seen = found.model.models[1].covariance, np.ones(y.shape, dtype=bool)

    def loglik(e):
        S = best + np.array([[e[0], e[1]], [e[1], e[2]]])
        model = Sum([TRUTH.models[0], Channels(Matern(2.5), S)])
        return ChannelLaw(model).given(y, seen, 0.05, np.zeros((0, *SHAPE)))[0]

    h = 1e-3 * np.eye(3)
    H = [[loglik(a + b) - loglik(a - b) - loglik(b - a) + loglik(-a - b) for b in h] for a in h]
    spread = np.linalg.inv(-np.array(H) / 4e-6)
    expected = np.sqrt(np.diagonal(spread))
    errors = found.covariance_errors["covariance_fine"]
    assert_allclose([errors[0, 0], errors[1, 0], errors[1, 1]], expected, rtol=0.01)
    assert np.isnan(found.covariance_errors["covariance_coarse"]).all()


def test_bands_first_and_pixels_of_a_size_are_taken():
    y = drawn(TRUTH, (8, 9), 0.1)
    held = {"fixed": [*TRUTH.parameters, "covariance_coarse", "covariance_fine"], "noise_variance": 0.1}
    last, first = fill(y, model=TRUTH, **held), fill(np.moveaxis(y, -1, 0), model=TRUTH, **held)
    assert_allclose(np.moveaxis(first.mean, 0, -1), last.mean, rtol=1e-12)
    sized = fill(y, model=TRUTH, spacing=(30.0, 30.0), **held)
    assert sized.fit.parameters["range_coarse"] == pytest.approx(300.0)
    assert sized.fit.loglik == pytest.approx(last.fit.loglik, rel=1e-9)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([FINE, CAR(0.2)], "all Channels with as many of them, got Channels of 2, CAR"),
        ([FINE, Channels(CAR(0.2), np.eye(3))], "all Channels with as many of them, got Channels of 2, Channels of 3"),
        ([Sum([FINE]), FINE], "all Channels"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(models, said):
    with pytest.raises(ArgumentError, match=said):
        Sum(models)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"image": np.zeros((8, 9))}, r"image must have shape \(H, W, 2\)"),
        ({"model": Sum([FINE, Channels(Intrinsic(), TWO)])}, "must be proper in a sum of Channels"),
        ({"model": Sum([FINE, Channels(Matern(nu=0.5), TWO)])}, "must be sparse"),
        ({"model": Sum([FINE, Channels(CAR(0.2, boundary="torus"), TWO)])}, "wrap along the same axes"),
        ({"model": Sum([FINE, FINE])}, "models must start at different spatial models"),
        ({"model": Sum([FINE], observation=[2.0])}, "observation must be 1"),
        ({"fixed": ["covariance"]}, "fixed must name parameters among rho_0, tau_0, rho_1, tau_1, covariance_0"),
        ({"likelihood": Poisson(), "noise_variance": None}, "likelihood must be Gaussian"),
        ({"precision": "single"}, "precision must be"),
        ({"method": "reml"}, "method must be"),
    ],
    ids=str,
)
def test_bad_input_is_named(arguments, said):
    y = np.random.default_rng(0).normal(size=(8, 9, 2))
    given = {"model": Sum([FINE, Channels(CAR(0.05), TWO)]), "image": y, "noise_variance": 0.1, **arguments}
    if given["noise_variance"] is None:
        del given["noise_variance"]
    with pytest.raises(ArgumentError, match=said):
        fit(given.pop("model"), given.pop("image"), **given)


def test_what_has_no_sparse_precision_says_so():
    field = TRUTH.gmrf((4, 5))
    for ask in (lambda: field.precision, lambda: field.whiten(np.zeros((4, 5, 2)))):
        with pytest.raises(StencilError, match="stacked per pixel"):
            ask()
    with pytest.raises(StencilError, match="one field at a time"):
        TRUTH.rows((4, 5))
    with pytest.raises(ArgumentError, match="gmrf must have one channel here"):
        condition(field, np.zeros((4, 5, 2)), noise_variance=0.1, operator=np.ones((3, 3)))
    with pytest.raises(ArgumentError, match="must leave something unknown"):
        condition(field, np.zeros((4, 5, 2)), noise_variance=0.0)
