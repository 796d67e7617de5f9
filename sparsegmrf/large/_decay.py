"""How fast what is known of a pixel is forgotten with the distance from it, and the halo that follows."""

import math

import numpy as np
from scipy.ndimage import distance_transform_edt

from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Window
from sparsegmrf.large._raster import Raster
from sparsegmrf.typing import FloatArray, IntArray, Shape

_PLACES = 3
"""Along each side of a window, at which maps are looked at."""
_FARTHEST = 1e4
"""Distance in pixels at which something counts as not forgotten."""
_NEAR = 256
"""Pixels around a core that are looked at first where the core itself would have more."""


def decay_rate(cuts: Cuts, window: Window, precision: float) -> float:
    """Return the rate ``mu`` in 1/pixel at which errors of the field given observations fall along rows and columns.

    Waves ``z^j`` along an axis that ``Q + precision I`` sends to zero are the roots of the sum of its coefficients
    across the axis, a polynomial in ``z``; ``mu`` is the least ``|log |z||`` of these: ``sqrt(kappa^2 + p w / tau)`` of
    a field of first order with a share ``p`` observed at weights ``w`` and a small ``mu``,
    ``Re sqrt(kappa^2 + i sqrt(p w / tau))`` of one of second order. Errors of means fall as ``exp(-mu h)``, those of
    variances as ``exp(-2 mu h)``.

    Parameters
    ----------
    cuts : Cuts
        The model; where it has maps the smallest rate at some places of the window counts.
    window : Window
        Where.
    precision : float
        Weight of observations times the share of pixels observed.

    Returns
    -------
    float
        Zero where nothing is forgotten, as of an intrinsic field without observations.
    """
    rates = []
    for row in np.unique(np.linspace(window.top, window.bottom - 1, _PLACES).astype(int)):
        for column in np.unique(np.linspace(window.left, window.right - 1, _PLACES).astype(int)):
            rates.append(_rate_at(cuts, (int(row), int(column)), precision))
            if cuts.is_alike:
                return rates[0]
    return min(rates)


def _rate_at(cuts: Cuts, pixel: tuple[int, int], precision: float) -> float:
    place = Window(pixel[0], pixel[0] + 1, pixel[1], pixel[1] + 1)
    outer = cuts.around(place)
    model = cuts.model.cropped(*outer.slices)
    if cuts.is_alike:  # borders do not matter
        side = 2 * max(outer.shape) + 1
        Q = model.build_stencil((side, side))
        at = (side // 2, side // 2)
    else:
        Q = model.build_stencil(outer.shape)
        at = (pixel[0] - outer.top, pixel[1] - outer.left)
    blocks = np.array([np.atleast_2d(Q.plane(k)[at]) for k in range(len(Q.offsets))])
    weights = np.ones(1) if model.combination is None else np.asarray(model.combination)
    return min(_along(Q.offsets[:, axis], np.einsum("kcc->ck", blocks), weights, precision) for axis in (0, 1))


def _along(steps: IntArray, coefficients: FloatArray, a: FloatArray, precision: float) -> float:
    """Return the rate along one axis, of ``prod_c q_c + precision sum_c a_c^2 prod_(d != c) q_d``."""
    reach = int(np.abs(steps).max(initial=0))
    polynomials = np.zeros((len(a), 2 * reach + 1))
    for k, step in enumerate(steps.tolist()):
        polynomials[:, reach + step] += coefficients[:, k]
        if k:
            polynomials[:, reach - step] += coefficients[:, k]
    whole = np.array([1.0])
    for each in polynomials:
        whole = np.polymul(whole, each)
    for c in range(len(a)):
        others = np.array([precision * a[c] ** 2])
        for d in range(len(a)):
            if d != c:
                others = np.polymul(others, polynomials[d])
        whole = np.polyadd(whole, np.pad(others, (0, (len(whole) - len(others)) // 2)))
    if len(whole) < 2:
        return math.inf
    sizes = np.abs(np.roots(whole))
    return float(np.abs(np.log(sizes[sizes > 0.0])).min(initial=math.inf))


def halo_for(cuts: Cuts, raster: Raster, core: Window, tolerance: float, most: int) -> int:
    """Return a halo at whose end an error of a variance on the core has fallen to a tolerance, as far as can be told.

    ``h = log(1 / tolerance) / (2 mu)`` by the share and weights of the observations about the core, and the distance
    to the nearest observation from the pixel of that surrounding that is farthest from any, across which less is
    forgotten.
    """
    first = _surrounding(cuts, raster, core, tolerance, most)
    window = core.grown(first, cuts.shape)
    seen = raster.seen(window)
    found = _halo(cuts, core, seen.weight.sum() / window.n_pixels, tolerance, most)
    if not seen.observed.any():
        return most
    gap = distance_transform_edt(~seen.observed)
    gap[_inner(core, first, cuts.shape).within(window)] = 0.0  # far from any cut
    return int(min(most, math.ceil(found + gap.max())))


def _surrounding(cuts: Cuts, raster: Raster, core: Window, tolerance: float, most: int) -> int:
    """Return how many pixels around a core are looked at: a halo by what is observed of it, or no more than needed.

    Within a gap nothing is observed by which anything would be forgotten. Surroundings are doubled there until what is
    observed of them asks for no wider ones, so that of a large raster only a part is read.
    """

    def wanted(margin: int) -> int:
        window = core.grown(margin, cuts.shape)
        return _halo(cuts, core, raster.seen(window).weight.sum() / window.n_pixels, tolerance, most)

    first = wanted(0)
    if first <= _NEAR:
        return first
    margin = _NEAR
    while margin < min(most, wanted(margin)):
        margin *= 2
    return min(margin, most)


def _inner(core: Window, margin: int, shape: Shape) -> Window:
    """Return the pixels of a core that are a margin away from its sides, those at the border of the raster apart."""
    top = core.top + margin if core.top else 0
    left = core.left + margin if core.left else 0
    bottom = core.bottom - margin if core.bottom < shape[0] else core.bottom
    right = core.right - margin if core.right < shape[1] else core.right
    return Window(top, max(top, bottom), left, max(left, right))


def _halo(cuts: Cuts, core: Window, precision: float, tolerance: float, most: int) -> int:
    rate = decay_rate(cuts, core, precision)
    wanted = math.log(1.0 / tolerance) / (2.0 * rate) if rate > 1.0 / _FARTHEST else float(most)
    return int(min(most, max(cuts.reach_on(core), math.ceil(wanted))))
