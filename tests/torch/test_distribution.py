"""Every method against torch's dense MultivariateNormal, over shapes, channels, radii and dtypes."""

import math

import pytest

from tests.conftest import require

torch = require("torch")

from torch.distributions import Independent, Normal, kl_divergence  # noqa: E402

from sparsegmrf.torch import CholeskyGMRF  # noqa: E402
from tests.torch.fields import dense_normal, factor_of, field, images, rows  # noqa: E402

KINDS = pytest.mark.parametrize(
    ("channels", "radius", "coupled", "shape"),
    [(1, 1, False, (3, 4)), (1, 2, False, (4, 3)), (2, 1, True, (3, 3)), (3, 2, True, (2, 3)), (2, 1, False, (1, 4))],
)
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-4)])


def assert_close(actual, expected, tolerance=1e-10):
    torch.testing.assert_close(actual.double(), expected, rtol=tolerance, atol=tolerance)


@DTYPES
@KINDS
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_moments_density_and_entropy_are_those_of_the_dense_normal(
    batch, channels, radius, coupled, shape, dtype, tolerance
):
    p = field(batch, channels, shape, radius, dtype, coupled)
    dense = dense_normal(p)
    for name in ("mean", "mode", "variance", "stddev"):
        value = getattr(p, name)
        assert value.dtype == dtype
        assert_close(value, images(getattr(dense, name), p), tolerance)
    assert_close(p.entropy(), dense.entropy(), tolerance)
    assert_close(p.perplexity().log(), dense.perplexity().log(), tolerance)
    for sample in ((), (5,), (2, 1)):
        x = torch.randn(*sample, *p.loc.shape, dtype=dtype, generator=torch.Generator().manual_seed(1))
        expected = dense.log_prob(rows(x.double()))
        for backend in ("auto", "kernels", "torch"):
            result = p.log_prob(x, backend=backend)
            assert result.dtype == dtype
            assert result.shape == sample + batch
            assert_close(result, expected, tolerance)
        distance = -2.0 * (expected - dense.log_prob(dense.mean))
        assert_close(p.mahalanobis(x), distance, 10 * tolerance)


@DTYPES
@KINDS
@pytest.mark.parametrize("sample", [(), (5, 2)])
def test_draw_solves_the_transposed_factor(channels, radius, coupled, shape, sample, dtype, tolerance):
    p = field((2,), channels, shape, radius, dtype, coupled)
    torch.manual_seed(4)
    x = p.rsample(torch.Size(sample))
    torch.manual_seed(4)
    white = torch.randn(*sample, *p.loc.shape, dtype=dtype)
    solved = torch.linalg.solve_triangular(factor_of(p).mT, rows(white.double()).unsqueeze(-1), upper=True)
    assert x.dtype == dtype
    assert x.shape == (*sample, 2, *p.event_shape)
    assert_close(x, p.loc.double() + images(solved.squeeze(-1), p), tolerance)
    assert_close(p.whiten(x), white.double(), 100 * tolerance)
    assert_close(p.unwhiten(white), x.double(), tolerance)


@KINDS
def test_divergences_are_those_of_dense_normals(channels, radius, coupled, shape):
    p = field((2,), channels, shape, radius, coupled=coupled)
    q = field((3, 1), channels, shape, 3 - radius, coupled=not coupled, seed=1)
    q_dense = dense_normal(q)
    assert_close(kl_divergence(p, q), kl_divergence(dense_normal(p), q_dense))
    assert_close(kl_divergence(q, p), kl_divergence(q_dense, dense_normal(p)))
    assert_close(kl_divergence(p, p), torch.zeros(2, dtype=torch.float64))
    normal = Independent(Normal(q.loc, q.log_diag.exp()), 3)
    plain = torch.distributions.MultivariateNormal(rows(normal.mean), torch.diag_embed(rows(normal.variance)))
    assert_close(kl_divergence(p, normal), kl_divergence(dense_normal(p), plain))
    assert_close(kl_divergence(normal, p), kl_divergence(plain, dense_normal(p)))


def test_divergence_is_differentiable_in_all_parameters_of_both():
    def divergence(*parameters):
        p, q = CholeskyGMRF(*parameters[:4], radius=1), CholeskyGMRF(*parameters[4:], radius=1)
        normal = Independent(Normal(parameters[0], parameters[1].exp()), 3)
        return kl_divergence(p, q) + kl_divergence(p, normal) + kl_divergence(normal, q)

    fields = [field((), 2, (2, 2), seed=seed) for seed in (0, 1)]
    inputs = [part.clone().requires_grad_() for p in fields for part in (p.loc, p.log_diag, p.off_diag, p.cross)]
    assert torch.autograd.gradcheck(divergence, inputs)


