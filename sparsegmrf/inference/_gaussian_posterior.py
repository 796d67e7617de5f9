"""The density of the working parameters of a fit with Gaussian noise, the trend integrated out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sparsegmrf.inference._conclusion import Conclusion
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._memo_posterior import MemoPosterior
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._predict_at_end import predict_at_end
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._problem import Problem
from sparsegmrf.typing import FloatArray

if TYPE_CHECKING:
    from sparsegmrf.inference._fit_result import FitResult

Making = Callable[[Problem, Memo, FloatArray, Conclusion], "FitResult"]


@dataclass(frozen=True, eq=False)
class GaussianPosterior(MemoPosterior):
    """Restricted log-likelihood plus log-prior as a function of all working parameters, no scale profiled.

    A flat density of the trend's coefficients integrates to the restricted likelihood, up to a constant.
    """

    make: Making

    @classmethod
    def of(cls, fit: "FitResult", make: Making) -> "GaussianPosterior":
        """Search the mode from the estimates of a fit, which are it where they are restricted ones.

        Raises
        ------
        ArgumentError
            If nothing was estimated, or the search does not end at a maximum.
        """
        problem = replace(fit.problem, method="reml")
        objective = problem.objective
        assert isinstance(objective, Objective)
        memo = Memo(objective.with_scale())
        return cls.searched(problem, memo, memo.objective.start(fit.model, fit.noise_variance), make)

    def predict(self, at: FloatArray, count: int, stream: np.random.Generator) -> Prediction:
        """Return what is known of pixels with parameters known, the trend estimated, and some draws."""
        self.memo(at)  # which leaves the factor and the variances given the observations
        return predict_at_end(self.fit_at(at), self.memo, at, count, stream)

    def fit_at(self, at: FloatArray) -> "FitResult":
        """Return the fit whose estimates are the working parameters."""
        return self.make(self.problem, self.memo, at, Conclusion(True, "a point of an integral", None))
