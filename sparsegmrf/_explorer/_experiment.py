"""The first tab: what the Cholesky experiment shows for a weight and a seed."""

import warnings
from dataclasses import dataclass
from typing import Literal

from sparsegmrf._explorer._picture import png
from sparsegmrf.autoregression import Experiment, experiment
from sparsegmrf.errors import UnstableWarning
from sparsegmrf.plot import experiment_figure

Convention = Literal["LLt", "LtL"]


@dataclass(frozen=True, eq=False)
class ExperimentView:
    """An experiment and what is said of it.

    Attributes
    ----------
    result : Experiment
        Matrices, draw and figures.
    warning : str
        That the weight is beyond its limit, empty if it is not.
    """

    result: Experiment
    warning: str

    @classmethod
    def of(cls, k: float, size: int, seed: int, convention: Convention) -> "ExperimentView":
        """Run the experiment; a warning that it gives is kept."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UnstableWarning)
            result = experiment(k, size, seed, convention)
        sentences = [str(each.message) for each in told]
        return cls(result, " ".join(f"{each[:1].upper()}{each[1:]}" for each in sentences))

    def picture(self) -> bytes:
        """Return the panels as PNG."""
        return png(experiment_figure(self.result))

    def text(self) -> str:
        """Return the figures in a line, and the warning."""
        numbers = (
            f"condition number of Q: {self.result.condition:.4g}, "
            f"largest marginal variance: {self.result.largest_variance:.4g}."
        )
        return f"{numbers} {self.warning}".strip()
