"""Predicted and measured peak memory of fits and fillings, each in a process of its own: ``python -m bench.plan``.

Measured is the growth of the high-water mark of resident memory (Linux) over what the image and the kernels, loaded by
a smaller problem beforehand, take.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

import sparsegmrf
from bench.one_factor import peak_bytes, reset_peak
from sparsegmrf.models import Matern, TensionSpline

MODELS = {"spline": TensionSpline(kappa=0.5), "matern": Matern(), "stacked": Matern(nu=0.5)}
ROWS = (
    ("fill", "spline", 256, 0.3),
    ("fill", "spline", 512, 0.3),
    ("fill", "spline", 768, 0.3),
    ("fill", "matern", 256, 0.3),
    ("fill", "matern", 512, 0.3),
    ("fill", "matern", 768, 0.3),
    ("fill", "stacked", 128, 0.3),
    ("fit", "matern", 512, 0.3),
    ("fill", "matern", 512, 0.3, "single"),
    ("fill", "matern", 768, 0.3, "single"),
    ("fit", "matern", 512, 0.3, "single"),
    ("fill", "matern", 1024, 0.0),
    ("fit", "matern", 1024, 0.0),
)
WARM_UP = 96


def main():
    """Print a table; with arguments measure one row and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", type=int, nargs="+", help="numbers of rows; all by default")
    parser.add_argument("--here", action="store_true", help="measure the row in this process")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(*ROWS[arguments.row[0]])))
        return
    print("| work | pixels | missing | predicted MB | measured MB | predicted / measured | roughly s | s |")
    print("|---|---|---|---|---|---|---|---|")
    for number in arguments.row or range(len(ROWS)):
        work, model, side, missing, *digits = ROWS[number]
        command = [sys.executable, "-m", "bench.plan", "--here", "--row", str(number)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
        predicted, measured = found["predicted"] / 1e6, found["measured"] / 1e6
        what = ", ".join([work, model, *digits])
        print(
            f"| {what} | {side} x {side} | {missing:.0%} | {predicted:.0f} | {measured:.0f} | "
            f"{predicted / measured:.2f} | {found['roughly']:.2g} | {found['seconds']:.2g} |",
            flush=True,
        )


def measure(work, name, side, missing, precision="double"):
    """Return bytes and seconds, predicted and measured."""
    model = MODELS[name]
    run(work, model, image(WARM_UP, missing), precision)
    y = image(side, missing)
    before, start = reset_peak(), time.perf_counter()
    run(work, model, y, precision)
    seconds, grown = time.perf_counter() - start, peak_bytes() - before
    planned = sparsegmrf.plan(y, model, precision=precision)
    predicted = planned.fit_bytes if work == "fit" else planned.fill_bytes
    roughly = planned.fit_seconds if work == "fit" else planned.fill_seconds
    return {"predicted": predicted, "measured": grown, "roughly": roughly, "seconds": seconds}


def run(work, model, y, precision):
    """Fit with standard errors, or fill."""
    if work == "fit":
        assert np.isfinite(list(sparsegmrf.fit(model, y, precision=precision).standard_errors.values())).all()
    else:
        assert np.isfinite(sparsegmrf.fill(y, model=model, precision=precision).std).all()


def image(side, missing):
    """A draw of a field with noise and gaps."""
    rng = np.random.default_rng(1)
    y = Matern(range=8.0).gmrf((side, side)).sample(rng=rng) + 0.5 * rng.standard_normal((side, side))
    y[rng.random(y.shape) < missing] = np.nan
    return y


if __name__ == "__main__":
    main()
