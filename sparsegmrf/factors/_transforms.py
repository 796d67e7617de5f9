"""Orthonormal real bases, one per axis, in which cut-off, no-flux and periodic stencils are diagonal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft

from sparsegmrf import _threads
from sparsegmrf._edges import by_axis
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import Basis, Boundary, FloatArray, IntArray, Shape

BASES = ("dst", "dct", "dft")
_OF_RULE = {"dirichlet": "dst", "neumann": "dct", "torus": "dft"}
_AXES = (-2, -1)


def basis_of(boundary: Boundary) -> Basis:
    """Return the basis that goes with the rules at the border."""
    rows, columns = (_OF_RULE[each] for each in by_axis(boundary))
    return rows if rows == columns else (rows, columns)


def boundary_of(basis: Basis) -> Boundary:
    """Return the rules at the border that go with a basis."""
    rule = {name: each for each, name in _OF_RULE.items()}
    rows, columns = (rule[each] for each in by_axis(basis))
    return rows if rows == columns else (rows, columns)


def as_basis(value: object) -> Basis:
    """Return a basis, or a (rows, columns) pair of different ones; a pair of one basis is that basis."""
    pair = (value, value) if isinstance(value, str) else value
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(each in BASES for each in pair):
        raise ArgumentError(
            f"basis must be one of {', '.join(map(repr, BASES))}, or a (rows, columns) pair of these, got {value!r}."
        )
    return pair[0] if pair[0] == pair[1] else (pair[0], pair[1])


def has_level(basis: Basis) -> bool:
    """Return whether constants are in a basis, at frequency zero."""
    return "dst" not in by_axis(basis)


def frequencies(basis: Basis, shape: Shape) -> tuple[FloatArray, FloatArray]:
    """Return the row and column frequencies of a basis, in radians per pixel."""
    rows, columns = by_axis(basis)
    return angles(rows, shape[0]), angles(columns, shape[1])


def angles(basis: str, side: int) -> FloatArray:
    """Return the frequencies of a basis along one side, in radians per pixel."""
    k = np.arange(side)
    if basis == "dst":
        return np.asarray(np.pi * (k + 1) / (side + 1))
    if basis == "dct":
        return np.asarray(np.pi * k / side)
    return np.asarray(2.0 * np.pi * scipy.fft.fftfreq(side))


def forward(basis: Basis, x: FloatArray, overwrite: bool = False) -> FloatArray:
    """Return ``F x`` for images ``(..., H, W)``: DST-I, DCT-II or discrete Hartley transform, all orthonormal."""
    if isinstance(basis, str):
        return _along(basis, x, _AXES, overwrite)
    return _along(basis[1], _along(basis[0], x, _AXES[:1], overwrite), _AXES[1:], True)


def backward(basis: Basis, x: FloatArray, overwrite: bool = False) -> FloatArray:
    """Return ``F^T x``."""
    if isinstance(basis, str):
        return _along(basis, x, _AXES, overwrite, inverse=True)
    return _along(basis[1], _along(basis[0], x, _AXES[:1], overwrite, inverse=True), _AXES[1:], True, inverse=True)


def _along(
    basis: str, x: FloatArray, axes: tuple[int, ...], overwrite: bool = False, inverse: bool = False
) -> FloatArray:
    """Transform along some axes, or undo it: of the three, only the DCT-II is not symmetric."""
    if basis == "dft":
        return _hartley(x, axes)
    transform, kind = (scipy.fft.dstn, 1) if basis == "dst" else (scipy.fft.idctn if inverse else scipy.fft.dctn, 2)
    result: FloatArray = transform(
        x, type=kind, norm="ortho", axes=axes, overwrite_x=overwrite, workers=_threads.get_num_threads()
    )
    return result


def _hartley(x: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Return ``sum_p x_p (cos + sin)(p . w) / sqrt(n)``: real, symmetric, and diagonalizes what a DFT does."""
    transformed = scipy.fft.fftn(x, axes=axes, norm="ortho", workers=_threads.get_num_threads())
    return np.ascontiguousarray(transformed.real - transformed.imag)


