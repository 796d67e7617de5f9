"""Estimates of linear combinations, with their joint covariance."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf._validate import positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._contrast import read_contrasts
from sparsegmrf.inference._scores import half_width
from sparsegmrf.typing import FloatArray

_RANK = 1e-9
"""Singular value of combinations of unit variance, over the largest, below which one depends on the others."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LinearEstimate:
    """Estimates of linear combinations of what was fitted: area means, sums, differences, marginal means.

    The parameters of the model are taken as known; the uncertainty of the trend's coefficients is in the covariance.

    Attributes
    ----------
    names : tuple of str
        One per combination, in the order of `covariance`; of several images the combinations of the first come first.
    estimate : float or ndarray, (K,) or (R, K)
        Expectations given the observations, in intensity; of counts on the scale of the linear predictor. A float for
        one combination given without a leading axis.
    covariance : ndarray, (K, K)
        Joint covariance of all combinations, in intensity^2.
    """

    names: tuple[str, ...]
    estimate: float | FloatArray
    covariance: FloatArray

    @property
    def standard_error(self) -> float | FloatArray:
        """Roots of the diagonal of `covariance`, of the shape of `estimate`, in intensity."""
        errors = np.sqrt(np.diagonal(self.covariance))
        return errors.reshape(np.shape(self.estimate)) if np.ndim(self.estimate) else float(errors[0])

    def interval(self, level: float = 0.95) -> tuple[float | FloatArray, float | FloatArray]:
        """Return the normal intervals ``estimate -+ z standard_error``.

        Parameters
        ----------
        level : float
            Probability between 0 and 1, of each interval by itself.

        Returns
        -------
        low, high : float or ndarray
            Of the shape of `estimate`.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1.
        """
        half = half_width(level) * self.standard_error
        return self.estimate - half, self.estimate + half

    def contrast(self, L: Any) -> "Contrast":
        """Return linear combinations of the estimates with their covariance, and tests of their being zero.

        Parameters
        ----------
        L : array_like, (J, K) or (K,), or dict, or list of dict
            Weights of the estimates in the order of `names`, or by name; several in a list, or with names of their own
            in a dict of dicts.

        Returns
        -------
        Contrast
            NaN where an estimate in it is.

        Raises
        ------
        ArgumentError
            If `L` has another shape, names no estimate, is not finite or zero throughout.
        """
        names, weights = read_contrasts(L, self.names, "estimates")
        known = np.isfinite(np.diagonal(self.covariance))
        root = weights[:, known] @ symmetric_root(self.covariance[np.ix_(known, known)])
        estimate = weights[:, known] @ np.ravel(self.estimate)[known]
        lost = weights[:, ~known].any(axis=1)
        estimate[lost], root[lost] = np.nan, np.nan
        return Contrast(names=names, estimate=estimate, covariance=root @ root.T, _root=root)

    def pairwise(self) -> "Contrast":
        """Return the differences of all pairs of estimates, each less every later one.

        Raises
        ------
        ArgumentError
            If there are fewer than two estimates.
        """
        first, second = np.triu_indices(len(self.names), 1)
        if not len(first):
            raise ArgumentError(f"there must be two estimates for a difference, got {len(self.names)}.")
        one = np.eye(len(self.names))
        names = [f"{self.names[i]} - {self.names[j]}" for i, j in zip(first, second, strict=True)]
        found = self.contrast(one[first] - one[second])
        return replace(found, names=tuple(names))

    def summary(self, level: float = 0.95) -> str:
        """Return a table of estimates, standard errors and intervals, one row per combination, as text."""
        low, high = (np.ravel(end).tolist() for end in self.interval(level))
        columns = {
            "estimate": np.ravel(self.estimate).tolist(),
            "std. error": np.ravel(self.standard_error).tolist(),
            f"{50.0 * (1.0 - level):.4g}%": low,
            f"{50.0 * (1.0 + level):.4g}%": high,
            **self._more_columns(),
        }
        width = max(16, *(len(name) + 1 for name in self.names)) if self.names else 16
        lines = ["".join([" " * width, *(f"{title:>14}" for title in columns)])]
        for name, *row in zip(self.names, *columns.values(), strict=True):
            lines.append("".join([f"{name:>{width}}", *(f"{value:14.6g}" for value in row)]))
        return "\n".join(lines)

    def _more_columns(self) -> dict[str, list[float]]:
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}\n{self.summary()}"


