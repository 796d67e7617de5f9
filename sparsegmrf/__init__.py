"""Exact Gaussian Markov random fields on images: sparse precisions, fast factors, samples and variances.

What every task begins with stands here; the rest in `models`, `factors`, `likelihoods`, `priors`, `fields`, `scores`,
`inference`, `autoregression`, `ensembles`, `pixels`, `large`, `stacks`, `io`, `errors`, and with their extras `plot`
and `torch`. Each is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsegmrf import (
        autoregression,
        ensembles,
        errors,
        factors,
        fields,
        inference,
        io,
        large,
        likelihoods,
        models,
        pixels,
        priors,
        scores,
        stacks,
    )
    from sparsegmrf._diagnosing import diagnose
    from sparsegmrf._explorer import explore
    from sparsegmrf._filling import fill
    from sparsegmrf._threads import get_num_threads, set_num_threads
    from sparsegmrf.factors import factorize
    from sparsegmrf.gmrf import GMRF
    from sparsegmrf.inference import compare_fits, condition, constrain, factor, fit, plan
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
    "compare_fits",
    "condition",
    "constrain",
    "diagnose",
    "ensembles",
    "errors",
    "explore",
    "factor",
    "factorize",
    "factors",
    "fields",
    "fill",
    "fit",
    "get_num_threads",
    "inference",
    "io",
    "large",
    "likelihoods",
    "models",
    "pixels",
    "plan",
    "priors",
    "scores",
    "set_num_threads",
    "stacks",
]

_OF_MODULE = {
    "_diagnosing": ("diagnose",),
    "_explorer": ("explore",),
    "_filling": ("fill",),
    "_threads": ("get_num_threads", "set_num_threads"),
    "factors": ("factorize",),
    "gmrf": ("GMRF",),
    "inference": ("compare_fits", "condition", "constrain", "factor", "fit", "plan"),
    "models": ("CAR", "SAR", "Channels", "Intrinsic", "Matern", "Sum", "TensionSpline"),
    "stencil": ("SymmetricStencil", "TriangularStencil"),
}
_MODULE_OF = {name: module for module, names in _OF_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        found = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    elif name in __all__:
        found = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
