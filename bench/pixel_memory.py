"""Peak memory of a density image, in a process of its own: ``python -m bench.pixel_memory [side ...]``.

Prints how much the resident memory grows at its highest, as a multiple of the density image; the image stands before.
"""

import resource
import subprocess
import sys

import numpy as np

from bench.assembly_memory import resident_bytes
from sparsegmrf.pixels import PixelGaussian


def main(sides):
    """Print a line per side."""
    for side in sides:
        command = [sys.executable, "-m", "bench.pixel_memory", "measure", str(side)]
        ratio = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
        print(f"density image of {side} x {side} x 3: peak growth {ratio} of the output")


def measure(side):
    """Compute a small density image, so that code is compiled and loaded, then a large one."""
    image = np.ones((side, side, 3))
    image[:64, :64] = np.random.default_rng(0).standard_normal((64, 64, 3))
    model = PixelGaussian().fit(image[:64, :64])
    model.density_image(image[:64, :64])
    before = resident_bytes()
    density = model.density_image(image)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (peak - before) / density.nbytes


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        print(f"{measure(int(sys.argv[2])):.3f}")
    else:
        main([int(side) for side in sys.argv[1:]] or [1024, 4096])
