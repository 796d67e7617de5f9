"""Drawn fits, and whether what they say of their end is true, by public results alone."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsegmrf import fit
from sparsegmrf.errors import SparseGMRFError
from sparsegmrf.inference import FitResult
from tests.inference.test_searches_end import KINDS, MODELS, drawn

OWN_ARGUMENTS = ("image must have", "image must vary", "covariates must be linearly independent")
"""Refusals of images that are too small or constant, and of covariates that their pixels do not tell apart."""
GAIN = 0.01
"""Nats by which another point may be better than a maximum: flat likelihoods are left at a short Newton step."""
FALL = 0.1
"""Nats by which a profile may seem to fall towards an end: climbing stops on narrow ridges."""
FLAT = 0.25
"""Nats by which a profile may change over a step of `STEP` along a parameter that is not determined."""
STEP = 0.5
"""Step of a working parameter."""
CLIMB = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Steps of working parameters along which a profile is climbed."""
RAN = re.compile(r"(\w+) ran to (zero|infinity|minus infinity|the end \S+ of its interval|an end of what)")
AWAY = re.compile(r"(\w+) ran away from the start")
NOT_DETERMINED = re.compile(r"(?:^|; )(\w+) is not determined by the image")


@dataclass(frozen=True)
class Drawn:
    """A fit of a drawn image."""

    seed: int

    @cached_property
    def arguments(self) -> tuple[str, str, np.ndarray, dict[str, Any]]:
        """Names of image and model, the image, and the options of its fit."""
        rng = np.random.default_rng([7, self.seed])
        kind, name = str(rng.choice(KINDS)), str(rng.choice(list(MODELS)))
        image = drawn(kind, rng)
        variance = float(np.nanvar(image)) or 1.0
        share = [0.1, 1.0, 1e-3, 1e6][rng.integers(4)]
        noise = [None, "estimate", "estimate", share * variance][rng.integers("sum" in name, 4)]
        covariates = ["constant", "linear", None][rng.integers(3)]
        method = ["ml", "reml"][rng.integers(2)]
        return kind, name, image, {"noise_variance": noise, "covariates": covariates, "method": method}

    def __str__(self) -> str:
        kind, name, image, options = self.arguments
        return f"{self.seed}: {kind} {image.shape} under {name}, {options}"

    @cached_property
    def found(self) -> FitResult:
        """The fit."""
        _, name, image, options = self.arguments
        return fit(MODELS[name], image, **options)

    def outcome(self) -> str:
        """Return how the fit ended, after checking it; an exception is one about the image, or is raised."""
        _, _, image, options = self.arguments
        try:
            found = self.found
        except SparseGMRFError as error:
            if str(error).startswith(OWN_ARGUMENTS):
                return "refused"
            raise AssertionError(f"{self}: {error!r}") from error
        except Exception as error:
            raise AssertionError(f"{self}: {error!r}") from error
        check_errors(found, str(self))
        return Checked(found, image, options, str(self)).outcome()


def check_errors(found: FitResult, what: str) -> None:
    """Check that what has no standard error is named, and nothing else."""
    nameless = {key for key, value in found.standard_errors.items() if np.isnan(value)}
    assert np.isfinite(found.loglik), what
    assert nameless == set(found.undetermined), what
    assert all(key in found.reason for key in nameless), what
    assert not (found.converged and nameless), what


