"""``L^T x`` in torch operations alone, for devices without the kernels."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from sparsegmrf.stencil._offsets import later_offsets


def whiten(diagonal: Tensor, weights: Tensor, cross: Tensor, x: Tensor, radius: int) -> Tensor:
    """Return ``y_pc = d_pc x_pc + sum_k w_pck x_{p+o_k, c} + sum_{e>c} v_pce x_pe``, batch axes broadcast."""
    channels, height, width = x.shape[-3:]
    y = diagonal * x
    # Zeros stand beyond the image: what a weight would read there, and the weight's gradient.
    beyond = pad(x, (radius, radius, 0, radius))
    for k, (di, dj) in enumerate(later_offsets(radius).tolist()):
        neighbour = beyond[..., di : di + height, radius + dj : radius + dj + width]
        y = y + weights[..., k, :, :] * neighbour
    if cross.shape[-3] == 0:
        return y
    planes = list(y.unbind(-3))
    pairs = torch.triu_indices(channels, channels, 1).T.tolist()
    for pair, (c, e) in enumerate(pairs):
        planes[c] = planes[c] + cross[..., pair, :, :] * x[..., e, :, :]
    return torch.stack(planes, -3)
