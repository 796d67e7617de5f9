"""What a torch distribution promises beyond its formulas, point by point."""

import math
import pickle

import pytest

from sparsegmrf.errors import UnstableWarning
from tests.conftest import require

torch = require("torch")

from torch.distributions import (  # noqa: E402
    Categorical,
    Independent,
    MixtureSameFamily,
    Normal,
    TransformedDistribution,
    constraints,
    kl_divergence,
    transforms,
)

from sparsegmrf.stencil._offsets import later_offsets  # noqa: E402
from sparsegmrf.torch import CholeskyGMRF  # noqa: E402
from tests.torch.fields import field  # noqa: E402

PARAMETERS = ("loc", "log_diag", "off_diag", "cross")


def parameters_of(p):
    return {name: getattr(p, name).clone() for name in PARAMETERS}


@pytest.mark.parametrize("name", PARAMETERS)
def test_nan_in_a_parameter_is_refused_by_name(name):
    parameters = parameters_of(field((2,), 2))
    parameters[name].view(-1)[-1] = math.nan
    with pytest.raises(ValueError, match=f"parameter {name} "):
        CholeskyGMRF(**parameters)
    CholeskyGMRF(**parameters, validate_args=False)


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 43.6), (torch.float64, 354.1)])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_largest_log_diagonals_have_finite_results(dtype, limit, sign):
    log_diag = torch.full((1, 3, 4), sign * limit, dtype=dtype)
    p = CholeskyGMRF(torch.zeros_like(log_diag), log_diag, torch.zeros(1, 4, 3, 4, dtype=dtype))
    mask = torch.eye(3, 4).bool()
    x = p.rsample((2,))
    results = [x, p.variance, p.stddev, p.entropy(), p.log_prob(x), p.conditional_mean(x, mask), p.growth()]
    results += [p.covariance_matrix, p.precision_matrix, p.scale_tril, p.covariance_with((0, 0)), p.mahalanobis(x)]
    assert all(part.isfinite().all() for part in results)
    assert p.variance.min() > 0.0
    torch.testing.assert_close(p.variance, (-2.0 * log_diag.double()).exp().to(dtype))


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, "43.668"), (torch.float64, "354.2")])
@pytest.mark.parametrize("extreme", [-math.inf, -800.0, -360.0, 360.0, 800.0, math.inf])
def test_extreme_log_diagonals_are_refused_with_their_values(dtype, limit, extreme):
    p = field((2,), 2, dtype=dtype)
    log_diag = p.log_diag.clone()
    log_diag[1, 0, 2, 3] = extreme
    with pytest.raises(
        ValueError, match=rf"log_diag must lie between -{limit} and {limit}.*{dtype}.* 1 values"
    ) as error:
        CholeskyGMRF(p.loc, log_diag, p.off_diag, p.cross)
    assert f"the first {extreme:g} at (1, 0, 2, 3); scale the images" in str(error.value)
    assert ("float64" in str(error.value).split(";")[1]) == (dtype == torch.float32)
    CholeskyGMRF(p.loc, log_diag, p.off_diag, p.cross, validate_args=False)


@pytest.mark.parametrize("name", ["loc", "off_diag", "cross"])
def test_infinite_parameters_are_refused_by_name(name):
    parameters = parameters_of(field((2,), 2))
    parameters[name][1, 0, 0, 0] = -math.inf
    with pytest.raises(
        ValueError, match=rf"{name} must be finite in torch.float64, got \d+ values beyond, the first -inf"
    ):
        CholeskyGMRF(**parameters)


def test_an_extreme_log_diagonal_is_named_before_what_it_has_spoilt():
    p = field((2,), 2)
    log_diag = p.log_diag + 1000.0
    with pytest.raises(ValueError, match="log_diag must lie"):
        CholeskyGMRF(p.loc, log_diag, 0.0 * log_diag.exp().unsqueeze(2).expand(p.off_diag.shape), p.cross)


def test_infinite_values_are_refused_by_name():
    p = field((2,), 2)
    x = p.sample()
    x[1, 1, 2, 3] = math.inf
    mask = x.isinf()
    for ask in (p.log_prob, p.whiten, p.mahalanobis, lambda x: p.conditional_mean(x, ~mask)):
        with pytest.raises(ValueError, match=r"value must be finite .* the first inf at \(1, 1, 2, 3\)"):
            ask(x)
    with pytest.raises(ValueError, match="white must be finite"):
        p.unwhiten(x)
    assert p.conditional_mean(x, mask).isfinite().all()  # missing values are not read


