"""The README's program and commands, and two tutorials, do what they say."""

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sparsegmrf.cli import main
from sparsegmrf.io import write
from tests.conftest import photograph, require, require_for

README = Path(__file__).parent.parent / "README.md"
TUTORIALS = README.parent / "docs" / "tutorials"


def holes():
    image = np.random.default_rng(0).standard_normal((16, 18)).cumsum(axis=0).cumsum(axis=1)
    image[5:9, 6:11] = np.nan
    return image


def blocks(language, page=README):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def run(program, capsys):
    require_for(program)
    names = {}
    exec(compile(program, str(README), "exec"), names)
    return names, capsys.readouterr().out


def test_first_program_fills_a_gap_and_prints_what_its_comments_promise(capsys):
    names, printed = run(blocks("python")[0], capsys)
    result, elevation, gap = names["result"], names["elevation"], names["gap"]
    assert gap.sum() == 500
    assert result.fit.converged
    assert result.fit.summary() in printed
    error = (result.mean - elevation)[gap]
    assert np.sqrt(np.mean(error**2)) < 0.6 * elevation[gap].std()
    assert 0.8 < np.mean(np.abs(error) < 1.96 * result.std[gap]) <= 1.0
    assert result.samples.shape == (3, *elevation.shape)


def test_tutorial_of_a_photograph_fits_a_texture(capsys):
    names, printed = run(blocks("python", TUTORIALS / "photograph.md")[0], capsys)
    result, field = names["result"], names["field"]
    assert f"{result.loglik_per_pixel:.6f} nats" in printed
    assert abs(result.loglik_per_pixel - 1.0946) < 0.003
    assert names["innovations"].var() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_array_equal(names["draw"], field.sample(rng=0))
    assert f"262144 x 262144 precision with {names['Q'].nnz} entries" in printed


def test_tutorial_of_a_decoder_learns_the_correlation_of_neighbours(capsys):
    torch = require("torch")
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    try:
        names, printed = run(blocks("python", TUTORIALS / "decoder.md")[0], capsys)
    finally:
        torch.set_num_threads(threads)
    # Two normals each: given the next two of its column, a pixel has 4/6 of its variance.
    assert names["gain"] == pytest.approx(784 * np.log(1.5) / 2.0, rel=0.15)
    assert f"{names['gain']:.0f} nats per image above independent pixels" in printed
    assert names["draws"].shape == (3, 16, 1, 28, 28)
    assert names["deviation"].mean().item() == pytest.approx(0.2 * np.sqrt(2.0), rel=0.1)


def test_first_program_is_on_the_first_screen_and_at_most_25_lines():
    first = blocks("python")[0]
    assert len(first.splitlines()) <= 25
    before = README.read_text(encoding="utf-8").split("```python")[0]
    assert len(before.splitlines()) <= 25
    assert "Q^{-1}" in before
    assert re.findall(r"^make (\w+)", before, flags=re.MULTILINE) == ["demo", "test"]


def test_command_for_a_file_stands_before_the_tutorials_after_what_it_needs():
    before = README.read_text(encoding="utf-8").partition("Tutorials by task")[0]
    (extras,) = re.findall(r'`pip install "\.\[([\w,]+)\]"`', before)
    offered = tomllib.loads((README.parent / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= set(offered)
    assert {"cli", "geo"} <= set(extras.split(","))
    assert before.index(extras) < before.index("\nsparsegmrf fill elevation.tif --out filled")


def test_every_example_is_listed_by_a_link():
    listed = re.findall(r"\[(\w+\.py)\]\(examples/(\w+\.py)\)", README.read_text(encoding="utf-8"))
    assert all(name == target for name, target in listed)
    assert sorted(name for name, _ in listed) == sorted(path.name for path in (README.parent / "examples").glob("*.py"))


def test_commands_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph("chelsea")[100:164, 100:172]).save("photo.png")
    write("elevation.tif", holes())
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("sparsegmrf ")]
    assert [shlex.split(line)[1] for line in commands] == ["fill", "fit", "ar", "ar", "ar", "experiment"]
    for line in commands:
        assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    written = {"fit.json", "fit.png", "model.json", "innovations.tif", "draw.png", "experiment.png", "filled"}
    assert {path.name for path in tmp_path.iterdir()} == written | {"photo.png", "elevation.tif"}
    assert (tmp_path / "filled" / "elevation-filled.tif").exists()
