"""The Laplace approximation of the density of counts, field and trend integrated out, with its exact gradient."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sparsegmrf.factors import Factor
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._joint_mode import JointMode, find_joint_mode
from sparsegmrf.inference._laplace import log_marginal_likelihood
from sparsegmrf.inference._linear_estimate import symmetric_root
from sparsegmrf.inference._mode import Place
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.inference._trend import Trend
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

_LOG_2PI = float(np.log(2.0 * np.pi))


class JointEvidence(NamedTuple):
    """Approximate log-density of counts in nats, and the mode of field and trend.

    Attributes
    ----------
    loglik : float
        ``log p~(y)``, the coefficients of the trend integrated out with a flat density, that of the restricted
        likelihood: 1 by coordinates along orthonormal images on what is observed.
    by_directions : ndarray, (D,)
        Its derivatives by directions.
    coefficients, covariance : ndarray, (p,), (p, p)
        Of the trend's columns: mode and inverse information.
    places : list of Place
        Modes of the fields.
    skew : ndarray, (R, H, W)
        What the mean of the linear predictor is above its mode, to first order; without directions zero.
    """

    loglik: float
    by_directions: FloatArray
    coefficients: FloatArray
    covariance: FloatArray
    places: list[Place]
    skew: FloatArray


def joint_evidence(
    prior: GMRF,
    factor: Factor,
    counts: Sequence[Counts],
    trend: Trend,
    factorizer: Refactorizer,
    deviations: Sequence[FloatArray],
    coefficients: FloatArray,
    directions: Sequence[SymmetricStencil] | None = None,
) -> JointEvidence:
    """Return ``log p~(y)`` of a prior of mean zero with its factor, and with `directions` ``dQ`` its derivatives.

    With the whole curvature ``H`` of fields and coefficients, ``log p~ = l + log p(u) - log det(H / 2 pi) / 2`` at the
    mode, ``det H = det S prod_k det P_k``. With ``E_k`` the field's part of ``H^-1``, ``v = s^2 dW/deta`` by the
    variances ``s^2`` of linear predictors and ``(z, b) = H^-1 A^T v``,
    ``d log p~ = sum_k [tr(Q^-1 dQ) - tr(E_k dQ) - u_k^T dQ u_k + z_k^T dQ u_k] / 2``; the third derivatives of the
    likelihood move the mean of ``eta`` from its mode by ``-(a^T z + X b) / 2``.

    References
    ----------
    D. Lindley (1980), Approximate Bayesian methods, Trabajos de Estadistica 31, for the mean; H. Rue, S. Martino,
    N. Chopin (2009), JRSS B 71, section 3.2.3, where it is that of the simplified Laplace approximation.
    """
    precision = PriorPrecision.of(prior.precision, prior)
    mode = find_joint_mode(precision, trend.columns, counts, factorizer, deviations, coefficients)
    mean, p = trend.combined(mode.coefficients), len(trend.columns)
    loglik = sum(
        log_marginal_likelihood(prior, mean, factor.logdet, one, each)
        for one, each in zip(counts, mode.images, strict=True)
    )
    loglik += 0.5 * (trend.log_gram - float(np.linalg.slogdet(mode.information)[1]) + p * _LOG_2PI)
    covariance = np.asarray(np.linalg.inv(mode.information), dtype=np.float64)
    skew, along = np.zeros((len(counts), *mean.shape)), np.zeros(0)
    if directions is not None:
        skew, along = _derivatives(precision, factor, mode, symmetric_root(covariance), directions)
    return JointEvidence(loglik, along, mode.coefficients, covariance, mode.places, skew)


def _derivatives(
    prior: PriorPrecision, factor: Factor, mode: JointMode, root: FloatArray, directions: Sequence[SymmetricStencil]
) -> tuple[FloatArray, FloatArray]:
    """Return what means are above modes, and the derivatives along directions."""
    prior_S = factor.selected_inverse() if directions else None
    forces, along = [], np.zeros(len(directions))
    for k, (one, each, spread) in enumerate(zip(mode.counts, mode.images, mode.spreads(root), strict=True)):
        S, variance = one.covariances(each.factor)
        forces.append((variance + np.sum(spread * spread, axis=0)) * each.derivatives.rate)
        taken = np.tensordot(root.T, mode.taken(k), 1) if len(root) else mode.taken(k)
        for number, dQ in enumerate(directions):
            assert prior_S is not None
            along[number] += 0.5 * (dQ.inner(prior_S) - dQ.inner(S) - float(np.sum(taken * (dQ @ taken))))
    pushed = [one.spread(v) for one, v in zip(mode.counts, forces, strict=True)]
    move = mode.solve(pushed, np.tensordot(mode.columns, np.sum(forces, axis=0), 2))
    for each, z in zip(mode.images, move.fields, strict=True):
        r = prior.without_level(each.deviation)
        for number, dQ in enumerate(directions):
            along[number] -= 0.5 * float(np.sum((r - z) * (dQ @ r)))
    return -0.5 * np.array(move.totals), along
