"""Masks of models: where there is no field."""

import numpy as np

from sparsegmrf._validate import boolean_mask
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import ArrayLike, BoolArray, Shape


def as_mask(mask: ArrayLike | None) -> BoolArray | None:
    """Return a read-only copy of a mask ``(H, W)`` that leaves some pixel; None as it is."""
    if mask is None:
        return None
    found = boolean_mask("mask", mask, np.asarray(mask).shape).copy()
    if found.ndim != 2 or found.all():
        raise ArgumentError(f"mask must be an (H, W) image that leaves some pixel, got shape {found.shape}.")
    found.flags.writeable = False
    return found


def check_mask(mask: BoolArray | None, shape: Shape) -> None:
    """Refuse a mask of another lattice."""
    if mask is not None and mask.shape != shape:
        raise ArgumentError(f"mask must have the shape {shape} of the lattice, got {mask.shape}.")
