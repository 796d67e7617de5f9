"""The model of disease maps by its definition, and independent pixels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fit
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import BYM, Independent, Intrinsic, Matern, Sum
from sparsegmrf.priors import PCSigma
from tests.models.catalogue import PARTS

SHAPE = (6, 7)
BOUNDARIES = ("neumann", "torus")


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_precision_is_that_of_the_scaled_walk_and_independent_pixels(boundary):
    model = BYM(0.7, 0.3, boundary=boundary)
    Q = model.stencil(SHAPE).tocsr().toarray()
    R = Intrinsic(boundary=boundary).stencil(SHAPE).tocsr().toarray()
    variance = np.exp(np.mean(np.log(np.diagonal(np.linalg.pinv(R, hermitian=True, rcond=1e-12)))))
    assert_allclose(Q[::2, ::2], R * variance / (0.49 * 0.3), rtol=1e-12, atol=1e-12)
    assert_allclose(Q[1::2, 1::2], np.eye(42) / (0.49 * 0.7), rtol=1e-12)
    assert not Q[::2, 1::2].any()
    assert_allclose(model.combination, [1.0, 1.0])


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_geometric_mean_of_the_variances_of_the_structured_part_is_its_share(boundary):
    model = BYM(0.7, 0.3, boundary=boundary)
    structured = Intrinsic(scale=True, boundary=boundary, tau=1.0 / (0.49 * 0.3)).gmrf(SHAPE)
    assert structured.geometric_mean_variance() == pytest.approx(0.49 * 0.3, rel=1e-10)
    variances = model.gmrf(SHAPE).marginal_variance()
    assert_allclose(variances[..., 0], structured.marginal_variance(), rtol=1e-10)
    assert_allclose(variances[..., 1], 0.49 * 0.7, rtol=1e-12)


def test_derivatives_are_differences():
    model, h = BYM(0.7, 0.3), 1e-6
    for name, value in model.parameters.items():
        moved = [model.replace(**{name: value + sign * h}).stencil(SHAPE).tocsr().toarray() for sign in (-1, 1)]
        difference = (moved[1] - moved[0]) / (2.0 * h)
        found = model.derivatives(SHAPE)[name].tocsr().toarray()
        assert_allclose(found, difference, rtol=1e-7, atol=1e-7 * np.abs(difference).max())


def test_it_is_the_sum_that_it_says_and_draws_add_up():
    model = BYM(0.7, 0.3)
    parts = model.sum(SHAPE)
    assert isinstance(parts, Sum)
    assert np.array_equal(parts.stencil(SHAPE).tocsr().toarray(), model.stencil(SHAPE).tocsr().toarray())
    draws = model.gmrf(SHAPE).sample(3, rng=0)
    assert_allclose(model.observe(draws), draws.sum(axis=-1))
    image = Matern(3.0).gmrf(SHAPE).sample(rng=1)
    one = fit(model, image, noise_variance=0.1, fixed=["sigma", "phi"])
    other = fit(parts, image, noise_variance=0.1, fixed=list(parts.parameters))
    assert one.loglik == pytest.approx(other.loglik, rel=1e-12)
    assert_allclose(one.predict().std, other.predict().std, rtol=1e-12)


def test_scaled_multiplies_sigma_and_leaves_the_share():
    assert BYM(0.7, 0.3).scaled(2.0).parameters == {"sigma": 1.4, "phi": 0.3}
    assert Independent(0.7).scaled(2.0).parameters == {"sigma": 1.4}


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "torus"])
def test_independent_pixels_have_the_identity(boundary):
    model = Independent(0.5, boundary=boundary)
    assert_allclose(model.stencil(SHAPE).tocsr().toarray(), 4.0 * np.eye(42))
    assert_allclose(model.derivatives(SHAPE)["sigma"].tocsr().toarray(), -16.0 * np.eye(42))
    assert model.spectral_density(SHAPE).basis == Matern(boundary=boundary).spectral_density(SHAPE).basis
    assert_allclose(model.gmrf(SHAPE).marginal_variance(), 0.25)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("phi", [1e-6, 0.01, 0.4, 0.99, 0.9999])
def test_prior_of_the_share_is_exponential_in_the_distance_of_the_dense_covariances(boundary, phi):
    model = BYM(boundary=boundary)
    S = np.linalg.pinv(BYM(1.0, 1.0 - 1e-12, boundary).stencil(SHAPE).tocsr().toarray()[::2, ::2], hermitian=True)
    m = np.linalg.eigvalsh(S) - 1.0

    def distance(share):
        # Twice the divergence of two dense normal laws; its series where that is rounding.
        x = share * m
        return np.sqrt(np.sum(x - np.log1p(x)) if share > 1e-4 else np.sum(x**2 / 2.0 - x**3 / 3.0))

    prior = model.phi_prior(SHAPE, u=0.3, probability=0.8)
    rate = -np.log(0.2) / distance(0.3)
    h = 1e-4 * min(phi, 1.0 - phi)
    slope = (8.0 * (distance(phi + h) - distance(phi - h)) - distance(phi + 2 * h) + distance(phi - 2 * h)) / (12.0 * h)
    assert prior.log_density(phi) == pytest.approx(np.log(rate * slope) - rate * distance(phi), rel=1e-5, abs=1e-5)
    moved = [prior.log_density(phi + step * h) for step in (1, -1, 2, -2)]
    difference = (8.0 * (moved[0] - moved[1]) - (moved[2] - moved[3])) / (12.0 * h)
    assert prior.derivative(phi) == pytest.approx(difference, rel=1e-4, abs=1e-6)


def masked_structure(mask):
    """The covariance of the structured part on the domain: by pairs of neighbours, one geometric mean for all parts."""
    inside, height, width = np.flatnonzero(~mask), *mask.shape
    R = np.zeros((mask.size, mask.size))
    for p in range(mask.size):
        for q in [p + 1] * ((p + 1) % width > 0) + [p + width] * (p + width < height * width):
            if not (mask.flat[p] or mask.flat[q]):
                R[np.ix_([p, q], [p, q])] += [[1.0, -1.0], [-1.0, 1.0]]
    S = np.linalg.pinv(R[np.ix_(inside, inside)], hermitian=True, rcond=1e-12)
    variances = np.diagonal(S)
    return S / np.exp(np.log(variances[variances > 1e-9]).mean())


def test_structured_part_with_a_mask_is_scaled_on_the_domain():
    model, inside = BYM(0.7, 0.3, mask=PARTS), np.flatnonzero(~PARTS)
    Q = model.stencil(SHAPE).tocsr().toarray()
    structured = np.linalg.pinv(Q[::2, ::2][np.ix_(inside, inside)], hermitian=True, rcond=1e-12)
    assert_allclose(structured, 0.7**2 * 0.3 * masked_structure(PARTS), atol=1e-12)
    assert not Q[::2, ::2][PARTS.ravel()].any()
    assert model.gmrf(SHAPE).rank_deficiency == 3
    assert model.cropped(slice(0, 3), slice(1, 7)).mask.tolist() == PARTS[:3, 1:].tolist()
    assert BYM.from_json(model.to_json()).mask.tolist() == PARTS.tolist()


@pytest.mark.parametrize("phi", [0.01, 0.4, 0.99])
def test_prior_of_the_share_with_a_mask_is_that_of_the_dense_covariances_on_the_domain(phi):
    m = np.linalg.eigvalsh(masked_structure(PARTS)) - 1.0
    prior, h = BYM(mask=PARTS).phi_prior(SHAPE, u=0.3, probability=0.8), 1e-5

    def distance(share):
        return np.sqrt(np.sum(share * m - np.log1p(share * m)))

    rate, slope = -np.log(0.2) / distance(0.3), (distance(phi + h) - distance(phi - h)) / (2.0 * h)
    assert prior.log_density(phi) == pytest.approx(np.log(rate * slope) - rate * distance(phi), rel=1e-5, abs=1e-5)


def test_prior_of_the_share_refuses_parts_too_large_for_their_eigenvalues():
    mask = np.zeros((70, 70), dtype=bool)
    mask[0, 0] = True
    with pytest.raises(TooLargeError, match=r"^mask must leave parts of at most 4096 pixels .* got one of 4899"):
        BYM(mask=mask).phi_prior(mask.shape)


def test_prior_of_the_share_has_the_probability_given_below_the_share_given():
    prior = BYM().phi_prior(SHAPE)
    odds = np.linspace(-30.0, 0.0, 60001)  # logits: up to 0.5, the share of R-INLA's default
    share = 1.0 / (1.0 + np.exp(-odds))
    density = np.array([np.exp(prior.log_density(each)) * each * (1.0 - each) for each in share])
    assert np.trapezoid(density, odds) == pytest.approx(2.0 / 3.0, abs=1e-6)


def test_a_prior_keeps_the_share_of_counts_from_the_end_to_which_their_likelihood_runs():
    y = np.random.default_rng(0).poisson(5.0 * np.exp(0.5 * np.random.default_rng(1).standard_normal((20, 24))))
    plain = fit(BYM(), y, likelihood=Poisson(5.0))
    drawn = fit(
        BYM(), y, likelihood=Poisson(5.0), priors={"phi": BYM().phi_prior(y.shape), "sigma": PCSigma(1.0, 0.01)}
    )
    assert not plain.converged
    assert "Independent() is this model, but for its level" in plain.reason
    assert drawn.converged
    assert 0.001 < drawn.parameters["phi"] < 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BYM(sigma=0.0), r"^sigma must be positive"),
        (lambda: BYM(phi=0.0), r"^phi must be positive"),
        (lambda: BYM(phi=1.0), r"^phi must lie between 0 and 1, got 1; .* Intrinsic\(scale=True\)"),
        (lambda: BYM(boundary="dirichlet"), r"^boundary must be"),
        (lambda: BYM(mask=np.ones(SHAPE, dtype=bool)), r"^mask must be an \(H, W\) image that leaves some pixel"),
        (lambda: BYM(mask=PARTS).stencil((4, 5)), r"^mask must have the shape \(4, 5\) of the lattice, got \(6, 7\)"),
        (lambda: Independent(sigma=-1.0), r"^sigma must be positive"),
        (lambda: Independent(boundary="open"), r"^boundary must be"),
        (lambda: BYM().phi_prior(SHAPE, u=1.0), r"^u must lie between 0 and 1, got 1"),
        (lambda: BYM().phi_prior(SHAPE, probability=0.0), r"^probability must be positive"),
        (lambda: BYM().observe(np.zeros(SHAPE)), r"^x must"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_prior_of_a_share_is_that_of_numbers_on_maps_that_are_alike():
    height = SHAPE[0]
    plain = BYM(spacing=(1.5, 4.0)).phi_prior(SHAPE)
    on_maps = BYM(spacing=(1.5, np.full(height, 4.0))).phi_prior(SHAPE)
    varying = BYM(spacing=(1.5, np.linspace(1.0, 9.0, height))).phi_prior(SHAPE)
    for phi in (0.05, 0.4, 0.9):
        assert on_maps.log_density(phi) == pytest.approx(plain.log_density(phi), rel=1e-9)
        assert abs(varying.log_density(phi) - plain.log_density(phi)) > 1e-4
