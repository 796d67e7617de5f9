"""Stacks that are sums of fields: against dense algebra, sums of one image, and one field by itself."""

import numpy as np
import pytest

from sparsegmrf import inference
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import BYM, CAR, Intrinsic, Matern, Sum
from sparsegmrf.stacks import Separable, fill
from sparsegmrf.stacks._evidence import Evidence, StackModel
from sparsegmrf.stacks._lattice import LatticeFactor
from sparsegmrf.stacks._read import Stack, problem_of
from sparsegmrf.stacks._search import Likelihood
from sparsegmrf.stacks._sweep import SweepFactor
from sparsegmrf.stacks._windows import Window
from tests import reference
from tests.stacks.problems import moved, oracle, stack_of

SHAPE = (6, 7)
DAYS = np.array([40.0, 0.0, 12.0, 12.0, 400.0, 90.0])
PARTS = [
    Separable(Matern(4.0, 2.0), ell=60.0, label="slow"),
    Separable(CAR(0.2, tau=1.5), ell=8.0, label="fast"),
    Separable(CAR(0.1, tau=3.0), ell=0.0, label="day"),
    Separable(Matern(3.0, 1.5), ell=np.inf, label="map"),
]
HELD = ["range_slow", "sigma_slow", "ell_slow", "rho_fast", "tau_fast", "ell_fast", "rho_day", "tau_day", "range_map"]
KNOWN = {
    "model": PARTS,
    "fixed": [*HELD, "sigma_map", "range_mean", "sd_level"],
    "start": {"range_mean": 5.0, "sd_level": 1.2},
    "harmonics": 0,
    "noise_variance": 0.2,
}


def stack(seed=0, days=DAYS, shape=SHAPE):
    rng = np.random.default_rng(seed)
    values = 20.0 + 2.0 * rng.standard_normal((len(days), *shape))
    values[rng.uniform(size=values.shape) < 0.4] = np.nan
    return values


def dense(model, shape=SHAPE):
    return np.linalg.inv(model.stencil(shape).tocsr().toarray())


@pytest.mark.parametrize("method", ["sweep", "lattice"])
def test_a_filled_sum_is_that_of_dense_algebra_at_all_dates(method):
    values, at = stack(), [20.0, 500.0]
    found = fill(values, dates=DAYS, at=at, method=method, **KNOWN)
    days, n = np.append(DAYS, at), values[0].size
    parts = [(part.ell, dense(part.model)) for part in PARTS]
    S = reference.sum_covariance(days, parts, np.ones((8, 1)), [1.2], dense(Matern(5.0)))
    everything = np.append(values.ravel(), np.full(2 * n, np.nan))
    X = np.ones((8 * n, 1))
    loglik, mean, covariance, beta = reference.gaussian_given(S, everything, ~np.isnan(everything), 0.2, X)
    images = mean.reshape(-1, *SHAPE), np.sqrt(np.diagonal(covariance)).reshape(-1, *SHAPE)
    np.testing.assert_allclose(found.mean, images[0][:6], atol=1e-8)
    np.testing.assert_allclose(found.std, images[1][:6], rtol=1e-7)
    np.testing.assert_allclose(found.at.mean, images[0][6:], atol=1e-8)
    np.testing.assert_allclose(found.at.std, images[1][6:], rtol=1e-7)
    assert found.fit.loglik == pytest.approx(loglik, rel=1e-10)
    np.testing.assert_allclose(list(found.fit.coefficients.values()), beta, rtol=1e-8)
    assert "3 fields per date, 2 coefficients per pixel" in str(found.fit.plan)


@pytest.mark.parametrize("seed", range(4))
def test_any_sum_has_the_likelihood_and_gradient_of_dense_algebra(seed):
    rng = np.random.default_rng(seed)
    count, shape = 1 + seed, (int(rng.integers(1, 5)), int(rng.integers(2, 5)))
    days = np.cumsum(rng.uniform(1.0, 30.0, int(rng.integers(1, 5))))
    ells = [0.0, *rng.choice([0.0, np.inf, 5.0, 40.0], count - 1)]
    fields = [
        Separable(Matern(rng.uniform(1.5, 5.0), rng.uniform(0.5, 2.0)) if k % 2 else CAR(0.2, rng.uniform(0.5, 2)), ell)
        for k, ell in enumerate(rng.permutation(ells).tolist())
    ]
    model = StackModel(tuple(fields), CAR(0.1), (0.7, 0.4), 0.3)
    index = rng.integers(0, len(days), 5)
    data, images, weights = stack_of(days, index, 1, None, seed, shape)
    expected, step = oracle(model, data, images, weights, index)[0], 1e-5
    for factor in (SweepFactor, LatticeFactor):
        found = Evidence.of(model, data, factor)
        assert found.loglik == pytest.approx(expected, rel=1e-9)
        for name, slope in found.gradient().items():
            above, below = (oracle(moved(model, name, s), data, images, weights, index)[0] for s in (step, -step))
            assert slope == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-6), name


