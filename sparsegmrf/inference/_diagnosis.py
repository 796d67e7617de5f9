"""What a diagnosis says: whiteness, predictions by all others, sampled variances; and how it is drawn."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsegmrf._libraries import plotting
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._scores import PITHistogram, Predictions, pit_histogram
from sparsegmrf.typing import Figure, Offset

_BINS = 20
_IN_A_BIN = 10
"""Predictions per bin of a histogram at least, by which it has fewer bins."""


@dataclass(frozen=True)
class Whiteness:
    """How far numbers are from independent standard normals; every ``_z`` is in standard errors under that law.

    Attributes
    ----------
    count : int
        Numbers ``e``.
    mean_z, variance_z, third_z, fourth_z : float
        Means of ``e``, ``e^2 - 1``, ``e^3`` and ``e^4 - 3``, over their standard errors ``sqrt(v / n)`` with ``v`` of
        1, 2, 15 and 96.
    correlations : dict of offset to (float, float)
        By lag in pixels the mean product of pairs, and its standard error, one over the root of the number of pairs.
    portmanteau, p_value : float
        Sum of the squared correlations over their standard errors, as Ljung and Box's, and the probability of more
        under chi-squared with one degree of freedom per lag.
    """

    count: int
    mean_z: float
    variance_z: float
    third_z: float
    fourth_z: float
    correlations: dict[Offset, tuple[float, float]]
    portmanteau: float
    p_value: float


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes
    ----------
    residual : float
        ``|Q x - b| / |b|`` of the solve, with ``Q`` as a stencil and ``x`` from its factor; some 1e-16 times the
        condition number of ``Q`` at most. Of counts that of the last Newton step, ``(Q + W) z = l' + W z`` with the
        mode ``mu + z``.
    innovations : Whiteness or None
        Of ``A (x - mu)``, the whitened field, for one draw of the field given the observations. None for a field alone.
    noise : Whiteness or None
        Of the measurements minus that draw, over the standard deviation of the noise; of counts, of their randomized
        quantile residuals given that draw. None without noise.
    n_samples : int
        Draws behind the following.
    variance_ratio, variance_ratio_z : float
        Mean over pixels of sampled over exact variances, and its distance from 1 in standard errors between draws.
    worst_ratio : float
        The least likely ratio of any pixel.
    worst_pixel : tuple of int
        Where.
    worst_p_value : float
        Its two-sided probability under chi-squared, times the number of pixels: far below 1 where a variance is wrong.
    left_out : Predictions or None
        Of every measurement by all others, in intensity, as if it had been missing: the parameters held, and the
        trend's coefficients estimated without it as well (held where measurements are exact, or noise has run to zero).
        None of a field alone, of counts, and of a sum of fields that is observed exactly.
    z : (H, W) or None
        What `left_out` has standardized, ``(y - mean) / std``; of counts the quantile residuals of `noise`. Standard
        normal if the model is right. NaN where there is none, or the others do not tell it; of a labelled image with
        its labels.
    """

    residual: float
    innovations: Whiteness | None
    noise: Whiteness | None
    n_samples: int
    variance_ratio: float
    variance_ratio_z: float
    worst_ratio: float
    worst_pixel: tuple[int, ...]
    worst_p_value: float
    left_out: Predictions | None = field(default=None, compare=False, repr=False)
    z: Any = field(default=None, compare=False, repr=False)

    @property
    def pit(self) -> Any:
        """Probability integral transform of every measurement, uniform if the model is right; as `z` is given."""
        from scipy.special import ndtr

        return ndtr(self._told_z)

    def pit_histogram(self, bins: int | None = None, level: float = 0.99) -> PITHistogram:
        """Return the histogram of the transform, with the band of independent predictions; see `scores`.

        Parameters
        ----------
        bins : int, optional
            By default 20, and fewer of fewer than 200 measurements.
        level : float
            Probability of the band, for each bin by itself.

        Raises
        ------
        ArgumentError
            If nothing is predicted, or an argument is out of its range.
        """
        z = np.asarray(self._told_z)
        z = z[np.isfinite(z)]
        number = max(2, min(_BINS, len(z) // _IN_A_BIN)) if bins is None else bins
        return pit_histogram(z, 0.0, 1.0, bins=number, level=level)

    @property
    def _told_z(self) -> Any:
        if self.z is None or not np.isfinite(np.asarray(self.z)).any():
            raise ArgumentError(
                "result must have measurements that are predicted by others, got none: of a field alone, and of a sum "
                "that is observed exactly, there are none."
            )
        return self.z

    @property
    def _whiteness(self) -> dict[str, Whiteness]:
        """What was found to be white or not, by name."""
        found = {"innovations": self.innovations, "noise": self.noise}
        return {name: each for name, each in found.items() if each is not None}

    def plot(self, *, title: str = "") -> Figure:
        """Draw how measurements differ from what the others say: on the map, as a histogram, and by lag.

        (a) `z` pixel by pixel, where a pattern is what the model does not know. (b) The histogram of its probability
        integral transform with the band that 99% of the bins of independent right predictions keep to: a hump says that
        predicted deviations are too large, a trough that they are too small, a slope that means are off. (c) The
        correlations of innovations and noise by lag, in standard errors.

        Parameters
        ----------
        title : str
            Of the figure.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`.

        Raises
        ------
        ArgumentError
            If nothing is predicted.
        MissingLibraryError
            If matplotlib is not installed.
        """
        figure: Figure = plotting().diagnosis_figure(
            self._told_z,
            self.pit_histogram(),
            {name: each.correlations for name, each in self._whiteness.items()},
            title=title,
            given="one draw of the field" if self.left_out is None else "all others",
        )
        return figure

    def summary(self) -> str:
        """Return the figures as text."""
        lines = [f"residual of the solve, relative         {self.residual:10.2g}"]
        for name, white in self._whiteness.items():
            lines.append(f"{name}, {white.count} of them, in standard errors:")
            moments = (white.mean_z, white.variance_z, white.third_z, white.fourth_z)
            lines.append("  mean, variance, 3rd and 4th moment   " + "".join(f"{z:+8.2f}" for z in moments))
            for lag, (value, error) in white.correlations.items():
                lines.append(f"  correlation at {lag!s:<10} {value:+12.4f}{value / error:+10.2f}")
            lines.append(f"  all lags: chi-squared {white.portmanteau:.2f}, p = {white.p_value:.3g}")
        lines.append(f"sampled over exact variances, {self.n_samples} draws:")
        lines.append(f"  mean ratio {self.variance_ratio:.4f}, {self.variance_ratio_z:+.2f} standard errors from 1")
        lines.append(
            f"  worst {self.worst_ratio:.3f} at {self.worst_pixel}, p = {self.worst_p_value:.3g} for all pixels"
        )
        return "\n".join(lines)
