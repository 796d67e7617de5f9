"""Variance of a field at each frequency of a sine, cosine or Fourier basis, and its derivatives by parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np

from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors import _transforms
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.typing import Basis, FloatArray, IntArray, Shape

Places: TypeAlias = tuple[slice, slice] | tuple[IntArray, IntArray]
"""Frequencies by their numbers: the block of some rows and columns, or a list of single ones."""
Values: TypeAlias = tuple[FloatArray, Mapping[str, FloatArray]]
"""Numbers at frequencies, and their derivatives by parameter."""


@dataclass(frozen=True, eq=False)
class SpectralDensity:
    """Variance ``v_k`` of what is observed of a field at the frequencies of a basis that makes its law independent.

    With the orthonormal transform ``F`` of the basis ``F x`` has independent entries of variance ``v_k``: the precision
    is ``F^T diag(1/v) F``. Of a sum of fields it is the sum of theirs.

    Attributes
    ----------
    basis : {"dst", "dct", "dft"} or (str, str)
        As for `SpectralForm`.
    shape : (int, int)
        Height and width in pixels, and in frequencies.
    names : tuple of str
        Parameters whose derivatives are known, those by which the law stays independent in this basis.
    is_intrinsic : bool
        Whether the level, frequency zero, is free: its variance is infinite, and its derivatives are not read.
    values : callable
        Returns for places ``(i, j)``, two slices that start at a number or two
        arrays of whole numbers, the variances in intensity^2, and by
        name their derivatives.

    Examples
    --------
    >>> from sparsegmrf.models import CAR
    >>> density = CAR(0.2, tau=4.0, boundary="torus").spectral_density((8, 8))
    >>> variance, by = density.values((slice(0, 8), slice(0, 8)))
    >>> round(float(variance[0, 0]), 6), round(float(by["tau"][0, 0]), 6)
    (1.25, -0.3125)
    """

    basis: Basis
    shape: Shape
    names: tuple[str, ...]
    is_intrinsic: bool
    values: Callable[[Places], Values]

    def form(self) -> SpectralForm:
        """Return the precision of what is observed as a field by itself, by its eigenvalues ``1/v``."""
        variance, _ = self.values((slice(0, self.shape[0]), slice(0, self.shape[1])))
        return SpectralForm(self.basis, 1.0 / variance)

    @classmethod
    def of_symbol(
        cls,
        basis: Basis,
        shape: Shape,
        names: Sequence[str],
        symbol: Callable[[FloatArray, FloatArray], Values],
        *,
        is_intrinsic: bool = False,
    ) -> Self:
        """Return the density of a precision whose eigenvalues, and their derivatives, are a function of frequencies.

        Parameters
        ----------
        basis : {"dst", "dct", "dft"} or (str, str)
            As for `SpectralForm`.
        shape : (int, int)
            Height and width in pixels.
        names : sequence of str
            Parameters of which `symbol` gives derivatives.
        symbol : callable
            Returns the eigenvalues in 1/intensity^2 at row and column frequencies that broadcast, in radians per pixel,
            and by name their derivatives.
        is_intrinsic : bool
            Whether the eigenvalue of frequency zero is zero: then it is not read.
        """
        return cls._of(basis, shape, names, _at_places(basis, shape, symbol), is_intrinsic)

    @classmethod
    def of_variances(
        cls, basis: Basis, shape: Shape, names: Sequence[str], variances: Callable[[FloatArray, FloatArray], Values]
    ) -> Self:
        """Return the density whose variances, and their derivatives, are a function of frequencies.

        Parameters
        ----------
        basis, shape, names
            As for `of_symbol`.
        variances : callable
            As its `symbol`, in intensity^2.
        """
        return cls(basis, shape, tuple(names), False, _at_places(basis, shape, variances))

    @classmethod
    def of_forms(
        cls, form: SpectralForm, derivatives: Mapping[str, SpectralForm | None], *, is_intrinsic: bool = False
    ) -> Self:
        """Return the density of a precision and its derivatives; those that are not diagonal in its basis are left out.

        Parameters
        ----------
        form : SpectralForm
            The precision.
        derivatives : mapping of SpectralForm or None
            By parameter.
        is_intrinsic : bool
            Whether the eigenvalue of frequency zero is zero: then it is not read.
        """
        known = {
            name: each.eigenvalues
            for name, each in derivatives.items()
            if each is not None and each.basis == form.basis
        }

        def eigenvalues(places: Places) -> Values:
            return form.eigenvalues[places], {name: each[places] for name, each in known.items()}

        return cls._of(form.basis, form.shape, tuple(known), eigenvalues, is_intrinsic)

    @classmethod
    def _of(
        cls,
        basis: Basis,
        shape: Shape,
        names: Sequence[str],
        eigenvalues: Callable[[Places], Values],
        is_intrinsic: bool,
    ) -> Self:
        """Return the density ``1 / q`` with the derivatives ``-dq / q^2``."""

        def values(places: Places) -> Values:
            q, by_parameter = eigenvalues(places)
            level = level_among(places) if is_intrinsic else None
            if level is not None:
                q = np.array(q)
                q[level] = np.inf
            least = float(q.min(initial=np.inf))
            if not least > 0.0:
                raise NotPositiveDefiniteError(
                    f"the precision is not positive definite: eigenvalue {least:g} at a frequency of the lattice; the "
                    "diagonal is too small for its neighbours.",
                    (),
                    least,
                )
            v = 1.0 / q
            found = {name: -each * v * v for name, each in by_parameter.items()}
            if level is not None:
                v[level] = np.inf
            return v, found

        return cls(basis, shape, tuple(names), is_intrinsic, values)


def _at_places(
    basis: Basis, shape: Shape, function: Callable[[FloatArray, FloatArray], Values]
) -> Callable[[Places], Values]:
    """Return a function of row and column frequencies as one of places."""
    rows, columns = _transforms.frequencies(basis, shape)

    def values(places: Places) -> Values:
        i, j = places
        if isinstance(i, slice):
            return function(rows[i][:, np.newaxis], columns[j][np.newaxis])
        return function(rows[i], columns[j])

    return values


def total(densities: Mapping[str, SpectralDensity], weights: Sequence[float]) -> SpectralDensity | None:
    """Return the density of a weighted sum of independent fields, the parameters of each named ``name_label``.

    None if their bases differ.
    """
    members = tuple(densities.values())
    first = members[0]
    if any(each.basis != first.basis for each in members):
        return None
    squares = [float(weight) ** 2 for weight in weights]

    def values(places: Places) -> Values:
        variance: FloatArray | None = None
        by_parameter: dict[str, FloatArray] = {}
        for (label, each), square in zip(densities.items(), squares, strict=True):
            own, derivatives = each.values(places)
            by_parameter |= {f"{name}_{label}": square * by for name, by in derivatives.items()}
            if square == 0.0:  # what is not observed may be infinite
                own = np.zeros(own.shape)
            variance = square * own if variance is None else variance + square * own
        assert variance is not None
        return variance, by_parameter

    names = tuple(f"{name}_{label}" for label, each in densities.items() for name in each.names)
    return SpectralDensity(first.basis, first.shape, names, any(each.is_intrinsic for each in members), values)


def level_among(places: Places) -> tuple[int, int] | IntArray | None:
    """Return where frequency zero, that of the level, is in a block, or in a list, of places; None if it is not."""
    i, j = places
    if isinstance(i, slice) or isinstance(j, slice):
        return (0, 0) if i == slice(0, i.stop) and j == slice(0, j.stop) else None  # type: ignore[union-attr]
    found = np.flatnonzero((i == 0) & (j == 0))
    return found if len(found) else None
