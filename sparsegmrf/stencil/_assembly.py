"""Between stencils and scipy's CSR: assembly in threads over image rows, and reading a matrix back into planes."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _threads
from sparsegmrf._validate import finite, integer_at_least, read_only
from sparsegmrf.errors import StencilError
from sparsegmrf.kernels import assembly
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil._coefficients import Pool, block_shape
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

_INT32 = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Terms:
    """What a matrix row consists of, in raster order of ``(di, dj)``.

    A mirrored term reads its coefficient at the neighbour. The arrays are contiguous and read-only.
    """

    di: IntArray
    dj: IntArray
    start: IntArray
    step: IntArray
    mirrored: BoolArray

    @classmethod
    def of(cls, offsets: IntArray, pool: Pool, source: IntArray, mirrored: BoolArray) -> "Terms":
        """Return the terms at `offsets` whose coefficients are entries `source` of `pool`."""
        terms = cls(offsets[:, 0].copy(), offsets[:, 1].copy(), pool.start[source], pool.step[source], mirrored.copy())
        for array in vars(terms).values():
            array.flags.writeable = False
        return terms


def assemble(lattice: Lattice, terms: Terms, values: FloatArray, *, torus: bool) -> sp.csr_array:
    """Return the CSR matrix whose rows are `terms`, summing wrapped duplicates on a torus."""
    (height, width), channels = lattice.shape, lattice.channels
    di, dj, start, step, mirrored = terms.di, terms.dj, terms.start, terms.step, terms.mirrored
    if torus:
        distinct = len(np.unique(terms.di % height * width + terms.dj % width))
        row_start = np.arange(height + 1, dtype=np.int64) * (width * distinct * channels**2)
    else:
        distinct = 0
        row_start = _row_starts(lattice, terms)
    nnz = int(row_start[-1])
    index = index_dtype(max(nnz, lattice.size))
    indptr = np.empty(lattice.size + 1, dtype=index)
    indices = np.empty(nnz, dtype=index)
    data = np.empty(nnz)
    indptr[-1] = nnz

    def fill(first: int, last: int) -> None:
        if torus:
            assembly.fill_torus_rows(
                first,
                last,
                height,
                width,
                channels,
                distinct,
                di,
                dj,
                start,
                step,
                mirrored,
                values,
                indptr,
                indices,
                data,
            )
        elif channels == 1:
            assembly.fill_rows(
                first, last, height, width, di, dj, start, step, mirrored, values, row_start, indptr, indices, data
            )
        else:
            assembly.fill_block_rows(
                first,
                last,
                height,
                width,
                channels,
                di,
                dj,
                start,
                step,
                mirrored,
                values,
                row_start,
                indptr,
                indices,
                data,
            )

    _threads.run_over(fill, height, _threads.rows_per_task(width))
    matrix = sp.csr_array((data, indices, indptr), shape=(lattice.size, lattice.size), copy=False)
    matrix.has_canonical_format = True
    return matrix


def entries(matrix: sp.csr_array, kept: BoolArray) -> sp.csr_array:
    """Return a matrix with some of its stored entries only."""
    count = np.concatenate([[0], np.cumsum(kept)])
    indptr = count[matrix.indptr].astype(matrix.indptr.dtype)
    result = sp.csr_array((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape)
    result.has_sorted_indices = result.has_canonical_format = True
    return result


def index_dtype(largest: int) -> type[np.int32] | type[np.int64]:
    """Return the index type that holds `largest`, the number of entries or of unknowns."""
    return np.int32 if largest <= _INT32 else np.int64


def coefficients_of(Q: sp.sparray | sp.spmatrix, lattice: Lattice, reach: int) -> tuple[IntArray, list[FloatArray]]:
    """Return the offsets (centre and later) of a symmetric matrix and their planes, or blocks where all are equal."""
    reach = integer_at_least("reach", reach, 0)
    matrix = symmetric_matrix("Q", Q, lattice)
    width, channels = lattice.shape[1], lattice.channels
    indptr, indices, data = (read_only(array) for array in (matrix.indptr, matrix.indices, matrix.data))
    seen = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.bool_)
    entry = assembly.find_offsets(width, channels, reach, indptr, indices, data, seen)
    if entry >= 0:
        row = int(np.searchsorted(indptr, entry, side="right")) - 1
        p, q = (lattice.pixel(unknown // channels) for unknown in (row, int(indices[entry])))
        raise StencilError(
            f"Q couples pixels {p} and {q}, which are {abs(q[0] - p[0])} rows and {abs(q[1] - p[1])} columns apart, "
            f"more than reach={reach}; if rows were wrapped by mistake, rebuild Q, else pass a larger reach."
        )
    seen[reach, reach] = True
    offsets = np.argwhere(seen | seen[::-1, ::-1]) - reach
    offsets = np.ascontiguousarray(offsets[len(offsets) // 2 :]).astype(np.int64)
    plane_of = np.full(seen.shape, -1, dtype=np.int64)
    plane_of[offsets[:, 0] + reach, offsets[:, 1] + reach] = np.arange(len(offsets))
    planes = np.zeros((len(offsets), lattice.n_pixels, channels, channels))
    assembly.copy_to_planes(width, channels, reach, indptr, indices, data, plane_of, planes)
    planes = planes.reshape(len(offsets), *lattice.shape, *block_shape(lattice))
    return offsets, [_shared_or_plane(o, plane, lattice) for o, plane in zip(offsets, planes, strict=True)]


def symmetric_matrix(name: str, Q: sp.sparray | sp.spmatrix, lattice: Lattice) -> sp.csr_array:
    """Return a checked matrix as canonical CSR: of the lattice's size, real, finite, symmetric to 1e-12."""
    if not sp.issparse(Q):
        raise StencilError(
            f"{name} must be a scipy sparse array or matrix, got {type(Q).__name__}; "
            f"use scipy.sparse.csr_array({name})."
        )
    if Q.shape != (lattice.size, lattice.size):
        raise StencilError(
            f"{name} must be {lattice.size} x {lattice.size} for shape {lattice.shape} with {lattice.channels} "
            f"unknowns per pixel, got {Q.shape}."
        )
    if Q.dtype.kind not in "buif":
        raise StencilError(f"{name} must hold real numbers, got dtype {Q.dtype}; take its real part if that is meant.")
    matrix = sp.csr_array(Q, dtype=np.float64)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    finite(f"{name}.data", matrix.data)
    indptr, indices, data = (read_only(array) for array in (matrix.indptr, matrix.indices, matrix.data))
    entry = assembly.find_asymmetry(indptr, indices, data, 1e-12 * np.abs(data).max(initial=0.0))
    if entry >= 0:
        row, column = int(np.searchsorted(indptr, entry, side="right")) - 1, int(indices[entry])
        raise StencilError(
            f"{name} must be symmetric, got {name}[{row}, {column}] = {float(data[entry])!r} and "
            f"{name}[{column}, {row}] = {float(matrix[column, row])!r}; "
            f"pass ({name} + {name}.T) / 2 if that is what you mean."
        )
    return matrix


def _row_starts(lattice: Lattice, terms: Terms) -> IntArray:
    """Count, per image row, the entries in all earlier image rows."""
    height, width = lattice.shape
    per_term = np.maximum(0, width - np.abs(terms.dj)) * lattice.channels**2
    counts = np.zeros(height + 1, dtype=np.int64)
    for di, entries in zip(terms.di, per_term, strict=True):
        counts[1 + max(0, -di) : 1 + max(0, min(height, height - di))] += entries
    return np.cumsum(counts)


def _shared_or_plane(offset: IntArray, plane: FloatArray, lattice: Lattice) -> FloatArray:
    inside = plane[lattice.with_neighbour((int(offset[0]), int(offset[1])))]
    first = inside[0, 0]
    return first if (inside == first).all() else plane
