"""Fields given counts: the Laplace approximation."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._mode import Mode, find_mode, log_joint
from sparsegmrf.inference._null_space import check_null_space_observed
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.likelihoods import Likelihood
from sparsegmrf.typing import ArrayLike, FloatArray

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False, init=False, repr=False)
class LaplacePosterior(GMRF):
    """Gaussian approximation ``N(x*, (Q + W)^-1)`` of a field given counts, at its mode.

    `condition` makes it; it is a `GMRF` like any other posterior. Its unit is that of the linear predictor: logarithms
    of rates, or of odds.

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

    def __init__(self, prior: GMRF, counts: Counts, mode: Mode) -> None:
        super().__init__(mode.precision, mode.eta)
        curvature = np.array(mode.derivatives.curvature)
        curvature.flags.writeable = False
        value = log_marginal_likelihood(prior, prior.logdet, counts, mode)
        _frozen.assign(
            self,
            likelihood=counts.likelihood.name,
            log_marginal_likelihood=value,
            curvature=curvature,
            steps=mode.steps,
            factor=mode.factor,
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


def condition_on_counts(gmrf: GMRF, y: object, mask: object, likelihood: Likelihood) -> LaplacePosterior:
    """Return the Laplace approximation of a field given measurements that are not Gaussian; see `condition`."""
    counts = Counts.of(likelihood, y, mask, gmrf.shape, "y")
    check_level_is_finite(gmrf, counts, "y")
    return laplace_posterior(gmrf, counts)


def laplace_posterior(gmrf: GMRF, counts: Counts) -> LaplacePosterior:
    """Return the Laplace approximation of a field given counts that were checked."""
    mode = find_mode(PriorPrecision.of(gmrf.precision, gmrf), gmrf.mean, counts, Refactorizer(), [counts.first_guess()])
    return LaplacePosterior(gmrf, counts, mode)


def log_marginal_likelihood(prior: GMRF, logdet: float, counts: Counts, mode: Mode) -> float:
    """Return ``log p(y | x*) + log p(x*) - log q(x*)``, with the `logdet` of the prior's precision, in nats."""
    joint = log_joint(PriorPrecision.of(prior.precision, prior), prior.mean, counts, mode.eta)
    return joint + 0.5 * (logdet - mode.factor.logdet + prior.rank_deficiency * _LOG_2PI)


def check_level_is_finite(gmrf: GMRF, counts: Counts, argument: str) -> None:
    """Refuse an intrinsic field whose level the counts do not fix, or send to infinity."""
    if not gmrf.lattice.is_complete:
        raise ArgumentError(
            "gmrf must be free at every pixel to be given counts, got a field with "
            f"{gmrf.lattice.size - gmrf.lattice.n_free} pixels that are known or outside its domain; crop them."
        )
    check_null_space_observed(gmrf, counts.observed)
    vectors = gmrf.null_vectors.tocsc()
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
