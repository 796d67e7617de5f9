"""The mean of a stack: a trend that all pixels share, and seasons that differ between them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf._validate import integer_at_least, one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray, IntArray, Shape

_WHOLE_YEAR = 330.0
"""Days that dates must span for a season to be told from what has happened once."""
_PER_FUNCTION = 4
"""Dates per function of the season that are taken without being asked."""
_MOST = 2
"""Most harmonics that are taken without being asked."""
_COLLINEAR = 1e-7
"""Least singular value of covariates of length one below which they are not told apart."""


@dataclass(frozen=True, eq=False)
class Seasons:
    """Functions of the day of the year, and the trend's covariates.

    Attributes
    ----------
    harmonics : int or None
        Sines and cosines with periods of a year over 1, 2, ...; 0 is a level by pixel alone; None: pixels have no
        coefficients of their own.
    covariates : str or None
        ``"constant"``, ``"linear"`` (rows and columns), or None.
    shape : (int, int)
        Height and width of the whole image, from whose middle rows and columns count.
    year : float
        Days of a year in the calendar of the dates.
    """

    harmonics: int | None
    covariates: str | None
    shape: Shape
    year: float

    @classmethod
    def of(cls, harmonics: Any, covariates: Any, days: FloatArray, shape: Shape, year: float) -> "Seasons":
        """Return the seasons that arguments stand for.

        Raises
        ------
        ArgumentError
            If `harmonics` are no number, ``"auto"`` or None, or `covariates` another word.
        """
        if covariates is not None:
            one_of("covariates", covariates, ("constant", "linear"))
        if isinstance(harmonics, str):
            one_of("harmonics", harmonics, ("auto",))
            return cls(_chosen(days), covariates, shape, year)
        return cls(None if harmonics is None else integer_at_least("harmonics", harmonics, 0), covariates, shape, year)

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Coefficients that have one deviation: the level, and both functions of each harmonic."""
        if self.harmonics is None:
            return ()
        return ((0,), *((2 * j - 1, 2 * j) for j in range(1, self.harmonics + 1)))

    @property
    def deviations(self) -> list[str]:
        """Names of the deviations of the groups."""
        return [] if self.harmonics is None else ["sd_level", *(f"sd_harmonic_{j + 1}" for j in range(self.harmonics))]

    @property
    def names(self) -> list[str]:
        """Names of the trend's coefficients."""
        found = {None: [], "constant": ["constant"], "linear": ["constant", "row", "column"]}[self.covariates]
        return found + [f"{part}_{j + 1}" for j in range(self._shared) for part in ("cos", "sin")]

    def basis(self, days: FloatArray) -> FloatArray:
        """Return the functions at dates, ``(U, K)``."""
        if self.harmonics is None:
            return np.zeros((len(days), 0))
        return np.hstack([np.ones((len(days), 1)), _waves(days / self.year, self.harmonics)])

    def columns(self, days: FloatArray, rows: IntArray, columns: IntArray) -> FloatArray:
        """Return the trend's covariates ``(p, U, n)`` at dates on the pixels of some rows and columns."""
        n = len(rows) * len(columns)
        found = []
        if self.covariates is not None:
            found.append(np.ones((len(days), n)))
        if self.covariates == "linear":
            middle = [(side - 1) / 2.0 for side in self.shape]
            i, j = np.meshgrid(rows - middle[0], columns - middle[1], indexing="ij")
            found += [np.broadcast_to(each.ravel(), (len(days), n)) for each in (i, j)]
        found += [np.repeat(wave[:, np.newaxis], n, axis=1) for wave in _waves(days / self.year, self._shared).T]
        return np.array(found).reshape(len(found), len(days), n)

    @property
    def _shared(self) -> int:
        """Harmonics whose mean over the pixels is a coefficient of the trend."""
        return 0 if self.covariates is None or self.harmonics is None else self.harmonics


def _waves(years: FloatArray, harmonics: int) -> FloatArray:
    """Return cosine and sine of each harmonic, ``(U, 2 harmonics)``."""
    angle = 2.0 * math.pi * np.asarray(years)[:, np.newaxis]
    parts = [wave(j * angle) for j in range(1, harmonics + 1) for wave in (np.cos, np.sin)]
    return np.hstack(parts) if parts else np.zeros((len(years), 0))


def _chosen(days: FloatArray) -> int | None:
    """Return the harmonics that dates can tell: none within a year, and no more than a function per some dates."""
    dates = len(np.unique(days))
    if dates < _PER_FUNCTION:
        return None
    if np.ptp(days) < _WHOLE_YEAR:
        return 0
    return int(min(_MOST, max(0, (dates // _PER_FUNCTION - 1) // 2)))


def check_told_apart(columns: FloatArray, names: list[str], weight: FloatArray) -> None:
    """Refuse covariates of which the observations do not tell one from the others."""
    if not are_told_apart(columns, weight):
        seen = weight > 0.0
        raise ArgumentError(
            f"covariates and harmonics must be told apart by the observations, got {', '.join(names)} on {seen.sum()} "
            f"pixels at {int(seen.any(axis=1).sum())} dates; take fewer harmonics, or covariates=None."
        )


def are_told_apart(columns: FloatArray, weight: FloatArray) -> bool:
    """Return whether the observations, of positive weight ``(U, n)``, tell one covariate from the others."""
    if not len(columns):
        return True
    X = columns[:, weight > 0.0]
    sizes = np.maximum(np.linalg.norm(X, axis=1), np.finfo(float).tiny)
    values = np.linalg.svd(X / sizes[:, np.newaxis], compute_uv=False)
    return bool(len(values) == len(X) and values[-1] >= _COLLINEAR)
