"""The whitening matrix that belongs to a lower triangular factor ``L`` of the precision."""

from collections.abc import Sequence

import numpy as np

from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.stencil.triangular import TriangularStencil
from sparsegmrf.typing import ArrayLike, FloatArray, Offsets, Shape


def whitening_of_cholesky(
    diagonal: ArrayLike,
    weights: Sequence[ArrayLike] | FloatArray,
    offsets: Offsets,
    shape: Shape | None,
    channels: int,
    convention: str,
) -> TriangularStencil:
    """Return ``A = L^T`` of the columns of ``L`` (``"LLt"``), or ``A = L`` of its rows (``"LtL"``)."""
    one_of("convention", convention, ("LLt", "LtL"))
    if shape is None:
        shape = shape_of_planes([diagonal, *weights], channels)
    if convention == "LLt" and channels > 1:  # A[p, q] = L[q, p]^T
        diagonal = _transposed_blocks(diagonal)
        weights = [_transposed_blocks(weight) for weight in weights]
    A = TriangularStencil(offsets, diagonal, weights, shape, channels=channels)
    if len(A.offsets) and A.is_causal != (convention == "LtL"):
        side, other = ("later", "LtL") if convention == "LLt" else ("earlier", "LLt")
        raise StencilError(
            f'offsets must be {side} in raster order with convention="{convention}", got {A.offsets.tolist()}; if that '
            f'is the side you mean, pass convention="{other}".'
        )
    return A


def shape_of_planes(coefficients: Sequence[ArrayLike], channels: int) -> Shape:
    """Return the shape that the first plane among coefficients tells."""
    axes = 2 if channels == 1 else 4
    for coefficient in coefficients:
        if np.ndim(coefficient) == axes:
            height, width = np.shape(coefficient)[:2]
            return (height, width)
    raise ArgumentError(
        "shape must be given, got None: neither diagonal nor weights is a plane that tells it; "
        "pass shape=(height, width)."
    )


def _transposed_blocks(coefficient: ArrayLike) -> ArrayLike:
    return np.swapaxes(np.asarray(coefficient), -1, -2) if np.ndim(coefficient) >= 2 else coefficient
