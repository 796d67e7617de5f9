"""Whether a filled stack can be trusted: every observation predicted by all others, and every date by all others."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._libraries import plotting
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._scores import PITHistogram, Predictions, pit_histogram
from sparsegmrf.stacks._fit import StackFit
from sparsegmrf.stacks._labels import StackLabels
from sparsegmrf.stacks._leave_one_out import DateDifference, leave_one_out
from sparsegmrf.stacks._result import StackResult
from sparsegmrf.stacks._scores import TITLES, StackScores
from sparsegmrf.stacks._series_fit import SeriesFit
from sparsegmrf.typing import Figure, FloatArray, IntArray

_FLAGGED = 0.01
"""Probability that any date is flagged of a stack that is as the model says."""
_OF_MODES = "exact given modes, local field and weights of the noise, which have seen it"
_SHOWN = 12
"""Flagged dates that a summary has at most."""


class DateDiagnosis(NamedTuple):
    """What the others say of one image.

    Attributes
    ----------
    date : object
        As it was given.
    scores : StackScores
        Of its observations, each predicted by all others, those of its own date among them.
    mean_z, mean_square_z : float
        Of its standardized residuals: 0 and 1, on average, if the model is right.
    square, degrees : float and int
        ``d^T C^-1 d`` of what it differs by from its prediction by all other dates, with all its pixels at once, and
        its expectation under the model; of tiles those of the tile that differs most. NaN and 0 where no other date
        tells the trend.
    offset, offset_error : float
        The mean of that difference over its observations, in intensity, and its standard deviation under the model.
    p_value : float
        Probability of a larger square, or of an offset farther from zero, under a model whose variances are
        `StackDiagnosis.dispersion` times as large: twice the smaller one, times the number of tiles.
    """

    date: Any
    scores: StackScores
    mean_z: float
    mean_square_z: float
    square: float
    degrees: int
    offset: float
    offset_error: float
    p_value: float


@dataclass(frozen=True, eq=False, repr=False)
class StackDiagnosis:
    """What `diagnose` found of a stack; images stand time first, in the order given.

    Attributes
    ----------
    left_out : Predictions, (T, H, W)
        Of every observation by all others, in intensity; NaN where there is none, or the others do not tell it.
    z : (T, H, W)
        Standardized residuals ``(y - mean) / std``, standard normal if the model is right; of the kind and order of
        the stack.
    scores : StackScores
        Over all observations.
    by_date : tuple of DateDiagnosis
        In the order given.
    mean_z, mean_square_z : ndarray, (H, W)
        Over the dates of each pixel; NaN where it is never seen.
    dispersion : float
        Median over dates of ``square / degrees`` if that is more than 1: by how much too small the model takes
        variances everywhere, which is no fault of a single date.
    told : int
        Observations that are predicted.
    untold : int
        Observations that are not, as the others say next to nothing of them.
    how : str
        Whether this is exact, and if not what is neglected.
    """

    left_out: Predictions
    z: Any
    scores: StackScores
    by_date: tuple[DateDiagnosis, ...]
    mean_z: FloatArray
    mean_square_z: FloatArray
    dispersion: float
    told: int
    untold: int
    how: str

    @property
    def pit(self) -> Any:
        """Probability integral transform of every observation, uniform if the model is right; as `z` is given."""
        from scipy.special import ndtr

        return ndtr(self.z)

    def pit_histogram(self, bins: int = 10, level: float = 0.95) -> PITHistogram:
        """Return the histogram of the transform, with the band of independent predictions; see `scores`."""
        y, mean, std = _told(self.left_out)
        return pit_histogram(y, mean, std, bins=bins, level=level)

    def plot(self, *, title: str = "") -> Figure:
        """Draw how observations differ from what the others say: on the map, as a histogram, and by date.

        (a) The mean of `z` over the dates of each pixel, in standard errors. (b) The histogram of the probability
        integral transform with the band that 99% of the bins of independent right predictions keep to. (c) The offset
        of every date from its prediction by all other dates, in standard errors, those of `flagged` in red; where dates
        are not compared, the mean of their `z`, were observations independent.

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
        MissingLibraryError
            If matplotlib is not installed.
        """
        drawn, z = plotting(), self.left_out
        counts = np.isfinite((z.observed - z.mean) / z.std)
        values = [
            each.offset / each.offset_error if self._compared else each.mean_z * float(np.sqrt(counts[t].sum()))
            for t, each in enumerate(self.by_date)
        ]
        figure: Figure = drawn.stack_diagnosis_figure(
            self.mean_z * np.sqrt(counts.sum(axis=0)),
            self.pit_histogram(20, 0.99),
            [(each.date, value) for each, value in zip(self.by_date, values, strict=True)],
            self.flagged.tolist(),
            what="offset in standard errors" if self._compared else "mean residual in standard errors",
            title=title,
            like=self.z[0] if hasattr(self.z, "isel") else None,
        )
        return figure

    @property
    def _compared(self) -> bool:
        """Whether dates are compared with all others."""
        return any(each.degrees for each in self.by_date)

    @property
    def flagged(self) -> IntArray:
        """Positions of the dates that contradict all others, the least likely first; none of 99 right stacks in 100.

        A date that is wrong contradicts the dates beside it, which may be flagged with it: look at the first one.
        """
        p = np.array([each.p_value for each in self.by_date])
        order = np.argsort(p, kind="stable")  # NaN, of dates that are not compared, last
        return np.asarray(order[p[order] < _FLAGGED / max(1, np.isfinite(p).sum())])

    def summary(self) -> str:
        """Return the figures as text."""
        z = np.asarray(self.z)
        z = z[np.isfinite(z)]
        lines = [f"every observation predicted by all others: {self.how}", "", TITLES, self.scores.row()]
        lines += ["", f"standardized residuals: mean {z.mean():+.3f}, mean square {np.mean(z * z):.3f}"]
        counts = self.pit_histogram().counts / len(z)
        lines.append("probability integral transform by tenths: " + " ".join(f"{share:.3f}" for share in counts))
        if self.untold:
            lines.append(f"{self.untold} observations are not told by the others")
        flagged = self.flagged.tolist()
        if not self._compared:
            return "\n".join([*lines, "dates are not compared with all others"])
        lines.append(
            f"{len(flagged)} of {len(self.by_date)} dates contradict all others, dispersion {self.dispersion:.3g}"
        )
        for k in flagged[:_SHOWN]:
            own = self.by_date[k]
            lines.append(
                f"  {own.date!s:>24}  {own.square:.5g} for {own.degrees} expected, offset {own.offset:+.4g} +- "
                f"{own.offset_error:.2g}, p = {own.p_value:.2g}"
            )
        if len(flagged) > _SHOWN:
            lines.append(f"  and {len(flagged) - _SHOWN} more")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"StackDiagnosis\n{self.summary()}"


@one_blas_thread()
def diagnose(result: StackResult | StackFit | SeriesFit) -> StackDiagnosis:
    """Check a filled stack: every observation against all others, and every date against all other dates.

    With ``m`` and ``v`` mean and variance of what is observed, given all observations, and ``s`` the variance of the
    noise, the others predict an observation by ``y - (y - m) / (1 - v/s)`` with the variance ``s / (1 - v/s)``. Both
    are exact, the trend's coefficients being estimated without it as well; parameters are held. A date is compared with
    its prediction by all other dates, all pixels together. Observations that were screened out are not diagnosed.

    Of modes the same is exact given the modes with their uncertainty, the local field, and weights and scales of the
    noise. These have been learnt with the observation, which makes residuals some percent too small; `cross_validate`
    learns them anew. The noise is taken as the normal one whose central 90% are those of Student's t. Dates are not
    compared.

    Parameters
    ----------
    result : StackResult or StackFit
        What `fill` has returned.

    Returns
    -------
    StackDiagnosis

    Raises
    ------
    ArgumentError
        If `result` is nothing of the kind, of a model of a series that says nothing of this, or no observation is told
        by the others.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), theorem 2.5; T. Gneiting, F. Balabdaoui, A. Raftery (2007),
    Probabilistic forecasts, calibration and sharpness, JRSS B 69.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf.models import Matern
    >>> from sparsegmrf.stacks import fill
    >>> rng = np.random.default_rng(0)
    >>> stack = Matern(range=4.0).gmrf((6, 6)).sample(5, rng=rng) + 0.3 * rng.standard_normal((5, 6, 6))
    >>> stack[2] += 4.0  # a date that is unlike the others
    >>> held = {"fixed": ["ell", "range", "sigma"], "start": {"ell": 5.0, "range": 4.0, "sigma": 1.0}}
    >>> found = diagnose(fill(stack, dates=np.arange(5.0), harmonics=None, noise_variance=0.09, **held))
    >>> found.flagged.tolist(), found.left_out.mean.shape
    ([2], (5, 6, 6))
    """
    fit = result.fit if isinstance(result, StackResult) else result
    series = fit.left_out() if isinstance(fit, SeriesFit) else None
    if isinstance(fit, StackFit):
        left, differences, days, how = _of_field(fit)
    elif series is not None:
        days, y, mean, variance = series
        left, differences, how = Predictions(mean, np.sqrt(variance), y), {}, _OF_MODES
    else:
        raise ArgumentError(
            f"result must be what sparsegmrf.fill returns of a stack, by a model that says what the others say of an "
            f"observation, got {_named(fit)}; take stacks.cross_validate, which hides and fills anew."
        )
    dates = result.dates if isinstance(result, StackResult) else days
    labels = StackLabels.of(result.mean, None) if isinstance(result, StackResult) else None
    return _diagnosis(left, differences, days, dates, labels, how)


def _named(fit: object) -> str:
    return f"a {fit.name}" if isinstance(fit, SeriesFit) else type(fit).__name__


def _of_field(fit: StackFit) -> tuple[Predictions, dict[float, list[DateDifference]], FloatArray, str]:
    problem = fit.problem
    found = leave_one_out(problem, fit.inner_model, fit.plan)
    unit, level = problem.unit, problem.level
    differences = {
        day: [each._replace(offset=each.offset * unit, offset_error=each.offset_error * unit) for each in several]
        for day, several in found.differences.items()
    }
    y = np.where(problem.observed, problem.values * unit + level, np.nan)
    how = "exact, parameters held" if fit.plan.is_exact else "exact within tiles, parameters and trend held"
    return Predictions(found.mean * unit + level, found.std * unit, y), differences, problem.days, how


def _diagnosis(
    left: Predictions,
    differences: dict[float, list[DateDifference]],
    days: FloatArray,
    dates: npt.NDArray[Any],
    labels: StackLabels | None,
    how: str,
) -> StackDiagnosis:
    z = (left.observed - left.mean) / left.std
    told = np.isfinite(z)
    if not told.any():
        raise ArgumentError(
            f"result must have observations that others tell, got none of {np.isfinite(left.observed).sum()}: the "
            "noise variance is too small beside the field's, or there is a single observation; give a noise_variance."
        )
    ratios = [each.square / each.degrees for found in differences.values() for each in found]
    dispersion = max(1.0, float(np.median(ratios))) if ratios else 1.0
    by_date = tuple(
        _of_date(left, z, t, dates[t], differences.get(float(days[t]), []), dispersion) for t in range(len(days))
    )
    of_day = np.broadcast_to(days[:, np.newaxis, np.newaxis], z.shape)
    with np.errstate(invalid="ignore"):
        counts = told.sum(axis=0)
        mean_z, mean_square = np.nansum(z, axis=0) / counts, np.nansum(z * z, axis=0) / counts
    return StackDiagnosis(
        left,
        z if labels is None else labels.deviation(z, "z", "standardized residual"),
        StackScores.of(*_told(left), of_day[told]),
        by_date,
        mean_z,
        mean_square,
        dispersion,
        int(told.sum()),
        int(np.isfinite(left.observed).sum() - told.sum()),
        how,
    )


def _of_date(
    left: Predictions, z: FloatArray, t: int, date: Any, differences: list[DateDifference], dispersion: float
) -> DateDiagnosis:
    own = Predictions(left.mean[t], left.std[t], left.observed[t])
    seen = z[t][np.isfinite(z[t])]
    scores = StackScores.of(*_told(own), np.zeros(len(seen)))
    moments = (float(seen.mean()), float(np.mean(seen**2))) if len(seen) else (float("nan"), float("nan"))
    found, p = DateDifference(float("nan"), 0, float("nan"), float("nan")), float("nan")
    if differences:
        tails = [_tail(each, dispersion) for each in differences]
        worst = int(np.argmin(tails))
        found, p = differences[worst], min(1.0, len(tails) * tails[worst])
    return DateDiagnosis(date, scores, *moments, found.square, found.degrees, found.offset, found.offset_error, p)


def _tail(found: DateDifference, dispersion: float) -> float:
    """Return twice the smaller probability, of a larger square or of a larger offset."""
    from scipy.special import chdtrc

    offset = found.offset**2 / found.offset_error**2
    return 2.0 * float(min(chdtrc(found.degrees, found.square / dispersion), chdtrc(1, offset / dispersion)))


def _told(left: Predictions) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return observations that are predicted, means and deviations."""
    on = np.isfinite(left.observed) & np.isfinite(left.std)
    return left.observed[on], left.mean[on], left.std[on]
