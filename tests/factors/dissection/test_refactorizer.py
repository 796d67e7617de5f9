"""Factors made in a loop use memory again: the same to the bit as new ones, and none that is held is overwritten."""

import gc
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil
from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors import DenseFactor, DissectionFactor, FoldedFactor
from sparsegmrf.factors.dissection import _numeric
from sparsegmrf.kernels import dense_products

SHAPE = (66, 60)
FIVE = [(0, 0), (0, 1), (1, 0)]


def per_pixel(seed, shape=SHAPE, channels=1):
    rng = np.random.default_rng(seed)
    if channels == 1:
        return SymmetricStencil(FIVE, [4.2 + rng.uniform(0.0, 1.0, shape), -1.0, -1.0], shape)
    centre = 9.0 * np.eye(channels) + np.zeros((*shape, channels, channels))
    around = rng.uniform(-1.0, 1.0, (2, *shape, channels, channels))
    return SymmetricStencil(FIVE, [centre, *around], shape, channels=channels)


def thirteen_point(seed):
    root = per_pixel(seed).tocsr()
    return SymmetricStencil.from_csr(root @ root, SHAPE, reach=2)


def homogeneous(seed):
    return SymmetricStencil(FIVE, [4.1 + seed, -1.0, -1.0], SHAPE)


CASES = [per_pixel, thirteen_point, homogeneous, lambda seed: per_pixel(seed, channels=2)]


def results(factor):
    x = np.random.default_rng(0).standard_normal(factor.lattice.image_shape)
    planes = factor.selected_inverse()
    covariances = [planes.plane(k) for k in range(len(planes.offsets))]
    return [np.array(factor.logdet), factor.solve(x), factor.whiten(x), factor.unwhiten(x), *covariances]


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def poison(again):
    """Fill all memory that is to be used again with what would spoil every result, and say how much it is."""
    buffers = again._buffers
    assert buffers.free_bytes > 0
    for memories in buffers._free.values():
        for memory in memories:
            memory[:] = np.nan


@pytest.mark.parametrize("make", CASES)
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("split", [0.0, 1e12])
def test_factor_in_used_memory_is_that_in_new_memory_to_the_bit(make, wide, split, monkeypatch):
    monkeypatch.setattr(_numeric, "own_products", lambda: wide)
    monkeypatch.setattr(dense_products, "WIDE", wide)
    monkeypatch.setattr(_numeric, "_SPLIT", split)
    monkeypatch.setattr(_numeric, "_PANEL", 24)
    again = DissectionFactor(make(1), tile=16).refactorizer()
    again(make(2))
    poison(again)
    fresh = DissectionFactor(make(3), tile=16)
    assert equal(results(again(make(3))), results(fresh))


def test_factor_in_used_memory_is_the_dense_one():
    first, second, third = (per_pixel(seed, shape=(30, 24)) for seed in range(3))
    again = DissectionFactor(first, tile=4).refactorizer()
    again(second)
    poison(again)
    factor, dense = again(third), DenseFactor(third)
    assert_allclose(factor.logdet, dense.logdet, rtol=1e-12)
    assert_allclose(factor.marginal_variance(), dense.marginal_variance(), rtol=1e-10)


def test_memory_is_used_again():
    gc.disable()  # nothing may wait for it
    try:
        again = DissectionFactor(per_pixel(1), tile=16).refactorizer()
        places = set()
        for seed in range(4):
            blocks = again(per_pixel(seed))._blocks
            places.add((blocks.tiles.ctypes.data, blocks.fronts.ctypes.data))
            del blocks
    finally:
        gc.enable()
    assert len(places) == 1


def test_loop_that_holds_the_last_factor_takes_turns_between_two_memories():
    again = DissectionFactor(per_pixel(1), tile=16).refactorizer()
    factor, places = None, []
    for seed in range(6):
        factor = again(per_pixel(seed))
        places.append(factor._blocks.fronts.ctypes.data)
    assert len(set(places)) == 2
    assert places[:2] == places[2:4] == places[4:]


