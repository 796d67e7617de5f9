"""The grid of covariates on which marginal means are taken."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._categorical import text_of
from sparsegmrf.inference._covariates import Covariates, Term
from sparsegmrf.typing import FloatArray


def reference_grid(
    covariates: Covariates, counts: FloatArray, by: str | Sequence[str], at: Mapping[str, Any]
) -> tuple[tuple[str, ...], FloatArray]:
    """Return names of the points of the grid, and the covariates at each, ``(K, p)``.

    `counts` says of each pixel how often it is observed.
    """
    terms = {term.name: term for term in covariates.terms}
    asked = list(dict.fromkeys([*((by,) if isinstance(by, str) else by), *at]))
    for name in asked:
        if name not in terms:
            known = ", ".join(terms) or "none"
            raise ArgumentError(f"by and at must name covariates of the trend, which has {known}, got {name!r}.")
    row = np.zeros(len(covariates.names))
    for name, term in terms.items():
        if name not in asked:
            row[term.columns] = _mean(covariates, counts, term)
    points = [_values(terms[name], at[name]) if name in at else _levels(terms[name]) for name in asked]
    names, rows = [], []
    for point in itertools.product(*points):
        own = row.copy()
        for name, (_, value) in zip(asked, point, strict=True):
            own[terms[name].columns] = value
        names.append(", ".join(f"{name}={text}" for name, (text, _) in zip(asked, point, strict=True)) or "mean")
        rows.append(own)
    return tuple(names), np.array(rows)


def _mean(covariates: Covariates, counts: FloatArray, term: Term) -> FloatArray:
    """Return the mean of a number over what is observed, and of a factor over its levels, each counting alike."""
    if term.levels:
        return np.asarray(term.coding.mean(axis=0))
    image = covariates.images[term.columns.start]
    middle = 0.5 * image.min() + 0.5 * image.max()
    return np.array([middle + float(np.sum(counts * (image - middle)) / counts.sum())])


def _levels(term: Term) -> list[tuple[str, FloatArray]]:
    if not term.levels:
        raise ArgumentError(f"by must name factors, got {term.name}, which is a number; give values of it by at=.")
    return list(zip(term.levels, term.coding, strict=True))


def _values(term: Term, given: Any) -> list[tuple[str, FloatArray]]:
    """Return the points at which a term is asked for: their names, and its covariates there."""
    if term.levels:
        labels = [text_of(each) for each in (np.atleast_1d(np.asarray(given, dtype=object)).tolist())]
        for label in labels:
            if label not in term.levels:
                raise ArgumentError(f"at must have levels of {term.name}, {', '.join(term.levels)}, got {label!r}.")
        return [(label, term.coding[term.levels.index(label)]) for label in labels]
    values = np.atleast_1d(finite(f"at[{term.name!r}]", real_array(f"at[{term.name!r}]", given)))
    if values.ndim != 1 or not len(values):
        raise ArgumentError(f"at must have a number or a list of numbers for {term.name}, got shape {values.shape}.")
    return [(f"{value:g}", np.array([value])) for value in values.tolist()]
