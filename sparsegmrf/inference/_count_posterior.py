"""The density of the working parameters of a fit to counts, field and trend integrated out by Laplace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sparsegmrf.inference._count_marginal import CountMarginal, MarginalSolution
from sparsegmrf.inference._count_objective import CountObjective
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._memo_posterior import MemoPosterior
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._problem import Problem
from sparsegmrf.typing import FloatArray

if TYPE_CHECKING:
    from sparsegmrf.inference._count_fit_result import CountFitResult

Making = Callable[[Problem, CountMarginal, FloatArray, MarginalSolution], "CountFitResult"]


@dataclass(frozen=True, eq=False)
class CountPosterior(MemoPosterior):
    """Laplace-approximate log-likelihood plus log-prior as a function of the working parameters.

    A flat density of the trend's coefficients is integrated out with the field, about the mode of both.
    """

    make: Making

    @classmethod
    def of(cls, fit: "CountFitResult", make: Making) -> "CountPosterior":
        """Search the mode from the estimates of a fit, which maximize over the coefficients.

        Raises
        ------
        ArgumentError
            If nothing was estimated, or the search does not end at a maximum.
        """
        whole = fit.problem.objective
        assert isinstance(whole, CountObjective)
        start = whole.gaussian.start(fit.model, None)
        return cls.searched(fit.problem, Memo(CountMarginal(whole)), start, make)

    def predict(self, at: FloatArray, count: int, stream: np.random.Generator) -> Prediction:
        """Return the linear predictor of pixels with parameters known, the trend estimated, and some draws."""
        return self.fit_at(at).predict(n_samples=count, rng=stream)

    def fit_at(self, at: FloatArray) -> "CountFitResult":
        """Return the fit whose estimates are the working parameters; its linear predictor is about its mean."""
        objective: CountMarginal = self.memo.objective
        return self.make(self.problem, objective, at, objective.skewed(at, self.memo.workspace))
