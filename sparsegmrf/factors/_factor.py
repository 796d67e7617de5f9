"""The contract every factor of a precision fulfils."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import numpy as np

from sparsegmrf._validate import images, read_only
from sparsegmrf.factors._on_lattice import OnLattice
from sparsegmrf.factors.normals import fill_standard_normal
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import ArrayLike, FloatArray


class Factor(OnLattice):
    """Factorization ``Q = A^T A`` of a precision on a lattice.

    Images are ``(..., H, W)``, or ``(..., H, W, C)`` with more than one channel; batch axes lead. Whitened images have
    the same shape. Nothing returns a dense covariance.

    A factor of one's own supplies `method`, `lattice`, `logdet`, `nbytes`, `selected_inverse`, and on vectors
    ``(batch, n)`` in the lattice's order `whiten_vectors`, `unwhiten_vectors` and `solve_vectors`, which receive
    C-contiguous read-only float64 arrays and return new ones. `unwhiten_in_place` and `draw_vectors` may save a copy,
    `refactorized` an analysis; `null_vectors` are those of a semi-definite precision. ``GMRF(precision, method=Mine)``
    and ``factorize(precision, Mine)`` call ``Mine(precision)``.
    """

    method: ClassVar[str]
    """Name of the kind of factor. Where the package makes it of a stencil, `factorize` takes it as `method`; that of a
    factor made of those of other precisions, such as ``"intrinsic"``, follows from what was given."""

    @property
    @abstractmethod
    def logdet(self) -> float:
        """Log-determinant of ``Q``, ``2 log |det A|``, in nats; over the positive eigenvalues of an intrinsic ``Q``."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes held by the factor's numbers."""

    @abstractmethod
    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""

    @abstractmethod
    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; the writable `e` may be overwritten and returned."""
        return self.unwhiten_vectors(read_only(e))

    def draw_vectors(self, rng: np.random.Generator, out: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` with standard normals ``e`` ``(batch, n)``, drawn into `out`, which may be overwritten."""
        fill_standard_normal(rng, out)
        return self.unwhiten_in_place(out)

    @abstractmethod
    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""

    @abstractmethod
    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances ``Q^-1[p, p + o_k]`` (intensity^2) on the precision's own offsets, as a stencil."""

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves, beyond rounding: zero unless digits were left out.

        That of `SingleFactor`, and of what is made of such factors.
        """
        return 0.0

    def squares(self, x: FloatArray) -> FloatArray:
        """Return ``x^T Q x`` for ``(batch, n)``."""
        white = self.whiten_vectors(x)
        return np.asarray(np.einsum("bp,bp->b", white, white))

    def covariance_roots(self, w: FloatArray) -> FloatArray:
        """Return ``A Q^-1 w`` for ``(batch, n)``, or other rows whose products are ``w^T Q^-1 w``."""
        return self.whiten_vectors(read_only(self.solve_vectors(w)))

    def refactorized(self, precision: SymmetricStencil) -> "Factor | None":
        """Return the factor of another precision if this one's analysis of the pattern serves it, else None."""
        return None

    def refactorizer(self) -> "Callable[[SymmetricStencil], Factor | None]":
        """Return `refactorized` as a function for loops, which keeps the analysis and not the numbers if it can.

        It may keep the memory of this factor and of those it made, once they are gone, for those it will make.
        """
        return self.refactorized

    def whiten(self, x: ArrayLike) -> FloatArray:
        """Return ``A x``: white with unit variance when `x` is a draw of ``N(0, Q^-1)``."""
        return self._on_images("x", x, self.whiten_vectors)

    def unwhiten(self, e: ArrayLike) -> FloatArray:
        """Return ``A^-1 e``: a draw of ``N(0, Q^-1)`` when `e` is white with unit variance."""
        return self._on_images("e", e, self.unwhiten_vectors)

    def solve(self, b: ArrayLike) -> FloatArray:
        """Return ``Q^-1 b``."""
        return self._on_images("b", b, self.solve_vectors)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``Q^-1`` as an image, in intensity^2."""
        return self.selected_inverse().diagonal()

    def covariance_with(self, pixel: tuple[int, int], channel: int = 0) -> FloatArray:
        """Return the covariance of every pixel with one pixel as an image: a column of ``Q^-1``, in intensity^2."""
        unit = np.zeros(self.lattice.size)
        unit[self.lattice.unknown(pixel, channel)] = 1.0
        column: FloatArray = self.solve_vectors(read_only(unit[np.newaxis]))[0].reshape(self.lattice.image_shape)
        return column

    def _on_images(self, name: str, value: ArrayLike, operation: Callable[[FloatArray], FloatArray]) -> FloatArray:
        array = images(name, value, self.lattice.image_shape)
        result = operation(array.reshape(-1, self.lattice.size))
        return result.reshape(array.shape)


Method: TypeAlias = str | Callable[..., Factor]
"""How to factorize: a name, or a class or function that makes a factor of a precision."""
