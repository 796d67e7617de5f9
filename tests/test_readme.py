"""The README's program and commands do what they say."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sparsegmrf.cli import main

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_program_runs_and_prints_what_its_comments_promise(capsys):
    (program,) = blocks("python")
    names = {}
    exec(compile(program, str(README), "exec"), names)
    printed = capsys.readouterr().out
    model, field = names["model"], names["field"]
    assert f"{model.report.loglik_per_pixel:.6f} nats" in printed
    assert abs(model.report.loglik_per_pixel - 1.0946) < 0.003
    assert f"stable by a margin of {model.stability().margin}" in printed
    assert names["innovations"].var() == pytest.approx(1.0, abs=0.05)
    assert names["draw"].shape == (512, 512)
    np.testing.assert_array_equal(names["draw"], field.sample(rng=0))
    assert f"262144 x 262144 precision with {names['Q'].nnz} entries" in printed
    correlation = names["correlation"]
    assert correlation[256, 256] == pytest.approx(1.0, abs=1e-9)
    assert 0.0 < correlation[256, 257] < 1.0


def test_program_is_on_the_first_screen_and_at_most_25_lines():
    (program,) = blocks("python")
    assert len(program.splitlines()) <= 25
    before = README.read_text(encoding="utf-8").split("```python")[0]
    assert len(before.splitlines()) <= 25
    assert "Q^{-1}" in before
    assert 'pip install ".[cli]" && sparsegmrf demo' in before
    assert "make test" in before


def test_commands_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(skimage.data.chelsea()[100:164, 100:172]).save("photo.png")
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("sparsegmrf ")]
    assert [shlex.split(line)[1] for line in commands] == ["fit", "whiten", "sample", "experiment"]
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    written = {"fit.png", "model.json", "innovations.tif", "draw.png", "experiment.png"}
    assert {path.name for path in tmp_path.iterdir()} == written | {"photo.png"}
