"""What is observed, and what is asked of it: the one place where arguments of fits are checked."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np

from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.choose import check_digits
from sparsegmrf.inference._channel_members import channels_of, is_of_channels
from sparsegmrf.inference._count_objective import CountObjective
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._covariates import Covariates, check_leaves_something, check_own_names, check_varies
from sparsegmrf.inference._labels import Labels
from sparsegmrf.inference._laplace import check_level_is_finite
from sparsegmrf.inference._null_vectors import NullVectors, domain_of
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._observations import Observations, observations
from sparsegmrf.inference._parameters import FieldModel, check_model, free_names, is_alike_everywhere, unknowns_of
from sparsegmrf.inference._plan import refuse_beyond_memory
from sparsegmrf.inference._spacing import Spacing, pixels
from sparsegmrf.lattice import Lattice
from sparsegmrf.likelihoods import Gaussian, Likelihood
from sparsegmrf.models import Sum
from sparsegmrf.priors import Prior, check_priors
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, Shape

METHODS = ("ml", "reml", "cv")


@dataclass(frozen=True, eq=False)
class Problem:
    """Images of one field law with their trend and likelihood, and which parameters are estimated; immutable.

    The images are independent draws of the field, each with its own mask, on one lattice; parameters, noise and the
    coefficients of the trend are theirs together, so that the log-likelihood is a sum over them. `read` makes it of
    arguments and is the only place that checks these; the methods return other problems.

    Attributes
    ----------
    model : FieldModel
        The model, at the parameters to start from.
    images : tuple of Observations or Counts
        What is observed of each draw, ``(H, W)``.
    covariates : Covariates
        The trend.
    likelihood : Gaussian or Likelihood
        How measurements are distributed given the field.
    method : str
        ``"ml"``, ``"reml"`` or ``"cv"``.
    fixed : tuple of str
        Parameters that are held.
    priors : mapping of Prior
        By names of estimated parameters.
    is_stack : bool
        Whether the images were given with a leading axis.
    labels : Labels or None
        Dimensions and coordinates of the image, if it has any.
    spacing : Spacing
        Size of the pixels, with the unit of the model's lengths.
    digits : str
        In which factors are kept, ``"double"`` or ``"single"``.
    """

    model: FieldModel
    images: tuple[Observations | Counts, ...]
    covariates: Covariates
    likelihood: Gaussian | Likelihood
    method: str
    fixed: tuple[str, ...]
    priors: Mapping[str, Prior]
    is_stack: bool
    labels: Labels | None = None
    spacing: Spacing = dataclasses.field(default_factory=pixels)
    digits: str = "double"

    @classmethod
    def read(
        cls,
        model: FieldModel,
        image: ArrayLike,
        mask: ArrayLike | Literal["nan"] | None = "nan",
        likelihood: Gaussian | Likelihood = Gaussian(),  # noqa: B008 - an immutable value
        covariates: object = "constant",
        method: str = "ml",
        fixed: Sequence[str] | str = (),
        priors: Mapping[str, Prior] | None = None,
        labels: Labels | None = None,
        spacing: Spacing | None = None,
        digits: str = "double",
    ) -> "Problem":
        """Return the checked problem; see `fit` for the arguments."""
        check_model(model)
        _check_fields(model)
        one_of("method", method, METHODS)
        check_digits(digits)
        if method != "ml" and not isinstance(likelihood, Gaussian):
            raise ArgumentError(f'method must be "ml" with a {likelihood.name} likelihood, got {method!r}.')
        refuse_beyond_memory(model, image, mask, likelihood, digits)
        images, is_stack = _read_images(image, mask, likelihood), np.ndim(image) == 3
        shape = (images[0].values.shape[0], images[0].values.shape[1])
        held = (fixed,) if isinstance(fixed, str) else tuple(fixed)
        seen = np.any([each.observed for each in images], axis=0)
        trend = Covariates.of(covariates, shape, seen, labels)
        check_own_names(trend.names, model.parameters)
        ground = pixels() if spacing is None else spacing
        problem = cls(model, images, trend, likelihood, method, held, {}, is_stack, labels, ground, digits)
        limits = model.limits(shape) if priors else {}  # takes a while for many interactions
        own = check_priors(priors, {name: limits[name] for name in problem.free if priors}, noise=problem.estimated)
        if own and method == "cv":
            raise ArgumentError(
                f"priors must be None with method='cv', which has no density to add them to, got {', '.join(own)}."
            )
        problem = dataclasses.replace(problem, priors=own)
        problem._check()
        return problem

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return (self.images[0].values.shape[0], self.images[0].values.shape[1])

    @property
    def lattice(self) -> Lattice:
        """The pixels, and with stacked fields how many of them."""
        return Lattice(self.shape, 1 if self.combination is None else len(self.combination))

    @cached_property
    def domain(self) -> BoolArray:
        """Pixels ``(H, W)`` at which the model has a value: those of all of its fields."""
        return domain_of(unknowns_of(self.model, self.shape).lattice)

    @property
    def n_observed(self) -> int:
        """Observed pixels of all images."""
        return sum(each.count for each in self.images)

    @property
    def free(self) -> tuple[str, ...]:
        """Parameters of the model that are estimated."""
        return tuple(free_names(self.model, self.fixed))

    @property
    def estimated(self) -> bool:
        """Whether the noise variance is estimated."""
        return isinstance(self.likelihood, Gaussian) and isinstance(self.likelihood.noise_variance, str)

    @property
    def combination(self) -> FloatArray | None:
        """Weights ``(C,)`` of the fields stacked at a pixel whose sum is observed; None: there is one field."""
        found: FloatArray | None = getattr(self.model, "combination", None)
        return found

    @property
    def observations(self) -> tuple[Observations, ...]:
        """The images, as sums of the model's fields."""
        images = cast(tuple[Observations, ...], self.images)
        return tuple(dataclasses.replace(each, combination=self.combination) for each in images)

    @property
    def counts(self) -> tuple[Counts, ...]:
        """The images of a likelihood that is not Gaussian, as sums of the model's fields."""
        images = cast(tuple[Counts, ...], self.images)
        return tuple(dataclasses.replace(each, combination=self.combination) for each in images)

    @cached_property
    def objective(self) -> Objective | CountObjective:
        """The log-likelihood, or log-posterior, as a function of working parameters."""
        return Objective.of(self) if isinstance(self.likelihood, Gaussian) else CountObjective.of(self)

    def with_model(self, model: FieldModel, *, fixed: Sequence[str] | None = None) -> "Problem":
        """Return the problem of another model, or of the same at other parameters, with others of them held."""
        held = self.fixed if fixed is None else tuple(fixed)
        return dataclasses.replace(self, model=model, fixed=held)

    def with_noise_variance(self, variance: float) -> "Problem":
        """Return the problem in which the noise variance is known."""
        images = cast(tuple[Observations, ...], self.images)
        return dataclasses.replace(
            self,
            images=tuple(each.with_noise_variance(variance) for each in images),
            likelihood=Gaussian(noise_variance=variance),
        )

    def without(self, held: Sequence[BoolArray]) -> "Problem":
        """Return the problem without the pixels held out, image by image."""
        return dataclasses.replace(
            self, images=tuple(each.without(out) for each, out in zip(self.images, held, strict=True))
        )

    def on_window(self, rows: slice, columns: slice) -> "Problem":
        """Return the problem of a part of a lattice, with a level for its trend if there was any."""
        model: Any = self.model
        observed = cast(tuple[Observations, ...], self.images)
        images = tuple(each.window(rows, columns) for each in observed)
        trend = "constant" if self.covariates.names else None
        return dataclasses.replace(
            self,
            model=model.cropped(rows, columns) if hasattr(model, "cropped") else model,
            images=images,
            covariates=Covariates.of(trend, images[0].values.shape),
        )

    def on_tiles(self, side: int, share: float, taken: FloatArray) -> "Problem | None":
        """Return the problem of several tiles of the lattice, spread over it, as independent images of one field.

        They are the better observed ones of the tiles into which it is cut, a share of them; a level is each one's own,
        or that of all, as the model has it. None where there are fewer than two with half their pixels observed, or the
        model has maps, so that tiles differ.

        Parameters
        ----------
        side : int
            Of a tile, in pixels.
        share : float
            Of the tiles.
        taken : ndarray, (R, H, W)
            What is taken off the images first: their trends.
        """
        if not is_alike_everywhere(self.model, self.shape):
            return None
        windows = _tiles(np.any([each.observed for each in self.images], axis=0), side, share)
        whole = cast(tuple[Observations, ...], self.images)
        left = [
            dataclasses.replace(each, values=np.where(each.observed, each.values - off, 0.0))
            for each, off in zip(whole, taken, strict=True)
        ]
        parts = [each.window(*window) for each in left for window in windows]
        images = tuple(part for part in parts if 2 * part.count >= part.observed.size and np.ptp(part.seen) > 0.0)
        if len(images) < 2:
            return None
        trend = "constant" if self.covariates.names else None
        covariates = Covariates.of(trend, (side, side))
        return dataclasses.replace(self, images=images, covariates=covariates, is_stack=True)

    def _check(self) -> None:
        """Refuse what cannot be estimated of the images."""
        for number, each in enumerate(self.images):
            _check_inside(each.observed, self.domain, f"image {number}" if self.is_stack else "image")
        masks = [each.observed for each in self.images]
        seen = np.any(masks, axis=0) if masks[1:] else masks[0]
        self.covariates.check_seen(seen)
        searched = bool(self.free) or self.estimated
        if isinstance(self.likelihood, Gaussian):
            self._check_exact()
            if searched:
                check_varies(self.observations)
        else:
            _check_counts(self.model, self.counts)
        objective = self.objective
        gaussian = objective if isinstance(objective, Objective) else objective.gaussian
        trend, estimated = gaussian.trend, len(self.free) + self.estimated
        least = estimated + len(trend.names) + trend.deficiency
        # Without anything to estimate the trend alone must be fixed.
        if not (self.n_observed > least if estimated else self.n_observed >= least):
            raise ArgumentError(
                f"image must have more observed pixels than there are parameters, {least}, got {self.n_observed}; "
                "hold some by fixed=, or give fewer covariates."
            )
        if searched and isinstance(objective, Objective):
            check_leaves_something(len(self.covariates.names), self.observations, objective.frame.deviations)

    def _check_exact(self) -> None:
        exact = np.concatenate([each.exact[each.observed] for each in self.observations])
        if exact.any() and not exact.all():
            raise ArgumentError(
                "noise_variance must be zero nowhere or at all observed pixels, got both; a fit takes noisy or exact "
                "observations."
            )


