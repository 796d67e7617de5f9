"""Factorization, solves and selected inverse against CHOLMOD, PARDISO, sparsax and SuperLU.

``pytest bench/test_dissection.py -k "1024 and five-point" --benchmark-json=out.json``; a group is one operation on one
problem at one size. CHOLMOD should run on an optimized BLAS (Debian's ``libopenblas0-pthread``; the reference BLAS that
comes with it takes three times as long): which one it is stands in each result as ``cholmod_blas``.
"""

import numpy as np
import pytest

import sparsegmrf
from bench.peers import PEERS, libraries
from bench.problems import PROBLEMS, right_hand_sides

SIZES = {"five-point": (256, 512, 1024, 2048), "13-point": (256, 512, 1024), "homogeneous": (256, 512, 1024, 2048)}
LARGEST = {"splu": 256, "sparsax": 512, "cholmod-takahashi": 512, "cholmod-amd": 1024}
RESIDUAL = 1e-9

CASES = [
    pytest.param((problem, size, peer), id=f"{problem}-{size}-{peer}")
    for problem, sizes in SIZES.items()
    for size in sizes
    for peer in PEERS
    if size <= LARGEST.get(peer, size)
]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """One competitor, factorized once (the untimed call), its answer checked."""
    problem, size, name = request.param
    stencil, other = (PROBLEMS[problem](size, seed) for seed in (0, 1))
    peer = PEERS[name](stencil, other)
    peer.factorize()
    if hasattr(peer, "solve"):
        b = right_hand_sides(size, 1)
        residual = np.abs(stencil @ peer.images(peer.solve(peer.prepare(b))) - b).max()
        assert residual < RESIDUAL, f"{name} solves with a residual of {residual:g}"
    yield problem, size, name, peer
    peer.close()


def timed(benchmark, case, operation, call, rounds):
    """Time `call` as a member of the group of `operation` on this problem and size."""
    problem, size, name, peer = case
    benchmark.group = f"{operation} {problem} {size}"
    benchmark.name = name
    benchmark.extra_info |= {
        "peer": name,
        "problem": problem,
        "size": size,
        "operation": operation,
        "factor_bytes": getattr(peer, "nbytes", None),
        "threads": sparsegmrf.get_num_threads(),
        **libraries(),
    }
    return benchmark.pedantic(call, rounds=rounds, iterations=1)


def rounds(size):
    return 7 if size <= 256 else 5 if size <= 512 else 3


def needs(case, operation):
    """Return the peer's operation, or skip the test where it has none."""
    _, size, name, peer = case
    if not hasattr(peer, operation):
        pytest.skip(f"{name} has no {operation}")
    return size, peer, getattr(peer, operation)


def test_order_analyse_factorize(benchmark, case):
    size, _, factorize = needs(case, "factorize")
    timed(benchmark, case, "factorize", factorize, rounds(size))


def test_refactorize(benchmark, case):
    size, peer, refactorize = needs(case, "refactorize")
    timed(benchmark, case, "refactorize", refactorize, rounds(size))
    peer.factorize()


@pytest.mark.parametrize("count", [1, 16])
def test_solve(benchmark, case, count):
    size, peer, solve = needs(case, "solve")
    b = peer.prepare(right_hand_sides(size, count))
    timed(benchmark, case, f"solve {count}", lambda: solve(b), rounds(size))


def test_selected_inverse(benchmark, case):
    size, _, selected_inverse = needs(case, "selected_inverse")
    timed(benchmark, case, "selected inverse", selected_inverse, rounds(size))
