"""Covariates as they are given: words, arrays, dicts, tables, data sets, factors, and lists of these."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from sparsegmrf._axes import is_labelled
from sparsegmrf._validate import one_of, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._categorical import Categorical, categorical, is_text, missing_labels
from sparsegmrf.inference._labels import Labels, names_along
from sparsegmrf.typing import ArrayLike, FloatArray, Shape

WORDS = ("constant", "linear")


class Table(Protocol):
    """Columns of equal length by name, such as a DataFrame of pandas or polars."""

    @property
    def columns(self) -> Any:
        """Their names."""

    def __getitem__(self, name: Any, /) -> Any:
        """Return a column."""

    def __len__(self) -> int:
        """Return the number of rows."""


CovariatesLike = (
    Literal["constant", "linear"] | ArrayLike | Mapping[Any, Any] | Categorical | Table | Sequence[Any] | None
)
"""What `fit` and `fill` take for covariates."""


class Parts(NamedTuple):
    """Numbers ``(H, W)`` and factors by name, and which trend is to stand before them.

    Attributes
    ----------
    named : list of (str, ndarray or Categorical)
        The labels of a factor are in the image's order.
    word : str or None
        ``"constant"`` or ``"linear"``.
    is_bare : bool
        Whether a level is to be left out: that of named covariates comes by itself.
    has_names : bool
        Whether any was given by name.
    """

    named: list[tuple[str, FloatArray | Categorical]]
    word: str | None
    is_bare: bool
    has_names: bool


def read_parts(covariates: Any, shape: Shape, labels: Labels | None) -> Parts:
    """Return what an argument consists of."""
    if covariates is None or isinstance(covariates, str):
        word = None if covariates is None else one_of("covariates", covariates, WORDS)
        return Parts([], word, covariates is None, False)
    covariates = _in_order("", covariates, labels)
    if isinstance(covariates, list | tuple):
        covariates = [_in_order("", each, labels) for each in covariates]
    else:
        covariates = [covariates] if _is_named(covariates) else _plain(covariates, shape, labels)
    if not any(each is None or isinstance(each, str) or _is_named(each) for each in covariates):
        covariates = _plain(covariates, shape, labels)
    named: list[tuple[str, FloatArray | Categorical]] = []
    words, is_bare = [], False
    for each in covariates:
        if isinstance(each, str):
            words.append(one_of("covariates", each, WORDS))
        elif each is None:
            is_bare = True
        elif _is_named(each):
            named += _members(each, shape, labels)
            is_bare |= isinstance(each, Mapping) and each.get("constant", ...) is None
        else:
            images = _plain(each, shape, labels) if np.ndim(each) == 3 else [_number("", each, shape, labels)]
            named += [(f"covariate {len(named) + k}", image) for k, image in enumerate(images)]
    if is_bare and words:
        raise ArgumentError(f"covariates must not have both None, for no level, and {words[0]!r}.")
    has_names = any(_is_named(each) for each in covariates)
    return Parts(named, max(words, default=None, key=WORDS.index), is_bare, has_names)


def _is_named(value: Any) -> bool:
    """Return whether covariates have names of their own."""
    if isinstance(value, Mapping | Categorical) or hasattr(value, "data_vars") or _is_table(value):
        return True
    if not is_labelled(value):
        return False
    return names_along(value) is not None or (value.ndim == 2 and value.name is not None)


def _is_table(value: Any) -> bool:
    others = isinstance(value, np.ndarray) or hasattr(value, "data_vars") or is_labelled(value)
    return not others and hasattr(value, "columns") and hasattr(value, "__getitem__")


def _members(value: Any, shape: Shape, labels: Labels | None) -> list[tuple[str, FloatArray | Categorical]]:
    """Return the covariates that a value with names holds."""
    if isinstance(value, Categorical):
        return [(value.name, _factor(value, shape, labels))]
    if _is_table(value):
        return _of_table(value, shape, labels)
    if hasattr(value, "data_vars"):  # a variable without dimensions describes the grid
        value = {name: each for name, each in value.data_vars.items() if each.ndim}
    elif not isinstance(value, Mapping):
        called = names_along(value)
        value = {str(value.name): value} if called is None else dict(zip(called, value, strict=True))
    own = {name: each for name, each in value.items() if not (name == "constant" and each is None)}
    return [(str(name), _one(str(name), each, shape, labels)) for name, each in own.items()]


def _one(name: str, value: Any, shape: Shape, labels: Labels | None) -> FloatArray | Categorical:
    """Return a covariate: numbers, or a factor where there are words."""
    if isinstance(value, Categorical):
        return _factor(replace(value, name=name), shape, labels)
    if is_text(value):
        return _factor(categorical(name, value), shape, labels)
    return _number(name, value, shape, labels)


def _factor(value: Categorical, shape: Shape, labels: Labels | None) -> Categorical:
    found = np.asarray(_in_order(value.name, value.labels, labels))
    _check_shape(value.name, found.shape, shape)
    return replace(value, labels=found)


def _number(name: str, value: Any, shape: Shape, labels: Labels | None) -> FloatArray:
    ordered = _in_order(name, value, labels)
    found = _numbers(_called(name), ordered)
    _check_shape(name, found.shape, shape)
    return found


def _numbers(name: str, value: Any) -> FloatArray:
    """Return numbers, NaN where there is none."""
    missing = None
    if isinstance(value, np.ma.MaskedArray) or np.asarray(value).dtype.kind == "O":
        missing = missing_labels(value)
        value = np.where(missing, 0.0, np.asarray(value)).astype(float)
    array = real_array(name, np.asarray(value) if is_labelled(value) else value)
    return array if missing is None else np.where(missing, np.nan, array)


def _in_order(name: str, value: Any, labels: Labels | None) -> Any:
    if labels is None or not is_labelled(value):
        return value
    if labels.has_images_of(value):
        raise ArgumentError(
            f"{_called(name)} must be the same for all images, got one with the dimension {labels.image.dims[0]} of "
            "these; take a slice, or fit image by image."
        )
    return labels.in_order(_called(name), value)


def _called(name: str) -> str:
    return f"covariates[{name!r}]" if name else "covariates"


def _check_shape(name: str, found: tuple[int, ...], shape: Shape) -> None:
    if found != shape:
        raise ArgumentError(f"{_called(name)} must have the shape of the image {shape}, got {found}.")


def _plain(value: Any, shape: Shape, labels: Labels | None) -> list[FloatArray]:
    """Return the images of an array ``(K, H, W)``, or of a list of images."""
    if isinstance(value, list | tuple) and any(
        isinstance(each, np.ma.MaskedArray) or is_labelled(each) for each in value
    ):
        array = real_array("covariates", [_numbers("covariates", _in_order("", each, labels)) for each in value])
    else:
        array = (
            _numbers("covariates", _in_order("", value, labels))
            if _is_array(value)
            else real_array("covariates", value)
        )
    if array.ndim != 3 or array.shape[1:] != shape:
        raise ArgumentError(
            f"covariates must have shape (K, {shape[0]}, {shape[1]}), got {array.shape}; put one covariate into a list."
        )
    return list(array)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or is_labelled(value)


def _of_table(table: Any, shape: Shape, labels: Labels | None) -> list[tuple[str, FloatArray | Categorical]]:
    """Return the columns of a table: a row for each pixel in raster order, or by an index of two levels."""
    places = _places(table, shape, labels)
    found: list[tuple[str, FloatArray | Categorical]] = []
    for key in table.columns:
        name, column = str(key), table[key]
        values = np.asarray(column)
        if values.ndim != 1:
            raise ArgumentError(f"covariates must have each column once, got {name!r} several times.")
        categories = getattr(getattr(column, "dtype", None), "categories", None)
        if categories is None and not is_text(values):
            image = np.full(shape, np.nan)
            image.flat[places] = _numbers(_called(name), values)
            found.append((name, image))
            continue
        texts = np.full(shape, None, dtype=object)
        texts.flat[places] = values
        used = set(values[~missing_labels(values)].tolist())
        order = None if categories is None else [each for each in np.asarray(categories).tolist() if each in used]
        found.append((name, categorical(name, texts, levels=order)))
    return found


def _places(table: Any, shape: Shape, labels: Labels | None) -> Any:
    """Return the pixel of each row."""
    index, count = getattr(table, "index", None), len(table)
    if getattr(index, "nlevels", 1) != 2:
        if count != shape[0] * shape[1]:
            raise ArgumentError(
                f"covariates must have a row for each of the {shape[0]} x {shape[1]} pixels, row by row, got "
                f"{count} rows; or set an index of two levels that says row and column, as table.set_index(['row', "
                "'column'])."
            )
        return np.arange(count)
    dims = ("row", "column") if labels is None else labels.plane
    levels = [1, 0] if tuple(index.names) == dims[::-1] else [0, 1]  # type: ignore[union-attr]
    axes = []
    for level, dim, size in zip(levels, dims, shape, strict=True):
        values = np.asarray(index.get_level_values(level))  # type: ignore[union-attr]
        known = np.unique(values)
        if labels is not None and dim in labels.image.coords:
            order = np.asarray(labels.image[dim])
            strange = np.setdiff1d(known, order)
            if len(strange):
                raise ArgumentError(f"covariates must have the image's coordinates along {dim}, got {strange[0]!r}.")
        else:
            order = known
            if len(known) != size:
                raise ArgumentError(
                    f"covariates must have an index with {size} different values for its {dim}s, got {len(known)}."
                )
        sort = np.argsort(order, kind="stable")
        axes.append(sort[np.searchsorted(order, values, sorter=sort)])
    places = np.ravel_multi_index(tuple(axes), shape)
    if len(np.unique(places)) < count:
        raise ArgumentError("covariates must have one row for each pixel at most, got several for one.")
    return places
