"""The example runs, and its limits are those of dense linear algebra and fall towards one half."""

import numpy as np
import pytest


def test_limits_fall_towards_one_half(capsys):
    from examples import limit_on_weight

    limits = limit_on_weight.main()
    assert list(limits) == [4, 16, 32, 64]
    values = list(limits.values())
    assert np.isinf(values[0])
    assert values == sorted(values, reverse=True)
    assert 0.5 < values[-1] < 0.6
    k = limits[16]
    L = np.eye(256) + k * np.kron(np.eye(16), np.eye(16, k=-1)) + k * np.eye(256, k=-16)
    assert 2 * np.log10(np.linalg.cond(L)) == pytest.approx(-np.log10(np.finfo(float).eps), abs=0.01)
    assert "0.9180" in capsys.readouterr().out