@pytest.mark.parametrize("hold", ["factor", "solver", "numbers"])
def test_held_factor_survives_later_ones(hold):
    again = DissectionFactor(per_pixel(1), tile=16).refactorizer()
    first = again(per_pixel(2))
    before, x = results(first), np.ones(SHAPE)
    expected = first.solve(x)
    held = {"factor": first, "solver": first._solver, "numbers": first._blocks.fronts[7:]}[hold]
    copy = first._blocks.fronts[7:].copy()
    del first
    for seed in range(3, 7):
        again(per_pixel(seed))
    if hold == "factor":
        assert equal(results(held), before)
    elif hold == "solver":
        assert np.array_equal(held.solve(x.reshape(1, -1)).reshape(SHAPE), expected)
    else:
        assert np.array_equal(held, copy, equal_nan=True)


@pytest.mark.parametrize("pixel", [(3, 4), (35, 30), (65, 59)])
def test_failure_leaves_the_next_factor_right(pixel):
    again = DissectionFactor(per_pixel(1), tile=16).refactorizer()
    held = again(per_pixel(2))
    before = results(held)
    centre = np.full(SHAPE, 4.5)
    centre[pixel] = -1.0
    for _ in range(2):
        with pytest.raises(NotPositiveDefiniteError) as caught:
            again(SymmetricStencil(FIVE, [centre, -1.0, -1.0], SHAPE))
        assert caught.value.pivot < 0.0
    assert equal(results(again(per_pixel(3))), results(DissectionFactor(per_pixel(3), tile=16)))
    assert equal(results(held), before)


def test_number_of_threads_changes_nothing(threads):
    found = []
    for count in (1, 2, 3):
        threads(count)
        again = DissectionFactor(per_pixel(1), tile=16).refactorizer()
        again(per_pixel(2))
        found.append(results(again(per_pixel(3))))
    assert equal(found[0], found[1])
    assert equal(found[0], found[2])


def test_two_threads_at_once_get_the_factors_they_ask_for():
    again = DissectionFactor(per_pixel(1), tile=16).refactorizer()
    expected = [results(DissectionFactor(per_pixel(seed), tile=16)) for seed in range(2)]
    wrong = []

    def work(seed):
        for _ in range(5):
            if not equal(results(again(per_pixel(seed))), expected[seed]):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_memory_of_the_first_factor_is_used_again():
    first = DissectionFactor(per_pixel(1), tile=16)
    where = first._blocks.fronts.ctypes.data
    again = first.refactorizer()
    assert again(per_pixel(2))._blocks.fronts.ctypes.data != where
    del first
    assert again(per_pixel(3))._blocks.fronts.ctypes.data == where


def test_selected_inverse_frees_workspaces_and_not_the_memory_of_factors():
    again = DissectionFactor(per_pixel(1), tile=16).refactorizer()
    factor, dropped = again(per_pixel(2)), again(per_pixel(3))
    size = dropped.nbytes
    del dropped
    assert again._buffers.free_bytes > size
    factor.selected_inverse()
    assert again._buffers.free_bytes >= size
    assert not any(kind.passing for kind in again._buffers._free)


def test_other_pattern_is_declined_and_the_plain_method_keeps_no_memory():
    factor = DissectionFactor(per_pixel(1), tile=16)
    again = factor.refactorizer()
    assert again(per_pixel(1, shape=(60, 66))) is None
    assert again._buffers.free_bytes == 0


def test_ring_is_refactorized_in_used_memory():
    def ring(seed):
        centre = 4.2 + np.random.default_rng(seed).uniform(0.0, 1.0, SHAPE)
        return SymmetricStencil(FIVE, [centre, -1.0, -1.0], SHAPE, boundary=("neumann", "torus"))

    again = FoldedFactor(ring(1)).refactorizer()
    again(ring(2))
    poison(again.args[1])
    assert equal(results(again(ring(3))), results(FoldedFactor(ring(3))))
    assert again(per_pixel(1)) is None
