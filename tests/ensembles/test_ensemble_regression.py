"""CholeskyField.fit: regressions, shrinkage and leave-one-out scores against their definitions written out."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from sparsegmrf._validate import read_only
from sparsegmrf.ensembles import CholeskyField, _ensemble, _regression
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.kernels import ensemble_regression
from tests import reference

LATER = {
    0: [],
    1: [(0, 1), (1, -1), (1, 0), (1, 1)],
    2: [(0, 1), (0, 2), *[(di, dj) for di in (1, 2) for dj in range(-2, 3)]],
}


def ensemble(shape, count, seed=0):
    """Images with a mean, variances that differ between pixels, and neighbours that resemble each other."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((count, shape[0] + 1, shape[1] + 1))
    x = white[:, 1:, 1:] + 0.6 * white[:, :-1, 1:] + 0.4 * white[:, 1:, :-1]
    return (1.0 + rng.random(shape)) * x + 5.0 * rng.standard_normal(shape)


def present(pixel, offsets, shape):
    i, j = pixel
    return [k for k, (a, b) in enumerate(offsets) if 0 <= i + a < shape[0] and 0 <= j + b < shape[1]]


def window(x, pixel, offsets):
    """Columns ``x[:, p + o_k]`` of the neighbours on the image, then the pixel's own."""
    i, j = pixel
    kept = [offsets[k] for k in present(pixel, offsets, x.shape[1:])]
    return np.array([x[:, i + a, j + b] for a, b in [*kept, (0, 0)]]).T


def dense_target(name, images, offsets):
    """The target's matrix for all points and the pixels' scales, from explicit windows."""
    x = images - images.mean(axis=0)
    shape, points = x.shape[1:], [*offsets, (0, 0)]
    deviation = x.std(axis=0)
    if name == "diagonal":
        return np.eye(len(points)), deviation
    if name == "correlation":
        x = x / deviation
    whole = [p for p in reference.pixels(shape) if len(present(p, points, shape)) == len(points)]
    matrix = np.mean([window(x, p, offsets).T @ window(x, p, offsets) / len(x) for p in whole], axis=0)
    return matrix, np.ones(shape) if name == "homogeneous" else deviation


def shrunk(images, mean, pixel, offsets, shrinkage, target):
    """The matrix that pixel's regression is made from."""
    matrix, scale = target
    points = [*offsets, (0, 0)]
    kept = present(pixel, points, images.shape[1:])
    scales = np.array([scale[pixel[0] + points[k][0], pixel[1] + points[k][1]] for k in kept])
    C = window(images - mean, pixel, offsets)
    return (1.0 - shrinkage) * C.T @ C / len(C) + shrinkage * matrix[np.ix_(kept, kept)] * np.outer(scales, scales)


@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    radius=st.integers(0, 2),
    known=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_pure_maximum_likelihood_is_least_squares_at_every_pixel(shape, radius, known, seed):
    images = ensemble(shape, 20, seed)
    mean = np.random.default_rng(seed).standard_normal(shape) if known else "estimate"
    result = CholeskyField.fit(images, radius, shrinkage=None, mean=mean)
    x = images - (mean if known else images.mean(axis=0))
    assert_allclose(result.mean, mean if known else images.mean(axis=0), rtol=1e-14)
    assert result.model.offsets == tuple(LATER[radius])
    for i, j in reference.pixels(shape):
        kept, columns = present((i, j), LATER[radius], shape), window(x, (i, j), LATER[radius])
        beta = np.linalg.lstsq(columns[:, :-1], columns[:, -1], rcond=None)[0]
        d = 1.0 / np.sqrt(np.mean((columns[:, -1] - columns[:, :-1] @ beta) ** 2))
        assert_allclose(result.model.diagonal[i, j], d, rtol=1e-10)
        assert_allclose(result.model.weights[kept, i, j], -d * beta, rtol=1e-10, atol=1e-10 * d)


