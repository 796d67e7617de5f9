"""Weights of predictive distributions that predict held-out measurements best together: stacking."""

import numpy as np

from sparsegmrf.typing import FloatArray, IntArray

_GAP = 1e-9
"""Nats per measurement by which other weights may be better."""
_STEPS = 2000
_FOLDS = 5


def stacking_weights(log_densities: FloatArray) -> FloatArray:
    """Return the weights ``w`` on the simplex that maximize ``mean_i log sum_k w_k p_ik``, a concave function.

    With ``g_k = mean_i p_ik / sum_l w_l p_il`` no other weights are better by more than ``max_k g_k - 1``, and at the
    maximum ``g_k = 1`` where ``w_k > 0`` and ``g_k <= 1`` elsewhere. A sequential quadratic program comes near, and
    ``w_k <- w_k g_k`` (expectation-maximization, which never makes it worse) goes on to within a gap of 1e-9.

    Parameters
    ----------
    log_densities : ndarray, (n, K)
        ``log p_ik`` of measurement ``i`` under candidate ``k``, in nats.

    Returns
    -------
    ndarray, (K,)

    References
    ----------
    Y. Yao, A. Vehtari, D. Simpson, A. Gelman (2018), Using stacking to average Bayesian predictive distributions,
    Bayesian Analysis 13, eq. 4.

    Examples
    --------
    >>> stacking_weights(np.log([[0.5, 0.25], [0.25, 0.5], [0.25, 0.5]])).round(6)
    array([0., 1.])
    """
    from scipy.optimize import minimize

    # A factor of a row's own is no matter to the gradient.
    p = np.exp(log_densities - log_densities.max(axis=1, keepdims=True))
    count = p.shape[1]
    equal = np.full(count, 1.0 / count)

    def loss(w: FloatArray) -> tuple[float, FloatArray]:
        total = p @ w
        return -float(np.mean(np.log(total))), -np.asarray((1.0 / total) @ p) / len(p)

    found = minimize(
        loss,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    near = np.maximum(found.x, 0.0)
    w = near / near.sum() if np.isfinite(found.fun) and near.sum() > 0.0 else equal
    for start in (w, equal):  # a weight that is zero stays there
        w = start
        for _ in range(_STEPS):
            gains = -loss(w)[1]
            if gains.max() - 1.0 <= _GAP:
                return w
            if (gains[w == 0.0] > 1.0 + _GAP).any():
                break
            w = w * gains
            w = w / w.sum()
    return w


def held_out_mixture(log_densities: FloatArray, blocks: IntArray) -> FloatArray:
    """Return ``(n, K)``, by row the weights that stacking without the measurement's own block would give.

    Blocks ``(n,)``, numbered from 0, are put into five folds by turns of their sizes; with fewer than two blocks there
    is nothing to leave out, and all rows are the weights of all.
    """
    sizes = np.bincount(blocks)
    order = np.argsort(-sizes, kind="stable")
    fold_of = np.empty(len(sizes), dtype=np.int64)
    fold_of[order] = np.arange(len(sizes)) % _FOLDS
    folds = fold_of[blocks]
    found = np.empty_like(log_densities)
    for fold in np.unique(folds):
        out = folds == fold
        found[out] = stacking_weights(log_densities if out.all() else log_densities[~out])
    return found