@dataclass(frozen=True, eq=False)
class CovarianceTable:
    """All entries of ``F^T diag(f) F`` from one transform of ``f`` at doubled frequencies.

    Products of two sines or cosines are halves of ``cos(A - B) -+ cos(A + B)``, so that along one axis
    ``S[i, j] = C(i - j) + s C(i + j + first)`` with ``C(t) = sum_k f_k cos(w_k t) / N``, ``s`` being -1 for sines and 1
    for cosines, and ``C`` even and periodic in ``2N``; in two dimensions the four products. ``C`` is a DCT-I.
    Along an axis that wraps there is the difference only, and ``C`` is a DFT.
    """

    basis: Basis
    shape: Shape
    values: FloatArray

    @classmethod
    def of(cls, basis: Basis, f: FloatArray) -> "CovarianceTable":
        """Transform ``f``, ``(H, W)``, which is even along axes that wrap."""
        height, width = f.shape
        values = f
        if isinstance(basis, str):
            values = _cosines(basis, values, _AXES)
        else:
            for each, axis in zip(basis, _AXES, strict=True):
                values = _cosines(each, values, (axis,))
        return cls(basis, (height, width), values)

    def plane(self, di: int, dj: int) -> FloatArray:
        """Return ``S[p, p + (di, dj)]`` as an image, zero where it points off the image."""
        C, result = self.values, np.zeros(self.shape)
        rows, near_row, far_rows, row_sign = self._sums(0, di)
        columns, near_column, far_columns, column_sign = self._sums(1, dj)
        target = result[rows, columns]
        if not target.size:
            return result
        across = C[near_row, near_column] + (column_sign * C[near_row, far_columns] if column_sign else 0.0)
        if not row_sign:
            target[:] = across
            return result
        down = row_sign * C[far_rows, near_column]
        sign = row_sign * column_sign

        def fill(first: int, last: int) -> None:
            block: FloatArray | float = 0.0
            if sign:
                block = sign * np.take(np.take(C, far_rows[first:last], axis=0), far_columns, axis=1)
            target[first:last] = block + across + down[first:last, np.newaxis]

        _threads.run_over(fill, len(far_rows), _threads.rows_per_task(self.shape[1]))
        return result

    def _sums(self, axis: int, step: int) -> tuple[slice, int, IntArray, float]:
        """Return the pixels ``i`` whose neighbour ``i + step`` exists, and where ``C`` is read along an axis.

        That is ``|step|``, and ``i + (i + step) + first`` folded, with its sign: zero along an axis that wraps.
        """
        side, basis = self.shape[axis], by_axis(self.basis)[axis]
        if basis == "dft":
            return slice(0, side), step % side, np.empty(0, dtype=np.int64), 0.0
        odd = basis == "dst"
        pixels = slice(max(0, -step), max(max(0, -step), side - max(0, step)))
        period = side + odd
        sums = 2 * np.arange(pixels.start, pixels.stop) + step + 1 + odd
        near = min(abs(step), period)  # beyond the side there are no pixels
        far = np.asarray(np.where(sums <= period, sums, 2 * period - sums), dtype=np.int64)
        return pixels, near, far, -1.0 if odd else 1.0


def _cosines(basis: str, f: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Return ``C`` along some axes."""
    workers = _threads.get_num_threads()
    if basis == "dft":
        return np.ascontiguousarray(scipy.fft.ifftn(f, axes=axes, workers=workers).real)
    odd = basis == "dst"
    sides, where = list(f.shape), [slice(None)] * f.ndim
    scale = 1.0
    for axis in axes:
        scale *= 0.5 / (f.shape[axis] + odd)
        sides[axis], where[axis] = f.shape[axis] + 1 + odd, slice(odd, odd + f.shape[axis])
    padded = np.zeros(sides)
    np.multiply(f, scale, out=padded[tuple(where)])
    result: FloatArray = scipy.fft.dctn(padded, type=1, axes=axes, overwrite_x=True, workers=workers)
    return result
