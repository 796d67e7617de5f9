"""Predictions that need no factorization of their own: what the end of a search leaves is what they ask for."""

from typing import TYPE_CHECKING

import numpy as np

from sparsegmrf.factors import DissectionFactor
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._prediction import FieldAtPixels, Prediction
from sparsegmrf.typing import FloatArray

if TYPE_CHECKING:
    from sparsegmrf.inference._fit_result import FitResult


def predict_at_end(
    result: "FitResult", memo: Memo, at: FloatArray, count: int, stream: np.random.Generator
) -> Prediction:
    """Return `FitResult.predict` of a result that was made at the end of a search.

    The last evaluation of the search has the factor and the variances of the field given the observations, at the scale
    that precisions had there; where it is left, as of one field with noise on a dissected lattice, it is used.
    """
    found = memo.last(at)
    solved = None if found is None else found.evidence.solved
    factor = None if solved is None or len(solved.regression.posteriors) > 1 else solved.regression.posteriors[0]
    objective, data = result._objective, memo.objective.images[0].data
    is_plain = data.combination is None and not data.exact.any() and not result._undefined.any()
    if found is None or solved is None or not isinstance(factor, DissectionFactor) or not is_plain:
        del found, solved, factor
        memo.let_go()
        return result.predict(n_samples=count, rng=stream)
    evidence, fields = found.evidence, solved.regression.parts[0].fields
    root = objective.frame.unit / float(np.sqrt(memo.objective.solution(found).scale))
    mean = np.tensordot(np.concatenate([[1.0], -evidence.beta]), fields, 1) * objective.frame.unit + result._share(0)
    mean = objective.frame.put_back(mean, 0)
    draws = factor.draw_vectors(stream, np.empty((count, mean.size))).reshape(count, *mean.shape)
    variance = root**2 * solved.variances[0]
    return result._with_trend([FieldAtPixels(mean, variance, mean + root * draws, factor.relative_error)], stream)
