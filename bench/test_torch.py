"""Training steps with structured Gaussians on batches of images, each with its own per-pixel Cholesky factor.

Every member computes a negative log-likelihood, or a draw, with the gradients of mean, diagonal and weights. One torch
thread and one thread of ours: two pools of threads fight on a small machine, and what is compared is the work. float32,
as decoders are trained; members that take one image at a time loop over the batch, dense torch does one image only.
PyTorch's CPU build is installed first: ``pip install torch==2.13.0``.
"""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg

import sparsegmrf

torch = pytest.importorskip("torch", reason="torch is not installed")

from sparsegmrf.torch import CholeskyGMRF  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Sparse:UserWarning")  # torch's notes on its sparse tensors
SIZES = pytest.mark.parametrize(("batch", "side"), [(64, 64), (8, 512)])
RADII = pytest.mark.parametrize("radius", [1, 2])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads(), sparsegmrf.get_num_threads()
    torch.set_num_threads(1)
    sparsegmrf.set_num_threads(1)
    yield
    torch.set_num_threads(before[0])
    sparsegmrf.set_num_threads(before[1])


def parameters(batch, side, radius):
    """Mean, log-diagonal and weights of contractive factors, and images; all but the images are differentiated."""
    generator = torch.Generator().manual_seed(0)
    planes = 2 * radius * (radius + 1)
    loc, log_diag, x = 0.1 * torch.randn(3, batch, 1, side, side, generator=generator)
    off_diag = (0.9 / planes) * (2.0 * torch.rand(batch, 1, planes, side, side, generator=generator) - 1.0)
    return [part.clone().requires_grad_() for part in (loc, log_diag, off_diag)], x


def entries(side, radius):
    """Pixel, plane and neighbour of every weight that points on the image, by columns of ``L``."""
    p, k, q = [], [], []
    i, j = (index.ravel() for index in np.mgrid[:side, :side])
    later = [(di, dj) for di in range(radius + 1) for dj in range(-radius, radius + 1) if (di, dj) > (0, 0)]
    for plane, (di, dj) in enumerate(later):
        on = (i + di < side) & (j + dj >= 0) & (j + dj < side)
        p.append((i * side + j)[on])
        k.append(np.full(np.count_nonzero(on), plane))
        q.append(((i + di) * side + j + dj)[on])
    return tuple(np.concatenate(part) for part in (p, k, q))


def with_gradients(loss, inputs):
    """Return a call that gives the loss and its gradients."""

    def call():
        value = loss()
        return value.detach(), *torch.autograd.grad(value, inputs)

    return call


def as_before(expected):
    def check(result):
        for actual, wanted in zip(result, expected, strict=True):
            assert (actual - wanted).abs().max() <= 2e-3 * wanted.abs().max()

    return check


def dense_factors(log_diag, off_diag, radius):
    """``L`` of every image as a dense matrix, differentiable."""
    batch, _, side, _ = log_diag.shape
    p, k, q = (torch.from_numpy(part) for part in entries(side, radius))
    L = torch.diag_embed(log_diag.flatten(1).exp())
    return L.index_put((torch.arange(batch)[:, None], q, p), off_diag.flatten(3)[:, 0, k, p])


@SIZES
@RADII
@pytest.mark.parametrize("member", ["sparsegmrf", "torch operations"])
def test_likelihood_and_gradients(timed, batch, side, radius, member):
    inputs, x = parameters(batch, side, radius)
    backend = "kernels" if member == "sparsegmrf" else "torch"

    def loss(backend=backend):
        return -CholeskyGMRF(*inputs, radius=radius, validate_args=False).log_prob(x, backend=backend).mean()

    expected = with_gradients(lambda: loss("torch"), inputs)()
    timed(
        f"likelihood, forward + backward, {batch} x {side} x {side}, radius {radius}",
        member,
        with_gradients(loss, inputs),
        check=as_before(expected),
    )


@RADII
@pytest.mark.parametrize("member", ["sparsegmrf", "dense torch"])
def test_likelihood_of_one_image(timed, radius, member):
    side = 64
    inputs, x = parameters(1, side, radius)

    def ours():
        return -CholeskyGMRF(*inputs, radius=radius, validate_args=False).log_prob(x).mean()

    def dense():
        loc, log_diag, off_diag = inputs
        L = dense_factors(log_diag, off_diag, radius)
        normal = torch.distributions.MultivariateNormal(loc.flatten(1), precision_matrix=L @ L.mT, validate_args=False)
        return -normal.log_prob(x.flatten(1)).mean()

    check = as_before(with_gradients(ours, inputs)())
    call = with_gradients(ours if member == "sparsegmrf" else dense, inputs)
    group = f"likelihood, forward + backward, one image of {side} x {side}, radius {radius}"
    timed(group, member, call, check=check, rounds=9 if member == "sparsegmrf" else 1)


@SIZES
@RADII
@pytest.mark.parametrize("member", ["sparsegmrf", "torchsparsegradutils", "scipy"])
def test_draw_and_gradients(timed, batch, side, radius, member):
    inputs, _ = parameters(batch, side, radius)

    def ours():
        torch.manual_seed(1)
        return CholeskyGMRF(*inputs, radius=radius, validate_args=False).rsample().square().mean()

    call = with_gradients(ours, inputs)
    check = as_before(call())
    if member != "sparsegmrf":
        make = draw_by_torchsparsegradutils if member == "torchsparsegradutils" else draw_by_scipy
        call = make(inputs, radius)
    group = f"draw, forward + backward, {batch} x {side} x {side}, radius {radius}"
    timed(group, member, call, check=check, rounds=9 if member == "sparsegmrf" else 3)


