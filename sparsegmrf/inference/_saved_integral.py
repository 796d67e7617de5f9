"""What is kept in a file of parameters that were integrated out: everything but the images."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sparsegmrf._field_types import check_types
from sparsegmrf._libraries import plotting
from sparsegmrf._saved import Saved, check_names
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._parameter_density import ParameterDensity
from sparsegmrf.typing import Figure, FloatArray, Shape

KINDS = ("IntegratedFit", "IntegratedCountFit")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SavedIntegral(Saved):
    """The posterior of parameters as it was saved: densities, points with their weights, and the marginal likelihood.

    The images are not in it: `predict`, `functional` and risks take a new fit, or one at each point, such as
    ``fit(saved.model_at(k), image, fixed=...)``, whose predictions are mixed by the weights.

    Attributes
    ----------
    kind : str
        ``"IntegratedFit"`` or ``"IntegratedCountFit"``: what was saved.
    model : Model
        At the mode.
    likelihood : str
        Of what likelihood the parameters are.
    shape : (int, int)
        Height and width of the images in pixels.
    n_observed : int
        Observed pixels, of all images.
    densities, mode, log_evidence, strategy, without_prior, points, weights, evaluations
        As of an `IntegratedFit`.
    units : dict of str
        Units of those parameters that have a length in theirs.
    """

    kind: str
    model: Any
    likelihood: str
    shape: Shape
    n_observed: int
    densities: dict[str, ParameterDensity]
    mode: dict[str, float]
    log_evidence: float
    strategy: str
    without_prior: tuple[str, ...]
    points: dict[str, FloatArray]
    weights: FloatArray
    evaluations: int
    units: dict[str, str]

    def model_at(self, number: int) -> Any:
        """Return the model at a point, by its number from zero; a noise variance is in `points`.

        Raises
        ------
        ArgumentError
            If there is no such point.
        """
        k = integer_at_least("number", number, 0)
        if k >= len(self.weights):
            raise ArgumentError(f"number must lie from 0 to {len(self.weights) - 1}, got {k}.")
        values = {name: float(each[k]) for name, each in self.points.items() if name in self.model.parameters}
        return self.model.replace(**values)

    def plot(self, *, title: str | None = None, unit: str = "") -> Figure:
        """Draw the density of every parameter with its median and its interval of 95%.

        Parameters
        ----------
        title : str, optional
            Of the figure; by default the model.
        unit : str
            Of intensity.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`.

        Raises
        ------
        MissingLibraryError
            If matplotlib is not installed.
        """
        said = type(self.model).__name__ if title is None else title
        figure: Figure = plotting().densities_figure(
            self.densities, model=self.model, lengths=self.units, title=said, unit=unit
        )
        return figure

    def _saved_kind(self) -> str:
        return self.kind

    def _saved_fields(self) -> dict[str, object]:
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "kind"}

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> Saved:
        if given.get("kind_of_integral") not in KINDS:
            raise ArgumentError(f"kind of a saved integral must be {' or '.join(KINDS)}, got 'SavedIntegral'.")
        own = {name: value for name, value in given.items() if name != "kind_of_integral"}
        taken = [each.name for each in fields(cls) if each.name != "kind"]
        check_names(cls, own, dict.fromkeys(taken), taken)
        check_types(cls, own)
        if not hasattr(own["model"], "gmrf"):
            raise ArgumentError(f"model of a saved integral must be a model, got {own['model']!r}.")
        names = list(own["densities"])
        for part in ("mode", "points"):
            if list(own[part]) != names:
                raise ArgumentError(f"{part} of {cls.__name__} must have the parameters {', '.join(names)}.")
        weights = own["weights"]
        if weights.ndim != 1 or any(each.shape != weights.shape for each in own["points"].values()):
            raise ArgumentError(f"points of {cls.__name__} must be as many as weights, which are {weights.shape}.")
        if not (np.isfinite(weights).all() and (weights >= 0.0).all()):
            raise ArgumentError(f"weights of {cls.__name__} must be numbers from zero.")
        return super()._from_saved({"kind": given["kind_of_integral"], **own})

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={each.median:.4g}" for name, each in self.densities.items())
        return f"SavedIntegral({self.kind} of {type(self.model).__name__}, medians {said}, {len(self.weights)} points)"
