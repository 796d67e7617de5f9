"""What a model of a series found: its estimates, the season of a pixel, and modes."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsegmrf._libraries import plotting
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._labels import unit_of
from sparsegmrf.stacks._modes import Learnt
from sparsegmrf.stacks._season_curve import SeasonCurve, curve_of_modes
from sparsegmrf.typing import Figure, FloatArray


@dataclass(frozen=True)
class SeriesFit:
    """Estimates of a model of a series, as it has them.

    Attributes
    ----------
    parameters : dict
        By name.
    n_observed : int
        Observations.
    name : str
        Of the model.
    """

    parameters: dict[str, Any]
    n_observed: int
    name: str
    _days: FloatArray = field(repr=False)
    _learnt: Learnt | None = field(repr=False)
    _like: Any = field(repr=False, default=None)

    def left_out(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None:
        """Return days, observations, and mean and variance of each by all others, ``(T, H, W)``; None if not known."""
        if self._learnt is None:
            return None
        found = self._learnt.left_out()
        images = []
        for some in found:
            images.append(np.full((len(self._days), *some.shape[1:]), np.nan))
            images[-1][self._learnt.dates] = some
        return self._days, images[0], images[1], images[2]

    def season(self, pixel: tuple[int, int] | None = None) -> SeasonCurve:
        """Return the season of a pixel through a year, as modes have it, with its standard deviation.

        Parameters
        ----------
        pixel : (int, int), optional
            Row and column from 0; by default the pixel with the most observations.

        Raises
        ------
        ArgumentError
            If `pixel` is none of the image, or the model of a series is no ``"modes"``.
        """
        return curve_of_modes(self._with_modes, pixel)

    @property
    def modes(self) -> FloatArray:
        """Images ``(rank, H, W)`` that keep coming back, times the deviation of their scores, the largest first.

        Raises
        ------
        ArgumentError
            If the model of a series is no ``"modes"``.
        """
        return self._with_modes.model.images

    def plot(
        self,
        *,
        pixel: tuple[int, int] | None = None,
        n_modes: int = 5,
        title: str | None = None,
        unit: str | None = None,
    ) -> Figure:
        """Draw the season of a pixel with its 90% band and its observations, and the modes as images.

        Parameters
        ----------
        pixel : (int, int), optional
            As for `season`.
        n_modes : int
            How many are drawn at most, the largest first.
        title : str, optional
            Of the figure; by default the estimates.
        unit : str, optional
            Of intensity; by default the ``units`` of a labelled stack.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`. A mode has the size of what it
            changes typically, one deviation of its scores, and the axes of `StackResult.plot`.

        Raises
        ------
        ArgumentError
            If `pixel` is none of the image, or the model of a series is no ``"modes"``.
        MissingLibraryError
            If matplotlib is not installed.
        """
        count = integer_at_least("n_modes", n_modes, 0)
        figure: Figure = plotting().season_figure(
            self.season(pixel),
            self.modes[:count],
            title=self.title if title is None else title,
            unit=unit_of(self._like) if unit is None else unit,
            like=self._like,
        )
        return figure

    @property
    def title(self) -> str:
        """Estimates in a line, as figures have it."""
        numbers = {name: value for name, value in self.parameters.items() if isinstance(value, int | float | np.number)}
        return ", ".join([self.name, *(f"{name} = {value:.3g}" for name, value in numbers.items())])

    @property
    def _with_modes(self) -> Learnt:
        if self._learnt is None:
            raise ArgumentError(
                f'model must be "modes" for a series to have a season and modes to draw, got {self.name}; plot() of '
                "what fill returns draws any model's images."
            )
        return self._learnt

    @property
    def standard_errors(self) -> dict[str, float]:
        """None: such a model has not said any."""
        return {}

    def summary(self) -> str:
        """Return the estimates as text."""
        lines = [f"stack of {self.n_observed} observations: {self.name}", ""]
        return "\n".join([*lines, *(f"{name:>16} {value}" for name, value in self.parameters.items())])

    def __repr__(self) -> str:
        return f"SeriesFit({self.name}, {', '.join(f'{name}={value}' for name, value in self.parameters.items())})"
