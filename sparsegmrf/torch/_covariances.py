"""Variances, traces and solves on missing pixels of per-pixel Cholesky factors as torch operators.

They compute in float64 whatever the dtype. Gradients are exact, by the reversed recursion of the covariances; those of
the variances and traces have no gradient themselves.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparsegmrf.factors import cholesky_covariances as arrays
from sparsegmrf.torch import _missing
from sparsegmrf.torch._operations import Factors, mul_lt, outer_like


@torch.library.custom_op("sparsegmrf::variances", mutates_args=(), device_types="cpu")
def variances(diagonal: Tensor, weights: Tensor, cross: Tensor) -> Tensor:
    """Return the diagonals of ``(L L^T)^-1`` as images ``(B, C, H, W)``."""
    return _tensor(arrays.marginal_variances(*_doubles(diagonal, weights, cross)), diagonal)


@torch.library.custom_op("sparsegmrf::variances_backward", mutates_args=(), device_types="cpu")
def variances_backward(diagonal: Tensor, weights: Tensor, cross: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient of ``sum g * variances``."""
    first, second, third = arrays.marginal_variances_backward(*_doubles(diagonal, weights, cross, g))
    return _tensor(first, g), _tensor(second, g), _tensor(third, g)


@torch.library.custom_op("sparsegmrf::traces", mutates_args=(), device_types="cpu")
def traces(
    diagonal: Tensor, weights: Tensor, cross: Tensor, diagonal2: Tensor, weights2: Tensor, cross2: Tensor
) -> Tensor:
    """Return ``tr(Q S)`` of pairs, ``(B,)``: the precision of the first factor, the covariance of the second."""
    of, under = _doubles(diagonal, weights, cross), _doubles(diagonal2, weights2, cross2)
    return _tensor(arrays.traces((of[0], of[1], of[2]), (under[0], under[1], under[2])), diagonal)


@torch.library.custom_op("sparsegmrf::traces_backward", mutates_args=(), device_types="cpu")
def traces_backward(
    diagonal: Tensor, weights: Tensor, cross: Tensor, diagonal2: Tensor, weights2: Tensor, cross2: Tensor, g: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of ``sum g * traces`` with respect to both factors."""
    of, under = _doubles(diagonal, weights, cross), _doubles(diagonal2, weights2, cross2)
    (weight,) = _doubles(g)
    one, two = arrays.traces_backward((of[0], of[1], of[2]), (under[0], under[1], under[2]), weight)
    return (
        *(_tensor(one[0], g), _tensor(one[1], g), _tensor(one[2], g)),
        *(_tensor(two[0], g), _tensor(two[1], g), _tensor(two[2], g)),
    )


@torch.library.custom_op("sparsegmrf::solve_missing", mutates_args=(), device_types="cpu")
def solve_missing(diagonal: Tensor, weights: Tensor, cross: Tensor, missing: Tensor, b: Tensor) -> Tensor:
    """Return ``Q_uu^-1 b_u`` on the missing unknowns, zero elsewhere; ``missing`` and ``b`` ``(N, C, H, W)``."""
    *factor, right = _doubles(diagonal, weights, cross, b)
    mask = np.ascontiguousarray(missing.detach().numpy())
    return _tensor(_missing.solve_missing(factor[0], factor[1], factor[2], mask, right), b)


def _doubles(*tensors: Tensor) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float64) for tensor in tensors)


def _tensor(array: npt.NDArray[np.float64], like: Tensor) -> Tensor:
    return torch.from_numpy(array).to(like.dtype)


def _fake_images(diagonal: Tensor, weights: Tensor, cross: Tensor) -> Tensor:
    return diagonal.new_empty(diagonal.shape)


def _fake_factor(diagonal: Tensor, weights: Tensor, cross: Tensor, g: Tensor) -> Factors:
    return diagonal.new_empty(diagonal.shape), weights.new_empty(weights.shape), cross.new_empty(cross.shape)


def _fake_traces(diagonal: Tensor, *others: Tensor) -> Tensor:
    return diagonal.new_empty(diagonal.shape[0])


def _fake_factors(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in tensors[:6])


def _fake_solution(diagonal: Tensor, weights: Tensor, cross: Tensor, missing: Tensor, b: Tensor) -> Tensor:
    return b.new_empty(b.shape)


def _save_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _save_inputs_and_solution(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4], output)


def _by(operator: Callable[..., Any]) -> Callable[[Any, Tensor], Any]:
    def backward(ctx: Any, g: Tensor) -> Any:
        return operator(*ctx.saved_tensors, g)

    return backward


def _solution_backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    # z = Q_uu^-1 b_u: the change of z is -Q_uu^-1 (dL L^T + L dL^T) z on the missing unknowns.
    *factor, missing, z = ctx.saved_tensors
    gb = solve_missing(*factor, missing, g)
    if not any(ctx.needs_input_grad[:3]):
        return None, None, None, None, gb
    one = outer_like(factor, mul_lt(*factor, z), -gb)
    two = outer_like(factor, mul_lt(*factor, -gb), z)
    return *(a + b for a, b in zip(one, two, strict=True)), None, gb


def _refuse(ctx: Any, *gradient: Tensor) -> None:
    raise NotImplementedError(
        "second derivatives of variances and of the Kullback-Leibler divergence are not available; differentiate an "
        "estimate by samples twice instead: p.log_prob(x) - q.log_prob(x) averaged over x = p.rsample(...)."
    )


variances.register_fake(_fake_images)
variances_backward.register_fake(_fake_factor)
traces.register_fake(_fake_traces)
traces_backward.register_fake(_fake_factors)
solve_missing.register_fake(_fake_solution)

variances.register_autograd(_by(variances_backward), setup_context=_save_inputs)
traces.register_autograd(_by(traces_backward), setup_context=_save_inputs)
variances_backward.register_autograd(_refuse)
traces_backward.register_autograd(_refuse)
solve_missing.register_autograd(_solution_backward, setup_context=_save_inputs_and_solution)
