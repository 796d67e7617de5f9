"""What the end of a search says: which parameters are determined, and what the model is where they are not."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf.inference._kink import Kink
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._search import FAR, FLAT, Ended, Ending, newton, observed_information, tried
from sparsegmrf.priors import NOISE
from sparsegmrf.typing import FloatArray

_WEAK = 0.5
"""Average information below which the observed one is looked at."""
_SHARE = 0.05
"""Share of a number in directions without information from which on it counts as not determined."""
_LONG = 4.0
"""How far a search must have gone for the observed information to be looked at."""
_MOVED = 1.5
"""How far an working parameter must have moved to have run anywhere."""
_ON = 0.5
"""How far a parameter is moved on to see whether the likelihood falls, and the others at most in a step."""
_FALL = 0.1
"""Nats by which it falls then."""
_CORRECTIONS = 3
_BEYOND = 0.1
"""Share of a Newton step within which an end of a joint region is near."""
_NO_GAIN = 2.0
"""Nats by which a field must raise the likelihood of independent pixels to be told from them."""


class Curvature(NamedTuple):
    """Covariance of working parameters, and what the data say nothing about.

    Attributes
    ----------
    covariance : ndarray, (K, K)
        NaN in the rows and columns of numbers that are not determined; the others are those given the directions
        without information.
    undetermined : tuple of str
        Names of these.
    dimension : int
        Number of directions without information.
    """

    covariance: FloatArray
    undetermined: tuple[str, ...]
    dimension: int

    @classmethod
    def of(cls, information: FloatArray, names: list[str], lost: tuple[str, ...] = ()) -> "Curvature":
        """Invert an information matrix where there is information; `lost` are known not to be determined."""
        if not np.isfinite(information).all():
            return cls(np.full(information.shape, np.nan), tuple(names), len(names))
        held = np.isin(names, lost)
        rest = np.ix_(~held, ~held)
        values, directions = np.linalg.eigh(information[rest])
        flat = values < FLAT
        out = held.copy()
        out[~held] = np.sum(directions[:, flat] ** 2, axis=1) > _SHARE
        known = directions[:, ~flat]  # the others are those given the directions without information, and no more
        covariance = np.full(information.shape, np.nan)
        covariance[rest] = (known / values[~flat]) @ known.T
        covariance[out], covariance[:, out] = np.nan, np.nan
        return cls(covariance, tuple(name for name, each in zip(names, out, strict=True) if each), int(flat.sum()))

    def naming(self, J: FloatArray, names: Sequence[str]) -> "Curvature":
        """Name the parameters that have no error, ``J`` being the derivatives of all of them by the numbers.

        Parameters that are valid in a joint region are mixtures of numbers: each has a part in what is lost.
        """
        gone = (J[:, np.isnan(np.diagonal(self.covariance))] != 0.0).any(axis=1)
        return self._replace(undetermined=tuple(name for name, each in zip(names, gone, strict=True) if each))

    def errors(self, J: FloatArray) -> FloatArray:
        """Return the roots of the diagonal of `mapped`, which is not formed: squares in large units are no numbers."""
        sizes = np.abs(J).max(axis=1, initial=0.0)
        sizes = np.where(sizes > 0.0, sizes, 1.0)
        return np.asarray(sizes * np.sqrt(np.diagonal(self.mapped(J / sizes[:, np.newaxis]))))

    def mapped(self, J: FloatArray) -> FloatArray:
        """Return ``J C J^T``, the covariance of what the numbers are mapped to; NaN where one that is lost has part."""
        lost = np.isnan(np.diagonal(self.covariance))
        covariance = J @ np.where(lost | lost[:, np.newaxis], 0.0, self.covariance) @ J.T
        gone = (J[:, lost] != 0.0).any(axis=1)
        covariance[gone], covariance[:, gone] = np.nan, np.nan
        return np.asarray(covariance)


class Conclusion(NamedTuple):
    """Whether the numbers are those of a maximum, the reason in words, the curvature if it was looked at.

    `lost` are parameters that are known not to be determined where it was not.
    """

    converged: bool
    reason: str
    curvature: Curvature | None
    lost: tuple[str, ...] = ()


def conclude(memo: Memo, ended: Ended, start: FloatArray, tolerance: float) -> Conclusion:
    """Return what the end of a search that began at `start` says."""
    if ended.ending is Ending.NOTHING:
        return Conclusion(True, "nothing to search: every parameter has a closed form", None)
    told = f"a Newton step is {ended.decrement:.2g} standard errors long"
    if ended.kink is not None:
        told = f"{_on_kink(memo, ended.kink)}{told}"
    after = f"after {memo.evaluations} likelihoods"
    gone = ended.ending is Ending.NO_NOISE
    kept = slice(None, -1 if gone else None)  # the noise is the last
    weak = float(np.linalg.eigvalsh(memo(ended.at).information[kept, kept]).min(initial=np.inf)) < _WEAK
    far = float(np.abs(ended.at - start)[kept].max(initial=0.0)) > _LONG
    found = None
    if gone and not (weak or far or ended.kink):
        nothing = Curvature(np.zeros((0, 0)), (NOISE,), 1)
        return Conclusion(False, f"{_sentence(memo, ended, start, nothing)}, {after}", None, (NOISE,))
    if weak or far or ended.ending is not Ending.MAXIMUM:
        full, at = memo.unprofiled(ended.at)
        lost = (NOISE,) if gone else ()
        information = np.full((0, 0), np.nan) if ended.kink else observed_information(full, at)
        if ended.kink or not np.isfinite(information).all():  # next to where the likelihood cannot be evaluated
            information = tried(full, at).information
        found = Curvature.of(information, full.names, lost).naming(full.objective.jacobian(at), full.names)
        if found.undetermined or ended.ending is Ending.FAR:
            return Conclusion(False, f"{_sentence(memo, ended, start, found)}, {after}", found)
    if ended.decrement <= tolerance:
        return Conclusion(True, f"{told}, {after}", found)
    before = _at_wall(memo, ended) or _before_rounding(memo, ended)
    stopped = f"{before}{told}, more than the tolerance {tolerance:g}, {after}"
    return Conclusion(False, stopped, found)


def _at_wall(memo: Memo, ended: Ended) -> str:
    """Say that parameters are next to an end of their joint region towards which the likelihood rises."""
    objective, found = memo.objective, memo(ended.at)
    model = objective.model
    coupled = model.joint_limits(objective.shape) if hasattr(model, "joint_limits") else None
    if coupled is None:
        return ""
    step = newton(found.gradient, found.information)[0]
    if objective.model_at(ended.at + _BEYOND * step).is_inside(objective.shape):
        return ""
    names = ", ".join(name for name in coupled.names if name in objective.names)
    return f"{names} are next to an end of what they can be together, towards which the likelihood rises; "


def _before_rounding(memo: Memo, ended: Ended) -> str:
    """Say which parameter the likelihood rises along to where rounding hides it, and what the model is at that end."""
    found = memo(ended.at)
    step = newton(found.gradient, found.information)[0]
    longest = float(np.abs(step).max(initial=0.0))
    if longest == 0.0 or np.isfinite(tried(memo, ended.at + step * min(1.0, _ON / longest)).value):
        return ""
    k = int(np.argmax(np.abs(step)))
    way = float(np.copysign(np.inf, step[k]))
    return f"{_end(memo.objective, memo.names[k], way, alone=False, falls=False)}, as far as rounding lets it be seen; "


def _on_kink(memo: Memo, kink: Kink) -> str:
    """Say in which parameters a kink is, and that it is a maximum across."""
    names = ", ".join(name for name, each in zip(memo.names, kink.crossing, strict=True) if each)
    before, beyond = kink.slopes
    return (
        f"the likelihood has a kink here in {names}, towards which it rises by {before:.2g} and {beyond:.2g} nats per "
        "standard error on either side, and along which "
    )


def _sentence(memo: Memo, ended: Ended, start: FloatArray, found: Curvature) -> str:
    """Say what is not determined, towards which end it runs, and what the model is there."""
    objective, parts = memo.objective, []
    alone = _like_noise(memo, ended)
    if alone is not None:
        parts.append(alone)
    if ended.ending is Ending.NO_NOISE:
        told = "the image shows no independent noise; fit with noise_variance=None"
        parts.append(f"{NOISE} ran to zero" + (f": {told}" if alone is None else ", the field taking its place"))
    if ended.ending is Ending.FAR and not found.undetermined:
        moves = zip(objective.names, ended.at - start, strict=True)
        parts += [_far(memo, ended, name, way, alone is not None) for name, way in moves if abs(way) > FAR]
    rest = [name for name in found.undetermined if name != NOISE]
    scales = _scales(objective)
    moved = dict(zip(objective.names, ended.at - start, strict=True))
    # As many as there are directions run by themselves, those that were searched first; the others go with them.
    rest.sort(key=lambda name: (name in scales, -abs(moved.get(name, 0.0))))
    running = max(1, found.dimension - (NOISE in found.undetermined))
    hidden = bool(np.isnan(found.covariance).all()) and found.dimension == len(found.covariance) > 1
    for name in rest[:running]:
        if hidden and abs(moved.get(name, 0.0)) < _MOVED:
            parts.append(f"{name} has no error next to where rounding hides the likelihood")
            continue
        way = moved.get(name, _scale_has_moved(memo, ended))
        if alone is not None and name not in moved and _is_field(memo, ended):
            parts.append(f"{name} is not determined by itself")  # field and noise share what they add up to
            continue
        parts.append(_end(objective, name, way, alone is not None, falls=_falls(memo, ended.at, name, way)))
    for name in rest[running:]:
        parts.append(f"{name} goes with it and is not determined")
    if NOISE in found.undetermined and ended.ending is not Ending.NO_NOISE:
        parts.append(f"{NOISE} is not determined by itself")
    return "; ".join(parts)


def _far(memo: Memo, ended: Ended, name: str, way: float, alone: bool) -> str:
    """Say that a parameter went far, and to which end of its interval where that is one it can come near."""
    remedy = "hold it by fixed=, or give it a prior"
    ends = memo.objective.model.limits(memo.objective.shape).get(name, (-np.inf, np.inf))
    end = ends[int(way > 0.0)]
    if not np.isfinite(end) or end == 0.0 or _falls(memo, ended.at, name, way):
        return f"{name} ran away from the start; {remedy}"
    return f"{_end(memo.objective, name, way, alone, falls=False)}; {remedy}"


def _falls(memo: Memo, at: FloatArray, name: str, moved: float) -> bool:
    """Return whether the likelihood falls the way that a parameter has moved, as far as others that follow tell.

    They follow as the information has it, and where that is of a ridge that bends, by Newton steps.
    """
    if name not in memo.names or abs(moved) < _MOVED:
        return False
    here, k = memo(at), memo.names.index(name)
    others = np.arange(len(at)) != k
    moving = np.copysign(_ON, moved) * ~others
    following = np.zeros(len(at))
    following[others] = newton(-here.information[others] @ moving, here.information[np.ix_(others, others)])[0]
    best, lowest = -np.inf, here.value - _FALL
    for start in (at + moving + following, at + moving):
        point = start
        for _ in range(_CORRECTIONS):
            found = tried(memo, point)
            best = max(best, found.value)
            if best >= lowest or not np.isfinite(found.value):
                break
            step = np.zeros(len(at))
            step[others] = newton(found.gradient[others], found.information[np.ix_(others, others)])[0]
            point = point + step * min(1.0, _ON / max(float(np.abs(step).max()), 1e-300))
    return bool(-np.inf < best < lowest)


def _end(objective: Any, name: str, moved: float, alone: bool, *, falls: bool) -> str:
    """Say where a parameter that is not determined has run, if it has."""
    if abs(moved) < _MOVED:
        return f"{name} is not determined by the image"
    model, shape = objective.model, objective.shape
    joint = model.joint_limits(shape) if hasattr(model, "joint_limits") else None
    low, high = model.limits(shape).get(name, (-np.inf, np.inf))
    end = high if moved > 0.0 else low
    where = {0.0: "zero", np.inf: "infinity", -np.inf: "minus infinity"}.get(end, f"the end {end:.6g} of its interval")
    if joint is not None and name in joint.names:
        where = f"an end of what {', '.join(joint.names)} can be together"
    if falls:
        return (
            f"{name} has no error: its curvature is not that of a maximum, but the likelihood falls from here towards "
            f"{where}"
        )
    means = objective.model.end_of(name, moved > 0.0) if hasattr(objective.model, "end_of") else None
    return f"{name} ran to {where}" + (f": {means}" if means and not alone else "")


def _scale_has_moved(memo: Memo, ended: Ended) -> float:
    """Return where the profiled scale has gone, by whether it is noise or field that has vanished."""
    objective, share = memo.objective, memo(ended.at).noise_share
    if objective.scale is None or share is None:
        return 0.0
    return float(np.copysign(np.inf, objective.scale[1] if share > 1.0 else -objective.scale[1]))


def _is_field(memo: Memo, ended: Ended) -> bool:
    """Return whether most of what is seen is the field, not the noise."""
    share = memo(ended.at).noise_share
    return share is not None and share <= 1.0


def _like_noise(memo: Memo, ended: Ended) -> str | None:
    """Say that the field cannot be told from noise, where the likelihood of independent pixels is as large."""
    alone = memo.objective.without_field()
    if alone is None:
        return None
    value, variance, error = alone
    gain = memo(ended.at).value - memo.objective.log_prior(ended.at)[0] - value
    if gain > _NO_GAIN:
        return None
    if gain < -_NO_GAIN and not memo.objective.priors:
        return (
            f"the field is {-gain:.3g} nats less likely than independent pixels of the variance {variance:.6g}; start "
            "from other parameters, or hold others by fixed="
        )
    return (
        f"the field cannot be told from noise, {max(gain, 0.0):.2g} nats above independent pixels of the variance "
        f"{variance:.6g} +- {error:.2g}"
    )


def _scales(objective: Any) -> set[str]:
    """Return the parameters that go with the scale of the field: they follow where another one runs."""
    own = {objective.scale[0]} if objective.scale is not None else set()
    if not hasattr(objective.model, "scaled"):
        return own
    before, after = objective.model.parameters, objective.model.scaled(2.0).parameters
    return own | {name for name in before if before[name] != after[name]}
