"""Rasters filled by tiles beside `fill` of the whole, parameters given: ``python -m bench.tiles [--sides 1024 2048]``.

Rasters of a tension spline with 30% missing, as single pixels and as clouds. Each filling runs in a process of its own,
after a small one that loads the kernels; memory is the growth of what the process has for itself (RssAnon, Linux),
looked at every 20 ms. Of the tiles it is checked that every standard deviation lies within its bounds, every mean
within its certificate, and the log-likelihood within its interval. ``--growth`` measures tiles alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from bench.growth import exponent
from sparsegmrf import fill, large
from sparsegmrf.models import Matern, TensionSpline

SIDES = (1024, 2048)
MODEL, NOISE = TensionSpline(kappa=0.1, tau=1.0), 0.1
_STEP = 0.02
_BY_RIGHT = 1e-6
"""Of a standard deviation, that rounding may make."""


def raster(side, gaps):
    """Return a draw with noise, 30% of its pixels missing: one by one (``"pixels"``) or beneath ``"clouds"``."""
    rng = np.random.default_rng(0)
    image = Matern(range=30.0, sigma=3.0).gmrf((side, side)).sample(rng=1) + 20.0
    image += np.sqrt(NOISE) * rng.standard_normal(image.shape)
    if gaps == "pixels":
        missing = rng.random(image.shape) < 0.3
    else:
        clouds = Matern(range=100.0).gmrf(image.shape).sample(rng=2)
        missing = clouds > np.quantile(clouds, 0.7)
    return np.where(missing, np.nan, image)


def by_tiles(image, memory):
    """Return the result of tiles, with what it says of itself."""
    found = large.fill(image, model=MODEL, noise_variance=NOISE, memory=memory, loglik=True)
    said = {"tiles": len(found.tiles), "width": found.largest_width, "mean_error": found.mean_error}
    return found, said | {"loglik": found.loglik_interval}


def whole(image, memory):
    """Return the exact result of the whole raster, and its log-likelihood."""
    exact = fill(image, model=MODEL, noise_variance=NOISE, covariates="linear", fixed=list(MODEL.parameters))
    return exact, {"loglik": exact.fit.loglik}


WAYS = {"tiles": by_tiles, "whole": whole}


class AnonymousPeak:
    """The highest growth of the process's own memory while it is watched."""

    def __enter__(self):
        self.before = self.most = self.now()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    @property
    def bytes(self):
        return self.most - self.before

    @staticmethod
    def now():
        """Bytes of anonymous memory."""
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(fields["RssAnon"].split()[0]) * 1024

    def _watch(self):
        while not self._ends.wait(_STEP):
            self.most = max(self.most, self.now())


def measure(way, side, gaps, memory, path):
    """Return time and memory of one filling; its images go to a file."""
    WAYS[way](raster(128, gaps), memory)
    image = raster(side, gaps)
    with AnonymousPeak() as peak:
        start, processor = time.perf_counter(), time.process_time()
        found, said = WAYS[way](image, memory)
        seconds, used = time.perf_counter() - start, time.process_time() - processor
    names = ("mean", "std", "std_lower", "std_upper")
    np.savez(path, **{name: getattr(found, name) for name in names if hasattr(found, name)})
    return {"seconds": seconds, "processor_seconds": used, "bytes": peak.bytes, "side": side, **said}


def in_subprocess(way, side, gaps, memory, path):
    """Return what one filling takes in a process of its own."""
    command = [sys.executable, "-m", "bench.tiles", "--here", way, "--sides", str(side), "--gaps", gaps]
    command += ["--memory", str(memory), "--path", str(path)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1])


def compare(tiles, exact, folder):
    """Check bounds against the exact result, and return how wide they are: median, 99%, largest."""
    with np.load(folder / "tiles.npz") as found, np.load(folder / "whole.npz") as known:
        low, high, std = found["std_lower"], found["std_upper"], known["std"]
        assert (low <= std * (1.0 + _BY_RIGHT)).all(), (low / std).max()
        assert (high >= std * (1.0 - _BY_RIGHT)).all(), (high / std).min()
        error = float((np.abs(found["mean"] - known["mean"]) / std).max())
        assert error <= tiles["mean_error"] + _BY_RIGHT, error
        width = high / low - 1.0
    assert tiles["loglik"][0] - 1e-6 <= exact["loglik"] <= tiles["loglik"][1] + 1e-6
    return (*np.quantile(width, (0.5, 0.99)), width.max()), error


def table(sides, gaps, memory):
    """Print tiles beside the whole."""
    print("\n| side | gaps | way | s | s of processor | GB | tiles | width: median, 99%, largest | mean off |")
    print("|---|---|---|---|---|---|---|---|---|")
    for side in sides:
        for each in gaps:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                rows = {way: in_subprocess(way, side, each, memory, folder / f"{way}.npz") for way in WAYS}
                width, error = compare(rows["tiles"], rows["whole"], folder)
            for way, row in rows.items():
                own = (
                    f"{row['tiles']} | {', '.join(f'{value:.1e}' for value in width)} | {error:.1e}"
                    if way == "tiles"
                    else "| |"
                )
                print(
                    f"| {side} | {each} | {way} | {row['seconds']:.0f} | {row['processor_seconds']:.0f} | "
                    f"{row['bytes'] / 1e9:.2f} | {own} |",
                    flush=True,
                )


def growth(sides, gaps, memory):
    """Print tiles alone against the number of pixels."""
    for each in gaps:
        print(f"\n{each}\n| side | s | s of processor | GB | tiles |\n|---|---|---|---|---|")
        rows = []
        for side in sides:
            with tempfile.TemporaryDirectory() as name:
                row = in_subprocess("tiles", side, each, memory, Path(name) / "tiles.npz")
            rows.append(row)
            print(
                f"| {side} | {row['seconds']:.0f} | {row['processor_seconds']:.0f} | {row['bytes'] / 1e9:.2f} | "
                f"{row['tiles']} |",
                flush=True,
            )
        print(f"exponents in the number of pixels: time {exponent(rows, 'seconds')}, memory {exponent(rows, 'bytes')}")


def main():
    """Print the tables; with ``--here`` measure one filling and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--gaps", nargs="+", choices=("pixels", "clouds"), default=("pixels", "clouds"))
    parser.add_argument("--memory", type=float, default=1e9, help="bytes for the work on tiles")
    parser.add_argument("--growth", action="store_true", help="tiles alone, at least two sides")
    parser.add_argument("--here", choices=tuple(WAYS))
    parser.add_argument("--path", default="tiles.npz")
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.here, given.sides[0], given.gaps[0], given.memory, given.path)))
    elif given.growth:
        growth(given.sides, given.gaps, given.memory)
    else:
        table(given.sides, given.gaps, given.memory)


if __name__ == "__main__":
    main()
