"""Fields given counts: the Laplace approximation."""

from dataclasses import dataclass, replace

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import Factor, Form, RestrictedFactor, RestrictedForm
from sparsegmrf.factors.congruent import CongruentForm
from sparsegmrf.factors.total import TotalFactor, TotalForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._mode import Mode, find_mode, first_deviation, log_joint
from sparsegmrf.inference._null_space import check_null_vectors_observed
from sparsegmrf.inference._null_vectors import domain_of, seen_of
from sparsegmrf.inference._prior_precision import PriorPrecision, with_outside
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.likelihoods import Likelihood
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import ArrayLike, FloatArray

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False, init=False, repr=False)
class LaplacePosterior(GMRF):
    """Gaussian approximation ``N(x*, (Q + W)^-1)`` of a field given counts, at its mode.

    `condition` makes it; it is a `GMRF` like any other posterior. Its unit is that of the linear predictor: logarithms
    of rates, or of odds. Of a fitted `Sum` it is that of the stacked fields, ``(Q + a W a^T)^-1`` with the weights
    ``a`` of the sum.

    Attributes
    ----------
    likelihood : str
        Its name, such as ``"poisson"``.
    log_marginal_likelihood : float
        ``log p(y | x*) + log p(x*) - log q(x*)`` in nats, with all constants of the counts' distribution: the Laplace
        approximation of ``log p(y)``. Under an intrinsic prior the level has density 1 along orthonormal null vectors.
    curvature : ndarray, (H, W)
        ``W``: minus the second derivatives of the log-likelihood at the mode; zero where missing.
    steps : int
        Newton steps to the mode.
    """

    likelihood: str
    log_marginal_likelihood: float
    curvature: FloatArray
    steps: int

    def __init__(self, given: GMRF, counts: Counts, mode: Mode, log_marginal: float) -> None:
        super().__init__(given.given, given.mean)
        curvature = np.array(mode.derivatives.curvature)
        curvature.flags.writeable = False
        _frozen.assign(
            self,
            likelihood=counts.likelihood.name,
            log_marginal_likelihood=log_marginal,
            curvature=curvature,
            steps=mode.steps,
            factor=given.factor,
        )

    def with_mean(self, mean: ArrayLike) -> GMRF:
        """Return the Gaussian moved to another mean: a plain `GMRF`, for it no longer stands at the mode.

        Raises
        ------
        ArgumentError
            If the mean has another shape or is not finite.
        """
        moved = GMRF(self.given, mean, self.method)
        _frozen.assign(moved, factor=self.factor)
        return moved


def condition_on_counts(
    gmrf: GMRF, y: object, mask: object, likelihood: Likelihood, digits: str = "double"
) -> LaplacePosterior:
    """Return the Laplace approximation of a field given measurements that are not Gaussian; see `condition`."""
    counts = Counts.of(likelihood, y, mask, gmrf.shape, "y")
    check_level_is_finite(*_with_unknowns(gmrf, counts), "y")
    return laplace_posterior(gmrf, counts, digits)


def laplace_posterior(gmrf: GMRF, counts: Counts, digits: str = "double") -> LaplacePosterior:
    """Return the Laplace approximation of a field given counts that were checked."""
    unknowns, seen = _with_unknowns(gmrf, counts)
    mode, log_marginal = _mode(unknowns, gmrf.mean, seen, digits)
    if seen.combination is None:
        return LaplacePosterior(_on_domain(unknowns, mode, mode.eta), seen, mode, log_marginal)
    assert isinstance(mode.precision, CongruentForm)
    form = TotalForm(mode.precision, seen.combination)
    total = _field(form, mode.eta, TotalFactor(form, mode.factor, Refactorizer(digits)))
    return LaplacePosterior(total, seen, mode, log_marginal)


