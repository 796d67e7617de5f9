"""Covariates that a field does not hold itself, and how far the observed pixels tell them apart."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._null_vectors import NullVectors
from sparsegmrf.typing import FloatArray

_COLLINEAR = 1e-9


@dataclass(frozen=True, eq=False)
class Trend:
    """Covariates that the field does not hold itself, and what the contrasts of null vectors leave of them.

    Attributes
    ----------
    names : tuple of str
        One per covariate.
    columns : ndarray, (p, H, W)
        Covariates.
    deficiency : int
        Number of null vectors of the fields of all images.
    log_null : float
        ``logdet(V_o^T V_o)``.
    log_gram : float
        ``logdet`` of the columns' products on the observed pixels of all images, null vectors projected out.
    """

    names: tuple[str, ...]
    columns: FloatArray
    deficiency: int
    log_null: float
    log_gram: float

    @classmethod
    def of(cls, names: tuple[str, ...], columns: FloatArray, nulls: Sequence[NullVectors]) -> "Trend":
        """Leave out what is in the null space of the prior, and refuse what the observed pixels cannot tell apart."""
        null = nulls[0]
        sizes = np.abs(columns).max(axis=(1, 2), initial=np.finfo(float).tiny)
        X = columns / sizes[:, np.newaxis, np.newaxis]
        lengths = np.linalg.norm(X, axis=(1, 2), keepdims=True) if len(X) else np.zeros((0, 1, 1))
        held = np.linalg.norm(null.remainder(X / np.maximum(lengths, 1e-300)), axis=(1, 2)) <= _COLLINEAR
        kept = np.flatnonzero(~held) if null.count else np.arange(len(X))
        if len(kept):
            left = np.concatenate([each.seen(X[kept]) for each in nulls])
            seen = np.concatenate([X[kept][:, each.observed].T for each in nulls])
            norms, all_of = np.linalg.norm(left, axis=0), np.linalg.norm(seen, axis=0)
            vanish = norms <= _COLLINEAR * all_of
            R = left / np.where(vanish, 1.0, norms)
            smallest = 0.0 if vanish.any() else float(np.linalg.eigvalsh(R.T @ R)[0])
            if smallest < _COLLINEAR:
                raise ArgumentError(_collinear(names, null, smallest))
        found = cls(
            tuple(names[k] for k in kept),
            columns[kept],
            sum(each.count for each in nulls),
            sum(each.logdet for each in nulls),
            0.0,
        )
        return found.with_columns([columns[kept]] * len(nulls), nulls)

    def with_columns(self, columns: Sequence[FloatArray], nulls: Sequence[NullVectors]) -> "Trend":
        """Return the trend of images ``(p, H, W)`` for its covariates, image by image."""
        if not len(self.names):
            return self
        sizes = np.max([np.abs(each).max(axis=(1, 2)) for each in columns], axis=0)
        # Squares in large units are no numbers.
        scaled = [null.seen(each / sizes[:, np.newaxis, np.newaxis]) for each, null in zip(columns, nulls, strict=True)]
        gram = sum(left.T @ left for left in scaled)
        return dataclasses.replace(self, log_gram=float(np.linalg.slogdet(gram)[1] + 2.0 * np.log(sizes).sum()))


def _collinear(names: tuple[str, ...], null: NullVectors, smallest: float) -> str:
    level = " and the level of the field" if null.count else ""
    by_word = set(names) <= {"constant", "row", "column"}
    remedy = 'give covariates="constant"' if by_word and len(names) > 1 else "leave one out"
    return (
        f"covariates must be linearly independent on the observed pixels, got {', '.join(names)}{level} with a "
        f"smallest eigenvalue of their correlation of {max(smallest, 0.0):.2g}: these pixels do not tell them apart; "
        f"{remedy}."
    )
