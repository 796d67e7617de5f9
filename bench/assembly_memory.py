"""Peak memory of CSR assembly, each way in a process of its own: ``python -m bench.assembly_memory [side ...]``.

Prints how much the resident memory grows at its highest, as a multiple of the finished CSR arrays; the coefficients,
diagonals or planes stand in memory before.
"""

import json
import resource
import subprocess
import sys
from pathlib import Path

from bench import assembly_problems as problems

WARM_UP = 64


def main(sides):
    """Print a table."""
    print("| peak growth / CSR bytes | " + " | ".join(map(str, sides)) + " |")
    print("|---" * (len(sides) + 1) + "|")
    for name in BUILDS:
        command = [sys.executable, "-m", "bench.assembly_memory", name]
        outputs = [subprocess.run([*command, str(side)], stdout=subprocess.PIPE, check=True).stdout for side in sides]
        print(f"| {name} | " + " | ".join(f"{json.loads(output)['ratio']:.2f}" for output in outputs) + " |")


def measure(name, side):
    """Build once small, so that code is compiled and loaded, then at full size."""
    prepare, build = BUILDS[name]
    build(*prepare(WARM_UP))
    prepared = prepare(side)
    before = resident_bytes()
    matrix = build(*prepared)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = problems.nbytes(matrix)
    return {
        "name": name,
        "side": side,
        "csr_bytes": size,
        "growth_bytes": peak - before,
        "ratio": (peak - before) / size,
    }


def resident_bytes():
    """Resident memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def assemble(stencil):
    """Assemble with this package."""
    return stencil.tocsr()


BUILDS = {
    "sparsegmrf, homogeneous": (lambda side: (problems.homogeneous(side),), assemble),
    "diags_array, homogeneous": (lambda side: (problems.diagonals(side), side), problems.from_diagonals),
    "sparsegmrf, per pixel": (lambda side: (problems.per_pixel(side),), assemble),
    "coo, per pixel": (
        lambda side: problems.planes(problems.per_pixel(side)),
        lambda *planes: problems.from_triplets(*problems.triplets(*planes)),
    ),
}


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in BUILDS:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
    else:
        main([int(side) for side in sys.argv[1:]] or [1024, 4096])
