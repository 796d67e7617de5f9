"""Boundaries by axis: what a pair means, how a ring turns, and that its seam is like any other place."""

import itertools
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import condition
from sparsegmrf.models import BYM, CAR, SAR, Independent, Intrinsic, Matern, Model, Sum, TensionSpline
from tests import reference
from tests.models.catalogue import adjacency, diffusion_matrix

RULES = ("dirichlet", "neumann", "torus")
PAIRS = list(itertools.product(RULES, repeat=2))
MIXED = [pair for pair in PAIRS if pair[0] != pair[1]]
CYLINDER = ("neumann", "torus")
SHAPE = (5, 6)

KINDS = {
    "CAR": lambda boundary: CAR((0.2, 0.25), 2.0, boundary=boundary),
    "CAR 8": lambda boundary: CAR(neighbourhood=8, boundary=boundary),
    "CAR degree": lambda boundary: CAR(0.9, form="degree", boundary=boundary),
    "SAR": lambda boundary: SAR(0.2, boundary=boundary),
    "SAR rows": lambda boundary: SAR(0.7, row_standardized=True, boundary=boundary),
    "Matern": lambda boundary: Matern(4.0, boundary=boundary),
    "Matern 2": lambda boundary: Matern(4.0, 2.0, 2, anisotropy=(2.0, 0.4), boundary=boundary),
    "Matern 0.5": lambda boundary: Matern(4.0, nu=0.5, boundary=boundary),
    "TensionSpline": lambda boundary: TensionSpline(0.4, 2.0, proper=0.02, boundary=boundary),
    "Independent": lambda boundary: Independent(0.5, boundary=boundary),
    "Sum": lambda boundary: Sum([CAR(0.2, boundary=boundary), Matern(3.0, boundary=boundary)]),
    "Intrinsic": lambda boundary: Intrinsic(boundary=boundary),
    "BYM": lambda boundary: BYM(0.7, 0.4, boundary=boundary),
}
WITHOUT_DIRICHLET = ("Intrinsic", "BYM")


@pytest.mark.parametrize("boundary", PAIRS)
def test_matrices_are_their_definition_pair_by_pair(boundary):
    weights = [0.1, 0.02, 0.15, 0.05]
    eight = [(0, 1), (1, -1), (1, 0), (1, 1)]
    W = adjacency(eight, weights, SHAPE, boundary)
    found = CAR(tuple(weights), 2.0, neighbourhood=8, boundary=boundary).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, 2.0 * (np.eye(30) - W), atol=1e-14)
    A = np.eye(30) - W
    found = SAR(tuple(weights), 2.0, neighbourhood=8, boundary=boundary).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, 2.0 * A.T @ A, atol=1e-14)
    cut = tuple("torus" if each == "torus" else "dirichlet" for each in boundary)
    neighbours = adjacency(eight, np.ones(4), SHAPE, cut)
    found = CAR(0.5, form="degree", neighbourhood=8, boundary=boundary).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, np.diag(neighbours.sum(axis=1)) - 0.5 * neighbours, atol=1e-14)
    G = diffusion_matrix(SHAPE, lambda pixel, offset: 1.0, [(0, 1), (1, 0)], boundary)
    found = TensionSpline(0.4, 2.0, proper=0.02, boundary=boundary).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, 2.0 * (0.02 * np.eye(30) + G) @ (0.16 * np.eye(30) + G), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("boundary", MIXED)
