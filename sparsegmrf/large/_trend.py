"""The trend of a raster: covariates by windows, and what least squares take off the data first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.large._geometry import Window
from sparsegmrf.large._raster import Raster
from sparsegmrf.models import Intrinsic, Model, Sum
from sparsegmrf.typing import FloatArray, Shape

_WORDS = {"linear": ("constant", "row", "column"), "constant": ("constant",)}


@dataclass(frozen=True, eq=False)
class Trend:
    """Level and slopes, of order 1 on the raster, that the field does not hold itself.

    Attributes
    ----------
    shape : (int, int)
        Of the raster.
    names : tuple of str
        Covariates whose coefficients are estimated: of ``"constant"``, ``"row"`` and ``"column"``.
    held : tuple of str
        Those that are in the null space of the field, whose share of the data is the field's own.
    taken : ndarray, (held + names,)
        Coefficients that least squares on the observed pixels take off the data before anything else.
    n_observed : int
        Pixels that these are.
    level : float
        What is known of the mean, and taken off first.
    """

    shape: Shape
    names: tuple[str, ...]
    held: tuple[str, ...]
    taken: FloatArray
    n_observed: int = 0
    level: float = 0.0

    @classmethod
    def of(cls, word: object, model: Model, raster: Raster, windows: Sequence[Window], level: float = 0.0) -> "Trend":
        """Return the trend of a raster, its least-squares part estimated window by window.

        Raises
        ------
        ArgumentError
            If `word` is unknown, or the observed pixels do not tell the covariates apart.
        """
        found = cls.asked(word, model, raster.shape, level)
        return found.with_sums([found.sums(raster, window) for window in windows])

    @classmethod
    def asked(cls, word: object, model: Model, shape: Shape, level: float = 0.0) -> "Trend":
        """Return the trend before anything is estimated."""
        asked = () if word is None else _WORDS[one_of("covariates", word, tuple(_WORDS))]
        names = [name for name in asked if name == "constant" or shape[name == "column"] > 1]
        held = [each for each in held_by(model) if each == "constant" or shape[each == "column"] > 1]
        kept = tuple(each for each in names if each not in held)
        return cls(shape, kept, tuple(held), np.zeros(len(held) + len(kept)), level=level)

    @property
    def scales(self) -> FloatArray:
        """What the covariates as given, in pixels from the middle, are divided by; of `held` and `names`."""
        sizes = {"constant": 1.0, "row": max(1.0, (self.shape[0] - 1) / 2), "column": max(1.0, (self.shape[1] - 1) / 2)}
        return np.array([sizes[name] for name in (*self.held, *self.names)])

    def columns(self, window: Window) -> FloatArray:
        """Return the covariates on a window, ``(p, h, w)``."""
        return self._all(window)[len(self.held) :]

    def removed(self, window: Window) -> FloatArray:
        """Return what was taken off the data, ``(h, w)``."""
        return self.level + np.tensordot(self.taken, self._all(window), 1)

    def coefficients(self, beta: FloatArray) -> dict[str, float]:
        """Return the coefficients of the covariates as given, in intensity and intensity per pixel."""
        whole = (self.taken[len(self.held) :] + beta) / self.scales[len(self.held) :]
        return dict(zip(self.names, whole.tolist(), strict=True))

    def errors(self, covariance: FloatArray) -> dict[str, float]:
        """Return the standard errors of these coefficients."""
        found = np.sqrt(np.diagonal(covariance)) / self.scales[len(self.held) :]
        return dict(zip(self.names, found.tolist(), strict=True))

    def _all(self, window: Window) -> FloatArray:
        rows = np.arange(window.top, window.bottom)[:, np.newaxis] - (self.shape[0] - 1) / 2.0
        columns = np.arange(window.left, window.right) - (self.shape[1] - 1) / 2.0
        images = {"constant": np.ones(window.shape), "row": rows, "column": columns}
        names = (*self.held, *self.names)
        found = np.array([np.broadcast_to(images[name], window.shape) for name in names]).reshape(-1, *window.shape)
        return found / self.scales[:, np.newaxis, np.newaxis]

    def sums(self, raster: Raster, window: Window) -> "Sums":
        """Return what a window adds to the normal equations."""
        seen = raster.seen(window)
        X, y = self._all(window)[:, seen.observed], seen.values[seen.observed] - self.level
        return Sums(X @ X.T, X @ y, float(y @ y), int(seen.observed.sum()))

    def with_sums(self, parts: "Sequence[Sums]") -> "Trend":
        """Return the trend with the least-squares coefficients of all windows.

        Raises
        ------
        ArgumentError
            If no pixel is observed, or these do not tell the covariates apart.
        """
        observed = sum(each.observed for each in parts)
        if not observed:
            raise ArgumentError("image must have an observed pixel, but all are missing; check the mask.")
        if not len(self.taken):
            return replace(self, n_observed=observed)
        values, vectors = np.linalg.eigh(np.sum([each.gram for each in parts], axis=0) / observed)
        if values[0] <= 1e-12:
            raise ArgumentError(
                "covariates must be linearly independent on the observed pixels, got "
                f"{', '.join(self.held + self.names)} with a smallest eigenvalue of {max(values[0], 0.0):.1e} of their "
                f'products on {observed} pixels; give covariates="constant", or None.'
            )
        right = np.sum([each.right for each in parts], axis=0)
        return replace(self, taken=vectors @ ((vectors.T @ right) / (values * observed)), n_observed=observed)


class Sums(NamedTuple):
    """What a window adds to the normal equations: products of covariates, with the data, of these; observed pixels."""

    gram: FloatArray
    right: FloatArray
    squares: float
    observed: int


def held_by(model: Model) -> tuple[str, ...]:
    """Return the covariates in the null space of what is observed of a model."""
    if isinstance(model, Sum):
        weighted = zip(model.models, model.observation.tolist(), strict=True)
        found = [held_by(each) for each, weight in weighted if weight]
        return max(found, key=len, default=())
    if not getattr(model, "is_intrinsic", False):
        return ()
    return _WORDS["linear"] if isinstance(model, Intrinsic) and model.order == 2 else ("constant",)
