"""Images of the covariates of a trend."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._categorical import Categorical
from sparsegmrf.inference._covariate_parts import read_parts
from sparsegmrf.inference._labels import Labels
from sparsegmrf.inference._observations import Observations, pixels_of
from sparsegmrf.priors import NOISE
from sparsegmrf.typing import BoolArray, FloatArray, Shape

_ROUNDING = 1e-12
_NOTHING_TO_ESTIMATE = "hold every parameter by fixed= and give noise_variance=, or use condition"


class Term(NamedTuple):
    """A number or a factor of a trend.

    Attributes
    ----------
    name : str
        As it was given.
    columns : slice
        Its covariates.
    levels : tuple of str
        Of a factor; empty for a number.
    coding : ndarray, (levels, columns)
        Covariates at each level; ``[[1.0]]`` of a number.
    """

    name: str
    columns: slice
    levels: tuple[str, ...]
    coding: FloatArray


@dataclass(frozen=True, eq=False)
class Covariates:
    """Names of covariates, and their images ``(K, H, W)``.

    Attributes
    ----------
    names : tuple of str
        One per image.
    images : ndarray, (K, H, W)
        Finite: where a covariate is not known, the plane nearest to it stands, which no result shows.
    terms : tuple of Term
        What they were made of.
    unknown : ndarray of bool, (K, H, W), or None
        Where a covariate is not known; None: nowhere.
    """

    names: tuple[str, ...]
    images: FloatArray
    terms: tuple[Term, ...]
    unknown: BoolArray | None = None

    @classmethod
    def of(
        cls, covariates: object, shape: Shape, observed: BoolArray | None = None, labels: Labels | None = None
    ) -> "Covariates":
        """Return the covariates that an argument stands for.

        They must be known where `observed` (everywhere, without it). `labels` are those of the image.
        """
        parts = read_parts(covariates, shape, labels)
        found = [] if parts.word is None else _of_word(parts.word, shape)
        numbers = [part for _, part in parts.named if not isinstance(part, Categorical)]
        has_level = parts.word is not None or any(_is_constant(each) for each in numbers)
        if parts.has_names and not (has_level or parts.is_bare):
            found, has_level = _of_word("constant", shape), True
        names = [name for name, _ in found]
        images = [image for _, image in found]
        terms = [Term(name, slice(k, k + 1), (), np.ones((1, 1))) for k, name in enumerate(names)]
        for name, part in parts.named:
            own, columns, levels, coding = _columns(name, part, every_level=not has_level)
            terms.append(Term(name, slice(len(names), len(names) + len(own)), levels, coding))
            names, images = [*names, *own], [*images, *columns]
            has_level |= isinstance(part, Categorical)
        _check_names(names, [term.name for term in terms])
        array = np.array(images, dtype=np.float64).reshape(len(images), *shape)
        unknown = _unknown(names, array, np.ones(shape, dtype=bool) if observed is None else observed)
        if unknown is None:
            return cls(tuple(names), array, tuple(terms))
        array = np.array([_completed(image, ~missing) for image, missing in zip(array, unknown, strict=True)])
        return cls(tuple(names), array, tuple(terms), unknown)

    def without(self, held: BoolArray) -> "Covariates":
        """Return the others than those, ``(K,)``, which the field holds itself; a factor of several stays whole."""
        held = held.copy()
        for term in self.terms:
            held[term.columns] &= term.columns.stop - term.columns.start == 1
        if not held.any():
            return self
        place = np.cumsum(~held) - 1
        terms = [term for term in self.terms if not held[term.columns].all()]
        moved = [
            term._replace(columns=slice(int(place[term.columns.start]), int(place[term.columns.stop - 1]) + 1))
            for term in terms
        ]
        names = tuple(name for name, left_out in zip(self.names, held, strict=True) if not left_out)
        unknown = None if self.unknown is None else self.unknown[~held]
        return replace(self, names=names, images=self.images[~held], terms=tuple(moved), unknown=unknown)

    def unknown_of(self, names: Iterable[str]) -> BoolArray:
        """Return the pixels ``(H, W)`` at which one of some covariates is not known."""
        if self.unknown is None:
            return np.zeros(self.images.shape[1:], dtype=bool)
        return np.asarray(self.unknown[[name in set(names) for name in self.names]].any(axis=0))

    def check_seen(self, observed: BoolArray) -> None:
        """Refuse covariates that vanish on the observed pixels, and levels that none of them has."""
        for term in self.terms:
            for level, coded in zip(term.levels, term.coding, strict=bool(term.levels)):
                at = (self.images[term.columns, observed] == coded[:, np.newaxis]).all(axis=0)
                if not at.any():
                    raise ArgumentError(
                        f"covariates must have an observed pixel at every level of {term.name}, got none at {level}, "
                        "whose coefficient nothing tells; leave these pixels without a label (None) to have no "
                        "prediction there."
                    )
        for k, column in enumerate(pixels_of(self.images, observed)):
            if not column.any():
                raise ArgumentError(
                    f"covariates must not vanish on the observed pixels, got zeros in the one at position {k}, "
                    f"{self.names[k]}, whose coefficient nothing tells; leave it out."
                )


def check_own_names(names: Sequence[str], parameters: Iterable[str]) -> None:
    """Refuse covariates that are called as parameters of the model are."""
    both = sorted(set(names) & {*parameters, NOISE})
    if both:
        raise ArgumentError(
            f"covariates must not be called as a parameter of the fit, got {', '.join(both)}; rename it."
        )


def _of_word(word: str, shape: Shape) -> list[tuple[str, FloatArray]]:
    height, width = shape
    rows, columns = np.mgrid[:height, :width].astype(float)
    images = [np.ones(shape), rows - (height - 1) / 2.0, columns - (width - 1) / 2.0]
    # An image one pixel high has no slope by rows.
    kept = [0] + [k for k in (1, 2) if word == "linear" and shape[k - 1] > 1]
    return [(("constant", "row", "column")[k], images[k]) for k in kept]


def _columns(
    name: str, part: FloatArray | Categorical, *, every_level: bool
) -> tuple[tuple[str, ...], list[FloatArray], tuple[str, ...], FloatArray]:
    """Return names and images of the covariates that a number or a factor makes, and levels and coding of it."""
    if not isinstance(part, Categorical):
        return (name,), [part], (), np.ones((1, 1))
    names, coding = part.coding(every_level=every_level)
    codes = part.codes(part.labels)
    images = [np.where(codes >= 0, column[codes], np.nan) for column in coding.T]
    return names, images, part.levels, coding


def _is_constant(image: FloatArray) -> bool:
    known = image[~np.isnan(image)]
    return bool(len(known)) and float(np.ptp(known)) == 0.0 and known[0] != 0.0


def _check_names(columns: Sequence[str], terms: Sequence[str]) -> None:
    for names in (columns, terms):
        twice = [name for k, name in enumerate(names) if name in names[:k]]
        if twice:
            raise ArgumentError(f"covariates must have different names, got {twice[0]!r} twice; rename one.")


def _unknown(names: Sequence[str], images: FloatArray, observed: BoolArray) -> BoolArray | None:
    """Return where covariates are not known, after checking that no observed pixel is among these."""
    unknown = np.isnan(images)
    for name, image, missing in zip(names, images, unknown, strict=True):
        if np.isinf(image).any():
            first = tuple(np.argwhere(np.isinf(image))[0].tolist())
            raise ArgumentError(f"covariates must be finite, got an infinite value of {name} at {first}; replace it.")
        wrong = missing & observed
        if wrong.any():
            first = tuple(np.argwhere(wrong)[0].tolist())
            raise ArgumentError(
                f"covariates must be finite where a pixel is observed, got none or NaN at {int(wrong.sum())} observed "
                f"pixels in {name}, the first at {first}; fill it in there, or mask these pixels."
            )
    return unknown if unknown.any() else None


def _completed(image: FloatArray, known: BoolArray) -> FloatArray:
    """Return a covariate with the plane nearest to what is known of it in the place of the rest.

    What observations say does not depend on it; a covariate in the null space of a field stays there.
    """
    values = image[known]
    middle = 0.5 * values.min() + 0.5 * values.max()
    if known.all() or np.ptp(values) == 0.0:
        return np.where(known, image, middle)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] / max(image.shape)
    plane = np.array([np.ones(image.shape), rows, columns])
    slopes = np.linalg.lstsq(plane[:, known].T, values - middle, rcond=None)[0]
    return np.where(known, image, middle + np.tensordot(slopes, plane, 1))


def check_varies(images: Sequence[Observations]) -> None:
    """Refuse images without variation: nothing says how a field varies."""
    values = np.concatenate([each.seen for each in images])
    if np.ptp(values) == 0.0:
        raise ArgumentError(
            f"image must vary over its observed pixels, got {len(values)} of them with the value {values[0]:g}; a "
            f"constant says nothing about the parameters of a field: {_NOTHING_TO_ESTIMATE}."
        )


def check_leaves_something(count: int, images: Sequence[Observations], deviations: Sequence[Observations]) -> None:
    """Refuse images that `count` covariates, and the null space, explain up to rounding.

    `deviations` are what these leave of them.
    """
    values = np.concatenate([each.seen for each in images])
    left = max(float(np.abs(each.seen).max()) for each in deviations)
    spread = max(float(np.ptp(values)), float(np.finfo(float).tiny))
    if left <= _ROUNDING * spread:
        raise ArgumentError(
            "image must vary beyond its covariates, but these explain it up to rounding and leave nothing for the "
            f"field: {count} covariates, {len(values)} observed pixels; {_NOTHING_TO_ESTIMATE}."
        )
