"""The example runs, and colours that are filled together are nearer the photograph than those filled one by one."""

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("skimage")


def test_colours_together_are_better_than_one_by_one(tmp_path):
    from examples import scratched_photograph

    path = tmp_path / "page.png"
    together, alone = scratched_photograph.main(size=32, count=8, path=path)
    assert path.stat().st_size > 30_000
    assert together[0] < alone[0]
    assert together[1] < alone[1]
    assert 0.9 < together[2] < 0.99
