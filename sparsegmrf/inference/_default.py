"""The field by which gaps are filled unless another is asked for: a tension spline as smooth as the image."""

from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._search import Ending
from sparsegmrf.inference._start import Found, search, search_tile, start_of
from sparsegmrf.models import TensionSpline

_MOST_PIXELS = {2: 512**2, 3: 256**2}
"""Of an image for which a smoothness is tried: the factor takes two and four times the memory of smoothness 1."""


def search_default(problem: Problem, tolerance: float) -> tuple[Problem, Found]:
    """Search the parameters of a tension spline, of smoother ones too where the image shows no noise.

    Where the noise of a field runs to zero the image is as smooth as the field at least: the smoothness goes up by one
    as long as that is likelier. Of a large image its best-observed tile decides. Returned is also the problem with the
    model of that smoothness.
    """
    tile = search_tile(problem, tolerance)
    found = _whole(problem, None, tolerance) if tile is None else tile
    for nu, most in _MOST_PIXELS.items():
        if found.ended.ending is not Ending.NO_NOISE or problem.shape[0] * problem.shape[1] > most:
            break
        assert isinstance(problem.model, TensionSpline)
        smoother = problem.with_model(problem.model.replace(nu=nu))
        other = _whole(smoother, None, tolerance) if tile is None else search_tile(smoother, tolerance)
        if other is None or _value(other) <= _value(found):
            break
        problem, found = smoother, other
    return problem, found if tile is None else _whole(problem, found, tolerance)


def _whole(problem: Problem, tile: Found | None, tolerance: float) -> Found:
    """Search on the whole image, from what a tile says."""
    memo = Memo(problem.objective)
    return search(memo, start_of(problem, memo, tile), tolerance)


def _value(found: Found) -> float:
    return found.memo(found.ended.at).value
