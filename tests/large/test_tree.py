"""Schur trees of rasters, against the factor of the whole in memory and dense matrices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import sparsegmrf
from sparsegmrf import fit, large
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, TooLargeError
from sparsegmrf.factors import DissectionFactor
from sparsegmrf.inference._memo import Workspace
from sparsegmrf.inference._problem import Problem
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Window
from sparsegmrf.large._images import MappedImage
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._tree_plan import TreePlan
from sparsegmrf.large._tree_run import Here, up
from sparsegmrf.models import CAR, AR1xAR1, Intrinsic, Matern, Model, Sum, TensionSpline
from sparsegmrf.stencil import SymmetricStencil
from tests.conftest import require

NOISE = 0.3


def raster(shape, seed=0):
    """Gaps and a hole."""
    rng = np.random.default_rng(seed)
    values = 2.0 * rng.standard_normal(shape) + 5.0
    values[rng.random(shape) < 0.3] = np.nan
    values[shape[0] // 3 : shape[0] // 3 + 7, 2:9] = np.nan
    return values


def ramp(shape, low, high):
    return np.linspace(low, high, shape[0] * shape[1]).reshape(shape)


def cases():
    maps, turned = ramp((41, 37), 3.0, 7.0), ramp((40, 40), 1.0, 3.0)
    barrier = np.zeros((40, 50), dtype=bool)
    barrier[20, 5:45] = True
    return {
        "five-point": (CAR(0.249), (57, 40), 16, None),
        "thirteen-point": (Matern(5.0, 2.0), (40, 40), 16, None),
        "large": (TensionSpline(0.4, 2.0), (120, 90), 48, "linear"),
        "maps": (Matern(maps, 2.0), (41, 37), 28, "constant"),
        "maps of directions": (TensionSpline(0.4, anisotropy=(turned, 0.3 * turned)), (40, 40), 28, None),
        "turned": (TensionSpline(0.4, anisotropy=(2.0, 0.5), diffusion="smooth"), (40, 43), 24, "linear"),
        "barrier": (Matern(6.0, barrier=barrier), (40, 50), 24, None),
        "walk": (Intrinsic(tau=2.0), (64, 21), 16, "linear"),
        "sum": (Sum([Matern(8.0), CAR(0.1)]), (30, 20), 14, "linear"),
        "fractional": (Matern(6.0, nu=0.5), (31, 23), 16, None),
        "separable": (AR1xAR1(0.8, 0.6), (50, 33), 16, "constant"),
        "one tile": (TensionSpline(0.4, 2.0), (23, 17), 512, None),
        "a line": (Matern(4.0), (1, 90), 5, None),
        "a column": (CAR(0.2), (77, 2), 4, None),
    }


def whole(model, values, noise, covariates):
    """The exact fit at known parameters."""
    return fit(model, values, mask="nan", noise_variance=noise, covariates=covariates, fixed=tuple(model.parameters))


@pytest.mark.parametrize("name", cases())
def test_a_tree_gives_what_the_factor_of_the_whole_gives(name):
    model, shape, tile, covariates = cases()[name]
    values = raster(shape)
    tree = large.SchurTree(model, values, noise_variance=NOISE, tile=tile, covariates=covariates)
    found = tree.condition()
    exact = whole(model, values, NOISE, covariates)
    known = exact.predict()
    np.testing.assert_allclose(found.mean, known.mean, rtol=1e-10)
    np.testing.assert_allclose(found.variance, known.std**2, rtol=1e-10)
    assert found.loglik == pytest.approx(exact.loglik, rel=1e-12)
    assert tree.loglik() == pytest.approx(exact.loglik, rel=1e-12)
    posterior = Posterior(Cuts.of(model, shape), Raster.of(values, None, "nan", NOISE))
    P = posterior.precision(Window(0, shape[0], 0, shape[1]))
    assert found.logdet == pytest.approx(DissectionFactor(P).logdet, rel=1e-12)
    assert found.n_tiles == len(tree.plan.leaves) > (name != "one tile")
    for key, value in exact.coefficients.items():
        assert found.coefficients[key] == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert found.coefficient_errors[key] == pytest.approx(exact.coefficient_errors[key], rel=1e-9)


@pytest.mark.parametrize("name", ["five-point", "maps of directions", "turned", "barrier", "sum"])
def test_the_gradient_is_that_of_the_likelihood(name):
    model, shape, tile, covariates = cases()[name]
    values, step = raster(shape), 1e-4

    def loglik(changed, noise):
        return large.SchurTree(changed, values, noise_variance=noise, tile=tile, covariates=covariates).loglik()

    found = large.SchurTree(model, values, noise_variance=NOISE, tile=tile, covariates=covariates)
    gradient = found.condition(gradient=True).gradient
    assert set(gradient) == {*model.parameters, "noise_variance"}
    for parameter, slope in gradient.items():
        if parameter == "noise_variance":
            ends = [loglik(model, NOISE * (1.0 + side * step)) for side in (1.0, -1.0)]
            size = NOISE
        else:
            size = model.parameters[parameter]
            ends = [loglik(model.replace(**{parameter: size * (1.0 + s * step)}), NOISE) for s in (1.0, -1.0)]
        assert slope == pytest.approx((ends[0] - ends[1]) / (2.0 * step * size), rel=1e-5, abs=1e-5)


def test_the_gradient_is_that_of_the_objective_in_memory():
    values, model = raster((50, 41)), TensionSpline(0.4, 2.0)
    found = large.SchurTree(model, values, noise_variance=NOISE, tile=24, covariates="linear").condition(gradient=True)
    objective = Problem.read(model, values, covariates="linear").objective.with_scale()
    at = objective.start(model, NOISE)
    point = objective.point(at, objective.evaluate(at, Workspace()))
    assert objective.names == ["kappa", "tau", "noise_variance"]
    slopes = np.array([found.gradient[name] for name in objective.names])
    np.testing.assert_allclose(slopes @ objective.jacobian(at), point.gradient, rtol=1e-9)
    assert found.loglik == pytest.approx(point.value, rel=1e-12)


def test_noise_may_differ_between_pixels_and_the_gradient_is_by_a_factor_on_it():
    values, model, step = raster((40, 37)), Matern(5.0, 2.0), 1e-4
    noise = ramp(values.shape, 0.1, 0.5)
    found = large.SchurTree(model, values, noise_variance=noise, tile=16).condition(gradient=True)
    exact = whole(model, values, noise, None)
    assert found.loglik == pytest.approx(exact.loglik, rel=1e-12)
    ends = [
        large.SchurTree(model, values, noise_variance=noise * (1.0 + side * step), tile=16).loglik()
        for side in (1.0, -1.0)
    ]
    assert found.gradient["noise_factor"] == pytest.approx((ends[0] - ends[1]) / (2.0 * step), rel=1e-6)
    assert found.noise_variance is None


class Units:
    """In the place of normals: draw by draw one of them is 1 and all others are 0."""

    def __init__(self, families, shape):
        self.families, self.shape = families, shape

    def on(self, window, draw, family):
        place, pixel = divmod(draw, self.shape[0] * self.shape[1])
        found = np.zeros(self.shape)
        if self.families[place] == family:
            found.flat[pixel] = 1.0
        return found[window.slices]

    def vector(self, count, draw, family):
        return np.zeros(count)


@pytest.mark.parametrize("model", [Matern(5.0, 2.0), TensionSpline(0.5), CAR(0.2)], ids=["Matern", "spline", "CAR"])
def test_draws_are_a_linear_map_of_normals_whose_square_is_the_covariance(model, monkeypatch):
    shape = (9, 8)
    values = raster((20, 20))[4 : 4 + shape[0], 4 : 4 + shape[1]]
    families = [f"row {each.channel} {each.name}" for each in model.rows(shape)] + ["observation"]
    units = Units(families, shape)
    monkeypatch.setattr("sparsegmrf.large._tree.Normals", lambda rng: units)
    count = len(families) * shape[0] * shape[1]
    found = large.SchurTree(model, values, noise_variance=NOISE, tile=4).condition(n_samples=count)
    M = (found.samples - found.mean).reshape(count, -1)
    P = model.stencil(shape).tocsr().toarray() + np.diag(np.where(np.isnan(values), 0.0, 1.0 / NOISE).ravel())
    np.testing.assert_allclose(M.T @ M, np.linalg.inv(P), atol=1e-11)


def test_draws_do_not_depend_on_the_tile_and_are_those_of_tiles_with_bounds():
    values, model = raster((60, 50)), TensionSpline(0.4, 2.0)
    found = [
        large.SchurTree(model, values, noise_variance=NOISE, tile=tile).condition(n_samples=2, rng=7)
        for tile in (16, 33)
    ]
    np.testing.assert_allclose(found[0].samples, found[1].samples, rtol=1e-9)
    tiles = large.condition(model, values, noise_variance=NOISE, n_samples=2, rng=7, core=30, halo=12, tolerance=9.0)
    np.testing.assert_allclose(found[0].samples, tiles.samples, atol=1e-5)


def same(one, other):
    for name in ("mean", "std", "samples"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.loglik, one.logdet, one.gradient) == (other.loglik, other.logdet, other.gradient)


def test_results_are_the_same_to_the_bit_in_threads_files_and_on_dask(tmp_path, monkeypatch):
    dask = require("dask")
    monkeypatch.setattr("sparsegmrf.large._tree_run._LARGE", 64)
    values = raster((50, 40))
    turned = TensionSpline(0.4, 2.0, anisotropy=(2.0, 0.3), diffusion="smooth")
    for model in (Matern(5.0, 2.0), turned):
        options = {"n_samples": 1, "rng": 3, "gradient": True}
        tree = large.SchurTree(model, values, noise_variance=NOISE, tile=32)
        threads = sparsegmrf.get_num_threads()
        found = []
        for count in (1, 2):
            sparsegmrf.set_num_threads(count)
            found.append(tree.condition(**options))
        sparsegmrf.set_num_threads(threads)
        same(*found)
        in_files = large.SchurTree(model, values, noise_variance=NOISE, tile=32, scratch=tmp_path).condition(**options)
        same(found[0], in_files)
        assert isinstance(in_files.mean, MappedImage)
        for scheduler in ("synchronous", "threads"):
            (on_dask,) = dask.compute(tree.delayed(**options), scheduler=scheduler, num_workers=2)
            same(found[0], on_dask)


def test_a_dask_array_is_read_by_the_tasks():
    array = require("dask.array")
    values, model = raster((70, 60)), Matern(5.0, 2.0)
    known = large.SchurTree(model, values, noise_variance=NOISE, tile=24, mean=5.0).condition()
    lazy = large.SchurTree(model, array.from_array(values, chunks=(17, 50)), noise_variance=NOISE, tile=24, mean=5.0)
    found = lazy.delayed().compute(scheduler="threads", num_workers=2)
    np.testing.assert_allclose(found.mean, known.mean, rtol=1e-12)
    np.testing.assert_allclose(found.std, known.std, rtol=1e-12)
    assert found.loglik == pytest.approx(known.loglik, rel=1e-13)
    with pytest.raises(ArgumentError, match="covariates"):
        large.SchurTree(model, array.from_array(values), noise_variance=NOISE, covariates="linear")


def test_labels_are_kept():
    xarray = require("xarray")
    values, model = raster((40, 30)), Matern(5.0, 2.0)
    labelled = xarray.DataArray(values, dims=("y", "x"), coords={"y": np.arange(40) * 2.0}, name="height")
    found = large.SchurTree(model, labelled, noise_variance=NOISE, tile=24).condition(n_samples=2, rng=0)
    plain = large.SchurTree(model, values, noise_variance=NOISE, tile=24).condition(n_samples=2, rng=0)
    assert found.mean.dims == ("y", "x")
    np.testing.assert_array_equal(found.std.coords["y"], labelled.coords["y"])
    for name in ("mean", "std", "samples"):
        np.testing.assert_array_equal(np.asarray(getattr(found, name)), getattr(plain, name))


def test_tasks_may_be_run_again_and_change_nothing_they_are_given():
    values, model = raster((40, 37)), Matern(5.0, 2.0)
    tree = large.SchurTree(model, values, noise_variance=NOISE, tile=20)

    class Twice(Here):
        def __call__(self, name, number, function, *arguments):
            first, second = (function(*arguments) for _ in range(2))
            for one, other in zip(first[0], second[0], strict=True):
                np.testing.assert_array_equal(one, other)
            return second

    setting = tree._setting(0, None, gradient=False)
    sums, _ = up(tree.plan, setting, Twice(None), tree._blocks(), keep=False)
    again, _ = up(tree.plan, setting, Here(None), tree._blocks(), keep=False)
    assert sums == again


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not list open files")
def test_many_separators_share_few_files(tmp_path):
    values = raster((64, 60))
    tree = large.SchurTree(CAR(0.2), values, noise_variance=NOISE, tile=6)
    setting = tree._setting(0, None, gradient=False)
    before = len(list(Path("/proc/self/fd").iterdir()))
    here = Here(tmp_path, tree.plan.panel_bytes // 8)
    _, kept = up(tree.plan, setting, here, tree._blocks(), keep=True)
    assert len(kept) > 100
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    assert all(not each.panel.flags.owndata for each in kept.values())


def test_the_plan_has_every_pixel_once_and_merges_the_deepest_first():
    offsets = np.array([(0, 0), (0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)])
    plan = TreePlan.of((130, 97), offsets, 1, 32)
    count = np.zeros((130, 97), dtype=int)
    for node in plan.nodes:
        count[node.own.slices] += 1
        assert all(half < node.number for half in node.halves)
    assert (count == 1).all()
    assert max(node.own.n_pixels for node in plan.leaves) <= 32**2
    assert plan.nodes[-1].key == (130, 97, 0, 0, 0, 0)


def test_an_intrinsic_field_whose_determinant_nothing_knows_has_no_likelihood_but_means():
    mask = np.zeros((40, 30), dtype=bool)
    mask[10:20, 10:20] = True
    values, model = raster((40, 30)), Intrinsic(tau=2.0, mask=mask)
    values[mask] = np.nan
    tree = large.SchurTree(model, values, noise_variance=NOISE, tile=16)
    found, known = tree.condition(), whole(model, values, NOISE, None).predict()
    assert found.loglik is None
    assert found.gradient is None
    np.testing.assert_allclose(found.mean, known.mean, rtol=1e-10)
    np.testing.assert_allclose(found.std, known.std, rtol=1e-10)
    for ask in (tree.loglik, lambda: tree.condition(gradient=True)):
        with pytest.raises(ArgumentError, match="determinant"):
            ask()


def test_what_cannot_be_done_is_refused(tmp_path, monkeypatch):
    values, model = raster((40, 30)), Matern(5.0)
    with pytest.raises(ArgumentError, match="model must be a Model"):
        large.SchurTree("matern", values, noise_variance=NOISE)
    with pytest.raises(ArgumentError, match="noise_variance must be a variance"):
        large.SchurTree(model, values, noise_variance="estimate")
    with pytest.raises(ArgumentError, match="wraps"):
        large.SchurTree(Matern(5.0, boundary="torus"), values, noise_variance=NOISE)
    with pytest.raises(ArgumentError, match="scratch"):
        large.SchurTree(model, values, noise_variance=NOISE, scratch=tmp_path / "none")
    monkeypatch.setattr("sparsegmrf._memory.available_bytes", lambda: 1000)
    with pytest.raises(TooLargeError, match="scratch="):
        large.SchurTree(model, values, noise_variance=NOISE, tile=16).loglik()


@dataclass(frozen=True, eq=False)
class Sloping(Model):
    """Its diagonal falls from row to row, and below some row the precision is not positive definite."""

    diagonal: np.ndarray

    @property
    def parameters(self):
        return {}

    def limits(self, shape):
        return {}

    def scaled(self, factor):
        return self

    def cropped(self, rows, columns):
        return Sloping(self.diagonal[rows, columns])

    def build_stencil(self, shape):
        return SymmetricStencil([(0, 0), (0, 1), (1, 0)], [self.diagonal, -1.0, -1.0], shape)

    def build_derivatives(self, shape):
        return {}


def test_a_pivot_that_is_not_positive_is_named_in_the_raster():
    diagonal = np.full((40, 30), 5.0)
    diagonal[33, 21] = -9.0
    with pytest.raises(NotPositiveDefiniteError, match=r"pixel \(33, 21\)") as failure:
        large.SchurTree(Sloping(diagonal), np.zeros((40, 30)), noise_variance=1.0, tile=12).condition()
    assert failure.value.pixel == (33, 21)
