"""Tables of fits by likelihood, and which of them may be compared at all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._count_fill import CountFillResult
from sparsegmrf.inference._count_fit_result import CountFitResult
from sparsegmrf.inference._field_fit import FieldFit
from sparsegmrf.inference._fill_result import FillResult
from sparsegmrf.inference._fit_result import FitResult
from sparsegmrf.inference._frame import Replicate
from sparsegmrf.inference._objective import Objective
from sparsegmrf.likelihoods import Binomial, Poisson

_Fit: TypeAlias = FitResult | CountFitResult | FillResult | CountFillResult

_SAME = 1e-7
"""What one span leaves of another, over all of it, that counts as nothing."""
_UNITS = 1e-9
"""Relative differences between images that are the same in other units."""


@dataclass(frozen=True, eq=False)
class ComparedFit:
    """A row of the table.

    Attributes
    ----------
    name : str
        What it is called in the table.
    fit : FitResult or CountFitResult
        The fit.
    method : str
        How it was estimated.
    loglik : float
        What it has maximized, in nats, unless `reason` says otherwise.
    n_parameters : int
        Estimated parameters, coefficients included.
    aic, bic : float
        Its criteria; NaN where its estimates are no maximum of a likelihood.
    converged : bool
        Whether the search has ended at a maximum.
    reason : str
        Why it cannot be compared with the `FitComparison.reference`; empty where it can.
    """

    name: str
    fit: FieldFit
    method: str
    loglik: float
    n_parameters: int
    aic: float
    bic: float
    converged: bool
    reason: str

    @property
    def is_comparable(self) -> bool:
        """Whether its likelihood and criteria may be compared with those of the reference."""
        return not self.reason


@dataclass(frozen=True, eq=False, repr=False)
class FitComparison:
    """Fits side by side; `compare_fits` makes it.

    Attributes
    ----------
    rows : tuple of ComparedFit
        In the order given.
    reference : str
        Name of the row with which the others are compared: the first whose estimates are a maximum of a likelihood.
    """

    rows: tuple[ComparedFit, ...]
    reference: str

    @property
    def comparable(self) -> tuple[ComparedFit, ...]:
        """The rows that may be compared with the reference, itself among them, by increasing AIC."""
        return tuple(sorted((row for row in self.rows if row.is_comparable), key=lambda row: row.aic))

    def __getitem__(self, name: str) -> ComparedFit:
        """Return the row of a name."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"{name!r} is none of {', '.join(row.name for row in self.rows)}")

    def summary(self) -> str:
        """Return the table as text: differences of AIC are those from the least of the rows that may be compared."""
        best = self.comparable
        width = max(12, *(len(row.name) + 2 for row in self.rows))
        titles = f"{'':<{width}}{'method':>8}{'loglik':>14}{'k':>5}{'AIC':>14}{'above':>10}{'BIC':>14}  converged"
        lines, notes = [titles], []
        for row in self.rows:
            above = f"{row.aic - best[0].aic:.2f}" if row.is_comparable else "*"
            lines.append(
                f"{row.name:<{width}}{row.method:>8}{row.loglik:14.4f}{row.n_parameters:5d}{row.aic:14.2f}{above:>10}"
                f"{row.bic:14.2f}  {'yes' if row.converged else 'NO'}"
            )
            if row.reason:
                notes.append(f"* {row.name} cannot be compared with {self.reference}: {row.reason}")
            if not row.converged:
                notes.append(f"{row.name}: {row.fit.reason}")
        return "\n".join([*lines, *notes])

    def __repr__(self) -> str:
        return f"FitComparison\n{self.summary()}"


def compare_fits(
    *fits: FitResult | CountFitResult | FillResult | CountFillResult,
    **named: FitResult | CountFitResult | FillResult | CountFillResult,
) -> FitComparison:
    """Compare fits by log-likelihood, AIC and BIC, and say which may not be compared.

    A likelihood can be compared with another one of the same data. Restricted likelihoods are those of contrasts that
    do not see the trend: of fits with other trends they are likelihoods of other data. So are those of intrinsic fields
    with other null spaces, and of images in other units. Estimates of cross-validation and posterior modes are no
    maxima of a likelihood.

    Parameters
    ----------
    *fits, **named : FitResult, CountFitResult, FillResult or CountFillResult
        At least one. Those given by name are called so; the others as their models are.

    Returns
    -------
    FitComparison
        Its ``repr`` is the table.

    Raises
    ------
    ArgumentError
        If there is none, or one is no result of a fit.

    References
    ----------
    J. Pinheiro, D. Bates (2000), Mixed-Effects Models in S and S-PLUS, chapter 2, for restricted likelihoods.

    Examples
    --------
    >>> from sparsegmrf import fit
    >>> from sparsegmrf.models import CAR, Matern
    >>> image = Matern(range=4.0).gmrf((24, 24)).sample(rng=0)
    >>> found = compare_fits(fit(CAR(), image), matern=fit(Matern(), image))
    >>> [row.name for row in found.rows], found.comparable[0].name
    (['CAR', 'matern'], 'matern')
    """
    given = dict(zip(_names_of(fits), fits, strict=True))
    both = sorted(given.keys() & named.keys())
    if both:
        raise ArgumentError(f"fits must have different names, got {both[0]!r} twice.")
    results = {name: _result_of(name, each) for name, each in {**given, **named}.items()}
    if not results:
        raise ArgumentError("fits must have at least one fit, got none.")
    reference = next((name for name, each in results.items() if not _no_maximum(each)), next(iter(results)))
    rows = []
    for name, each in results.items():
        reason = _no_maximum(each)
        aic, bic = (np.nan, np.nan) if reason else (each.aic, each.bic)
        if not reason and name != reference:
            reason = _difference(each, results[reference])
        rows.append(
            ComparedFit(name, each, each.method, each.loglik, each.n_parameters, aic, bic, each.converged, reason)
        )
    return FitComparison(tuple(rows), reference)


