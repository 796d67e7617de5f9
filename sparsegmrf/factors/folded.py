"""Factor of a precision on a lattice that wraps: the dissection of the lattice folded flat."""

import os
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._validate import read_only
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors._factor import Factor
from sparsegmrf.factors._fold import Fold
from sparsegmrf.factors.dissection import DissectionFactor, SingleFactor, _file
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, IntArray

T = TypeVar("T")


class FoldedFactor(Factor):
    """Sparse factor of a positive definite stencil on a cylinder or a torus, exact, on any lattice.

    A ring of ``W`` columns is laid flat as ``ceil(W / 2)`` columns of two pixels each, and the stencil on it, whose
    coefficients are blocks, is factorized by `DissectionFactor`: a cut through the flat ring cuts the ring at the two
    places at which it falls into halves. On a torus rows and columns are folded.

    Parameters
    ----------
    precision : SymmetricStencil
        Positive definite, wrapped along rows, columns or both, with any number of channels.
    kind : type, optional
        Of the factor of the folded lattice: `DissectionFactor`, or `SingleFactor` in half the memory.

    Raises
    ------
    ArgumentError
        If `precision` is no `SymmetricStencil`, or does not wrap.
    TooLargeError
        As for `DissectionFactor`.
    NotPositiveDefiniteError
        If a pivot is not positive; carries the pixel and the pivot.

    Examples
    --------
    >>> boundary = ("neumann", "torus")
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (32, 64), boundary=boundary)
    >>> round(FoldedFactor(stencil).logdet, 6)
    2451.350941
    """

    method = "dissection"
    _fold: Fold
    _inner: DissectionFactor
    _lattice: Lattice

    def __init__(self, precision: SymmetricStencil, kind: type[DissectionFactor] = DissectionFactor) -> None:
        if not isinstance(precision, SymmetricStencil) or not precision.is_wrapped:
            raise ArgumentError(
                f"precision must be a SymmetricStencil that wraps, got {precision!r}; use DissectionFactor."
            )
        fold = Fold.of(precision)
        _frozen.assign(self, _fold=fold, _inner=_dissected(fold, precision, kind), _lattice=precision.lattice)

    def refactorized(self, precision: SymmetricStencil) -> Factor | None:
        """Return the factor of another precision if it has the same lattice, offsets and axes that wrap, else None."""
        return _refactorized(self._fold, self._inner.refactorized, precision)

    def refactorizer(self) -> Callable[[SymmetricStencil], Factor | None]:
        """Return `refactorized` as a function for loops; see `DissectionFactor.refactorizer`."""
        return partial(_refactorized, self._fold, self._inner.refactorizer())

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._lattice

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write the factor to a file that `from_file` reads in any process (NumPy's .npz, about `nbytes` long).

        The file appears under its name only once it is complete.
        """
        inner, pattern = self._inner, self._fold.pattern
        ring: dict[str, Any] = {
            "ring_shape": pattern.shape,
            "ring_channels": pattern.channels,
            "ring_offsets": pattern.offsets,
        }
        ring["ring_boundary"] = self._fold.boundary
        _file.write(path, inner._precision, inner._analysis, inner._blocks, "folded", **ring)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> "FoldedFactor":
        """Read a factor written by `to_file`.

        Raises
        ------
        ArgumentError
            If the file is not a folded factor written by this version of the format.
        """
        names = ("ring_shape", "ring_channels", "ring_offsets", "ring_boundary")
        precision, analysis, blocks, ring = _file.read(path, "folded", names)
        shape, channels, offsets, boundary = ring
        pattern = SymmetricStencil(
            offsets,
            [1.0] * len(offsets),
            tuple(shape),
            channels=int(channels),
            boundary=_file.boundary_of(boundary),
        )
        kind = SingleFactor if blocks.is_single else DissectionFactor
        inner = kind._from_parts(precision, analysis, blocks)
        return _frozen.make(cls, _fold=Fold.of(pattern), _inner=inner, _lattice=pattern.lattice)

    @property
    def inner(self) -> DissectionFactor:
        """Factor of the folded lattice."""
        return self._inner

    @property
    def logdet(self) -> float:
        """Log-determinant of ``Q`` in nats."""
        return self._inner.logdet

    @property
    def nbytes(self) -> int:
        """Bytes of the factor's numbers and of where the unknowns lie."""
        return self._inner.nbytes + self._unknowns.nbytes

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances ``Q^-1[p, p + o_k]`` (intensity^2) on all offsets of the precision, as a stencil."""
        return self._fold.unfold(self._inner.selected_inverse())

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``Q^-1`` as an image, in intensity^2."""
        return self._taken(self._inner.marginal_variance().reshape(1, -1)).reshape(self.lattice.image_shape)

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return self._inner.relative_error

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return self._taken(self._inner.whiten_vectors(self._laid(x)))

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self._taken(self._inner.unwhiten_vectors(self._laid(e)))

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._taken(self._inner.solve_vectors(self._laid(b)))

    @cached_property
    def _unknowns(self) -> IntArray:
        return self._fold.unknowns

    def _laid(self, x: FloatArray) -> FloatArray:
        flat = np.zeros((len(x), self._inner.lattice.size))
        flat[:, self._unknowns] = x
        return read_only(flat)

    def _taken(self, flat: FloatArray) -> FloatArray:
        return np.ascontiguousarray(flat[:, self._unknowns])


def _refactorized(
    fold: Fold, again: Callable[[SymmetricStencil], Factor | None], precision: SymmetricStencil
) -> FoldedFactor | None:
    """Return the factor of a precision that a fold serves, by the function that factorizes folded ones, else None."""
    if not fold.serves(precision):
        return None
    inner = _dissected(fold, precision, again)
    return _frozen.make(FoldedFactor, _fold=fold, _inner=inner, _lattice=precision.lattice)


def _dissected(fold: Fold, Q: SymmetricStencil, factorize: Callable[[SymmetricStencil], T]) -> T:
    """Return the factor of a folded precision; of a failure the pixel on the ring."""
    try:
        return factorize(fold.fold(Q))
    except NotPositiveDefiniteError as error:
        pixel: Any = fold.pixel(error.pixel)
        raise NotPositiveDefiniteError(
            f"the precision is not positive definite: pivot {error.pivot:g} at pixel {pixel}; the diagonal is too "
            "small for its neighbours.",
            pixel,
            error.pivot,
        ) from None