def laplace_posterior_of_fields(
    unknowns: GMRF, mean: FloatArray, counts: Counts, digits: str = "double"
) -> LaplacePosterior:
    """Return that of fields ``(H, W, C)`` of mean zero whose weighted sum about an image ``(H, W)`` was counted."""
    mode, log_marginal = _mode(unknowns, mean, counts, digits)
    return LaplacePosterior(_on_domain(unknowns, mode, mode.deviation), counts, mode, log_marginal)


def log_marginal_likelihood(prior: GMRF, mean: FloatArray, logdet: float, counts: Counts, mode: Mode) -> float:
    """Return ``log p(y | x*) + log p(x*) - log q(x*)``, with the `logdet` of the prior's precision, in nats."""
    precision = PriorPrecision.of(prior.precision, prior)
    joint = log_joint(precision, mean, counts, mode.deviation)
    logdet += precision.logdet_outside
    return joint + 0.5 * (logdet - mode.factor.logdet + prior.rank_deficiency * _LOG_2PI)


def check_level_is_finite(gmrf: GMRF, counts: Counts, argument: str) -> None:
    """Refuse an intrinsic field, or one among stacked fields, whose level the counts do not fix or send to infinity."""
    wrong = np.argwhere(counts.observed & ~domain_of(gmrf.lattice))
    if len(wrong):
        raise ArgumentError(
            f"{argument} must be missing where the field is known or has no value, outside its domain, got "
            f"{len(wrong)} counts there, the first at {tuple(wrong[0].tolist())}; set them to NaN, or mask them."
        )
    vectors = gmrf.null_vectors
    if counts.combination is not None:  # what they add to the sum
        vectors = seen_of(vectors, counts.combination)
    check_null_vectors_observed(vectors, counts.observed)
    vectors = vectors.tocsc()
    for value, extreme in counts.extremes:
        for first, last in zip(vectors.indptr[:-1], vectors.indptr[1:], strict=True):
            pixels, numbers = vectors.indices[first:last], vectors.data[first:last]
            moved = counts.observed.flat[pixels] & (numbers != 0.0)
            one_sign = np.ptp(np.sign(numbers[moved])) == 0.0
            if one_sign and extreme.flat[pixels][moved].all():
                raise ArgumentError(
                    f"{argument} must fix the level of an intrinsic field, but every count on a connected part of it "
                    f"is {value}, which sends its mode to infinity; use a proper field, or leave out that part."
                )


def _with_unknowns(gmrf: GMRF, counts: Counts) -> tuple[GMRF, Counts]:
    """Return the fields that a field is the sum of, stacked, with the counts of their sum; any other as it is."""
    if not isinstance(gmrf.given, TotalForm):
        return gmrf, counts
    return GMRF(gmrf.given.inner, method=gmrf.method), replace(counts, combination=gmrf.given.weights)


def _mode(prior: GMRF, mean: FloatArray, counts: Counts, digits: str) -> tuple[Mode, float]:
    """Return the mode, and the approximate log-likelihood."""
    precision = PriorPrecision.of(prior.precision, prior)
    mode = find_mode(precision, mean, counts, Refactorizer(digits), [first_deviation(counts, mean)])
    logdet = prior.logdet if digits == "double" else Refactorizer(digits).of_field(prior).logdet
    return mode, log_marginal_likelihood(prior, mean, logdet, counts, mode)


def _on_domain(prior: GMRF, mode: Mode, mean: FloatArray) -> GMRF:
    """Return the Gaussian approximation at a mode, about a mean, on the domain of the prior."""
    lattice = prior.lattice
    if lattice.is_complete:
        return _field(mode.precision, mean, mode.factor)
    logdet = with_outside(prior.precision, lattice)[1]
    form = RestrictedForm(mode.precision, lattice, logdet)
    return _field(form, mean, RestrictedFactor(mode.factor, lattice, logdet))


def _field(given: SymmetricStencil | Form, mean: FloatArray, factor: Factor) -> GMRF:
    """Return a field with a factor that is there already."""
    field = GMRF(given, mean)
    _frozen.assign(field, factor=factor)
    return field
