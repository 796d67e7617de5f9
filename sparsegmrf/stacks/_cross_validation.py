"""How well a model fills the gaps of a stack: clouds of other dates are moved to clear ones, filled, and scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import generator
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._progress import ProgressLike, expect, stage, with_progress
from sparsegmrf.inference._scores import Predictions
from sparsegmrf.inference._spacing import SpacingLike
from sparsegmrf.models import Model
from sparsegmrf.stacks._clouds import MovedClouds, moved
from sparsegmrf.stacks._filled import fill_stack
from sparsegmrf.stacks._fit import StackFit
from sparsegmrf.stacks._options import BEST, FillOptions
from sparsegmrf.stacks._read import Stack
from sparsegmrf.stacks._scores import TITLES, StackScores
from sparsegmrf.stacks._series import SeriesModel
from sparsegmrf.stacks._series_fit import SeriesFit
from sparsegmrf.typing import ArrayLike, Seed


class CloudScores(NamedTuple):
    """How what one moved cloud hides is predicted.

    Attributes
    ----------
    date, source : object
        Of the date it was moved to, and of the one it is of; None of a whole date that is hidden.
    season : str
        Of the date.
    share : float
        Of the date's observations that it hides.
    scores : StackScores
        Of these.
    """

    date: Any
    source: Any
    season: str
    share: float
    scores: StackScores


@dataclass(frozen=True, eq=False, repr=False)
class StackCrossValidation:
    """What `cross_validate` found; images stand time first, in the order given.

    Attributes
    ----------
    predictions : Predictions, (T, H, W)
        Of what was hidden, noise included; NaN elsewhere.
    clouds : MovedClouds
        What was hidden.
    scores : StackScores
        Over all of it.
    by_season : dict of StackScores
        By quarter of the year.
    by_cloud : tuple of CloudScores
        In the order of `clouds`.
    fits : tuple of StackFit or SeriesFit
        By fold; without ``refit`` of a model of a field the parameters are the same.
    refitted : bool
        Whether parameters were estimated anew in every fold.
    """

    predictions: Predictions
    clouds: MovedClouds
    scores: StackScores
    by_season: dict[str, StackScores]
    by_cloud: tuple[CloudScores, ...]
    fits: tuple[StackFit | SeriesFit, ...]
    refitted: bool

    def summary(self) -> str:
        """Return the scores as text."""
        clouds = self.clouds
        how = "fitted anew in each" if self.refitted else "parameters fitted with all of them hidden"
        lines = [
            f"{clouds.count} clouds moved to clear dates hide {100.0 * clouds.share:.2g}% of what is seen, in "
            f"{clouds.n_folds} folds, {how}",
            "",
            f"{'':<22}{TITLES}",
            f"{'all':<22}{self.scores.row()}",
        ]
        if len(self.by_season) > 1:
            lines += [f"{name:<22}{each.row()}" for name, each in self.by_season.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"StackCrossValidation\n{self.summary()}"


@with_progress
@one_blas_thread()
def cross_validate(
    image: ArrayLike,
    *,
    dates: Any = None,
    clouds: MovedClouds | int | None = None,
    folds: int | None = None,
    refit: bool = True,
    rng: Seed = 0,
    mask: ArrayLike | Literal["nan"] | None = "nan",
    model: Model | Literal["modes"] | SeriesModel | None = None,
    mean_model: Model | None = None,
    harmonics: int | Literal["auto"] | None = "auto",
    covariates: Literal["constant", "linear"] | None = "constant",
    noise_variance: Literal["estimate"] | float = "estimate",
    fixed: Sequence[str] | str = (),
    start: Mapping[str, float] | None = None,
    outliers: Literal["screen"] | None = None,
    spacing: SpacingLike = "coordinates",
    method: Literal["auto", "sweep", "lattice"] = "auto",
    core: int | None = None,
    halo: int | None = None,
    progress: ProgressLike = False,
) -> StackCrossValidation:
    """Score how gaps are filled: move clouds of other dates to clear ones, fill, and compare with what they hide.

    What is hidden is not used: neither to estimate parameters, nor as a neighbour of what is predicted.

    Parameters
    ----------
    image, dates, mask
        The stack, as for `fill`.
    clouds : MovedClouds or int, optional
        What is hidden, or how many clouds are moved; see `moved_clouds`.
    folds : int, optional
        In how many sets; see `moved_clouds`.
    refit : bool
        Whether parameters are estimated anew in every fold. Otherwise they are estimated once, with the clouds of all
        folds hidden, and then held. Models of a series, such as modes, are learnt anew in any case.
    rng : int, Generator or None
        Seed of the choice of gaps; fixed by default.
    model, mean_model, harmonics, covariates, noise_variance, fixed, start, outliers, spacing, method, core, halo
        As for `fill`.
    progress : bool or callable
        As for `fill`; folds are stages.

    Returns
    -------
    StackCrossValidation

    Raises
    ------
    ArgumentError
        As for `fill` and `moved_clouds`; or with ``model="best"``, as it compares models by this.

    References
    ----------
    D. Roberts et al. (2017), Cross-validation strategies for data with temporal, spatial, hierarchical, or phylogenetic
    structure, Ecography 40; T. Gneiting, A. Raftery (2007), Strictly proper scoring rules, JASA 102.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf.models import Matern
    >>> rng = np.random.default_rng(0)
    >>> stack = Matern(range=4.0).gmrf((6, 6)).sample(rng=rng) + 0.2 * rng.standard_normal((6, 6, 6))
    >>> stack[2, 1:4, 2:5], stack[4, 3:, :2] = np.nan, np.nan
    >>> held = {"fixed": ["ell", "range"], "start": {"ell": 500.0, "range": 4.0}, "harmonics": None}
    >>> found = cross_validate(stack, dates=8.0 * np.arange(6), refit=False, **held)
    >>> found.clouds.count, found.scores.rmse < 0.5
    (6, True)
    """
    options = FillOptions.read(
        model=model,
        mean_model=mean_model,
        harmonics=harmonics,
        covariates=covariates,
        noise_variance=noise_variance,
        fixed=fixed,
        start=start,
        outliers=outliers,
        spacing=spacing,
        method=method,
        core=core,
        halo=halo,
    )
    if options.is_best:
        raise ArgumentError(f'model must be one model to be scored, got "{BEST}"; fill compares models by itself.')
    stack, stream = Stack.read(image, dates, mask), generator(rng)
    return score(stack, options, clouds_of(stack, clouds, folds, stream), refit)


def clouds_of(
    stack: Stack, clouds: MovedClouds | int | None, folds: int | None, stream: np.random.Generator
) -> MovedClouds:
    """Return the clouds that are given, or moved.

    Raises
    ------
    ArgumentError
        If those given are of another stack.
    """
    observed = ~np.isnan(stack.values)
    if not isinstance(clouds, MovedClouds):
        return moved(observed, stack.days, stack.calendar.seasons(stack.dates), stream, clouds, folds)
    if folds is not None:
        raise ArgumentError(f"folds must be left out with clouds that have folds already, got {folds}.")
    if not np.array_equal(clouds.observed, observed):
        raise ArgumentError(
            f"clouds must be moved over the observations of the stack, of shape {observed.shape}, got those of another "
            f"one, of shape {clouds.observed.shape}."
        )
    return clouds


def score(stack: Stack, options: FillOptions, clouds: MovedClouds, refit: bool) -> StackCrossValidation:
    """Return how a model predicts what clouds hide."""
    options = options.resolved(stack)
    none, stream = np.zeros(0), np.random.default_rng(0)  # nothing is drawn
    once = not refit and options.series_model() is None
    expect(clouds.n_folds + once)
    if once:
        with stage("all folds"):
            whole = fill_stack(stack.without(clouds.held_out), options, none, 0, stream)
        options = options.held_at(whole.fit)
    mean, std = np.full(stack.values.shape, np.nan), np.full(stack.values.shape, np.nan)
    fits = []
    for fold in range(clouds.n_folds):
        hidden = clouds.hidden(fold)
        with stage(f"fold {fold + 1} of {clouds.n_folds}"):
            found = fill_stack(stack.without(hidden), options, none, 0, stream)
        variance = np.broadcast_to(found.images.variance + found.images.noise_variance, stack.values.shape)
        mean[hidden], std[hidden] = found.images.mean[hidden], np.sqrt(variance[hidden])
        fits.append(found.fit)
    held = clouds.held_out
    y = np.where(held, stack.values, np.nan)
    of_day = np.broadcast_to(stack.days[:, np.newaxis, np.newaxis], y.shape)
    seasons = stack.calendar.seasons(stack.dates)
    of_season = np.broadcast_to(seasons[:, np.newaxis, np.newaxis], y.shape)

    def scores_on(some: Any) -> StackScores:
        return StackScores.of(y[some], mean[some], std[some], of_day[some])

    by_cloud = []
    for number, (target, source) in enumerate(zip(clouds.targets, clouds.sources, strict=True), 1):
        own = clouds.labels == number
        share = np.count_nonzero(own) / np.count_nonzero(clouds.observed[stack.days == stack.days[target]])
        date, of = stack.dates[target], None if source < 0 else stack.dates[source]
        by_cloud.append(CloudScores(date, of, str(seasons[target]), float(share), scores_on(own)))
    return StackCrossValidation(
        Predictions(mean, std, y),
        clouds,
        scores_on(held),
        {str(name): scores_on(held & (of_season == name)) for name in np.unique(of_season[held])},
        tuple(by_cloud),
        tuple(fits),
        refit,
    )
