"""Modes learnt on beside the local field: pixels that differ alike are one witness of the scores, not many."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from sparsegmrf.inference._progress import stage
from sparsegmrf.stacks._modes_em import Learned, Series, update_pixels, update_scores
from sparsegmrf.stacks._modes_local import LocalField, estimate_local
from sparsegmrf.stacks._modes_posterior import WeightedSeries, local_information, smooth_scores
from sparsegmrf.stacks._modes_spread import rows_of
from sparsegmrf.typing import BoolArray, FloatArray, Shape

_ROUNDS = 4
_LIMIT = 4.0
"""Deviations at which residuals are cut when the local field's correlation is estimated."""


def refine(series: Series, learned: Learned, shape: Shape) -> tuple[Learned, LocalField]:
    """Return modes and local field after rounds in which each is found beside the other.

    To `learn` pixels are independent given the modes. Where a smooth field is left it takes each pixel for a witness of
    its own: scores seem better known than they are, modes take up what belongs to the field, and its variance is
    estimated too small. Here what an image says of the scores has the field integrated out (generalized least squares),

    ``P_t = F^T V_t^-1 F``,   ``b_t = F^T V_t^-1 z_t``,

    with ``V_t`` the covariance of the image's values given the scores; coefficients of pixels, noise and prior follow
    from these scores as before, and the field from what they leave.

    Parameters
    ----------
    series : Series
        Only dates of which something is seen.
    learned : Learned
        From `learn`.
    shape : (int, int)
        Of the images.

    Returns
    -------
    Learned, LocalField
    """
    local = local_field_of(series, learned, shape)
    if not learned.modes.kernel.rank or not local.share:
        return learned, local
    with stage("refining modes", _ROUNDS * (1 + len(series.days))):
        for _ in range(_ROUNDS):
            learned = update_pixels(series, scores_beside(local, series, learned))
            local = local_field_of(series, learned, shape)
    return update_scores(series, learned), local


def scores_beside(local: LocalField, series: Series, learned: Learned) -> Learned:
    """Return the scores given the pixels' coefficients with local fields integrated out, and their kernel."""
    modes, data = learned.modes, WeightedSeries(series, learned.weights, learned.scales)
    information, shift = local_information(modes, local, data, learned.scores)
    scores = smooth_scores(modes.kernel, series.days, information, shift)
    return replace(learned, modes=replace(modes, kernel=scores.kernel), scores=scores)


def local_field_of(series: Series, learned: Learned, shape: Shape) -> LocalField:
    """Return the local field of what season and modes leave."""
    return estimate_local(shape, _residuals(series, learned))


def _residuals(series: Series, learned: Learned) -> Iterator[tuple[FloatArray, BoolArray]]:
    """Yield by blocks of dates what season and modes leave, in deviations of the noise and cut, and what is seen."""
    modes = learned.modes
    terms, _ = modes.products(series.days, learned.scores)
    for some in rows_of(0, len(terms), series.values.shape[1]):
        residuals = series.values[some] - terms[some] @ modes.mean.T
        residuals /= np.sqrt(modes.noise * learned.scales[some, None])
        yield np.clip(residuals, -_LIMIT, _LIMIT, out=residuals), series.seen[some]
