"""Factors of a precision behind one contract."""

from sparsegmrf.linalg._factor import Factor, Method
from sparsegmrf.linalg._form import Form
from sparsegmrf.linalg.cholmod import CholmodFactor
from sparsegmrf.linalg.choose import factorize
from sparsegmrf.linalg.constrained import ConstrainedFactor
from sparsegmrf.linalg.dense import DenseFactor
from sparsegmrf.linalg.dissection import DissectionFactor, Plan, plan
from sparsegmrf.linalg.independent import IndependentFactor
from sparsegmrf.linalg.intrinsic import IntrinsicFactor
from sparsegmrf.linalg.restricted import RestrictedFactor, RestrictedForm
from sparsegmrf.linalg.separable import SeparableFactor
from sparsegmrf.linalg.spectral import SpectralFactor, SpectralForm
from sparsegmrf.linalg.triangular import TriangularFactor

__all__ = [
    "CholmodFactor",
    "ConstrainedFactor",
    "DenseFactor",
    "DissectionFactor",
    "Factor",
    "Form",
    "IndependentFactor",
    "IntrinsicFactor",
    "Method",
    "Plan",
    "RestrictedFactor",
    "RestrictedForm",
    "SeparableFactor",
    "SpectralFactor",
    "SpectralForm",
    "TriangularFactor",
    "factorize",
    "plan",
]
