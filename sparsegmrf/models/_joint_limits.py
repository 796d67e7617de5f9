"""Limits that parameters have together: a box of linear forms around the values that are possible."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf.typing import FloatArray

Bounds = tuple[float, float]
_ZERO = 1e-14
_SLACK = 1e-6  # linear programs end within 1e-7 of their optimum


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Box of linear forms that holds all values of several parameters at which a precision is positive definite.

    ``intervals[i][0] < forms[i] @ values < intervals[i][1]`` for all ``i`` is necessary; `Model.is_inside` tells which
    values in the box are possible.

    Attributes
    ----------
    names : tuple of str
        The ``K`` parameters.
    forms : ndarray, (K, K)
        Invertible; one form per row, its coefficients in the order of `names`. Read-only.
    intervals : tuple of (float, float)
        One open interval per form; an end may be infinite.
    """

    names: tuple[str, ...]
    forms: FloatArray
    intervals: tuple[Bounds, ...]

    def __post_init__(self) -> None:
        forms = np.array(self.forms, dtype=np.float64)
        forms.flags.writeable = False
        _frozen.assign(self, forms=forms)


def are_independent(normals: FloatArray) -> bool:
    """Return whether every half-space ``normals[i] @ x < 1`` bounds a single coordinate, so that they make a box."""
    return bool((np.count_nonzero(np.abs(normals) > _ZERO, axis=1) <= 1).all())


def parallelogram(names: tuple[str, ...], normals: FloatArray) -> JointLimits:
    """Return the least parallelogram around ``normals @ x < 1`` in the plane along its first side and another one."""
    given = np.where(np.abs(normals) > _ZERO, normals, 0.0)
    sides = given[np.sort(np.unique(given, axis=0, return_index=True)[1])]
    pairs = [pair for pair in combinations(range(len(sides)), 2) if _are_independent_forms(sides[list(pair)])]
    if not pairs:  # a half-plane
        across = np.array([-sides[0, 1], sides[0, 0]])
        return JointLimits(names, np.vstack([sides[0], across]), ((-np.inf, 1.0), (-np.inf, np.inf)))
    least = [_least(side, [sides[list(pair)] for pair in pairs]) for side in sides]
    boxes = [JointLimits(names, sides[[0, j]], ((least[0], 1.0), (least[j], 1.0))) for i, j in pairs if i == 0]
    return min(boxes, key=_extent)


def bounding_box(names: tuple[str, ...], normals: FloatArray) -> JointLimits:
    """Return a box around ``normals @ x < 1``, its ends by linear programs and widened by 1e-6.

    One form is the side where all coordinates are large together, where images that vary smoothly lie, and ends at 1;
    the others are coordinates.
    """
    forms, widened = np.eye(len(names)), 1.0 + _SLACK
    side = normals[np.argmax(normals.sum(axis=1))]
    first = int(np.argmax(side))
    forms[first] = side
    ends = [(-widened * _largest(-form, normals), widened * _largest(form, normals)) for form in forms]
    ends[first] = (ends[first][0], 1.0)
    return JointLimits(names, forms, tuple(ends))


def _are_independent_forms(forms: FloatArray) -> bool:
    lengths = np.linalg.norm(forms, axis=1)
    return bool((lengths > 0.0).all() and abs(np.linalg.det(forms)) > 1e-9 * lengths.prod())


def _least(form: FloatArray, bases: list[FloatArray]) -> float:
    """Return the infimum of a form: by duality ``-min sum y`` over ``y >= 0`` with ``-form = y @ sides``."""
    shares = [np.linalg.solve(basis.T, -form) for basis in bases]
    return -min((float(y.sum()) for y in shares if (y > -1e-12).all()), default=np.inf)


def _extent(limits: JointLimits) -> tuple[int, float]:
    """Return how many forms are unbounded, and the logarithm of the area that the others leave; ties are ties."""
    sides = np.diff(np.array(limits.intervals), axis=1)
    bounded = np.isfinite(sides)
    area = sides[bounded].prod() / abs(np.linalg.det(limits.forms))
    return int((~bounded).sum()), round(float(np.log(area)), 9)


def _largest(direction: FloatArray, normals: FloatArray) -> float:
    """Return the supremum of a form. Zero is among the values, so that without an optimum it is infinite."""
    from scipy.optimize import linprog  # importing it takes longer than the rest of the package

    found = linprog(-direction, A_ub=normals, b_ub=np.ones(len(normals)), bounds=(None, None), method="highs")
    return float(-found.fun) if found.status == 0 else np.inf
