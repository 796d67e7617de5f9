"""Dense matrices of small fields and columns of covariances, against torch's MultivariateNormal."""

import itertools

import pytest

from sparsegmrf.errors import TooLargeError, UnstableError
from tests.conftest import require

torch = require("torch")

from torch.distributions import MultivariateNormal  # noqa: E402

from sparsegmrf.stencil._offsets import later_offsets  # noqa: E402
from sparsegmrf.torch import CholeskyGMRF  # noqa: E402
from tests.torch.fields import dense_normal, factor_of, field  # noqa: E402

KINDS = pytest.mark.parametrize(("channels", "radius", "shape"), [(1, 1, (3, 4)), (1, 2, (4, 3)), (3, 1, (2, 3))])
MATRICES = ("precision_matrix", "covariance_matrix", "scale_tril")


def to_flat_order(p, matrix):
    """A matrix in pixel-major order in the order of ``x.flatten(-3)``."""
    channels, height, width = p.event_shape
    order = torch.arange(height * width * channels).reshape(height, width, channels).movedim(-1, 0).flatten()
    return matrix[..., order[:, None], order]


def differentiable_factor(log_diag, off_diag):
    """``L`` of one channel, entry by entry in torch."""
    _, height, width = log_diag.shape
    L = torch.diag(log_diag.flatten().exp())
    for k, (di, dj) in enumerate(later_offsets(1).tolist()):
        for i, j in itertools.product(range(height), range(width)):
            if i + di < height and 0 <= j + dj < width:
                place = torch.tensor((i + di) * width + j + dj), torch.tensor(i * width + j)
                L = L.index_put(place, off_diag[0, k, i, j])
    return L


@KINDS
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_matrices_are_those_of_the_dense_normal(batch, channels, radius, shape):
    p = field(batch, channels, shape, radius)
    Q = to_flat_order(p, factor_of(p) @ factor_of(p).mT)
    dense = MultivariateNormal(p.loc.flatten(-3), precision_matrix=Q)
    for name in MATRICES:
        matrix = getattr(p, name)
        assert matrix.shape == (*batch, Q.shape[-1], Q.shape[-1])
        torch.testing.assert_close(matrix, getattr(dense, name), rtol=1e-9, atol=1e-9)
    assert torch.equal(p.precision_matrix, p.precision_matrix.mT)
    assert torch.equal(p.covariance_matrix, p.covariance_matrix.mT)
    assert torch.equal(p.scale_tril, p.scale_tril.tril())


@pytest.mark.parametrize("name", MATRICES)
def test_normal_on_flattened_images_has_the_same_density(name):
    p = field((2,), 2, (3, 4))
    x = p.sample((5,))
    flat = MultivariateNormal(p.loc.flatten(-3), **{name: getattr(p, name)})
    torch.testing.assert_close(flat.log_prob(x.flatten(-3)), p.log_prob(x))


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_of_float32_have_its_digits(name):
    p = field((2,), 2, (3, 4), dtype=torch.float32)
    matrix = getattr(p, name)
    assert matrix.dtype == torch.float32
    torch.testing.assert_close(matrix, getattr(p.to(torch.float64), name).float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MATRICES)
def test_gradients_of_matrices_are_those_of_the_dense_normal(name):
    p = field((), 1, (3, 3))
    weight = torch.randn(9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    gradients = []
    for dense in (False, True):
        inputs = [part.clone().requires_grad_() for part in (p.log_diag, p.off_diag)]
        q = CholeskyGMRF(p.loc, *inputs)
        if dense:
            L = differentiable_factor(*inputs)
            q = MultivariateNormal(p.loc.flatten(), precision_matrix=L @ L.mT)
        (getattr(q, name) * weight).sum().backward()
        gradients.append([part.grad for part in inputs])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", [*MATRICES, "covariance_with"])
def test_matrices_are_differentiable_twice(name):
    p = field((2,), 2, (2, 2))

    def made(log_diag, off_diag, cross):
        q = CholeskyGMRF(p.loc, log_diag, off_diag, cross)
        return q.covariance_with((1, 0), 1) if name == "covariance_with" else getattr(q, name)

    inputs = [part.clone().requires_grad_() for part in (p.log_diag, p.off_diag, p.cross)]
    assert torch.autograd.gradcheck(made, inputs)
    assert torch.autograd.gradgradcheck(made, inputs, fast_mode=True)


@KINDS
def test_covariance_with_a_pixel_is_a_column(channels, radius, shape):
    p = field((2,), channels, shape, radius)
    pixel, channel = (1, 2), channels - 1
    column = p.covariance_with(pixel, channel)
    assert column.shape == p.loc.shape
    unknown = (pixel[0] * shape[1] + pixel[1]) * channels + channel
    expected = dense_normal(p).covariance_matrix[..., unknown]
    torch.testing.assert_close(column.movedim(-3, -1).flatten(-3), expected)
    torch.testing.assert_close(column[:, channel, 1, 2], p.variance[:, channel, 1, 2])


def test_covariance_with_a_pixel_is_that_of_the_field_in_numpy():
    p = field((), 3, (4, 5))
    expected = torch.from_numpy(p.to_gmrf().covariance_with((2, 3), 1)).movedim(-1, 0)
    torch.testing.assert_close(p.covariance_with((2, 3), 1), expected)


def test_shared_factor_has_one_matrix_for_all_items():
    p = field()
    q = CholeskyGMRF(field((6,)).loc, p.log_diag, p.off_diag)
    for name in MATRICES:
        torch.testing.assert_close(getattr(q, name), getattr(p, name).expand(6, 12, 12))
    column = q.covariance_with((0, 0))
    torch.testing.assert_close(column, p.covariance_with((0, 0)).expand(6, 1, 3, 4))
    column.zero_()
    assert q.covariance_with((0, 0)).any()


@pytest.mark.parametrize("name", MATRICES)
def test_matrices_beyond_their_size_are_refused_with_a_remedy(name):
    p = CholeskyGMRF(*torch.zeros(2, 1, 64, 65), torch.zeros(1, 4, 64, 65))
    with pytest.raises(TooLargeError, match=rf"{name} takes .* 4096 .* 1 x 64 x 65 = 4160; take covariance_with"):
        getattr(p, name)
    assert p.covariance_with((63, 64))[0, 63, 64] == 1.0


def test_pixels_off_the_image_are_refused_by_name():
    p = field((), 2)
    for pixel, channel, name in (((3, 0), 0, "pixel"), ((-1, 0), 0, "pixel"), (2, 0, "pixel"), ((0, 0), 2, "channel")):
        with pytest.raises(ValueError, match=name):
            p.covariance_with(pixel, channel)


def test_covariances_beyond_the_range_are_refused():
    p = CholeskyGMRF(*torch.zeros(2, 1, 30, 30), torch.full((1, 4, 30, 30), -30.0))
    for ask in (lambda: p.covariance_matrix, lambda: p.scale_tril, lambda: p.covariance_with((0, 0))):
        with pytest.raises(UnstableError, match=r"leaves the range of torch\.float32"):
            ask()
    assert p.precision_matrix.isfinite().all()
