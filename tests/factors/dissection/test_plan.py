"""The plan predicts what the factorization then takes, and refuses what cannot fit."""

import numpy as np
import pytest

from sparsegmrf import SymmetricStencil, _memory, plan, set_num_threads
from sparsegmrf._threads import get_num_threads
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.factors.dissection import DissectionFactor, SingleFactor, _numeric
from sparsegmrf.factors.dissection._buffers import Buffers

FIVE = [(0, 0), (0, 1), (1, 0)]


def homogeneous(shape, channels=1):
    return SymmetricStencil(FIVE, [4.5, -1.0, -1.0], shape, channels=channels)


def per_pixel(shape):
    rng = np.random.default_rng(1)
    return SymmetricStencil(FIVE, [4 + rng.uniform(0.1, 1, shape), *-rng.uniform(0.5, 1, (2, *shape))], shape)


def test_published_arithmetic_is_reproduced():
    whole = plan((1024, 1024), per_pixel((4, 4)))
    assert whole.classes == 163
    assert whole.nodes == 262145
    assert whole.operations == pytest.approx(20.5e9, rel=0.01)
    assert plan((4096, 4096), homogeneous((4, 4))).nonzeros < plan((4096, 4096), per_pixel((4, 4))).nonzeros / 6


@pytest.mark.parametrize("shape", [(256, 256), (200, 333)])
def test_factor_bytes_are_those_of_the_factor(shape):
    stencil = per_pixel(shape)
    assert DissectionFactor(stencil).nbytes == pytest.approx(plan(shape, stencil).factor_bytes, rel=0.02)


def test_arithmetic_grows_with_exponent_three_halves_and_memory_little_more_than_linearly():
    plans = [plan((side, side), per_pixel((4, 4))) for side in (512, 4096)]
    growth = np.log([plans[1].operations / plans[0].operations, plans[1].nonzeros / plans[0].nonzeros]) / np.log(64)
    assert 1.45 < growth[0] < 1.6
    assert 1.0 < growth[1] < 1.2


def test_channels_multiply_the_entries_by_their_square():
    one, three = (plan((64, 64), homogeneous((8, 8), channels)) for channels in (1, 3))
    assert three.operations == pytest.approx(27 * one.operations, rel=0.05)


def test_what_does_not_fit_is_refused_with_numbers_before_anything_is_allocated(monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 10**6)
    with pytest.raises(TooLargeError, match=r"non-zeros.*operations.*0\.001 GB are available.*homogeneous"):
        DissectionFactor(per_pixel((128, 128)))


def test_plan_names_a_wrong_argument():
    with pytest.raises(ArgumentError, match=r"^stencil must be a SymmetricStencil, got list"):
        plan((8, 8), FIVE)
    with pytest.raises(ArgumentError, match=r"^shape must be"):
        plan((8, 0), homogeneous((4, 4)))


def test_plan_is_readable():
    text = str(plan((64, 64), homogeneous((4, 4))))
    assert all(word in text for word in ("non-zeros", "operations", "GB", "peak", "roughly"))


def test_factor_in_single_precision_is_half_and_its_bytes_are_predicted():
    stencil = per_pixel((200, 333))
    double, single = (plan(stencil.shape, stencil, precision=each) for each in ("double", "single"))
    assert 2 * single.factor_bytes == double.factor_bytes
    assert (single.nonzeros, single.operations) == (double.nonzeros, double.operations)
    assert SingleFactor(stencil).nbytes == pytest.approx(single.factor_bytes, rel=0.02)
    with pytest.raises(ArgumentError, match=r"^precision must be one of 'double', 'single', got 'float32'"):
        plan((8, 8), stencil, precision="float32")


@pytest.mark.parametrize("single", [False, True])
def test_workspace_of_a_factorization_is_what_the_plan_leaves_for_it(single):
    stencil, threads = per_pixel((384, 384)), get_num_threads()
    predicted = plan(stencil.shape, stencil, precision="single" if single else "double")
    factor, buffers = DissectionFactor(stencil), Buffers()
    try:
        set_num_threads(1)
        tree = factor._analysis, factor._levels, factor._groups
        blocks = _numeric.factorize(*tree, stencil.pool, buffers, single=single)
    finally:
        set_num_threads(threads)
    assert blocks.is_single == single
    assert buffers.free_bytes < 1.5 * (predicted.peak_bytes - predicted.factor_bytes)
    # No workspace takes the updates of all tiles: they wait for the node that needs them.
    analysis, tiles = factor._analysis, factor._levels[-1]
    order = (analysis.order - analysis.eliminated)[tiles.cls[tiles.first]]
    assert 2 * max(kind.size for kind in buffers._free) < np.sum(order * (order + 1) // 2)
