"""Fisher scoring on all pixels of a stack: the exact score but for a noise that is measured, without determinants."""

import logging
from functools import partial
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import SparseGMRFError
from sparsegmrf.inference._conclusion import Curvature
from sparsegmrf.inference._progress import approaching, evaluated
from sparsegmrf.inference._search import Ended, Ending, newton
from sparsegmrf.stacks._conjugate import ConjugateFactor
from sparsegmrf.stacks._evidence import Evidence, named, named_information
from sparsegmrf.stacks._problem import NOISE, OF_COEFFICIENTS, Numbers, StackProblem, cropped
from sparsegmrf.stacks._windows import Window
from sparsegmrf.typing import BoolArray, FloatArray

_log = logging.getLogger("sparsegmrf.stacks")
_TOLERANCE = 0.1
"""Step in standard errors at which scoring ends."""
_LONGEST = 1.0
"""Longest step in any number."""
_STEPS = 12
_INFORMED, _NEAR = 2, 1.0
"""Steps whose average information is computed, and length in standard errors beyond which that of others is."""
_NOISY = 10.0
"""Variance of the draws' noise in a slope, over its information, beyond which a number is not moved."""
_SOLVED = 1e-4
"""Energy of the error of solutions over theirs: slopes differ by a thousandth of their noise from those of 1e-6."""


class Scored(NamedTuple):
    """Where scoring has ended: numbers, their covariance with that of the draws' noise, and those without one.

    These did not move, or the data say nothing about them.
    """

    ended: Ended
    numbers: Numbers
    covariance: FloatArray
    held: tuple[str, ...]
    evaluations: int

    @property
    def values(self) -> dict[str, float]:
        """The parameters."""
        return self.numbers.values(self.ended.at)


def scored(problem: StackProblem, window: Window, values: dict[str, float]) -> Scored:
    """Return where steps of the average information end that start at some parameters, on the pixels of a window.

    Numbers about which the draws' noise leaves nothing stay where they are, and so do those of maps of the season, of
    which an image has one draw each. The average information is that of the last step longer than a standard error. A
    step to where nothing can be computed is halved.
    """
    data, start = problem.data(*window), cropped(problem.start, *window)
    numbers = Numbers.of(problem, data.shape, start)
    at, average = numbers.numbers(values), np.zeros((0, 0))
    last, decrement = at, np.inf
    moves = np.array([not _of_maps(name) for name in numbers.names], dtype=bool)
    make = partial(ConjugateFactor, tolerance=_SOLVED)
    for step in range(_STEPS):
        J, names = numbers.jacobian(at), numbers.in_evidence
        try:
            evidence = Evidence.of(problem.model_of(numbers.values(at), start), data, make)
            gradient, noise = score(evidence, names, J)
        except (SparseGMRFError, ArithmeticError, np.linalg.LinAlgError):
            if not step:
                raise
            at = (at + last) / 2.0
            continue
        if step < _INFORMED or decrement > _NEAR:
            average = information(evidence, names, J)
            moves &= np.diagonal(noise) < _NOISY * np.diagonal(average)
        move, decrement, _ = newton(gradient[moves], average[np.ix_(moves, moves)])
        evaluated()
        approaching(decrement, _TOLERANCE)
        _log.info("stack: scoring step %d is %.2g standard errors long", step + 1, decrement)
        if decrement <= _TOLERANCE or step == _STEPS - 1:
            break
        last, at = at, at.copy()
        at[moves] += np.clip(move, -_LONGEST, _LONGEST)
    ending = Ending.MAXIMUM if decrement <= _TOLERANCE else Ending.STOPPED
    covariance = _covariance(average, noise, moves, numbers.names)
    held = tuple(np.array(numbers.names)[np.isnan(np.diagonal(covariance))].tolist())
    return Scored(Ended(at, ending, decrement), numbers, covariance, held, step + 1)


def _of_maps(name: str) -> bool:
    """Return whether a number is of the maps of the season."""
    return name.startswith("sd_") or name.endswith(OF_COEFFICIENTS)


def _covariance(average: FloatArray, noise: FloatArray, moves: BoolArray, names: list[str]) -> FloatArray:
    """Return ``I^-1 + I^-1 V I^-1`` of numbers that have moved, ``V`` being the noise of the score; NaN of others."""
    found, part = np.full(average.shape, np.nan), np.ix_(moves, moves)
    own = Curvature.of(average[part], [name for name, each in zip(names, moves, strict=True) if each]).covariance
    lost = np.isnan(np.diagonal(own))
    inverse = np.where(lost | lost[:, np.newaxis], 0.0, own)
    found[part] = own + inverse @ noise[part] @ inverse
    return found


def score(evidence: Evidence, names: list[str], J: FloatArray) -> tuple[FloatArray, FloatArray]:
    r"""Return the score at a model, and the covariance of its noise; `J` has derivatives of parameters by numbers.

    A trace ``tr(P^-1 B)`` is the mean of ``d^T B d`` over draws ``d`` of ``N(0, P^-1)``. Each was made from a draw
    ``x_0`` without observations, whose trace is known: with ``cov(d, x_0) = P^-1`` the estimate

    .. math:: d^T B d - c\, (x_0^T B x_0 - \operatorname{tr} P_0^{-1} B), \quad
              c = \operatorname{tr}((P^{-1} B)^2) / \operatorname{tr}((P_0^{-1} B)^2),

    has ``1 - c`` times the variance, little where observations say little. The ratio of traces, squared, stands for
    ``c``.
    """
    factor = evidence.factor
    assert isinstance(factor, ConjugateFactor)
    probed = factor.probed(evidence.in_time)
    without, exact = (named(evidence.slopes(each), names) for each in (None, evidence.zero()))
    given = np.array([named(evidence.slopes(each), names) for each, _ in probed])
    free = np.array([named(evidence.slopes(each), names) for _, each in probed])
    whole = exact - without  # half the traces without observations
    ratio = np.divide(exact - given.mean(axis=0), whole, out=np.zeros(len(whole)), where=whole != 0.0)
    share = np.clip(ratio, 0.0, 1.0) ** 2
    share[[name == f"log {NOISE}" for name in names]] = 0.0  # its trace is none of the unknowns' own
    slopes = (given - share * (free - without)) @ J
    return slopes.mean(axis=0), np.atleast_2d(np.cov(slopes, rowvar=False)) / len(slopes)


def information(evidence: Evidence, names: list[str], J: FloatArray) -> FloatArray:
    """Return the average information about the numbers."""
    return np.asarray(J.T @ named_information(evidence.information(), names) @ J)