@pytest.mark.parametrize("radius", [1, 2])
def test_no_other_factor_with_the_pattern_and_no_other_mean_is_more_likely(radius):
    shape, offsets = (2, 3), LATER[radius]
    images = ensemble(shape, 25, 3)
    result = CholeskyField.fit(images, radius, shrinkage=0)
    entries = [
        (3 * i + j, 3 * (i + a) + j + b)
        for i, j in reference.pixels(shape)
        for a, b in offsets
        if i + a < 2 and 0 <= j + b < 3
    ]
    rows, columns = np.array(entries).T

    def loss(at):
        A = np.diag(np.exp(at[:6]))
        A[rows, columns] = at[12:]
        e = (images.reshape(25, 6) - at[6:12]) @ A.T
        gradient = np.empty_like(at)
        outer = e.T @ (images.reshape(25, 6) - at[6:12])
        gradient[:6] = np.diagonal(outer) * np.exp(at[:6]) - 25
        gradient[6:12] = -(e @ A).sum(axis=0)
        gradient[12:] = outer[rows, columns]
        return 0.5 * np.sum(e**2) - 25 * at[:6].sum() + 75 * np.log(2 * np.pi), gradient

    start = np.concatenate([np.zeros(6), images.mean(axis=0).ravel(), np.zeros(len(entries))])
    best = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 5000})
    assert_allclose(result.loglik, -best.fun, rtol=1e-9)
    assert_allclose(result.model.diagonal.ravel(), np.exp(best.x[:6]), rtol=1e-4)
    assert_allclose(result.mean.ravel(), best.x[6:12], atol=1e-4)
    A = result.model.whitening().tocsr().toarray()
    assert_allclose(A[rows, columns], best.x[12:], atol=1e-4)


@pytest.mark.parametrize("target", _regression.TARGETS)
@pytest.mark.parametrize("shrinkage", [0.3, 1.0])
def test_shrunk_factor_is_the_regression_of_the_shrunk_covariance(target, shrinkage):
    shape, offsets = (5, 6), LATER[2]
    images = ensemble(shape, 9)
    result = CholeskyField.fit(images, 2, shrinkage=shrinkage, target=target)
    towards = dense_target(target, images, offsets)
    for i, j in reference.pixels(shape):
        M = shrunk(images, images.mean(axis=0), (i, j), offsets, shrinkage, towards)
        expected = np.linalg.solve(M, np.eye(len(M))[-1])  # the last column of M^-1 is d (w, d)
        d = np.sqrt(expected[-1])
        assert_allclose(result.model.diagonal[i, j], d, rtol=1e-10)
        kept = present((i, j), offsets, shape)
        assert_allclose(result.model.weights[kept, i, j], expected[:-1] / d, rtol=1e-9, atol=1e-10 * d)


def test_likelihood_is_that_of_the_field():
    images = ensemble((5, 6), 9)
    result = CholeskyField.fit(images, 1, shrinkage=0.2)
    assert_allclose(result.loglik, np.sum(result.gmrf().logpdf(images)), rtol=1e-12)


def test_homogeneous_target_alone_shares_the_weights_of_the_interior():
    result = CholeskyField.fit(ensemble((6, 7), 5), 1, shrinkage=1.0)
    inner = result.model.weights[:, :-1, 1:-1]
    assert_allclose(inner, np.broadcast_to(inner[:, :1, :1], inner.shape), rtol=1e-12)


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("target", _regression.TARGETS)
@pytest.mark.parametrize(("count", "shrinkages"), [(2, [0.4, 1.0]), (7, [0.01, 0.7]), (16, [0.0, 0.5])])
def test_leave_one_out_is_that_of_refits(known, target, count, shrinkages):
    shape, offsets = (6, 8), LATER[2]
    images = ensemble(shape, count)
    towards = dense_target(target, images, offsets)
    given_mean = np.full(shape, 0.5) if known else "estimate"
    checked = _ensemble.as_ensemble(images, given_mean)
    pattern = _ensemble.LocalPattern.of(_ensemble.later_neighbours(2, None))
    planes = checked.covariances(pattern.differences)
    held = _regression.Target(*(read_only(array) for array in towards))
    found = _regression.leave_one_out(checked, pattern, planes, held, np.array(shrinkages))
    for k, shrinkage in enumerate(shrinkages):
        total = 0.0
        for n in range(count):
            rest = np.delete(images, n, axis=0)
            mean = given_mean if known else rest.mean(axis=0)
            for pixel in reference.pixels(shape):
                M = shrunk(rest, mean, pixel, offsets, shrinkage, towards)
                c = window(images[n : n + 1] - mean, pixel, offsets)[0]
                beta = np.linalg.solve(M[:-1, :-1], M[:-1, -1])
                variance = M[-1, -1] - M[-1, :-1] @ beta
                total -= 0.5 * (np.log(2 * np.pi * variance) + (c[-1] - c[:-1] @ beta) ** 2 / variance)
        assert_allclose(found[k], total / count, rtol=1e-8)


