"""PyTorch interface: `CholeskyGMRF`, a distribution on images, and `CholeskyHead`, which lets a decoder predict one."""

from sparsegmrf.torch import _divergence as _divergence  # registers the divergences with torch
from sparsegmrf.torch.distribution import CholeskyGMRF
from sparsegmrf.torch.head import CholeskyHead

__all__ = ["CholeskyGMRF", "CholeskyHead"]
