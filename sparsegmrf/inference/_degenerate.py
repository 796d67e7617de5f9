"""Corners of a likelihood at which a model is no longer what its name says, and predicts nothing of a gap."""

import math

import numpy as np

from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.models import Matern, Sum, TensionSpline
from sparsegmrf.models._spacing import mean_side

_SHORTEST = 1.0
"""Range in pixels, along the shorter axis of an ellipse, below which neighbours know nothing of each other."""
_REACH = 4.0
"""Ratio of axes beyond which nine points do not hold an ellipse."""
_NIL = 1e-2
"""Standard deviation of a field, over that of all the fields of a sum together, that counts as nothing."""
_ROUGHEST, _SMOOTHEST = 0.05, 3.5
"""Smoothness at which the covariance is that of noise, or the field that of a polynomial."""


def degeneracy(model: FieldModel) -> str | None:
    """Return why a fitted model is in a degenerate corner, as a sentence with the number; None where it is not.

    Looked at are the ranges of Matern fields, which must not be under a pixel; anisotropies, of which the nine points
    of the smooth scheme hold ratios up to 4; the fields of a sum, none of which may be without variance; and smoothness
    that was estimated. Maps are looked at where they are smallest and largest.
    """
    members = model.models if isinstance(model, Sum) else (model,)
    labels = [f" of the {label} field" for label in model.labels] if isinstance(model, Sum) else [""]
    for each, label in zip(members, labels, strict=True):
        found = _of_field(each, label)
        if found is not None:
            return found
    sigmas = [float(np.sqrt(np.mean(np.square(each.sigma)))) for each in members if isinstance(each, Matern)]
    if len(members) > 1 and len(sigmas) == len(members):
        least = int(np.argmin(sigmas))
        share = sigmas[least] / math.hypot(*sigmas)
        if share < _NIL:
            return f"the variance{labels[least]} is nil: its deviation is {share:.2g} of all fields together"
    return None


def _of_field(model: object, label: str) -> str | None:
    if not isinstance(model, Matern | TensionSpline):
        return None
    ratio = 1.0
    if model.anisotropy is not None:
        ratio = float(np.max(np.maximum(model.anisotropy[0], 1.0 / np.asarray(model.anisotropy[0]))))
        if not ratio <= _REACH:
            return f"the anisotropy{label} is beyond the reach of the stencil: a ratio of {ratio:.3g}, above {_REACH:g}"
    if not isinstance(model, Matern):
        return None
    shortest = float(np.min(model.range)) / (mean_side(model.spacing) * np.sqrt(ratio))
    if not shortest >= _SHORTEST:
        return f"the range{label} is under a pixel: {shortest:.3g} pixels along its shorter axis"
    if model.nu_is_free and not _ROUGHEST <= float(model.nu) <= _SMOOTHEST:
        return f"the smoothness{label} has run to an end: nu = {model.nu:.3g}"
    return None
