"""The Laplace approximation of the density of counts, with its exact gradient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf.factors import Factor
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._laplace import log_marginal_likelihood
from sparsegmrf.inference._mode import Place, find_mode
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False)
class LaplaceEvidence:
    """Approximate log-density of counts in nats, its derivatives by directions and by coefficients, and the mode.

    The factor at the mode is left out: it is most of the memory, which the next evaluation uses again.
    """

    loglik: float
    by_directions: FloatArray
    by_coefficients: FloatArray
    mode: Place


def laplace_evidence(
    prior: GMRF,
    mean: FloatArray,
    factor: Factor,
    counts: Counts,
    columns: FloatArray,
    factorizer: Refactorizer,
    starts: Sequence[FloatArray],
    directions: Sequence[SymmetricStencil] | None = None,
) -> LaplaceEvidence:
    """Return ``log p~(y)`` of a prior about ``X beta``, `mean` and, with `directions` ``dQ``, its derivatives.

    With ``r = x* - X beta``, ``P = Q + W`` and ``z = P^-1 v``, ``v_p = (P^-1)_pp dW_p/dx_p``; the mode moves by
    ``dx* = -P^-1 dQ r`` and ``dx* = P^-1 Q X dbeta``, and at it the joint density is stationary. So
    ``d log p~ = [tr(Q^-1 dQ) - tr(P^-1 dQ) - r^T dQ r + z^T dQ r] / 2`` along a direction and
    ``(r - z/2)^T Q X`` by the coefficients: selected inverses and one solve. Of fields stacked at a pixel, of which the
    sum ``a^T x_p`` is seen, ``P = Q + a W a^T``, ``v_p = a (a^T (P^-1)_pp a) dW_p``, and ``X`` is any stack of which it
    is the sum.
    """
    precision = PriorPrecision.of(prior.precision, prior)
    mode = find_mode(precision, mean, counts, factorizer, starts)
    loglik = log_marginal_likelihood(prior, mean, factor.logdet, counts, mode)
    if directions is None:
        return LaplaceEvidence(loglik, np.zeros(0), np.zeros(0), mode.place)
    S, of_total = counts.covariances(mode.factor)
    prior_S = factor.selected_inverse() if directions else S
    r = precision.without_level(mode.deviation)
    z = mode.factor.solve(counts.spread(of_total * mode.derivatives.rate))
    along = [0.5 * (dQ.inner(prior_S) - dQ.inner(S) - float(np.sum((r - z) * (dQ @ r)))) for dQ in directions]
    of_columns = precision.times(counts.lifted(columns)) if len(columns) else columns
    by_coefficients = np.tensordot(of_columns, r - 0.5 * z, r.ndim) if len(columns) else np.zeros(0)
    return LaplaceEvidence(loglik, np.array(along), by_coefficients, mode.place)
