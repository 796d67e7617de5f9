"""Templates on the observed pixels of an image with gaps: what the missing pixels take from their information."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from sparsegmrf.factors.missing import MissingFactor
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

ImageArray = TypeVar("ImageArray", FloatArray, BoolArray, IntArray)

_ENTRIES = 2**20
"""Numbers that the windows of a block of positions may hold."""
_DIGITS = 1e-12
"""Information, relative to that with the missing pixels known, that is rounding."""


@dataclass(frozen=True, eq=False)
class GapSums:
    """Sums of a template at the positions where it reaches the neighbourhood of a missing pixel.

    Attributes
    ----------
    at : ndarray of bool, (H, W)
        These positions; the arrays below have them in raster order, ``(m,)``.
    along : ndarray
        ``t_o^T S_oo^-1 (x_o - mu_o)``.
    norm : ndarray
        ``t_o^T S_oo^-1 t_o``, zero where nothing of the template is observed or what is has no information.
    """

    at: BoolArray
    along: FloatArray
    norm: FloatArray


def gap_sums(Q: SymmetricStencil, factor: MissingFactor, score: FloatArray, t: FloatArray) -> GapSums:
    """Return the sums of the template `t` with its centre ``(h//2, w//2)`` on a pixel; `score` is ``S_oo^-1 r_o``.

    ``t_o^T S_oo^-1 t_o = t_o^T Q t_o - g^T Q_mm^-1 g`` with ``g = Q_mo t_o``.
    """
    reach = np.abs(Q.offsets).max(axis=0)
    window = (t.shape[0] + 2 * int(reach[0]), t.shape[1] + 2 * int(reach[1]))
    pad = [(side // 2 + int(r), side - 1 - side // 2 + int(r)) for side, r in zip(t.shape, reach, strict=True)]
    at = _near(factor.missing, window, pad)
    covariances = factor.covariances((window[0] - 1, window[1] - 1))
    template = np.pad(t, [(int(r), int(r)) for r in reach])
    seen, numbers = _windows(~factor.missing, pad, window, False), _windows(factor.boundary, pad, window, -1)
    scores = _windows(score, pad, window, 0.0)
    planes = [_windows(Q.plane(k), pad, window, 0.0) for k in range(len(Q.offsets))]
    i, j = np.nonzero(at)
    along, norm = np.zeros(len(i)), np.zeros(len(i))
    size = max(1, _ENTRIES // template.size)
    for first in range(0, len(i), size):
        some = slice(first, first + size)
        p = i[some], j[some]
        T = np.where(seen[p], template, 0.0)
        along[some] = np.einsum("pij,pij->p", T, scores[p])
        product = _product(Q, [plane[p] for plane in planes], T)
        whole = np.einsum("pij,pij->p", T, product)
        left = whole - _squares(covariances, numbers[p], product)
        norm[some] = np.where(left > _DIGITS * whole, left, 0.0)
    return GapSums(at, along, norm)


def _product(Q: SymmetricStencil, planes: list[FloatArray], T: FloatArray) -> FloatArray:
    """Return ``Q t`` of templates in windows ``(m, window)``, given the planes of ``Q`` there."""
    result = planes[0] * T
    for (di, dj), plane in zip(Q.offsets[1:].tolist(), planes[1:], strict=True):
        rows, low, high = max(0, T.shape[1] - di), max(0, -dj), max(0, T.shape[2] - max(0, dj))
        here = (slice(None), slice(0, rows), slice(low, high))
        there = (slice(None), slice(di, di + rows), slice(low + dj, high + dj))
        result[here] += plane[here] * T[there]
        result[there] += plane[here] * T[here]
    return result


def _squares(covariances: sp.csr_array, number: IntArray, g: FloatArray) -> FloatArray:
    """Return ``g^T Q_mm^-1 g`` for every window of ``Q t_o``, of which the numbered pixels count."""
    row, i, j = np.nonzero((number >= 0) & (g != 0.0))
    G = sp.csr_array((g[row, i, j], (row, number[row, i, j])), shape=(len(g), covariances.shape[0]))
    return np.asarray((G @ covariances).multiply(G).sum(axis=1)).ravel()


def _windows(image: ImageArray, pad: list[tuple[int, int]], window: tuple[int, int], beyond: float) -> ImageArray:
    """Return the windows around all pixels as a view ``(H, W, window)``, with `beyond` off the image."""
    padded = np.pad(image, pad, constant_values=beyond)
    return np.lib.stride_tricks.sliding_window_view(padded, window)


def _near(missing: BoolArray, window: tuple[int, int], pad: list[tuple[int, int]]) -> BoolArray:
    """Return where a window has a missing pixel."""
    sums = np.pad(np.pad(missing, pad).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    h, w = window
    return np.asarray((sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]) > 0)
