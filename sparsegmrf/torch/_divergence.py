"""Kullback-Leibler divergences of per-pixel Cholesky fields from each other, and of and from independent normals.

``KL(p | q) = [tr(Q_q S_p) + (mu_q - mu_p)^T Q_q (mu_q - mu_p) - n + logdet Q_p - logdet Q_q] / 2``, ``S = Q^-1``. The
trace needs covariances on the stencil of ``Q_q`` only.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Independent, Normal
from torch.distributions.kl import register_kl

from sparsegmrf.errors import ArgumentError
from sparsegmrf.torch._batches import apply, expanded, factors, on_cpu
from sparsegmrf.torch._covariances import traces
from sparsegmrf.torch._operations import mul_lt
from sparsegmrf.torch.distribution import CholeskyGMRF

_IMAGE = (-3, -2, -1)


@register_kl(CholeskyGMRF, CholeskyGMRF)
def _between_fields(p: CholeskyGMRF, q: CholeskyGMRF) -> Tensor:
    _check_alike(p.event_shape, q.event_shape, p.loc, q.loc)
    batch = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
    of, under = (factors(expanded(each._shared, batch)) for each in (q, p))
    trace = on_cpu(traces, *of, *under).reshape(batch)
    return _divergence(trace, q.mahalanobis(p.loc), p.log_diag, q.log_diag)


@register_kl(CholeskyGMRF, Independent)
def _from_normals(p: CholeskyGMRF, q: "Independent[Normal]") -> Tensor:
    normal = _images_of_normals(q)
    _check_alike(p.event_shape, q.event_shape, p.loc, normal.loc)
    squares = (p.variance + (p.loc - normal.loc).square()) / normal.scale.square()
    trace_and_distance = squares.sum(_IMAGE)
    return _divergence(trace_and_distance, torch.zeros_like(trace_and_distance), p.log_diag, -normal.scale.log())


@register_kl(Independent, CholeskyGMRF)
def _of_normals(p: "Independent[Normal]", q: CholeskyGMRF) -> Tensor:
    normal = _images_of_normals(p)
    _check_alike(p.event_shape, q.event_shape, normal.loc, q.loc)
    batch = torch.broadcast_shapes(normal.batch_shape[:-3], q.batch_shape)
    trace = apply(_squared_columns, q._shared, normal.variance.expand(*batch, *q.event_shape)).sum(_IMAGE)
    return _divergence(trace, q.mahalanobis(normal.loc), -normal.scale.log(), q.log_diag)


def _squared_columns(diagonal: Tensor, weights: Tensor, cross: Tensor, variance: Tensor) -> Tensor:
    """Return the variances of ``L^T e`` for independent ``e``: ``L^T`` with squared entries on theirs."""
    result: Tensor = mul_lt(diagonal.square(), weights.square(), cross.square(), variance)
    return result


def _divergence(trace: Tensor, distance: Tensor, log_diag_p: Tensor, log_diag_q: Tensor) -> Tensor:
    size = math.prod(log_diag_p.shape[-3:])
    return 0.5 * (trace + distance - size) + log_diag_p.sum(_IMAGE) - log_diag_q.sum(_IMAGE)


def _images_of_normals(distribution: "Independent[Normal]") -> Normal:
    base = distribution.base_dist
    if not isinstance(base, Normal) or distribution.reinterpreted_batch_ndims != 3:
        raise NotImplementedError(
            "the divergence is known for Independent(Normal(loc, scale), 3) on images (C, H, W), got "
            f"{distribution!r}; estimate it by samples: (p.log_prob(x) - q.log_prob(x)).mean(0), x = p.rsample((n,))."
        )
    return base


def _check_alike(p_shape: torch.Size, q_shape: torch.Size, p_loc: Tensor, q_loc: Tensor) -> None:
    if p_shape != q_shape:
        raise ArgumentError(f"p and q must have one event shape, got {tuple(p_shape)} and {tuple(q_shape)}.")
    if p_loc.dtype != q_loc.dtype or p_loc.device != q_loc.device:
        raise ArgumentError(
            f"p and q must have one dtype and device, got {p_loc.dtype} on {p_loc.device} and {q_loc.dtype} on "
            f"{q_loc.device}; make one of them anew from converted parameters."
        )
