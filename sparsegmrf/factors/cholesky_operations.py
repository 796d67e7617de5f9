"""The five operations of per-pixel Cholesky factors on NumPy arrays: ``L^T x``, ``L x``, ``L^-T b``, ``L^-1 b``, outer.

A factor is ``(diagonal, weights, cross)`` of shapes ``(B, C, H, W)``, ``(B, C, K, H, W)`` and ``(B, P, H, W)``. Column
``(p, c)`` of the lower triangular ``L`` (pixels in raster order, channel fastest) holds

``L[(p, c), (p, c)] = diagonal[c, p]``, ``L[(p + o_k, c), (p, c)] = weights[c, k, p]``,
``L[(p, e), (p, c)] = cross[pair(c, e), p]`` for channels ``e > c``,

with the ``K = 2 r (r + 1)`` offsets ``o_k`` within radius ``r`` that are later in raster order, in raster order, and
pairs in the order of ``np.triu_indices(C, 1)``; ``P`` is their number, or 0 for channels that are not coupled. A weight
that points off the image is not read. Images are ``(N, C, H, W)`` with ``N`` a multiple of ``B``: image ``n`` belongs
to factor ``n % B``. All arrays of a call are float32, or all are float64, and so is the result, which is new memory.
The operations are closed under differentiation: the gradient of each is made of the others, so that a layer of any
automatic differentiation can stand on them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf import _threads
from sparsegmrf._validate import integer_at_least, read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.kernels import cholesky_field

Array = npt.NDArray[Any]
Factors = tuple[Array, Array, Array]

_TASK = 2**16
"""Numbers of a task, at least."""


def neighbours(radius: int) -> int:
    """Return ``K = ((2 r + 1)^2) // 2 = 2 r (r + 1)``."""
    return 2 * radius * (radius + 1)


def radius_of(count: int) -> int:
    """Return the radius whose number of later neighbours is `count`."""
    radius = round((np.sqrt(1.0 + 2.0 * count) - 1.0) / 2.0)
    if count < 1 or neighbours(radius) != count:
        raise ArgumentError(f"weights must have K = 2 r (r + 1) planes (4, 12, 24, ...), got {count}.")
    return int(radius)


def mul_lt(diagonal: Array, weights: Array, cross: Array, x: Array) -> Array:
    """Return ``L^T x``: ``y_pc = d_pc x_pc + sum_k w_pck x_{p+o_k, c} + sum_{e>c} v_pce x_pe``.

    Parameters
    ----------
    diagonal, weights, cross : ndarray, (B, C, H, W), (B, C, K, H, W), (B, P, H, W)
        The factors, in 1/intensity.
    x : ndarray, (N, C, H, W)
        Images in intensity.

    Raises
    ------
    ArgumentError
        If a shape or dtype does not fit.

    Examples
    --------
    >>> ones = np.ones((1, 1, 2, 2))
    >>> mul_lt(ones, np.full((1, 1, 4, 2, 2), 0.5), np.ones((1, 0, 2, 2)), ones).tolist()
    [[[[2.5, 2.0], [1.5, 1.0]]]]
    """
    return _product(cholesky_field.multiply_transposed, diagonal, weights, cross, x)


def mul_l(diagonal: Array, weights: Array, cross: Array, x: Array) -> Array:
    """Return ``L x``, the adjoint of `mul_lt`; parameters as there."""
    return _product(cholesky_field.multiply, diagonal, weights, cross, x)


def solve_lt(diagonal: Array, weights: Array, cross: Array, b: Array) -> Array:
    """Return ``L^-T b``, from the last pixel to the first: a draw where `b` is white; parameters as of `mul_lt`."""
    return _solution(cholesky_field.solve_transposed, diagonal, weights, cross, b)


def solve_l(diagonal: Array, weights: Array, cross: Array, b: Array) -> Array:
    """Return ``L^-1 b``, the adjoint of `solve_lt`; parameters as of `mul_lt`."""
    return _solution(cholesky_field.solve, diagonal, weights, cross, b)


