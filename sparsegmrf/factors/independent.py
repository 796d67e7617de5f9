"""Independent fields on one lattice, one unknown per pixel and field: a precision and factor that keep them apart."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _frozen
from sparsegmrf._edges import cut_off, wraps
from sparsegmrf._validate import read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form, coefficient_at, on_offsets
from sparsegmrf.factors.autoregressive import AutoregressiveForm
from sparsegmrf.factors.choose import null_vectors_of, stencil_of
from sparsegmrf.factors.intrinsic import IntrinsicForm
from sparsegmrf.factors.intrinsic_spectral import SpectralIntrinsicForm
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, IntArray

Member: TypeAlias = SymmetricStencil | SpectralForm | IntrinsicForm | SpectralIntrinsicForm | AutoregressiveForm


@dataclass(frozen=True, eq=False, init=False)
class IndependentForm(Form):
    """Precision of ``C`` independent fields stacked per pixel: its ``C x C`` blocks are diagonal.

    Parameters
    ----------
    members : sequence of SymmetricStencil, SpectralForm, IntrinsicForm, SpectralIntrinsicForm or AutoregressiveForm
        Precision of each field in 1/intensity^2, with one unknown per pixel, all on one lattice. Each is given the
        offsets of all, with zero coefficients, so that covariances on them are known for every field.

    Raises
    ------
    ArgumentError
        If there are no members, one has channels, they are on different lattices, or they do not wrap alike.
    """

    members: tuple[Member, ...]

    def __init__(self, members: Sequence[Member]) -> None:
        if not len(members):
            raise ArgumentError("members must hold at least one precision, got none.")
        _together("members", [member.lattice for member in members])
        if len({wraps(member.boundary) for member in members}) > 1:
            raise ArgumentError("members must wrap along the same axes, got several boundaries; give them one.")
        union = np.unique(np.concatenate([member.offsets for member in members]), axis=0)
        _frozen.assign(self, members=tuple(_with_offsets(member, union) for member in members))

    @cached_property
    def lattice(self) -> Lattice:
        """The pixel grid, with the domains of the fields."""
        return _together("members", [member.lattice for member in self.members])

    @cached_property
    def null_vectors(self) -> sp.csr_array:
        """Orthonormal null vectors as columns, ``(n, r)``, each of one field."""
        return _side_by_side([null_vectors_of(member, member.lattice) for member in self.members])

    @property
    def of_ones(self) -> tuple[float | None, ...]:
        """For each field the value of ``Q 1``, where it is known exactly."""
        return tuple(None if isinstance(m, SymmetricStencil) else m.of_ones[0] for m in self.members)

    @property
    def levels(self) -> tuple[IntArray | None, ...]:
        """For each field the parts that have a level each; None: all is one."""
        return tuple(None if isinstance(m, SymmetricStencil) else m.levels[0] for m in self.members)

    @property
    def parts(self) -> tuple[Member, ...]:
        """The precisions of the fields."""
        return self.members

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil with diagonal blocks."""
        return stacked([stencil_of(member, member.lattice) for member in self.members])

    def factor(self, factorize: Callable[[Any], Factor], method: Method) -> "IndependentFactor":
        """Return the factor made of those of the fields."""
        return IndependentFactor([factorize(member) for member in self.members])


