"""One factorization in a process of its own, for its time and peak memory.

``python -m bench.one_factor five-point 512``, or with ``--peer cholmod-default`` a competitor. Prints a line of JSON.
Kernels are loaded (compiled, the first time) by a smaller factorization beforehand; peak memory is the process's
high-water mark from then on (Linux), and "growth" what the factorization added to what was there.
"""

import argparse
import ctypes
import gc
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import sparsegmrf
from bench.peers import PEERS
from bench.problems import KAPPA2, PROBLEMS, right_hand_sides

WARM_UP = 512


def in_subprocess(problem, side, *options):
    """Return what ``python -m bench.one_factor`` measures."""
    command = [sys.executable, "-m", "bench.one_factor", problem, str(side), *options]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1])


def measure(problem, side, name="sparsegmrf", repeat=1):
    """Factorize, and for this package take the log-determinant and draw a sample; then check the answers."""
    warm_up = PROBLEMS[problem](WARM_UP)
    warm = PEERS[name](warm_up, warm_up)
    warm.factorize()
    warm.solve(warm.prepare(right_hand_sides(WARM_UP, 1)))
    warm.close()
    del warm, warm_up
    stencil = PROBLEMS[problem](side)
    peer = PEERS[name](stencil, stencil)
    before = reset_peak()
    result = {"problem": problem, "side": side, "peer": name, "threads": sparsegmrf.get_num_threads()}
    result["factorize_seconds"] = float(np.median([seconds(anew(peer)) for _ in range(repeat)]))
    result["factorize_growth_bytes"] = peak_bytes() - before
    if name == "sparsegmrf":
        white = np.random.default_rng(0).standard_normal((side, side))
        result["logdet_seconds"] = seconds(lambda: peer.factor.logdet)
        result["sample_seconds"] = seconds(lambda: peer.factor.unwhiten(white))
        result |= {"nodes": peer.factor.nodes, "distinct_nodes": peer.factor.distinct_nodes}
    result["peak_bytes"] = peak_bytes()
    result["factor_bytes"] = getattr(peer, "nbytes", None)
    check(problem, stencil, peer)
    return result


def anew(peer):
    """Free the peer's factor, if it has one, and return the call that makes it."""
    peer.close()
    return peer.factorize


def seconds(call):
    """Wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def check(problem, stencil, peer):
    """Hold the log-determinant against its closed form where there is one, and a solve against the product."""
    if problem == "homogeneous" and hasattr(peer, "logdet"):
        height, width = stencil.shape
        rows = 2.0 * np.cos(np.pi * np.arange(1, height + 1) / (height + 1))
        columns = 2.0 * np.cos(np.pi * np.arange(1, width + 1) / (width + 1))
        exact = sum(float(np.log(4.0 + KAPPA2 - row - columns).sum()) for row in rows)
        assert abs(peer.logdet - exact) < 1e-10 * abs(exact), f"logdet {peer.logdet!r}, exactly {exact!r}"
    b = right_hand_sides(stencil.shape[0], 1)
    residual = np.abs(stencil @ peer.images(peer.solve(peer.prepare(b))) - b).max()
    assert residual < 1e-9, f"residual {residual:g}"


def reset_peak():
    """Give freed memory back, set the high-water mark to what is in use, and return that."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes():
    """High-water mark of this process's resident memory since `reset_peak`."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", choices=PROBLEMS)
    parser.add_argument("side", type=int)
    parser.add_argument("--peer", choices=PEERS, default="sparsegmrf")
    parser.add_argument("--repeat", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.problem, arguments.side, arguments.peer, arguments.repeat)))