def test_leave_one_out_is_right_over_several_chunks_of_images():
    images = ensemble((2, 2), 2 * ensemble_regression.CHUNK + 5)
    result = CholeskyField.fit(images, 1, shrinkage=0.0)
    rest = [CholeskyField.fit(np.delete(images, n, axis=0), 1, shrinkage=0.0).gmrf() for n in range(len(images))]
    assert_allclose(result.loo, np.mean([field.logpdf(images[n]) for n, field in enumerate(rest)]), rtol=1e-10)


def test_maximum_likelihood_that_one_image_less_would_not_allow_has_no_score():
    result = CholeskyField.fit(ensemble((2, 3), 6), 1, shrinkage=None)
    assert np.isfinite(result.loglik)
    assert result.loo == -np.inf


@pytest.mark.parametrize("count", [2, 8, 40, 400])
def test_automatic_shrinkage_scores_best_of_many(count):
    images = ensemble((6, 6), count)
    result = CholeskyField.fit(images, 1)
    others = [CholeskyField.fit(images, 1, shrinkage=s).loo for s in np.linspace(0.0 if count > 6 else 0.02, 1.0, 25)]
    assert result.loo >= max(others) - 0.02 * abs(max(others) - min(others))


def test_shrinkage_vanishes_as_the_ensemble_grows():
    few, many = (CholeskyField.fit(ensemble((6, 6), count), 1).shrinkage for count in (10, 4000))
    assert many < 0.05 < few


def test_factor_is_recovered_within_its_standard_errors():
    # 36 diagonal entries and 96 weights beyond 6 standard errors: a false alarm of 132 * 2e-9 = 3e-7.
    rng = np.random.default_rng(4)
    shape, count = (6, 6), 20000
    diagonal, weights = rng.uniform(1.0, 2.0, shape), rng.uniform(-0.4, 0.3, (4, *shape))
    truth = CholeskyField(diagonal, weights).gmrf(mean=rng.standard_normal(shape))
    found = CholeskyField.fit(truth.sample(count, rng=1), 1, shrinkage=None).model
    covariance = np.linalg.inv(truth.tocsr().toarray())
    for i, j in reference.pixels(shape):
        d = diagonal[i, j]
        assert abs(found.diagonal[i, j] - d) < 6.0 * d / np.sqrt(2.0 * count)
        kept = present((i, j), LATER[1], shape)
        if kept:
            places = [6 * (i + LATER[1][k][0]) + j + LATER[1][k][1] for k in kept]
            errors = np.sqrt(np.diagonal(np.linalg.inv(covariance[np.ix_(places, places)])) / count)
            # beta = -w / d has these errors over d; the diagonal adds its own.
            errors = np.hypot(errors, np.abs(weights[kept, i, j]) / np.sqrt(2.0 * count))
            assert (np.abs(found.weights[kept, i, j] - weights[kept, i, j]) < 6.0 * errors).all()


def test_bits_do_not_depend_on_the_number_of_threads(threads, monkeypatch):
    monkeypatch.setattr(_ensemble, "_BLOCK", 100)
    monkeypatch.setattr("sparsegmrf._threads.rows_per_task", lambda width: 1)
    images, results = ensemble((9, 7), 30), []
    for number in (1, 3):
        threads(number)
        results.append(CholeskyField.fit(images, 2))
    first, second = results
    assert np.array_equal(first.model.weights, second.model.weights)
    assert np.array_equal(first.model.diagonal, second.model.diagonal)
    assert (first.loo, first.loglik, first.shrinkage) == (second.loo, second.loglik, second.shrinkage)


def test_cut_into_blocks_of_rows_does_not_matter(monkeypatch):
    images = ensemble((9, 7), 30)
    whole = CholeskyField.fit(images, 2, shrinkage=0.1)
    monkeypatch.setattr(_ensemble, "_BLOCK", 1)
    assert np.array_equal(CholeskyField.fit(images, 2, shrinkage=0.1).model.weights, whole.model.weights)


