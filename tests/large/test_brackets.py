"""Bounds of tiles on variances, against the exact variances of the whole image."""

import numpy as np
import pytest

from sparsegmrf import condition
from sparsegmrf.factors import DissectionFactor
from sparsegmrf.large._brackets import _merged, bracket, parts_of, wider
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._decay import decay_rate, halo_for
from sparsegmrf.large._geometry import Tile, Window, cores_of
from sparsegmrf.large._posterior import Analyses, Posterior
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._tiling import Tiling, work_bytes
from sparsegmrf.models import CAR, SAR, Independent, Intrinsic, Matern, Sum, TensionSpline

SHAPE = (36, 44)
NOISE = 0.3
MODELS = {
    "TensionSpline": TensionSpline(0.4),
    "TensionSpline turned": TensionSpline(0.4, anisotropy=(2.0, 0.5), diffusion="smooth"),
    "Matern": Matern(5.0, 2.0),
    "Matern 2": Matern(6.0, nu=2),
    "Matern maps": Matern(np.linspace(3.0, 8.0, SHAPE[0] * SHAPE[1]).reshape(SHAPE), anisotropy=(3.0, 0.4)),
    "CAR": CAR(0.249),
    "SAR": SAR(0.23),
    "Intrinsic": Intrinsic(tau=2.0),
    "Intrinsic 2": Intrinsic(order=2),
    "Sum": Sum([Matern(8.0), CAR(0.1)]),
    "Matern 0.5": Matern(6.0, nu=0.5),
}


def image(seed=0, hole=8):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(SHAPE).cumsum(axis=0).cumsum(axis=1) / 20.0
    values[rng.random(SHAPE) < 0.3] = np.nan
    values[12 : 12 + hole, 18 : 18 + hole] = np.nan
    return values


def posterior_of(model, values, noise=NOISE):
    return Posterior(Cuts.of(model, values.shape), Raster.of(values, None, "nan", noise))


def exact(model, values, noise=NOISE):
    field = model.gmrf(values.shape)
    if not isinstance(model, Sum):
        return condition(field, values, mask="nan", noise_variance=noise).marginal_variance()
    P, a = field.precision.tocsr().toarray(), model.combination
    weight = np.where(np.isnan(values), 0.0, 1.0 / noise).ravel()
    lift = np.kron(np.eye(values.size), a)
    return np.diag(lift @ np.linalg.solve(P + lift.T @ np.diag(weight) @ lift, lift.T)).reshape(values.shape)


@pytest.mark.parametrize("name", MODELS)
def test_variances_lie_within_their_bounds(name):
    values = image()
    posterior, truth = posterior_of(MODELS[name], values), exact(MODELS[name], values)
    for number, core in list(enumerate(cores_of(SHAPE, 20)))[1::3]:
        found = bracket(posterior, Tile.of(number, core, 8, SHAPE), np.inf, 10**9, upper=True)
        own = truth[core.slices]
        assert (found.lower <= own * (1.0 + 1e-9)).all()
        assert (found.upper >= own * (1.0 - 1e-9)).all()
        assert found.lower.max() > 0.0
        assert np.median(found.upper / found.lower) < 1.05


def test_bounds_tighten_with_the_halo_as_the_rate_says():
    values = image(hole=0)
    posterior = posterior_of(TensionSpline(0.4), values)
    core = Window(14, 24, 16, 26)
    widths = [bracket(posterior, Tile.of(0, core, h, SHAPE), np.inf, 10**9, upper=True).width for h in (4, 8, 12)]
    assert widths[0] > 4 * widths[1] > 16 * widths[2]


def test_only_what_is_too_wide_is_made_anew():
    values = image(hole=14)
    posterior, truth = posterior_of(TensionSpline(0.4), values), exact(TensionSpline(0.4), values)
    tiles = [Tile.of(number, core, 6, SHAPE) for number, core in enumerate(cores_of(SHAPE, 22))]
    for tile in tiles:
        first = bracket(posterior, tile, np.inf, 10**9, upper=True)
        found = bracket(posterior, tile, 0.02, 10**9, upper=True)
        assert first.width > 0.02 >= found.width
        parts = parts_of(posterior.cuts, wider(posterior.cuts, tile), first, 0.02, 10**9)
        anew = np.zeros(tile.core.shape, dtype=bool)
        for part in parts:
            anew[part.core.within(tile.core)] = True
        assert not anew.all()
        assert anew[first.wide(0.02)].all()
        unchanged = (found.lower == first.lower) & (found.upper == first.upper)
        assert unchanged[~anew].all()
        own = truth[tile.core.slices]
        assert (found.lower <= own * (1.0 + 1e-9)).all()
        assert (found.upper >= own * (1.0 - 1e-9)).all()


def test_what_needs_more_memory_is_flagged():
    posterior = posterior_of(TensionSpline(0.4), image(hole=14))
    tile = Tile.of(0, cores_of(SHAPE, 22)[0], 6, SHAPE)
    first = bracket(posterior, tile, np.inf, 10**9, upper=True)
    parts = parts_of(posterior.cuts, wider(posterior.cuts, tile), first, 0.02, 10**9)
    budget = min(work_bytes(posterior.cuts, part.window.shape) for part in parts) - 1
    flagged = bracket(posterior, tile, 0.02, budget, upper=True)
    assert flagged.width == first.width > 0.02