@pytest.mark.parametrize("name", [name for name in KINDS if name not in WITHOUT_DIRICHLET])
def test_fields_with_gaps_have_the_law_of_the_dense_matrix(name, boundary):
    model, rng = KINDS[name](boundary), np.random.default_rng(0)
    gaps = rng.random(SHAPE) < 0.3
    gaps[2:4, 0] = gaps[2:4, -1] = True
    y = np.where(gaps, np.nan, rng.standard_normal(SHAPE))
    noise = rng.uniform(0.1, 0.4, SHAPE)
    C = np.linalg.inv(model.stencil(SHAPE).tocsr().toarray())
    if model.combination is not None or model.gmrf(SHAPE).channels > 1:
        weights = model.observation if isinstance(model, Sum) else model.combination
        B = np.kron(np.eye(30), weights)
        C = B @ C @ B.T
    o = np.flatnonzero(~gaps)
    S = C[np.ix_(o, o)] + np.diag(noise.ravel()[o])
    gain = np.linalg.solve(S, C[o]).T
    given = C - gain @ C[o]
    options = {"noise_variance": noise, "covariates": None, "fixed": list(model.parameters)}
    found = fit(model, y, **options)
    assert found.loglik == pytest.approx(
        reference.log_density(y.ravel()[o], np.zeros(len(o)), np.linalg.inv(S)), rel=1e-9
    )
    predicted = found.predict()
    assert_allclose(predicted.mean.ravel(), gain @ y.ravel()[o], atol=1e-9)
    assert_allclose(predicted.variance.ravel(), np.diagonal(given), rtol=1e-8)
    if model.combination is None and not isinstance(model, Sum):
        posterior = condition(model.gmrf(SHAPE), y, mask=gaps, noise_variance=noise)
        assert_allclose(posterior.covariance_with((2, 0)).ravel(), given[:, 12], atol=1e-9)
        looks = posterior.factor.unwhiten(np.eye(30).reshape(30, *SHAPE)).reshape(30, 30)
        assert_allclose(looks.T @ looks, given, atol=1e-9)  # a draw is a mean plus A^-1 e


def rolled(image, by):
    return np.roll(image, by, axis=1)


@pytest.mark.parametrize("name", KINDS)
def test_turning_the_ring_turns_what_is_found(name):
    model, rng = KINDS[name](CYLINDER), np.random.default_rng(1)
    y = rng.standard_normal((6, 9))
    y[1:4, 2:5] = np.nan
    options = {"noise_variance": 0.2, "covariates": "constant", "fixed": list(model.parameters)}
    plain = fit(model, y, **options)
    expected = plain.predict()
    for by in (1, 4, 7):
        found = fit(model, rolled(y, by), **options)
        predicted = found.predict()
        assert found.loglik == pytest.approx(plain.loglik, rel=1e-10, abs=1e-10)
        assert_allclose(predicted.mean, rolled(expected.mean, by), atol=1e-10)
        assert_allclose(predicted.std, rolled(expected.std, by), atol=1e-10)
    moved = fit(model, np.roll(y, 1, axis=0), **options)
    assert name == "Independent" or abs(moved.loglik - plain.loglik) > 1e-3  # rows do not wrap


@pytest.mark.parametrize("name", KINDS)
def test_transposing_image_and_pair_transposes_what_is_found(name):
    model, other = KINDS[name](CYLINDER), KINDS[name](CYLINDER[::-1])
    if name == "CAR":
        other = other.replace(rho=model.rho[::-1])
    if name == "Matern 2":
        other = other.replace(anisotropy=(2.0, np.pi / 2.0 - 0.4))
    y = np.random.default_rng(2).standard_normal((6, 9))
    y[1:4, 7:] = y[1:4, :2] = np.nan
    options = {"noise_variance": 0.2, "covariates": "constant"}
    plain = fit(model, y, fixed=list(model.parameters), **options)
    found = fit(other, y.T, fixed=list(other.parameters), **options)
    assert found.loglik == pytest.approx(plain.loglik, rel=1e-10, abs=1e-10)
    assert_allclose(found.predict().mean, plain.predict().mean.T, atol=1e-10)
    assert_allclose(found.predict().std, plain.predict().std.T, atol=1e-10)


