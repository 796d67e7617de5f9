"""Channels that share one spatial field: a precision with two sides, and the factor that acts on each by itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparsegmrf import _frozen
from sparsegmrf._validate import finite, read_only, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.factors.choose import null_vectors_of, stencil_of
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.typing import ArrayLike, FloatArray

SpatialPrecision = SymmetricStencil | TriangularStencil | Form


@dataclass(frozen=True, eq=False, init=False)
class SeparableForm(Form):
    """Precision ``Q = Q_s (x) S^-1`` of ``C`` channels that all have the spatial precision ``Q_s``.

    Pixel-major with the channel fastest, as images are; the covariance of ``(p, a)`` and ``(q, b)`` is
    ``Q_s^-1[p, q] S[a, b]``.

    Parameters
    ----------
    spatial : SymmetricStencil, TriangularStencil or Form
        ``Q_s`` with one unknown per pixel, in 1/intensity^2 (or its whitening matrix).
    covariance : array_like, (C, C)
        ``S``, symmetric positive definite, without unit.

    Raises
    ------
    ArgumentError
        If `covariance` is not symmetric positive definite, or `spatial` has channels already.
    """

    spatial: SpatialPrecision
    covariance: FloatArray

    def __init__(self, spatial: SpatialPrecision, covariance: ArrayLike) -> None:
        _check_spatial(spatial.lattice)
        _frozen.assign(self, spatial=spatial, covariance=channel_covariance("covariance", covariance))

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self.spatial.lattice.with_channels(len(self.covariance))

    @property
    def null_vectors(self) -> sp.csr_array:
        """Orthonormal null vectors as columns, ``(n, r)``: those of ``Q_s`` in each channel."""
        return _in_channels(null_vectors_of(self.spatial, self.spatial.lattice), len(self.covariance))

    @property
    def parts(self) -> tuple[SpatialPrecision]:
        """The spatial precision."""
        return (self.spatial,)

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil of ``C x C`` blocks."""
        return in_blocks(stencil_of(self.spatial, self.spatial.lattice), _inverse(self.covariance))

    def factor(self, factorize: Callable[[Any], Factor], method: Method) -> "SeparableFactor":
        """Return the factor made of the spatial one."""
        return SeparableFactor(factorize(self.spatial), self.covariance)