@KINDS
def test_conditional_is_that_of_the_dense_normal(channels, radius, coupled, shape):
    p = field((2,), channels, shape, radius, coupled=coupled)
    generator = torch.Generator().manual_seed(5)
    value = torch.randn(3, *p.loc.shape, dtype=torch.float64, generator=generator)
    mask = torch.rand(3, 2, *p.event_shape, generator=generator) < 0.6
    mask[0, 0] = True
    mask[1, 1] = False
    result = p.conditional_mean(value.masked_fill(mask, math.nan), mask)
    Q = factor_of(p) @ factor_of(p).mT
    for s in range(3):
        for b in range(2):
            u = rows(mask[s, b])
            x, mean = rows(value[s, b]), rows(p.loc[b])
            x[u] = mean[u] - torch.linalg.solve(Q[b][u][:, u], Q[b][u][:, ~u] @ (x - mean)[~u])
            assert_close(rows(result[s, b]), x)


def test_conditional_draws_have_the_conditional_moments():
    p = field((), 2, (2, 3))
    mask = torch.zeros(2, 3, dtype=torch.bool)
    mask[:, 1:] = True
    value = torch.ones(2, 2, 3, dtype=torch.float64)
    count = 40_000
    torch.manual_seed(6)
    draws = p.conditional_sample(value, mask, (count,))
    u = rows(mask.expand(2, 2, 3))
    Q = factor_of(p) @ factor_of(p).mT
    covariance = torch.linalg.inv(Q[u][:, u])
    mean = rows(p.conditional_mean(value, mask))[u]
    centred = rows(draws)[:, u] - mean
    # Six standard errors: a false alarm has a probability below 1e-6 over the 8 + 36 numbers.
    scale = covariance.diagonal().sqrt()
    assert (centred.mean(0).abs() < 6.0 * scale / count**0.5).all()
    errors = (centred.T @ centred / count - covariance) / (scale * scale[:, None])
    assert errors.abs().max() < 6.0 * (2.0 / count) ** 0.5
    assert torch.equal(draws[:, :, :, 0], torch.ones(count, 2, 2, dtype=torch.float64))


def test_conditionals_are_differentiable():
    p = field((), 1, (2, 3))
    mask = torch.tensor([[True, False, True], [False, True, True]])

    def conditional(loc, log_diag, off_diag, value):
        q = CholeskyGMRF(loc, log_diag, off_diag)
        torch.manual_seed(7)
        return q.conditional_mean(value, mask), q.conditional_sample(value, mask, (2,))

    inputs = [part.clone().requires_grad_() for part in (p.loc, p.log_diag, p.off_diag, p.loc + 1.0)]
    assert torch.autograd.gradcheck(conditional, inputs)


@KINDS
def test_field_is_that_of_from_cholesky(channels, radius, coupled, shape):
    p = field((2, 2), channels, shape, radius, coupled=coupled)
    gmrf = p.to_gmrf((1, 0))
    x = p.sample((3,))[:, 1, 0]
    expected = torch.from_numpy(gmrf.logpdf((x[:, 0] if channels == 1 else x.movedim(1, -1)).numpy()))
    assert_close(p.expand((2, 2)).log_prob(x[:, None, None].expand(3, 2, 2, *p.event_shape))[:, 1, 0], expected)
    L = factor_of(p)[1, 0]
    assert_close(torch.from_numpy(gmrf.tocsr().toarray()), L @ L.mT)


def test_draw_is_differentiable_as_a_solution():
    p = field((2,), 2, (2, 3))

    def draw(loc, log_diag, off_diag, cross):
        torch.manual_seed(8)
        return CholeskyGMRF(loc, log_diag, off_diag, cross).rsample((2,))

    inputs = [part.clone().requires_grad_() for part in (p.loc, p.log_diag, p.off_diag, p.cross)]
    assert torch.autograd.gradcheck(draw, inputs)


def test_density_and_draw_have_second_derivatives():
    p = field((2,), 2, (2, 2))

    def density_and_draw(loc, log_diag, off_diag, cross):
        q = CholeskyGMRF(loc, log_diag, off_diag, cross)
        torch.manual_seed(9)
        return q.log_prob(p.loc + 1.0), q.rsample(), q.entropy()

    inputs = [part.clone().requires_grad_() for part in (p.loc, p.log_diag, p.off_diag, p.cross)]
    assert torch.autograd.gradgradcheck(density_and_draw, inputs, fast_mode=True)


def test_gradients_by_kernels_are_those_of_torch_operations():
    p = field((3,), 3, (4, 5), radius=2)
    x = p.sample((2,))
    results = []
    for backend in ("kernels", "torch"):
        parameters = [part.clone().requires_grad_() for part in (p.loc, p.log_diag, p.off_diag, p.cross)]
        CholeskyGMRF(*parameters, radius=2).log_prob(x, backend=backend).sum().backward()
        results.append([part.grad for part in parameters])
    for kernels, plain in zip(*results, strict=True):
        assert_close(kernels, plain)


def test_offsets_are_those_of_the_planes():
    weights = torch.zeros(1, 4, 3, 4)
    weights[0, 1, 0, 1] = -0.3  # of pixel (0, 1) on (1, 0)
    p = CholeskyGMRF(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), weights)
    assert p.offsets.tolist() == [[0, 1], [1, -1], [1, 0], [1, 1]]
    L = p.to_gmrf().tocsr().toarray()  # Q = L L^T: beside the diagonal only what the weight couples
    assert L[1, 0 + 1 + 3] == pytest.approx(-0.3)
