"""Stability of two-dimensional recursive filters.

``x_p = sum_k w_k x[p + o_k] + sigma e_p`` on rows that are unbounded to both sides has a stationary solution that
depends on earlier innovations only, and its impulse response is summable, iff

1. no root of ``B_0(z) = 1 - sum_{o = (0, -b)} w z^b`` lies in ``|z| <= 1`` (the recursion along a row), and
2. for every column frequency ``w`` all roots ``r`` of ``B_0(w) r^R = sum_{a=1..R} B_a(w) r^(R-a)`` lie inside the unit
   circle, ``B_a(w) = sum_{o = (-a, dj)} w_k exp(i dj w)`` (the recursion from row to row).

Reference: Ekstrom and Woods, Two-dimensional spectral factorization with applications in recursive digital filtering,
IEEE Trans. ASSP 24 (1976), theorem 4; Dudgeon and Mersereau, Multidimensional Digital Signal Processing (1984), section
4.2.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsegmrf.typing import FloatArray, IntArray

ComplexArray = npt.NDArray[np.complex128]

ROUNDING = 1e-12
_START = 128
_MOST_FREQUENCIES = 2**14
_ARCS = 32
_ZOOMS = 6
_QUARTER_PLANE = ((-1, -1), (-1, 0), (0, -1))


@dataclass(frozen=True)
class Stability:
    """Whether a causal recursion is stable, by how much, and which test says so.

    Attributes
    ----------
    stable : bool
        Whether the field is stationary and its impulse response summable.
    margin : float
        ``1 - largest root modulus`` over the recursion along a row and the recursions from row to row at all column
        frequencies; positive for a stable model. An impulse decays like ``(1 - margin)^lag``.
    sum_rule_margin : float
        ``1 - sum |w_k|``; where positive, the recursion is a contraction: sufficient, not necessary.
    quarter_plane_margin : float or None
        For offsets among left ``b``, above ``a`` and diagonal ``c``: the least of ``1-a-b-c``, ``1-a+b+c``,
        ``1+a-b+c``, ``1+a+b-c``, which are all positive iff the model is stable. None for other supports.
    decided_by : str
        ``"quarter plane"`` (the exact inequalities), ``"sum rule"``, ``"row recursion"`` (test 1 fails),
        ``"all frequencies"`` (both tests, certified between the frequencies looked at), ``"one frequency"`` (test 2
        fails there), or ``"frequency grid"`` (no failure seen, but too close to the limit to be certified).
    frequency : float
        Column frequency of the largest root, radians per pixel in ``[0, pi]``; NaN where the row recursion has it.
    """

    stable: bool
    margin: float
    sum_rule_margin: float
    quarter_plane_margin: float | None
    decided_by: str
    frequency: float


def stability(offsets: IntArray, weights: FloatArray) -> Stability:
    """Test the recursion with `weights` on earlier `offsets`."""
    sum_rule = 1.0 - float(np.abs(weights).sum())
    inequalities = _quarter_plane(offsets, weights)
    row_root = _row_root(offsets, weights)
    if row_root >= 1.0 - ROUNDING:
        name = "row recursion" if inequalities is None else "quarter plane"
        return Stability(False, 1.0 - row_root, sum_rule, inequalities, name, float("nan"))
    column_root, frequency, certified = _column_root(offsets, weights)
    margin = 1.0 - max(row_root, column_root)
    if row_root >= column_root:
        frequency = float("nan")
    stable = margin > ROUNDING
    if inequalities is not None:
        stable, name = inequalities > 0.0, "quarter plane"
    elif sum_rule > 0.0:
        stable, name = True, "sum rule"
    elif not stable:
        name = "one frequency"
    else:
        name = "all frequencies" if certified else "frequency grid"
    return Stability(stable, margin, sum_rule, inequalities, name, frequency)


def _quarter_plane(offsets: IntArray, weights: FloatArray) -> float | None:
    given = {(di, dj): float(weight) for (di, dj), weight in zip(offsets.tolist(), weights, strict=True)}
    if not set(given) <= set(_QUARTER_PLANE):
        return None
    c, a, b = (given.get(offset, 0.0) for offset in _QUARTER_PLANE)
    return min(1 - a - b - c, 1 - a + b + c, 1 + a - b + c, 1 + a + b - c)


def _row_root(offsets: IntArray, weights: FloatArray) -> float:
    """Return the largest root modulus of ``z^m - sum_b w_b z^(m-b)``, the recursion along a row."""
    in_row = offsets[:, 0] == 0
    if not in_row.any():
        return 0.0
    polynomial = np.zeros(1 - int(offsets[in_row, 1].min()))
    polynomial[0] = 1.0
    polynomial[-offsets[in_row, 1]] = -weights[in_row]
    return float(np.abs(np.roots(polynomial)).max(initial=0.0))


def _column_root(offsets: IntArray, weights: FloatArray) -> tuple[float, float, bool]:
    """Return the largest root modulus of the recursions from row to row, its frequency, and whether < 1 is certain.

    Within `half` of a frequency ``c`` the polynomial ``P`` changes by at most ``half D(c) + half^2 D2 / 2`` on the
    unit circle, ``D(c) = sum_a |B_a'(c)|`` and ``D2 = sum_k |w_k| dj_k^2``. By Rouche's theorem all roots stay inside
    as long as that is less than the least ``|P|`` there at ``c``; intervals for which it is not are halved.
    """
    if not (offsets[:, 0] < 0).any():
        return 0.0, 0.0, True
    slopes, curvature = weights * offsets[:, 1], float((np.abs(weights) * offsets[:, 1] ** 2).sum())
    half = np.pi / (2 * _START)
    centres = np.linspace(half, np.pi - half, _START)
    ends = np.array([0.0, np.pi])
    largest, frequency = _first_largest(np.abs(_roots(offsets, weights, ends)), ends)
    certified = False
    while len(centres) <= _MOST_FREQUENCIES and half > ROUNDING:
        roots = _roots(offsets, weights, centres)
        largest, frequency = max((largest, frequency), _first_largest(np.abs(roots), centres))
        if largest >= 1.0 - ROUNDING:
            break
        leading = np.abs(1.0 - _row_transforms(offsets, weights, centres)[:, 0])
        change = half * np.abs(_row_transforms(offsets, slopes, centres)).sum(axis=1) + half**2 * curvature / 2
        uncertain = centres[change >= leading * _least_product(roots)]
        certified = not len(uncertain)
        if certified:
            break
        half /= 2
        centres = np.concatenate([uncertain - half, uncertain + half])
    width = np.pi / _START
    for _ in range(_ZOOMS):
        near = np.linspace(max(0.0, frequency - width), min(np.pi, frequency + width), 33)
        largest, frequency = max((largest, frequency), _first_largest(np.abs(_roots(offsets, weights, near)), near))
        width /= 16
    return largest, frequency, certified


def _first_largest(modulus: FloatArray, frequencies: FloatArray) -> tuple[float, float]:
    by_frequency = modulus.max(axis=1)
    place = int(np.argmax(by_frequency))
    return float(by_frequency[place]), float(frequencies[place])


def _roots(offsets: IntArray, weights: FloatArray, frequencies: FloatArray) -> ComplexArray:
    """Return the roots of ``B_0 r^R - sum_a B_a r^(R-a)`` for every frequency, ``(m, R)``."""
    B = _row_transforms(offsets, weights, frequencies)
    rows = B.shape[1] - 1
    companion = np.zeros((len(frequencies), rows, rows), dtype=np.complex128)
    companion[:, 0] = B[:, 1:] / (1.0 - B[:, :1])
    companion[:, np.arange(1, rows), np.arange(rows - 1)] = 1.0
    return np.linalg.eigvals(companion).astype(np.complex128, copy=False)


def _row_transforms(offsets: IntArray, weights: FloatArray, frequencies: FloatArray) -> ComplexArray:
    """Return ``sum_{o = (-a, dj)} w_k exp(i dj w)`` for every frequency and ``a = 0..R``, ``(m, R + 1)``."""
    terms = weights * np.exp(1j * np.outer(frequencies, offsets[:, 1]))
    rows = -int(offsets[:, 0].min())
    return np.stack([terms[:, offsets[:, 0] == -a].sum(axis=1) for a in range(rows + 1)], axis=1)


def _least_product(roots: ComplexArray) -> FloatArray:
    """Return a lower bound of ``prod |z - r|`` over ``|z| = 1``, from bounds of each factor on arcs of the circle."""
    middle = np.exp(2j * np.pi * np.arange(_ARCS) / _ARCS)[:, np.newaxis]
    beside = np.abs(middle - roots[:, np.newaxis, :]) - np.pi / _ARCS
    factors = np.maximum(beside, 1.0 - np.abs(roots)[:, np.newaxis, :])
    return np.asarray(factors.prod(axis=2).min(axis=1))
