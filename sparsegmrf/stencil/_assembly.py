"""Between stencils and scipy's CSR: assembly in threads over image rows, and reading a matrix back into planes."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _threads
from sparsegmrf._validate import finite, integer_at_least
from sparsegmrf.errors import StencilError
from sparsegmrf.kernels import assembly
from sparsegmrf.lattice import Lattice
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

_ROWS = 32
_INT32 = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Terms:
    """What a matrix row consists of, in raster order of ``(di, dj)``; a mirrored term reads its coefficient at the neighbour."""

    di: IntArray
    dj: IntArray
    start: IntArray
    step: IntArray
    mirrored: BoolArray


def assemble(lattice: Lattice, terms: Terms, values: FloatArray, *, torus: bool) -> sp.csr_array:
    """Return the CSR matrix whose rows are `terms`, summing wrapped duplicates on a torus."""
    (height, width), channels = lattice.shape, lattice.channels
    arrays = tuple(
        np.ascontiguousarray(array) for array in (terms.di, terms.dj, terms.start, terms.step, terms.mirrored)
    )
    if torus:
        distinct = len(np.unique(terms.di % height * width + terms.dj % width))
        row_start = np.arange(height + 1, dtype=np.int64) * (width * distinct * channels**2)
    else:
        distinct = 0
        row_start = _row_starts(lattice, terms)
    nnz = int(row_start[-1])
    index = np.int32 if max(nnz, lattice.size) <= _INT32 else np.int64
    indptr = np.empty(lattice.size + 1, dtype=index)
    indices = np.empty(nnz, dtype=index)
    data = np.empty(nnz)
    indptr[-1] = nnz

    def rows(first: int, last: int) -> None:
        if torus:
            assembly.fill_torus_rows(
                first, last, height, width, channels, distinct, *arrays, values, indptr, indices, data
            )
        elif channels == 1:
            assembly.fill_rows(first, last, height, width, *arrays, values, row_start, indptr, indices, data)
        else:
            assembly.fill_block_rows(
                first, last, height, width, channels, *arrays, values, row_start, indptr, indices, data
            )

    _threads.run([lambda first=first, last=last: rows(first, last) for first, last in _threads.ranges(height, _ROWS)])
    matrix = sp.csr_array((data, indices, indptr), shape=(lattice.size, lattice.size), copy=False)
    matrix.has_canonical_format = True
    return matrix


def planes_of(Q: sp.sparray | sp.spmatrix, lattice: Lattice, reach: int) -> tuple[IntArray, FloatArray]:
    """Return the offsets (centre and later) of a symmetric matrix and its planes ``(K, H, W[, C, C])``."""
    reach = integer_at_least("reach", reach, 0)
    matrix = _checked_matrix(Q, lattice)
    seen = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.bool_)
    width, channels = lattice.shape[1], lattice.channels
    entry = assembly.find_offsets(width, channels, reach, matrix.indptr, matrix.indices, seen)
    if entry >= 0:
        row = int(np.searchsorted(matrix.indptr, entry, side="right")) - 1
        p, q = (lattice.pixel(unknown // channels) for unknown in (row, int(matrix.indices[entry])))
        raise StencilError(
            f"Q couples pixels {p} and {q}, which are {abs(q[0] - p[0])} rows and {abs(q[1] - p[1])} columns apart, more "
            f"than reach={reach}; if rows were wrapped by mistake, rebuild Q, else pass a larger reach."
        )
    seen[reach, reach] = True
    offsets = np.argwhere(seen | seen[::-1, ::-1]) - reach
    offsets = np.ascontiguousarray(offsets[len(offsets) // 2 :]).astype(np.int64)
    plane_of = np.full(seen.shape, -1, dtype=np.int64)
    plane_of[offsets[:, 0] + reach, offsets[:, 1] + reach] = np.arange(len(offsets))
    planes = np.zeros(len(offsets) * lattice.n_pixels * channels**2)
    assembly.add_to_planes(
        width, channels, reach, matrix.indptr, matrix.indices, matrix.data, plane_of, lattice.n_pixels, planes
    )
    block = () if channels == 1 else (channels, channels)
    return offsets, planes.reshape(len(offsets), *lattice.shape, *block)


def _row_starts(lattice: Lattice, terms: Terms) -> IntArray:
    """Count, per image row, the entries in all earlier image rows."""
    height, width = lattice.shape
    per_term = np.maximum(0, width - np.abs(terms.dj)) * lattice.channels**2
    counts = np.zeros(height + 1, dtype=np.int64)
    for di, entries in zip(terms.di, per_term, strict=True):
        counts[1 + max(0, -di) : 1 + max(0, min(height, height - di))] += entries
    return np.cumsum(counts)


def _checked_matrix(Q: sp.sparray | sp.spmatrix, lattice: Lattice) -> sp.csr_array:
    if not sp.issparse(Q):
        raise StencilError(
            f"Q must be a scipy sparse array or matrix, got {type(Q).__name__}; use scipy.sparse.csr_array(Q)."
        )
    if Q.shape != (lattice.size, lattice.size):
        raise StencilError(
            f"Q must be {lattice.size} x {lattice.size} for shape {lattice.shape} with {lattice.channels} channels, "
            f"got {Q.shape}."
        )
    if Q.dtype.kind not in "buif":
        raise StencilError(f"Q must hold real numbers, got dtype {Q.dtype}.")
    matrix = sp.csr_array(Q, dtype=np.float64)
    finite("Q.data", matrix.data)
    gap = abs(matrix - matrix.T).tocoo()
    if gap.nnz and gap.data.max() > 1e-12 * np.abs(matrix.data).max():
        worst = int(gap.data.argmax())
        row, column = int(gap.row[worst]), int(gap.col[worst])
        raise StencilError(
            f"Q must be symmetric, got Q[{row}, {column}] and Q[{column}, {row}] differing by {gap.data[worst]:g}; "
            "pass (Q + Q.T) / 2 if that is what you mean."
        )
    return matrix