def test_draws_have_mean_and_deviation_of_the_prediction():
    values = stack(shape=(3, 3))
    found = fill(values, dates=DAYS, n_samples=4000, rng=3, **KNOWN)
    score = (found.samples.mean(axis=0) - found.mean) / found.std * np.sqrt(4000)
    assert np.abs(score).max() < 6.0  # of 54 numbers: a false alarm in 1e7
    assert np.abs(found.samples.std(axis=0) / found.std - 1.0).max() < 6.0 / np.sqrt(2 * 4000)


@pytest.mark.parametrize("spelled", [Separable(Matern(range=4.0)), [Separable(Matern(range=4.0))], [Matern(range=4.0)]])
def test_a_sum_of_one_field_is_that_field(spelled):
    options = {"dates": DAYS, "harmonics": None, "fixed": ["range"], "noise_variance": 0.5}
    plain, found = (fill(stack(), model=model, **options) for model in (Matern(range=4.0), spelled))
    assert found.parameters == plain.parameters
    assert found.fit.loglik == plain.fit.loglik
    np.testing.assert_array_equal(found.mean, plain.mean)
    np.testing.assert_array_equal(found.std, plain.std)


@pytest.mark.parametrize("ells", [(30.0, 0.0), (0.0, np.inf)])
def test_a_stack_of_one_date_is_the_sum_of_an_image(ells):
    models, image = [Matern(5.0, 2.0), CAR(0.1, tau=2.0)], stack()[0]
    names = ["range_0", "sigma_0", "rho_1", "tau_1"]
    held = {"fixed": names, "noise_variance": 0.2}
    parts = [Separable(model, ell) for model, ell in zip(models, ells, strict=True)]
    found = fill(image[np.newaxis], dates=[3.0], model=parts, harmonics=None, **held)
    expected = inference.fill(image, model=Sum(models), covariates="constant", **held)
    assert found.fit.loglik == pytest.approx(expected.fit.loglik, rel=1e-10)
    np.testing.assert_allclose(found.mean[0], expected.mean, rtol=1e-9)
    np.testing.assert_allclose(found.std[0], expected.std, rtol=1e-8)
    assert {name: found.parameters[name] for name in names} == pytest.approx(Sum(models).parameters)


@pytest.mark.parametrize(("end", "near"), [(0.0, 0.1), (np.inf, 1e8)])
def test_fields_at_the_ends_of_ell_are_limits(end, near):
    """At 0 and at infinity the correlation is another, and what comes near to it has nearly its likelihood."""
    data, _, _ = stack_of(np.array([0.0, 3.0, 4.5, 20.0]), (0, 1, 2, 3), None, "constant", 0)

    def model(ell):
        fields = (Separable(Matern(3.0, 1.2), 10.0), Separable(CAR(0.2), ell))
        return StackModel(fields, CAR(0.1), (), 0.3)

    expected, found = (Evidence.of(model(ell), data, SweepFactor).loglik for ell in (end, near))
    assert found == pytest.approx(expected, abs=1e-4)
    away = Evidence.of(model(10.0), data, SweepFactor).loglik
    assert abs(away - expected) > 0.1


def test_flips_in_time_and_space_flip_the_result():
    values = stack()
    found = fill(values, dates=DAYS, **KNOWN)
    turned = fill(values[::-1, ::-1, ::-1], dates=-DAYS[::-1], **KNOWN)
    assert turned.fit.loglik == pytest.approx(found.fit.loglik, rel=1e-12)
    np.testing.assert_allclose(turned.mean[::-1, ::-1, ::-1], found.mean, rtol=1e-10)
    np.testing.assert_allclose(turned.std[::-1, ::-1, ::-1], found.std, rtol=1e-10)


