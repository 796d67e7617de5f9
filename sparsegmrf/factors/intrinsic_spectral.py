"""Factor of an intrinsic precision that a fast transform diagonalizes, with constants as its null space."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _frozen
from sparsegmrf._validate import read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._null_space import TOLERANCE, NullSpace
from sparsegmrf.factors._transforms import has_level
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False, init=False, repr=False)
class SpectralIntrinsicForm(SpectralForm):
    """Precision ``Q = F^T diag(eigenvalues) F`` whose eigenvalue of frequency zero, that of constants, is zero.

    Parameters
    ----------
    form : SpectralForm
        In a cosine or Fourier basis; what rounding left of the eigenvalue of frequency zero is not used.

    Raises
    ------
    ArgumentError
        If the basis is that of sines, or the eigenvalue of frequency zero is not zero.
    """

    def __init__(self, form: SpectralForm) -> None:
        if not has_level(form.basis):
            raise ArgumentError(
                "the precision is cut off at a border, so that it does not send constants to zero; use GMRF, or the "
                "boundary 'neumann'."
            )
        values = form.eigenvalues
        largest = float(np.abs(values).max())
        if abs(float(values[0, 0])) > TOLERANCE * largest:
            raise ArgumentError(
                "null_space must be sent to zero by the precision, but constants have the eigenvalue "
                f"{values[0, 0]:.3g} (allowed: {TOLERANCE * largest:.3g}); a precision without this null vector goes "
                "to GMRF."
            )
        _frozen.assign(self, **vars(form))

    @property
    def level(self) -> float:
        """Eigenvalue ``c`` put in for constants, of the order of the others so that it costs none of their digits."""
        return float(self.eigenvalues.max()) or 1.0

    @property
    def proper(self) -> SpectralForm:
        """``Q + c v v^T``, ``v`` the constant unit vector: the eigenvalue of frequency zero is that of the level."""
        eigenvalues = self.eigenvalues.copy()
        eigenvalues[0, 0] = self.level
        return SpectralForm(self.basis, eigenvalues, self.offsets)

    @cached_property
    def null(self) -> NullSpace:
        """The constants."""
        return NullSpace.of_constants(self.lattice)

    def plus_diagonal(self, number: float) -> SpectralForm:
        """Return ``Q + number I``, whose eigenvalue of frequency zero is the number."""
        found = super().plus_diagonal(number)
        eigenvalues = found.eigenvalues.copy()
        eigenvalues[0, 0] = number
        return SpectralForm(self.basis, eigenvalues, self._offsets, found._stencil)

    @property
    def null_vectors(self) -> sp.csr_array:
        """The constant unit vector as a column, ``(n, 1)``."""
        return self.null.vectors

    @property
    def of_ones(self) -> tuple[float | None, ...]:
        """Zero."""
        return (0.0,)

    def factor(self, factorize: Callable[[Any], Factor], method: Method) -> "SpectralIntrinsicFactor":
        """Return the factor made of that of ``Q + c v v^T``."""
        return SpectralIntrinsicFactor(self, factorize(self.proper))


class SpectralIntrinsicFactor(Factor):
    """Factor of an intrinsic ``Q`` by one fast transform: ``Q^+ = (Q + c v v^T)^-1 - v v^T / c``.

    The whitened image is over frequencies; that of frequency zero holds no white number and is zero.

    Parameters
    ----------
    form : SpectralIntrinsicForm
        The precision.
    inner : SpectralFactor
        Factor of ``Q + c v v^T``, ``v`` constant.
    """

    method = "spectral"

    def __init__(self, form: SpectralIntrinsicForm, inner: Factor) -> None:
        self._form, self._inner, self._level = form, inner, form.level

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._form.lattice

    @property
    def null_vectors(self) -> sp.csr_array:
        """The constant unit vector as a column, ``(n, 1)``."""
        return self._form.null_vectors

    @property
    def logdet(self) -> float:
        """Generalized log-determinant: the sum of the logarithms of the positive eigenvalues, in nats."""
        return self._inner.logdet - float(np.log(self._level))

    @property
    def nbytes(self) -> int:
        """Bytes of the eigenvalues and their roots."""
        return self._inner.nbytes

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances under the constraint on the precision's own offsets as a stencil."""
        selected, share = self._inner.selected_inverse(), 1.0 / (self.lattice.size * self._level)
        planes = np.zeros((len(selected.offsets), *self.shape))
        for k in range(len(planes)):
            here = selected._pixels(k)
            planes[(k, *here)] = selected.plane(k)[here] - share
        return selected._with_planes(planes)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``Q^+`` as an image, in intensity^2."""
        return self._inner.marginal_variance() - 1.0 / (self.lattice.size * self._level)

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        white = self._inner.whiten_vectors(x)
        white[:, 0] = 0.0
        return white

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self.unwhiten_in_place(np.array(e))

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; `e` may be overwritten."""
        e[:, 0] = 0.0
        return self._inner.unwhiten_in_place(e)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        # v is an eigenvector, so that what is orthogonal to it stays so, but for rounding.
        solved = self._inner.solve_vectors(read_only(b - b.mean(axis=1, keepdims=True)))
        result: FloatArray = solved - solved.mean(axis=1, keepdims=True)
        return result
