"""Which support: causal autoregressions compared on the same equations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models._estimation import least_squares
from sparsegmrf.models._moments import moments
from sparsegmrf.models._observed import observe
from sparsegmrf.models._support import Support, as_supports
from sparsegmrf.models.causal_ar import CausalAR
from sparsegmrf.models.report import FitReport
from sparsegmrf.typing import ArrayLike, BoolArray

DEFAULT_SUPPORTS: tuple[object, ...] = (
    ("nshp", 0),
    ("qp", (1, 1)),
    ("qp", (2, 2)),
    ("qp", (3, 3)),
    ("nshp", 1),
    ("nshp", 2),
    ("nshp", 3),
)


@dataclass(frozen=True, eq=False)
class OrderRow:
    """One support of the comparison: its name, number of weights, fit and criteria (nats, smaller is better)."""

    support: str
    n_weights: int
    loglik_per_pixel: float
    aic: float
    bic: float
    model: CausalAR


@dataclass(frozen=True, eq=False)
class OrderSelection:
    """Supports sorted by the criterion, the best first, all fitted on the same `n_equations` pixels."""

    criterion: str
    n_equations: int
    rows: tuple[OrderRow, ...]

    @property
    def best(self) -> CausalAR:
        """The model with the smallest criterion."""
        return self.rows[0].model

    def summary(self) -> str:
        """Return the comparison as a text table."""
        lines = [f"{'support':<20}{'weights':>8}{'nats/pixel':>13}{'AIC':>16}{'BIC':>16}"]
        lines += [
            f"{row.support:<20}{row.n_weights:8d}{row.loglik_per_pixel:13.6f}{row.aic:16.2f}{row.bic:16.2f}"
            for row in self.rows
        ]
        lines.append(f"best by {self.criterion} on {self.n_equations} common equations: {self.rows[0].support}")
        return "\n".join(lines)


def select_order(
    image: ArrayLike,
    supports: Sequence[object] = DEFAULT_SUPPORTS,
    criterion: Literal["bic", "aic"] = "bic",
    mask: BoolArray | Literal["nan"] | None = None,
) -> OrderSelection:
    """Fit several supports by least squares on the same equations and sort them by a criterion.

    The equations are the pixels for which the union of all supports is on the image and observed, so that likelihoods
    of different supports are comparable; all normal equations are cut out of those of the union, from one pass.

    Parameters
    ----------
    image : array_like, (H, W)
        Intensities, as for `CausalAR.fit`.
    supports : sequence
        Each ``("qp", (p, q))``, ``("nshp", radius)`` or a list of offsets ``(di, dj)``. The default compares the white
        field, quarter planes up to (3, 3) and half planes up to radius 3.
    criterion : {"bic", "aic"}
        ``k log n - 2 loglik`` or ``2 k - 2 loglik`` with ``k = K + 2`` parameters.
    mask : ndarray of bool, (H, W), or "nan", optional
        **True where a pixel is missing**, as for `CausalAR.fit`.

    Returns
    -------
    OrderSelection
        The sorted rows, and the best model.

    Raises
    ------
    ArgumentError
        As `CausalAR.fit`, for the largest support first, or if `supports` is empty.

    References
    ----------
    Schwarz, Estimating the dimension of a model, Annals of Statistics 6 (1978).

    Examples
    --------
    >>> image = CausalAR([0.5, 0.4], support=[(-1, 0), (0, -1)]).gmrf((128, 128)).sample(rng=1)
    >>> chosen = select_order(image, supports=[("nshp", 0), [(-1, 0), (0, -1)], ("nshp", 2)])
    >>> chosen.rows[0].n_weights
    2
    """
    one_of("criterion", criterion, ("bic", "aic"))
    chosen = as_supports(supports)
    if not chosen:
        raise ArgumentError("supports must name at least one support, got none; leave it out for the default list.")
    union = np.unique(np.vstack([support.offsets for support in chosen]), axis=0)
    place = {(di, dj): k for k, (di, dj) in enumerate(union.tolist())}
    found = moments(observe(image, mask), union)
    reports = [
        least_squares(found.take([place[di, dj] for di, dj in support.offsets.tolist()]), support)
        for support in sorted(chosen, key=_size, reverse=True)
    ]
    rows = sorted(map(_row, reports), key=lambda row: (getattr(row, criterion), row.n_weights))
    return OrderSelection(criterion, found.n, tuple(rows))


def _size(support: Support) -> int:
    return len(support.offsets)


def _row(report: FitReport) -> OrderRow:
    return OrderRow(
        support=report.support,
        n_weights=len(report.weights),
        loglik_per_pixel=report.loglik_per_pixel,
        aic=report.aic,
        bic=report.bic,
        model=CausalAR.from_report(report),
    )
