"""Which support: causal autoregressions compared on the same equations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sparsegmrf._observed import observe
from sparsegmrf._validate import one_of
from sparsegmrf.autoregression._estimation import least_squares
from sparsegmrf.autoregression._moments import moments
from sparsegmrf.autoregression._support import Support, as_supports
from sparsegmrf.autoregression.causal_ar import CausalARFit
from sparsegmrf.errors import ArgumentError
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
class OrderSelection:
    """Fits of several supports on the same `n_observed` equations, sorted by the criterion, the best first."""

    criterion: str
    n_observed: int
    fits: tuple[CausalARFit, ...]

    @property
    def best(self) -> CausalARFit:
        """The fit with the smallest criterion."""
        return self.fits[0]

    def summary(self) -> str:
        """Return the comparison as a text table."""
        lines = [f"{'support':<20}{'weights':>8}{'nats/pixel':>13}{'AIC':>16}{'BIC':>16}"]
        lines += [
            f"{fit.support:<20}{len(fit.model.weights):8d}{fit.loglik_per_pixel:13.6f}{fit.aic:16.2f}{fit.bic:16.2f}"
            for fit in self.fits
        ]
        lines.append(f"best by {self.criterion} on {self.n_observed} common equations: {self.best.support}")
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
        The fits, sorted, and the best one.

    Raises
    ------
    ArgumentError
        As `CausalAR.fit`, for the largest support first, or if `supports` is empty.

    References
    ----------
    Schwarz, Estimating the dimension of a model, Annals of Statistics 6 (1978).

    Examples
    --------
    >>> from sparsegmrf.autoregression import CausalAR
    >>> image = CausalAR([0.5, 0.4], support=[(-1, 0), (0, -1)]).gmrf((128, 128)).sample(rng=1)
    >>> chosen = select_order(image, supports=[("nshp", 0), [(-1, 0), (0, -1)], ("nshp", 2)])
    >>> chosen.best.model.offsets.tolist()
    [[-1, 0], [0, -1]]
    """
    one_of("criterion", criterion, ("bic", "aic"))
    chosen = as_supports(supports)
    if not chosen:
        raise ArgumentError("supports must name at least one support, got none; leave it out for the default list.")
    union = np.unique(np.vstack([support.offsets for support in chosen]), axis=0)
    place = {(di, dj): k for k, (di, dj) in enumerate(union.tolist())}
    observed = observe(image, mask)
    found = moments(observed, union)

    def fitted(support: Support) -> CausalARFit:
        own = found.take([place[di, dj] for di, dj in support.offsets.tolist()])
        return CausalARFit.of(least_squares(own, support), support, "least_squares", observed.shape)

    fits = map(fitted, sorted(chosen, key=_size, reverse=True))
    best_first = sorted(fits, key=lambda fit: (getattr(fit, criterion), fit.n_parameters))
    return OrderSelection(criterion, found.n, tuple(best_first))


def _size(support: Support) -> int:
    return len(support.offsets)