@pytest.mark.parametrize("nu", [1, 2, 1.5])
def test_seam_of_a_climate_grid_is_as_well_known_as_its_inside(nu):
    model = Matern(range=9.0, nu=nu, boundary=CYLINDER)
    y = model.gmrf((30, 60)).sample(rng=3)
    prior = model.gmrf((30, 60)).marginal_variance()
    assert_allclose(prior, np.broadcast_to(prior[:, :1], prior.shape), rtol=1e-9)
    y[:, ::5] = np.nan  # the same gaps all around
    found = fill(y, model=model, noise_variance=0.01, covariates="constant", fixed=list(model.parameters))
    assert_allclose(found.std, np.tile(found.std[:, 30:35], 12), rtol=1e-8)
    open_ended = model.replace(boundary="neumann")
    cut = fill(y, model=open_ended, noise_variance=0.01, covariates="constant", fixed=list(model.parameters))
    assert (cut.std[:, 0] > 1.1 * found.std[:, 0]).all()


@pytest.mark.parametrize("rule", RULES)
def test_pair_of_one_rule_is_the_rule(rule):
    for model in (Matern(boundary=(rule, rule)), CAR(boundary=[rule, rule]), Independent(boundary=(rule, rule))):
        assert model.boundary == rule
        assert f"boundary={rule!r}" in repr(model) or "boundary" not in repr(model)
        assert json.loads(model.to_json())["boundary"] == rule
    assert SymmetricStencil([(0, 0)], [1.0], (2, 3), boundary=(rule, rule)).boundary == rule


@pytest.mark.parametrize("name", KINDS)
def test_pair_survives_a_file(name):
    model = KINDS[name](list(CYLINDER))
    again = Model.from_json(model.to_json())
    for each in again.models if isinstance(again, Sum) else (again,):
        assert each.boundary == CYLINDER
    assert (again.stencil(SHAPE).tocsr() != model.stencil(SHAPE).tocsr()).nnz == 0


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Matern(boundary=("neumann", "wrap")), r"^boundary must be one of .* pair of these, got"),
        (lambda: Matern(boundary=("neumann",)), r"^boundary must be"),
        (lambda: CAR(boundary=("neumann", "torus", "torus")), r"^boundary must be"),
        (lambda: SAR(boundary=None), r"^boundary must be"),
        (lambda: Intrinsic(boundary=("dirichlet", "torus")), r"^boundary must be"),
        (lambda: BYM(boundary=("torus", "dirichlet")), r"^boundary must be"),
        (lambda: Intrinsic(2, boundary=CYLINDER), r"^order must be 1 where rows or columns wrap"),
        (lambda: Matern(boundary=CYLINDER).gmrf(SHAPE, edge="stationary"), r"^boundary must not wrap one axis only"),
        (lambda: Sum([Matern(boundary=CYLINDER), Matern()]).gmrf(SHAPE), r"^members must wrap along the same axes"),
        (
            lambda: Matern(boundary=CYLINDER).stencil(SHAPE) + Matern(boundary="torus").stencil(SHAPE),
            r"^other must have the boundary",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, match):
    with pytest.raises(ArgumentError, match=match):
        make()


@pytest.mark.parametrize("shape", [(5, 6), (6, 5), (4, 7)])
@pytest.mark.parametrize("boundary", [CYLINDER, ("torus", "dirichlet")])
@pytest.mark.parametrize("form", ["constant", "degree"])
@pytest.mark.parametrize("neighbourhood", [4, 8])
def test_limits_of_an_interaction_are_where_the_precision_is_singular(shape, boundary, form, neighbourhood):
    model = CAR(0.01, neighbourhood=neighbourhood, form=form, boundary=boundary)
    low, high = model.limits(shape)["rho"]
    for rho in (0.999999 * low, 0.999999 * high):
        values = np.linalg.eigvalsh(model.replace(rho=rho).build_stencil(shape).tocsr().toarray())
        assert values[0] > 0.0
    if neighbourhood == 4 or form == "degree":  # closed forms, and Lanczos
        for rho in (1.0001 * low, 1.0001 * high):
            values = np.linalg.eigvalsh(model.replace(rho=rho).build_stencil(shape).tocsr().toarray())
            assert values[0] < 0.0