def test_rectangles_are_joined_where_that_is_no_more_work():
    shape, near, far = (400, 400), [Window(10, 20, 10, 20), Window(12, 22, 24, 30)], Window(300, 310, 320, 330)
    assert sorted(_merged([*near, far], 10, shape), key=lambda box: box.top) == [Window(10, 22, 10, 30), far]
    assert _merged([], 10, shape) == []
    assert _merged([far], 10, shape) == [far]


def test_a_cut_without_observations_is_unbounded_and_no_crash():
    values = np.full(SHAPE, np.nan)
    values[:4, :4] = 1.0
    tile = Tile.of(0, Window(20, 30, 20, 30), 4, SHAPE)
    found = bracket(posterior_of(Intrinsic(), values), tile, np.inf, 10**9, upper=True)
    assert np.isinf(found.upper).all()
    assert np.isfinite(found.lower).all()
    assert np.isinf(found.width)


def test_the_whole_image_as_one_tile_is_exact():
    values = image()
    tile = Tile.of(0, Window(0, 36, 0, 44), 0, SHAPE)
    found = bracket(posterior_of(Matern(5.0), values), tile, 0.0, 10**9, upper=True)
    np.testing.assert_allclose(found.lower, exact(Matern(5.0), values), rtol=1e-9)
    np.testing.assert_array_equal(found.lower, found.upper)


@pytest.mark.parametrize(
    ("model", "precision", "expected"),
    [
        (Intrinsic(tau=100.0), 1e-2, 1e-2),
        (CAR(0.2499, tau=400.0), 0.0, (4 * 0.0001 / 0.2499 / 4 * 4) ** 0.5),
        (TensionSpline(0.05, 100.0), 0.01, np.sqrt(0.05**2 / 2 + np.emath.sqrt(0.05**4 / 4 - 1e-4)).real),
        (Independent(1.0), 1.0, np.inf),
    ],
    ids=str,
)
def test_rates_are_those_of_the_equations(model, precision, expected):
    found = decay_rate(Cuts.of(model, (200, 200)), Window(0, 200, 0, 200), precision)
    assert found == pytest.approx(expected, rel=0.02)


def test_wide_gaps_at_the_cuts_make_wide_halos():
    model, values = TensionSpline(0.4), image(hole=0)
    cuts, core = Cuts.of(model, SHAPE), Window(0, 18, 0, 22)
    plain = halo_for(cuts, Raster.of(values, None, "nan", NOISE), core, 0.01, 100)
    values[12:24, 16:28] = np.nan
    assert halo_for(cuts, Raster.of(values, None, "nan", NOISE), core, 0.01, 100) >= plain + 4


def test_cores_follow_from_the_memory():
    values = np.tile(image(), (4, 3))
    cuts, raster = Cuts.of(TensionSpline(0.4), values.shape), Raster.of(values, None, "nan", NOISE)
    assert len(Tiling.of(cuts, raster, 0.01, memory=1e9).tiles) == 1
    budget = work_bytes(cuts, (80, 80))
    found = Tiling.of(cuts, raster, 0.1, memory=budget)
    assert len(found.tiles) > 1
    assert all(work_bytes(cuts, tile.window.shape) <= budget for tile in found.tiles)


def test_memory_waits_for_windows_of_the_last_shape_alone():
    model, analyses = TensionSpline(0.5, tau=1.0), Analyses()
    shapes = [(24, 30), (26, 30)]
    for shape in shapes:
        factor = analyses.factor(model.stencil(shape).plus_diagonal(1.0))
        assert factor.shape == shape
        del factor
    idle = [kept._buffers.free_bytes for kept in analyses._kept.values()]
    assert idle[0] == 0
    assert idle[1] > 0
    factor = analyses.factor(model.stencil(shapes[0]).plus_diagonal(2.0))
    assert factor.logdet == DissectionFactor(model.stencil(shapes[0]).plus_diagonal(2.0)).logdet


def test_in_a_gap_of_a_large_raster_no_more_is_read_than_a_halo_needs():
    """A core within a gap has no observation by which anything is forgotten; the raster is not read whole for it."""
    shape, radius, read = (3000, 3200), 120, []

    def image(rows, columns):
        i, j = np.ogrid[rows, columns]
        read.append((rows.stop - rows.start, columns.stop - columns.start))
        return np.where((i - 1500) ** 2 + (j - 1600) ** 2 <= radius**2, np.nan, 1.0)

    cuts = Cuts.of(TensionSpline(kappa=0.3, tau=2.0), shape)
    core = Window(1490, 1510, 1590, 1610)
    raster = Raster.of(image, shape, "nan", 0.1)
    found = halo_for(cuts, raster, core, 0.01, max(shape))
    assert max(max(each) for each in read) <= 20 + 2 * 512
    observed = Window(100, 120, 100, 120)
    plain = halo_for(cuts, raster, observed, 0.01, max(shape))
    assert radius <= found <= radius + 2 * plain
