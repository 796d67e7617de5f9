"""The Cholesky field of two neighbours: its matrices on a small image, and how far its weight can be raised."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import scipy.linalg
from scipy.sparse.linalg import LinearOperator, eigsh

from sparsegmrf._validate import finite, finite_number, integer_at_least, one_of, read_only, real_array
from sparsegmrf.errors import ArgumentError, TooLargeError, UnstableWarning
from sparsegmrf.factors import TriangularFactor
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil import TriangularStencil
from sparsegmrf.typing import ArrayLike, FloatArray, Seed, Shape

LARGEST_SIDE = 64
LARGEST_CURVE_SIDE = 128
_OFFSETS = ((0, 1), (1, 0))  # right and lower neighbour, as column p of L holds them


@dataclass(frozen=True, eq=False)
class Limit:
    """How conditioning and variance of the field grow with its weight, on one image size.

    Attributes
    ----------
    k : (m,) ndarray
        Magnitudes ``|k|`` of the weight; a change of its sign flips signs on a chequerboard and changes neither curve.
    condition : (m,) ndarray
        Condition number of ``Q``: the squared ratio of the largest and smallest singular value of ``L``.
    variance : (m,) ndarray
        Largest marginal variance, in units of the innovation variance.
    """

    k: FloatArray
    condition: FloatArray
    variance: FloatArray

    @classmethod
    def unbounded(cls, k: ArrayLike) -> "Limit":
        """Return the curves of an image without borders, to which those of large images tend where ``|k| < 1/2``.

        Condition number ``((1 + 2|k|)/(1 - 2|k|))^2`` and variance ``1/sqrt(1 - 4 k^2)``; both are infinite from
        ``|k| = 1/2`` on.
        """
        weights = np.abs(np.ravel(finite("k", real_array("k", k))))
        outside = weights >= 0.5
        tame = np.where(outside, 0.0, weights)
        condition = np.where(outside, np.inf, ((1.0 + 2.0 * tame) / (1.0 - 2.0 * tame)) ** 2)
        return cls(weights, condition, np.where(outside, np.inf, 1.0 / np.sqrt(1.0 - 4.0 * tame**2)))


@dataclass(frozen=True, eq=False)
class Experiment:
    """Matrices and a draw of the two-neighbour Cholesky field, and the limit on its weight.

    Attributes
    ----------
    k : float
        Weight of the right and the lower neighbour.
    shape : (int, int)
        Height and width in pixels.
    convention : {"LLt", "LtL"}
        ``"LLt"``: ``Q = L L^T``, ``x = L^-T e``. ``"LtL"``: ``Q = L^T L``, ``x = L^-1 e``.
    cholesky, precision, covariance : (n, n) ndarray
        ``L``, ``Q`` and ``Q^-1``, dense.
    sample : (H, W) ndarray
        One draw of ``N(0, Q^-1)``.
    condition : float
        Condition number of ``Q``.
    largest_variance : float
        Largest marginal variance: the largest diagonal entry of the covariance.
    """

    k: float
    shape: Shape
    convention: str
    cholesky: FloatArray
    precision: FloatArray
    covariance: FloatArray
    sample: FloatArray
    condition: float
    largest_variance: float

    @property
    def limit(self) -> Limit:
        """Condition number and largest marginal variance of this image size against ``|k|``."""
        return _curves(self.shape[0])


def experiment(k: float, size: int = 16, rng: Seed = 0, convention: Literal["LLt", "LtL"] = "LLt") -> Experiment:
    """Build the Cholesky field in which each pixel is tied to its right and its lower neighbour.

    Column ``p`` of ``L`` holds 1 at pixel ``p`` and ``k`` at the pixels to its right and below it; rows do not wrap.
    With ``"LLt"`` the precision is ``Q = L L^T`` and a draw ``x = L^-T e``; with ``"LtL"`` they are ``Q = L^T L`` and
    ``x = L^-1 e``. Both are positive definite for every ``k``, but beyond ``|k| = 1/2`` variances and condition number
    grow geometrically with the size of the image.

    Parameters
    ----------
    k : float
        Weight of the two neighbours, dimensionless, in [-1, 1].
    size : int
        Side of the square image in pixels, 1 to 64; the matrices are dense, ``size^2 x size^2``.
    rng : int, Generator or None
        Seed of the draw.
    convention : {"LLt", "LtL"}
        Which product is the precision.

    Returns
    -------
    Experiment
        The matrices and a draw; the curves are computed when asked for.

    Warns
    -----
    UnstableWarning
        If ``|k| >= 1/2``, with the variance and the condition number reached.

    Raises
    ------
    ArgumentError
        If `k` is outside [-1, 1] or `convention` is another one.
    TooLargeError
        If `size` is above 64.

    References
    ----------
    Dorta et al., Structured uncertainty prediction networks, CVPR 2018, whose factor is ``L`` with ``Q = L L^T``.

    Examples
    --------
    >>> result = experiment(0.3, size=3)
    >>> result.cholesky[:, 0].tolist()
    [1.0, 0.3, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.0]
    >>> bool(np.allclose(result.precision @ result.covariance, np.eye(9)))
    True
    """
    weight = _weight(k)
    side = integer_at_least("size", size, 1)
    one_of("convention", convention, ("LLt", "LtL"))
    if side > LARGEST_SIDE:
        raise TooLargeError(
            f"size must be at most {LARGEST_SIDE}, got {side}: the dense matrices would be {side**2} x {side**2}; "
            "limit_on_weight and GMRF.from_cholesky take any size."
        )
    whitening = _whitening(weight, side, convention)
    A = whitening.tocsr().toarray()
    inverse = scipy.linalg.solve_triangular(A, np.eye(side**2), lower=convention == "LtL")
    covariance = inverse @ inverse.T
    condition = _condition(weight, side)
    largest = float(np.diagonal(covariance).max())
    if abs(weight) >= 0.5:
        warnings.warn(
            f"|k| = {abs(weight):g} is not below 1/2: on {side} x {side} pixels the largest marginal variance is "
            f"{largest:.3g} and the condition number {condition:.3g}, and both grow geometrically with the size.",
            UnstableWarning,
            stacklevel=2,
        )
    return Experiment(
        k=weight,
        shape=(side, side),
        convention=convention,
        cholesky=A.T if convention == "LLt" else A,
        precision=A.T @ A,
        covariance=covariance,
        sample=GMRF.from_whitening(whitening, 0.0).sample(rng=rng),
        condition=condition,
        largest_variance=largest,
    )


def limit_on_weight(size: int, k: ArrayLike | None = None) -> Limit:
    """Compute condition number and largest marginal variance of the two-neighbour Cholesky field against its weight.

    Nothing dense is formed: the extreme eigenvalues come from Lanczos iterations with the recursions, the variances
    from their exact rolling-window form.

    Parameters
    ----------
    size : int
        Side of the square image in pixels, 1 to 128.
    k : (m,) array_like, optional
        Weights in [-1, 1]; their magnitudes are used. 51 values from 0 to 1 if left out.

    Returns
    -------
    Limit
        The curves.

    Raises
    ------
    ArgumentError
        If a weight is outside [-1, 1].
    TooLargeError
        If `size` is above 128.

    Examples
    --------
    >>> curve = limit_on_weight(8, [0.25, 0.75])
    >>> [f"{value:.4g}" for value in curve.variance]
    ['1.155', '1.142e+04']
    """
    side = integer_at_least("size", size, 1)
    if side > LARGEST_CURVE_SIDE:
        raise TooLargeError(
            f"size must be at most {LARGEST_CURVE_SIDE}, got {side}: at |k| = 1 variances grow like 16^size and leave "
            "the range of float64; Limit.unbounded gives the limit of large images."
        )
    weights = np.array([abs(_weight(value)) for value in (np.linspace(0.0, 1.0, 51) if k is None else np.ravel(k))])
    condition = np.array([_condition(weight, side) for weight in weights])
    variance = np.array([TriangularFactor(_whitening(weight, side)).marginal_variance().max() for weight in weights])
    return Limit(weights, condition, variance)


@lru_cache(maxsize=LARGEST_SIDE)
def _curves(side: int) -> Limit:
    """Return the curves of a size, which the weight of an experiment does not change."""
    found = limit_on_weight(side)
    return Limit(*(read_only(values) for values in (found.k, found.condition, found.variance)))


def _weight(k: object) -> float:
    weight = finite_number("k", k)
    if abs(weight) > 1.0:
        raise ArgumentError(
            f"k must lie in [-1, 1], got {weight:g}; the field is tame for |k| < 1/2 only, and beyond 1 a pixel counts "
            "for less than each neighbour: divide diagonal and weights by |k|."
        )
    return weight


def _whitening(k: float, side: int, convention: str = "LLt") -> TriangularStencil:
    """Return ``A``: ``L^T``, row p is column p of L, or ``L``, row p holds the left and upper neighbours."""
    sign = 1 if convention == "LLt" else -1
    return TriangularStencil([(sign * di, sign * dj) for di, dj in _OFFSETS], 1.0, [k, k], (side, side))


def _condition(k: float, side: int) -> float:
    """Return ``cond(Q) = lambda_max(Q) lambda_max(Q^-1)``; ``L L^T`` and ``L^T L`` have the same eigenvalues."""
    if side == 1 or k == 0.0:
        return 1.0
    whitening = _whitening(k, side)
    A, factor = whitening.tocsr(), TriangularFactor(whitening)

    def multiply(x: FloatArray) -> FloatArray:
        return np.asarray(A.T @ (A @ x))

    def solve(b: FloatArray) -> FloatArray:
        return factor.solve(b.reshape(side, side)).ravel()

    return _largest_eigenvalue(multiply, side**2) * _largest_eigenvalue(solve, side**2)


def _largest_eigenvalue(product: Callable[[FloatArray], FloatArray], size: int) -> float:
    start = np.random.default_rng(0).standard_normal(size)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    (value,) = eigsh(operator, k=1, which="LA", v0=start, tol=1e-10, return_eigenvectors=False)
    return float(value)
