"""Orthonormal bases of a few images, cut into blocks of pixels that fit into cache."""

import numpy as np

from sparsegmrf.typing import FloatArray

_ROWS = 2048
"""Rows of a block; at least twice the columns are taken."""


def tall_qr(A: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ``A = Q R`` of ``(n, k)`` with orthonormal columns ``Q`` and a square ``R``, by Householder QR per block.

    Each block of rows has its own QR, and their triangles, one on the other, have another. With fewer rows than columns
    ``Q`` is square and ``R`` has the shape of ``A``.

    References
    ----------
    J. Demmel, L. Grigori, M. Hoemmen, J. Langou (2012), Communication-optimal parallel and sequential QR and LU
    factorizations, SIAM J. Sci. Comput. 34, section 3.
    """
    n, k = A.shape
    rows = max(_ROWS, 2 * k)
    whole = n // rows
    if whole < 2 or not k:
        return _qr(A)
    q, r = np.linalg.qr(A[: whole * rows].reshape(whole, rows, k))
    last, corner = _qr(A[whole * rows :])
    mix, R = _qr(np.concatenate([r.reshape(whole * k, k), corner]))
    Q = np.empty((n, k))
    np.matmul(q, mix[: whole * k].reshape(whole, k, k), out=Q[: whole * rows].reshape(whole, rows, k))
    Q[whole * rows :] = last @ mix[whole * k :]
    return Q, R


def _qr(A: FloatArray) -> tuple[FloatArray, FloatArray]:
    q, r = np.linalg.qr(A)
    return np.asarray(q, dtype=np.float64), np.asarray(r, dtype=np.float64)