def outer(a: Array, x: Array, factors: int, radius: int, coupled: bool) -> Factors:
    """Return the gradient of ``a . (L^T x)`` with respect to ``L``: ``a_p x_{p+o_k}`` on the pattern of the factors.

    Parameters
    ----------
    a, x : ndarray, (N, C, H, W)
        Images.
    factors : int
        ``B``; images ``n`` with the same ``n % B`` are summed.
    radius : int
        Reach of the neighbourhood, in pixels.
    coupled : bool
        Whether there are pairs of channels (``P > 0``).

    Returns
    -------
    diagonal, weights, cross : ndarray
        As a factor; zero where a weight points off the image.
    """
    a, x = _images("a", a), _images("x", x)
    integer_at_least("factors", factors, 0)
    integer_at_least("radius", radius, 1)
    if a.shape != x.shape or a.dtype != x.dtype or not _multiple(len(x), factors):
        raise ArgumentError(
            f"a and x must be alike and a multiple of {factors} images, got {a.shape} {a.dtype}, {x.shape} {x.dtype}."
        )
    _, channels, height, width = x.shape
    pairs = channels * (channels - 1) // 2 if coupled else 0
    result = (
        np.empty((factors, channels, height, width), x.dtype),
        np.empty((factors, channels, neighbours(radius), height, width), x.dtype),
        np.empty((factors, pairs, height, width), x.dtype),
    )
    rows = max(1, _TASK // (channels * width))

    def task(first: int, last: int) -> None:
        cholesky_field.outer(first, last, radius, a, x, *result)

    _threads.run_over(task, factors * height, rows)
    return result


def _product(kernel: Callable[..., None], diagonal: Array, weights: Array, cross: Array, x: Array) -> Array:
    radius, factor, x = _checked(diagonal, weights, cross, x)
    y = np.empty_like(x)
    _, channels, height, width = x.shape
    _threads.run_over(
        lambda first, last: kernel(first, last, radius, *factor, x, y),
        len(x) * height,
        max(1, _TASK // (channels * width)),
    )
    return y


def _solution(kernel: Callable[..., None], diagonal: Array, weights: Array, cross: Array, b: Array) -> Array:
    radius, factor, b = _checked(diagonal, weights, cross, b)
    x = np.empty_like(b)
    _threads.run_over(
        lambda first, last: kernel(first, last, radius, *factor, b, x), len(b), max(1, _TASK // max(1, b[0:1].size))
    )
    return x


def _checked(diagonal: Array, weights: Array, cross: Array, x: Array) -> tuple[int, Factors, Array]:
    """Return the radius, and factor and images as the kernels read them."""
    diagonal, x = _images("diagonal", diagonal), _images("x", x)
    factors, channels, height, width = diagonal.shape
    radius = radius_of(np.shape(weights)[2] if np.ndim(weights) == 5 else 0)
    expected = (factors, channels, neighbours(radius), height, width)
    if np.shape(weights) != expected:
        raise ArgumentError(f"weights must have shape {expected}, got {np.shape(weights)}; K counts later neighbours.")
    pairs = channels * (channels - 1) // 2
    if np.shape(cross) not in [(factors, pairs, height, width), (factors, 0, height, width)]:
        raise ArgumentError(f"cross must have shape {(factors, pairs, height, width)}, got {np.shape(cross)}.")
    if x.shape[1:] != diagonal.shape[1:] or not _multiple(len(x), factors):
        raise ArgumentError(
            f"x must have shape (N, {channels}, {height}, {width}) with N a multiple of {factors}, got {x.shape}."
        )
    if not diagonal.dtype == weights.dtype == cross.dtype == x.dtype:
        raise ArgumentError(
            "diagonal, weights, cross and x must have one dtype, got "
            f"{diagonal.dtype}, {weights.dtype}, {cross.dtype} and {x.dtype}; convert them first."
        )
    return radius, (diagonal, read_only(weights), read_only(cross)), x


def _multiple(images: int, factors: int) -> bool:
    return images % factors == 0 if factors else images == 0


def _images(name: str, value: Array) -> Array:
    if value.ndim != 4 or value.dtype not in (np.float32, np.float64):
        raise ArgumentError(
            f"{name} must be float32 or float64 of shape (N, C, H, W), got {value.dtype} of shape {value.shape}."
        )
    return read_only(value)