def test_values_beyond_a_smaller_dtype_are_refused_where_it_is_asked_for():
    zeros = torch.zeros(1, 3, 4, dtype=torch.float64)
    p = CholeskyGMRF(zeros, zeros + 100.0, zeros.expand(1, 4, 3, 4))
    with pytest.raises(ValueError, match=r"log_diag must lie .* torch.float32"):
        p.to(torch.float32)
    with pytest.raises(ValueError, match=r"off_diag must be finite in torch.float32"):
        CholeskyGMRF(zeros, zeros, zeros.expand(1, 4, 3, 4) - 1e300).to(torch.float32)


def test_constraints_and_support_are_declared():
    p = field((2,), 2)
    assert set(p.arg_constraints) == set(PARAMETERS)
    assert p.support.event_dim == 3
    assert isinstance(p.support.base_constraint, type(constraints.real))
    assert p.has_rsample
    with pytest.raises(ValueError, match="support"):
        p.log_prob(torch.full_like(p.loc, math.nan))


def test_batch_axes_of_parameters_broadcast():
    loc = field((4, 1, 3)).loc
    p = field((2, 1), 1)
    q = CholeskyGMRF(loc, p.log_diag, p.off_diag[0])
    assert q.batch_shape == (4, 2, 3)
    full = CholeskyGMRF(q.loc.clone(), q.log_diag.clone(), q.off_diag.clone())
    x = full.sample((5,))
    assert q.log_prob(x).shape == (5, 4, 2, 3)
    torch.testing.assert_close(q.log_prob(x), full.log_prob(x))
    torch.testing.assert_close(q.log_prob(x[0, 0, 0, 0]), full.log_prob(x[0, 0, 0, 0]))
    torch.testing.assert_close(q.variance, full.variance)
    torch.testing.assert_close(q.conditional_mean(x, x > 0), full.conditional_mean(x, x > 0))


def test_shared_factor_has_the_gradient_of_its_copies():
    p = field()
    loc = field((6,)).loc
    shared, copied = (part.clone().requires_grad_() for part in (p.off_diag, p.off_diag.expand(6, -1, -1, -1, -1)))
    for weights in (shared, copied):
        torch.manual_seed(0)
        q = CholeskyGMRF(loc, p.log_diag, weights)
        (q.rsample((2,)).square().sum() + q.log_prob(loc + 1.0).sum()).backward()
    torch.testing.assert_close(shared.grad, copied.grad.sum(0))


@pytest.mark.parametrize("sample", [(), (5, 2), (0,)])
def test_draws_follow_the_seed_and_the_sample_shape(sample):
    p = field((2,))
    draws = []
    for _ in range(2):
        torch.manual_seed(1)
        draws.append(p.rsample(torch.Size(sample)))
    assert draws[0].shape == (*sample, 2, 1, 3, 4)
    assert torch.equal(*draws)
    assert not p.sample(torch.Size(sample)).requires_grad


def test_expand_makes_views_and_does_not_validate_again():
    p = field((1,), 2)
    q = p.expand((5, 3))
    assert q.batch_shape == (5, 3)
    for name in PARAMETERS:
        assert getattr(q, name).data_ptr() == getattr(p, name).data_ptr()
    p.loc.view(-1)[0] = math.nan  # would be refused now
    assert p.expand((4,)).expand((2, 4)).batch_shape == (2, 4)


def test_expand_of_a_subclass_is_one():
    class Named(CholeskyGMRF):
        pass

    p = field((1,))
    q = Named(p.loc, p.log_diag, p.off_diag).expand((3,))
    assert type(q) is Named
    assert q.rsample().shape == (3, 1, 3, 4)