def test_the_order_of_the_fields_does_not_matter():
    found, turned = (fill(stack(), dates=DAYS, **{**KNOWN, "model": parts}) for parts in (PARTS, PARTS[::-1]))
    assert turned.fit.loglik == pytest.approx(found.fit.loglik, rel=1e-12)
    np.testing.assert_allclose(turned.mean, found.mean, rtol=1e-10)


def problem(values, days, fixed=(), parts=PARTS):
    read = Stack.read(values, days, "nan")
    nothing = np.zeros(values.shape, dtype=bool)
    return problem_of(read, parts, None, 0, "constant", "estimate", fixed, None, None, nothing)[0]


def test_likelihood_of_working_parameters_has_the_gradient_of_differences():
    windows = [Window(slice(0, 3), slice(0, 4)), Window(slice(3, 6), slice(3, 7))]
    likelihood = Likelihood(problem(stack(), DAYS), windows, SweepFactor)
    at, step = likelihood.start, 1e-5
    gradient = likelihood(at).gradient
    assert len(likelihood.names) == 13
    for k in range(len(at)):
        side = step * (np.arange(len(at)) == k)
        slope = (likelihood.value(at + side) - likelihood.value(at - side)) / (2.0 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-5), likelihood.names[k]


def drawn(shape, days, parts, noise, seed):
    """A stack of a sum of fields, by recursion in time."""
    rng = np.random.default_rng(seed)
    total = np.sqrt(noise) * rng.standard_normal((len(days), *shape))
    for part in parts:
        field = part.model.gmrf(shape)
        now = field.sample(rng=rng)
        total[0] += now
        for t, gap in enumerate(np.diff(days)):
            rho = np.exp(-gap / part.ell) if part.ell else 0.0
            now = rho * now + np.sqrt(1.0 - rho**2) * field.sample(rng=rng)
            total[t + 1] += now
    return total


def test_parameters_of_a_simulated_sum_are_found_within_their_errors():
    days = np.cumsum(np.random.default_rng(5).uniform(4.0, 12.0, 18))
    truth = [Separable(Matern(6.0, 3.0), 30.0, "slow"), Separable(Matern(2.5, 1.5), 0.0, "day")]
    values = drawn((7, 7), days, truth, 0.2, seed=1)
    values[np.random.default_rng(2).uniform(size=values.shape) < 0.3] = np.nan
    parts = [Separable(Matern(5.0), label="slow"), Separable(Matern(2.0), 0.0, "day")]
    found = fill(values, dates=days, model=parts, harmonics=None, covariates=None)
    assert found.fit.converged
    expected = {"range_slow": 6.0, "sigma_slow": 3.0, "ell_slow": 30.0, "range_day": 2.5, "sigma_day": 1.5}
    assert set(found.parameters) == {*expected, "noise_variance"}
    for name, value in (expected | {"noise_variance": 0.2}).items():
        assert abs(found.parameters[name] - value) < 4.0 * found.standard_errors[name], name
    alone = fill(values, dates=days, model=Matern(5.0), harmonics=None, covariates=None)
    assert found.fit.loglik > alone.fit.loglik + 8.0
    for said in ("Matern x exp(-days / ell_slow) + Matern, each date's own", "ell_slow", "2 fields per date"):
        assert said in found.summary()
    assert found.fit.units["ell_slow"] == "days"


def test_standard_errors_are_those_of_the_dense_likelihood():
    values = drawn((4, 5), np.arange(6.0) * 9.0, [Separable(CAR(0.2, tau=0.5), 30.0), Separable(CAR(0.2), 0.0)], 0.2, 3)
    parts = [Separable(CAR(0.2), 20.0, "slow"), Separable(CAR(0.2), 0.0, "day")]
    held = ["rho_slow", "rho_day", "ell_slow"]
    found = fill(values, dates=np.arange(6.0) * 9.0, model=parts, fixed=held, noise_variance=0.2, harmonics=None,
                 covariates=None)  # fmt: skip
    n, y, names = 20, values.ravel(), ["tau_slow", "tau_day"]

    def loglik(at):
        pair = zip((20.0, 0.0), at, strict=True)
        S = reference.sum_covariance(np.arange(6.0) * 9.0, [(ell, dense(CAR(0.2, tau=t), (4, 5))) for ell, t in pair])
        return reference.gaussian_given(S, y, np.ones(6 * n, dtype=bool), 0.2, np.zeros((6 * n, 0)))[0]

    at = np.array([found.parameters[name] for name in names])
    steps = 1e-3 * at * np.eye(2)
    H = np.array(
        [
            [loglik(at + a + b) - loglik(at + a - b) - loglik(at - a + b) + loglik(at - a - b) for b in steps]
            for a in steps
        ]
    ) / np.multiply.outer(2e-3 * at, 2e-3 * at)
    expected = np.sqrt(np.diagonal(np.linalg.inv(-H)))
    np.testing.assert_allclose([found.standard_errors[name] for name in names], expected, rtol=0.02)


