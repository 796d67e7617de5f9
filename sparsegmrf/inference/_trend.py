"""Covariates that a field does not hold itself, and how far the observed pixels tell them apart."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._combinations import combined, products
from sparsegmrf.inference._null_vectors import NullVectors
from sparsegmrf.inference._observations import pixels_of
from sparsegmrf.typing import BoolArray, FloatArray

_COLLINEAR = 1e-9
"""Least singular value of the correlations' root below which covariates are not told apart."""
_ROUNDING = 1e-11
"""What is left of a covariate beside a level, or beside null vectors, over all of it, that counts as nothing."""
_DIGITS = 16.0 * float(np.finfo(float).eps)
_PASSES = 2
"""The second finds what rounding has left of a covariate that is nearly a combination of others."""
_EXACT = 1e-14


@dataclass(frozen=True, eq=False)
class Trend:
    """Covariates that the field does not hold itself, and what the contrasts of null vectors leave of them.

    What is computed with are combinations ``Z = X M - taken`` of the covariates ``X`` given: of order 1, orthogonal on
    what is observed, and without the level of ``X`` where the field or a constant among the covariates takes it. A
    covariate whose level is large beside its variation, such as a year, keeps its digits so.

    Attributes
    ----------
    names : tuple of str
        One per covariate.
    columns : ndarray, (p, H, W)
        The combinations ``Z``.
    mix : ndarray, (p, p)
        ``M``: the coefficients of ``X`` are ``M`` times those of ``Z``.
    taken : ndarray, (p,)
        Levels that the field holds itself.
    deficiency : int
        Number of null vectors of the fields of all images.
    log_null : float
        ``logdet(V_o^T V_o)``.
    log_gram : float
        ``logdet`` of the columns' products on the observed pixels of all images, null vectors projected out.
    """

    names: tuple[str, ...]
    columns: FloatArray
    mix: FloatArray
    taken: FloatArray
    deficiency: int
    log_null: float
    log_gram: float

    @classmethod
    def of(cls, names: tuple[str, ...], columns: FloatArray, nulls: Sequence[NullVectors]) -> "Trend":
        """Leave out what is in the null space of the prior, and refuse what the observed pixels cannot tell apart."""
        constant = [k for k, column in enumerate(columns) if np.ptp(column) == 0.0]
        of_field = bool(len(columns)) and nulls[0].holds_constants
        levels = np.zeros(len(columns))
        if of_field or constant:
            levels = _middles(columns, nulls)
            levels[[] if of_field else constant[:1]] = 0.0
        X = columns - levels[:, np.newaxis, np.newaxis]
        kept = np.flatnonzero(~_is_held(X, columns, nulls[0]))
        first = [k for k in kept.tolist() if k in constant]
        working, mix = X[kept], np.eye(len(kept))
        if first:
            at = kept.tolist().index(first[0])
            mix[at] -= levels[kept] / columns[first[0]].flat[0]
        if len(kept):
            order = np.argsort([k not in first for k in kept.tolist()], kind="stable")
            limit = _told_apart(names, columns[kept], working, nulls)
            working, own, least = _orthogonal(working[order], nulls)
            if least < limit:
                raise ArgumentError(_collinear(names, nulls[0], least**2))
            back = np.argsort(order)
            working, mix = working[back], mix @ own[np.ix_(back, back)]
        found = cls(
            tuple(names[k] for k in kept),
            working,
            mix,
            levels[kept] @ mix if of_field else np.zeros(len(kept)),
            sum(each.count for each in nulls),
            sum(each.logdet for each in nulls),
            0.0,
        )
        return found.with_columns([working] * len(nulls), nulls)

    def image(self, beta: FloatArray) -> FloatArray:
        """Return the covariates as given times their coefficients, ``(H, W)``, for coefficients of the combinations."""
        return combined(beta, self.columns) + float(beta @ self.taken)

    def combined(self, beta: FloatArray) -> FloatArray:
        """Return the combinations times their coefficients, ``(H, W)``."""
        return combined(beta, self.columns)

    def coefficients(self, beta: FloatArray) -> FloatArray:
        """Return the coefficients of the covariates as given, for those of the combinations."""
        return np.asarray(self.mix @ beta)

    def with_columns(self, columns: Sequence[FloatArray], nulls: Sequence[NullVectors]) -> "Trend":
        """Return the trend of images ``(p, H, W)`` for its covariates, image by image."""
        if not len(self.names):
            return self
        sizes = np.max([np.abs(each).max(axis=(1, 2)) for each in columns], axis=0)
        # Squares in large units are no numbers.
        scaled = [null.seen(each / sizes[:, np.newaxis, np.newaxis]) for each, null in zip(columns, nulls, strict=True)]
        gram = sum(products(left.T, left.T) for left in scaled)
        return dataclasses.replace(self, log_gram=float(np.linalg.slogdet(gram)[1] + 2.0 * np.log(sizes).sum()))


