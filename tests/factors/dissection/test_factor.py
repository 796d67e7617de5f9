"""DissectionFactor: the contract on deep trees, sharing, refactorization, files, refusals, interrupts."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors import DenseFactor, DissectionFactor
from sparsegmrf.factors.dissection import _numeric
from sparsegmrf.kernels import dense_products
from tests import reference, strategies
from tests.contracts import factor_contract

FIVE = [(0, 0), (0, 1), (1, 0)]
CASES = strategies.symmetric_stencils(boundaries=("dirichlet", "neumann"), largest=9)

TestContract = factor_contract(DissectionFactor, CASES)
TestContractOfDeepTrees = factor_contract(lambda stencil: DissectionFactor(stencil, tile=2, leaf=2), CASES)


def five_point(shape, seed=1, patch=None):
    rng = np.random.default_rng(seed)
    centre = np.full(shape, 4.5)
    where = (slice(None), slice(None)) if patch is None else patch
    centre[where] += rng.uniform(0.0, 1.0, centre[where].shape)
    return SymmetricStencil(FIVE, [centre, -1.0, -1.0], shape)


def image(shape, seed=2):
    return np.random.default_rng(seed).standard_normal(shape)


@given(CASES, st.sampled_from([0, 1]))
def test_flipped_image_gives_the_flipped_result(case, axis):
    plain, flipped = DissectionFactor(case.stencil), DissectionFactor(case.flipped(axis).stencil)
    assert_allclose(flipped.logdet, plain.logdet, rtol=1e-11, atol=1e-11)
    assert_allclose(flipped.marginal_variance(), np.flip(plain.marginal_variance(), axis), rtol=1e-10)
    x = case.images()
    assert_allclose(flipped.solve(np.flip(x, axis)), np.flip(plain.solve(x), axis), rtol=1e-9, atol=1e-11)


@given(CASES)
def test_transposed_image_gives_the_transposed_result(case):
    plain, transposed = DissectionFactor(case.stencil), DissectionFactor(case.transposed().stencil)
    assert_allclose(transposed.logdet, plain.logdet, rtol=1e-11, atol=1e-11)
    assert_allclose(transposed.marginal_variance(), np.swapaxes(plain.marginal_variance(), 0, 1), rtol=1e-10)


@pytest.mark.parametrize("shape", [(40, 40), (37, 29), (3, 40), (40, 2)])
@pytest.mark.parametrize("tile", [4, 16, 64])
def test_tiles_of_every_size_give_the_dense_result(shape, tile):
    stencil = five_point(shape)
    factor, dense = DissectionFactor(stencil, tile=tile), DenseFactor(stencil)
    assert_allclose(factor.logdet, dense.logdet, rtol=1e-12)
    assert_allclose(factor.solve(image(shape)), dense.solve(image(shape)), rtol=1e-10, atol=1e-12)
    assert_allclose(factor.selected_inverse().plane(1), dense.selected_inverse().plane(1), rtol=1e-10, atol=1e-13)


def test_results_do_not_depend_on_the_number_of_threads(threads):
    stencil, x = five_point((150, 170)), image((3, 150, 170))
    results = []
    for count in (1, 2, 3):
        threads(count)
        factor = DissectionFactor(stencil, tile=16)
        results.append([np.array(factor.logdet), factor.whiten(x), factor.solve(x), factor.marginal_variance()])
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_large_fronts_in_blocks_of_columns_agree_with_whole_ones(monkeypatch):
    stencil = five_point((130, 140))
    whole = DissectionFactor(stencil, tile=16)
    monkeypatch.setattr(_numeric, "_SPLIT", 0.0)
    monkeypatch.setattr(_numeric, "_PANEL", 24)
    split = DissectionFactor(stencil, tile=16)
    assert_allclose(split.logdet, whole.logdet, rtol=1e-14)
    x = image((130, 140))
    assert_allclose(split.solve(x), whole.solve(x), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("split", [0.0, 1e12])
@pytest.mark.parametrize("wide", [False, True])
def test_fronts_by_blas_and_by_our_own_products_agree(wide, split, monkeypatch):
    stencil = five_point((90, 110))
    plain = DissectionFactor(stencil, tile=16)
    monkeypatch.setattr(_numeric, "own_products", lambda: wide)
    monkeypatch.setattr(dense_products, "WIDE", wide)
    monkeypatch.setattr(_numeric, "_SPLIT", split)
    monkeypatch.setattr(_numeric, "_PANEL", 24)
    monkeypatch.setattr(_numeric, "_STRIP", 10)
    other = DissectionFactor(stencil, tile=16)
    assert_allclose(other.logdet, plain.logdet, rtol=1e-14)
    x = image((90, 110))
    assert_allclose(other.solve(x), plain.solve(x), rtol=1e-11, atol=1e-13)
    assert_allclose(other.marginal_variance(), plain.marginal_variance(), rtol=1e-11)


@pytest.mark.parametrize("side", [256, 512])
def test_published_log_determinants_of_the_five_point_stencil(side):
    published = {256: 79567.850391, 512: 319023.928379}
    stencil = SymmetricStencil(FIVE, [4.1, -1.0, -1.0], (side, side), boundary="neumann")
    assert DissectionFactor(stencil).logdet == pytest.approx(published[side], abs=6e-7)


@pytest.mark.parametrize("scale", [1e-290, 1e-20, 1e290])
def test_log_determinant_of_extreme_coefficients(scale):
    stencil = five_point((30, 20))
    scaled = SymmetricStencil(FIVE, [scale * stencil.coefficient(k) for k in range(3)], (30, 20))
    expected = DenseFactor(stencil).logdet + 600 * np.log(scale)
    assert DissectionFactor(scaled, tile=16).logdet == pytest.approx(expected, rel=1e-13)


def test_homogeneous_stencil_keeps_one_block_per_class():
    factor = DissectionFactor(SymmetricStencil(FIVE, [4.5, -1.0, -1.0], (300, 200)), tile=16)
    assert factor.distinct_nodes < factor.nodes / 4
    per_pixel = DissectionFactor(five_point((300, 200)), tile=16)
    assert per_pixel.distinct_nodes == per_pixel.nodes == factor.nodes
    assert factor.nbytes < per_pixel.nbytes / 2


def test_patch_costs_only_what_it_touches():
    patch = (slice(20, 30), slice(40, 50))
    factor = DissectionFactor(five_point((200, 200), patch=patch), tile=16)
    plain = DissectionFactor(SymmetricStencil(FIVE, [4.5, -1.0, -1.0], (200, 200)), tile=16)
    assert plain.distinct_nodes < factor.distinct_nodes < plain.distinct_nodes + 30
    x = image((200, 200))
    assert_allclose(five_point((200, 200), patch=patch) @ factor.solve(x), x, rtol=0, atol=1e-12)


def test_refactorize_equals_a_new_factor_and_leaves_the_old_one():
    first, second = five_point((60, 50), 1), five_point((60, 50), 2)
    factor = DissectionFactor(first, tile=8)
    before = factor.logdet
    again = factor.refactorize(second)
    fresh = DissectionFactor(second, tile=8)
    assert again.logdet == fresh.logdet
    assert np.array_equal(again.solve(image((60, 50))), fresh.solve(image((60, 50))))
    assert factor.logdet == before


def test_refactorize_refuses_another_pattern():
    factor = DissectionFactor(five_point((6, 5)))
    with pytest.raises(ArgumentError, match="must have the pattern of this factor"):
        factor.refactorize(five_point((5, 6)))
    with pytest.raises(ArgumentError, match="must have the pattern of this factor"):
        factor.refactorize(SymmetricStencil([(0, 0), (0, 1)], [4.0, -1.0], (6, 5)))


def test_factor_from_file_is_the_factor_that_was_written(tmp_path):
    rng = np.random.default_rng(4)
    coefficients = [9.0 * np.eye(2), rng.uniform(-1, 1, (30, 20, 2, 2)), rng.uniform(-1, 1, (2, 2))]
    stencil = SymmetricStencil(FIVE, coefficients, (30, 20), channels=2)
    factor = DissectionFactor(stencil, tile=8)
    factor.to_file(tmp_path / "factor.npz")
    read = DissectionFactor.from_file(tmp_path / "factor.npz")
    x = image((30, 20, 2))
    assert read.logdet == factor.logdet
    assert np.array_equal(read.solve(x), factor.solve(x))
    assert np.array_equal(read.marginal_variance(), factor.marginal_variance())
    assert [path.name for path in tmp_path.iterdir()] == ["factor.npz"]


@pytest.mark.parametrize("boundary", ["neumann", ("neumann", "dirichlet")])
def test_factor_of_any_boundary_is_read_from_its_file(tmp_path, boundary):
    factor = DissectionFactor(SymmetricStencil(FIVE, [4.1, -1.0, -1.0], (12, 9), boundary=boundary))
    factor.to_file(tmp_path / "factor.npz")
    read, x = DissectionFactor.from_file(tmp_path / "factor.npz"), image((12, 9))
    assert read.logdet == factor.logdet
    assert np.array_equal(read.solve(x), factor.solve(x))


def test_file_that_is_no_factor_is_refused(tmp_path):
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, a=1)
    with pytest.raises(ArgumentError, match="must name a dissection factor"):
        DissectionFactor.from_file(wrong)
    wrong.write_bytes(b"nothing")
    with pytest.raises(ArgumentError, match="must name a dissection factor"):
        DissectionFactor.from_file(wrong)
    with pytest.raises(FileNotFoundError):
        DissectionFactor.from_file(tmp_path / "missing.npz")


def test_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    factor = DissectionFactor(five_point((6, 5)))
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space"):
        factor.to_file(tmp_path / "factor.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pixel", [(0, 0), (7, 11), (19, 23), (12, 3)])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("tile", [4, 64])
def test_pivot_that_is_not_positive_is_named(pixel, channels, tile):
    centre = np.full((20, 24), 5.0)
    centre[pixel] = -1.0
    blocks = centre if channels == 1 else centre[..., None, None] * np.eye(channels)
    stencil = SymmetricStencil(FIVE, [blocks, -1.0, -1.0], (20, 24), channels=channels)
    with pytest.raises(NotPositiveDefiniteError, match="not positive definite: pivot -") as caught:
        DissectionFactor(stencil, tile=tile)
    assert caught.value.pixel[:2] == pixel
    assert caught.value.pivot < 0.0


def test_homogeneous_stencil_that_is_not_positive_definite_says_what_the_centre_must_exceed():
    with pytest.raises(NotPositiveDefiniteError, match=r"symbol .* falls to about -0\.5; .* exceeds about 4"):
        DissectionFactor(SymmetricStencil(FIVE, [3.5, -1.0, -1.0], (30, 30)))
    with pytest.raises(NotPositiveDefiniteError, match=r"Neumann border the rows sum to -0\.5"):
        DissectionFactor(SymmetricStencil(FIVE, [3.5, -1.0, -1.0], (30, 30), boundary="neumann"))


def test_singular_precision_is_refused_and_never_repaired():
    planes = [np.array([[1.0, 1.0]]), np.array([[-1.0, 0.0]])]
    with pytest.raises(NotPositiveDefiniteError) as caught:
        DissectionFactor(SymmetricStencil([(0, 0), (0, 1)], planes, (1, 2)))
    assert caught.value.pivot == 0.0


def test_wrong_arguments_are_named():
    with pytest.raises(ArgumentError, match="precision must be a SymmetricStencil, got ndarray"):
        DissectionFactor(np.eye(4))
    with pytest.raises(ArgumentError, match="precision must not wrap"):
        DissectionFactor(SymmetricStencil(FIVE, [4.5, -1.0, -1.0], (5, 5), boundary="torus"))
    with pytest.raises(ArgumentError, match="tile must be at least 1, got 0"):
        DissectionFactor(five_point((4, 4)), tile=0)


def test_wide_stencils_and_narrow_strips_agree_with_the_dense_precision():
    offsets = [(0, 0), (0, 5), (3, -4), (2, 1)]
    for shape in ((12, 13), (4, 30), (30, 3), (1, 25)):
        stencil = SymmetricStencil(offsets, [9.0, -1.0, 1.0, -1.5], shape)
        factor = DissectionFactor(stencil, tile=1, leaf=1)
        assert_allclose(factor.logdet, reference.logdet(stencil.tocsr().toarray()), rtol=1e-12)


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="needs POSIX signals")
def test_interrupt_ends_a_long_factorization():
    program = """
        import signal, sys, numpy as np
        from sparsegmrf import SymmetricStencil
        from sparsegmrf.factors import DissectionFactor
        small = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [np.full((90, 90), 4.5), -1.0, -1.0], (90, 90))
        DissectionFactor(small, tile=16)
        shape = (2600, 2600)
        centre = 4.5 + np.random.default_rng(0).uniform(0, 1, shape)
        stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [centre, -1.0, -1.0], shape)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        print("ready", flush=True)
        try:
            DissectionFactor(stencil)
        except KeyboardInterrupt:
            sys.exit(42)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.7)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 42
    finally:
        child.kill()
        child.stdout.close()
