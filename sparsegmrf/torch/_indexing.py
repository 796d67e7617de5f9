"""Indices of the batch axes of a distribution, as tensors take them."""

import operator
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor


def batch_index(index: Any, batch: torch.Size) -> tuple[Any, ...]:
    """Return `index` as a tuple that reaches over all batch axes, and over no axis of an image."""
    places = [_place(place, batch) for place in (index if isinstance(index, tuple) else (index,))]
    named = sum(_axes_of(place) for place in places)
    dots = [k for k, place in enumerate(places) if place is Ellipsis]
    if named > len(batch) or len(dots) > 1:
        raise IndexError(
            f"index must name at most the {len(batch)} axes of the batch {tuple(batch)}, with one ellipsis at most, "
            f"got {index!r}; pixels and channels are not indexed, take mean or variance and index these."
        )
    rest = [slice(None)] * (len(batch) - named)
    at = dots[0] if dots else len(places)
    return *places[:at], *rest, *places[at + 1 :]


def _place(place: Any, batch: torch.Size) -> int | slice | EllipsisType | Tensor | None:
    if place is None or place is Ellipsis or isinstance(place, slice):
        return place
    if isinstance(place, Tensor | list | range | bool | np.ndarray | np.bool_):
        tensor = torch.as_tensor(list(place) if isinstance(place, range) else place)
        # An empty list is one of integers, as for tensors.
        return tensor.long() if isinstance(place, list | range) and not len(place) else tensor
    try:
        return operator.index(place)
    except TypeError:
        raise IndexError(
            f"index must be made of integers, slices, None, an ellipsis and tensors of integers or bool over the batch "
            f"{tuple(batch)}, got {place!r}."
        ) from None


def _axes_of(place: Any) -> int:
    """Return how many axes of the batch a part of an index takes up."""
    if place is None or place is Ellipsis:
        return 0
    if isinstance(place, Tensor) and place.dtype in (torch.bool, torch.uint8):
        return place.ndim
    return 1
