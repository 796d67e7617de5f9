"""Prior densities of single parameters, for posterior modes: penalized complexity, lognormal, normal."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from sparsegmrf import _frozen
from sparsegmrf._interval import Interval
from sparsegmrf._validate import finite_number, positive_number
from sparsegmrf.errors import ArgumentError

__all__ = ["LogNormal", "Normal", "PCPrecision", "PCRange", "PCSigma", "PCVariance", "Prior"]

NOISE = "noise_variance"


class Prior(ABC):
    """Density of one parameter on an open interval: what `fit` takes in ``priors=``.

    Attributes
    ----------
    support : (float, float)
        Where the density is positive.
    """

    support: tuple[float, float] = (0.0, math.inf)

    @abstractmethod
    def log_density(self, value: float) -> float:
        """Return the logarithm of the density by the parameter itself, in nats, within the support."""

    @abstractmethod
    def derivative(self, value: float) -> float:
        """Return the derivative of `log_density`."""

    def on_real_line(self, value: float, interval: Interval) -> tuple[float, float]:
        """Return the log-density of the unconstrained number ``u`` and its derivative by ``u``.

        ``log pi(theta(u)) + log |dtheta/du|``, the parameter being ``theta`` in `interval`.
        """
        slope = interval.slope(value)
        return self.log_density(value) + math.log(slope), self.derivative(value) * slope + interval.log_slope_by(value)


@dataclass(frozen=True)
class PCRange(Prior):
    """Penalized-complexity prior of a range in two dimensions: ``P(range < r0) = p``.

    ``pi(r) = a r^-2 exp(-a / r)`` with ``a = -r0 log p``: the simplest field is one of infinite range, and the distance
    from it is exponential. Short ranges, which would let the field fit noise, are held back; long ones hardly.

    Parameters
    ----------
    r0 : float
        Range in pixels, positive: a length below which the range is not expected.
    probability : float
        How probable it is to be below, in (0, 1).

    Raises
    ------
    ArgumentError
        If `r0` is not positive, or the probability outside (0, 1).

    References
    ----------
    G.-A. Fuglstad, D. Simpson, F. Lindgren, H. Rue (2019), Constructing priors that penalize the complexity of Gaussian
    random fields, JASA 114, theorem 2.6 with ``d = 2``.

    Examples
    --------
    >>> prior = PCRange(5.0, 0.05)
    >>> round(math.exp(prior.log_density(15.0)), 6)
    0.024525
    """

    r0: float
    probability: float

    def __post_init__(self) -> None:
        _frozen.assign(self, r0=positive_number("r0", self.r0), probability=_probability(self.probability))

    @property
    def rate(self) -> float:
        """``a = -r0 log p`` in pixels."""
        return -self.r0 * math.log(self.probability)

    def log_density(self, value: float) -> float:
        """Return ``log a - 2 log r - a / r``."""
        return math.log(self.rate) - 2.0 * math.log(value) - self.rate / value

    def derivative(self, value: float) -> float:
        """Return ``-2/r + a / r^2``."""
        return (self.rate / value - 2.0) / value


@dataclass(frozen=True)
class _Exponential(Prior):
    """What priors on a standard deviation ``s`` share: ``P(s > s0) = p``, exponential of rate ``-log(p) / s0``."""

    s0: float
    probability: float

    def __post_init__(self) -> None:
        _frozen.assign(self, s0=positive_number("s0", self.s0), probability=_probability(self.probability))

    @property
    def rate(self) -> float:
        """``a = -log(p) / s0`` in 1/intensity."""
        return -math.log(self.probability) / self.s0


@dataclass(frozen=True)
class PCSigma(_Exponential):
    """Penalized-complexity prior of a standard deviation: ``P(sigma > s0) = p``, an exponential density.

    For ``"noise_variance"`` it stands for the prior of the noise's standard deviation, `PCVariance`.

    Parameters
    ----------
    s0 : float
        Standard deviation in intensity, positive, above which sigma is not expected.
    probability : float
        How probable it is to be above, in (0, 1).

    Raises
    ------
    ArgumentError
        If `s0` is not positive, or the probability outside (0, 1).

    References
    ----------
    Fuglstad et al. (2019), as for `PCRange`.

    Examples
    --------
    >>> prior = PCSigma(3.0, 0.05)
    >>> round(math.exp(-prior.rate * 3.0), 6)
    0.05
    """

    def log_density(self, value: float) -> float:
        """Return ``log a - a sigma``."""
        return math.log(self.rate) - self.rate * value

    def derivative(self, value: float) -> float:
        """Return ``-a``."""
        return -self.rate


@dataclass(frozen=True)
class PCVariance(_Exponential):
    """Penalized-complexity prior of a variance ``v``: ``P(sqrt(v) > s0) = p``.

    The density of the standard deviation is exponential; by the variance it is ``a / (2 sqrt(v)) exp(-a sqrt(v))``.

    Parameters
    ----------
    s0 : float
        Standard deviation in intensity, positive, above which ``sqrt(v)`` is not expected.
    probability : float
        How probable it is to be above, in (0, 1).

    Raises
    ------
    ArgumentError
        If `s0` is not positive, or the probability outside (0, 1).

    References
    ----------
    D. Simpson, H. Rue, A. Riebler, T. Martins, S. Sorbye (2017), Penalising model component complexity, Statistical
    Science 32, section 3.3.
    """

    def log_density(self, value: float) -> float:
        """Return ``log(a / 2) - log(v) / 2 - a sqrt(v)``."""
        return math.log(self.rate / 2.0) - 0.5 * math.log(value) - self.rate * math.sqrt(value)

    def derivative(self, value: float) -> float:
        """Return ``-1 / (2 v) - a / (2 sqrt(v))``."""
        return -0.5 / value - 0.5 * self.rate / math.sqrt(value)


@dataclass(frozen=True)
class PCPrecision(_Exponential):
    """Penalized-complexity prior of a precision: ``P(1/sqrt(tau) > s0) = p``.

    The density of ``1/sqrt(tau)`` is exponential; by ``tau`` it is ``a/2 tau^(-3/2) exp(-a / sqrt(tau))``.

    Parameters
    ----------
    s0 : float
        Standard deviation in intensity, positive, above which ``1/sqrt(tau)`` is not expected.
    probability : float
        How probable it is to be above, in (0, 1).

    Raises
    ------
    ArgumentError
        If `s0` is not positive, or the probability outside (0, 1).

    References
    ----------
    Simpson et al. (2017), as for `PCVariance`, eq. 3.3; ``pc.prec`` of R-INLA.
    """

    def log_density(self, value: float) -> float:
        """Return ``log(a / 2) - 3/2 log(tau) - a / sqrt(tau)``."""
        return math.log(self.rate / 2.0) - 1.5 * math.log(value) - self.rate / math.sqrt(value)

    def derivative(self, value: float) -> float:
        """Return ``-3 / (2 tau) + a / (2 tau^(3/2))``."""
        return (-1.5 + 0.5 * self.rate / math.sqrt(value)) / value


@dataclass(frozen=True)
class LogNormal(Prior):
    """Prior of a positive parameter whose logarithm is normal.

    Parameters
    ----------
    median : float
        Median, in the parameter's unit; positive.
    sigma : float
        Standard deviation of the logarithm, positive: 0.7 is a factor of two either way.

    Raises
    ------
    ArgumentError
        If a number is not positive.

    Examples
    --------
    >>> LogNormal(10.0, 0.5).on_real_line(10.0, Interval(0.0, math.inf))[1]  # the mode of log(theta)
    0.0
    """

    median: float
    sigma: float

    def __post_init__(self) -> None:
        _frozen.assign(self, median=positive_number("median", self.median), sigma=positive_number("sigma", self.sigma))

    def log_density(self, value: float) -> float:
        """Return the log-density."""
        return -0.5 * self._z(value) ** 2 - math.log(value * self.sigma) - 0.5 * math.log(2.0 * math.pi)

    def derivative(self, value: float) -> float:
        """Return ``-(1 + z / sigma) / theta`` with ``z = log(theta / median) / sigma``."""
        return -(1.0 + self._z(value) / self.sigma) / value

    def _z(self, value: float) -> float:
        return math.log(value / self.median) / self.sigma


@dataclass(frozen=True)
class Normal(Prior):
    """Normal prior; of a parameter whose interval ends somewhere, cut off there (its constant is left as it is).

    Parameters
    ----------
    mean : float
        Mean, in the parameter's unit.
    std : float
        Standard deviation, positive.

    Raises
    ------
    ArgumentError
        If the mean is not finite, or the standard deviation not positive.
    """

    mean: float
    std: float
    support = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        _frozen.assign(self, mean=finite_number("mean", self.mean), std=positive_number("std", self.std))

    def log_density(self, value: float) -> float:
        """Return the log-density."""
        return -0.5 * ((value - self.mean) / self.std) ** 2 - math.log(self.std) - 0.5 * math.log(2.0 * math.pi)

    def derivative(self, value: float) -> float:
        """Return ``-(theta - mean) / std^2``."""
        return (self.mean - value) / self.std**2


def check_priors(
    priors: Mapping[str, Prior] | None, limits: Mapping[str, tuple[float, float]], *, noise: bool
) -> dict[str, Prior]:
    """Return priors by the names of estimated parameters, after comparing names and supports with these.

    `limits` are the intervals of the free parameters of a model; `noise` says whether the noise variance is estimated.
    """
    if priors is None:
        return {}
    if not isinstance(priors, Mapping):
        raise ArgumentError(
            f"priors must be a mapping of names to priors, got {type(priors).__name__}; "
            'write {"range": PCRange(5, 0.05)}.'
        )
    known = {**limits, **({NOISE: (0.0, math.inf)} if noise else {})}
    found = {}
    for name, prior in priors.items():
        if name not in known:
            raise ArgumentError(
                f"priors must name estimated parameters, which are {', '.join(known)}, got {name!r}; a fixed or given "
                "one has no prior."
            )
        if not isinstance(prior, Prior):
            raise ArgumentError(f"priors must hold Prior objects, got {prior!r} for {name!r}; see sparsegmrf.priors.")
        if name == NOISE and isinstance(prior, PCSigma):
            prior = PCVariance(prior.s0, prior.probability)
        (low, high), (least, greatest) = known[name], prior.support
        if low < least or high > greatest:
            raise ArgumentError(
                f"priors must be positive wherever {name} may lie, in ({low:g}, {high:g}), got a "
                f"{type(prior).__name__} for it, which is on ({least:g}, {greatest:g}); take a Normal."
            )
        found[name] = prior
    return found


def _probability(value: object) -> float:
    number = positive_number("probability", value)
    if number >= 1.0:
        raise ArgumentError(f"probability must lie in (0, 1), got {number:g}.")
    return number
