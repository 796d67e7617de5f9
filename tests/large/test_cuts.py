"""Cuts of a lattice: what they are against the whole, and that they bound it."""

import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window, cores_of, overlap_of
from sparsegmrf.models import CAR, Channels, Matern
from sparsegmrf.stencil.rows import gram
from tests.models.catalogue import COMPOSED, FRACTIONAL, INTRINSIC, PROPER, SHAPE
from tests.models.test_rows import UNDOMINATED, wraps

MODELS = {
    name: model
    for name, model in (PROPER | FRACTIONAL | INTRINSIC | COMPOSED).items()
    if not wraps(model) and not isinstance(model, Channels)
}
WINDOWS = [Window(1, 5, 0, 5), Window(2, 6, 0, 7)]


def unknowns(window, channels):
    """Flat indices of the unknowns of a window."""
    pixels = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE)[window.slices].ravel()
    return (pixels[:, np.newaxis] * channels + np.arange(channels)).ravel()


@pytest.mark.parametrize("name", MODELS)
def test_a_window_holds_its_block_of_the_precision(name):
    cuts, Q = Cuts.of(MODELS[name], SHAPE), MODELS[name].stencil(SHAPE).tocsr().toarray()
    for window in WINDOWS[:1]:
        at = unknowns(window, cuts.channels)
        found = cuts.dirichlet(window).tocsr().toarray()
        np.testing.assert_allclose(found, Q[np.ix_(at, at)], atol=1e-12 * np.abs(Q).max())


@pytest.mark.parametrize("name", sorted(set(MODELS) - UNDOMINATED))
def test_natural_cuts_are_below_the_precision_in_loewners_order(name):
    cuts, Q = Cuts.of(MODELS[name], SHAPE), MODELS[name].stencil(SHAPE).tocsr().toarray()
    for window in WINDOWS:
        at = unknowns(window, cuts.channels)
        natural = cuts.natural(window).tocsr().toarray()
        rest = Q - of_rest(MODELS[name], window, cuts.channels)
        rest[np.ix_(at, at)] -= natural
        assert np.linalg.eigvalsh(rest)[0] > -1e-11 * np.abs(Q).max()
        assert np.linalg.eigvalsh(natural)[0] > -1e-11 * np.abs(Q).max()


def of_rest(model, window, channels):
    """The natural cut of the pixels outside a window."""
    inside = np.zeros(SHAPE, dtype=bool)
    inside[window.slices] = True
    kept = [each.only(~each.touching(inside)) for each in model.on_lattice(SHAPE).rows(SHAPE)]
    return gram(kept, channels).tocsr().toarray()


@pytest.mark.parametrize("name", ["Matern", "Matern 2", "TensionSpline intrinsic", "CAR", "SAR", "Intrinsic 2"])
def test_a_natural_cut_is_the_precision_within_and_the_whole_of_a_whole(name):
    model = MODELS[name]
    cuts, Q = Cuts.of(model, SHAPE), model.stencil(SHAPE).tocsr().toarray()
    whole = cuts.natural(Window(0, SHAPE[0], 0, SHAPE[1]))
    np.testing.assert_allclose(whole.tocsr().toarray(), Q, atol=1e-12 * np.abs(Q).max())
    window = Window(0, SHAPE[0], 0, 5)
    natural = cuts.natural(window).tocsr().toarray()
    first = np.flatnonzero(np.tile(np.arange(5) < 1, SHAPE[0]))
    block = Q[np.ix_(unknowns(window, 1), unknowns(window, 1))]
    np.testing.assert_allclose(natural[first], block[first], atol=1e-12 * np.abs(Q).max())


@pytest.mark.parametrize("name", ["Matern 2", "TensionSpline intrinsic, smooth", "CAR 8", "Sum weighted"])
def test_rows_that_touch_pixels_known_already_stay(name):
    model = MODELS[name]
    cuts, Q = Cuts.of(model, SHAPE), model.stencil(SHAPE).tocsr().toarray()
    core, window = Window(2, 4, 3, 5), Window(2, 6, 0, 7)  # every later pixel is in the window
    at = unknowns(window, cuts.channels)
    found = cuts.natural(window, core).tocsr().toarray()
    np.testing.assert_allclose(found, Q[np.ix_(at, at)], atol=1e-11 * np.abs(Q).max())
    assert np.abs(cuts.natural(window).tocsr().toarray() - found).max() > 1e-3


def test_models_without_rows_are_refused_with_the_remedy():
    cuts = Cuts.of(CAR(-1.2, neighbourhood=8, form="degree"), SHAPE)
    for refused in (cuts.check_rows, lambda: cuts.natural(Window(0, 4, 0, 4))):
        with pytest.raises(ArgumentError, match=r"sum of squares .* upper=False"):
            refused()


@pytest.mark.parametrize("model", [Matern(5.0, boundary="torus"), CAR(0.2, boundary=("dirichlet", "torus"))])
def test_what_wraps_is_refused(model):
    with pytest.raises(ArgumentError, match="wraps"):
        Cuts.of(model, SHAPE)


def test_channels_are_refused():
    with pytest.raises(ArgumentError, match="spatial model"):
        Cuts.of(Channels(CAR(0.2), [[1.0, 0.5], [0.5, 2.0]]), SHAPE)


def test_cores_make_up_the_raster_and_halos_end_at_it():
    cores = cores_of((10, 7), 4)
    count = np.zeros((10, 7), dtype=int)
    for core in cores:
        count[core.slices] += 1
    assert (count == 1).all()
    tiles = [Tile.of(number, core, 2, (10, 7)) for number, core in enumerate(cores)]
    count[...] = 0
    for tile in tiles:
        count[tile.window.slices] += 1
        image = np.arange(70).reshape(10, 7)
        np.testing.assert_array_equal(image[tile.window.slices][tile.place], image[tile.core.slices])
    assert overlap_of(tiles, (10, 7)) == count.max()
