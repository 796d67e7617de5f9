"""Orthonormal real bases in which cut-off, no-flux and periodic stencils are diagonal."""

from dataclasses import dataclass

import numpy as np
import scipy.fft

from sparsegmrf import _threads
from sparsegmrf.typing import FloatArray, IntArray, Shape

BASES = ("dst", "dct", "dft")
_AXES = (-2, -1)


def angles(basis: str, side: int) -> FloatArray:
    """Return the frequencies of a basis along one side, in radians per pixel."""
    k = np.arange(side)
    if basis == "dst":
        return np.asarray(np.pi * (k + 1) / (side + 1))
    if basis == "dct":
        return np.asarray(np.pi * k / side)
    return np.asarray(2.0 * np.pi * scipy.fft.fftfreq(side))


def forward(basis: str, x: FloatArray, overwrite: bool = False) -> FloatArray:
    """Return ``F x`` for images ``(..., H, W)``: DST-I, DCT-II or discrete Hartley transform, all orthonormal."""
    if basis == "dft":
        return _hartley(x)
    transform, kind = (scipy.fft.dstn, 1) if basis == "dst" else (scipy.fft.dctn, 2)
    result: FloatArray = transform(
        x, type=kind, norm="ortho", axes=_AXES, overwrite_x=overwrite, workers=_threads.get_num_threads()
    )
    return result


def backward(basis: str, x: FloatArray, overwrite: bool = False) -> FloatArray:
    """Return ``F^T x``."""
    if basis != "dct":  # symmetric transforms
        return forward(basis, x, overwrite)
    result: FloatArray = scipy.fft.idctn(
        x, type=2, norm="ortho", axes=_AXES, overwrite_x=overwrite, workers=_threads.get_num_threads()
    )
    return result


def _hartley(x: FloatArray) -> FloatArray:
    """Return ``sum_p x_p (cos + sin)(p . w) / sqrt(n)``: real, symmetric, and diagonalizes what a DFT does."""
    transformed = scipy.fft.fftn(x, axes=_AXES, norm="ortho", workers=_threads.get_num_threads())
    return np.ascontiguousarray(transformed.real - transformed.imag)


@dataclass(frozen=True, eq=False)
class CovarianceTable:
    """All entries of ``F^T diag(f) F`` from one transform of ``f`` at doubled frequencies.

    Products of two sines or cosines are halves of ``cos(A - B) -+ cos(A + B)``, so that along one axis
    ``S[i, j] = C(i - j) + s C(i + j + first)`` with ``C(t) = sum_k f_k cos(w_k t) / N``, ``s`` being -1 for sines and 1
    for cosines, and ``C`` even and periodic in ``2N``; in two dimensions the four products. ``C`` is a DCT-I.
    On a torus there is the difference only, and ``C`` is a DFT.
    """

    basis: str
    shape: Shape
    values: FloatArray

    @classmethod
    def of(cls, basis: str, f: FloatArray) -> "CovarianceTable":
        """Transform ``f``, ``(H, W)``."""
        height, width = f.shape
        workers = _threads.get_num_threads()
        if basis == "dft":
            values = scipy.fft.ifftn(f, workers=workers).real
            return cls(basis, (height, width), np.ascontiguousarray(values))
        odd = basis == "dst"
        padded = np.zeros((height + 1 + odd, width + 1 + odd))
        scale = 0.25 / ((height + odd) * (width + odd))
        np.multiply(f, scale, out=padded[odd : odd + height, odd : odd + width])
        values = scipy.fft.dctn(padded, type=1, overwrite_x=True, workers=workers)
        return cls(basis, (height, width), values)

    def plane(self, di: int, dj: int) -> FloatArray:
        """Return ``S[p, p + (di, dj)]`` as an image, zero where it points off the image."""
        (height, width), C = self.shape, self.values
        result = np.zeros(self.shape)
        if self.basis == "dft":
            result[...] = C[di % height, dj % width]
            return result
        if abs(di) >= height or abs(dj) >= width:
            return result
        rows, at_rows = self._sums(0, di)
        columns, at_columns = self._sums(1, dj)
        sign = -1.0 if self.basis == "dst" else 1.0
        target = result[rows, columns]
        across = C[abs(di), abs(dj)] + sign * C[abs(di), at_columns]
        down = sign * C[at_rows, abs(dj)]

        def fill(first: int, last: int) -> None:
            block = np.take(np.take(C, at_rows[first:last], axis=0), at_columns, axis=1)
            block += across
            block += down[first:last, np.newaxis]
            target[first:last] = block

        _threads.run_over(fill, len(at_rows), _threads.rows_per_task(width))
        return result

    def _sums(self, axis: int, step: int) -> tuple[slice, IntArray]:
        """Return the pixels ``i`` whose neighbour ``i + step`` exists, and ``i + (i + step) + first`` folded."""
        side, odd = self.shape[axis], self.basis == "dst"
        pixels = slice(max(0, -step), side - max(0, step))
        period = side + odd
        sums = 2 * np.arange(pixels.start, pixels.stop) + step + 1 + odd
        return pixels, np.asarray(np.where(sums <= period, sums, 2 * period - sums), dtype=np.int64)
