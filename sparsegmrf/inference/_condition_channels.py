"""Conditioning fields of several channels: by the Kronecker product where the channels' gaps agree, else as blocks."""

import numpy as np
import scipy.linalg

from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import Factor, Method
from sparsegmrf.factors.choose import stencil_of
from sparsegmrf.factors.congruent import CongruentForm
from sparsegmrf.factors.coregional import CoregionalForm, GivenSums
from sparsegmrf.factors.independent import IndependentForm
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.factors.separable import SeparableForm
from sparsegmrf.factors.total import TotalForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._observations import Observations, posterior_precision
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import FloatArray

_SAME = 8.0 * float(np.finfo(np.float64).eps)
"""Relative difference at which noise variances of channels are taken to have one ratio at all pixels."""


def condition_channels(gmrf: GMRF, data: Observations, method: Method) -> GMRF:
    """Return a field of several channels given observations ``(H, W, C)``, among them what it knows already."""
    posterior = given_channels(gmrf, data, method)
    residual = np.where(data.observed, data.values - gmrf.mean, 0.0)
    if isinstance(gmrf.given, CoregionalForm):
        factor = posterior.factor
        assert isinstance(factor, GivenSums)
        mean = gmrf.mean + unknowns_given(gmrf.given, data, factor, residual)[..., gmrf.given.totals]
    else:
        mean = gmrf.mean + deviation_given(gmrf, data, posterior.factor, residual)
    return posterior.with_mean(np.where(data.exact, data.values, mean))


def given_channels(gmrf: GMRF, data: Observations, method: Method = "auto") -> GMRF:
    """Return the field of the deviations from the mean given the observations.

    With ``Q = Q_s (x) S^-1`` and the same pixels observed in all channels:

    - exactly: the precision is that of the missing pixels, ``(Q_s)_mm (x) S^-1``;
    - with noise of variance ``v_c / w_p``, ``V = diag(v)``: ``V^-1/2 S V^-1/2 = U D U^T`` turns ``x_p = V^1/2 U u_p``
      into independent fields ``u_c`` with the precisions ``Q_s / D_c + diag(w)``.

    All else is factorized with ``C`` unknowns per pixel, and a sum of R fields with ``R C``.
    """
    if data.exact.all():
        raise ArgumentError(
            "noise_variance must leave something unknown, but every value is observed exactly; the field given these "
            "is the image itself."
        )
    form = gmrf.given
    if isinstance(form, CoregionalForm):
        return GMRF(form.given(data.weight, data.exact), method=method)
    if isinstance(form, SeparableForm) and not isinstance(form.spatial, TotalForm) and _agree(data):
        spatial = stencil_of(form.spatial, form.spatial.lattice)
        exact = data.exact[..., 0]
        if not data.weight.any():
            lattice = form.spatial.lattice.restricted(~exact)
            rest = RestrictedForm(decoupled(spatial, exact), lattice)
            return GMRF(SeparableForm(rest, form.covariance), method=method)
        noise = _separable_noise(data)
        if noise is not None:
            v, w = noise
            root = np.sqrt(v)
            D, U = scipy.linalg.eigh(form.covariance / np.multiply.outer(root, root))
            added = float(w.flat[0]) if (w == w.flat[0]).all() else w
            members = [(spatial * (1.0 / float(d))).plus_diagonal(added) for d in D]
            return GMRF(CongruentForm(IndependentForm(members), root[:, np.newaxis] * U), method=method)
    P, held = posterior_precision(gmrf.precision, data)
    return GMRF(P if held is None else RestrictedForm(P, gmrf.lattice.restricted(~held)), method=method)


def deviation_given(gmrf: GMRF, data: Observations, factor: Factor, residual: FloatArray) -> FloatArray:
    """Return ``E[x - mu]`` given residuals ``y - mu``, images ``(..., H, W, C)``, zero where missing."""
    known = np.where(data.exact, residual, 0.0)
    right = data.weight * residual
    if data.exact.any():
        right = np.where(data.exact, 0.0, right - gmrf.precision @ known)
    return np.asarray(known + factor.solve(right))


def unknowns_given(form: CoregionalForm, data: Observations, factor: GivenSums, residual: FloatArray) -> FloatArray:
    """Return the expected unknowns ``(..., H, W, R C)`` of a sum of fields given residuals ``(..., H, W, C)``.

    `form` is what the observations are added to, `factor` that of both.
    """
    known = form.spread(np.where(data.exact, residual, 0.0))
    right = form.spread(data.weight * residual)
    if data.exact.any():
        right -= form.times(known)
        right[..., form.totals] = np.where(data.exact, 0.0, right[..., form.totals])
    return known + factor.solve_unknowns(right)


def _agree(data: Observations) -> bool:
    """Tell whether all channels are observed at the same pixels, and exactly at the same."""
    return bool((data.observed == data.observed[..., :1]).all() and (data.exact == data.exact[..., :1]).all())


def _separable_noise(data: Observations) -> tuple[FloatArray, FloatArray] | None:
    """Return ``v`` ``(C,)`` and ``w`` ``(H, W)`` where the noise variances are ``v_c / w_p``; else None."""
    if data.exact.any():
        return None
    first, w = data.weight[..., :1], data.weight
    seen = w[data.observed[..., 0]]
    v = seen[0, 0] / seen[0]
    return (v, first[..., 0]) if (np.abs(w * v - first) <= _SAME * first).all() else None
