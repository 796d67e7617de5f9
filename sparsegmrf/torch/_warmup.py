"""Small calls that reach every kernel of the distribution."""

import torch
from torch.distributions import kl_divergence

from sparsegmrf.torch.distribution import CholeskyGMRF

_SIDE = 12


def call_each_operation() -> None:
    """Take a training step, draw, and ask for deviations and conditional means, in both widths of floats."""
    for dtype in (torch.float32, torch.float64):
        loc = torch.zeros(2, 1, _SIDE, _SIDE, dtype=dtype)
        log_diag = torch.zeros(1, _SIDE, _SIDE, dtype=dtype, requires_grad=True)
        off_diag = torch.full((1, 12, _SIDE, _SIDE), -0.05, dtype=dtype, requires_grad=True)
        field = CholeskyGMRF(loc, log_diag, off_diag, radius=2)
        other = CholeskyGMRF(loc + 1.0, log_diag, off_diag, radius=2)
        x = field.rsample()
        field.conditional_mean(x, torch.eye(_SIDE, dtype=torch.bool))
        (field.log_prob(x).sum() + field.stddev.sum() + kl_divergence(field, other).sum()).backward()
