"""Dense matrices and single columns of covariances of small fields, in float64 and differentiable any number of times.

Rows and columns are in the order of ``x.flatten(-3)``: channel by channel, pixels in raster order.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sparsegmrf import _memory
from sparsegmrf.errors import TooLargeError, UnstableError
from sparsegmrf.factors.dense import LARGEST
from sparsegmrf.lattice import Lattice
from sparsegmrf.torch._batches import Parameters, apply
from sparsegmrf.torch._operations import mul_l, mul_lt, solve_l, solve_lt

_COPIES = 4
"""Matrices that are held at once while one is made."""


def precision_matrix(parameters: Parameters) -> Tensor:
    """Return ``Q = L L^T``, ``(*batch, n, n)``, exactly symmetric."""
    Q = _columns(_precision_times, "precision_matrix", parameters)
    return 0.5 * (Q + Q.mT)


def covariance_matrix(parameters: Parameters) -> Tensor:
    """Return ``S = L^-T L^-1``, ``(*batch, n, n)``, exactly symmetric."""
    S = _columns(_covariance_times, "covariance_matrix", parameters)
    return 0.5 * (S + S.mT)


def scale_tril(parameters: Parameters) -> Tensor:
    """Return the lower triangular ``T`` of ``S = T T^T``, with a positive diagonal.

    ``S = B^T B`` with ``B = L^-1``; an orthogonal factorization ``B = U R`` gives ``T = R^T``. Nothing is squared, so
    that no field is too ill-conditioned for it.
    """
    B = _columns(_solve_l, "scale_tril", parameters).mT
    R = torch.linalg.qr(B).R
    T: Tensor = (R * R.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-1)).mT
    return T


def covariance_with(parameters: Parameters, pixel: tuple[int, int], channel: int) -> Tensor:
    """Return one column of ``S`` as images ``(*batch, C, H, W)``."""
    channels, height, width = parameters[0].shape[-3:]
    p, c = divmod(Lattice((height, width), channels).unknown(pixel, channel), channels)
    unit = torch.zeros(channels, height * width, dtype=torch.float64)
    unit[c, p] = 1.0
    return _covariance_times(_doubles(parameters), unit.reshape(channels, height, width).expand(parameters[0].shape))


def checked_range(name: str, result: Tensor, margin: Callable[[], Tensor]) -> Tensor:
    """Refuse what has left the range of its dtype, as only fields beyond the limit of contraction do."""
    if not bool(result.detach().isfinite().all()):
        raise UnstableError(
            f"{name} must be finite, and leaves the range of {result.dtype}: the weights of a pixel sum up to "
            f"{1.0 - float(margin().min()):.4g} times its diagonal, and only below 1 are covariances sure to stay "
            "bounded; shrink off_diag, or predict it by CholeskyHead(contractive=True)."
        )
    return result


def _columns(operator: Callable[[Parameters, Tensor], Tensor], name: str, parameters: Parameters) -> Tensor:
    """Return the transposed matrix of an operator: its value for the ``j``-th unit image in row ``j``."""
    *batch, channels, height, width = parameters[0].shape
    size = channels * height * width
    if size > LARGEST:
        raise TooLargeError(
            f"{name} takes images of at most {LARGEST} unknowns C H W, got {channels} x {height} x {width} = {size}; "
            "take covariance_with(pixel) for a column, variance for the diagonal, or to_gmrf(index).precision for a "
            "sparse matrix."
        )
    _memory.refuse_if_too_large(
        8 * _COPIES * math.prod(batch) * size * size,
        f"{name} of {math.prod(batch)} fields of {size} unknowns",
        "take one item of the batch at a time, distribution[k]",
    )
    units = torch.eye(size, dtype=torch.float64).reshape(size, *[1] * len(batch), channels, height, width)
    return operator(_doubles(parameters), units.expand(size, *parameters[0].shape)).flatten(-3).movedim(0, -2)


def _doubles(parameters: Parameters) -> Parameters:
    """Return the parameters in float64 in main memory."""
    log_diag, off_diag, cross = (part.cpu().double() for part in parameters)
    return log_diag, off_diag, cross


def _precision_times(parameters: Parameters, images: Tensor) -> Tensor:
    return apply(mul_l, parameters, apply(mul_lt, parameters, images))


def _covariance_times(parameters: Parameters, images: Tensor) -> Tensor:
    return apply(solve_lt, parameters, apply(solve_l, parameters, images))


def _solve_l(parameters: Parameters, images: Tensor) -> Tensor:
    return apply(solve_l, parameters, images)