def test_tiles_come_near_the_whole():
    values = drawn((16, 18), DAYS[[1, 2, 0]], [Separable(CAR(0.2), 30.0), Separable(CAR(0.15), 0.0)], 0.05, 4)
    values[1, 5:10, 5:10] = np.nan
    parts = [Separable(CAR(0.2), 30.0, "slow"), Separable(CAR(0.15), 0.0, "day"), Separable(CAR(0.1), np.inf, "map")]
    names = [f"{name}_{label}" for name in ("rho", "tau") for label in ("slow", "day", "map")]
    options = {"fixed": [*names, "ell_slow"], "noise_variance": 0.05, "harmonics": None, "covariates": None}
    whole, tiled = (fill(values, dates=DAYS[[1, 2, 0]], model=parts, core=core, **options) for core in (None, 8))
    assert np.abs((tiled.mean - whole.mean) / whole.std).max() < 0.1
    np.testing.assert_allclose(tiled.std, whole.std, rtol=0.02)


def test_a_cloud_is_screened_by_the_other_dates():
    days = np.arange(8.0) * 8.0
    truth = [Separable(Matern(6.0, 3.0), 200.0, "slow"), Separable(CAR(0.1), 0.0, "day")]
    values = drawn((6, 6), days, truth, 0.05, seed=2)
    values[3, 2:4, 2:4] += 30.0
    held = ["range_slow", "sigma_slow", "ell_slow", "rho_day", "tau_day"]
    found = fill(values, dates=days, model=truth, fixed=held, noise_variance=0.05, harmonics=None, outliers="screen")
    assert found.outliers[3, 2:4, 2:4].all()
    assert np.count_nonzero(found.outliers) <= 6
    assert np.abs(found.mean[3, 2:4, 2:4] - (values[3, 2:4, 2:4] - 30.0)).max() < 6.0


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ([], "model must have a field"),
        ([Matern(), "CAR"], "must be a model of a field"),
        ([Matern(), Matern], "the class Matern"),
        ([Separable(Matern(), ell=np.inf)], "changes in time"),
        ([Separable(Matern(), label="a"), Separable(CAR(), label="a")], "labels of their own"),
        ([Separable(Matern(), 9.0), Separable(Matern(), 9.0)], "start apart"),
        ([Separable(Matern(), label="mean"), CAR()], "'range_mean' twice"),
        ([Matern(), Separable(Intrinsic(), 0.0)], "proper on every pixel"),
        ([Matern(), Separable(BYM(), 0.0)], "one unknown per pixel"),
    ],
    ids=str,
)
def test_sums_that_are_none_are_refused(model, said):
    with pytest.raises(ArgumentError, match=said):
        fill(stack(), dates=DAYS, model=model)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Matern",), "model must be"),
        ((Matern(), -1.0), "ell must be 0 or more days"),
        ((Matern(), np.nan), "ell must be 0 or more days"),
        ((Matern(), [1.0]), "ell must be 0 or more days"),
        ((Matern(), 1.0, ""), "label must be a name"),
    ],
    ids=str,
)
def test_fields_that_are_none_are_refused(arguments, said):
    with pytest.raises(ArgumentError, match=said):
        Separable(*arguments)


def test_equal_fields_that_are_held_are_added():
    """Two fields alike are one of twice the variance."""
    held = {"noise_variance": 0.2, "harmonics": None, "covariates": None, "dates": DAYS}
    names = [f"{name}_{k}" for name in ("range", "sigma", "ell") for k in (0, 1)]
    two = fill(stack(), model=[Separable(Matern(4.0, 2.0), 30.0)] * 2, fixed=names, **held)
    one = fill(stack(), model=Separable(Matern(4.0, 2.0 * np.sqrt(2.0)), 30.0), fixed=["range", "sigma", "ell"], **held)
    assert two.fit.loglik == pytest.approx(one.fit.loglik, rel=1e-10)
    np.testing.assert_allclose(two.std, one.std, rtol=1e-8)
