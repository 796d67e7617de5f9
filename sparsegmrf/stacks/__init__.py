"""Stacks of images in time: gaps filled from other dates, with the uncertainty of what is filled in."""

from sparsegmrf.stacks._fill import fill
from sparsegmrf.stacks._fit import SeriesFit, StackFit
from sparsegmrf.stacks._plan import StackPlan
from sparsegmrf.stacks._result import StackAt, StackResult
from sparsegmrf.stacks._separable import Separable

__all__ = ["Separable", "SeriesFit", "StackAt", "StackFit", "StackPlan", "StackResult", "fill"]
