"""Normals that belong to pixels."""

import numpy as np
import pytest

from sparsegmrf.large._geometry import Window
from sparsegmrf.large._noise import Normals


def test_a_window_has_the_normals_of_its_pixels_whatever_else_is_asked_for():
    normals = Normals(7)
    whole = normals.on(Window(0, 200, 0, 150), 3, "row")
    for window in (Window(0, 1, 0, 1), Window(60, 130, 10, 140), Window(199, 200, 149, 150), Window(64, 128, 64, 128)):
        np.testing.assert_array_equal(Normals(7).on(window, 3, "row"), whole[window.slices])


def test_draws_families_seeds_and_blocks_have_normals_of_their_own():
    window = Window(0, 192, 0, 128)
    base = Normals(7).on(window, 0, "row")
    others = [Normals(7).on(window, 1, "row"), Normals(7).on(window, 0, "pair"), Normals(8).on(window, 0, "row")]
    others += [np.roll(base, 64, axis=0), np.roll(base, 64, axis=1)]
    for other in others:
        # A correlation of 24576 pairs has the deviation 0.0064; 5 of these are exceeded with a probability of 6e-7.
        assert abs(np.corrcoef(base.ravel(), other.ravel())[0, 1]) < 5.0 / np.sqrt(base.size)
    assert base.mean() == pytest.approx(0.0, abs=5.0 / np.sqrt(base.size))
    assert base.var() == pytest.approx(1.0, abs=5.0 * np.sqrt(2.0 / base.size))


def test_a_generator_is_a_seed():
    window = Window(0, 3, 0, 3)
    first, second = (Normals(np.random.default_rng(1)).on(window, 0, "row") for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert Normals(7).vector(3, 0, "coefficients").shape == (3,)
