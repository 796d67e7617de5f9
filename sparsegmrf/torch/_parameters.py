"""Checks of the parameters, made once when a distribution is made."""

import math

import torch
from torch import Tensor

from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.cholesky_operations import neighbours


def checked_parameters(
    loc: Tensor, log_diag: Tensor, off_diag: Tensor, cross: Tensor | None, radius: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Return the parameters after checks of dtype, device and shape; ``cross`` has zero planes where it is None."""
    radius = integer_at_least("radius", radius, 1)
    given = {"loc": loc, "log_diag": log_diag, "off_diag": off_diag} | ({} if cross is None else {"cross": cross})
    for name, tensor in given.items():
        least = 4 if name == "off_diag" else 3
        if not isinstance(tensor, Tensor) or tensor.ndim < least:
            form = "(*batch, C, K, H, W)" if name == "off_diag" else "(*batch, C, H, W)"
            raise ArgumentError(f"{name} must be a tensor of shape {form}, got {_described(tensor)}.")
        same_kind(name, tensor, loc, "loc")
    channels, height, width = log_diag.shape[-3:]
    planes = neighbours(radius)
    if loc.shape[-3:] != log_diag.shape[-3:]:
        raise ArgumentError(
            f"loc must have the shape (..., {channels}, {height}, {width}) of log_diag, got {tuple(loc.shape)}; "
            "call loc.expand(...) where it is shared by pixels or channels."
        )
    if off_diag.shape[-4:] != (channels, planes, height, width):
        raise ArgumentError(
            f"off_diag must have shape (..., C, K, H, W) = (..., {channels}, {planes}, {height}, {width}) for "
            f"radius={radius}, got {tuple(off_diag.shape)}; K = 2 r (r + 1) counts the later neighbours."
        )
    pairs = channels * (channels - 1) // 2
    if cross is None:
        cross = log_diag.new_empty(0, height, width)
    elif cross.shape[-2:] != (height, width) or cross.shape[-3] not in (0, pairs):
        raise ArgumentError(
            f"cross must have shape (..., C(C-1)/2, H, W) = (..., {pairs}, {height}, {width}), got "
            f"{tuple(cross.shape)}; leave it out for channels that are not coupled."
        )
    return loc, log_diag, off_diag, cross, radius


def log_diag_limit(dtype: torch.dtype) -> float:
    """Return the largest ``|log d|`` at which ``d^2`` and ``1 / d^2`` are normal numbers: 43.668 or 354.2."""
    return -0.5 * math.log(torch.finfo(dtype).tiny)


def check_range(loc: Tensor, log_diag: Tensor, off_diag: Tensor, cross: Tensor) -> None:
    """Refuse infinite parameters, and log-diagonals of which a precision or variance would be infinite or zero."""
    limit = log_diag_limit(log_diag.dtype)
    remedy = "scale the images, or narrow log_diag_bounds of a CholeskyHead"
    if log_diag.dtype == torch.float32:
        remedy += ", or compute in float64"
    expected = f"lie between -{limit:.5g} and {limit:.5g}, or d^2 or 1/d^2 of d = exp(log_diag) leaves the range of"
    _refuse_beyond(limit, "log_diag", log_diag, expected, remedy)
    for name, tensor in (("loc", loc), ("off_diag", off_diag), ("cross", cross)):
        finite_in(name, tensor)


def finite_in(name: str, tensor: Tensor) -> None:
    """Refuse a tensor that holds an infinite value."""
    _refuse_beyond(torch.finfo(tensor.dtype).max, name, tensor, "be finite in", "scale the images")


def _refuse_beyond(limit: float, name: str, tensor: Tensor, expected: str, remedy: str) -> None:
    values = tensor.detach()
    beyond = values.abs() > limit  # not of NaN, which torch's own check tells
    if not bool(beyond.any()):
        return
    first = tuple(int(index) for index in beyond.nonzero()[0])
    raise ArgumentError(
        f"{name} must {expected} {tensor.dtype}, got {int(beyond.sum())} values beyond, the first "
        f"{float(values[first]):.6g} at {first}; {remedy}."
    )


def broadcast_batch(loc: Tensor, log_diag: Tensor, off_diag: Tensor, cross: Tensor) -> torch.Size:
    """Return the batch axes that the parameters have together."""
    batches = {
        "loc": loc.shape[:-3],
        "log_diag": log_diag.shape[:-3],
        "off_diag": off_diag.shape[:-4],
        "cross": cross.shape[:-3],
    }
    try:
        return torch.Size(torch.broadcast_shapes(*batches.values()))
    except RuntimeError as error:
        found = ", ".join(f"{name} {tuple(shape)}" for name, shape in batches.items())
        raise ArgumentError(
            f"batch axes of the parameters must broadcast, got {found}; insert axes of length 1 where they differ."
        ) from error


def same_kind(name: str, tensor: Tensor, other: Tensor, other_name: str) -> None:
    """Refuse a tensor whose dtype or device is not that of another, or that is not float32 or float64."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ArgumentError(f"{name} must be float32 or float64, got {tensor.dtype}; call {name}.float().")
    if tensor.dtype != other.dtype or tensor.device != other.device:
        raise ArgumentError(
            f"{name} must have the dtype and device of {other_name}, {other.dtype} on {other.device}, got "
            f"{tensor.dtype} on {tensor.device}; call {name}.to({other_name})."
        )


def _described(value: object) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
