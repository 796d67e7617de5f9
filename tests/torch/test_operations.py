"""The torch operators: derivatives of first and second order, registration, compilation, threads."""

import pytest

from tests.cholesky_factors import random_factors
from tests.conftest import require

torch = require("torch")

from torch.distributions import kl_divergence  # noqa: E402

from sparsegmrf.torch import CholeskyGMRF, _covariances, _operations  # noqa: E402
from tests.torch.fields import field  # noqa: E402

OPERATORS = pytest.mark.parametrize("name", ["mul_lt", "mul_l", "solve_lt", "solve_l"])
CASES = pytest.mark.parametrize(("channels", "radius"), [(1, 2), (2, 1)])
SHAPE = (2, 3)


def factor_and_images(channels, radius, factors=1, images=2, dtype=torch.float64):
    """Differentiable factors without NaN, and images."""
    random = random_factors(factors, channels, radius, SHAPE)
    # Copied into torch's own memory: gradcheck takes no stride of zero, which NumPy gives to an empty array.
    parts = [torch.empty(part.shape, dtype=torch.float64).copy_(torch.from_numpy(part)) for part in random]
    parts = [part.nan_to_num(0.1) for part in parts]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(images, channels, *SHAPE, dtype=torch.float64, generator=generator)
    return [part.to(dtype).requires_grad_() for part in (*parts, x)]


@OPERATORS
@CASES
def test_first_and_second_derivatives(name, channels, radius):
    operator, inputs = getattr(_operations, name), factor_and_images(channels, radius)
    assert torch.autograd.gradcheck(operator, inputs)
    assert torch.autograd.gradgradcheck(operator, inputs, fast_mode=True)


@CASES
def test_derivatives_of_the_outer_product(channels, radius):
    diagonal, weights, cross, x = factor_and_images(channels, radius)
    a = (x.detach() + 1.0).requires_grad_()
    outer = lambda a, x: _operations.outer(a, x, len(diagonal), weights.shape[2], cross.shape[1])  # noqa: E731
    assert torch.autograd.gradcheck(outer, (a, x))
    assert torch.autograd.gradgradcheck(outer, (a, x), fast_mode=True)


@OPERATORS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_operator_is_registered_as_torch_wants_it(name, dtype):
    torch.library.opcheck(getattr(_operations, name), factor_and_images(2, 1, dtype=dtype))


def test_outer_is_registered_as_torch_wants_it():
    *_, x = factor_and_images(2, 1)
    torch.library.opcheck(_operations.outer, (x, x.detach() + 1.0, 2, 4, 1))


def test_covariance_operators_are_registered_as_torch_wants_them():
    *factor, x = factor_and_images(2, 1)
    *other, _ = factor_and_images(2, 2)
    torch.library.opcheck(_covariances.variances, factor)
    torch.library.opcheck(_covariances.traces, (*other, *factor))
    torch.library.opcheck(_covariances.solve_missing, (*factor, x.detach() > 0.0, x))


@CASES
def test_derivatives_of_variances_traces_and_conditioning(channels, radius):
    *factor, x = factor_and_images(channels, radius)
    *other, _ = factor_and_images(channels, 3 - min(radius, 2))
    missing = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < 0.6
    assert torch.autograd.gradcheck(_covariances.variances, factor)
    assert torch.autograd.gradcheck(_covariances.traces, (*other, *factor))
    solve = lambda d, w, v, b: _covariances.solve_missing(d, w, v, missing, b)  # noqa: E731
    assert torch.autograd.gradcheck(solve, (*factor, x))
    assert torch.autograd.gradgradcheck(solve, (*factor, x), fast_mode=True)


def test_second_derivative_of_a_variance_is_refused_with_a_remedy():
    *factor, _ = factor_and_images(1, 1)
    (g,) = torch.autograd.grad(_covariances.variances(*factor).sum(), factor[:1], create_graph=True)
    with pytest.raises(NotImplementedError, match="rsample"):
        g.sum().backward()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_training_step_compiles_without_a_graph_break():
    def loss(loc, log_diag, off_diag, cross, x):
        p = CholeskyGMRF(loc, log_diag, off_diag, cross, validate_args=False)
        return p.rsample().square().mean() - p.log_prob(x).mean() + p.entropy().mean()

    *factor, x = factor_and_images(2, 1, factors=2)
    loc = torch.zeros_like(x).requires_grad_()
    inputs = (loc, *factor)
    results = []
    for step in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        torch.manual_seed(3)
        value = step(*inputs, x.detach())
        results.append([value, *torch.autograd.grad(value, inputs)])
    for plain, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, plain)


def test_gradients_are_bitwise_the_same_for_any_number_of_threads(threads):
    outcomes = []
    for count in (1, 2):
        threads(count)
        *factor, x = factor_and_images(2, 2, factors=3, images=9)
        y = _operations.solve_lt(*factor, _operations.mul_lt(*factor, x).square())
        outcomes.append(torch.autograd.grad(y.square().sum(), (*factor, x)))
    assert all(torch.equal(one, two) for one, two in zip(*outcomes, strict=True))


def test_variances_divergences_and_conditionals_are_bitwise_the_same_for_any_number_of_threads(threads):
    p, q = (field((3,), 2, (6, 5), radius, scale=0.2, seed=radius) for radius in (1, 2))
    mask = torch.rand(p.loc.shape, generator=torch.Generator().manual_seed(4)) < 0.5
    outcomes = []
    for count in (1, 2):
        threads(count)
        inputs = [part.clone().requires_grad_() for part in (p.loc, p.log_diag, p.off_diag, p.cross)]
        r = CholeskyGMRF(*inputs)
        results = r.variance, kl_divergence(r, q), r.conditional_mean(p.loc + 1.0, mask)
        outcomes.append([*results, *torch.autograd.grad(sum(part.sum() for part in results), inputs)])
    assert all(torch.equal(one, two) for one, two in zip(*outcomes, strict=True))