class WaldTest(NamedTuple):
    """Test of all combinations being zero together.

    Attributes
    ----------
    statistic : float
        ``e^T C^- e`` with estimates ``e`` and their covariance ``C``, to be compared with chi-squared; with
        `denominator_df` it is divided by `df`, to be compared with F.
    df : int
        Rank of ``C``: combinations that do not depend on each other.
    denominator_df : float
        Denominator's degrees of freedom; infinite for chi-squared.
    p_value : float
        Probability of a larger statistic where all combinations are zero.
    """

    statistic: float
    df: int
    denominator_df: float
    p_value: float


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Contrast(LinearEstimate):
    """Linear combinations ``L beta`` of the coefficients of a trend, with tests of their being zero.

    Attributes
    ----------
    names, estimate, covariance
        As of a `LinearEstimate`.
    """

    _root: FloatArray = field(repr=False)

    @property
    def z(self) -> float | FloatArray:
        """Estimates over their standard errors."""
        with np.errstate(divide="ignore", invalid="ignore"):  # of what is known
            return np.divide(self.estimate, self.standard_error)

    @property
    def p_value(self) -> float | FloatArray:
        """Probabilities of a larger ``|z|`` where a combination is zero, each by itself, by the normal distribution."""
        from scipy.special import ndtr

        values = 2.0 * ndtr(-np.abs(self.z))
        return np.asarray(values) if np.ndim(self.estimate) else float(values)

    def wald_test(self, denominator_df: float | None = None) -> WaldTest:
        """Test whether all combinations are zero together.

        Parameters
        ----------
        denominator_df : float, optional
            Degrees of freedom of the variances, for an F test: the observed pixels less the coefficients are an upper
            bound, which neighbours that are alike do not reach. By default the test is that of chi-squared, in which
            the parameters of the model count as known.

        Returns
        -------
        WaldTest
            NaN where the covariance is.

        Raises
        ------
        ArgumentError
            If `denominator_df` is not positive.
        """
        from scipy.special import chdtrc, fdtrc

        below = np.inf if denominator_df is None else positive_number("denominator_df", denominator_df)
        if not np.isfinite(self._root).all():
            return WaldTest(np.nan, len(self.names), below, np.nan)
        lengths, estimate = np.linalg.norm(self._root, axis=1), np.ravel(self.estimate)
        varies = lengths > 0.0
        U, s, _ = np.linalg.svd(self._root[varies] / lengths[varies, np.newaxis], full_matrices=False)
        kept = s > _RANK * s.max(initial=0.0)
        standardized = (U.T @ (estimate[varies] / lengths[varies]))[kept] / s[kept]
        square, df = float(standardized @ standardized), int(np.count_nonzero(kept))
        if estimate[~varies].any():  # known not to be zero
            return WaldTest(np.inf, df, below, 0.0)
        if not df:
            return WaldTest(np.nan, df, below, np.nan)
        if denominator_df is None:
            return WaldTest(square, df, below, float(chdtrc(df, square)))
        return WaldTest(square / df, df, below, float(fdtrc(df, below, square / df)))

    def _more_columns(self) -> dict[str, list[float]]:
        return {"z": np.ravel(self.z).tolist(), "p value": np.ravel(self.p_value).tolist()}


def symmetric_root(covariance: FloatArray) -> FloatArray:
    """Return a root ``R`` with ``R R^T`` the covariance; NaN where that is.

    It is made of the symmetric root of the correlations: rounding does not turn that about as it does eigenvectors.
    """
    if not np.isfinite(covariance).all():
        return np.full(covariance.shape, np.nan)
    lengths = np.sqrt(np.diagonal(covariance))
    scale = np.where(lengths > 0.0, lengths, 1.0)
    values, directions = np.linalg.eigh(covariance / np.outer(scale, scale))
    return np.asarray(lengths[:, np.newaxis] * ((directions * np.sqrt(np.maximum(values, 0.0))) @ directions.T))
