"""The dissection factor: images in, images out."""

import os
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors._factor import Factor
from sparsegmrf.factors.dissection import _file, _numeric, _selected
from sparsegmrf.factors.dissection._analysis import Analysis, Groups, analyse, group_tiles
from sparsegmrf.factors.dissection._buffers import Buffers
from sparsegmrf.factors.dissection._numbers import FactorNumbers
from sparsegmrf.factors.dissection._plan import leaf_pixels, predict, refuse_beyond_memory, tile_side
from sparsegmrf.factors.dissection._solve import Solver
from sparsegmrf.factors.dissection._tree import Level, build
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray


class DissectionFactor(Factor):
    """Exact sparse Cholesky factor ``P Q P^T = L L^T`` of any positive definite stencil, ``A = L^T P``.

    The image is halved by separators as wide as the stencil's reach, down to tiles that are factorized eight at a time.
    Nodes with the same structure and coefficients are factorized and stored once: a homogeneous stencil keeps one block
    per class of nodes for the whole image.

    Parameters
    ----------
    precision : SymmetricStencil
        Positive definite, on any lattice, with any number of channels; on a lattice that does not wrap.
    tile : int, optional
        Side of the largest square tile in pixels. The default suits the stencil; results depend on it by rounding only.
    leaf : int, optional
        Most pixels of a rectangle that is eliminated as a whole; likewise.

    Raises
    ------
    ArgumentError
        If `precision` is no `SymmetricStencil`, or wraps.
    TooLargeError
        If the predicted memory exceeds what is available, before anything is allocated; see `sparsegmrf.plan`.
    NotPositiveDefiniteError
        If a pivot is not positive; carries the pixel and the pivot.

    References
    ----------
    A. George, Nested dissection of a regular finite element mesh, SIAM J. Numer. Anal. 10 (1973) 345-363;
    I. S. Duff and J. K. Reid, The multifrontal solution of indefinite sparse symmetric linear equations, ACM TOMS 9
    (1983) 302-325; K. Takahashi, J. Fagan and M. Chen, Formation of a sparse bus impedance matrix, PICA 8 (1973) 63-69,
    for the selected inverse.

    Examples
    --------
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (256, 256), boundary="neumann")
    >>> round(DissectionFactor(stencil).logdet, 6)
    79567.850391
    """

    method = "dissection"
    _single: ClassVar[bool] = False
    _kind: ClassVar[str] = "dissection"
    _precision: SymmetricStencil
    _analysis: Analysis
    _levels: list[Level]
    _groups: Groups
    _blocks: FactorNumbers

    def __init__(self, precision: SymmetricStencil, *, tile: int | None = None, leaf: int | None = None) -> None:
        _check(precision)
        if tile is None:
            tile = tile_side(precision.lattice, precision.offsets, precision.is_homogeneous)
        if leaf is None:
            leaf = leaf_pixels(precision.offsets)
        tile, leaf = integer_at_least("tile", tile, 1), integer_at_least("leaf", leaf, 1)
        analysis = analyse(precision.lattice, precision.offsets, tile=tile, leaf=leaf)
        predicted = predict(precision.lattice, analysis.classes, tile, precision.is_homogeneous, single=self._single)
        refuse_beyond_memory(predicted)
        _frozen.assign(self, **_attributes(precision, analysis, single=self._single))

    def refactorize(self, precision: SymmetricStencil) -> Self:
        """Return the factor of another precision with the same lattice and offsets, keeping the analysis.

        Parameters
        ----------
        precision : SymmetricStencil
            Same shape, channels and offsets as the first; other coefficients.

        Raises
        ------
        ArgumentError
            If shape, channels or offsets differ.
        NotPositiveDefiniteError
            If a pivot is not positive.
        """
        _check(precision)
        again = _refactorized(type(self), self._analysis, precision)
        if again is None:
            raise ArgumentError(
                f"precision must have the pattern of this factor, {self._precision!r}, got {precision!r}; "
                "build a new DissectionFactor for it."
            )
        return again

    def refactorized(self, precision: SymmetricStencil) -> Factor | None:
        """Return the factor of another precision if it has the same lattice and offsets, else None."""
        return _refactorized(type(self), self._analysis, precision)

    def refactorizer(self) -> "Refactorizer[Self]":
        """Return `refactorized` as a function for loops, which keeps the analysis and the memory of factors that went.

        This factor and those that it made leave their memory, which is touched already, to the next one as soon as
        nothing refers to them any more; one that is kept stays as it is. Any number of threads may call it. The memory
        goes with it.
        """
        return Refactorizer(type(self), self._analysis, self._blocks)

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._precision.lattice

    @cached_property
    def logdet(self) -> float:
        """Log-determinant of ``Q`` in nats."""
        return self._blocks.logdet(self._levels)

    @property
    def nbytes(self) -> int:
        """Bytes of the factor's numbers."""
        return self._blocks.tiles.nbytes + self._blocks.fronts.nbytes

    @property
    def nodes(self) -> int:
        """Number of nodes of the dissection tree, tiles counted as one."""
        return sum(len(level.cls) for level in self._levels)

    @property
    def distinct_nodes(self) -> int:
        """Number of nodes that are factorized and stored; the others are identical to one of these."""
        return sum(len(level.first) for level in self._levels)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances ``Q^-1[p, p + o_k]`` (intensity^2) on all offsets of the precision, as a stencil."""
        planes = _selected.selected_planes(self._analysis, self._levels, self._groups, self._blocks)
        return self._precision._with_planes(planes)

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the factor to a file that `from_file` reads in any process (NumPy's .npz, about `nbytes` long).

        The file appears under its name only once it is complete.
        """
        _file.write(path, self._precision, self._analysis, self._blocks, self._kind)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """Read a factor written by `to_file`.

        Raises
        ------
        ArgumentError
            If the file is not a factor written by this version of the format.
        """
        precision, analysis, blocks, _ = _file.read(path, cls._kind)
        return cls._from_parts(precision, analysis, blocks)

    @classmethod
    def _from_parts(cls, precision: SymmetricStencil, analysis: Analysis, blocks: FactorNumbers) -> Self:
        return _frozen.make(cls, **_attributes(precision, analysis, blocks))

    def __repr__(self) -> str:
        nodes = f"{self.distinct_nodes} of {self.nodes} nodes"
        return f"{type(self).__name__}(shape={self.shape}, {nodes}, {self.nbytes} bytes)"

    @cached_property
    def _solver(self) -> Solver:
        return Solver(self._analysis, self._levels, self._groups, self._blocks)

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return self._solver.whiten(x)

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self._solver.unwhiten(e)

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; `e` may be overwritten."""
        return self._solver.unwhiten_over(e)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._solver.solve(b)


Made = TypeVar("Made", bound=DissectionFactor)


class Refactorizer(Generic[Made]):
    """Factors of precisions with the lattice and offsets of an analysis, in memory that is used again."""

    def __init__(self, kind: type[Made], analysis: Analysis, first: FactorNumbers) -> None:
        self._kind, self._analysis, self._buffers = kind, analysis, Buffers()
        for array in (first.tiles, first.fronts):
            self._buffers.adopt(array)

    def __call__(self, precision: SymmetricStencil) -> Made | None:
        """Return the factor of a precision, or None if it has another lattice or other offsets."""
        try:
            return _refactorized(self._kind, self._analysis, precision, self._buffers)
        finally:
            self._buffers.trim()

    def free(self) -> None:
        """Free the memory that waits for the next factor."""
        self._buffers.free()


def _refactorized(
    kind: type[Made], analysis: Analysis, precision: SymmetricStencil, buffers: Buffers | None = None
) -> Made | None:
    """Return the factor of a precision that has the lattice and offsets of an analysis, else None."""
    same = precision.lattice == analysis.lattice and np.array_equal(precision.offsets, analysis.offsets)
    if not same or precision.is_wrapped:
        return None
    return _frozen.make(kind, **_attributes(precision, analysis, buffers=buffers, single=kind._single))


def _attributes(
    precision: SymmetricStencil,
    analysis: Analysis,
    blocks: FactorNumbers | None = None,
    buffers: Buffers | None = None,
    *,
    single: bool = False,
) -> dict[str, object]:
    """Return the attributes of the factor of a precision, whose numbers may be known, or the memory they take."""
    if single:
        _check_range(precision)
    levels = build(analysis.classes, analysis.depth, precision)
    groups = group_tiles(analysis, levels[-1])
    if blocks is None:
        try:
            blocks = _numeric.factorize(analysis, levels, groups, precision.pool, buffers, single=single)
        except _numeric.NotPositiveError as failure:
            raise not_positive(precision, analysis, levels[failure.depth], failure) from None
    return {"_precision": precision, "_analysis": analysis, "_levels": levels, "_groups": groups, "_blocks": blocks}


def not_positive(
    precision: SymmetricStencil, analysis: Analysis, level: Level, failure: _numeric.NotPositiveError
) -> NotPositiveDefiniteError:
    """Return the error of a factorization that stopped."""
    channels = precision.channels
    instance = level.first[failure.node]
    cls, (row, first) = int(level.cls[instance]), level.pixel[instance]
    if failure.program_node >= 0:
        visits, at = analysis.programs[cls].visits, failure.program_node
        cls, row, first = int(visits.cls[at]), row + visits.row[at], first + visits.column[at]
    di, dj = analysis.classes[cls].front[failure.column // channels]
    pixel: tuple[int, ...] = (int(row + di), int(first + dj))
    if channels > 1:
        pixel = (*pixel, int(failure.column % channels))
    return NotPositiveDefiniteError(
        f"the precision is not positive definite: pivot {failure.pivot:g} at pixel {pixel}. {_hint(precision)}",
        pixel,
        failure.pivot,
    )


def _check(precision: Any) -> None:
    if not isinstance(precision, SymmetricStencil):
        raise ArgumentError(
            f"precision must be a SymmetricStencil, got {type(precision).__name__}; "
            "read a sparse matrix with SymmetricStencil.from_csr."
        )
    if precision.is_wrapped:
        raise ArgumentError(
            f"precision must not wrap, which leaves no separate halves, got boundary={precision.boundary!r}; use "
            'FoldedFactor, or factorize with method="dissection", which takes it.'
        )


def _check_range(precision: SymmetricStencil) -> None:
    """Refuse a diagonal whose pivots may leave the range of single precision."""
    diagonal = precision.diagonal()
    if not (diagonal.max() <= 1e60 and (diagonal.min() >= 1e-60 or diagonal.min() <= 0.0)):
        raise ArgumentError(
            "precision must have a diagonal between 1e-60 and 1e60 for a factor in single precision, got "
            f"{diagonal.min():g} to {diagonal.max():g}; measure intensities in another unit."
        )


def _hint(precision: SymmetricStencil) -> str:
    """Say which bound is broken: the diagonal against its neighbours, or the symbol of a homogeneous stencil."""
    if not precision.is_homogeneous or precision.channels > 1:
        return "Make the diagonal larger or the neighbours' coefficients smaller there."
    q = [float(precision.coefficient(k)) for k in range(len(precision.offsets))]
    if precision.boundary == "neumann":
        return (
            f"With a Neumann border the rows sum to {q[0] + 2 * sum(q[1:]):g} (centre {q[0]:g} plus twice the "
            f"neighbours' {sum(q[1:]):g}), which must be positive; it suffices if no neighbour is positive."
        )
    angles = np.linspace(0.0, np.pi, 65)
    rows, columns = np.meshgrid(np.concatenate([-angles, angles]), angles, indexing="ij")
    waves = (np.cos(di * rows + dj * columns) for di, dj in precision.offsets[1:])
    symbol = q[0] + 2.0 * sum(value * wave for value, wave in zip(q[1:], waves, strict=True))
    low = float(np.min(symbol))
    return (
        f"The symbol sum_k q_k cos(o_k . w) falls to about {low:g}; it is positive at all frequencies w once the "
        f"centre, {q[0]:g}, exceeds about {q[0] - low:g}."
    )