class IndependentFactor(Factor):
    """Factor of independent fields stacked per pixel: each channel is whitened by a factor of its own.

    Parameters
    ----------
    factors : sequence of Factor
        One per field, on one lattice, with one unknown per pixel and selected inverses on the same offsets.

    Raises
    ------
    ArgumentError
        If there are none, or they are not on one lattice with one unknown per pixel.

    Examples
    --------
    >>> from sparsegmrf.factors import DenseFactor
    >>> parts = [DenseFactor(SymmetricStencil([(0, 0)], [q], (2, 2))) for q in (1.0, 4.0)]
    >>> IndependentFactor(parts).marginal_variance()[0, 0].tolist()
    [1.0, 0.25]
    """

    method = "independent"

    def __init__(self, factors: Sequence[Factor]) -> None:
        self._factors = tuple(factors)
        if not self._factors:
            raise ArgumentError("factors must hold at least one factor, got none.")
        self._lattice = _together("factors", [factor.lattice for factor in self._factors])

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._lattice

    @property
    def factors(self) -> tuple[Factor, ...]:
        """Factors of the fields."""
        return self._factors

    @cached_property
    def null_vectors(self) -> sp.csr_array:
        """Orthonormal null vectors as columns, ``(n, r)``, each of one field."""
        return _side_by_side([factor.null_vectors for factor in self._factors])

    @property
    def rank(self) -> int:
        """Number of positive eigenvalues of ``Q``."""
        return sum(factor.rank for factor in self._factors)

    @property
    def logdet(self) -> float:
        """Log-determinant of ``Q``, the sum of those of the fields, in nats."""
        return float(sum(factor.logdet for factor in self._factors))

    @property
    def nbytes(self) -> int:
        """Bytes of all factors."""
        return sum(factor.nbytes for factor in self._factors)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's own offsets as a stencil with diagonal blocks."""
        selected = [factor.selected_inverse() for factor in self._factors]
        if any(not np.array_equal(each.offsets, selected[0].offsets) for each in selected):
            raise ArgumentError(
                "factors must know the covariances on the same offsets; make them by factorizing an IndependentForm."
            )
        return stacked(selected)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``Q^-1`` as an image, in intensity^2."""
        variance = np.stack([factor.marginal_variance() for factor in self._factors], axis=-1)
        return variance.reshape(self._lattice.image_shape)

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return max(factor.relative_error for factor in self._factors)

    def covariance_with(self, pixel: tuple[int, int], channel: int = 0) -> FloatArray:
        """Return the covariance of every unknown with one as an image: zero in the other fields, in intensity^2."""
        self._lattice.unknown(pixel, channel)  # refuses what is off the image
        column = np.zeros((*self.shape, len(self._factors)))
        column[..., channel] = self._factors[channel].covariance_with(pixel)
        return column.reshape(self._lattice.image_shape)

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return self._each(x, lambda factor, plane: factor.whiten_vectors(plane))

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self._each(e, lambda factor, plane: factor.unwhiten_vectors(plane))

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._each(b, lambda factor, plane: factor.solve_vectors(plane))

    def _each(self, x: FloatArray, operation: Callable[[Factor, FloatArray], FloatArray]) -> FloatArray:
        images = x.reshape(len(x), self._lattice.n_pixels, len(self._factors))
        result = np.empty(images.shape)
        for channel, factor in enumerate(self._factors):
            result[..., channel] = operation(factor, read_only(images[..., channel]))
        return result.reshape(x.shape)


def stacked(stencils: Sequence[SymmetricStencil]) -> SymmetricStencil:
    """Return the stencil whose blocks hold those of `stencils`, of any number of channels, on their diagonals."""
    first = stencils[0]
    if len(stencils) == 1:
        return first
    union = np.unique(np.concatenate([stencil.offsets for stencil in stencils]), axis=0)
    boundaries = {stencil.boundary for stencil in stencils}
    boundary = first.boundary if len(boundaries) == 1 else cut_off(first.boundary)
    ends = np.cumsum([0, *(stencil.channels for stencil in stencils)]).tolist()
    blocks = []
    for offset in union.tolist():
        values = [coefficient_at(stencil, offset, boundary) for stencil in stencils]
        values = [v if each.channels > 1 else v[..., None, None] for v, each in zip(values, stencils, strict=True)]
        block = np.zeros((*np.broadcast_shapes(*(value.shape[:-2] for value in values)), ends[-1], ends[-1]))
        for value, (top, end) in zip(values, itertools.pairwise(ends), strict=True):
            block[..., top:end, top:end] = value
        blocks.append(block)
    return SymmetricStencil(union, blocks, first.shape, channels=ends[-1], boundary=boundary)


def split(stencil: SymmetricStencil) -> list[SymmetricStencil]:
    """Return what `stacked` has put together."""
    if stencil.channels == 1:
        return [stencil]
    boundary = cut_off(stencil.boundary)
    planes = [[stencil.plane(k)[..., c, c] for k in range(len(stencil.offsets))] for c in range(stencil.channels)]
    return [SymmetricStencil(stencil.offsets, each, stencil.shape, boundary=boundary) for each in planes]


def _with_offsets(member: Member, offsets: IntArray) -> Member:
    """Return a precision that has all `offsets`, with zero coefficients where it had none."""
    return on_offsets(member, offsets) if isinstance(member, SymmetricStencil) else member.with_offsets(offsets)


def _together(name: str, lattices: Sequence[Lattice]) -> Lattice:
    """Return the lattice with the unknowns of lattices of one unknown per pixel side by side."""
    if {(lattice.shape, lattice.channels) for lattice in lattices} != {(lattices[0].shape, 1)}:
        raise ArgumentError(
            f"{name} must have one unknown per pixel on one lattice, got {', '.join(map(str, lattices))}."
        )
    if all(lattice.is_complete for lattice in lattices):
        return Lattice(lattices[0].shape, len(lattices))
    domain = np.stack([lattice.domain for lattice in lattices], axis=-1)
    return Lattice(lattices[0].shape, len(lattices), domain if len(lattices) > 1 else domain[..., 0])


def _side_by_side(vectors: Sequence[sp.csr_array]) -> sp.csr_array:
    """Return vectors of each field, as columns, as vectors of all that are zero in the other fields."""
    order = np.arange(len(vectors) * vectors[0].shape[0]).reshape(len(vectors), -1).T.ravel()
    return sp.csr_array(sp.csr_array(sp.block_diag(vectors))[order])  # from field by field to pixel by pixel
