"""Images with labels and images on dask: maps are those of the array, and stand where the image stands."""

import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError, ImageLayoutError
from sparsegmrf.pixels import PixelGaussian, PixelMixture, ace, matched_filter, region_covariance, rx
from tests.conftest import require

xarray = require("xarray")
DIMS = {"first": ("band", "y", "x"), "middle": ("y", "band", "x"), "last": ("y", "x", "band")}
TARGET = [6.0, 0.0, -6.0]


def scene(shape=(12, 17), seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(3, 3)) + 2.0 * np.eye(3)
    image = rng.normal(size=(*shape, 3)) @ mix + 5.0
    image[4, 5:8] += 9.0
    return image


def labelled(values, place="first"):
    height, width, channels = values.shape
    found = xarray.DataArray(
        values,
        dims=("y", "x", "band"),
        coords={
            "y": 5e6 - 30.0 * np.arange(height),
            "x": 5e5 + 30.0 * np.arange(width),
            "band": [f"B{k}" for k in range(channels)],
            "time": np.datetime64("2024-05-01", "ns"),
        },
        name="reflectance",
        attrs={"units": "1", "grid_mapping": "crs"},
    )
    return found.transpose(*DIMS[place])


def on_dask(image, rows=5, columns=8):
    require("dask")
    return image.chunk({"y": rows, "x": columns, "band": 2})


def maps_of(image, **options):
    gaussian = PixelGaussian.fit(image, **options)
    mixture = PixelMixture(2, prior=2.0).fit(scene(), channel_axis=2)
    filtered, coherent = matched_filter(image, TARGET, **options), ace(image, TARGET, **options)
    same = {} if hasattr(image, "dims") else {"channel_axis": 2}
    masked = {"mask": options["mask"]} if "mask" in options else {}
    return {
        "rx_score": rx(image, **options),
        "squared_distance": gaussian.mahalanobis_image(image, **masked),
        "log_density": gaussian.log_density_image(image, **masked),
        "density": gaussian.density_image(image, **masked),
        "amplitude": filtered.amplitude,
        "standard_error": filtered.standard_error,
        "signal_to_noise": coherent.signal_to_noise,
        "score": coherent.score,
        "mixture": mixture.log_density_image(image, **same, **masked),
        "responsibility": mixture.responsibility_images(image, **same, **masked),
    }


@pytest.mark.parametrize("place", DIMS)
def test_maps_of_a_labelled_image_have_the_dimensions_and_coordinates_of_its_pixels(place):
    values = scene()
    expected, image = maps_of(values, channel_axis=2), labelled(values, place)
    for name, found in maps_of(image).items():
        plain = expected[name][..., 0]
        assert found.dims[-2:] == ("y", "x")
        np.testing.assert_array_equal(found, plain)
        assert found.name == ("log_density" if name == "mixture" else name)
        for coordinate in ("y", "x", "time"):
            assert found[coordinate].equals(image[coordinate])
        assert "band" not in found.coords
        assert found.attrs["grid_mapping"] == "crs"
        assert "units" not in found.attrs
        assert found.attrs["long_name"]
    assert maps_of(image)["responsibility"].dims == ("component", "y", "x")


def test_windows_keep_labels_too():
    image = labelled(scene(), "first")
    found = rx(image, window=(3, 9))
    assert found.dims == ("y", "x")
    np.testing.assert_array_equal(found, rx(scene(), window=(3, 9))[..., 0])


def test_a_dimension_called_for_channels_is_taken_wherever_it_is_and_a_stated_one_goes_first():
    image = labelled(scene(), "first")
    np.testing.assert_array_equal(rx(image.rename(band="Wavelength")), rx(image))
    odd = image.rename(band="k")
    np.testing.assert_array_equal(rx(odd, channel_axis="k"), rx(image))
    np.testing.assert_array_equal(rx(odd, channel_axis=0), rx(image))
    np.testing.assert_array_equal(
        region_covariance(image, [(1, 2, 9, 9)]), region_covariance(scene(), [(1, 2, 9, 9)], channel_axis=2)
    )


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda image: image.isel(band=0), {}, "none of them is called band.*channel_axis=None"),
        (lambda image: image.rename(y="channel"), {}, "several of them are called band"),
        (lambda image: image, {"channel_axis": "bands"}, r"a dimension of image, one of \('band', 'y', 'x'\)"),
        (lambda image: image.to_dataset(), {}, r"one variable, got a data set.*to_dataarray\(\"band\"\)"),
        (lambda image: image.rename(band="k").transpose("k", "y", "x"), {}, "ambiguous for image of shape"),
    ],
)
def test_a_layout_that_no_name_tells_is_refused(change, options, message):
    with pytest.raises(ImageLayoutError, match=message):
        rx(change(labelled(scene())), **options)


