"""Categorical covariates: labels of pixels, coded as contrasts between their levels."""

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sparsegmrf._axes import is_labelled
from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

CONTRASTS = ("treatment", "sum")


@dataclass(frozen=True, eq=False, repr=False)
class Categorical:
    """Labels of pixels, and how differences between their levels are coded; `factor` makes it.

    Attributes
    ----------
    name : str
        What it is called; its columns are ``name[level]``.
    labels : array_like, (H, W)
        As given; None where a masked array masked them.
    levels : tuple of str
        In their order; the first is the reference of ``"treatment"``.
    contrasts : str
        ``"treatment"`` or ``"sum"``.
    """

    name: str
    labels: Any
    levels: tuple[str, ...]
    contrasts: str

    def __repr__(self) -> str:
        return f"factor({self.name!r}, levels={list(self.levels)}, contrasts={self.contrasts!r})"

    def codes(self, labels: Any) -> IntArray:
        """Return the numbers of the levels of labels of any shape, -1 where there is no label."""
        values = np.asarray(labels)
        codes = np.full(values.shape, -1, dtype=np.int64)
        known, number = ~missing_labels(labels), {level: k for k, level in enumerate(self.levels)}
        codes[known] = [number[each] for each in _texts(values[known])]
        return codes

    def coding(self, *, every_level: bool) -> tuple[tuple[str, ...], FloatArray]:
        """Return names of columns, and what they are at each level, ``(levels, columns)``.

        With `every_level`, in a trend without a constant, each level has a column of its own.
        """
        count = len(self.levels)
        own = np.eye(count)
        if every_level:
            return tuple(f"{self.name}[{level}]" for level in self.levels), own
        if self.contrasts == "treatment":
            return tuple(f"{self.name}[{level}]" for level in self.levels[1:]), own[:, 1:]
        coded = np.vstack([np.eye(count - 1), -np.ones(count - 1)])
        return tuple(f"{self.name}[{level}]" for level in self.levels[:-1]), coded


def factor(
    name: str,
    labels: Any,
    contrasts: Literal["treatment", "sum"] = "treatment",
    *,
    levels: Sequence[Any] | None = None,
) -> Categorical:
    """Return a categorical covariate for ``covariates=`` of `fit` and `fill`.

    ``"treatment"`` compares each level with the first, whose mean is the constant; ``"sum"`` with the mean of all
    levels, each counting alike, and the last level is minus the sum of the others. The fit is the same; coefficients
    mean different things.

    Parameters
    ----------
    name : str
        What it is called; its coefficients are ``name[level]``.
    labels : array_like, (H, W)
        Numbers or text. None, NaN and what a masked array masks are pixels without a label: these must be missing in
        the image, and have no prediction.
    contrasts : {"treatment", "sum"}
        How levels are compared.
    levels : sequence, optional
        All labels in the order wanted; sorted by default.

    Returns
    -------
    Categorical

    Raises
    ------
    ArgumentError
        If there are fewer than two levels, a label is not among `levels`, or these are given twice.

    References
    ----------
    J. Chambers, T. Hastie (1992), Statistical Models in S, section 2.3, for codings.

    Examples
    --------
    >>> from sparsegmrf.inference import fit
    >>> from sparsegmrf.models import Matern
    >>> treatment = np.tile(["B", "A", "C"], (12, 4))
    >>> image = Matern(range=3.0).gmrf((12, 12)).sample(rng=0) + 2.0 * (treatment == "B")
    >>> result = fit(Matern(range=3.0), image, covariates=factor("treatment", treatment), noise_variance=0.1)
    >>> list(result.coefficients)
    ['constant', 'treatment[B]', 'treatment[C]']
    """
    if not isinstance(name, str) or not name:
        raise ArgumentError(f"name must be a text, got {name!r}.")
    one_of("contrasts", contrasts, CONTRASTS)
    values = np.asarray(labels)
    if values.ndim != 2:
        raise ArgumentError(f"labels must have shape (H, W), one for each pixel, got {values.shape}.")
    return categorical(name, labels, contrasts, levels)


def categorical(
    name: str, labels: Any, contrasts: str = "treatment", levels: Sequence[Any] | None = None
) -> Categorical:
    """Return a categorical covariate of labels of any shape."""
    values, missing = np.asarray(labels), missing_labels(labels)
    found = _sorted(values[~missing])
    own = found if levels is None else tuple(text_of(each) for each in levels)
    if len(set(own)) < len(own):
        raise ArgumentError(f"levels of {name} must be different from each other, got {', '.join(own)}.")
    strange = [each for each in found if each not in own]
    if strange:
        raise ArgumentError(f"labels of {name} must be among its levels {', '.join(own)}, got {strange[0]!r}.")
    if len(own) < 2:
        raise ArgumentError(
            f"labels of {name} must have at least two levels, got {', '.join(own) or 'none'}; one level is a constant."
        )
    if isinstance(labels, np.ma.MaskedArray):
        values = values.astype(object)
        values[missing] = None
    return Categorical(name, labels if is_labelled(labels) else values, own, contrasts)


def missing_labels(labels: Any) -> BoolArray:
    """Return where there is no label: None, NaN, or masked."""
    values = np.asarray(labels)
    missing = (
        np.array(np.ma.getmaskarray(labels)) if isinstance(labels, np.ma.MaskedArray) else np.zeros(values.shape, bool)
    )
    if values.dtype.kind == "f":
        missing |= np.isnan(values)
    elif values.dtype.kind not in "biuUS":
        missing |= np.array([_is_nothing(each) for each in values.ravel().tolist()], dtype=bool).reshape(values.shape)
    return missing


def is_text(values: Any) -> bool:
    """Return whether an array holds labels and not numbers: what is no number, missing labels aside."""
    array = np.asarray(values)
    if array.dtype.kind in "US":
        return True
    if array.dtype.kind in "biufcmM":
        return False
    return not all(isinstance(each, numbers.Real) for each in array[~missing_labels(values)].tolist())


def _is_nothing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # neither the same as itself nor not: pandas' NA
        return True


def _sorted(values: Any) -> tuple[str, ...]:
    """Return the different labels as text, in the order of the labels themselves where they have one."""
    if values.dtype.kind != "O":
        return tuple(dict.fromkeys(_texts(np.unique(values))))
    different = set(values.tolist())
    try:
        return tuple(dict.fromkeys(text_of(each) for each in sorted(different)))
    except TypeError:
        return tuple(sorted({text_of(each) for each in different}))


def _texts(values: Any) -> list[str]:
    return [text_of(each) for each in values.tolist()]


def text_of(value: Any) -> str:
    """Return a label as text."""
    if isinstance(value, bytes):
        return value.decode()
    return f"{value:.12g}" if isinstance(value, float) else str(value)
