"""The estimates at the end of a search, whatever was searched."""

import dataclasses

import numpy as np

from sparsegmrf.inference._conclusion import conclude
from sparsegmrf.inference._count_fit_result import CountFitResult, make_count_result
from sparsegmrf.inference._cross_validation import cross_validate
from sparsegmrf.inference._fit_result import FitResult, make_result
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._progress import stage
from sparsegmrf.inference._start import Found


def result_of(problem: Problem, found: Found, stream: np.random.Generator) -> FitResult | CountFitResult:
    """Return the estimates that a search has found; cross-validation starts there, its blocks follow `stream`."""
    memo, start, ended, tolerance = found
    if problem.method == "cv":
        with stage("cross-validating"):
            full, at, conclusion, compared = cross_validate(memo, ended.at, stream)
        return dataclasses.replace(make_result(problem, full, at, conclusion), cross_validation=compared)
    if isinstance(memo.objective, Objective):
        return gaussian_result(problem, found)
    return make_count_result(problem, memo, ended.at, conclude(memo, ended, start, tolerance))


def gaussian_result(problem: Problem, found: Found) -> FitResult:
    """Return the estimates of maximum likelihood with Gaussian noise that a search has found."""
    memo, start, ended, tolerance = found
    return make_result(problem, memo, ended.at, conclude(memo, ended, start, tolerance))
