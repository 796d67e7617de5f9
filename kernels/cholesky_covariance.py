"""Covariances of a per-pixel Cholesky field within a band, and their derivative by the reversed recursion.

Unknown ``u = p*C + c`` (pixels in raster order, channel fastest) depends on later unknowns: ``x_u = e_u/d_u +
sum_t f_t x_{u+s_t}`` with ``f_t = -L[u+s_t, u]/d_u``. The band holds ``S[u, band + l] = Cov(x_u, x_{u+l})`` for
``|l| <= band``; it must reach over all ``s_t``, that is ``band >= (r W + r) C``. Factors: ``d`` (C, H, W), ``w``
(C, K, H, W), ``v`` (P, H, W) as in ``cholesky_field``.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@subroutine()
def _column(u: int, radius: int, d: Floats, w: Floats, v: Floats, shift: Ints, entry: Ints, value: Floats) -> int:
    """List the entries of column `u` below the diagonal: how far, which weight (pairs after neighbours), its value."""
    channels, height, width = d.shape
    c = u % channels
    j = u // channels % width
    i = u // channels // width
    terms = 0
    if v.shape[0] > 0:
        for e in range(c + 1, channels):
            pair = c * (2 * channels - c - 1) // 2 + e - c - 1
            shift[terms] = e - c
            entry[terms] = w.shape[1] + pair
            value[terms] = v[pair, i, j]
            terms += 1
    k = 0
    for di in range(min(radius + 1, height - i)):
        for dj in range(1 if di == 0 else -radius, radius + 1):
            if 0 <= j + dj < width:
                shift[terms] = (di * width + dj) * channels
                entry[terms] = k
                value[terms] = w[c, k, i, j]
                terms += 1
            k += 1
    return terms


@subroutine(fastmath={"contract"})
def _add_scaled(a: float, x: Floats, y: Floats) -> None:
    """``y += a x``."""
    for j in range(len(y)):
        y[j] += a * x[j]


@subroutine(fastmath={"contract", "reassoc"})
def _dot(x: Floats, y: Floats) -> float:
    """``x . y``."""
    total = 0.0
    for j in range(len(x)):
        total += x[j] * y[j]
    return total


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def band_covariances(radius: int, band: int, d: Floats, w: Floats, v: Floats, S: Floats) -> None:
    """``S_uq = [u = q]/d_u^2 + sum_t f_t S[u + s_t, q]`` for ``q`` in ``u ... u + band``, the last unknown first."""
    channels, _, width = d.shape
    unknowns = len(S)
    shift = np.empty(w.shape[1] + channels, np.int64)
    entry = np.empty_like(shift)
    value = np.empty(len(shift))
    for u in range(unknowns - 1, -1, -1):
        terms = _column(u, radius, d, w, v, shift, entry, value)
        pivot = d[u % channels, u // channels // width, u // channels % width]
        reach = min(band, unknowns - 1 - u)
        row = S[u, band + 1 : band + 1 + reach]
        row[:] = 0.0
        for t in range(terms):
            start = band + 1 - shift[t]
            _add_scaled(-value[t] / pivot, S[u + shift[t], start : start + reach], row)
        variance = 1.0 / (pivot * pivot)
        for t in range(terms):
            variance -= value[t] / pivot * row[shift[t] - 1]
        S[u, band] = variance
        for step in range(1, reach + 1):
            S[u + step, band - step] = row[step - 1]


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def band_covariances_reversed(
    radius: int,
    band: int,
    d: Floats,
    w: Floats,
    v: Floats,
    S: Floats,
    A: Floats,
    gradient_d: Floats,
    gradient_w: Floats,
    gradient_v: Floats,
) -> None:
    """Add the gradient of ``sum A_ul S_ul`` with respect to the factor; `A`, on the same band, is overwritten."""
    channels, _, width = d.shape
    unknowns = len(S)
    shift = np.empty(w.shape[1] + channels, np.int64)
    entry = np.empty_like(shift)
    value = np.empty(len(shift))
    for u in range(unknowns):
        terms = _column(u, radius, d, w, v, shift, entry, value)
        c = u % channels
        j = u // channels % width
        i = u // channels // width
        pivot = d[c, i, j]
        reach = min(band, unknowns - 1 - u)
        adjoint = A[u, band + 1 : band + 1 + reach]
        for step in range(1, reach + 1):  # both halves stand for the same covariance
            adjoint[step - 1] += A[u + step, band - step]
        own = A[u, band]
        for t in range(terms):
            adjoint[shift[t] - 1] -= own * value[t] / pivot
        slope = -2.0 * own / (pivot * pivot * pivot)
        for t in range(terms):
            start = band + 1 - shift[t]
            other = u + shift[t]
            by_ratio = own * S[u, band + shift[t]] + _dot(adjoint, S[other, start : start + reach])
            _add_scaled(-value[t] / pivot, adjoint, A[other, start : start + reach])
            slope += by_ratio * value[t] / (pivot * pivot)
            if entry[t] < w.shape[1]:
                gradient_w[c, entry[t], i, j] -= by_ratio / pivot
            else:
                gradient_v[entry[t] - w.shape[1], i, j] -= by_ratio / pivot
        gradient_d[c, i, j] += slope


@njit(cache=True, nogil=True, fastmath={"contract"})
def trace_of_product(radius: int, band: int, d: Floats, w: Floats, v: Floats, S: Floats) -> float:
    """Return ``tr(L L^T S)`` for the factor `d`, `w`, `v` and covariances `S` on a band that reaches over it."""
    channels, _, width = d.shape
    shift = np.empty(w.shape[1] + channels + 1, np.int64)
    entry = np.empty_like(shift)
    value = np.empty(len(shift))
    total = 0.0
    for u in range(len(S)):
        terms = _column(u, radius, d, w, v, shift[1:], entry[1:], value[1:]) + 1
        shift[0] = 0
        value[0] = d[u % channels, u // channels // width, u // channels % width]
        for s in range(terms):
            for t in range(terms):
                total += value[s] * value[t] * S[u + shift[s], band + shift[t] - shift[s]]
    return total


@njit(cache=True, nogil=True, fastmath={"contract"})
def trace_of_product_reversed(
    scale: float,
    radius: int,
    band: int,
    d: Floats,
    w: Floats,
    v: Floats,
    S: Floats,
    A: Floats,
    gradient_d: Floats,
    gradient_w: Floats,
    gradient_v: Floats,
) -> None:
    """Add `scale` times the gradient of ``tr(L L^T S)``: ``L L^T`` to the band `A`, ``2 S L`` to the factor's."""
    channels, _, width = d.shape
    shift = np.empty(w.shape[1] + channels + 1, np.int64)
    entry = np.empty_like(shift)
    value = np.empty(len(shift))
    for u in range(len(S)):
        terms = _column(u, radius, d, w, v, shift[1:], entry[1:], value[1:]) + 1
        c = u % channels
        j = u // channels % width
        i = u // channels // width
        shift[0] = 0
        value[0] = d[c, i, j]
        for s in range(terms):
            slope = 0.0
            for t in range(terms):
                place = band + shift[t] - shift[s]
                A[u + shift[s], place] += scale * value[s] * value[t]
                slope += 2.0 * scale * value[t] * S[u + shift[s], place]
            if s == 0:
                gradient_d[c, i, j] += slope
            elif entry[s] < w.shape[1]:
                gradient_w[c, entry[s], i, j] += slope
            else:
                gradient_v[entry[s] - w.shape[1], i, j] += slope
