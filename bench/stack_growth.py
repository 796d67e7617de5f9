"""Time and memory of stacks against the number of dates and of pixels: ``python -m bench.stack_growth``.

Each row in a process of its own, after a small fill that loads the kernels. Peak is the growth of the high-water mark
of resident memory (Linux) over that, the stack itself excepted; ``--large`` measures instead 25 images of 216 x 192 by
the field in space and time, and 100 of 512 x 512 by modes. Two fifths of the pixels are under clouds; of what they hide
the last two columns tell the error, in deviations of the surface, and the share that 90% intervals hold.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from bench.one_factor import peak_bytes, reset_peak
from sparsegmrf import fill
from sparsegmrf.models import Matern

HIDDEN = 0.4
ELL, REVISIT = 40.0, 8.0
"""Days over which the correlation falls to 1/e, and between images."""
ROWS = {
    "field": (((48, 48), (6, 12, 24, 48)), (((36, 36), (48, 48), (72, 72), (144, 144)), 6)),
    "modes": (((32, 32), (64, 128, 256, 512)), (((32, 32), (48, 48), (64, 64), (128, 128)), 64)),
}
"""By model: the shape and the dates of the growth in dates, and the shapes and dates of the growth in pixels. All are
of one way to compute them: of fields with scores and tiles."""
LARGE = {"field": ((216, 192), 25), "modes": ((512, 512), 100)}
COLUMNS = {"seconds": "time", "processor_seconds": "processor time", "bytes": "peak"}


def main():
    """Print the tables; with ``--here`` measure one fill and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--steps", type=int, default=3, help="rows of a table, from the smallest; at least two")
    parser.add_argument("--large", action="store_true", help="the two large stacks, no growth")
    parser.add_argument("--here", nargs=3, type=int, metavar=("T", "H", "W"))
    arguments = parser.parse_args()
    if arguments.here:
        dates, *shape = arguments.here
        print(json.dumps(measure(arguments.models[0], dates, tuple(shape))))
        return
    for model in arguments.models:
        if arguments.large:
            shape, dates = LARGE[model]
            table(model, [(dates, shape)], None)
            continue
        (shape, counts), (shapes, dates) = ROWS[model]
        table(model, [(count, shape) for count in counts[: arguments.steps]], "dates")
        table(model, [(dates, shape) for shape in shapes[: arguments.steps]], "pixels")


def table(model, sizes, growth):
    """Measure some sizes and print them, with the exponents in what grows."""
    print(f"\n{model}{f', growth in {growth}' if growth else ''}")
    print("| T x H x W | s | s of processor time | peak MB | bytes a pixel and date | error | 90% hold |")
    print("|---|---|---|---|---|---|---|", flush=True)
    rows = []
    for dates, shape in sizes:
        command = [sys.executable, "-m", "bench.stack_growth", "--models", model, "--here", *map(str, (dates, *shape))]
        row = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)
        size = dates * shape[0] * shape[1]
        print(
            f"| {dates} x {shape[0]} x {shape[1]} | {row['seconds']:.1f} | {row['processor_seconds']:.1f} | "
            f"{row['bytes'] / 1e6:.0f} | {row['bytes'] / size:.0f} | {row['error']:.2f} | {row['held']:.3f} |",
            flush=True,
        )
        rows.append({**row, "size": size})
    if growth:
        print(f"exponents in {growth}: " + ", ".join(f"{t} {exponent(rows, c)}" for c, t in COLUMNS.items()))


def exponent(rows, column):
    """Slope of the logarithms, over all rows and over the last two."""
    size, values = np.log([row["size"] for row in rows]), np.log([row[column] for row in rows])
    return f"{np.polyfit(size, values, 1)[0]:.2f} (last two {np.diff(values)[-1] / np.diff(size)[-1]:.2f})"


def measure(model, dates, shape):
    """Return seconds, bytes and errors of one fill."""
    options = {"model": "modes"} if model == "modes" else {}
    warm, days, _ = simulated(model, 6, (12, 12))
    fill(warm, dates=days, **options)
    stack, days, truth = simulated(model, dates, shape)
    before, wall, processor = reset_peak(), time.perf_counter(), time.process_time()
    found = fill(stack, dates=days, **options)
    seconds, used, peak = time.perf_counter() - wall, time.process_time() - processor, peak_bytes()
    print(found.fit, getattr(found.fit, "plan", ""), f"seam {found.seam:.2g}", file=sys.stderr)
    hidden = np.isnan(stack)
    error = (found.mean - truth)[hidden]
    return {
        "seconds": seconds,
        "processor_seconds": used,
        "bytes": peak - before,
        "error": float(np.sqrt(np.mean(error**2)) / truth.std()),
        "held": float(np.mean(np.abs(error) < 1.6449 * found.std[hidden])),
    }


def simulated(model, dates, shape, seed=0):
    """Return a stack under clouds, its days, and the surface: a field in space and time, for modes with patterns."""
    return simulated_parts(model, dates, shape, seed)[:3]


def simulated_parts(model, dates, shape, seed=0, ell=ELL):
    """Return the same with patterns ``(4, H, W)`` and scores ``(T, 4)``; `ell` is the field's, 0 one of each date."""
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.integers(1, 2 * REVISIT, dates)).astype(float)
    local = Matern(range=8.0, sigma=1.0).gmrf(shape)
    rows, columns = np.meshgrid(*(np.linspace(0.0, 1.0, side) for side in shape), indexing="ij")
    patterns = np.array([np.cos(3.0 * k * rows + 5.0 * columns + k) for k in range(1, 5)]) * (model == "modes")
    truth, weights = np.empty((dates, *shape)), np.empty((dates, 4))
    scores, field = rng.standard_normal(4), local.sample(rng=rng)
    for t, gap in enumerate(np.diff(days, prepend=days[0])):
        rho = np.exp(-gap / ELL)
        scores = rho * scores + np.sqrt(1.0 - rho**2) * rng.standard_normal(4)
        rho = np.exp(-gap / ell) if ell else 0.0
        field = rho * field + np.sqrt(1.0 - rho**2) * local.sample(rng=rng)
        weights[t] = 3.0 * scores
        truth[t] = 20.0 + field + np.tensordot(weights[t], patterns, 1)
    stack = truth + 0.3 * rng.standard_normal(truth.shape)
    clouds = Matern(range=0.3 * min(shape)).gmrf(shape)
    for image in stack:
        sky = clouds.sample(rng=rng)
        image[sky > np.quantile(sky, 1.0 - HIDDEN)] = np.nan
    return stack, days, truth, patterns, weights


if __name__ == "__main__":
    main()
