"""The example runs, and means over the ocean lie as near the true ones as their standard errors say."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("xarray")


def test_means_and_change_are_those_of_the_truth_within_their_errors(tmp_path, capsys):
    from examples import climate_series

    path = tmp_path / "page.png"
    of_month, change, means, true_change = climate_series.main(count=8, path=path)
    assert path.stat().st_size > 30_000
    z = (of_month.estimate - means) / of_month.standard_error
    # Eight numbers of a fixed seed: normal ones have a mean square above 4 with a probability of 1e-4.
    assert np.mean(z**2) < 4.0
    assert of_month.standard_error.max() < 0.1
    assert abs(change.estimate - true_change) < 5.0 * change.standard_error
    assert "change of the year" in capsys.readouterr().out
