"""Solutions for stacks of any size: conjugate gradients on all pixels and dates, draws by perturbing and solving."""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import scipy.linalg

from sparsegmrf.errors import ConvergenceError
from sparsegmrf.factors import Factor, factorize
from sparsegmrf.inference._progress import evaluated, remaining, stage
from sparsegmrf.stacks._averaged import AveragedPrecision
from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stacks._factor import Covariances, StackFactor, as_stencil
from sparsegmrf.stacks._precision import StackPrecision
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

PROBES = 4
"""Draws by which traces are estimated."""
_NUMBERS = 2**22
"""Of the right-hand sides that are worked on at a time."""
_MOST = 5000
"""Steps after which a solution is given up."""
_CERTIFIED, _ROUNDS = 1e-3, 6
"""Bound in standard deviations to which means are refined, in so many rounds at most."""


class ConjugateFactor(StackFactor):
    r"""What a factorization gives but for the determinant, at the cost of products with the precision.

    Conjugate gradients are preconditioned by ``M``, the same stack with weights that are alike at all pixels of a date.
    A solution ends where ``r^T M^-1 r`` of its residual, which stands for the squared energy of the error, is a share
    of its own. For every pixel the error of a mean is at most ``sd |e|_P``, and as observations only add to a
    precision, ``P >= P_0``,

    .. math:: |e|_P^2 = r^T P^{-1} r \le r^T P_0^{-1} r = \sum_r r^T (J_r^{-1} \otimes Q_r^{-1}) r + \dots

    by which `error_bound` holds whatever the iterations have done. Draws solve ``P x = P_0 x_0 + A^T W^(1/2) e`` with a
    draw ``x_0`` of the fields without observations. Covariances are means over draws; the log-determinant is not known.

    Parameters
    ----------
    precision : StackPrecision
        Of any size.
    probes : int
        Draws for covariances.
    tolerance : float
        Energy of the error over that of the solution, as ``M`` has it.

    Raises
    ------
    ConvergenceError
        By methods, if that is not reached in 5000 steps.

    References
    ----------
    G. Papandreou, A. Yuille (2010), Gaussian sampling by local perturbations, NIPS 23.
    """

    logdet = float("nan")

    def __init__(self, precision: StackPrecision, probes: int = PROBES, tolerance: float = 1e-8) -> None:
        self.precision, self.probes, self.tolerance = precision, probes, tolerance
        self._near = AveragedPrecision(precision)
        self.steps = 0

    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``P^-1 b`` for ``(k, R U + K, n)``."""
        found, step = np.empty_like(b), together(self.precision.n_unknowns * self.precision.n_pixels)
        for first in range(0, len(b), step):
            with stage("solving", counts="steps", is_part=True):
                found[first : first + step] = self._solved(b[first : first + step])
        return found

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Return draws ``(k, R U + K, n)`` of ``N(0, P^-1)``."""
        return self.solve(self._perturbed(self.draw_prior(count, rng), rng))

    def draw_prior(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Return draws ``(k, R U + K, n)`` of the unknowns without observations."""
        return np.array([self._prior_draw(rng) for _ in range(count)])

    def _perturbed(self, drawn: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return ``P_0 x_0 + A^T W^(1/2) e``, whose covariance is ``P``."""
        precision, found = self.precision, np.empty_like(drawn)
        for each, x in zip(found, drawn, strict=True):
            noise = rng.standard_normal(precision.weight.shape)
            each[...] = precision.prior_times(x) + precision.spread(np.sqrt(precision.weight) * noise)
        return found

    def covariances(self, weights: Sequence[Sequence[Tridiagonal]] = ()) -> Covariances:
        """Return the covariances that gradients and variances need, as means over draws."""
        return mean_of([self._squares(each, weights) for each in self._drawn])

    def probed(self, weights: Sequence[Sequence[Tridiagonal]]) -> list[tuple[Covariances, Covariances]]:
        """Return squares of draws given the observations, and of those without from which they were made."""
        return [
            (self._squares(given, weights), self._squares(free, weights))
            for given, free in zip(self._drawn, self._drawn_free, strict=True)
        ]

    def certified(self, b: FloatArray, x: FloatArray) -> tuple[FloatArray, float]:
        """Return a solution ``(R U + K, n)`` refined until its error is at most 0.001 standard deviations, and that.

        Where noise is a millionth of the field's variance or less, energies are large and their shares are not enough;
        the bound that is left is returned where rounding ends the refinement.
        """
        bound = self.error_bound(b, x)
        for _ in range(_ROUNDS):
            if bound <= _CERTIFIED:
                break
            better = x + self.solve((b - self._times(x))[np.newaxis])[0]
            now = self.error_bound(b, better)
            if not now < bound:
                break
            x, bound = better, now
        return x, bound

    def error_bound(self, b: FloatArray, x: FloatArray) -> float:
        """Return the largest error of a solution ``(R U + K, n)`` in standard deviations that there can be."""
        r, precision = b - self._times(x), self.precision
        square, many = 0.0, precision.n_fields * precision.n_dates
        for f, J, own in zip(precision.apart(r)[0], precision.J, self._of_fields, strict=True):
            square += float(np.vdot(f, _on(own, J.solve(f), precision)))
        for c, own in zip(r[many:], self._of_coefficients, strict=True):
            square += float(np.vdot(c, _on(own, c[np.newaxis], precision)))
        return float(np.sqrt(square))

    @cached_property
    def _drawn_free(self) -> FloatArray:
        return self.draw_prior(self.probes, np.random.default_rng(0))  # the same at all parameters

    @cached_property
    def _drawn(self) -> FloatArray:
        return self.solve(self._perturbed(self._drawn_free, np.random.default_rng(1)))

    @cached_property
    def _of_fields(self) -> list[Factor]:
        return [factorize(Q) for Q in self.precision.Q]

    @cached_property
    def _of_coefficients(self) -> list[Factor]:
        return [factorize(Q) for Q in self.precision.coefficients]

    def _solved(self, b: FloatArray) -> FloatArray:
        """Return ``P^-1 b`` by conjugate gradients, each right-hand side with steps of its own length."""
        x, r = np.zeros_like(b), np.array(b)
        z = self._near.solve(r)
        d, rz = z, _products(r, z)
        gained, first = np.zeros(len(b)), 0.0
        for taken in range(_MOST):
            wanted = self.tolerance**2 * np.maximum(gained, np.finfo(float).tiny)
            if (rz <= wanted).all():
                return x
            Pd = self._times(d)
            along = _products(d, Pd)
            step = np.divide(rz, along, out=np.zeros(len(b)), where=along > 0.0)
            x += step[:, np.newaxis, np.newaxis] * d
            r -= step[:, np.newaxis, np.newaxis] * Pd
            gained += step * rz
            z = self._near.solve(r)
            before, rz = rz, _products(r, z)
            turn = np.divide(rz, before, out=np.zeros(len(b)), where=before > 0.0)
            d *= turn[:, np.newaxis, np.newaxis]
            d += z
            self.steps += 1
            now = float(np.max(rz / np.maximum(gained, np.finfo(float).tiny)))
            first = first if taken else now
            _tell(taken, first, now, self.tolerance**2)
        raise ConvergenceError(
            f"a stack of {self.precision.n_dates} dates of {self.precision.shape} pixels was not solved in {_MOST} "
            f"steps, its error is {float(np.sqrt(rz.max() / gained.max())):.2g} of the solution; take a shorter range, "
            'or method="sweep".'
        )

    def _times(self, x: FloatArray) -> FloatArray:
        """Return ``P x`` of unknowns ``(..., R U + K, n)``."""
        precision = self.precision
        found = np.stack([precision.prior_times(each) for each in x]) if x.ndim > 2 else precision.prior_times(x)
        found += precision.spread(precision.weight * precision.observe(x))
        return found

    def _prior_draw(self, rng: np.random.Generator) -> FloatArray:
        """Return a draw ``(R U + K, n)`` of fields and coefficients without observations."""
        precision, found = self.precision, []
        for J, own in zip(precision.J, self._of_fields, strict=True):
            white = rng.standard_normal((precision.n_dates, *precision.shape))
            images = own.unwhiten(white).reshape(precision.n_dates, -1)
            found.append(_coloured(J, images))
        for own in self._of_coefficients:
            found.append(own.unwhiten(rng.standard_normal((1, *precision.shape))).reshape(1, -1))
        return np.concatenate(found)

    def _squares(self, x: FloatArray, weights: Sequence[Sequence[Tridiagonal]]) -> Covariances:
        precision = self.precision
        fields, coefficients = precision.apart(x)
        of_fields = [
            [as_stencil(_pairs(f, M @ f, Q), Q) for M in matrices]
            for f, matrices, Q in zip(fields, weights, precision.Q, strict=False)
        ]
        of_c = [
            as_stencil(_pairs(c[np.newaxis], c[np.newaxis], Q), Q)
            for c, Q in zip(coefficients, precision.coefficients, strict=True)
        ]
        return Covariances(of_fields, of_c, precision.observe(x) ** 2)


def together(unknowns: int) -> int:
    """Return how many right-hand sides are worked on at a time."""
    return max(1, _NUMBERS // unknowns)


def mean_of(parts: Sequence[Covariances]) -> Covariances:
    """Return the means of covariances."""
    share = 1.0 / len(parts)

    def total(stencils: Sequence[SymmetricStencil]) -> SymmetricStencil:
        planes = sum(np.array([each.plane(k) for k in range(len(each.offsets))]) for each in stencils)
        return as_stencil(share * np.asarray(planes), stencils[0])

    of_fields = [
        [total([each.of_fields[r][m] for each in parts]) for m in range(len(matrices))]
        for r, matrices in enumerate(parts[0].of_fields)
    ]
    of_c = [total([each.of_coefficients[k] for each in parts]) for k in range(len(parts[0].of_coefficients))]
    return Covariances(of_fields, of_c, share * np.sum([each.variance for each in parts], axis=0))


def _pairs(x: FloatArray, y: FloatArray, Q: SymmetricStencil) -> FloatArray:
    """Return ``sum_u (x_up y_uq + y_up x_uq) / 2`` of pixels on the offsets of a stencil, ``(O, H, W)``."""
    height, width = Q.shape
    found = np.zeros((len(Q.offsets), height, width))
    a, b = x.reshape(-1, height, width), y.reshape(-1, height, width)
    for plane, (di, dj) in zip(found, Q.offsets.tolist(), strict=True):
        here = slice(max(0, -di), height - max(0, di)), slice(max(0, -dj), width - max(0, dj))
        there = slice(max(0, di), height + min(0, di)), slice(max(0, dj), width + min(0, dj))
        both = np.einsum("uij,uij->ij", a[:, *here], b[:, *there]) + np.einsum("uij,uij->ij", b[:, *here], a[:, *there])
        plane[here] = both / 2.0
    return found


def _tell(steps: int, first: float, now: float, wanted: float) -> None:
    """Tell a step, and how many more there will be if the square of the error goes on falling as it has."""
    evaluated(what="steps")
    if wanted < now < first:
        remaining(max(1, round(steps * math.log(now / wanted) / math.log(first / now))))


def _products(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.array([np.vdot(one, other) for one, other in zip(x, y, strict=True)])


def _coloured(J: Tridiagonal, white: FloatArray) -> FloatArray:
    """Return ``U^-1`` times ``(U, n)`` with ``J = U^T U``: of white dates a process of the precision ``J``."""
    if not len(J.beside):
        return white / np.sqrt(J.diagonal)[:, np.newaxis]
    root = scipy.linalg.cholesky_banded(J.banded)
    return np.asarray(scipy.linalg.solve_banded((0, 1), root, white))


def _on(own: Factor, x: FloatArray, precision: StackPrecision) -> FloatArray:
    """Return ``Q^-1 x`` of vectors ``(k, n)``."""
    return np.asarray(own.solve(x.reshape(-1, *precision.shape))).reshape(x.shape)