def _middles(columns: FloatArray, nulls: Sequence[NullVectors]) -> FloatArray:
    """Return what lies half-way between the least and the largest value of each covariate on the observed pixels.

    Differences from a number that is near are exact.
    """
    masks = [each.observed for each in nulls]
    seen = pixels_of(columns, np.any(masks, axis=0) if masks[1:] else masks[0])
    return np.asarray(0.5 * seen.min(axis=1) + 0.5 * seen.max(axis=1))


def _is_held(X: FloatArray, given: FloatArray, null: NullVectors) -> BoolArray:
    """Return which covariates, their levels taken off, are combinations of null vectors on the whole lattice."""
    if not null.count or not len(X):
        return np.zeros(len(X), dtype=bool)
    sizes = np.maximum(np.abs(given).max(axis=(1, 2)), np.finfo(float).tiny)[:, np.newaxis, np.newaxis]
    all_of = np.linalg.norm(given / sizes, axis=(1, 2))
    return np.asarray(np.linalg.norm(null.remainder(X / sizes), axis=(1, 2)) <= _ROUNDING * all_of)


def _told_apart(names: tuple[str, ...], given: FloatArray, X: FloatArray, nulls: Sequence[NullVectors]) -> float:
    """Return the singular value up to which the covariates are combinations of each other but for rounding.

    Those that vanish on the observed pixels beside their level and the null vectors are refused.
    """
    sizes = np.maximum(np.abs(given).max(axis=(1, 2)), np.finfo(float).tiny)[:, np.newaxis, np.newaxis]
    left = np.sqrt(sum(np.sum(each.seen(X / sizes) ** 2, axis=0) for each in nulls))
    all_of = np.sqrt(sum(np.sum(pixels_of(given / sizes, each.observed) ** 2, axis=1) for each in nulls))
    if (left <= _ROUNDING * all_of).any():
        raise ArgumentError(_collinear(names, nulls[0], 0.0))
    return max(_COLLINEAR, _DIGITS * float((all_of / left).max()))


def _orthogonal(X: FloatArray, nulls: Sequence[NullVectors]) -> tuple[FloatArray, FloatArray, float]:
    """Return combinations ``Z = X M`` of order 1 and orthogonal on the contrasts, ``M``, and how near ``X`` is to less.

    ``M`` is upper triangular, by Gram-Schmidt's rule ``N R`` with ``Z = N diag(R)``. The last is the least singular
    value of the columns at length 1.
    """
    mix, least = np.eye(len(X)), 1.0
    for number in range(_PASSES):
        sizes = np.array([power_of_two(float(np.abs(column).max())) for column in X])
        X, mix = X / sizes[:, np.newaxis, np.newaxis], mix / sizes
        if len(X) == 1:
            break
        left = np.concatenate([each.seen(X) for each in nulls])
        lengths = np.linalg.norm(left, axis=0)
        R = np.linalg.qr(left / lengths, mode="r")
        if number == 0:
            least = float(np.linalg.svd(R, compute_uv=False)[-1])
            if least < _DIGITS:
                break
        by_row = R / np.diagonal(R)[:, np.newaxis] * lengths / lengths[:, np.newaxis]
        back = np.linalg.inv(np.where(np.abs(by_row) > _EXACT, by_row, 0.0))
        X, mix = combined(back.T, X), mix @ back
    return np.asarray(X), mix, least


def power_of_two(size: float) -> float:
    """Return the power of two next to a size, 1 for zero."""
    return float(2.0 ** np.round(np.log2(size))) if size > 0.0 else 1.0


def _collinear(names: tuple[str, ...], null: NullVectors, smallest: float) -> str:
    level = " and the level of the field" if null.count else ""
    by_word = set(names) <= {"constant", "row", "column"}
    remedy = 'give covariates="constant"' if by_word and len(names) > 1 else "leave one out"
    return (
        f"covariates must be linearly independent on the observed pixels, got {', '.join(names)}{level} with a "
        f"smallest eigenvalue of their correlation of {max(smallest, 0.0):.2g}: these pixels do not tell them apart; "
        f"{remedy}."
    )
