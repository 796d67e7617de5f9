"""Time and memory of the factorization against the number of pixels, with fitted exponents: ``python -m bench.growth``.

Expected: about 1.5 in time and just over 1 in memory per pixel; less for a homogeneous stencil, which keeps one block
per class.
"""

import argparse
import json

import numpy as np

from bench.one_factor import in_subprocess

SIDES = (256, 512, 1024, 2048)
COLUMNS = {"factorize_seconds": "time", "factorize_growth_bytes": "peak growth", "factor_bytes": "factor"}


def main():
    """Print a table per problem; with ``--json`` also write the figures to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES, help="at least two")
    parser.add_argument("--problems", nargs="+", default=["five-point", "homogeneous"])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    results = []
    for problem in arguments.problems:
        rows = [in_subprocess(problem, side, "--repeat", str(arguments.repeat)) for side in arguments.sides]
        results += rows
        print(f"\n{problem}, {rows[0]['threads']} threads")
        print("| side | factorize s | peak growth MB | factor MB | process peak MB | distinct nodes / nodes |")
        print("|---|---|---|---|---|---|")
        for row in rows:
            megabytes = [row[name] / 1e6 for name in ("factorize_growth_bytes", "factor_bytes", "peak_bytes")]
            print(
                f"| {row['side']} | {row['factorize_seconds']:.3f} | "
                + " | ".join(f"{value:.0f}" for value in megabytes)
                + f" | {row['distinct_nodes']} / {row['nodes']} |"
            )
        print("exponents in the number of pixels: " + ", ".join(f"{t} {exponent(rows, c)}" for c, t in COLUMNS.items()))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=1)


def exponent(rows, column):
    """Slope of the logarithms by least squares, over all sizes and over the last two."""
    pixels = np.log([row["side"] ** 2 for row in rows])
    values = np.log([max(row[column], 1e-12) for row in rows])
    overall = np.polyfit(pixels, values, 1)[0]
    return f"{overall:.2f} (last two sizes {np.diff(values)[-1] / np.diff(pixels)[-1]:.2f})"


if __name__ == "__main__":
    main()