def _tiles(observed: BoolArray, side: int, share: float) -> list[tuple[slice, slice]]:
    """Return a share of the square tiles of a lattice without its margins: of so many in a row the best observed."""
    down, across = (each // side for each in observed.shape)
    top, left = ((size - side * count) // 2 for size, count in zip(observed.shape, (down, across), strict=True))
    inner = observed[top : top + side * down, left : left + side * across]
    counts = inner.reshape(down, side, across, side).sum(axis=(1, 3)).ravel()
    group, found = max(1, round(1.0 / share)), []
    for first in range(0, len(counts), group):
        i, j = divmod(first + int(np.argmax(counts[first : first + group])), across)
        rows, columns = top + side * i, left + side * j
        found.append((slice(rows, rows + side), slice(columns, columns + side)))
    return found


def _check_inside(observed: BoolArray, domain: BoolArray, name: str) -> None:
    """Refuse values at pixels at which the model has none."""
    wrong = np.argwhere(observed & ~domain)
    if len(wrong):
        raise ArgumentError(
            f"{name} must be missing where the model has no value (its mask or barrier), got {len(wrong)} values "
            f"there, the first at {tuple(wrong[0].tolist())}; set them to NaN, or leave these pixels in the model."
        )


def _check_fields(model: FieldModel) -> None:
    """Refuse fields of which it is not said what is observed, and a weight of a single one, which is its scale."""
    if is_of_channels(model):
        raise ArgumentError(
            "model must have one field, or be a Sum, whose weights say what is observed of several, got Channels of "
            f"{channels_of(model)}; fit and fill take Channels, all else its spatial model with one channel."
        )
    if isinstance(model, Sum) and len(model.models) == 1 and model.observation[0] != 1.0:
        weight = float(model.observation[0])
        remedy = f"fit models[0].scaled({abs(weight):g}), the field that is observed" if weight else "fit models[0]"
        raise ArgumentError(f"observation must be 1 in a sum of a single field, got {weight:g}; {remedy}.")


def _read_images(image: Any, mask: Any, likelihood: Gaussian | Likelihood) -> tuple[Observations | Counts, ...]:
    """Return the checked image, or those of a stack ``(R, H, W)``, each with what is its own of masks and numbers."""
    if np.ndim(image) != 3:
        return (_read_image(image, mask, likelihood),)
    stack = image if isinstance(image, np.ma.MaskedArray) else np.asarray(image)
    if not len(stack):
        raise ArgumentError(f"image must have at least one image in its first axis, got shape {stack.shape}.")
    found = []
    for number, each in enumerate(stack):
        own = {}
        if dataclasses.is_dataclass(likelihood):
            numbers = {field.name: getattr(likelihood, field.name) for field in dataclasses.fields(likelihood)}
            own = {name: _of_stack(name, value, number) for name, value in numbers.items() if np.ndim(value) == 3}
        kept = dataclasses.replace(likelihood, **own) if own else likelihood  # type: ignore[type-var]
        missing = _of_stack("mask", mask, number) if np.ndim(mask) == 3 else mask
        found.append(_read_image(each, missing, kept))
    return tuple(found)


def _of_stack(name: str, value: Any, number: int) -> Any:
    if number >= len(value):
        raise ArgumentError(f"{name} must have an image for each one of image, got {len(value)}.")
    return np.asarray(value)[number]


def _read_image(image: Any, mask: Any, likelihood: Gaussian | Likelihood) -> Observations | Counts:
    if not isinstance(likelihood, Gaussian):
        return Counts.of(likelihood, image, mask, np.shape(image)[:2], "image")
    variance: Any = likelihood.noise_variance
    if isinstance(variance, str) and variance != "estimate":
        raise ArgumentError(f'noise_variance must be "estimate", a variance or None, got {variance!r}.')
    given = 1.0 if isinstance(variance, str) else 0.0 if variance is None else variance
    return observations(image, mask, given, None, "image")


def _check_counts(model: FieldModel, images: Sequence[Counts]) -> None:
    """Refuse counts that send the level to infinity, and fields that cannot have any."""
    shape = images[0].observed.shape
    for number, (value, _) in enumerate(images[0].extremes):
        if all(np.array_equal(each.extremes[number][1], each.observed) for each in images):
            count = sum(each.count for each in images)
            raise ArgumentError(
                f"image must hold other counts, too, but all {count} observed ones are {value}, which sends the level "
                "to infinity; condition a field with known parameters on them."
            )
    field = unknowns_of(model, (shape[0], shape[1]))
    for each in images:
        NullVectors.of(field, each.observed, each.combination)  # says which part has no observation
        check_level_is_finite(field, each, "image")