@dataclass(frozen=True)
class Checked:
    """A fit and what it was made of."""

    found: FitResult
    image: np.ndarray
    options: dict[str, Any]
    what: str

    def outcome(self) -> str:
        """Return the kind of end, after checking that it is one."""
        reason = self.found.reason
        if self.found.converged:
            return self.check_maximum()
        ran = [(name, end) for name, end in RAN.findall(reason) if name in self.found.parameters]
        unknown = [name for name in NOT_DETERMINED.findall(reason) if name in self.found.parameters]
        away = [name for name in AWAY.findall(reason) if name in self.found.parameters]
        if away and not (ran or unknown):
            return "ran away"
        if not (ran or unknown):
            return "told from noise by nothing" if "cannot be told from noise" in reason else "not at a maximum"
        for name, end in ran:
            self.check_runs(name, end)
        for name in unknown:
            self.check_flat(name, shared="goes with it" in reason)
        return "ran to an end" if ran else "not determined"

    def check_maximum(self) -> str:
        """Check that no point around is better, on axes and along drawn directions, half a standard error away."""
        found, rng = self.found, np.random.default_rng(0)
        names = list(found.parameters)
        if not names:
            return "nothing to estimate"
        here = self.value(found.parameters)
        assert abs(here - found.loglik) <= 1e-6 * (1.0 + abs(here)), (self.what, here, found.loglik)
        directions = [*np.eye(len(names)), *-np.eye(len(names)), *rng.normal(size=(6, len(names)))]
        for direction in directions:
            moved = dict(found.parameters)
            for name, share in zip(names, direction, strict=True):
                step = 0.5 * float(share) * found.standard_errors[name]
                moved[name] = self.inside(name, found.parameters[name] + step)
            value = self.value(moved)
            assert value <= here + GAIN, (self.what, moved, value - here)
        return "maximum"

    def check_runs(self, name: str, end: str) -> None:
        """Check that the profile does not fall further on towards the end that is named."""
        value, (low, high) = self.found.parameters[name], self.interval(name)
        if end in ("zero", "infinity") and low == 0.0 and high == np.inf:
            on = value * np.exp(-STEP if end == "zero" else STEP)
        elif end.startswith("the end"):
            edge = float(end.split()[2])
            nearest = low if abs(edge - low) < abs(edge - high) else high
            on = nearest + (value - nearest) * np.exp(-STEP)
        else:
            return
        found = self.profile(name, on)
        assert found is None or found >= self.found.loglik - FALL, (self.what, name, end, found, self.found.loglik)

    def check_flat(self, name: str, *, shared: bool) -> None:
        """Check that the profile is flat; on one side at least where another parameter makes up for this one.

        Two standard deviations that add up to one are free only up to the sum.
        """
        low, high = self.interval(name)
        if (low, high) != (0.0, np.inf):
            return
        profiles = [self.profile(name, self.found.parameters[name] * np.exp(step)) for step in (-STEP, STEP)]
        flat = [found is None or abs(found - self.found.loglik) <= FLAT for found in profiles]
        assert any(flat) if shared else all(flat), (self.what, name, profiles)

    def profile(self, name: str, value: float) -> float | None:
        """Return the best likelihood that is found with a parameter held; None where rounding hides it.

        Besides the fit, which may end elsewhere, the other parameters are moved from where they are.
        """
        there = {**self.found.parameters, name: value}
        held = self.value(there)
        if held == -np.inf:
            return None
        held = self.climbed(there, held, name)
        options, fixed = dict(self.options), {}
        if name == "noise_variance":
            model, options["noise_variance"] = self.found.model, value
        else:
            model, fixed = self.found.model.replace(**{name: value}), {"fixed": name}
        try:
            return max(held, fit(model, self.image, **options, **fixed).loglik)
        except SparseGMRFError:  # others of its points cannot be evaluated
            return held

    def climbed(self, at: dict[str, float], value: float, name: str) -> float:
        """Return what a pattern search finds in the positive parameters but one."""
        others = [each for each in at if each != name and self.interval(each) == (0.0, np.inf)]
        for step in CLIMB:
            for _ in range(8):
                moves = [{**at, each: at[each] * np.exp(way * step)} for each in others for way in (-1.0, 1.0)]
                values = [self.value(each) for each in moves]
                if max(values, default=-np.inf) <= value:
                    break
                value, at = max(values), moves[int(np.argmax(values))]
        return value

    def value(self, parameters: dict[str, float]) -> float:
        """Return the log-likelihood at a point, minus infinity where there is none."""
        of_model = {name: value for name, value in parameters.items() if name != "noise_variance"}
        options = dict(self.options)
        if "noise_variance" in parameters:
            options["noise_variance"] = parameters["noise_variance"]
        try:
            model = self.found.model.replace(**of_model)
            return fit(model, self.image, **options, fixed=list(model.parameters)).loglik
        except SparseGMRFError:
            return -np.inf

    def inside(self, name: str, value: float) -> float:
        """Return a value within the interval of a parameter, half-way to an end that it is beyond."""
        low, high = self.interval(name)
        at = self.found.parameters[name]
        return (at + low) / 2.0 if value <= low else (at + high) / 2.0 if value >= high else value

    def interval(self, name: str) -> tuple[float, float]:
        if name == "noise_variance":
            return 0.0, np.inf
        low, high = self.found.model.limits(self.image.shape)[name]
        return float(low), float(high)
