"""What the page on extending shows passes the suites of the package, and is added by few files."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import CAR, SymmetricStencil, condition, factorize
from sparsegmrf.errors import ArgumentError, FileError, NotPositiveDefiniteError
from sparsegmrf.factors import DenseFactor
from sparsegmrf.io import Format, Picture, picture_of, read, write
from tests.conftest import require

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
NEW = {"new.py", "_new.py", "test_new.py"}
SHAPE = (4, 5)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What each program of the page has made."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for title, part in SECTIONS.items():
            (program,) = re.findall(r"^```python\n(.*?)^```", part, flags=re.DOTALL | re.MULTILINE)
            found[title] = {}
            exec(compile(program, title, "exec"), found[title])
    return found


@pytest.fixture(scope="module")
def text(shown):
    return shown["A file format"]["TEXT"]


def test_every_extension_has_a_program_of_one_screen_and_a_list_of_few_files():
    most = {"A model": 5, "A factor": 5, "A likelihood": 3, "A file format": 4, "A kernel": 4}
    assert set(SECTIONS) == set(most)
    for title, part in SECTIONS.items():
        listed = re.findall(r"^\d\. (.*)$", part.split("\nFiles:\n")[1], flags=re.MULTILINE)
        assert 0 < len(listed) <= most[title]
        for line in listed:
            for name in re.findall(r"^`([\w/.]+\.(?:py|md))`", line):
                exists = (ROOT / name).is_file()
                assert exists is (Path(name).name not in NEW), name


def test_model_of_the_page_is_the_car_that_is_the_same_field(shown):
    model = shown["A model"]["Membrane"](0.4, 2.0)
    same = CAR(1.0 / 4.16, tau=2.0 * 4.16)
    assert_allclose(model.stencil(SHAPE).tocsr().toarray(), same.stencil(SHAPE).tocsr().toarray(), atol=1e-12)
    for name, value in model.parameters.items():
        h = 1e-6
        ends = [model.replace(**{name: value + step}).stencil(SHAPE).tocsr().toarray() for step in (h, -h)]
        derivative = model.derivatives(SHAPE)[name].tocsr().toarray()
        assert_allclose(derivative, (ends[0] - ends[1]) / (2.0 * h), atol=1e-8)


def test_factor_of_the_page_is_the_dense_one(shown):
    made = shown["A factor"]
    factor, dense = made["DiagonalFactor"](made["precision"]), DenseFactor(made["precision"])
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    for name in ("whiten", "unwhiten", "solve"):
        assert_allclose(getattr(factor, name)(x), getattr(dense, name)(x), rtol=1e-12)
    assert factor.logdet == pytest.approx(dense.logdet, rel=1e-12)
    assert_allclose(factor.marginal_variance(), dense.marginal_variance(), rtol=1e-12)
    assert_allclose(factor.covariance_with((1, 2)), dense.covariance_with((1, 2)), atol=1e-12)


def test_likelihood_of_the_page_has_the_derivatives_of_its_density_and_is_fitted(shown):
    made = shown["A likelihood"]
    likelihood, rng, h = made["Gamma"](3.0), np.random.default_rng(1), 1e-4
    y, eta = rng.gamma(3.0, 0.5, 40), rng.normal(size=40)
    found, sides = likelihood.derivatives(y, eta), [likelihood.derivatives(y, eta + step) for step in (h, -h)]
    density = [likelihood.log_density(y, eta + step) for step in (h, -h)]
    assert_allclose(found.slope, (density[0] - density[1]) / (2.0 * h), rtol=1e-5, atol=1e-5)
    assert_allclose(found.curvature, (sides[1].slope - sides[0].slope) / (2.0 * h), rtol=1e-5)
    assert_allclose(found.rate, (sides[0].curvature - sides[1].curvature) / (2.0 * h), rtol=1e-5)
    result = made["result"]
    assert result.converged
    # The seed is fixed; by chance beyond 5.5 standard errors with probability 4e-8 each.
    for name, value in {"range": 8.0, "sigma": 0.8}.items():
        assert abs(result.parameters[name] - value) < 5.5 * result.standard_errors[name]
    with pytest.raises(ArgumentError, match=r"^y must be positive with a gamma likelihood"):
        condition(result.gmrf(), -made["image"], likelihood=likelihood)


def test_format_of_the_page_keeps_every_digit_and_nan(text, tmp_path):
    image = np.random.default_rng(0).standard_normal((20, 25)) * 1e-7
    image[3, 4] = np.nan
    assert write(tmp_path / "a.txt", image, format=text) is None
    found = read(tmp_path / "a.txt", format=text)
    assert_array_equal(found.image, image)
    assert_array_equal(found.missing, np.isnan(image))
    write(tmp_path / "B.DAT", found, format=text)
    assert_array_equal(read(tmp_path / "B.DAT", format=text).image, image)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["B.DAT", "a.txt"]


def test_format_of_ones_own_is_asked_before_the_table(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(SHAPE))
    own = Format("zeros", (".npy",), (), lambda path, request: picture_of(np.zeros(SHAPE), request, path, ".tif"))
    assert_array_equal(read(tmp_path / "a.npy", format=own).image, np.zeros(SHAPE))
    assert_array_equal(read(tmp_path / "a.npy").image, np.ones(SHAPE))


def test_format_of_ones_own_is_told_what_is_wanted(text, tmp_path):
    write(tmp_path / "a.txt", np.ones(SHAPE), format=text)
    with pytest.raises(ArgumentError, match=r"channel must be left out for a\.txt"):
        read(tmp_path / "a.txt", channel=1, format=text)
    with pytest.raises(ArgumentError, match="grey is for colour images"):
        read(tmp_path / "a.txt", grey=True, format=text)
    (tmp_path / "words.txt").write_text("not a number\n")
    with pytest.raises(FileError, match=r"^path must be a text file, got .*words\.txt, which cannot be read: .*not"):
        read(tmp_path / "words.txt", format=text)
    with pytest.raises(FileError, match=r"existing image file \(\.txt\), got .*none\.txt"):
        read(tmp_path / "none.txt", format=text)


def test_what_is_no_format_or_cannot_be_written_by_it_is_refused_and_nothing_is_left(text, tmp_path):
    reads = Format("reader", (".txt",), (), lambda path, request: np.zeros(SHAPE))
    for call in (lambda: write(tmp_path / "a.txt", np.ones(SHAPE), format="text"), lambda: read(__file__, format=read)):
        with pytest.raises(ArgumentError, match=r"^format must be a sparsegmrf\.io\.Format, got"):
            call()
    with pytest.raises(ArgumentError, match=r"^format must have a writer, got reader, which only reads"):
        write(tmp_path / "a.txt", np.ones(SHAPE), format=reads)
    with pytest.raises(ArgumentError, match=r"^path must end in \.txt, \.dat of text, got"):
        write(tmp_path / "a.csv", np.ones(SHAPE), format=text)
    with pytest.raises(ArgumentError, match=r"^format must read a Raster, got ndarray from reader; return picture_of"):
        read(__file__, format=reads)
    with pytest.raises(FileError, match=r"a\.txt cannot be written"):
        write(tmp_path / "a.txt", np.ones(SHAPE), format=Format("full", (".txt",), (), text.read, full_disk(text)))
    assert list(tmp_path.iterdir()) == []


def full_disk(text):
    from sparsegmrf.io import replacing

    def fail(path, image, name, unit):
        with replacing(path) as temporary:
            text.write(temporary, image)
            raise OSError("disk is full")

    return fail


def test_place_is_not_lost_in_a_format_of_ones_own(text, tmp_path):
    require("astropy")
    write(tmp_path / "a.fits", np.ones(SHAPE))
    placed, plain = read(tmp_path / "a.fits"), Picture(np.ones(SHAPE), np.zeros(SHAPE, dtype=bool))
    own = Format("own", (".fits",), (), text.read, text.write)
    for given, path in ((text, "a.txt"), (own, "b.fits")):
        with pytest.raises(ArgumentError, match=r"^format must be left out for a map of this image, got .*its place"):
            write(tmp_path / path, np.ones(SHAPE), like=placed, format=given)
    assert write(tmp_path / "b.txt", plain, format=text) is None


def test_kernel_of_the_page_gives_the_logdet_and_the_pixel_where_it_stops(shown):
    made = shown["A kernel"]
    rng = np.random.default_rng(2)
    for shape in ((1, 1), (1, 4), (3, 1), (3, 4)):
        diagonal, right = rng.uniform(2.1, 3.0, shape), rng.uniform(-1.0, 1.0, shape)
        expected = factorize(SymmetricStencil([(0, 0), (0, 1)], [diagonal, right], shape), "dense").logdet
        assert made["logdet_of_rows"](diagonal, right) == pytest.approx(expected, rel=1e-12)
    diagonal[0, 0] = -1.0
    with pytest.raises(NotPositiveDefiniteError) as caught:
        made["logdet_of_rows"](diagonal, right)
    assert (caught.value.pixel, caught.value.pivot) == ((0, 0), -1.0)
