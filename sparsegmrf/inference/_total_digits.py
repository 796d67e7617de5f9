"""Digits that the precision of fields given their sum loses to the weight of the observations."""

import numpy as np

from sparsegmrf.errors import LostDigitsError
from sparsegmrf.inference._observations import Observations
from sparsegmrf.stencil import SymmetricStencil

_EPSILON = float(np.finfo(float).eps)
LOST = 1e-4
"""Nats that rounding may make of a likelihood, whose second differences are taken with steps of a thousandth."""
_SUSPECT = 1e-8
"""Rounding of the weights over the precision of the fields from which on the covariances are asked."""


def may_lose_digits(Q: SymmetricStencil, data: Observations) -> bool:
    """Return whether weights are so large beside the precision of stacked fields that `check_total_digits` matters."""
    if data.combination is None:
        return False
    least = float(Q.diagonal().mean(axis=(0, 1)).min())
    return _EPSILON * float(data.weight.max()) * float(np.sqrt(data.count)) > _SUSPECT * least


def check_total_digits(data: Observations, covariances: SymmetricStencil, most: float = LOST) -> None:
    """Refuse a sum of fields whose noise is so small that its weight hides what tells the fields apart.

    The block ``w a a^T`` of a pixel is rounded by ``e = eps w |a| |a|^T``, and the determinant of the precision with it
    by ``tr(S e)``, of random signs from pixel to pixel, with the covariances ``S`` of the fields given their sum.

    Raises
    ------
    LostDigitsError
        If that is more than so many nats.
    """
    if data.combination is None:
        return
    a = np.abs(data.combination)
    blocks = np.einsum("ijcd,c,d->ij", np.abs(covariances.plane(0)), a, a)
    lost = _EPSILON * float(np.linalg.norm(data.weight * blocks))
    if not lost <= most:
        raise LostDigitsError(
            "noise_variance must not be so small beside the fields of a sum that rounding hides what tells these "
            f"apart, got one that leaves an error of {lost:.1e} nats in the likelihood, of which {most:.0e} is "
            "allowed; give at least some 1e-10 of the variance of the fields, or fit one field without noise."
        )
