"""Calibration of stacks: simulated series are filled, and intervals must hold the truth as often as they say.

``python -m bench.stack_calibration [stacks]``. Each stack is a draw of level, field in space and time and noise at
irregular dates, a third of it missing in blocks; its parameters are estimated. Printed are the shares of 90% intervals
that hold the parameters (on the scale of their logarithms) and the hidden pixels, beside what three binomial errors
allow; of pixels these are counted by stacks, of which each has one share.
"""

import sys
import time

import numpy as np

from sparsegmrf import fill
from sparsegmrf.models import Matern

SIDE, DATES = 8, 10
TRUTH = {"range": 4.0, "sigma": 1.5, "ell": 25.0, "noise_variance": 0.09}


def simulated(rng):
    """Return a stack with gaps, its dates, and the surface without noise."""
    days = np.cumsum(rng.integers(4, 25, DATES)).astype(float)
    field = Matern(range=TRUTH["range"], sigma=TRUTH["sigma"]).gmrf((SIDE, SIDE))
    truth = [field.sample(rng=rng)]
    for gap in np.diff(days):
        rho = np.exp(-gap / TRUTH["ell"])
        truth.append(rho * truth[-1] + np.sqrt(1.0 - rho**2) * field.sample(rng=rng))
    truth = 20.0 + np.array(truth)
    stack = truth + np.sqrt(TRUTH["noise_variance"]) * rng.standard_normal(truth.shape)
    for image in stack:
        top, left = rng.integers(0, SIDE - 3, 2)
        image[top : top + rng.integers(2, 7), left : left + rng.integers(2, 7)] = np.nan
    return stack, days, truth


def main(count=500):
    """Print shares of 90% intervals that hold the truth."""
    rng = np.random.default_rng(0)
    held = {name: [] for name in TRUTH}
    pixels, failed, begin = [], 0, time.process_time()
    for _ in range(count):
        stack, days, truth = simulated(rng)
        result = fill(stack, dates=days, harmonics=None, model=Matern(range=3.0))
        hidden = np.isnan(stack)
        pixels.append(np.mean(np.abs(result.mean - truth)[hidden] < 1.6449 * result.std[hidden]))
        errors = result.standard_errors
        for name, value in TRUTH.items():
            estimate, error = result.parameters[name], errors.get(name, np.nan)
            if np.isfinite(error):
                held[name].append(abs(np.log(estimate / value)) < 1.6449 * error / estimate)
            else:
                failed += 1
    print(f"{count} stacks, {(time.process_time() - begin) / count:.2f} s of processor time each")
    for name, each in held.items():
        allowed = 3.0 * np.sqrt(0.9 * 0.1 / len(each))
        print(f"{name:>16}: {np.mean(each):.3f} of {len(each)}, 0.9 +- {allowed:.3f}")
    share, error = np.mean(pixels), np.std(pixels) / np.sqrt(count)
    print(f"{'hidden pixels':>16}: {share:.3f}, 0.9 +- {3.0 * error:.3f}; {failed} parameters without an error")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
