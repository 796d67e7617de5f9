"""Batches as the operators take them: one batch axis, image ``n`` belongs to factor ``n % B``."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sparsegmrf.torch._operations import Factors

Parameters = tuple[Tensor, Tensor, Tensor]
"""``log_diag`` (*batch, C, H, W), ``off_diag`` (*batch, C, K, H, W) and ``cross`` (*batch, P, H, W)."""


def broadcast(log_diag: Tensor, off_diag: Tensor, cross: Tensor) -> Parameters:
    """Return views of the parameters with the batch axes that they have together."""
    batch = torch.broadcast_shapes(log_diag.shape[:-3], off_diag.shape[:-4], cross.shape[:-3])
    return expanded((log_diag, off_diag, cross), batch)


def expanded(parameters: Parameters, batch: torch.Size) -> Parameters:
    """Return views of the parameters with batch axes `batch`."""
    log_diag, off_diag, cross = parameters
    return (
        log_diag.expand(*batch, *log_diag.shape[-3:]),
        off_diag.expand(*batch, *off_diag.shape[-4:]),
        cross.expand(*batch, *cross.shape[-3:]),
    )


def factors(parameters: Parameters) -> Factors:
    """Return ``d``, ``w`` and ``v`` with one batch axis."""
    log_diag, off_diag, cross = parameters
    count = math.prod(log_diag.shape[:-3])
    return (
        log_diag.reshape(count, *log_diag.shape[-3:]).exp(),
        off_diag.reshape(count, *off_diag.shape[-4:]),
        cross.reshape(count, *cross.shape[-3:]),
    )


def factors_for(parameters: Parameters, batch: torch.Size) -> Factors:
    """Return the fewest factors that serve images with batch axes `batch`: parameters without leading axes of `batch`.

    Where the parameters' last batch axes are those of `batch`, images share them without copies.
    """
    own = parameters[0].shape[:-3]
    while own and own[0] == 1:
        own = own[1:]
    last = batch[len(batch) - len(own) :]
    return factors(parameters if own == last else expanded(parameters, last))


def one_batch_axis(images: Tensor) -> Tensor:
    """Return images ``(*batch, C, H, W)`` as ``(N, C, H, W)``."""
    return images.reshape(math.prod(images.shape[:-3]), *images.shape[-3:])


def apply(operator: Callable[..., Tensor], parameters: Parameters, images: Tensor) -> Tensor:
    """Apply an operator ``(d, w, v, x)`` to images whose batch axes end in those of the parameters."""
    factor = factors_for(parameters, images.shape[:-3])
    return on_cpu(operator, *factor, one_batch_axis(images)).reshape(images.shape)


def on_cpu(operator: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Apply an operator of the kernels, on copies in main memory where the tensors are elsewhere."""
    device = tensors[0].device
    if device.type == "cpu":
        return operator(*tensors)
    return operator(*(tensor.cpu() for tensor in tensors)).to(device)
