"""The five operations of per-pixel Cholesky factors as torch operators, each differentiated by the others.

They are registered as ``torch.ops.sparsegmrf.mul_lt`` and so on, on the CPU. `outer` is the gradient of
``a . (L^T x)`` with respect to ``L``; hence

``y = L^T x``: ``gx = L g``, ``gL = outer(g, x)``;  ``y = L x``: ``gx = L^T g``, ``gL = outer(x, g)``;
``x = L^-T b``: ``gb = L^-1 g``, ``gL = -outer(gb, x)``;  ``x = L^-1 b``: ``gb = L^-T g``, ``gL = -outer(x, gb)``;
``L = outer(a, x)``: ``ga = G^T x``, ``gx = G a`` with the gradient ``G`` in the part of a factor.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sparsegmrf.factors import cholesky_operations as arrays
from sparsegmrf.factors.cholesky_operations import radius_of

Factors = tuple[Tensor, Tensor, Tensor]


@torch.library.custom_op("sparsegmrf::mul_lt", mutates_args=(), device_types="cpu")
def mul_lt(diagonal: Tensor, weights: Tensor, cross: Tensor, x: Tensor) -> Tensor:
    """Return ``L^T x``; shapes as in `sparsegmrf.factors.cholesky_operations`."""
    return torch.from_numpy(arrays.mul_lt(*numpy_of(diagonal, weights, cross, x)))


@torch.library.custom_op("sparsegmrf::mul_l", mutates_args=(), device_types="cpu")
def mul_l(diagonal: Tensor, weights: Tensor, cross: Tensor, x: Tensor) -> Tensor:
    """Return ``L x``."""
    return torch.from_numpy(arrays.mul_l(*numpy_of(diagonal, weights, cross, x)))


@torch.library.custom_op("sparsegmrf::solve_lt", mutates_args=(), device_types="cpu")
def solve_lt(diagonal: Tensor, weights: Tensor, cross: Tensor, b: Tensor) -> Tensor:
    """Return ``L^-T b``."""
    return torch.from_numpy(arrays.solve_lt(*numpy_of(diagonal, weights, cross, b)))


@torch.library.custom_op("sparsegmrf::solve_l", mutates_args=(), device_types="cpu")
def solve_l(diagonal: Tensor, weights: Tensor, cross: Tensor, b: Tensor) -> Tensor:
    """Return ``L^-1 b``."""
    return torch.from_numpy(arrays.solve_l(*numpy_of(diagonal, weights, cross, b)))


@torch.library.custom_op("sparsegmrf::outer", mutates_args=(), device_types="cpu")
def outer(a: Tensor, x: Tensor, factors: int, neighbours: int, pairs: int) -> Factors:
    """Return ``a_p x_{p+o_k}`` on the pattern of `factors` factors with as many planes of weights and pairs."""
    first, second = numpy_of(a, x)
    diagonal, weights, cross = arrays.outer(first, second, factors, radius_of(neighbours), pairs > 0)
    return torch.from_numpy(diagonal), torch.from_numpy(weights), torch.from_numpy(cross)


def outer_like(factor: Factors, a: Tensor, x: Tensor) -> Factors:
    """Return `outer` in the shapes of a factor."""
    diagonal, weights, cross = factor
    result: Factors = outer(a, x, diagonal.shape[0], weights.shape[2], cross.shape[1])
    return result


def numpy_of(*tensors: Tensor) -> tuple[npt.NDArray[Any], ...]:
    """Return tensors as arrays over the same memory."""
    return tuple(np.asarray(tensor.detach()) for tensor in tensors)


def _result_like_images(diagonal: Tensor, weights: Tensor, cross: Tensor, x: Tensor) -> Tensor:
    return x.new_empty(x.shape)


def _fake_outer(a: Tensor, x: Tensor, factors: int, neighbours: int, pairs: int) -> Factors:
    _, channels, height, width = x.shape
    return (
        x.new_empty(factors, channels, height, width),
        x.new_empty(factors, channels, neighbours, height, width),
        x.new_empty(factors, pairs, height, width),
    )


def _save_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _save_factor_and_solution(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3], output)


def _save_images(ctx: Any, inputs: tuple[Any, ...], output: Factors) -> None:
    ctx.save_for_backward(*inputs[:2])


def _product_backward(
    adjoint: Callable[..., Tensor], transposed: bool
) -> Callable[[Any, Tensor], tuple[Tensor | None, ...]]:
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        *factor, x = ctx.saved_tensors
        gx = adjoint(*factor, g) if ctx.needs_input_grad[3] else None
        if not any(ctx.needs_input_grad[:3]):
            return None, None, None, gx
        return *outer_like(factor, *((g, x) if transposed else (x, g))), gx

    return backward


def _solution_backward(
    adjoint: Callable[..., Tensor], transposed: bool
) -> Callable[[Any, Tensor], tuple[Tensor | None, ...]]:
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        *factor, x = ctx.saved_tensors
        gb = adjoint(*factor, g)
        if not any(ctx.needs_input_grad[:3]):
            return None, None, None, gb
        # The sign goes on an image: the planes of weights are many.
        return *outer_like(factor, *((-gb, x) if transposed else (x, -gb))), gb

    return backward


def _outer_backward(ctx: Any, *gradient: Tensor) -> tuple[Tensor | None, ...]:
    a, x = ctx.saved_tensors
    return mul_lt(*gradient, x), mul_l(*gradient, a), None, None, None


for _operator in (mul_lt, mul_l, solve_lt, solve_l):
    _operator.register_fake(_result_like_images)
outer.register_fake(_fake_outer)

mul_lt.register_autograd(_product_backward(mul_l, transposed=True), setup_context=_save_inputs)
mul_l.register_autograd(_product_backward(mul_lt, transposed=False), setup_context=_save_inputs)
solve_lt.register_autograd(_solution_backward(solve_l, transposed=True), setup_context=_save_factor_and_solution)
solve_l.register_autograd(_solution_backward(solve_lt, transposed=False), setup_context=_save_factor_and_solution)
outer.register_autograd(_outer_backward, setup_context=_save_images)
