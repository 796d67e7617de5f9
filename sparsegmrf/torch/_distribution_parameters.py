"""Parameters of per-pixel Cholesky factors over the batch axes of a distribution."""

import math
from collections.abc import Iterator
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from sparsegmrf.errors import ArgumentError
from sparsegmrf.torch._batches import Parameters, broadcast, expanded
from sparsegmrf.torch._indexing import batch_index
from sparsegmrf.torch._parameters import broadcast_batch, check_range, checked_parameters


class ParametersOnBatch(Distribution):
    """Mean and factor of images ``(C, H, W)``: checked, broadcast, expanded, indexed, and moved between devices."""

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.independent(constraints.real, 3),
        "log_diag": constraints.independent(constraints.real, 3),
        "off_diag": constraints.independent(constraints.real, 4),
        "cross": constraints.independent(constraints.real, 3),
    }
    support = constraints.independent(constraints.real, 3)
    has_rsample = True

    loc: Tensor
    log_diag: Tensor
    off_diag: Tensor
    cross: Tensor

    def __init__(
        self,
        loc: Tensor,
        log_diag: Tensor,
        off_diag: Tensor,
        cross: Tensor | None = None,
        *,
        radius: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        loc, log_diag, off_diag, cross, self.radius = checked_parameters(loc, log_diag, off_diag, cross, radius)
        batch = broadcast_batch(loc, log_diag, off_diag, cross)
        # Before torch's own check of NaN, which weights become that are multiples of an infinite diagonal.
        if self._validate_args if validate_args is None else validate_args:
            check_range(loc, log_diag, off_diag, cross)
        # What the factor's parameters share is kept once, however far the mean's batch axes reach.
        self._shared = broadcast(log_diag, off_diag, cross)
        self._set_expanded(loc, batch)
        super().__init__(batch, log_diag.shape[-3:], validate_args=validate_args)

    def _set_expanded(self, loc: Tensor, batch: torch.Size) -> None:
        self.loc = loc.expand(*batch, *loc.shape[-3:])
        self.log_diag, self.off_diag, self.cross = expanded(self._shared, batch)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Self:
        """Return the distribution with batch axes expanded to `batch_shape`, as views."""
        return self._with(self.loc, self._shared, torch.Size(batch_shape), _instance)

    def __getitem__(self, index: Any) -> Self:
        """Return the items of the batch that `index` names, as views where tensors have them: ``field[3]``.

        Whatever a tensor takes: integers, slices, None, an ellipsis, tensors of integers or bool. It reaches over the
        batch axes alone: ``field[k].log_prob(x[k])`` is ``field.log_prob(x)[k]``.

        Raises
        ------
        IndexError
            If `index` names more axes than the batch has, or an item that is not in it.
        """
        place = batch_index(index, self.batch_shape)
        loc = self.loc[place]
        shared = self._shared
        if math.prod(shared[0].shape[:-3]) == 1:  # the one factor of all items
            shared = self._indexed(shared, (0,) * (shared[0].ndim - 3))
        else:
            shared = self._indexed(expanded(shared, self.batch_shape), place)
        return self._with(loc, shared, loc.shape[:-3])

    def __iter__(self) -> Iterator[Self]:
        """Iterate over the first batch axis."""
        if not self.batch_shape:
            raise TypeError("a distribution without batch axes cannot be iterated over; it has one item, itself.")
        return (self[k] for k in range(self.batch_shape[0]))

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Return the distribution on another device or in another dtype; arguments are those of `torch.Tensor.to`.

        Gradients flow back to the parameters.

        Raises
        ------
        ArgumentError
            If the dtype is neither float32 nor float64, or (where arguments are validated) values leave its range.
        """
        loc, log_diag, off_diag, cross = (part.to(*args, **kwargs) for part in (self.loc, *self._shared))
        if loc.dtype not in (torch.float32, torch.float64):
            raise ArgumentError(f"dtype must be float32 or float64, got {loc.dtype}; the distribution takes no other.")
        if self._validate_args and loc.dtype != self.loc.dtype:
            check_range(loc, log_diag, off_diag, cross)
        return self._with(loc, (log_diag, off_diag, cross), self.batch_shape)

    def _with(self, loc: Tensor, shared: Parameters, batch: torch.Size, instance: Any = None) -> Self:
        """Return a distribution of this class with other parameters; nothing is validated again."""
        new: Self = self._get_checked_instance(ParametersOnBatch, instance)
        new.radius, new._shared = self.radius, shared
        new._set_expanded(loc, batch)
        Distribution.__init__(new, batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @staticmethod
    def _indexed(parameters: Parameters, place: tuple[Any, ...]) -> Parameters:
        log_diag, off_diag, cross = parameters
        return log_diag[place], off_diag[place], cross[place]
