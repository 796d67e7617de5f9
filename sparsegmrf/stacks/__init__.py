"""Stacks of images in time: gaps filled from other dates, with the uncertainty of what is filled in."""

from sparsegmrf.stacks._clouds import MovedClouds, moved_clouds
from sparsegmrf.stacks._comparison import StackCandidate, StackComparison
from sparsegmrf.stacks._cross_validation import CloudScores, StackCrossValidation, cross_validate
from sparsegmrf.stacks._diagnose import DateDiagnosis, StackDiagnosis, diagnose
from sparsegmrf.stacks._fill import fill
from sparsegmrf.stacks._fit import StackFit
from sparsegmrf.stacks._plan import StackPlan
from sparsegmrf.stacks._result import StackAt, StackResult
from sparsegmrf.stacks._scores import StackScores
from sparsegmrf.stacks._season_curve import SeasonCurve
from sparsegmrf.stacks._separable import Separable
from sparsegmrf.stacks._series_fit import SeriesFit

__all__ = [
    "CloudScores",
    "DateDiagnosis",
    "MovedClouds",
    "SeasonCurve",
    "Separable",
    "SeriesFit",
    "StackAt",
    "StackCandidate",
    "StackComparison",
    "StackCrossValidation",
    "StackDiagnosis",
    "StackFit",
    "StackPlan",
    "StackResult",
    "StackScores",
    "cross_validate",
    "diagnose",
    "fill",
    "moved_clouds",
]
