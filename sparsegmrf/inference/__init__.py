"""Inference: fields given observations, fits by maximum likelihood, hold-outs and scores."""

from sparsegmrf.inference._cross_validation import CrossValidation
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference.comparison import Candidate, ModelComparison
from sparsegmrf.inference.condition import condition
from sparsegmrf.inference.constrain import ConstrainedGMRF, constrain
from sparsegmrf.inference.count_fit_result import CountFitResult
from sparsegmrf.inference.covariances import covariance_between, variance_of
from sparsegmrf.inference.diagnose import Diagnosis, Whiteness, diagnose
from sparsegmrf.inference.fill import FillResult, fill
from sparsegmrf.inference.fit import fit
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.inference.holdout import Blocks, gap_copies, rectangles
from sparsegmrf.inference.laplace import LaplacePosterior
from sparsegmrf.inference.leave_out import hold_out, leave_block_out
from sparsegmrf.inference.observation import BlockAverage, ObservationOperator, PointSpread
from sparsegmrf.inference.prediction import Prediction
from sparsegmrf.inference.priors import LogNormal, Normal, PCPrecision, PCRange, PCSigma, PCVariance, Prior
from sparsegmrf.inference.scores import (
    PITHistogram,
    Predictions,
    coverage,
    crps,
    interval_score,
    leave_one_out,
    log_score,
    pit,
    pit_histogram,
)

__all__ = [
    "BlockAverage",
    "Blocks",
    "Candidate",
    "ConstrainedGMRF",
    "CountFitResult",
    "CrossValidation",
    "Diagnosis",
    "FillResult",
    "FitResult",
    "LaplacePosterior",
    "LogNormal",
    "ModelComparison",
    "Normal",
    "ObservationOperator",
    "PCPrecision",
    "PCRange",
    "PCSigma",
    "PCVariance",
    "PITHistogram",
    "PointSpread",
    "Prediction",
    "Predictions",
    "Prior",
    "Problem",
    "Whiteness",
    "condition",
    "constrain",
    "covariance_between",
    "coverage",
    "crps",
    "diagnose",
    "fill",
    "fit",
    "gap_copies",
    "hold_out",
    "interval_score",
    "leave_block_out",
    "leave_one_out",
    "log_score",
    "pit",
    "pit_histogram",
    "rectangles",
    "variance_of",
]