def test_representation_names_the_parameters():
    assert repr(field((2,), 2)) == (
        "CholeskyGMRF(loc: torch.Size([2, 2, 3, 4]), log_diag: torch.Size([2, 2, 3, 4]), "
        "off_diag: torch.Size([2, 2, 4, 3, 4]), cross: torch.Size([2, 1, 3, 4]))"
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_parameters(dtype):
    p = field((2,), 2, dtype=dtype)
    x = p.rsample((2,))
    mask = x > 0
    for result in (x, p.mean, p.variance, p.stddev, p.entropy(), p.log_prob(x), p.whiten(x), p.mahalanobis(x)):
        assert result.dtype == dtype
    for result in (p.conditional_mean(x, mask), p.conditional_sample(x, mask), kl_divergence(p, p), p.growth()):
        assert result.dtype == dtype


@pytest.mark.parametrize("name", PARAMETERS)
def test_mixed_dtypes_are_refused_by_name(name):
    p = field((2,), 2)
    parameters = parameters_of(p)
    parameters[name] = parameters[name].float()
    with pytest.raises(ValueError, match="must have the dtype"):
        CholeskyGMRF(**parameters)
    with pytest.raises(ValueError, match=f"{name} must be float32 or float64"):
        CholeskyGMRF(**parameters | {name: parameters[name].half()})
    with pytest.raises(ValueError, match="value must have the dtype"):
        p.log_prob(p.loc.float())


def test_constant_counts_channels_and_pixels():
    p = CholeskyGMRF(torch.zeros(3, 2, 5), torch.zeros(3, 2, 5), torch.zeros(3, 4, 2, 5))
    assert float(p.log_prob(p.mean)) == pytest.approx(-0.5 * 30 * math.log(2.0 * math.pi), rel=1e-6)


def test_layout_in_memory_does_not_matter():
    p = field((2,), 2)
    x = p.sample((3,))
    strided = {name: part.mT.contiguous().mT for name, part in parameters_of(p).items()}
    assert not any(part.is_contiguous() for part in strided.values())
    q = CholeskyGMRF(**strided)
    y = x.movedim(2, -1).contiguous().movedim(-1, 2)
    assert torch.equal(q.log_prob(y), p.log_prob(x))
    assert torch.equal(q.variance, p.variance)
    results = []
    for each in (p, q):
        torch.manual_seed(2)
        results.append(each.rsample())
    assert torch.equal(*results)
    constant = torch.zeros(1, 1, 1, dtype=torch.float64).expand(2, 3, 4)
    assert torch.equal(p.log_prob(constant), p.log_prob(constant.contiguous()))


def test_no_result_shares_memory_with_a_parameter_or_value():
    p = field((2,), 2)
    before = parameters_of(p)
    x = p.sample()
    kept = x.clone()
    for result in (p.mean, p.mode, p.variance, p.conditional_mean(x, torch.zeros(3, 4, dtype=torch.bool))):
        result.zero_()
    p.whiten(x).zero_()
    assert torch.equal(x, kept)
    for name, part in before.items():
        assert torch.equal(getattr(p, name), part)


def test_divergence_of_different_events_is_refused():
    with pytest.raises(ValueError, match="event shape"):
        kl_divergence(field(shape=(3, 4)), field(shape=(4, 3)))
    loc = torch.zeros(1, 4, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="event shape"):
        kl_divergence(field(shape=(3, 4)), Independent(Normal(loc, loc.exp()), 3))
    with pytest.raises(NotImplementedError, match="rsample"):
        kl_divergence(field(shape=(3, 4)), Independent(Normal(loc, loc.exp()), 2))
    with pytest.raises(ValueError, match="one dtype and device"):
        kl_divergence(field(), field(dtype=torch.float32))


def test_other_distributions_are_made_of_it():
    p = field((4,), 2)
    x = p.sample((3,))
    torch.testing.assert_close(Independent(p, 1).log_prob(x), p.log_prob(x).sum(-1))
    torch.testing.assert_close(kl_divergence(Independent(p, 1), Independent(p.expand((4,)), 1)), p.loc.new_zeros(()))
    mixture = MixtureSameFamily(Categorical(torch.ones(4, dtype=torch.float64)), p)
    torch.testing.assert_close(mixture.log_prob(x[:, 0]), p.log_prob(x[:, :1]).logsumexp(-1) - math.log(4.0))
    assert mixture.sample((5,)).shape == (5, 2, 3, 4)
    positive = TransformedDistribution(p, [transforms.ExpTransform()])
    torch.testing.assert_close(positive.log_prob(x.exp()), p.log_prob(x) - x.sum((-3, -2, -1)))


def test_pickle_keeps_the_distribution():
    p = field((2,), 2)
    q = pickle.loads(pickle.dumps(p))
    assert repr(q) == repr(p)
    assert torch.equal(q.log_prob(p.mean + 1.0), p.log_prob(p.mean + 1.0))


@pytest.mark.parametrize("backend", ["kernels", "torch"])
def test_weights_that_point_off_the_image_are_ignored(backend):
    radius, shape = 2, (3, 4)
    p = field((), 2, shape, radius)
    x = p.sample()
    weights = p.off_diag.clone()
    outside = torch.zeros_like(weights, dtype=torch.bool)
    for k, (di, dj) in enumerate(later_offsets(radius).tolist()):
        i, j = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
        outside[:, k] = (i + di >= shape[0]) | (j + dj < 0) | (j + dj >= shape[1])
    weights[outside] = 1e6
    weights.requires_grad_()
    q = CholeskyGMRF(p.loc, p.log_diag, weights, p.cross, radius=radius)
    density = q.log_prob(x, backend=backend)
    torch.testing.assert_close(density, p.log_prob(x))
    torch.manual_seed(3)
    draw = q.rsample()
    torch.manual_seed(3)
    torch.testing.assert_close(draw, p.rsample())
    (gradient,) = torch.autograd.grad(density + draw.sum() + q.variance.sum(), weights)
    assert not gradient[outside].any()
    assert gradient[~outside].all()


def test_wrong_shapes_are_refused_by_name():
    p = field((2,), 2)
    parameters = parameters_of(p)
    for change, name in (
        ({"loc": p.loc[..., :2]}, "loc must have the shape"),
        ({"log_diag": p.log_diag[0, 0]}, "log_diag must be a tensor"),
        ({"off_diag": p.off_diag[..., :2]}, "off_diag must have shape"),
        ({"radius": 2}, "off_diag must have shape .* for radius=2"),
        ({"radius": 0}, "radius must be at least 1"),
        ({"cross": p.cross.expand(2, 3, 3, 4)}, "cross must have shape"),
        ({"loc": 0.0}, "loc must be a tensor"),
        ({"loc": p.loc[:1].repeat(3, 1, 1, 1)}, r"batch axes .* loc \(3,\), log_diag \(2,\)"),
    ):
        with pytest.raises(ValueError, match=name):
            CholeskyGMRF(**parameters | change)
    with pytest.raises(ValueError, match="value must have shape"):
        p.log_prob(p.loc[..., :2])
    with pytest.raises(ValueError, match="mask must be a tensor of bool"):
        p.conditional_mean(p.loc, p.loc)
    with pytest.raises(ValueError, match="value must be a tensor"):
        p.conditional_mean([0.0], torch.zeros(3, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="index"):
        p.to_gmrf()
    with pytest.raises(ValueError, match="backend"):
        p.log_prob(p.loc, backend="cuda")


def test_empty_batches_have_empty_results():
    p = field((0,), 2, validate_args=False)  # torch's own check of a constraint takes no empty tensor
    assert p.rsample((3,)).shape == (3, 0, 2, 3, 4)
    assert p.log_prob(p.loc).shape == p.entropy().shape == kl_divergence(p, p).shape == (0,)
    assert p.variance.shape == (0, 2, 3, 4)


def wild(scale):
    generator = torch.Generator().manual_seed(0)
    weights = scale * torch.randn(1, 12, 48, 48, generator=generator)
    return CholeskyGMRF(*torch.zeros(2, 1, 48, 48), weights, radius=2)


def test_draws_beyond_the_limit_warn_while_densities_stay_finite():
    p = wild(2.0)
    assert torch.isfinite(p.log_prob(torch.ones(1, 48, 48)))
    assert p.contraction_margin() < 0.0
    with pytest.warns(UnstableWarning, match="times its diagonal"):
        p.sample()
    with pytest.warns(UnstableWarning, match="draws can grow"):
        assert p.growth() > 1e30


def test_growth_of_a_tame_field_is_small_and_silent():
    p = wild(0.03)
    assert p.contraction_margin() > 0.0
    assert 1.0 < p.growth() < 2.0


def test_other_devices_are_served_without_kernels_where_possible():
    p = field((2,), 2, dtype=torch.float32)
    moved = CholeskyGMRF(**{name: part.to("meta") for name, part in parameters_of(p).items()}, validate_args=False)
    assert moved.log_prob(p.loc.to("meta")).device.type == "meta"
