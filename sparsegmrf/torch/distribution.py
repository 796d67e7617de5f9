"""A Gaussian on images whose precision is given per pixel by its sparse Cholesky factor, as decoders predict it."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions.utils import _standard_normal

from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.cholesky_covariances import whitening_stencil
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil._offsets import later_offsets
from sparsegmrf.torch import _dense
from sparsegmrf.torch._batches import Parameters, apply, factors, on_cpu, one_batch_axis
from sparsegmrf.torch._covariances import solve_missing, variances
from sparsegmrf.torch._distribution_parameters import ParametersOnBatch
from sparsegmrf.torch._operations import mul_l, mul_lt, solve_lt
from sparsegmrf.torch._parameters import finite_in, same_kind
from sparsegmrf.torch._stability import contraction_margin, relative_spread, warn_of_growth, warn_of_overflow
from sparsegmrf.torch._whitening import whiten
from sparsegmrf.typing import IntArray

_LOG_2PI = math.log(2.0 * math.pi)
_IMAGE = (-3, -2, -1)


class CholeskyGMRF(ParametersOnBatch):
    r"""Gaussian on images ``(C, H, W)`` with precision ``Q = L L^T``, ``L`` sparse and given pixel by pixel.

    Column ``(p, c)`` of the lower triangular ``L`` (pixels in raster order, channel fastest) holds ``d_pc =
    exp(log_diag)`` on the diagonal, the weights ``w_pck`` on the pixel's later raster neighbours ``p + o_k`` in the
    same channel, and ``v_pce`` on channels ``e > c`` of the same pixel. So ``y = L^T (x - mu)`` is white:

    ``y_pc = d_pc r_pc + sum_k w_pck r_{p+o_k, c} + sum_{e>c} v_pce r_pe``, ``r = x - mu``,

    ``log p(x) = sum log d - |y|^2 / 2 - (C H W / 2) log 2 pi``, and ``x = mu + L^-T e`` is a draw. Offsets are in
    raster order: ``(0, 1) ... (0, r)``, then ``(1, -r) ... (r, r)``. A weight that points off the image is ignored and
    has gradient zero. All parameters broadcast over their batch axes. Densities and draws take ``O(K)`` operations per
    pixel and are differentiable any number of times; variances and divergences once.

    Parameters
    ----------
    loc : Tensor, (*batch, C, H, W)
        Mean, in intensity.
    log_diag : Tensor, (*batch, C, H, W)
        Logarithm of the diagonal of ``L``; the diagonal is in 1/intensity. Within 43.6 of zero in float32.
    off_diag : Tensor, (*batch, C, K, H, W)
        Weights, ``K = 2 r (r + 1)``, in 1/intensity.
    cross : Tensor, (*batch, C(C-1)/2, H, W), optional
        Coupling of channels within a pixel, in 1/intensity, pairs ``c < e`` in the order of
        ``torch.triu_indices(C, C, 1)``. Without it channels are independent.
    radius : int
        Reach ``r`` of the neighbourhood, in pixels.
    validate_args : bool, optional
        Whether values are checked (NaN or infinite parameters and values, extreme log-diagonals); by default as for all
        torch distributions. Shapes and dtypes are checked always. Pass False under ``torch.compile(fullgraph=True)``.

    Raises
    ------
    ArgumentError
        If a parameter has the wrong shape, or dtypes or devices differ; it is a ValueError.
    ValueError
        If a parameter holds NaN or an infinite number, or `log_diag` lies beyond 43.668 in float32 or 354.2 in float64
        on either side, where ``d^2`` or ``1 / d^2`` has no value.

    Notes
    -----
    The kernels run on the CPU. On another device densities are computed there in torch operations, while draws,
    variances and conditionals are computed on copies in main memory and copied back.

    References
    ----------
    G. Dorta et al. (2018), Structured uncertainty prediction networks, CVPR. H. Rue, L. Held, Gaussian Markov Random
    Fields (2005), chapter 2.

    Examples
    --------
    >>> import torch
    >>> loc, log_diag = torch.zeros(8, 1, 16, 16), torch.zeros(1, 16, 16)
    >>> field = CholeskyGMRF(loc, log_diag, torch.full((1, 4, 16, 16), -0.2))
    >>> draw = field.rsample((5,))
    >>> draw.shape, field.log_prob(draw).shape, field.variance.shape
    (torch.Size([5, 8, 1, 16, 16]), torch.Size([5, 8]), torch.Size([8, 1, 16, 16]))
    """

    @property
    def offsets(self) -> IntArray:
        """Offsets ``(di, dj)`` of the later neighbours, ``(K, 2)``, one for every plane of ``off_diag``."""
        return later_offsets(self.radius)

    @property
    def mean(self) -> Tensor:
        """Mean, ``(*batch, C, H, W)``, in intensity."""
        return self.loc.clone()

    @property
    def mode(self) -> Tensor:
        """Most likely image, which is the mean."""
        return self.loc.clone()

    @property
    def variance(self) -> Tensor:
        """Exact variance of every pixel, ``(*batch, C, H, W)``, in intensity^2; computed when asked for.

        ``O(n r W C)`` memory while a gradient is computed, by a rolling window otherwise.
        """
        result = on_cpu(variances, *factors(self._shared)).reshape(self._shared[0].shape)
        return result.expand(self.loc.shape).clone()

    @property
    def precision_matrix(self) -> Tensor:
        """Dense precision ``Q = L L^T``, ``(*batch, n, n)``, in 1/intensity^2, of at most 4096 unknowns ``n = C H W``.

        Rows and columns are in the order of ``x.flatten(-3)``, as for a `torch.distributions.MultivariateNormal` on
        flattened images. Raises `TooLargeError` beyond; `to_gmrf` has sparse matrices of any size.
        """
        return self._matrix("precision_matrix", _dense.precision_matrix)

    @property
    def covariance_matrix(self) -> Tensor:
        """Dense covariance ``Q^-1``, ``(*batch, n, n)``, in intensity^2; order and size as of `precision_matrix`.

        Raises `UnstableError` where it leaves the range of the dtype; see `contraction_margin`.
        """
        return self._matrix("covariance_matrix", _dense.covariance_matrix)

    @property
    def scale_tril(self) -> Tensor:
        """Lower triangular factor ``T`` of the covariance, ``Q^-1 = T T^T``, in intensity; as `covariance_matrix`."""
        return self._matrix("scale_tril", _dense.scale_tril)

    def covariance_with(self, pixel: tuple[int, int], channel: int = 0) -> Tensor:
        """Return the covariance of every pixel with one pixel as images, ``(*batch, C, H, W)``, in intensity^2.

        One column of the covariance by two triangular solves, for images of any size; differentiable.

        Parameters
        ----------
        pixel : (int, int)
            Row and column.
        channel : int
            Which channel of that pixel.

        Raises
        ------
        ArgumentError
            If the pixel or channel is not on the image.
        UnstableError
            If a covariance leaves the range of the dtype; see `contraction_margin`.
        """
        column = _dense.covariance_with(self._shared, pixel, channel).to(self.loc)
        column = _dense.checked_range("covariance_with", column, self.contraction_margin)
        return column.expand(self.loc.shape).clone()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw ``mu + L^-T e``, ``(*sample, *batch, C, H, W)``; follows ``torch.manual_seed``.

        Warns
        -----
        UnstableWarning
            If a draw has left the range of the dtype (where arguments are validated): see `contraction_margin`.
        """
        shape = self._extended_shape(torch.Size(sample_shape))
        white = _standard_normal(shape, dtype=self.loc.dtype, device=self.loc.device)
        draw = self.loc + apply(solve_lt, self._shared, white)
        if self._validate_args and not torch.compiler.is_compiling() and not bool(draw.detach().isfinite().all()):
            warn_of_overflow(draw, self.contraction_margin())
        return draw

    def log_prob(self, value: Tensor, *, backend: str = "auto") -> Tensor:
        """Return the log-density of images, ``(*sample, *batch)``, in nats.

        Parameters
        ----------
        value : Tensor, (*sample, *batch, C, H, W)
            Images in intensity; batch axes broadcast.
        backend : {"auto", "kernels", "torch"}
            Compiled kernels or torch operations; ``"auto"`` takes the kernels on the CPU.

        Raises
        ------
        ValueError
            If shapes do not fit, dtypes differ, or (where arguments are validated) a value is NaN or infinite.
        """
        white = self.whiten(value, backend=backend)
        size = math.prod(self.event_shape)
        half_logdet = self._shared[0].sum(_IMAGE)
        result: Tensor = half_logdet - 0.5 * white.square().sum(_IMAGE) - 0.5 * size * _LOG_2PI
        return result

    def whiten(self, value: Tensor, *, backend: str = "auto") -> Tensor:
        """Return ``L^T (x - mu)``: white with unit variance where `value` is a draw; parameters as of `log_prob`."""
        deviation = self._checked("value", value) - self.loc
        one_of("backend", backend, ("auto", "kernels", "torch"))
        if backend == "torch" or (backend == "auto" and self.loc.device.type != "cpu"):
            log_diag, off_diag, cross = self._shared
            return whiten(log_diag.exp(), off_diag, cross, deviation, self.radius)
        return apply(mul_lt, self._shared, deviation)

    def unwhiten(self, white: Tensor) -> Tensor:
        """Return ``mu + L^-T e``: a draw where `white` is white with unit variance."""
        return self.loc + apply(solve_lt, self._shared, self._broadcast(self._checked("white", white)))

    def mahalanobis(self, value: Tensor) -> Tensor:
        """Return ``(x - mu)^T Q (x - mu)``, ``(*sample, *batch)``; chi-squared with ``C H W`` degrees for draws."""
        return self.whiten(value).square().sum(_IMAGE)

    def entropy(self) -> Tensor:
        """Return the differential entropy ``(C H W / 2) (1 + log 2 pi) - sum log d``, ``(*batch)``, in nats."""
        return 0.5 * math.prod(self.event_shape) * (1.0 + _LOG_2PI) - self.log_diag.sum(_IMAGE)

    def conditional_mean(self, value: Tensor, mask: Tensor) -> Tensor:
        """Return the mean of the missing pixels given the others, in `value`.

        ``x_u = mu_u - Q_uu^-1 Q_uo (x_o - mu_o)`` by an exact sparse factorization per batch item and mask;
        differentiable.

        Parameters
        ----------
        value : Tensor, (*sample, *batch, C, H, W)
            Images in intensity; missing pixels are not read and may be NaN.
        mask : Tensor of bool, broadcastable to `value`
            **True where a pixel is missing**, as everywhere in this package.

        Returns
        -------
        Tensor
            Images that agree with `value` where it is observed.
        """
        value, mask = self._observed(value, mask)
        deviation = torch.where(mask, 0.0, value - self.loc)
        return torch.where(mask, self.loc + self._correction(deviation, mask), value)

    def conditional_sample(self, value: Tensor, mask: Tensor, sample_shape: Any = ()) -> Tensor:
        """Draw the missing pixels given the others: ``(*sample_shape, *sample, *batch, C, H, W)``.

        A draw ``x`` of the whole image is corrected by ``-Q_uu^-1 Q_uo (value_o - x_o)``; parameters as of
        `conditional_mean`, differentiable as well.
        """
        value, mask = self._observed(value, mask)
        shape = torch.Size(sample_shape) + value.shape
        white = _standard_normal(shape, dtype=self.loc.dtype, device=self.loc.device)
        draw = self.loc + apply(solve_lt, self._shared, white)
        deviation = torch.where(mask, 0.0, value - draw)
        return torch.where(mask, draw + self._correction(deviation, mask.expand(shape)), value)

    def contraction_margin(self) -> Tensor:
        """Return ``1 - max_p sum_k |w_pk| / d_p``, ``(*batch)``, over the weights that point on the image.

        Where it is positive, draws are bounded: within a channel ``|L^-T e| <= max|e / d| / margin``. At zero or below
        they may grow geometrically along the raster, and overflow while densities stay finite.
        """
        return contraction_margin(self._shared, self.radius).expand(self.batch_shape).clone()

    def growth(self) -> Tensor:
        """Return ``max_p sd(x_p) d_p``, ``(*batch)``: how far draws exceed the spread of a pixel given its neighbours.

        Exact, at the cost of `variance`. A handful for a tame field, astronomical beyond the limit of stability.

        Warns
        -----
        UnstableWarning
            If draws grow so large that rounding alone shifts their innovations by more than a hundredth.
        """
        with torch.no_grad():
            growth = relative_spread(self.variance, self.log_diag)
        warn_of_growth(growth, torch.finfo(self.loc.dtype).eps, self.contraction_margin())
        return growth.to(self.loc.dtype)

    def to_gmrf(self, index: Any = ()) -> GMRF:
        """Return one batch item as a `sparsegmrf.GMRF` on images ``(H, W)`` or ``(H, W, C)``, in float64.

        Parameters
        ----------
        index : int or tuple of int
            Which item of the batch; none for a distribution without batch axes.

        Raises
        ------
        ArgumentError
            If `index` does not name one item.
        """
        place = tuple(index) if isinstance(index, tuple | list) else (index,)
        if len(place) != len(self.batch_shape):
            raise ArgumentError(f"index must name one item of the batch {tuple(self.batch_shape)}, got {index!r}.")
        parts = (self.log_diag.exp(), self.off_diag, self.cross, self.loc)
        diagonal, weights, cross, loc = (part[place].detach().cpu().double().numpy() for part in parts)
        mean = loc[0] if len(loc) == 1 else loc.transpose(1, 2, 0)
        return GMRF.from_whitening(whitening_stencil(diagonal, weights, cross), mean)

    def _matrix(self, name: str, make: Callable[[Parameters], Tensor]) -> Tensor:
        matrix = _dense.checked_range(name, make(self._shared).to(self.loc), self.contraction_margin)
        return matrix.expand(*self.batch_shape, *matrix.shape[-2:])

    def _checked(self, name: str, value: Tensor) -> Tensor:
        if not isinstance(value, Tensor):
            raise ArgumentError(f"{name} must be a tensor, got {type(value).__name__}.")
        same_kind(name, value, self.loc, "loc")
        if value.shape[-3:] != self.event_shape:
            raise ArgumentError(
                f"{name} must have shape (..., {', '.join(map(str, self.event_shape))}), got {tuple(value.shape)}."
            )
        if self._validate_args and value.numel():  # torch's check takes no empty tensor
            self._validate_sample(value)
            finite_in(name, value)
        return value

    def _broadcast(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape, self.loc.shape)
        return value.expand(shape)

    def _observed(self, value: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise ArgumentError(f"mask must be a tensor of bool, True where a pixel is missing, got {kind}.")
        if not isinstance(value, Tensor):
            raise ArgumentError(f"value must be a tensor, got {type(value).__name__}.")
        value = self._broadcast(self._checked("value", torch.where(mask, 0.0, value)))
        return value, mask.expand(value.shape)

    def _correction(self, deviation: Tensor, mask: Tensor) -> Tensor:
        """Return ``-Q_uu^-1 Q_uo r_o`` of a deviation that is zero where missing."""
        product = apply(mul_l, self._shared, apply(mul_lt, self._shared, deviation))
        missing = one_batch_axis(mask)

        def solve(diagonal: Tensor, weights: Tensor, cross: Tensor, b: Tensor) -> Tensor:
            result: Tensor = solve_missing(diagonal, weights, cross, missing.to(b.device), b)
            return result

        return -apply(solve, self._shared, product)
