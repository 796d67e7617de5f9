"""The example runs: a model of the soil makes differences of varieties more precise, and its errors are honest."""

import pytest


def test_a_model_of_the_soil_compares_varieties_better(capsys):
    from examples import field_trial

    scores = field_trial.main(trials=6)
    error, said = scores["ar1(row):ar1(column)"]
    plain, _ = scores["independent plots"]
    assert error < 0.8 * plain
    # 6 trials of 15 degrees of freedom: a root mean square within a third of what it is.
    assert error == pytest.approx(said, rel=0.33)
    assert "v15 - v00" in capsys.readouterr().out