class SeparableFactor(Factor):
    """Factor of ``Q = Q_s (x) S^-1``: with ``S = L L^T``, ``A = A_s (x) L^-1``.

    Whitening is ``A_s X L^-T`` for an image ``X`` with a row per pixel, ``logdet = C logdet Q_s - n log|S|``; what has
    ``C`` unknowns per pixel is never factorized.

    Parameters
    ----------
    spatial : Factor
        Factor of ``Q_s`` with one unknown per pixel.
    covariance : array_like, (C, C)
        ``S``, symmetric positive definite.

    Raises
    ------
    ArgumentError
        If `covariance` is not symmetric positive definite, or `spatial` has channels already.

    Examples
    --------
    >>> from sparsegmrf.factors import DenseFactor
    >>> spatial = DenseFactor(SymmetricStencil([(0, 0), (0, 1)], [2.0, -0.5], (3, 4)))
    >>> factor = SeparableFactor(spatial, [[1.0, 0.5], [0.5, 1.0]])
    >>> abs(float(factor.logdet - 2 * spatial.logdet + 12 * np.log(0.75))) < 1e-12
    True
    """

    method = "separable"

    def __init__(self, spatial: Factor, covariance: ArrayLike) -> None:
        _check_spatial(spatial.lattice)
        self._spatial = spatial
        self._covariance = channel_covariance("covariance", covariance)
        self._L = np.linalg.cholesky(self._covariance)
        self._lattice = spatial.lattice.with_channels(len(self._L))

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._lattice

    @property
    def spatial(self) -> Factor:
        """Factor of ``Q_s``."""
        return self._spatial

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the channels ``S``; read-only."""
        return self._covariance

    @property
    def null_vectors(self) -> sp.csr_array:
        """Orthonormal null vectors as columns, ``(n, r)``: those of ``Q_s`` in each channel."""
        return _in_channels(self._spatial.null_vectors, len(self._L))

    @property
    def rank(self) -> int:
        """Number of positive eigenvalues of ``Q``."""
        return len(self._L) * self._spatial.rank

    @property
    def logdet(self) -> float:
        """Log-determinant of ``Q``, ``C logdet Q_s - rank(Q_s) log|S|``, in nats."""
        log_S = 2.0 * float(np.log(np.diagonal(self._L)).sum())
        return len(self._L) * self._spatial.logdet - self._spatial.rank * log_S

    @property
    def nbytes(self) -> int:
        """Bytes of the spatial factor and the channels' covariance."""
        return self._spatial.nbytes + self._L.nbytes + self._covariance.nbytes

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's own offsets as a stencil of blocks."""
        return in_blocks(self._spatial.selected_inverse(), self._covariance)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``Q^-1`` as an image, in intensity^2."""
        variance: FloatArray = self._spatial.marginal_variance()[..., np.newaxis] * np.diagonal(self._covariance)
        return variance.reshape(self._lattice.image_shape)

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return self._spatial.relative_error

    def covariance_with(self, pixel: tuple[int, int], channel: int = 0) -> FloatArray:
        """Return the covariance of every unknown with one as an image, in intensity^2."""
        self._lattice.unknown(pixel, channel)  # refuses what is off the image
        column: FloatArray = self._spatial.covariance_with(pixel)[..., np.newaxis] * self._covariance[channel]
        return column.reshape(self._lattice.image_shape)

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        planes = self._planes(x)
        mixed = scipy.linalg.solve_triangular(self._L, planes, lower=True)
        return self._images(self._spatial.whiten_vectors(self._rows(mixed)))

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        drawn = self._spatial.unwhiten_in_place(self._rows(self._planes(e)).copy())
        return self._images(self._L @ drawn.reshape(len(self._L), -1))

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        solved = self._spatial.solve_vectors(self._rows(self._planes(b)))
        return self._images(self._covariance @ solved.reshape(len(self._L), -1))

    def _planes(self, x: FloatArray) -> FloatArray:
        """Return images ``(batch, n C)`` with the channels apart, ``(C, batch n)``."""
        channels = len(self._L)
        apart = np.moveaxis(x.reshape(len(x), self._lattice.n_pixels, channels), -1, 0)
        return np.ascontiguousarray(apart).reshape(channels, len(x) * self._lattice.n_pixels)

    def _rows(self, planes: FloatArray) -> FloatArray:
        """Return ``(C, batch n)`` as the spatial factor takes it, ``(C batch, n)``."""
        pixels = self._lattice.n_pixels
        return read_only(planes.reshape(planes.size // pixels, pixels))

    def _images(self, planes: FloatArray) -> FloatArray:
        """Return channels that are apart as images ``(batch, n C)``."""
        channels, pixels = len(self._L), self._lattice.n_pixels
        apart = planes.reshape(channels, planes.size // (channels * pixels), pixels)
        return np.array(np.moveaxis(apart, 0, -1), order="C").reshape(apart.shape[1], pixels * channels)


def channel_covariance(name: str, value: object) -> FloatArray:
    """Return a read-only symmetric positive definite ``(C, C)`` copy."""
    S = np.array(finite(name, real_array(name, value)))
    if S.ndim != 2 or S.shape[0] != S.shape[1] or not S.size:
        raise ArgumentError(f"{name} must be a (C, C) matrix over the channels, got shape {S.shape}.")
    gap = float(np.abs(S - S.T).max())
    if gap > 1e-12 * float(np.abs(S).max()):
        raise ArgumentError(
            f"{name} must be symmetric, got a difference of {gap:g} across the diagonal; pass ({name} + {name}.T) / 2 "
            "if that is what you mean."
        )
    S = (S + S.T) / 2.0
    values = np.linalg.eigvalsh(S)
    if not values[0] > len(S) * np.finfo(np.float64).eps * values[-1]:
        raise ArgumentError(
            f"{name} must be positive definite, got the eigenvalues {values[0]:.3g} to {values[-1]:.3g}; channels that "
            "determine each other have no density: leave one out, or give each some variance of its own."
        )
    S.flags.writeable = False
    return S


def in_blocks(spatial: SymmetricStencil, block: FloatArray) -> SymmetricStencil:
    """Return the stencil whose coefficients are those of `spatial` times one ``(C, C)`` block."""
    channels = len(block)
    given = [spatial.coefficient(k) for k in range(len(spatial.offsets))]
    if channels == 1:
        return spatial * float(block[0, 0])
    coefficients = [coefficient[..., np.newaxis, np.newaxis] * block for coefficient in given]
    return SymmetricStencil(spatial.offsets, coefficients, spatial.shape, channels=channels, boundary=spatial.boundary)


def _check_spatial(lattice: Lattice) -> None:
    if lattice.channels > 1:
        raise ArgumentError(
            f"spatial must have one unknown per pixel, got {lattice.channels}; the channels come from covariance."
        )


def _in_channels(vectors: sp.csr_array, channels: int) -> sp.csr_array:
    """Return columns ``v`` as ``v (x) e_c`` for each channel."""
    return sp.csr_array(sp.kron(vectors, sp.eye_array(channels)))


def _inverse(S: FloatArray) -> FloatArray:
    inverse = scipy.linalg.cho_solve((np.linalg.cholesky(S), True), np.eye(len(S)))
    symmetric: FloatArray = (inverse + inverse.T) / 2.0
    return symmetric
