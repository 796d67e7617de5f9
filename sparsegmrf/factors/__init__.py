"""Factors of a precision behind one contract."""

from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.factors.cholmod import CholmodFactor
from sparsegmrf.factors.choose import factorize
from sparsegmrf.factors.constrained import ConstrainedFactor
from sparsegmrf.factors.dense import DenseFactor
from sparsegmrf.factors.dissection import DissectionFactor, Plan, SingleFactor
from sparsegmrf.factors.folded import FoldedFactor
from sparsegmrf.factors.independent import IndependentFactor
from sparsegmrf.factors.intrinsic import IntrinsicFactor
from sparsegmrf.factors.packed import PackedFactor
from sparsegmrf.factors.restricted import RestrictedFactor, RestrictedForm
from sparsegmrf.factors.separable import SeparableFactor
from sparsegmrf.factors.spectral import SpectralFactor, SpectralForm
from sparsegmrf.factors.spectral_density import SpectralDensity
from sparsegmrf.factors.triangular import TriangularFactor

__all__ = [
    "CholmodFactor",
    "ConstrainedFactor",
    "DenseFactor",
    "DissectionFactor",
    "Factor",
    "FoldedFactor",
    "Form",
    "IndependentFactor",
    "IntrinsicFactor",
    "Method",
    "PackedFactor",
    "Plan",
    "RestrictedFactor",
    "RestrictedForm",
    "SeparableFactor",
    "SingleFactor",
    "SpectralDensity",
    "SpectralFactor",
    "SpectralForm",
    "TriangularFactor",
    "factorize",
]
