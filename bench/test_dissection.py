"""Factorization, solves and selected inverse against CHOLMOD, PARDISO, sparsax and SuperLU.

``pytest bench/test_dissection.py -k "1024 and five-point" --benchmark-json=out.json``; a group is one operation on one
problem at one size. CHOLMOD should run on an optimized BLAS (Debian's ``libopenblas0-pthread``; the reference BLAS that
comes with it takes three times as long): which one it is stands in each result as ``cholmod_blas``.
"""

import numpy as np
import pytest

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
    """One competitor, factorized once, its answer checked."""
    problem, size, name = request.param
    stencil, other = (PROBLEMS[problem](size, seed) for seed in (0, 1))
    peer = PEERS[name](stencil, other)
    peer.factorize()
    if hasattr(peer, "solve"):
        b = right_hand_sides(size, 1)
        residual = np.abs(stencil @ peer.images(peer.solve(peer.prepare(b))) - b).max()
        assert residual < RESIDUAL, f"{name} solves with a residual of {residual:g}"
    peer.bytes = getattr(peer, "nbytes", None)
    yield problem, size, name, peer
    peer.close()


def extra(case):
    """What is recorded beside the times: the factor's bytes, and the libraries at work."""
    problem, size, _, peer = case
    return {"problem": problem, "size": size, "factor_bytes": peer.bytes, **libraries()}


def rounds(size):
    return 7 if size <= 256 else 5 if size <= 512 else 3


def run(timed, case, operation, before=None):
    """Time an operation of the peer in the group of this problem and size; skip if the peer has it not."""
    problem, size, name, peer = case
    if not hasattr(peer, operation):
        pytest.skip(f"{name} has no {operation}")
    group = f"{operation} {problem} {size}"
    timed(group, name, getattr(peer, operation), rounds=rounds(size), before=before, **extra(case))


def test_order_analyse_factorize(timed, case):
    case[-1].close()
    run(timed, case, "factorize", before=case[-1].close)


def test_refactorize(timed, case):
    run(timed, case, "refactorize", before=getattr(case[-1], "before_refactorize", None))
    case[-1].close()
    case[-1].factorize()


@pytest.mark.parametrize("count", [1, 16])
def test_solve(timed, case, count):
    problem, size, name, peer = case
    if not hasattr(peer, "solve"):
        pytest.skip(f"{name} has no solve")
    b = peer.prepare(right_hand_sides(size, count))
    timed(f"solve {count} {problem} {size}", name, lambda: peer.solve(b), rounds=rounds(size), **extra(case))


def test_selected_inverse(timed, case):
    run(timed, case, "selected_inverse")