def test_a_fit_finds_the_channels_of_another_layout_by_name():
    image = labelled(scene(), "first")
    model = PixelGaussian().fit(image)
    np.testing.assert_array_equal(model.log_density_image(labelled(scene(), "last")), model.log_density_image(image))
    np.testing.assert_array_equal(
        model.log_density_image(np.moveaxis(scene(), 2, 0))[0], model.log_density_image(image)
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_a_labelled_mask_is_turned_to_the_image_and_compared_with_it(lazy):
    image = labelled(scene(), "first")
    missing = image.isel(band=0, drop=True) > 9.0
    expected = rx(scene(), mask=missing.values)[..., 0]
    image = on_dask(image) if lazy else image
    np.testing.assert_allclose(rx(image, mask=missing.T), expected, rtol=1e-12)
    np.testing.assert_allclose(rx(image, mask=missing.values), expected, rtol=1e-12)
    with pytest.raises(ArgumentError, match="must have the image's coordinates along y"):
        rx(image, mask=missing.assign_coords(y=np.arange(12.0)))
    with pytest.raises(ArgumentError, match="mask must"):
        rx(image, mask=missing.values[:-1])
    with pytest.raises(ArgumentError, match="mask must"):
        rx(image, mask=missing.values.astype(float))


@pytest.mark.parametrize("lazy", [False, True])
def test_what_attributes_call_missing_is_left_out(lazy):
    values = scene()
    values[3, 4, 1] = -999.0
    values[7, 2] = np.nan
    image = labelled(values).assign_attrs(missing_value=-999.0)
    missing = np.isnan(values).any(axis=2) | (values == -999.0).any(axis=2)
    found = rx(on_dask(image) if lazy else image, mask="nan")
    np.testing.assert_allclose(found, rx(values, mask=missing)[..., 0], rtol=1e-12)
    assert np.isnan(np.asarray(found)).sum() == 2
    packed = image.assign_attrs(scale_factor=0.1)
    with pytest.raises(ArgumentError, match="must be decoded"):
        rx(on_dask(packed) if lazy else packed, mask="nan")


@pytest.mark.parametrize("place", DIMS)
@pytest.mark.parametrize("options", [{}, {"mask": "nan"}])
def test_maps_of_an_image_on_dask_are_lazy_and_those_of_the_array(place, options):
    values = scene()
    if options:
        values[2, 3, 0] = np.nan
    expected = maps_of(values, channel_axis=2, **options)
    for name, found in maps_of(on_dask(labelled(values, place)), **options).items():
        assert hasattr(found.data, "__dask_graph__"), name
        assert found.chunks[-2:] == ((5, 5, 2), (8, 8, 1))
        np.testing.assert_allclose(found, expected[name][..., 0], rtol=1e-10, atol=1e-12, err_msg=name)


def test_dask_arrays_without_labels_keep_the_axis_of_channels_as_arrays_do():
    values = scene()
    data = on_dask(labelled(values, "first")).data
    found = rx(data, channel_axis=0)
    assert found.shape == (1, 12, 17)
    assert hasattr(found, "__dask_graph__")
    np.testing.assert_allclose(found, rx(np.moveaxis(values, 2, 0), channel_axis=0), rtol=1e-12)
    grey = rx(data[0], channel_axis=None)
    np.testing.assert_allclose(grey, rx(values[..., 0], channel_axis=None), rtol=1e-12)
    with pytest.raises(ImageLayoutError, match="ambiguous"):
        rx(on_dask(labelled(np.concatenate([values, values[:, :, :2]], axis=2), "first")).data)


def test_windows_over_an_image_on_dask_are_computed_as_a_whole():
    found = rx(on_dask(labelled(scene())), window=(3, 9))
    np.testing.assert_array_equal(found, rx(scene(), window=(3, 9))[..., 0])
    assert isinstance(found.data, np.ndarray)


def test_a_map_on_dask_reads_nothing_before_it_is_computed():
    dask = require("dask.array")
    read = []

    def values(block):
        if block.size:
            read.append(block.shape)
        return block

    data = dask.from_array(scene(), chunks=(6, 17, 3)).map_blocks(values, dtype=np.float64)
    model = PixelGaussian.fit(scene())
    found = model.log_density_image(data, channel_axis=2)
    assert not read
    np.testing.assert_allclose(found.compute(scheduler="synchronous"), model.log_density_image(scene()), rtol=1e-12)
    assert read == [(6, 17, 3), (6, 17, 3)]


def test_a_background_of_other_channels_is_refused_on_dask_before_anything_is_computed():
    with pytest.raises(ImageLayoutError, match="the 3 channels of image, got 2"):
        rx(on_dask(labelled(scene())), background=PixelGaussian.fit(scene()[..., :2]))
    with pytest.raises(ArgumentError, match="shrinkage must be left out"):
        rx(on_dask(labelled(scene())), background=PixelGaussian.fit(scene()), shrinkage=0.1)


def test_an_image_on_dask_may_have_another_image_for_its_background():
    values, other = scene(), scene()[:, :9]
    for background in (other, on_dask(labelled(other))):
        found = rx(on_dask(labelled(values)), background=background)
        np.testing.assert_allclose(found, rx(values, background=other)[..., 0], rtol=1e-10)
