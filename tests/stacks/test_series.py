"""Models of a series: functions on plain arrays behind the same door."""

from types import SimpleNamespace

import numpy as np
import pytest

import sparsegmrf
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks import SeriesFit
from tests.stacks.test_fill import DAYS, SHAPE, stack
from tests.stacks.test_labels import labelled


def by_day(values, days, at, *, n_samples, rng):
    """Every pixel of a date is its day; gaps and dates are seen as they were given."""
    assert values.shape == (len(days), *SHAPE)
    everything = np.append(days, at)[:, None, None] * np.ones(SHAPE)
    return SimpleNamespace(
        mean=everything,
        variance=np.full_like(everything, 4.0),
        noise_variance=np.full_like(everything, 5.0),
        samples=np.repeat(everything[None], n_samples, axis=0),
        parameters={"gaps": int(np.isnan(values).sum())},
    )


def test_a_function_fills_a_stack_through_the_door():
    values = stack()
    found = sparsegmrf.fill(values, dates=DAYS, at=[7.0], model=by_day, n_samples=2, rng=0)
    np.testing.assert_array_equal(found.mean[:, 0, 0], DAYS)
    np.testing.assert_array_equal(found.at.mean, np.full((1, *SHAPE), 7.0))
    np.testing.assert_array_equal(found.std, np.full(values.shape, 2.0))
    np.testing.assert_array_equal(found.predictive_std, np.full(values.shape, 3.0))
    np.testing.assert_array_equal(found.filled, np.where(np.isnan(values), found.mean, values))
    assert found.samples.shape == (2, *values.shape)
    assert found.parameters == {"gaps": int(np.isnan(values).sum())}
    assert isinstance(found.fit, SeriesFit)
    assert "by_day" in found.summary()
    assert "gaps" in repr(found)


def test_labels_are_put_on_what_a_function_returns():
    given = labelled(("y", "x", "time"))
    found = sparsegmrf.fill(given, model=by_day)
    assert found.std.dims == ("y", "x", "time")
    assert found.mean.attrs == {"units": "1"}


def test_what_a_function_returns_is_checked():
    def wrong(values, days, at, *, n_samples, rng):
        return SimpleNamespace(mean=values, variance=values, noise_variance=1.0, samples=values[None], parameters={})

    with pytest.raises(ArgumentError, match="model must return noise_variance for 6 dates of 6 x 7 pixels"):
        sparsegmrf.fill(stack(), dates=DAYS, model=wrong)
    with pytest.raises(ArgumentError, match="must be left out with a model of a series"):
        sparsegmrf.fill(stack(), dates=DAYS, model=by_day, outliers="screen")
    with pytest.raises(ArgumentError, match="or a function that fills a series, got 'unknown'"):
        sparsegmrf.fill(stack(), dates=DAYS, model="unknown")
