"""Integrated parameters as JSON: what is read again is the same to the last digit, without the images."""

import json

import numpy as np
import pytest

from sparsegmrf import Matern, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import FitResult, IntegratedCountFit, IntegratedFit, ParameterDensity, SavedIntegral
from sparsegmrf.io import read_fit, read_model, write_model
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import BYM
from sparsegmrf.priors import Normal, PCRange, PCSigma
from tests.test_saved import same


@pytest.fixture(scope="module")
def integrals():
    """Parameters of intensities and of counts that were integrated out, of an interval without an upper end and of one
    with two ends."""
    rng = np.random.default_rng(0)
    field = Matern(range=4.0).gmrf((10, 11)).sample(rng=rng)
    priors = {"range": PCRange(2.0, 0.05), "sigma": PCSigma(3.0, 0.05)}
    of_image = fit(Matern(), field, noise_variance=0.1, priors=priors).integrate(strategy="ccd")
    given = {"sigma": PCSigma(2.0, 0.05), "phi": Normal(0.5, 0.5)}
    counts = rng.poisson(3.0 * np.exp(0.5 * field))
    return of_image, fit(BYM(), counts, likelihood=Poisson(3.0), priors=given).integrate(strategy="ccd")


def test_integrated_parameters_are_saved_without_images(integrals):
    for found in integrals:
        text = found.to_json()
        again = type(found).from_json(text)
        assert isinstance(again, SavedIntegral)
        assert again.to_json() == SavedIntegral.from_json(text).to_json() == text
        names = "densities mode log_evidence strategy without_prior points weights evaluations"
        for name in names.split():
            same(getattr(found, name), getattr(again, name))
        for name, own in found.densities.items():
            assert again.densities[name].interval() == own.interval()
            assert (again.densities[name].mean, again.densities[name].std) == (own.mean, own.std)
            same(again.densities[name].cdf(own.values), own.cdf(own.values))
        assert again.model.parameters == found.mode
        for number in (0, len(found.weights) - 1):
            values = {name: each[number] for name, each in found.points.items()}
            assert again.model_at(number).parameters == values
        with pytest.raises(ArgumentError, match="number must lie from 0 to"):
            again.model_at(len(found.weights))
        for number in (-1, 1.0, "first"):
            with pytest.raises(ArgumentError, match="number must be"):
                again.model_at(number)


def test_a_density_is_saved_by_itself(integrals):
    for found in integrals:
        for own in found.densities.values():
            same(own, ParameterDensity.from_json(own.to_json()))


def test_integrals_of_another_kind_or_with_other_fields_are_refused(integrals):
    of_image, of_counts = integrals
    with pytest.raises(ArgumentError, match="must hold an IntegratedFit, got kind 'IntegratedCountFit'"):
        IntegratedFit.from_json(of_counts.to_json())
    with pytest.raises(ArgumentError, match="must hold an IntegratedCountFit, got kind 'Matern'"):
        IntegratedCountFit.from_json(Matern().to_json())
    with pytest.raises(ArgumentError, match="must hold a FitResult, got kind 'IntegratedFit'"):
        FitResult.from_json(of_image.to_json())
    record = json.loads(of_image.to_json())
    with pytest.raises(ArgumentError, match="lacks weights"):
        IntegratedFit.from_json(json.dumps({name: each for name, each in record.items() if name != "weights"}))
    numbers = record["weights"]
    changes = {
        "strategy": 1,
        "model": 3.0,
        "log_evidence": "high",
        "mode": {"range": 1.0},
        "densities": {"range": 1.0, "sigma": 2.0},
        "points": {"range": numbers, "sigma": {**numbers, "shape": [3], "values": [1.0, 2.0, 3.0]}},
        "weights": {**numbers, "values": [-1.0, *numbers["values"][1:]]},
        "kind": "SavedIntegral",
    }
    for name, value in changes.items():
        with pytest.raises(ArgumentError, match=name if name != "kind" else "kind of a saved integral"):
            IntegratedFit.from_json(json.dumps({**record, name: value}))
    density = json.loads(of_image.densities["range"].to_json())
    few = {"dtype": "float64", "shape": [2], "values": [2.0, 1.0]}
    arrays = dict.fromkeys(("values", "density", "numbers", "by_number"), few)
    for change, match in (
        ({"interval": [0.0]}, "interval"),
        ({"density": few}, "one length"),
        ({"values": [1.0]}, "values"),
        (arrays, "increase"),
        ({"name": 3}, "name"),
    ):
        with pytest.raises(ArgumentError, match=match):
            ParameterDensity.from_json(json.dumps({**density, **change}))


def test_files_of_integrals_are_read_as_fits_and_as_models(integrals, tmp_path):
    for found in integrals:
        write_model(tmp_path / "integral.json", found)
        again = read_fit(tmp_path / "integral.json")
        assert isinstance(again, SavedIntegral)
        assert again.log_evidence == found.log_evidence
        assert read_model(tmp_path / "integral.json").parameters == found.mode
        write_model(tmp_path / "again.json", again)
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "integral.json").read_bytes()
