"""Bounds of the log-likelihood: determinants by tiles in order, each given those before it."""

from collections.abc import Sequence

import numpy as np

from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors.autoregressive import AutoregressiveForm
from sparsegmrf.factors.independent import IndependentForm
from sparsegmrf.factors.intrinsic_spectral import SpectralIntrinsicForm
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.total import TotalForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.large._cuts import Cuts, before
from sparsegmrf.large._geometry import Tile, Window
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._trend import Trend, held_by
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, FloatArray

_LOG_2PI = float(np.log(2.0 * np.pi))
Interval = tuple[float, float]


def check_loglik(cuts: Cuts) -> None:
    """Refuse fields whose determinant has no bounds by tiles: intrinsic ones that no transform knows."""
    if held_by(cuts.model) and closed_form(cuts) is None:
        raise ArgumentError(
            f"loglik must be False for {type(cuts.model).__name__} here, an intrinsic field of which no transform "
            "knows the determinant; take one without mask, barrier and maps, of order 1, or a proper one."
        )


def loglik_interval(cuts: Cuts, parts: Sequence[FloatArray], explained: float, error: float) -> Interval:
    r"""Return bounds of the log-density of the observations at the trend's estimates.

    ``2 log p = logdet Q - logdet P + sum log w - y^T W y + b^T P^-1 b + beta^T X^T S y - (m - r) log 2 pi``, and
    ``logdet(V_o^T V_o)`` for the ``r`` null vectors ``V`` of an intrinsic field. ``logdet Q`` is exact where a
    transform knows it.

    Parameters
    ----------
    cuts : Cuts
    parts : sequence of ndarray
        What `part_of` says of each tile.
    explained : float
        ``b^T P^-1 b + beta^T X^T S y``.
    error : float
        Energy of the error of the mean; its square is the error of `explained`.
    """
    low, high, low_Q, high_Q, squares, logs, observed = (float(each) for each in np.sum(parts, axis=0))
    null = len(held_by(cuts.model))
    of_null = float(np.log(observed / (cuts.shape[0] * cuts.shape[1]))) * null if null else 0.0
    closed = closed_form(cuts)
    if closed is not None:
        low_Q = high_Q = closed.factor.logdet
    rest = logs - squares + explained - (observed - null) * _LOG_2PI + of_null
    return 0.5 * (low_Q - high + rest - error**2), 0.5 * (high_Q - low + rest + error**2)


def part_of(posterior: Posterior, tile: Tile, trend: Trend, *, closed: bool) -> FloatArray:
    """Return what a tile adds: bounds of ``logdet P`` and ``logdet Q``, ``y^T W y``, ``sum log w``, observed pixels.

    Those of ``logdet Q`` are zero where it is `closed`, known by a transform.
    """
    seen = posterior.raster.seen(tile.core)
    w = seen.weight[seen.observed]
    left = (seen.values - trend.removed(tile.core))[seen.observed]
    dets = logdet_part(posterior, tile), (0.0, 0.0) if closed else logdet_part(posterior, tile, given=False)
    return np.array([*dets[0], *dets[1], float(w @ (left * left)), float(np.log(w).sum()), float(len(w))])


def logdet_part(posterior: Posterior, tile: Tile, *, given: bool = True) -> Interval:
    """Return bounds of what a tile adds to ``logdet P``, or to ``logdet Q``.

    With the cores ``C_t`` in order and ``H_t`` the later pixels of the halo, everything earlier conditioned on,
    ``logdet P = sum_t logdet S_t`` with the Schur complements ``S_t`` of ``C_t`` once all later pixels are eliminated.
    Those of the Dirichlet cut, ``logdet P_(C u H) - logdet P_H``, eliminate fewer, and are larger; those of the natural
    one, without the rows that touch later pixels beyond the halo, are smaller.
    """
    core, window = tile.core, _later(tile)
    gone = before(core, window)
    inside = np.zeros(window.shape, dtype=bool)
    inside[core.within(window)] = True
    high = _schur_logdet(posterior, posterior.cuts.dirichlet(window), window, gone, inside, given)
    if window.bottom == posterior.shape[0] and window.shape[1] == posterior.shape[1]:
        return high, high  # nothing is cut
    try:
        cut = posterior.cuts.natural(window, core)
        return _schur_logdet(posterior, cut, window, gone, inside, given), high
    except NotPositiveDefiniteError:
        return -np.inf, high


def _schur_logdet(
    posterior: Posterior, Q: SymmetricStencil, window: Window, gone: BoolArray, inside: BoolArray, given: bool
) -> float:
    """Return ``logdet`` of the Schur complement of a core in a window, some pixels being known."""
    P = posterior.given(Q, window) if given else Q
    both = _logdet(posterior, P, gone)
    kept = gone | inside
    return both if kept.all() else both - _logdet(posterior, P, kept)


def _logdet(posterior: Posterior, P: SymmetricStencil, known: BoolArray) -> float:
    unknowns = np.broadcast_to(known[..., np.newaxis], (*known.shape, P.channels)) if P.channels > 1 else known
    return posterior.analyses.factor(decoupled(P, unknowns) if known.any() else P).logdet


def _later(tile: Tile) -> Window:
    """Return the core with the later part of its halo: columns on both sides, and rows below."""
    window = tile.window
    return Window(tile.core.top, window.bottom, window.left, window.right)


def is_closed(cuts: Cuts) -> bool:
    """Return whether a transform knows ``logdet Q``."""
    return closed_form(cuts) is not None


def closed_form(cuts: Cuts) -> GMRF | None:
    """Return the field of the raster, or of the fields stacked there, if its determinant needs no factorization."""
    given = cuts.model.gmrf(cuts.shape).given
    inner = given.inner if isinstance(given, TotalForm) else given
    return GMRF(inner) if _is_closed(inner) else None


def _is_closed(form: object) -> bool:
    if isinstance(form, IndependentForm):
        return all(map(_is_closed, form.members))
    return isinstance(form, SpectralForm | SpectralIntrinsicForm | AutoregressiveForm)
