"""Files of every kind through the commands: observed values, missing pixels and the place of both come back."""

import numpy as np
import pytest

from sparsegmrf.cli import main
from sparsegmrf.io import read
from tests.conftest import require
from tests.kinds_of_files import KINDS
from tests.table_of_files import REACH, commands, described, kept, without_figures


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Commands without their figures, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    with without_figures():
        yield tmp_path


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_values_gaps_and_ground_come_back(quick, kind, capsys):
    for library in ("rasterio", *kind.needs):
        require(library)
    values = kind.make(quick / kind.file)
    missing = np.isnan(values)
    place = described(quick / kind.file, 1 if ".nii" in kind.file else None)
    for words in commands(kind):
        assert main(words) == 0, capsys.readouterr().err
    assert capsys.readouterr().err == ""
    filled = np.asarray(read(f"out/in-filled{kind.suffix}").image)
    np.testing.assert_array_equal(filled[~missing], values[~missing])
    assert np.isfinite(filled).all()
    for name in ("rx", "density"):
        np.testing.assert_array_equal(np.isnan(np.asarray(read(f"{name}{kind.suffix}").image)), missing)
    touched = missing.copy()
    for i, j in np.argwhere(missing):
        for di, dj in REACH:
            if i - di < missing.shape[0] and 0 <= j - dj < missing.shape[1]:
                touched[i - di, j - dj] = True
    np.testing.assert_array_equal(np.isnan(np.asarray(read(f"white{kind.suffix}").image)), touched)
    of_values = {key: value for key, value in place.items() if key != "unit" and key != "BUNIT"}
    assert kept(place, described(quick / f"out/in-filled{kind.suffix}")) == []
    for name in ("rx", "density", "white"):
        assert kept(of_values, described(quick / f"{name}{kind.suffix}")) == []
