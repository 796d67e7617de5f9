"""Weights of linear combinations of coefficients, as they are asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sparsegmrf._validate import finite, finite_number, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray


def read_contrasts(L: Any, named: Sequence[str], of: str) -> tuple[tuple[str, ...], FloatArray]:
    """Return names and weights ``(K, p)`` of linear combinations of what has names; messages call it `of`."""
    known = tuple(named)
    if not known:
        raise ArgumentError(f"L must combine {of}, but there are none.")
    if isinstance(L, Mapping):
        called = {name: row for name, row in L.items() if isinstance(row, Mapping)}
        if L and len(called) == len(L):  # names of combinations
            return tuple(map(str, called)), _checked(np.array([_row(each, known, of) for each in called.values()]))
        return _named(np.array([_row(L, known, of)]), known)
    if not isinstance(L, np.ndarray) and isinstance(L, Sequence) and any(isinstance(each, Mapping) for each in L):
        wrong = [type(each).__name__ for each in L if not isinstance(each, Mapping)]
        if wrong:
            raise ArgumentError(f"L must be a list of dicts throughout, got a {wrong[0]} in it.")
        return _named(np.array([_row(each, known, of) for each in L]), known)
    array = finite("L", real_array("L", L))
    array = array[np.newaxis] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != len(known) or not len(array):
        raise ArgumentError(
            f"L must have shape (K, {len(known)}), a column for each of {', '.join(known)}, got {np.shape(L)}."
        )
    return _named(array, known)


def _row(weights: Mapping[Any, Any], known: tuple[str, ...], of: str) -> FloatArray:
    row = np.zeros(len(known))
    for name, weight in weights.items():
        if name not in known:
            raise ArgumentError(f"L must name {of}, {', '.join(known)}, got {name!r}.")
        row[known.index(name)] = finite_number(f"L[{name!r}]", weight)
    return row


def _named(weights: FloatArray, known: tuple[str, ...]) -> tuple[tuple[str, ...], FloatArray]:
    return tuple(_formula(row, known) for row in weights.tolist()), _checked(weights)


def _checked(weights: FloatArray) -> FloatArray:
    for k, row in enumerate(weights):
        if not row.any():
            raise ArgumentError(f"L must have a weight that is not zero in every combination, got zeros in number {k}.")
    return weights


def _formula(row: list[float], names: tuple[str, ...]) -> str:
    """Return a combination in words, such as ``a - 0.5 b``."""
    terms = [(weight, name) for weight, name in zip(row, names, strict=True) if weight]
    words = "".join(
        f" {'-' if weight < 0.0 else '+'} {'' if abs(weight) == 1.0 else f'{abs(weight):.4g} '}{name}"
        for weight, name in terms
    )
    return words[3:] if words.startswith(" +") else words[1:].replace("- ", "-", 1)