def test_constant_pixel_takes_its_variance_from_the_homogeneous_target():
    images = ensemble((5, 5), 30)
    images[:, 2, 2] = 7.0
    result = CholeskyField.fit(images, 1)
    assert result.mean[2, 2] == pytest.approx(7.0)
    assert np.isfinite(result.gmrf().sample(rng=0)).all()


def test_summary_and_repr_tell_the_figures():
    result = CholeskyField.fit(ensemble((4, 5), 8), 1, shrinkage=0.25, target="diagonal")
    assert "4 later neighbours, 8 images of 4 x 5\nshrinkage 0.25 towards diagonal" in result.summary()
    assert "n_observed=8" in repr(result)
    assert result.n_parameters == 20 + 20 + 16 + 12 + 15 + 12


IMAGES = ensemble((4, 5), 8)


def altered(value, place):
    images = IMAGES.copy()
    images[place] = value
    return images


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"images": altered(np.inf, (2, 1, 3))},
            r"images must be finite, got 1 NaN.*\(2, 1, 3\); infinite values",
        ),
        ({"images": IMAGES[0]}, r"images must have shape \(N, H, W\).*got \(4, 5\)"),
        ({"images": IMAGES[..., np.newaxis]}, "fit each channel of colour images by itself"),
        ({"images": IMAGES[:0]}, r"got \(0, 4, 5\)"),
        ({"images": IMAGES + 0j}, "real numbers, got dtype complex128"),
        ({"images": 1e200 * IMAGES}, "images must have squares that are finite"),
        ({"images": IMAGES[:1]}, 'at least 2 with mean="estimate", got 1'),
        ({"images": IMAGES[:1], "mean": 0.0}, 'at least 2 with shrinkage="auto", got 1'),
        ({"images": IMAGES[:5], "shrinkage": None}, "at least 6 for maximum likelihood with 4 neighbours, got 5"),
        ({"images": IMAGES[:4], "shrinkage": 0, "mean": 0.0}, "at least 5 for maximum likelihood with 4 neighbours"),
        (
            {"images": altered(7.0, (slice(None), 2, 3)), "shrinkage": None},
            r"got 1 constant ones, the first \(2, 3\) with the value 7; pass a shrinkage",
        ),
        (
            {"images": altered(0.1, (slice(None), 2, 3)), "target": "correlation"},
            r"constant ones, the first \(2, 3\).*target=\"homogeneous\"",
        ),
        ({"images": np.full((8, 4, 5), 3.0)}, "too few or too alike for any shrinkage"),
        ({"images": altered(2 * IMAGES[:, 2, 2], (slice(None), 2, 3)), "shrinkage": 0}, r"predict.*the first \(1, 2\)"),
        ({"shrinkage": 1.5}, "from 0 to 1, got 1.5"),
        ({"shrinkage": "best"}, "shrinkage must be one of 'auto'"),
        ({"target": "identity"}, "target must be one of"),
        ({"radius": -1}, "radius must be at least 0"),
        ({"radius": 3}, "must hold a whole neighbourhood of 4 x 7 pixels, got 4 x 5"),
        ({"mean": "median"}, "mean must be"),
        ({"mean": np.zeros((5, 4))}, r"mean must be a number or an image of shape \(4, 5\), got \(5, 4\)"),
        ({"mean": np.nan}, "mean must be finite"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        CholeskyField.fit(**{"images": IMAGES, **arguments})


def test_earlier_offsets_are_refused():
    with pytest.raises(StencilError, match=r"later than the pixel.*got \(0, -1\)"):
        CholeskyField.fit(IMAGES, offsets=[(0, -1)])


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled with NUMBA_DISABLE_JIT=1")
def test_each_kernel_has_one_specialization():
    frozen = IMAGES.copy()
    frozen.flags.writeable = False
    for images in (IMAGES, frozen, IMAGES.astype(np.float32), np.asfortranarray(IMAGES)):
        for mean in ("estimate", 0.0):
            for target in _regression.TARGETS:
                CholeskyField.fit(images, 1, mean=mean, target=target)
    for kernel in (
        ensemble_regression.fill_covariances,
        ensemble_regression.regress,
        ensemble_regression.leave_one_out,
    ):
        assert len(kernel.signatures) == 1
