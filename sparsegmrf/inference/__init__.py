"""Inference: fields given observations, fits by maximum likelihood, filled images, and what these return."""

from sparsegmrf.inference._categorical import Categorical, factor
from sparsegmrf.inference._channels_fit import ChannelsFillResult, ChannelsFit
from sparsegmrf.inference._compare_fits import ComparedFit, FitComparison, compare_fits
from sparsegmrf.inference._comparison import Candidate, HeldOutScores, ModelComparison
from sparsegmrf.inference._condition import condition
from sparsegmrf.inference._constrain import constrain
from sparsegmrf.inference._count_fill import CountFillResult
from sparsegmrf.inference._count_fit_result import CountFitResult
from sparsegmrf.inference._cross_validation import CrossValidation
from sparsegmrf.inference._diagnose import diagnose
from sparsegmrf.inference._diagnosis import Diagnosis, Whiteness
from sparsegmrf.inference._fill import fill
from sparsegmrf.inference._fill_result import FillResult
from sparsegmrf.inference._fit import fit
from sparsegmrf.inference._fit_result import FitResult
from sparsegmrf.inference._integrate import IntegratedFit
from sparsegmrf.inference._integrated_counts import IntegratedCountFit
from sparsegmrf.inference._linear_estimate import Contrast, LinearEstimate, WaldTest
from sparsegmrf.inference._mixed_prediction import MixedPrediction
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._parameter_density import ParameterDensity
from sparsegmrf.inference._plan import ProblemPlan, plan
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._profile import LikelihoodProfile
from sparsegmrf.inference._progress import Progress
from sparsegmrf.inference._risk import Risk
from sparsegmrf.inference._saved_fit import SavedFit
from sparsegmrf.inference._saved_integral import SavedIntegral
from sparsegmrf.inference._spacing import Spacing, spacing_of, spacing_on_sphere
from sparsegmrf.inference._variogram import Variogram, variogram

__all__ = [
    "Candidate",
    "Categorical",
    "ChannelsFillResult",
    "ChannelsFit",
    "ComparedFit",
    "Contrast",
    "CountFillResult",
    "CountFitResult",
    "CrossValidation",
    "Diagnosis",
    "FillResult",
    "FitComparison",
    "FitResult",
    "HeldOutScores",
    "IntegratedCountFit",
    "IntegratedFit",
    "LikelihoodProfile",
    "LinearEstimate",
    "MixedPrediction",
    "Mixture",
    "ModelComparison",
    "ParameterDensity",
    "Prediction",
    "Problem",
    "ProblemPlan",
    "Progress",
    "Risk",
    "SavedFit",
    "SavedIntegral",
    "Spacing",
    "Variogram",
    "WaldTest",
    "Whiteness",
    "compare_fits",
    "condition",
    "constrain",
    "diagnose",
    "factor",
    "fill",
    "fit",
    "plan",
    "spacing_of",
    "spacing_on_sphere",
    "variogram",
]