def _names_of(fits: tuple[_Fit, ...]) -> list[str]:
    """Return the names of the models, numbered where several are called alike."""
    own = [type(_result_of(f"number {k}", each).model).__name__ for k, each in enumerate(fits)]
    return [name if own.count(name) == 1 else f"{name} {own[: k + 1].count(name)}" for k, name in enumerate(own)]


def _result_of(name: str, value: object) -> FieldFit:
    found = value.fit if isinstance(value, FillResult | CountFillResult) else value
    if not isinstance(found, FieldFit):
        remedy = "; give a dict as compare_fits(**fits)" if isinstance(value, Mapping) else ""
        raise ArgumentError(f"fits must be results of fit or fill, got {type(value).__name__} for {name}{remedy}.")
    return found


def _no_maximum(fit: FieldFit) -> str:
    """Say why estimates are no maximum of a likelihood."""
    if fit.priors:
        return f"a posterior mode with priors on {', '.join(fit.priors)}, no maximum of the likelihood"
    if fit.method == "cv":
        return "estimates of cross-validation, no maximum of the likelihood; compare cv_score"
    return ""


def _difference(fit: FieldFit, other: FieldFit) -> str:
    """Say why the likelihood of a fit is none of the same data as another's; empty: it is."""
    different = _other_data(fit, other)
    if different:
        return different
    if _is_of_counts(fit) != _is_of_counts(other):
        return "probabilities of counts and densities of intensities have no common unit"
    if (fit.method == "reml") != (other.method == "reml"):
        return f"its likelihood is that of method={fit.method!r}, the other's that of {other.method!r}"
    own, others = _gaussian(fit), _gaussian(other)
    if not _same_null_space(own.images[0], others.images[0]):
        return (
            "its field has another null space, and its likelihood is that of other contrasts; restricted_loglik can be "
            "compared where null space and trend together are the same"
        )
    if fit.method == "reml" and not _same_trend(own, others):
        return "restricted likelihoods of other covariates are those of other contrasts; fit with method='ml'"
    return ""


def _other_data(fit: FieldFit, other: FieldFit) -> str:
    images, others = fit.problem.images, other.problem.images
    if len(images) != len(others) or fit.shape != other.shape:
        return "it has other images"
    pairs = list(zip(images, others, strict=True))
    if not all(np.array_equal(a.observed, b.observed) for a, b in pairs):
        return f"it has other observed pixels, {fit.n_observed} against {other.n_observed}"
    a, b = (np.concatenate([each.values[each.observed] for each in side]) for side in zip(*pairs, strict=True))
    if np.array_equal(a, b):
        return ""
    size = float(np.abs(b).max())
    if size > 0.0:
        factor = float(a @ (b / size)) / float(b @ (b / size))
        if np.abs(a - factor * b).max() <= _UNITS * np.abs(a).max():
            return f"its image is {factor:.6g} times the other's: densities in other units"
    return "it has other values"


def _is_of_counts(fit: FieldFit) -> bool:
    return isinstance(fit.problem.likelihood, Poisson | Binomial)


def _gaussian(fit: FieldFit) -> Objective:
    objective = fit.problem.objective
    return objective if isinstance(objective, Objective) else objective.gaussian


def _same_null_space(one: Replicate, other: Replicate) -> bool:
    return one.null.sees_like(other.null, _SAME)


def _same_trend(one: Objective, other: Objective) -> bool:
    """Return whether two trends are the same combinations on the observed pixels, null vectors projected out."""
    mine, others = (np.concatenate([image.null.seen(of.trend.columns) for image in of.images]) for of in (one, other))
    if mine.shape != others.shape:
        return False
    q, _ = np.linalg.qr(mine)
    return bool(np.linalg.norm(others - q @ (q.T @ others)) <= _SAME * np.linalg.norm(others))
