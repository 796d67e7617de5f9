"""Models of several channels: one separable field, or a sum of them."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Channels, Sum
from sparsegmrf.typing import FloatArray, Shape

OfChannels: TypeAlias = Channels | Sum
"""`Channels`, or a `Sum` of them."""
COVARIANCE = "covariance"
_ALIKE = 1e-9
"""Relative difference of precisions, up to their scale, that is rounding."""


def is_of_channels(model: Any) -> TypeGuard[OfChannels]:
    """Return whether a model is that of an image of several channels."""
    return isinstance(model, Channels) or (isinstance(model, Sum) and bool(model.members))


def members_of(model: OfChannels) -> tuple[Channels, ...]:
    """Return the separable fields that a model adds."""
    return (model,) if isinstance(model, Channels) else model.members


def channels_of(model: OfChannels) -> int:
    """Return the number of channels."""
    return len(members_of(model)[0].covariance)


def in_sum(model: OfChannels, member: int, name: str) -> str:
    """Return what a parameter of one of the fields is called."""
    return name if isinstance(model, Channels) else f"{name}_{model.labels[member]}"


def covariance_names(model: OfChannels) -> list[str]:
    """Return what the covariances of the channels are called."""
    return [in_sum(model, k, COVARIANCE) for k in range(len(members_of(model)))]


def with_covariances(model: OfChannels, covariances: Sequence[FloatArray | None]) -> OfChannels:
    """Return a model with other covariances of its channels; None leaves one as it is."""
    members = tuple(
        each if S is None else dataclasses.replace(each, covariance=S)
        for each, S in zip(members_of(model), covariances, strict=True)
    )
    return members[0] if isinstance(model, Channels) else model.replace(models=members)


def described(model: OfChannels) -> str:
    """Return a model in words."""
    return " + ".join(f"Channels of {type(each.model).__name__}" for each in members_of(model))


def check_sum(model: OfChannels, shape: Shape, searched: Sequence[bool]) -> None:
    """Refuse a weight of a single field, and fields whose covariances cannot be told from each other.

    Raises
    ------
    ArgumentError
        If there are such.
    """
    if isinstance(model, Channels):
        return
    if len(model.models) == 1 and model.observation[0] != 1.0:
        raise ArgumentError(
            f"observation must be 1 in a sum of a single field, got {model.observation[0]:g}; the covariance of the "
            "channels has the scale."
        )
    shapes = [_shape_of(each, shape) for each in model.members]
    for i, one in enumerate(shapes):
        for j in range(i):
            if searched[i] and searched[j] and _is_alike(one, shapes[j]):
                raise ArgumentError(
                    f"models must start at different spatial models, got the same one as numbers {j} and {i}: only the "
                    "sum of their covariances could be told; give one another range, or leave it out."
                )


def _shape_of(member: Channels, shape: Shape) -> dict[tuple[int, int], FloatArray]:
    """Return the coefficients of a spatial precision up to its scale, by offset."""
    Q = member.model.stencil(shape)
    scale = float(Q.diagonal().mean())
    return {(i, j): Q.plane(k) / scale for k, (i, j) in enumerate(Q.offsets.tolist())}


def _is_alike(one: dict[tuple[int, int], FloatArray], other: dict[tuple[int, int], FloatArray]) -> bool:
    return all(np.abs(one.get(at, 0.0) - other.get(at, 0.0)).max() <= _ALIKE for at in {*one, *other})
