"""Gaussian vectors of a few unknowns, dense: the small-problem counterpart of `GMRF` and its oracle."""

import os
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._validate import finite, generator, read_only, real_array, sample_size
from sparsegmrf.errors import ArgumentError, FileError, TooLargeError
from sparsegmrf.pixels._covariance import cholesky_of
from sparsegmrf.pixels._maps import LOG_2PI
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray, Seed

LARGEST = 4096
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class DenseGaussian:
    """Gaussian vector ``x ~ N(m, S)`` of ``k`` unknowns, held by the Cholesky factor of ``S`` or of ``S^-1``.

    ``S = L L^T`` (``whiten(x) = L^-1 (x - m)``), or ``S^-1 = R R^T`` (``whiten(x) = R^T (x - m)``); nothing is
    inverted. Construct it by `from_covariance`, `from_precision` or `from_factor`. At most 4096 unknowns: more
    belong in a `GMRF`.

    Attributes
    ----------
    mean : ndarray, (k,)
        Mean.
    factor : ndarray, (k, k)
        Lower triangular ``L`` or ``R``; read-only.
    of_precision : bool
        Whether `factor` is that of the precision.

    Examples
    --------
    >>> field = DenseGaussian.from_covariance([[2.0, 1.0], [1.0, 2.0]])
    >>> round(float(field.logpdf([0.5, -0.5])), 6), field.conditional([1], [2.0]).mean.round(6).tolist()
    (-2.637183, [1.0])
    """

    mean: FloatArray
    factor: FloatArray
    of_precision: bool

    @classmethod
    def from_covariance(cls, covariance: ArrayLike, mean: ArrayLike = 0.0) -> "DenseGaussian":
        """Return the Gaussian with a covariance ``(k, k)``, symmetric and positive definite.

        Raises
        ------
        ArgumentError
            If it is not a finite symmetric matrix.
        SingularCovarianceError
            If a direction has no variance; names it.
        """
        matrix = _symmetric("covariance", covariance)
        return cls._of(cholesky_of(matrix, "leave out an unknown, or give the direction a variance"), mean, False)

    @classmethod
    def from_precision(cls, precision: ArrayLike, mean: ArrayLike = 0.0) -> "DenseGaussian":
        """Return the Gaussian with a precision ``(k, k)``; requirements and errors as for `from_covariance`."""
        matrix = _symmetric("precision", precision)
        return cls._of(cholesky_of(matrix, "give the direction a prior"), mean, True)

    @classmethod
    def from_factor(cls, factor: ArrayLike, mean: ArrayLike = 0.0, *, of_precision: bool = False) -> "DenseGaussian":
        """Return the Gaussian whose covariance (or precision) is ``L L^T``.

        Parameters
        ----------
        factor : array_like, (k, k)
            Lower triangular with a positive diagonal.
        mean : float or array_like, (k,)
            Mean.
        of_precision : bool
            Whether the product is the precision.

        Raises
        ------
        ArgumentError
            If `factor` is not such a matrix.
        """
        L = _square("factor", factor)
        if np.triu(L, 1).any():
            raise ArgumentError("factor must be lower triangular, got entries above the diagonal; transpose it?")
        if not (np.diagonal(L) > 0.0).all():
            raise ArgumentError(
                f"factor must have a positive diagonal, got {np.diagonal(L).min()}; a zero one is singular."
            )
        return cls._of(L, mean, of_precision)

    @property
    def size(self) -> int:
        """Number of unknowns ``k``."""
        return len(self.mean)

    @property
    def logdet(self) -> float:
        """Log-determinant of the *precision*, as everywhere in this package."""
        half = float(np.log(np.diagonal(self.factor)).sum())
        return 2.0 * half if self.of_precision else -2.0 * half

    def covariance(self) -> FloatArray:
        """Return ``S``, ``(k, k)``."""
        return self._inverse() if self.of_precision else self.factor @ self.factor.T

    def precision(self) -> FloatArray:
        """Return ``S^-1``, ``(k, k)``."""
        return self.factor @ self.factor.T if self.of_precision else self._inverse()

    def whiten(self, x: ArrayLike) -> FloatArray:
        """Return a white vector of unit variance for every row of ``x - m``, ``(..., k)``."""
        rows = self._rows("x", x)
        centred = (rows - self.mean).reshape(-1, self.size)
        if self.of_precision:
            return np.ascontiguousarray(centred @ self.factor).reshape(rows.shape)
        white = scipy.linalg.solve_triangular(self.factor, centred.T, lower=True).T
        return np.ascontiguousarray(white).reshape(rows.shape)

    def unwhiten(self, e: ArrayLike) -> FloatArray:
        """Return ``x`` with ``whiten(x) = e``, ``(..., k)``."""
        rows = self._rows("e", e)
        flat = rows.reshape(-1, self.size)
        if self.of_precision:
            x = scipy.linalg.solve_triangular(self.factor, flat.T, lower=True, trans="T").T
        else:
            x = flat @ self.factor.T
        return np.ascontiguousarray(x).reshape(rows.shape) + self.mean

    def mahalanobis(self, x: ArrayLike) -> FloatArray | float:
        """Return the squared Mahalanobis distance of every row, ``(...)``; a float for one vector."""
        white = self.whiten(x)
        squares = np.einsum("...k,...k->...", white, white)
        return squares if squares.ndim else float(squares)

    def logpdf(self, x: ArrayLike) -> FloatArray | float:
        """Return the log-density of every row in nats, ``(...)``; a float for one vector."""
        return 0.5 * (self.logdet - self.size * LOG_2PI - self.mahalanobis(x))

    def entropy(self) -> float:
        """Return the differential entropy ``k/2 (1 + log 2 pi) - logdet/2``, in nats."""
        return 0.5 * (self.size * (1.0 + LOG_2PI) - self.logdet)

    def sample(self, size: int | tuple[int, ...] | None = None, rng: Seed = None) -> FloatArray:
        """Draw ``(*size, k)``; the same seed gives the same draw."""
        return self.unwhiten(generator(rng).standard_normal((*sample_size(size), self.size)))

    def marginal(self, kept: ArrayLike) -> "DenseGaussian":
        """Return the Gaussian of some unknowns, in the order given.

        Parameters
        ----------
        kept : array_like of int
            Indices of the unknowns.
        """
        index = self._indices("kept", kept)
        if not self.of_precision:
            rows = self.factor[index]
            return DenseGaussian._of(_lower(rows), self.mean[index], False)
        # S_aa = (R^-T R^-1)_aa = B^T B with B the columns of R^-1 at a.
        unit = np.zeros((self.size, len(index)))
        unit[index, np.arange(len(index))] = 1.0
        columns = scipy.linalg.solve_triangular(self.factor, unit, lower=True)
        return DenseGaussian._of(_lower(columns.T), self.mean[index], False)

    def conditional(self, observed: ArrayLike, values: ArrayLike) -> "DenseGaussian":
        """Return the Gaussian of the other unknowns, in their order, given the values of some.

        By the Cholesky factor with the observed unknowns first, ``[[L_oo, 0], [L_uo, L_uu]]``: mean
        ``m_u + L_uo L_oo^-1 (x_o - m_o)``, factor ``L_uu``; from a precision, mean ``m_u - Q_uu^-1 Q_uo (x_o - m_o)``.

        Parameters
        ----------
        observed : array_like of int, (o,)
            Indices of the observed unknowns, fewer than all.
        values : array_like, (o,)
            Their values.

        Raises
        ------
        ArgumentError
            If an index is off, repeated, or nothing would be left.
        """
        index = self._indices("observed", observed)
        known = finite("values", real_array("values", values))
        if known.shape != (len(index),):
            raise ArgumentError(f"values must have shape ({len(index)},) like observed, got {known.shape}.")
        rest = np.setdiff1d(np.arange(self.size), index)
        if not len(rest):
            raise ArgumentError("observed must leave out an unknown, got all of them; nothing is left to describe.")
        gap = known - self.mean[index]
        if self.of_precision:
            coupling = self.factor[rest] @ (self.factor[index].T @ gap)  # Q_uo (x_o - m_o) with Q = R R^T
            root = _lower(self.factor[rest])
            return DenseGaussian._of(root, self.mean[rest] - scipy.linalg.cho_solve((root, True), coupling), True)
        L = _lower(self.factor[np.concatenate([index, rest])])
        o = len(index)
        shift = L[o:, :o] @ scipy.linalg.solve_triangular(L[:o, :o], gap, lower=True) if o else 0.0
        return DenseGaussian._of(np.ascontiguousarray(L[o:, o:]), self.mean[rest] + shift, False)

    def save(self, path: PathLike) -> None:
        """Write mean and factor to a NumPy ``.npz`` file, every digit kept, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                sparsegmrf_dense_gaussian=_FORMAT,
                mean=self.mean,
                factor=self.factor,
                of_precision=self.of_precision,
            )

    @classmethod
    def load(cls, path: PathLike) -> "DenseGaussian":
        """Read what `save` wrote.

        Raises
        ------
        FileError
            If the file is missing or holds no such Gaussian.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                if int(content["sparsegmrf_dense_gaussian"]) != _FORMAT:
                    raise KeyError("a known format")
                mean, factor, of_precision = content["mean"], content["factor"], bool(content["of_precision"])
        except Exception as error:  # np.load raises by what the file happens to hold
            raise FileError(
                f"path must name a Gaussian written by save, got {os.fspath(path)}, which cannot be read: {error}"
            ) from error
        return cls.from_factor(factor, mean, of_precision=of_precision)

    @classmethod
    def _of(cls, factor: FloatArray, mean: ArrayLike, of_precision: bool) -> "DenseGaussian":
        k = len(factor)
        given = finite("mean", real_array("mean", mean))
        if given.shape not in [(), (k,)]:
            raise ArgumentError(f"mean must be a number or have shape ({k},), got {given.shape}.")
        return cls(read_only(np.broadcast_to(given, (k,)).copy()), read_only(factor.copy()), of_precision)

    def _rows(self, name: str, value: ArrayLike) -> FloatArray:
        rows = finite(name, real_array(name, value))
        if rows.ndim < 1 or rows.shape[-1] != self.size:
            raise ArgumentError(f"{name} must have shape (..., {self.size}), got {rows.shape}; unknowns come last.")
        return rows

    def _indices(self, name: str, value: ArrayLike) -> IntArray:
        given = np.asarray(value)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise ArgumentError(f"{name} must be a list of indices from 0 to {self.size - 1}, got {value!r}.")
        index = given.astype(np.int64)
        if index.size and (index.min() < 0 or index.max() >= self.size or len(np.unique(index)) < len(index)):
            raise ArgumentError(f"{name} must be different indices from 0 to {self.size - 1}, got {index.tolist()}.")
        return index

    def _inverse(self) -> FloatArray:
        root = scipy.linalg.solve_triangular(self.factor, np.eye(self.size), lower=True)
        return np.asarray(root.T @ root)


def _lower(rows: FloatArray) -> FloatArray:
    """Return lower triangular ``L`` with positive diagonal and ``L L^T = B B^T``, by QR of ``B^T``."""
    if not len(rows):
        return np.empty((0, 0))
    upper = np.linalg.qr(rows.T, mode="r")
    signs = np.where(np.diagonal(upper) < 0.0, -1.0, 1.0)
    return np.ascontiguousarray((signs[:, np.newaxis] * upper).T)


def _square(name: str, value: ArrayLike) -> FloatArray:
    matrix = finite(name, real_array(name, value))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ArgumentError(f"{name} must have shape (k, k), got {matrix.shape}.")
    if len(matrix) > LARGEST:
        raise TooLargeError(f"DenseGaussian takes at most {LARGEST} unknowns, got {len(matrix)}; use a GMRF.")
    return matrix


def _symmetric(name: str, value: ArrayLike) -> FloatArray:
    matrix = _square(name, value)
    gap = float(np.abs(matrix - matrix.T).max())
    if gap > 1e-10 * float(np.abs(matrix).max()):
        raise ArgumentError(
            f"{name} must be symmetric, got entries that differ by {gap:.3g}; average it with its transpose."
        )
    return matrix