def draw_by_torchsparsegradutils(inputs, radius):
    """Draw by a sparse ``L`` per image, a leaf whose gradient is carried on to the weights by hand.

    That is the fastest way found. One batched tensor made of the weights takes 200 times as long: torch forms a dense
    matrix to differentiate ``sparse_csr_tensor``.
    """
    library = pytest.importorskip("torchsparsegradutils.distributions", reason="torchsparsegradutils is missing")
    loc, log_diag, off_diag = inputs
    pixels = log_diag[0].numel()
    p, k, q = (torch.from_numpy(part) for part in entries(log_diag.shape[-1], radius))
    rows, columns = torch.cat([torch.arange(pixels), q]), torch.cat([torch.arange(pixels), p])
    order = torch.argsort(rows * pixels + columns)
    columns = columns[order]
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(rows, minlength=pixels).cumsum(0)])

    def call():
        torch.manual_seed(1)
        values = torch.cat([log_diag.flatten(1).exp(), off_diag.flatten(3)[:, 0, k, p]], 1)[:, order]
        factors = [
            torch.sparse_csr_tensor(starts, columns, v, (pixels, pixels)).requires_grad_() for v in values.detach()
        ]
        draws = [
            library.SparseMultivariateNormal(mean, precision_tril=L, validate_args=False).rsample()
            for mean, L in zip(loc.flatten(1), factors, strict=True)
        ]
        loss = torch.stack(draws).square().mean()
        in_loc, *in_factors = torch.autograd.grad(loss, (loc, *factors))
        in_values = torch.stack([gradient.values() for gradient in in_factors])
        return loss.detach(), in_loc, *torch.autograd.grad(values, (log_diag, off_diag), in_values)

    return call


def draw_by_scipy(inputs, radius):
    """Draw by SciPy's triangular solve of every image, with the gradients written out."""
    loc, log_diag, off_diag = (part.detach().numpy() for part in inputs)
    batch, _, side, _ = loc.shape
    pixels = side * side
    p, k, q = entries(side, radius)
    # Row p of the upper triangular L^T is column p of L: one set of arrays is both.
    rows, columns = np.concatenate([np.arange(pixels), p]), np.concatenate([np.arange(pixels), q])
    order = np.argsort(rows * pixels + columns)
    columns = columns[order].astype(np.int32)
    starts = np.concatenate([[0], np.bincount(rows, minlength=pixels).cumsum()]).astype(np.int32)
    solve = scipy.sparse.linalg.spsolve_triangular

    def call():
        torch.manual_seed(1)
        white = torch.randn(loc.shape).numpy().reshape(batch, pixels)
        diagonal = np.exp(log_diag).reshape(batch, pixels)
        planes = off_diag.reshape(batch, -1, pixels)
        draw, back = np.empty((2, batch, pixels), np.float32)
        in_planes = np.zeros_like(planes)
        g = np.empty_like(draw)
        for n in range(batch):
            values = np.concatenate([diagonal[n], planes[n][k, p]])[order]
            solution = solve(sp.csr_array((values, columns, starts), (pixels, pixels)), white[n], lower=False)
            draw[n] = loc[n].ravel() + solution
            g[n] = draw[n] * (2.0 / draw.size)
            back[n] = solve(sp.csc_array((values, columns, starts), (pixels, pixels)), g[n], lower=True)
            in_planes[n][k, p] = -back[n][p] * solution[q]
            back[n] *= -solution * diagonal[n]
        results = (
            np.square(draw).mean(),
            g.reshape(loc.shape),
            back.reshape(loc.shape),
            in_planes.reshape(off_diag.shape),
        )
        return tuple(torch.as_tensor(result) for result in results)

    return call


@RADII
@pytest.mark.parametrize("member", ["sparsegmrf", "scipy"])
def test_conditional_mean(timed, radius, member):
    side = 28
    inputs, x = parameters(1, side, radius)
    loc, log_diag, off_diag = (part.detach() for part in inputs)
    field = CholeskyGMRF(loc, log_diag, off_diag, radius=radius)
    mask = torch.zeros(side, side, dtype=torch.bool)
    mask[8:20, 8:20] = True
    u = mask.flatten().numpy()
    p, k, q = entries(side, radius)

    def by_scipy():
        L = sp.csc_array((off_diag.flatten(3)[0, 0, k, p].numpy(), (q, p)), (side**2, side**2))
        L += sp.diags_array(log_diag.exp().flatten().numpy())
        deviation = np.where(u, 0.0, (x - loc).flatten().numpy())
        L_u = L.tocsr()[u]
        result = x.flatten().clone()
        missing = -scipy.sparse.linalg.spsolve((L_u @ L_u.T).tocsc(), L_u @ (L.T @ deviation))
        result[u] = loc.flatten()[u] + torch.from_numpy(missing)
        return (result.reshape(x.shape),)

    call = by_scipy if member == "scipy" else lambda: (field.conditional_mean(x, mask),)
    group = f"conditional mean, one image of {side} x {side}, radius {radius}"
    timed(group, member, call, check=as_before(by_scipy()))


@pytest.mark.parametrize("radius", [1])
@pytest.mark.parametrize("member", ["without gradient", "with gradient"])
def test_variance(timed, radius, member):
    inputs, _ = parameters(8, 64, radius)
    variance = lambda: CholeskyGMRF(*inputs, radius=radius, validate_args=False).variance  # noqa: E731

    def without():
        with torch.no_grad():
            return variance()

    call = without if member == "without gradient" else with_gradients(lambda: variance().log().sum(), inputs[1:])
    assert math.isfinite(float(without().sum()))
    timed(f"all marginal variances, 8 x 64 x 64, radius {radius}", member, call, rounds=3)
