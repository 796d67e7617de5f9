"""How far draws of a per-pixel Cholesky factor can grow, and the warning where they grow too far."""

import math
import warnings

import torch
from torch import Tensor

from sparsegmrf.errors import UnstableWarning
from sparsegmrf.torch._batches import Parameters
from sparsegmrf.torch._whitening import whiten

_IMAGE = (-3, -2, -1)
_TOLERATED_LOSS = 1e-2
"""Rounding error of a whitened draw, in standard deviations, above which `warn_of_growth` warns."""


def contraction_margin(parameters: Parameters, radius: int) -> Tensor:
    """Return ``1 - max_p sum_k |w_pk| / d_p``, ``(*batch)``, over the weights that point on the image."""
    log_diag, off_diag, _ = (part.detach() for part in parameters)
    channels, height, width = log_diag.shape[-3:]
    nothing = off_diag.new_zeros(0, height, width)
    ones = off_diag.new_ones(channels, height, width)
    total = whiten(torch.zeros_like(log_diag), off_diag.abs(), nothing, ones, radius)
    return 1.0 - (total * (-log_diag).exp()).amax(_IMAGE)


def relative_spread(variance: Tensor, log_diag: Tensor) -> Tensor:
    """Return ``max_p sd(x_p) d_p``, ``(*batch)`` in float64; infinite where the variance is."""
    ratio = (variance.double().sqrt() * log_diag.double().exp()).amax(_IMAGE)
    return torch.where(ratio.isfinite(), ratio, math.inf)


def warn_of_growth(growth: Tensor, eps: float, margin: Tensor) -> None:
    """Warn, for the caller's caller, if rounding of relative size `eps` shows in the innovations of a draw."""
    largest = float(growth.amax()) if growth.numel() else 0.0
    if largest * eps > _TOLERATED_LOSS:
        message = f"draws can grow to {largest:.3g} times the spread of their innovations: {_limit(margin)}"
        warnings.warn(message, UnstableWarning, stacklevel=3)


def warn_of_overflow(draw: Tensor, margin: Tensor) -> None:
    """Warn, for the caller's caller, of a draw that has left the range of its dtype."""
    message = f"a draw left the range of {draw.dtype}, while densities may stay finite: {_limit(margin)}"
    warnings.warn(message, UnstableWarning, stacklevel=3)


def _limit(margin: Tensor) -> str:
    rate = 1.0 - float(margin.min())
    return (
        f"the weights of a pixel sum up to {rate:.4g} times its diagonal, and only below 1 are draws sure to stay "
        "bounded; shrink off_diag, or predict it by CholeskyHead(contractive=True)."
    )
