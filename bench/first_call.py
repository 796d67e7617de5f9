"""Processor time of the first call where no kernel is compiled yet: ``python -m bench.first_call fill``.

Each call is made in a process of its own with an empty directory of compiled kernels, and once more in that process.
Printed are its processor time, what of it went to numba, how many functions were compiled, and the ten dearest: their
own time, without what was compiled on the way. Processor time of all threads, which another busy process on the same
core still stretches: compare two versions side by side.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

import sparsegmrf


def main():
    """Measure some calls, each in a new process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", nargs="*", default=list(CALLS), metavar="call", help=", ".join(CALLS))
    parser.add_argument("--here", action="store_true", help="measure in this process")
    arguments = parser.parse_args()
    unknown = set(arguments.calls) - set(CALLS)
    if unknown:
        parser.error(f"calls must be among {', '.join(CALLS)}, got {', '.join(sorted(unknown))}")
    for name in arguments.calls:
        if arguments.here:
            measure(name)
            continue
        with tempfile.TemporaryDirectory() as directory:
            environment = {**os.environ, "NUMBA_CACHE_DIR": directory}
            subprocess.run([sys.executable, "-m", "bench.first_call", "--here", name], env=environment, check=True)


def measure(name):
    """Make a call twice and print the account of the first."""
    call = CALLS[name]()
    account = listen()
    first, again = seconds(call), seconds(call)
    total = sum(own for own, _ in account)
    print(f"{name}: {first:.1f} s of processor time, again {again:.2f} s")
    print(f"  numba {total:.1f} s, {len(account)} functions, of which the dearest")
    for own, function in sorted(account, reverse=True)[:10]:
        print(f"  {own:6.2f} s  {function}")


def seconds(call):
    """Processor time of one call, of all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start


def listen():
    """Return a list to which every compilation from now on adds its own time and name."""
    from numba.core import event

    account, running = [], []

    class Listener(event.Listener):
        def on_start(self, found):
            running.append([time.process_time(), 0.0])

        def on_end(self, found):
            start, within = running.pop()
            taken = time.process_time() - start
            if running:
                running[-1][1] += taken
            function = found.data["dispatcher"].py_func
            account.append((taken - within, f"{function.__module__}.{function.__qualname__}"))

    event.register("numba:compile", Listener())
    return account


def image():
    """Return 64 x 64 smooth pixels with noise, of which 31% are missing."""
    rng = np.random.default_rng(0)
    smooth = np.cumsum(np.cumsum(rng.standard_normal((64, 64)), axis=0), axis=1)
    noisy = smooth / smooth.std() + 0.1 * rng.standard_normal(smooth.shape)
    noisy[rng.random(noisy.shape) < 0.31] = np.nan
    return noisy


def fill():
    """Fill by the default model."""
    pixels = image()
    return lambda: sparsegmrf.fill(pixels)


def fill_matern():
    """Fill by a Matern field."""
    pixels, model = image(), sparsegmrf.Matern(nu=2.0)
    return lambda: sparsegmrf.fill(pixels, model=model)


def fit():
    """Fit the model that fills by default."""
    pixels, model = image(), sparsegmrf.TensionSpline()
    return lambda: sparsegmrf.fit(model, pixels)


def torch():
    """Take a training step, draw, and ask for standard deviations."""
    import torch

    from sparsegmrf.torch import CholeskyHead

    torch.set_num_threads(1)
    residuals = torch.randn(16, 1, 28, 28)
    features, mean = torch.ones(16, 1, 28, 28), torch.zeros(16, 1, 28, 28)
    head = CholeskyHead(in_channels=1, radius=2, initial_log_diag=1.0)

    def call():
        field = head(features, mean)
        (-field.log_prob(residuals).mean()).backward()
        return field.rsample((3,)), field.stddev

    return call


CALLS = {"fill": fill, "fill-matern": fill_matern, "fit": fit, "torch": torch}


if __name__ == "__main__":
    main()
