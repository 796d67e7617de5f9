"""Last layer of a decoder: feature maps in, a structured Gaussian on images out."""

import math

import torch
from torch import Tensor, nn

from sparsegmrf._validate import finite_number, integer_at_least, positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.cholesky_operations import neighbours
from sparsegmrf.torch._parameters import log_diag_limit
from sparsegmrf.torch.distribution import CholeskyGMRF

_CONTRACTION = 0.99
_HALVES = torch.bfloat16, torch.float16


class CholeskyHead(nn.Module):
    """Convolution of feature maps to the parameters of `CholeskyGMRF`; the mean comes from the decoder.

    With the outputs ``a``, ``z_k`` and ``s`` of one convolution, ``(low, high) = log_diag_bounds``:

    ``log d = low + (high - low) sigmoid(a)``;  ``w_k = 0.99 d z_k / (1 + sum_k |z_k|)`` if contractive, else ``d z_k``;
    ``v = cross_bound d tanh(s)``.

    A contractive head keeps ``sum_k |w_k| < d`` by construction, whatever it has learnt, so that draws stay bounded:
    the recursion of a channel forgets geometrically, and channels enter each other with bounded weights. The weights of
    the convolution start at `initial_scale` of their usual size and its bias at ``log d = initial_log_diag``, hence at
    nearly independent pixels.

    Under `torch.autocast` the head computes in the dtype of its weights, whatever the feature maps are in, and takes a
    mean of any floating-point dtype: a precision has no digits to spare. So the decoder may run in bfloat16, and the
    head stands within it. In any other case features and weights have one dtype, as for every layer.

    Training that works: fit the mean by squared error first, then freeze it and fit the head at a tenth of the learning
    rate, then both if wanted.

    Parameters
    ----------
    in_channels : int
        Number of feature maps.
    channels : int
        Channels ``C`` of the images.
    radius : int
        Reach of the neighbourhood, in pixels; ``K = 2 r (r + 1)`` weights per pixel and channel.
    contractive : bool
        Whether ``sum |w| < d`` is enforced.
    cross : bool
        Whether channels are coupled within a pixel; there is nothing to couple with one channel.
    log_diag_bounds : (float, float)
        Limits of ``log d``: the conditional standard deviation stays between ``exp(-high)`` and ``exp(-low)``, in
        intensity. A likelihood with a bounded variance cannot run away where pixels are predicted exactly.
    initial_log_diag : float
        ``log d`` to start from, within the bounds: minus the log of the residuals' standard deviation.
    initial_scale : float
        Size of the first off-diagonals, relative to the usual initialization of a convolution.
    cross_bound : float
        Limit of ``|v| / d``.
    kernel_size : int
        Side of the convolution, odd.

    Raises
    ------
    ArgumentError
        If a count is not positive, a limit is not finite or beyond the range of float64, `initial_log_diag` is not
        within its bounds, or `kernel_size` is even.

    References
    ----------
    G. Dorta et al. (2018), Structured uncertainty prediction networks, CVPR.

    Examples
    --------
    >>> import torch
    >>> features, mean = torch.randn(8, 32, 28, 28), torch.zeros(8, 1, 28, 28)
    >>> head = CholeskyHead(32, channels=1, radius=2)
    >>> field = head(features, mean)
    >>> loss = -field.log_prob(torch.rand(8, 1, 28, 28)).mean()
    >>> bool((field.contraction_margin() > 0).all())
    True
    """

    def __init__(
        self,
        in_channels: int,
        channels: int = 1,
        radius: int = 1,
        *,
        contractive: bool = True,
        cross: bool = True,
        log_diag_bounds: tuple[float, float] = (-5.0, 7.0),
        initial_log_diag: float = 0.0,
        initial_scale: float = 0.01,
        cross_bound: float = 5.0,
        kernel_size: int = 1,
    ) -> None:
        super().__init__()
        integer_at_least("in_channels", in_channels, 1)
        self.channels = integer_at_least("channels", channels, 1)
        self.radius = integer_at_least("radius", radius, 1)
        if integer_at_least("kernel_size", kernel_size, 1) % 2 == 0:
            raise ArgumentError(f"kernel_size must be odd, got {kernel_size}: the image keeps its size.")
        self.contractive = contractive
        self.low, self.high = (finite_number("log_diag_bounds", bound) for bound in log_diag_bounds)
        limit = log_diag_limit(torch.float64)
        if not -limit <= self.low < self.high <= limit:
            raise ArgumentError(
                f"log_diag_bounds must be (low, high) with {-limit:.5g} <= low < high <= {limit:.5g}, beyond which a "
                f"diagonal or variance leaves the range of float64, got {log_diag_bounds}; narrow them or swap them."
            )
        start = finite_number("initial_log_diag", initial_log_diag)
        if not self.low < start < self.high:
            raise ArgumentError(
                f"initial_log_diag must lie between log_diag_bounds={(self.low, self.high)}, got {start}; widen them."
            )
        self.cross_bound = positive_number("cross_bound", cross_bound)
        self.neighbours = neighbours(self.radius)
        self.pairs = channels * (channels - 1) // 2 if cross else 0
        planes = channels * (1 + self.neighbours) + self.pairs
        self.layer = nn.Conv2d(in_channels, planes, kernel_size, padding=kernel_size // 2)
        share = (start - self.low) / (self.high - self.low)
        with torch.no_grad():
            self.layer.weight.mul_(positive_number("initial_scale", initial_scale))
            self.layer.bias.zero_()  # type: ignore[union-attr]
            self.layer.bias[:channels] = math.log(share / (1.0 - share))  # type: ignore[index]

    def parameters_of(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``log_diag``, ``off_diag`` and ``cross`` as `CholeskyGMRF` takes them.

        Parameters
        ----------
        features : Tensor, (*batch, in_channels, H, W)
            Feature maps of the images' height and width.
        """
        kind = features.device.type
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            return self._parameters_of(features)
        with torch.autocast(kind, enabled=False):
            return self._parameters_of(features.to(self.layer.weight.dtype))

    def _parameters_of(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch = features.shape[:-3]
        output: Tensor = self.layer(features.reshape(math.prod(batch), *features.shape[-3:]))
        if output.dtype in _HALVES:  # a head that was itself converted
            output = output.float()
        output = output.reshape(*batch, *output.shape[-3:])
        first, second = self.channels, self.channels * (1 + self.neighbours)
        log_diag = self.low + (self.high - self.low) * torch.sigmoid(output[..., :first, :, :])
        diagonal = log_diag.exp()
        weights = output[..., first:second, :, :].unflatten(-3, (self.channels, self.neighbours))
        if self.contractive:
            weights = weights * (_CONTRACTION / (1.0 + weights.abs().sum(-3, keepdim=True)))
        off_diag = weights * diagonal.unsqueeze(-3)
        column = torch.triu_indices(self.channels, self.channels, 1)[0, : self.pairs].to(features.device)
        cross = self.cross_bound * torch.tanh(output[..., second:, :, :]) * diagonal.index_select(-3, column)
        return log_diag, off_diag, cross

    def forward(self, features: Tensor, loc: Tensor, *, validate_args: bool | None = None) -> CholeskyGMRF:
        """Return the distribution with mean `loc`, ``(*batch, C, H, W)``, given `features`.

        A mean in bfloat16 or float16, as autocast makes it, is converted to the dtype of the other parameters.
        """
        log_diag, off_diag, cross = self.parameters_of(features)
        if loc.dtype in _HALVES:
            loc = loc.to(log_diag.dtype)
        return CholeskyGMRF(loc, log_diag, off_diag, cross, radius=self.radius, validate_args=validate_args)

    def extra_repr(self) -> str:
        """Return what `print` shows beside the convolution."""
        return f"channels={self.channels}, radius={self.radius}, contractive={self.contractive}"
