"""Models of a stack side by side, by how they predict what moved clouds hide."""

from collections.abc import Mapping
from dataclasses import dataclass

from sparsegmrf.stacks._scores import TITLES, StackScores


@dataclass(frozen=True, eq=False)
class StackCandidate:
    """A model, and how it predicts what moved clouds hide.

    Attributes
    ----------
    name : str
        What it is called in the table.
    scores : StackScores
        Of its predictions.
    crps_gain, crps_error : float
        By how much its CRPS is below the default's, in intensity, and the standard error, paired by observations and
        dates; zero of the default itself, and the error NaN with a single date.
    log_gain, log_error : float
        The same of the log score, in nats.
    parameters : dict
        Estimates with all of this hidden, of the first fold for models of a series.
    """

    name: str
    scores: StackScores
    crps_gain: float
    crps_error: float
    log_gain: float
    log_error: float
    parameters: Mapping[str, float]

    @property
    def is_better(self) -> bool:
        """Whether it predicts better than the default by more than the standard error of the difference."""
        return self.crps_gain > self.crps_error


@dataclass(frozen=True, eq=False)
class StackComparison:
    """The models that were compared, and the one that fills the gaps.

    It is the one of the least CRPS among those that predict better than the default by more than the standard error of
    the difference, and the default if there is none.

    Attributes
    ----------
    candidates : tuple of StackCandidate
        The default first.
    left_out : mapping of str
        Models that were not compared, with the reason.
    chosen : StackCandidate
    clouds, pixels : int
        Moved, and what they hide.
    """

    candidates: tuple[StackCandidate, ...]
    left_out: Mapping[str, str]
    chosen: StackCandidate
    clouds: int
    pixels: int

    @property
    def default(self) -> StackCandidate:
        """The model that `fill` takes if nothing is said."""
        return self.candidates[0]

    def summary(self) -> str:
        """Return the table as text."""
        width = max(len(each.name) for each in self.candidates) + 2
        lines = [f"{self.pixels} observations hidden by {self.clouds} clouds moved to clear dates", ""]
        lines.append(f"{'':<{width}}{TITLES}{'CRPS gained':>24}{'log score gained':>24}")
        for each in self.candidates:
            mark = " <- chosen" if each is self.chosen else ""
            gains = ["default", ""]
            if each is not self.default:
                gains = [
                    f"{each.crps_gain:+.3g} +- {each.crps_error:.2g}",
                    f"{each.log_gain:+.3g} +- {each.log_error:.2g}",
                ]
            lines.append(f"{each.name:<{width}}{each.scores.row()}{gains[0]:>24}{gains[1]:>24}{mark}")
        lines += [f"{name}: {reason}" for name, reason in self.left_out.items()]
        return "\n".join(lines)
