"""What every fit of a field returns."""

import html
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtri

from sparsegmrf._field_types import check_types
from sparsegmrf._saved import Saved
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.typing import Shape


class Fitted(Saved, ABC):
    """Estimates, the likelihood they reach, and the field they make.

    A subclass is a frozen dataclass with at least the fields below. Where a search found the estimates it also has
    ``converged``, whether they are a maximum, and ``reason``, why the search ended.

    Attributes
    ----------
    model : object
        The model at the estimates.
    loglik : float
        Log-likelihood of the observations in nats.
    n_observed : int
        Number of observations, whose logarithm `bic` takes.
    """

    model: Any
    loglik: float
    n_observed: int

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Number of estimated parameters ``k``."""

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors by parameter; empty where parameters have no names."""
        return {}

    @property
    def units(self) -> dict[str, str]:
        """Units of those parameters that have a length in theirs; by default of none."""
        return {}

    @property
    def aic(self) -> float:
        """Akaike's criterion ``2 k - 2 loglik``; smaller is better, on the same observations (see `compare_fits`)."""
        return akaike(self._maximal_loglik("aic"), self.n_parameters)

    @property
    def bic(self) -> float:
        """Schwarz's criterion ``k log n_observed - 2 loglik``; smaller is better, on the same observations."""
        return schwarz(self._maximal_loglik("bic"), self.n_parameters, self.n_observed)

    @abstractmethod
    def gmrf(self, shape: Shape | None = None) -> GMRF:
        """Return the field at the estimates with its mean, by default on the shape of what it was fitted to."""

    @abstractmethod
    def summary(self) -> str:
        """Return the estimates and the fit's figures as text."""

    def table(self, level: float = 0.95) -> dict[str, list[Any]]:
        """Return the estimates as a table, column by column: a dict that ``pandas.DataFrame`` takes.

        Parameters
        ----------
        level : float
            Between 0 and 1: of the intervals.

        Returns
        -------
        dict of list
            ``"name"``, ``"estimate"``, ``"std_error"``, the ends ``"low"`` and ``"high"`` of the confidence intervals,
            and the ``"unit"`` of what has a length in it, else empty. NaN where there is no standard error; without
            rows where parameters have no names.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1.
        """
        values, errors = self._estimates()
        intervals = self._intervals(level)
        return {
            "name": list(values),
            "estimate": list(values.values()),
            "std_error": [errors[name] for name in values],
            "low": [intervals[name][0] for name in values],
            "high": [intervals[name][1] for name in values],
            "unit": [self.units.get(name, "") for name in values],
        }

    def _repr_html_(self) -> str:
        """Return estimates with standard errors and 95% intervals, and the fit's figures, for notebooks."""
        heading, *rest = (html.escape(part) for part in self.summary().split("\n\n"))
        columns = self.table()
        lines = [f"<pre>{heading}</pre>"]
        if columns["name"]:
            titles = ("", "estimate", "std. error", "low 95%", "high 95%", "unit")
            lines += ["<table>", f"<tr>{''.join(f'<th>{each}</th>' for each in titles)}</tr>"]
            for name, *numbers, unit in zip(*columns.values(), strict=True):
                cells = (f"<td>{'' if math.isnan(each) else f'{each:.6g}'}</td>" for each in numbers)
                lines.append(f"<tr><th>{html.escape(name)}</th>{''.join(cells)}<td>{html.escape(unit)}</td></tr>")
            lines.append("</table>")
        return "\n".join([*lines, *(f"<pre>{each}</pre>" for each in rest[-1:])])

    def _estimates(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return all estimates that have a name, and their standard errors."""
        return dict(getattr(self, "parameters", {})), self.standard_errors

    def _intervals(self, level: float) -> dict[str, tuple[float, float]]:
        """Return confidence intervals of all estimates that have a name."""
        if not 0.0 < level < 1.0:
            raise ArgumentError(f"level must be between 0 and 1, got {level}.")
        z = float(ndtri((1.0 + level) / 2.0))
        values, errors = self._estimates()
        return {name: (value - z * errors[name], value + z * errors[name]) for name, value in values.items()}

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> Saved:
        """Return the fit; nothing but this has looked at what its constructor is given."""
        check_types(cls, given)
        return super()._from_saved(given)

    def _maximal_loglik(self, criterion: str) -> float:
        """Return `loglik`; a fit that has not maximized it refuses the criterion instead."""
        return self.loglik


def akaike(loglik: float, n_parameters: int) -> float:
    """Return ``2 k - 2 loglik``."""
    return 2.0 * n_parameters - 2.0 * loglik


def schwarz(loglik: float, n_parameters: int, n_observed: float) -> float:
    """Return ``k log n - 2 loglik``."""
    return n_parameters * float(np.log(n_observed)) - 2.0 * loglik
