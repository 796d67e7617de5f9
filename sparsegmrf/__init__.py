"""Exact Gaussian Markov random fields on images: sparse precisions, fast factors, samples and variances.

What every task begins with stands here; the rest in `models`, `factors`, `likelihoods`, `priors`, `fields`, `scores`,
`inference`, `autoregression`, `ensembles`, `pixels`, `io`, `errors`, and with their extras `plot` and `torch`.
"""

from sparsegmrf import (
    autoregression,
    ensembles,
    errors,
    factors,
    fields,
    inference,
    io,
    likelihoods,
    models,
    pixels,
    priors,
    scores,
)
from sparsegmrf._threads import get_num_threads, set_num_threads
from sparsegmrf.factors import factorize, plan
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference import condition, constrain, diagnose, fill, fit
from sparsegmrf.models import CAR, SAR, Channels, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil

__version__ = "0.1.0"

__all__ = [
    "CAR",
    "GMRF",
    "SAR",
    "Channels",
    "Intrinsic",
    "Matern",
    "Sum",
    "SymmetricStencil",
    "TensionSpline",
    "TriangularStencil",
    "__version__",
    "autoregression",
    "condition",
    "constrain",
    "diagnose",
    "ensembles",
    "errors",
    "factorize",
    "factors",
    "fields",
    "fill",
    "fit",
    "get_num_threads",
    "inference",
    "io",
    "likelihoods",
    "models",
    "pixels",
    "plan",
    "priors",
    "scores",
    "set_num_threads",
]


def __dir__() -> list[str]:
    return sorted(__all__)
