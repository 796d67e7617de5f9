"""The filled stack."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf.stacks._comparison import StackComparison
from sparsegmrf.stacks._drawing import draw_stack
from sparsegmrf.stacks._fit import StackFit
from sparsegmrf.stacks._series_fit import SeriesFit
from sparsegmrf.typing import BoolArray, Figure, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class StackAt:
    """What a stack says of dates at which there is no image.

    Attributes
    ----------
    dates : ndarray, (A,)
        As they were given.
    mean, std, predictive_std : (A, H, W)
        As of `StackResult`.
    samples : (k, A, H, W)
        The same draws as those of the stack.
    """

    dates: Any
    mean: FloatArray
    std: FloatArray
    predictive_std: FloatArray
    samples: FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class StackResult:
    """The filled stack and how sure it is; of the kind, shape and order given: arrays, or DataArrays.

    Attributes
    ----------
    mean : (T, H, W)
        Expectation of season, trend and field at every pixel and date, in intensity: gaps filled, noise removed.
    std : (T, H, W)
        Its standard deviation, that of the estimated trend included; parameters are taken as known.
    predictive_std : (T, H, W)
        Standard deviation of a new measurement, ``sqrt(std^2 + noise variance)``.
    filled : (T, H, W)
        The stack itself where it is observed and counts, `mean` elsewhere.
    samples : (k, T, H, W)
        Draws given the observations: correlated in space and time as the field is.
    outliers : ndarray of bool, (T, H, W)
        Observations that were screened out; see ``outliers=`` of `fill`.
    observed : ndarray of bool, (T, H, W)
        Where there is an observation that counts.
    fit : StackFit or SeriesFit
        Estimates.
    at : StackAt or None
        The same at the dates asked for.
    seam : float
        Zero where standard deviations come from all pixels at once. Of tiles the largest relative difference of what
        neighbours say of the deviations at their border.
    dates : ndarray, (T,)
        Of the images, in the order given.
    comparison : StackComparison or None
        With ``model="best"``: what was compared, and how each predicts what moved clouds hide.
    mean_error : float
        Bound of the error of any mean in standard deviations where it is solved for by iterations, else zero.
    """

    mean: FloatArray
    std: FloatArray
    predictive_std: FloatArray
    filled: FloatArray
    samples: FloatArray
    outliers: BoolArray
    observed: BoolArray
    fit: StackFit | SeriesFit
    at: StackAt | None
    seam: float
    dates: Any
    comparison: StackComparison | None = None
    mean_error: float = 0.0

    @property
    def parameters(self) -> dict[str, Any]:
        """Estimates by name; see `StackFit`."""
        return self.fit.parameters

    @property
    def standard_errors(self) -> dict[str, float]:
        """Their standard errors, which are computed when they are first asked for."""
        return self.fit.standard_errors

    def plot(
        self,
        *,
        dates: Sequence[int] | None = None,
        pixel: tuple[int, int] | None = None,
        title: str | None = None,
        unit: str | None = None,
    ) -> Figure:
        """Draw some dates, each as observed, its mean and its standard deviation, and the series of a pixel.

        The series has the mean with a 90% band at the dates of the images and at those asked for, and the observations.
        ``result.fit.plot()`` draws the season of a pixel, and modes as images.

        Parameters
        ----------
        dates : sequence of int, optional
            Positions of the dates that are drawn; by default five or as many as there are, spread over time.
        pixel : (int, int), optional
            Row and column from 0; by default the pixel with the most observations.
        title : str, optional
            Of the figure; by default model and estimates.
        unit : str, optional
            Of intensity; by default the ``units`` of a labelled stack.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`. The axes of a labelled stack are
            its coordinates, where these are evenly spaced numbers.

        Raises
        ------
        ArgumentError
            If `dates` are no positions of images, or `pixel` is none of them.
        MissingLibraryError
            If matplotlib is not installed.
        """
        figure: Figure = draw_stack(self, dates, pixel, title, unit)
        return figure

    def summary(self) -> str:
        """Return estimates with standard errors, what was screened out, and how it was computed, as text."""
        lines = [] if self.comparison is None else [self.comparison.summary(), ""]
        lines.append(self.fit.summary())
        count = int(np.count_nonzero(self.outliers))
        if count:
            lines.append(f"{count} observations screened out")
        if self.seam:
            lines.append(
                f"standard deviations of tiles differ by {100.0 * self.seam:.2g}% at most where they meet; means are "
                f"off by {self.mean_error:.1g} of them at most"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        gaps = self.outliers.size - self.fit.n_observed
        return f"StackResult(shape={self.outliers.shape}, {gaps} values filled, {self.fit!r})"
