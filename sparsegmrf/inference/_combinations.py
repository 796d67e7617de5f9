"""Combinations and products of a few large images, without the threads of a matrix product, which cost more."""

import numpy as np

from sparsegmrf.typing import FloatArray

_FEW = 6


def combined(weights: FloatArray, images: FloatArray) -> FloatArray:
    """Return ``sum_k w_k x_k`` of images ``(p, ...)``, for weights ``(p,)`` or, by row, ``(q, p)``."""
    if len(images) > _FEW:
        return np.asarray(np.tensordot(weights, images, 1))
    if weights.ndim > 1:
        return np.array([combined(each, images) for each in weights]).reshape(len(weights), *images.shape[1:])
    result = np.zeros(images.shape[1:])
    for weight, image in zip(weights.tolist(), images, strict=True):
        result += weight * image
    return result


def products(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the inner products ``a_i . b_j`` of vectors ``(p, m)`` and ``(q, m)``."""
    return np.asarray(np.einsum("im,jm->ij", a, b) if max(len(a), len(b)) <= _FEW else a @ b.T)
