"""Homogeneous five-point field of 4096 x 4096 pixels: factor, log-determinant and one sample, time and peak memory.

``python -m bench.large [side]``. The log-determinant is held against its closed form.
"""

import sys

from bench.one_factor import in_subprocess

LIMIT = 6e9


def main(side=4096):
    """Print the figures; exit with 1 if the process took more than 6 GB."""
    result = in_subprocess("homogeneous", side)
    print(f"homogeneous five-point, {side} x {side}, {result['threads']} threads")
    print(f"factorize {result['factorize_seconds']:.2f} s")
    print(f"logdet    {result['logdet_seconds']:.4f} s")
    print(f"sample    {result['sample_seconds']:.2f} s")
    print(
        f"factor    {result['factor_bytes'] / 1e9:.2f} GB, {result['distinct_nodes']} of {result['nodes']} nodes kept"
    )
    print(f"peak      {result['peak_bytes'] / 1e9:.2f} GB of the whole process")
    return 0 if result["peak_bytes"] < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
