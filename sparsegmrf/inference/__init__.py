"""Inference: fields given observations, fits by maximum likelihood, scores."""

from sparsegmrf.inference.condition import condition
from sparsegmrf.inference.covariances import covariance_between, variance_of
from sparsegmrf.inference.fill import FillResult, fill
from sparsegmrf.inference.fit import fit
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.inference.observation import BlockAverage, ObservationOperator, PointSpread
from sparsegmrf.inference.scores import (
    Predictions,
    coverage,
    crps,
    interval_score,
    leave_one_out,
    log_score,
    pit,
)

__all__ = [
    "BlockAverage",
    "FillResult",
    "FitResult",
    "ObservationOperator",
    "PointSpread",
    "Predictions",
    "condition",
    "covariance_between",
    "coverage",
    "crps",
    "fill",
    "fit",
    "interval_score",
    "leave_one_out",
    "log_score",
    "pit",
    "variance_of",
]
