"""Time and memory of `fill` against the number of pixels, complete and with gaps: ``python -m bench.fill_growth``.

Each row in a process of its own, after a small fill that loads the kernels. Peak is the growth of the high-water mark
of resident memory (Linux) over that. Expected without gaps: transforms, about 1 in both; with gaps a factorization per
likelihood, about 1.5 in time and just over 1 in memory.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from bench.growth import exponent
from bench.one_factor import peak_bytes, reset_peak
from bench.plan import WARM_UP, image
from sparsegmrf import TensionSpline, fill

SIDES = (256, 512, 1024, 2048)
MISSING = (0.0, 0.3)
COLUMNS = {"seconds": "time", "processor_seconds": "processor time", "bytes": "peak"}


def main():
    """Print a table per share of missing pixels; with ``--here`` measure one fill and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="at least two")
    parser.add_argument("--missing", type=float, nargs="+", default=MISSING, help="shares of the pixels")
    parser.add_argument("--here", action="store_true")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure(arguments.sides[0], arguments.missing[0])))
        return
    for missing in arguments.missing:
        print(f"\n{missing:.0%} missing\n| side | s | s of processor time | peak MB | bytes a pixel | likelihoods |")
        print("|---|---|---|---|---|---|")
        rows = []
        for side in arguments.sides:
            command = [sys.executable, "-m", "bench.fill_growth", "--here", "--sides", str(side)]
            command += ["--missing", str(missing)]
            row = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
            print(
                f"| {side} | {row['seconds']:.2f} | {row['processor_seconds']:.2f} | {row['bytes'] / 1e6:.0f} | "
                f"{row['bytes'] / side**2:.0f} | {row['evaluations']} |",
                flush=True,
            )
            rows.append(row)
        print("exponents in the number of pixels: " + ", ".join(f"{t} {exponent(rows, c)}" for c, t in COLUMNS.items()))


def measure(side, missing):
    """Return seconds, bytes and likelihoods of one fill."""
    fill(image(WARM_UP, missing), model=TensionSpline())
    y = image(side, missing)
    before, wall, processor = reset_peak(), time.perf_counter(), time.process_time()
    found = fill(y, model=TensionSpline())
    seconds, used = time.perf_counter() - wall, time.process_time() - processor
    assert np.isfinite(found.std).all()
    return {
        "side": side,
        "seconds": seconds,
        "processor_seconds": used,
        "bytes": peak_bytes() - before,
        "evaluations": found.fit.evaluations,
    }


if __name__ == "__main__":
    main()
