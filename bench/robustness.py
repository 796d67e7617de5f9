"""Fits of images without structure, and fills of images at high levels: how they end, and what a level changes.

python -m bench.robustness [--fits 300]
"""

import argparse
import re
import time
import warnings
from collections import Counter

import numpy as np

from sparsegmrf import CAR, Intrinsic, Matern, TensionSpline, fill, fit
from sparsegmrf.models import Sum

MODELS = {"tension spline": TensionSpline(), "intrinsic": Intrinsic(), "Matern": Matern(), "CAR": CAR()}
SHAPES = ((24, 26), (64, 64))
LEVELS = (0.0, 1e5, 1e7, 1e9)
FILLED = {
    "tension spline": None,
    "intrinsic, order 1": Intrinsic(),
    "intrinsic, order 2": Intrinsic(2),
    "intrinsic + Matern": Sum([Intrinsic(), Matern(range=3.0)]),
    "Matern": Matern(),
}


def white_noise(fits: int) -> None:
    """Fit models to white noise; print how the fits end, and how many standard errors are NaN without being named."""
    cases = [(name, shape) for name in MODELS for shape in SHAPES]
    print(f"{'model':<16}{'image':>9}{'fits':>6}{'raised':>8}{'NaN unnamed':>13}{'seconds':>9}  how they end")
    for name, shape in cases:
        ends: Counter[str] = Counter()
        raised = unnamed = 0
        count, began = fits // len(cases) + 1, time.perf_counter()
        for seed in range(count):
            image = np.random.default_rng(seed).normal(size=shape)
            try:
                found = fit(MODELS[name], image)
            except Exception as error:  # counted, with what it says
                raised, ends[type(error).__name__] = raised + 1, ends[type(error).__name__] + 1
                continue
            nameless = {key for key, error in found.standard_errors.items() if np.isnan(error)} - set(
                found.undetermined
            )
            unnamed += len(nameless) + sum(key not in found.reason for key in found.undetermined)
            ends[kind_of(found)] += 1
        told = "; ".join(f"{number} {kind}" for kind, number in ends.most_common())
        seconds = time.perf_counter() - began
        print(f"{name:<16}{shape[0]:>4} x{shape[1]:>3}{count:>6}{raised:>8}{unnamed:>13}{seconds:>9.1f}  {told}")


def kind_of(found) -> str:
    """Return the reason without its numbers."""
    if found.converged:
        return "converged"
    reason = re.sub(r", after \d+ likelihoods", "", found.reason)
    return re.sub(r"-?\d+\.?\d*(e[+-]?\d+)?", "#", reason)


def levels() -> None:
    """Fill an image at several levels; print the largest deviation from what the image itself gives."""
    rng = np.random.default_rng(1)
    image = Matern(range=9.0).gmrf((40, 48)).sample(rng=rng) + 0.3 * rng.normal(size=(40, 48))
    image[12:22, 15:30] = np.nan
    print(f"\n{'model':<20}{'level':>8}{'mean':>10}{'std':>10}{'loglik':>10}  (largest deviations; std relative)")
    for name, model in FILLED.items():
        first = fill(image, model=model)
        for level in LEVELS[1:]:
            found = fill(image + level, model=model)
            mean = np.abs(found.mean - level - first.mean).max()
            std = np.abs(found.std / first.std - 1.0).max()
            print(f"{name:<20}{level:>8.0e}{mean:>10.1e}{std:>10.1e}{abs(found.fit.loglik - first.fit.loglik):>10.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=300)
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    white_noise(arguments.fits)
    levels()
